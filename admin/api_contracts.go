package admin

import (
	"context"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
	"enlace/nas"
)

type accessJSON struct {
	ID       int64  `json:"id"`
	Login    string `json:"login"`
	Disabled bool   `json:"disabled"`

	SessionLimit int             `json:"session_limit,omitempty" doc:"Sessions at once; absent: the provider's"`
	Line         *accessLineJSON `json:"line,omitempty" doc:"Marks that a request must bear, and fixed addresses"`
}

type newAccessJSON struct {
	Login    string `json:"login" minLength:"1" maxLength:"200"`
	Password string `json:"password,omitempty" maxLength:"128" doc:"Needed unless the line says no_password"`

	SessionLimit int             `json:"session_limit,omitempty" minimum:"0" maximum:"1000" doc:"Sessions at once; 0: the provider's"`
	Line         *accessLineJSON `json:"line,omitempty" doc:"Marks that a request must bear, and fixed addresses"`
}

func (j *newAccessJSON) access() (contracts.Access, error) {
	a, err := (&accessFieldsJSON{j.SessionLimit, j.Line}).access()
	a.Login = j.Login
	return a, err
}

func accessJSONOf(a *contracts.Access, disabled bool) accessJSON {
	return accessJSON{int64(a.ID), a.Login, disabled, a.SessionLimit, accessLineJSONOf(&a.Line)}
}

type contractFieldsJSON struct {
	CustomerID    int64           `json:"customer_id" minimum:"1"`
	PlanID        int64           `json:"plan_id" minimum:"1"`
	Zone          string          `json:"zone,omitempty" doc:"IANA zone of the installation; absent: the operator's" example:"America/Sao_Paulo"`
	DueDay        int             `json:"due_day" minimum:"1" maximum:"31"`
	Timing        string          `json:"timing,omitempty" enum:"postpaid,prepaid" default:"postpaid"`
	BillingAnchor civil           `json:"billing_anchor,omitempty" doc:"First day charged; absent: today"`
	StartsPending bool            `json:"starts_pending,omitempty"`
	AutoBlock     *bool           `json:"auto_block,omitempty" doc:"Absent: true"`
	TrustEnabled  *bool           `json:"trust_enabled,omitempty" doc:"Absent: true"`
	Exempt        bool            `json:"exempt,omitempty"`
	Accesses      []newAccessJSON `json:"accesses" minItems:"1" maxItems:"50"`
}

type contractJSON struct {
	ID            int64        `json:"id"`
	CustomerID    int64        `json:"customer_id"`
	PlanID        int64        `json:"plan_id" doc:"The plan in force now"`
	Zone          string       `json:"zone"`
	CreatedAt     time.Time    `json:"created_at"`
	DueDay        int          `json:"due_day"`
	Timing        string       `json:"timing"`
	BillingAnchor civil        `json:"billing_anchor"`
	Status        string       `json:"status"`
	Outcome       string       `json:"outcome"`
	Rule          string       `json:"rule" doc:"What put the contract in this status"`
	Since         time.Time    `json:"since"`
	Until         *time.Time   `json:"until,omitempty" doc:"When time alone ends it, if it does"`
	Accesses      []accessJSON `json:"accesses"`
}

type whyJSON struct {
	Rule          string `json:"rule"`
	Invoice       string `json:"invoice,omitempty"`
	Due           civil  `json:"due,omitempty" doc:"Effective due date"`
	DaysOverdue   int    `json:"days_overdue,omitempty"`
	Open          money  `json:"open,omitempty"`
	NoticeOn      civil  `json:"notice_on,omitempty"`
	PolicyVersion int    `json:"policy_version"`
	Actor         string `json:"actor,omitempty"`
	Reason        string `json:"reason,omitempty"`
	Next          string `json:"next,omitempty"`
}

type spanJSON struct {
	From    time.Time  `json:"from"`
	Until   *time.Time `json:"until,omitempty"`
	Status  string     `json:"status"`
	Outcome string     `json:"outcome"`
	PlanID  int64      `json:"plan_id"`
	Why     whyJSON    `json:"why"`
}

func spanJSONOf(s *contracts.Span) spanJSON {
	w := s.Why
	out := spanJSON{From: s.From.UTC(), Until: instantOf(s.Until), Status: string(s.Status), Outcome: s.Outcome.String(), PlanID: int64(s.PlanID),
		Why: whyJSON{Rule: w.Rule, Invoice: w.InvoiceID, Due: civilOf(w.Due), DaysOverdue: w.DaysOverdue, NoticeOn: civilOf(w.NoticeOn),
			PolicyVersion: w.PolicyVersion, Actor: w.Actor, Reason: w.Reason, Next: w.Next}}
	if w.InvoiceID != "" {
		out.Why.Open = moneyOf(w.Open)
	}
	return out
}

func contractJSONOf(d *contracts.Dossier, now time.Time) contractJSON {
	c, span := d.Contract, d.Timeline(contracts.Options{}).Spans.At(now)
	out := contractJSON{ID: int64(c.ID), CustomerID: int64(c.CustomerID), PlanID: int64(span.PlanID), Zone: c.Zone.String(), CreatedAt: c.CreatedAt.UTC(),
		DueDay: c.DueDay, Timing: string(c.Timing), BillingAnchor: civilOf(c.BillingAnchor), Status: string(span.Status), Outcome: span.Outcome.String(),
		Rule: span.Why.Rule, Since: span.From.UTC(), Until: instantOf(span.Until), Accesses: []accessJSON{}}
	for _, a := range c.Accesses {
		out.Accesses = append(out.Accesses, accessJSONOf(&a, slices.Contains(span.Disabled, a.ID)))
	}
	return out
}

func (s *server) contractJSON(ctx context.Context, id contracts.ContractID) (*contractJSON, error) {
	now := s.Now()
	d, err := s.Contracts.Dossier(ctx, id, now)
	if err != nil {
		return nil, err
	}
	out := contractJSONOf(&d, now)
	if plan := d.Plans[contracts.PlanID(out.PlanID)]; !plan.Plain() {
		u, err := s.usageOf(ctx, &d, now, contracts.English)
		if err != nil {
			return nil, err
		}
		out.Outcome = u.Verdict.Outcome.String()
	}
	return &out, nil
}

func (f *contractFieldsJSON) contract(zone *time.Location) (*contracts.Contract, []string, error) {
	on := func(b *bool) bool { return b == nil || *b }
	c := &contracts.Contract{CustomerID: contracts.CustomerID(f.CustomerID), PlanID: contracts.PlanID(f.PlanID), Zone: zone, DueDay: f.DueDay,
		Timing: contracts.Timing(f.Timing), StartsPending: f.StartsPending, AutoBlock: on(f.AutoBlock), TrustEnabled: on(f.TrustEnabled), Exempt: f.Exempt}
	var passwords []string
	for i := range f.Accesses {
		a, err := f.Accesses[i].access()
		if err != nil {
			return nil, nil, err
		}
		c.Accesses, passwords = append(c.Accesses, a), append(passwords, f.Accesses[i].Password)
	}
	var err error
	if f.Zone != "" {
		if c.Zone, err = loadZone(f.Zone); err != nil {
			return nil, nil, err
		}
	}
	c.BillingAnchor, err = f.BillingAnchor.date("billing_anchor")
	return c, passwords, err
}

func (s *server) contractsAPI(a huma.API) {
	type find struct {
		CustomerID int64  `query:"customer_id" minimum:"0"`
		Login      string `query:"login" maxLength:"200"`
	}
	operation(s, a, "GET", "/contracts", "find-contracts", "Contracts of a customer, or the one with a login", func(ctx context.Context, in *find) (*body[listing[contractJSON]], error) {
		out := listOf[contractJSON](nil)
		var ids []contracts.ContractID
		switch {
		case in.Login != "":
			id, _, err := s.Contracts.FindLogin(ctx, in.Login)
			if _, missing := asDomain(err); missing {
				return reply(out), nil
			} else if err != nil {
				return nil, err
			}
			ids = append(ids, id)
		case in.CustomerID > 0:
			found, err := s.Contracts.ContractsOf(ctx, contracts.CustomerID(in.CustomerID))
			if err != nil {
				return nil, err
			}
			for _, c := range found {
				ids = append(ids, c.ID)
			}
		default:
			return nil, &contracts.Error{Kind: contracts.Invalid, Code: "invalid", Msg: "name a customer_id or a login"}
		}
		for _, id := range ids {
			c, err := s.contractJSON(ctx, id)
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, *c)
		}
		return reply(out), nil
	})
	operation(s, a, "POST", "/contracts", "create-contract", "Record a contract with its accesses", func(ctx context.Context, in *body[contractFieldsJSON]) (*created[contractJSON], error) {
		c, passwords, err := in.Body.contract(s.Zone)
		if err == nil {
			err = s.Contracts.CreateContract(ctx, actorOf(ctx), s.Now(), c, passwords)
		}
		if err != nil {
			return nil, err
		}
		out, err := s.contractJSON(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		return recorded(*out), nil
	})
	operation(s, a, "GET", "/contracts/{id}", "get-contract", "One contract as it stands", func(ctx context.Context, in *byID) (*body[contractJSON], error) {
		c, err := s.contractJSON(ctx, contracts.ContractID(in.ID))
		if err != nil {
			return nil, err
		}
		return reply(*c), nil
	})
	s.timelineAPI(a)
	s.actsAPI(a)
	s.accessesAPI(a)
	s.linesAPI(a)
}

type refusalJSON struct {
	At      time.Time `json:"at"`
	Request string    `json:"request"`
	Reason  string    `json:"reason"`
}

type timelineJSON struct {
	Spans   []spanJSON    `json:"spans"`
	Refused []refusalJSON `json:"refused"`
}

type explanationJSON struct {
	At       time.Time `json:"at"`
	Headline string    `json:"headline"`
	Details  []string  `json:"details"`
	Span     spanJSON  `json:"span"`
	Next     *spanJSON `json:"next,omitempty"`
	Planned  bool      `json:"planned" doc:"next assumes that notices go out as scheduled and nothing is paid"`
}

func refusalsJSON(list []contracts.Refusal) []refusalJSON {
	out := []refusalJSON{}
	for _, r := range list {
		out = append(out, refusalJSON{r.At.UTC(), string(r.Request), r.Reason})
	}
	return out
}

// timelineAPI answers about any time.
func (s *server) timelineAPI(a huma.API) {
	type ask struct {
		ID    int64     `path:"id" minimum:"1"`
		From  time.Time `query:"from" doc:"Leave out spans that ended by then"`
		Until time.Time `query:"until" doc:"Leave out spans that begin later"`
		Plan  bool      `query:"plan" doc:"Assume that notices go out as scheduled from now on"`
	}
	operation(s, a, "GET", "/contracts/{id}/timeline", "get-timeline", "Statuses of a contract, past and foreseen", func(ctx context.Context, in *ask) (*body[timelineJSON], error) {
		now := s.Now()
		d, err := s.Contracts.Dossier(ctx, contracts.ContractID(in.ID), now)
		if err != nil {
			return nil, err
		}
		life := d.Timeline(contracts.Options{Plan: in.Plan, From: now})
		out := timelineJSON{Spans: []spanJSON{}, Refused: refusalsJSON(life.Refused)}
		for i := range life.Spans {
			sp := &life.Spans[i]
			if !in.From.IsZero() && !sp.Until.IsZero() && !sp.Until.After(in.From) || !in.Until.IsZero() && sp.From.After(in.Until) {
				continue
			}
			out.Spans = append(out.Spans, spanJSONOf(sp))
		}
		return reply(out), nil
	})
	type at struct {
		ID   int64     `path:"id" minimum:"1"`
		At   time.Time `query:"at" doc:"Absent: now"`
		Lang string    `query:"lang" enum:"en,pt" default:"en"`
	}
	operation(s, a, "GET", "/contracts/{id}/explain", "explain", "What holds at an instant, and why", func(ctx context.Context, in *at) (*body[explanationJSON], error) {
		now := s.Now()
		d, err := s.Contracts.Dossier(ctx, contracts.ContractID(in.ID), now)
		if err != nil {
			return nil, err
		}
		if in.At.IsZero() {
			in.At = now
		}
		e := contracts.Explain(d.Contract, d.Facts, d.Rules, in.At, contracts.Language(in.Lang))
		past, err := s.Contracts.Dossier(ctx, contracts.ContractID(in.ID), in.At) // the plans as they were then
		if err != nil {
			return nil, err
		}
		from, until := contracts.CycleOf(contracts.DateOf(in.At, d.Contract.Zone), d.Contract.DueDay)
		days, err := s.Usage.Usage(ctx, d.Contract.ID, from, until)
		if err != nil {
			return nil, err
		}
		u := contracts.UsageAt(&past, e.Span, days, in.At, contracts.Language(in.Lang))
		e.Details = append(e.Details, u.Details...)
		out := explanationJSON{At: in.At.UTC(), Headline: e.Headline, Details: e.Details, Span: spanJSONOf(&e.Span), Planned: e.Planned}
		if e.Next != nil {
			next := spanJSONOf(e.Next)
			out.Next = &next
		}
		return reply(out), nil
	})
}

type actJSON struct {
	Reason   string `json:"reason,omitempty" maxLength:"400"`
	From     civil  `json:"from,omitempty" doc:"suspend: first day; cancel, plan-change: the day, absent for now"`
	Until    civil  `json:"until,omitempty" doc:"suspend: the day of return"`
	PlanID   int64  `json:"plan_id,omitempty" minimum:"0" doc:"plan-change: the new plan"`
	AccessID int64  `json:"access_id,omitempty" minimum:"0" doc:"access-disable, access-enable: which"`
	Bytes    int64  `json:"bytes,omitempty" minimum:"0" maximum:"1000000000000000" doc:"top-up: octets added to the allowance of the present billing cycle"`
}

func (s *server) actsAPI(a huma.API) {
	type act struct {
		ID   int64  `path:"id" minimum:"1"`
		Act  string `path:"act" enum:"activate,cancel,plan-change,trust-unblock,trust-clear,temp-release,manual-release,manual-block,manual-unblock,suspend,resume,access-disable,access-enable,top-up"`
		Body *actJSON
	}
	operation(s, a, "POST", "/contracts/{id}/acts/{act}", "act", "Act on a contract; a rule that refuses answers 409 with its code", func(ctx context.Context, in *act) (*body[contractJSON], error) {
		if in.Body == nil {
			in.Body = &actJSON{}
		}
		f := contracts.Fact{ContractID: contracts.ContractID(in.ID), Kind: acts[in.Act], Actor: actorOf(ctx), Reason: in.Body.Reason,
			PlanID: contracts.PlanID(in.Body.PlanID), AccessID: contracts.AccessID(in.Body.AccessID), Bytes: in.Body.Bytes}
		var err error
		if f.From, err = in.Body.From.date("from"); err != nil {
			return nil, err
		}
		if f.Until, err = in.Body.Until.date("until"); err != nil {
			return nil, err
		}
		return s.actThenShow(ctx, f)
	})
}

// actThenShow performs an act and answers with the contract as it then stands.
func (s *server) actThenShow(ctx context.Context, f contracts.Fact) (*body[contractJSON], error) {
	if err := checkAct(&f, s.Now()); err != nil {
		return nil, err
	}
	if _, err := s.Contracts.Act(ctx, s.Now(), f); err != nil {
		return nil, err
	}
	c, err := s.contractJSON(ctx, f.ContractID)
	if err != nil {
		return nil, err
	}
	return reply(*c), nil
}

func (s *server) accessesAPI(a huma.API) {
	type add struct {
		ID   int64 `path:"id" minimum:"1"`
		Body newAccessJSON
	}
	operation(s, a, "POST", "/contracts/{id}/accesses", "create-access", "One more login for a contract", func(ctx context.Context, in *add) (*created[accessJSON], error) {
		a, err := in.Body.access()
		if err != nil {
			return nil, err
		}
		if err := s.Contracts.AddAccess(ctx, actorOf(ctx), s.Now(), contracts.ContractID(in.ID), &a, in.Body.Password); err != nil {
			return nil, err
		}
		return recorded(accessJSONOf(&a, false)), nil
	})
	type password struct {
		ID     int64 `path:"id" minimum:"1"`
		Access int64 `path:"access" minimum:"1"`
		Body   struct {
			Password string `json:"password" minLength:"1" maxLength:"128"`
		}
	}
	operation(s, a, "PUT", "/contracts/{id}/accesses/{access}/password", "set-password", "Replace the password of a login", func(ctx context.Context, in *password) (*struct{}, error) {
		return nil, s.replacePassword(ctx, actorOf(ctx), s.Now(), contracts.ContractID(in.ID), contracts.AccessID(in.Access), in.Body.Password)
	})
	type which struct {
		ID     int64    `path:"id" minimum:"1"`
		Access int64    `path:"access" minimum:"1"`
		Body   *actJSON `required:"false"`
	}
	for name, kind := range map[string]contracts.FactKind{"disable": contracts.AccessDisabled, "enable": contracts.AccessEnabled} {
		operation(s, a, "POST", "/contracts/{id}/accesses/{access}/"+name, name+"-access", "Switch one login off or on", func(ctx context.Context, in *which) (*body[contractJSON], error) {
			f := contracts.Fact{ContractID: contracts.ContractID(in.ID), Kind: kind, AccessID: contracts.AccessID(in.Access), Actor: actorOf(ctx)}
			if in.Body != nil {
				f.Reason = in.Body.Reason
			}
			return s.actThenShow(ctx, f)
		})
	}
}

// serviceText is a service in words, or empty where it is not known.
func serviceText(s *nas.Service) string {
	if s == nil {
		return ""
	}
	return s.String()
}
