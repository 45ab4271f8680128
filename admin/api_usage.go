package admin

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
)

type allowanceJSON struct {
	Bytes   uint64       `json:"bytes" doc:"Octets included in a billing cycle" example:"100000000000" maximum:"1000000000000000"`
	Counts  string       `json:"counts,omitempty" enum:"both,download,upload" default:"both"`
	Beyond  string       `json:"beyond,omitempty" enum:"reduce,wall" default:"reduce" doc:"What follows when it is used up, until the cycle ends or more is added"`
	Rates   *profileJSON `json:"rates,omitempty" doc:"reduce: rates from then on; absent: percent of the plan"`
	Percent int          `json:"percent,omitempty" minimum:"0" maximum:"100" doc:"Absent: the rates of a reduced contract"`
}

func allowanceJSONOf(a *contracts.Allowance) *allowanceJSON {
	if a == nil {
		return nil
	}
	out := &allowanceJSON{Bytes: a.Bytes, Counts: string(a.Counts), Beyond: string(a.Beyond), Percent: a.Percent}
	if a.Profile != (contracts.Profile{}) {
		r := profileJSONOf(a.Profile)
		out.Rates = &r
	}
	return out
}

func (f *allowanceJSON) allowance() *contracts.Allowance {
	if f == nil {
		return nil
	}
	a := &contracts.Allowance{Bytes: f.Bytes, Counts: contracts.Counting(f.Counts), Beyond: contracts.Beyond(f.Beyond), Percent: f.Percent}
	if f.Rates != nil {
		a.Profile = f.Rates.profile()
	}
	return a
}

type hoursJSON struct {
	Days    []int        `json:"days,omitempty" maxItems:"7" doc:"Days of the week on which they begin, 1 (Monday) to 7; absent: every day"`
	From    string       `json:"from" example:"00:00"`
	Until   string       `json:"until" example:"06:00" doc:"Up to from: on the day after"`
	Rates   *profileJSON `json:"rates,omitempty" doc:"Rates in these hours; absent: percent of the plan"`
	Percent int          `json:"percent,omitempty" minimum:"0" maximum:"1000" example:"200"`
	Free    bool         `json:"free,omitempty" doc:"Traffic in these hours counts against no allowance"`
}

func hoursJSONOf(hours []contracts.Hours) []hoursJSON {
	var out []hoursJSON
	for _, h := range hours {
		j := hoursJSON{Days: h.Days, From: h.From.String(), Until: h.Until.String(), Percent: h.Percent, Free: h.Free}
		if h.Profile != (contracts.Profile{}) {
			r := profileJSONOf(h.Profile)
			j.Rates = &r
		}
		out = append(out, j)
	}
	return out
}

func hoursOf(list []hoursJSON) ([]contracts.Hours, error) {
	var out []contracts.Hours
	for _, j := range list {
		h := contracts.Hours{Days: j.Days, Percent: j.Percent, Free: j.Free}
		var err error
		if h.From, err = contracts.ParseClockTime(j.From); err != nil {
			return nil, contracts.Invalidf("hours", "%q is not a time of day: write it as 09:00", j.From)
		}
		if h.Until, err = contracts.ParseClockTime(j.Until); err != nil {
			return nil, contracts.Invalidf("hours", "%q is not a time of day: write it as 09:00", j.Until)
		}
		if j.Rates != nil {
			h.Profile = j.Rates.profile()
		}
		out = append(out, h)
	}
	return out, nil
}

type trafficJSON struct {
	Upload   uint64 `json:"upload" doc:"Octets"`
	Download uint64 `json:"download" doc:"Octets"`
}

func trafficJSONOf(t contracts.Traffic) trafficJSON {
	return trafficJSON{Upload: t.Up, Download: t.Down}
}

type dayJSON struct {
	Day   civil       `json:"day"`
	Total trafficJSON `json:"total"`
	Free  trafficJSON `json:"free" doc:"The part that no allowance counts"`
}

type usageJSON struct {
	From    civil       `json:"from"`
	Until   civil       `json:"until" doc:"Not included"`
	Total   trafficJSON `json:"total"`
	Days    []dayJSON   `json:"days" doc:"Days without traffic are left out"`
	Used    *uint64     `json:"used,omitempty" doc:"Octets that the allowance of the plan counts, in this billing cycle; absent without an allowance, or for other days"`
	Allowed *uint64     `json:"allowed,omitempty" doc:"The allowance and what was added to it, in octets"`
	Added   uint64      `json:"added" doc:"What was added to the allowance in this billing cycle, in octets"`
	Outcome string      `json:"outcome" doc:"What the subscriber may have now"`
	Rates   profileJSON `json:"rates,omitzero"`
	Rule    string      `json:"rule" enum:"contract,allowance,hours,plan" doc:"What decided the outcome and the rates"`
	Ends    *time.Time  `json:"ends,omitempty" doc:"When time alone changes that, apart from the contract's own dates"`
}

func (s *server) usageAPI(a huma.API) {
	type ask struct {
		ID    int64 `path:"id" minimum:"1"`
		From  civil `query:"from" doc:"Absent: the beginning of the billing cycle"`
		Until civil `query:"until" doc:"Not included; absent: the end of the billing cycle"`
	}
	operation(s, a, "GET", "/contracts/{id}/usage", "usage", "Traffic by day, and what the plan's allowance says of it", func(ctx context.Context, in *ask) (*body[usageJSON], error) {
		now := s.Now()
		d, err := s.Contracts.Dossier(ctx, contracts.ContractID(in.ID), now)
		if err != nil {
			return nil, err
		}
		u, err := s.usageOf(ctx, &d, now, contracts.English)
		if err != nil {
			return nil, err
		}
		from, err := in.From.date("from")
		if err != nil {
			return nil, err
		}
		until, err := in.Until.date("until")
		if err != nil {
			return nil, err
		}
		days := u.Days
		if from.IsZero() {
			from = u.Tally.From
		}
		if until.IsZero() {
			until = u.Tally.Until
		}
		cycle := from == u.Tally.From && until == u.Tally.Until
		if !cycle {
			if until < from || until > from.AddDays(400) {
				return nil, contracts.Invalidf("until", "name up to 400 days, the first one first")
			}
			if days, err = s.Usage.Usage(ctx, d.Contract.ID, from, until); err != nil {
				return nil, err
			}
		}
		out := usageJSON{From: civilOf(from), Until: civilOf(until), Days: []dayJSON{}, Added: u.Tally.Extra, Outcome: u.Verdict.Outcome.String(),
			Rates: profileJSONOf(u.Verdict.Profile), Rule: string(u.Verdict.Rule), Ends: instantOf(u.Verdict.Until)}
		var total contracts.Traffic
		for _, day := range days {
			total = total.Plus(day.Total)
			out.Days = append(out.Days, dayJSON{Day: civilOf(day.Day), Total: trafficJSONOf(day.Total), Free: trafficJSONOf(day.Free)})
		}
		out.Total = trafficJSONOf(total)
		if al := u.Plan.Allowance; al != nil && cycle {
			used, allowed := al.Of(u.Tally.Counted), al.Bytes+u.Tally.Extra
			out.Used, out.Allowed = &used, &allowed
		}
		return reply(out), nil
	})
}
