package admin

import (
	"context"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
)

type customerFieldsJSON struct {
	Name     string `json:"name" minLength:"1" maxLength:"200"`
	Document string `json:"document,omitempty" doc:"CPF or CNPJ, with or without punctuation"`
	Email    string `json:"email,omitempty"`
	Phone    string `json:"phone,omitempty"`
}

type customerJSON struct {
	ID int64 `json:"id"`
	customerFieldsJSON
}

func customerJSONOf(c *contracts.Customer) customerJSON {
	return customerJSON{int64(c.ID), customerFieldsJSON{c.Name, c.Document, c.Email, c.Phone}}
}

func (f customerFieldsJSON) customer(id contracts.CustomerID) contracts.Customer {
	return contracts.Customer{ID: id, Name: f.Name, Document: contracts.NormalTaxID(f.Document), Email: f.Email, Phone: f.Phone}
}

func (s *server) customersAPI(a huma.API) {
	type find struct {
		Query string `query:"query" maxLength:"100" doc:"Start of a name, document, e-mail or login"`
		After int64  `query:"after" minimum:"0"`
		Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	}
	operation(s, a, "GET", "/customers", "list-customers", "Find customers", func(ctx context.Context, in *find) (*body[listing[customerJSON]], error) {
		found, err := s.Contracts.Customers(ctx, bounded(in.Query), contracts.CustomerID(in.After), in.Limit)
		if err != nil {
			return nil, err
		}
		out := listOf[customerJSON](nil)
		for i := range found {
			out.Items = append(out.Items, customerJSONOf(&found[i]))
		}
		if len(found) == in.Limit {
			out.Next = strconv.FormatInt(int64(found[len(found)-1].ID), 10)
		}
		return reply(out), nil
	})
	operation(s, a, "POST", "/customers", "create-customer", "Record a customer", func(ctx context.Context, in *body[customerFieldsJSON]) (*created[customerJSON], error) {
		c := in.Body.customer(0)
		if err := s.Contracts.CreateCustomer(ctx, actorOf(ctx), s.Now(), &c); err != nil {
			return nil, err
		}
		return recorded(customerJSONOf(&c)), nil
	})
	operation(s, a, "GET", "/customers/{id}", "get-customer", "One customer", func(ctx context.Context, in *byID) (*body[customerJSON], error) {
		c, err := s.Contracts.Customer(ctx, contracts.CustomerID(in.ID))
		if err != nil {
			return nil, err
		}
		return reply(customerJSONOf(&c)), nil
	})
	type update struct {
		ID   int64 `path:"id" minimum:"1"`
		Body customerFieldsJSON
	}
	operation(s, a, "PUT", "/customers/{id}", "update-customer", "Replace a customer's name, document and contacts", func(ctx context.Context, in *update) (*body[customerJSON], error) {
		c := in.Body.customer(contracts.CustomerID(in.ID))
		if err := s.Contracts.UpdateCustomer(ctx, actorOf(ctx), s.Now(), &c); err != nil {
			return nil, err
		}
		return reply(customerJSONOf(&c)), nil
	})
}

type profileJSON struct {
	DownBps uint64 `json:"down_bps" doc:"Towards the subscriber, in bit/s" example:"500000000"`
	UpBps   uint64 `json:"up_bps" doc:"From the subscriber, in bit/s" example:"250000000"`
}

func profileJSONOf(p contracts.Profile) profileJSON { return profileJSON{p.DownBps, p.UpBps} }

func (j profileJSON) profile() contracts.Profile {
	return contracts.Profile{DownBps: j.DownBps, UpBps: j.UpBps}
}

type planFieldsJSON struct {
	Name           string       `json:"name" minLength:"1" maxLength:"100"`
	Price          money        `json:"price" doc:"Per month"`
	Full           profileJSON  `json:"full"`
	Reduced        *profileJSON `json:"reduced,omitempty" doc:"Rates of a reduced contract; absent: reduced_percent of the plan"`
	ProfileName    string       `json:"profile_name,omitempty" pattern:"^[A-Za-z0-9._-]{0,64}$" doc:"What access servers that know rates by name are told of the plan" example:"fibra500"`
	ReducedPercent int          `json:"reduced_percent,omitempty" minimum:"0" maximum:"100" default:"10"`

	Allowance *allowanceJSON `json:"allowance,omitempty" doc:"Traffic included in a billing cycle; absent: all of it"`
	Hours     []hoursJSON    `json:"hours,omitempty" maxItems:"24" doc:"What is different at some times of the day, in the contract's zone; the first that holds decides"`
}

type planJSON struct {
	ID int64 `json:"id"`
	planFieldsJSON
}

func planJSONOf(p *contracts.Plan) planJSON {
	out := planJSON{int64(p.ID), planFieldsJSON{Name: p.Name, Price: moneyOf(p.Price), Full: profileJSONOf(p.Full), ProfileName: p.Full.Name, ReducedPercent: p.ReducedPercent,
		Allowance: allowanceJSONOf(p.Allowance), Hours: hoursJSONOf(p.Hours)}}
	if p.Reduced != (contracts.Profile{}) {
		r := profileJSONOf(p.Reduced)
		out.Reduced = &r
	}
	return out
}

func (f planFieldsJSON) plan(id contracts.PlanID) (contracts.Plan, error) {
	price, err := f.Price.cents("price")
	if err != nil {
		return contracts.Plan{}, err
	}
	p := contracts.Plan{ID: id, Name: f.Name, Price: price, Full: f.Full.profile(), ReducedPercent: f.ReducedPercent, Allowance: f.Allowance.allowance()}
	p.Full.Name = f.ProfileName
	p.Hours, err = hoursOf(f.Hours)
	if f.Reduced != nil {
		p.Reduced = f.Reduced.profile()
	}
	return p, err
}

func (s *server) plansAPI(a huma.API) {
	operation(s, a, "GET", "/plans", "list-plans", "Plans as they are now", func(ctx context.Context, _ *nothing) (*body[listing[planJSON]], error) {
		found, err := s.Contracts.Plans(ctx, s.Now())
		if err != nil {
			return nil, err
		}
		out := listOf[planJSON](nil)
		for i := range found {
			out.Items = append(out.Items, planJSONOf(&found[i]))
		}
		return reply(out), nil
	})
	operation(s, a, "POST", "/plans", "create-plan", "Record a plan", func(ctx context.Context, in *body[planFieldsJSON]) (*created[planJSON], error) {
		p, err := in.Body.plan(0)
		if err == nil {
			err = s.Contracts.CreatePlan(ctx, actorOf(ctx), s.Now(), &p)
		}
		if err != nil {
			return nil, err
		}
		return recorded(planJSONOf(&p)), nil
	})
	type update struct {
		ID   int64 `path:"id" minimum:"1"`
		Body planFieldsJSON
	}
	operation(s, a, "POST", "/plans/{id}/impact", "plan-impact", "What a new version of a plan would change at once; nothing is saved", func(ctx context.Context, in *update) (*body[impactJSON], error) {
		p, err := in.Body.plan(contracts.PlanID(in.ID))
		if err == nil {
			err = p.Validate()
		}
		if err != nil {
			return nil, err
		}
		v, err := s.impactOf(ctx, p, s.Now())
		return reply(impactJSONOf(v)), err
	})
	operation(s, a, "PUT", "/plans/{id}", "update-plan", "A new version of a plan, from now on", func(ctx context.Context, in *update) (*body[planJSON], error) {
		p, err := in.Body.plan(contracts.PlanID(in.ID))
		if err == nil {
			err = s.Contracts.UpdatePlan(ctx, actorOf(ctx), s.Now(), &p)
		}
		if err != nil {
			return nil, err
		}
		return reply(planJSONOf(&p)), nil
	})
}
