package contracts

import "time"

// Verdict is what a subscriber may have at an instant: the span that holds, with what his plan says of usage and of the
// time of day.
type Verdict struct {
	Outcome Outcome
	Profile Profile   // the rates of FULL and REDUCED
	Until   time.Time // when time alone ends it, apart from the span's own end; zero: nothing is foreseen
	Rule    Rule
	Hours   *Hours // those that hold, where the rule is RuleHours
}

// Rule says what decided a Verdict.
type Rule string

const (
	RuleContract  Rule = "contract"  // the span: debt, a block, a suspension
	RuleAllowance Rule = "allowance" // the plan's allowance is used up
	RuleHours     Rule = "hours"     // the time of day
	RulePlan      Rule = "plan"      // nothing but the plan
)

// Plain reports whether neither usage nor the time of day matters to the plan.
func (p *Plan) Plain() bool { return p.Allowance == nil && len(p.Hours) == 0 }

// Decide joins the outcome of a span with the plan's allowance and hours. u is of the cycle that t lies in. What is
// stricter wins: the walled garden over a contract reduced for debt, that over fair use, that over the time of day.
func (p *Plan) Decide(span Outcome, zone *time.Location, u Tally, t time.Time) Verdict {
	v := Verdict{Outcome: span, Rule: RuleContract}
	if span != OutcomeFull && span != OutcomeReduced {
		return v
	}
	spent := p.Allowance != nil && p.Allowance.Spent(u)
	switch {
	case spent && p.Allowance.Beyond == BeyondWall:
		v.Outcome, v.Rule, v.Until = OutcomeWalled, RuleAllowance, u.Until.Start(zone)
	case span == OutcomeReduced:
		v.Profile = p.ReducedProfile()
	case spent:
		v.Outcome, v.Profile, v.Rule, v.Until = OutcomeReduced, p.BeyondProfile(), RuleAllowance, u.Until.Start(zone)
	case len(p.Hours) > 0:
		h := p.HoursAt(t, zone)
		v.Profile, v.Rule, v.Until = p.HoursProfile(h), RulePlan, p.ratesUntil(t, zone)
		if v.Profile != p.Full {
			v.Hours, v.Rule = h, RuleHours
		}
	default:
		v.Profile, v.Rule = p.Full, RulePlan
	}
	return v
}

// Free reports whether traffic at t is counted by no allowance.
func (p *Plan) Free(t time.Time, zone *time.Location) bool {
	h := p.HoursAt(t, zone)
	return h != nil && h.Free
}

// Profiles are all that a contract of the plan can have when it is not walled: full ones, and reduced ones.
func (p *Plan) Profiles() (full, reduced []Profile) {
	full, reduced = []Profile{p.Full}, []Profile{p.ReducedProfile()}
	for i := range p.Hours {
		full = append(full, p.HoursProfile(&p.Hours[i]))
	}
	if p.Allowance != nil && p.Allowance.Beyond == BeyondReduce {
		reduced = append(reduced, p.BeyondProfile())
	}
	return full, reduced
}
