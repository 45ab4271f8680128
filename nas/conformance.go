package nas

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Check names one thing that a device is held to.
type Check string

// What is seen in a device's traffic, as it comes.
const (
	CheckMA        Check = "message_authenticator"
	CheckID        Check = "session_id"
	CheckReuse     Check = "session_id_reuse"
	CheckInterim   Check = "interim"
	CheckGigawords Check = "gigawords"
	CheckClass     Check = "class"
	CheckClock     Check = "event_timestamp"
	CheckDelay     Check = "delay_time"
	CheckStop      Check = "stop_resent"
	CheckBoot      Check = "accounting_on"
	CheckIPv6      Check = "ipv6"
	CheckPorts     Check = "nat_ports"
	CheckEffect    Check = "rate_effect"
)

// What is learned by asking it.
const (
	CheckReach    Check = "coa_reach"
	CheckSigns    Check = "coa_reply_signed"
	CheckFrom     Check = "coa_reply_address"
	CheckUnknown  Check = "coa_unknown_session"
	CheckNoChange Check = "coa_no_change"
	CheckIdentify Check = "coa_identification"
	CheckCoAClass Check = "coa_class"
	CheckBuild    Check = "firmware" // its model and version, as its API says them: what a regression is dated by
)

// Checks in the order in which they are shown.
var Checks = []Check{CheckBuild, CheckReach, CheckFrom, CheckSigns, CheckUnknown, CheckNoChange, CheckIdentify, CheckCoAClass, CheckEffect, CheckMA, CheckID,
	CheckReuse, CheckInterim, CheckGigawords, CheckClass, CheckClock, CheckDelay, CheckStop, CheckBoot, CheckIPv6, CheckPorts}

// Result of a check.
type Result string

const (
	Unseen Result = ""      // nothing to go by yet
	Good   Result = "good"  // as it should be
	Noted  Result = "noted" // not as the standards have it, or not there, and worked around
	Bad    Result = "bad"   // something does not work that could
)

// Form is which of the ways to pass or fail a check a device showed; ConformanceText has each in words.
type Form string

// Fact is a piece of a finding's evidence: how often a form was seen, or what was found with it.
type Fact struct {
	Form  Form   `json:"form"`
	N     int64  `json:"n,omitempty"`
	Value string `json:"value,omitempty"` // a number, a port, an Error-Cause
}

// Finding is what a check found of a device.
type Finding struct {
	Check  Check
	Result Result
	Form   Form   // what decided
	Facts  []Fact // the evidence
	At     time.Time
	Since  time.Time // Result has been so since
	Model  string    // Conformance.Build of the device by then

	// GoodAt is when the check was last good, and GoodModel what the device was by then; the zero time: never.
	GoodAt    time.Time
	GoodModel string
	// RegressedAt is when a check that had been good was found bad: zero when it is not so, or is good again.
	RegressedAt    time.Time
	AcknowledgedAt time.Time // a person has taken note of the regression
	AcknowledgedBy string
}

// Regressed reports whether the check was good, is bad and nobody has taken note of it.
func (f *Finding) Regressed() bool { return !f.RegressedAt.IsZero() && f.AcknowledgedAt.IsZero() }

// Then is what is known of a check after a newer finding of it, of which Check, Result, Form, Facts, At and Model count.
// Nothing seen is no news.
func (f Finding) Then(next Finding) Finding {
	if next.Result == Unseen {
		return f
	}
	next.Since, next.GoodAt, next.GoodModel = next.At, f.GoodAt, f.GoodModel
	next.RegressedAt, next.AcknowledgedAt, next.AcknowledgedBy = f.RegressedAt, f.AcknowledgedAt, f.AcknowledgedBy
	if f.Result == next.Result {
		next.Since = f.Since
	}
	switch next.Result {
	case Good:
		next.GoodAt, next.GoodModel = next.At, next.Model
		next.RegressedAt, next.AcknowledgedAt, next.AcknowledgedBy = time.Time{}, time.Time{}, ""
	case Bad:
		if next.RegressedAt.IsZero() && !f.GoodAt.IsZero() {
			next.RegressedAt = next.At
		}
	}
	return next
}

// Conformance is what is known of how a device behaves.
type Conformance struct {
	Findings []Finding // at most one of each check, in the order of Checks
	Choice   Choice
}

// Of is the finding of a check; its Result is Unseen when there is none.
func (c *Conformance) Of(check Check) Finding {
	for i := range c.Findings {
		if c.Findings[i].Check == check {
			return c.Findings[i]
		}
	}
	return Finding{Check: check}
}

// Build is what a device is, as far as that is known: the model that an operator has entered, and its firmware.
func (c *Conformance) Build(model string) string {
	if f := c.Of(CheckBuild); len(f.Facts) > 0 {
		return strings.TrimSpace(model + " " + f.Facts[0].Value)
	}
	return model
}

// Take joins newer findings to those that are known, and tells whether any result, form or regression is another now.
func (c *Conformance) Take(newer []Finding) (changed bool) {
	list := slices.Clone(c.Findings)
	for _, n := range newer {
		was := c.Of(n.Check)
		is := was.Then(n)
		if is.Result == Unseen {
			continue
		}
		changed = changed || is.Result != was.Result || is.Form != was.Form || !is.RegressedAt.Equal(was.RegressedAt)
		list = slices.DeleteFunc(list, func(f Finding) bool { return f.Check == n.Check })
		list = append(list, is)
	}
	c.Know(list)
	return changed
}

// Forget drops the finding of a check if it is bad, and tells whether it was.
func (c *Conformance) Forget(check Check) bool {
	if f := c.Of(check); f.Result != Bad {
		return false
	}
	c.Findings = slices.DeleteFunc(slices.Clone(c.Findings), func(f Finding) bool { return f.Check == check })
	return true
}

// Know takes findings, at most one of each check, for all that is known.
func (c *Conformance) Know(list []Finding) {
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Compare(slices.Index(Checks, a.Check), slices.Index(Checks, b.Check))
	})
	c.Findings = list
}

const (
	leastSightings = 10 // to judge a habit by
	badShare       = 20 // percent: from here on a check is bad
	goodShare      = 5  // percent: down to here it is good again
)

// Judge finds what sightings say of each check at an instant. Between two shares of misbehaviour what is known of the
// check stays, so that a device at the edge does not change to and fro.
func Judge(s Sightings, known *Conformance, model string, at time.Time) []Finding {
	var out []Finding
	for _, check := range Checks {
		f := Finding{Check: check, At: at, Model: model}
		var total int64
		var of [3]int64 // good, noted, bad
		best := [3]Sight{}
		for x := range Sight(Sights) {
			n, k := s[x], sightKinds[x]
			if k.check != check || n.N == 0 {
				continue
			}
			total += n.N
			i := slices.Index([]Result{Good, Noted, Bad}, k.worth)
			if of[i] == 0 || n.N > s[best[i]].N {
				best[i] = x
			}
			of[i] += n.N
			f.Facts = append(f.Facts, Fact{Form: k.form, N: n.N, Value: sightValue(x, n.Value)})
		}
		if check == CheckCoAClass {
			f.lastOf(s, known)
			if f.Result != Unseen {
				out = append(out, f)
			}
			continue
		}
		if i, ok := verdict(check, total, of, known.Of(check).Result); ok {
			f.Result, f.Form = sightKinds[best[i]].worth, sightKinds[best[i]].form
			slices.SortStableFunc(f.Facts, func(a, b Fact) int { return cmp.Compare(b.N, a.N) })
			out = append(out, f)
		}
	}
	return out
}

// lastOf is the finding of the latest sight alone, if it is later than what a probe has found since.
func (f *Finding) lastOf(s Sightings, known *Conformance) {
	was := known.Of(f.Check)
	var last Seen
	for x := range Sight(Sights) {
		k := sightKinds[x]
		if n := s[x]; k.check == f.Check && n.N > 0 && n.At.After(last.At) {
			last = n
			f.Result, f.Form, f.Facts = k.worth, k.form, []Fact{{Form: k.form}}
		}
	}
	if byTraffic := was.Form == sightKinds[SawClassTaken].form || was.Form == sightKinds[SawClassKept].form; !byTraffic && !last.At.After(was.At) {
		f.Result = Unseen
	}
}

// verdict is which of good, noted and bad it is.
func verdict(check Check, total int64, of [3]int64, was Result) (int, bool) {
	good, noted, bad := of[0], of[1], of[2]
	switch check {
	case CheckBoot, CheckIPv6, CheckPorts: // once is enough to know that it can
		if good > 0 {
			return 0, true
		}
		return 1, noted >= leastSightings
	case CheckReuse, CheckStop: // and so is once to know that it may
		if noted > 0 {
			return 1, true
		}
		return 0, good >= leastSightings
	case CheckGigawords: // few sessions come so far
		if bad > 0 && bad*100 >= total*goodShare {
			return 2, true
		}
		return 0, good > 0
	case CheckEffect:
		if bad > good {
			return 2, bad >= 2
		}
		return 0, good > 0
	}
	switch share := bad * 100; {
	case total < leastSightings:
		return 0, false
	case share >= total*badShare:
		return 2, true
	case share > total*goodShare && was == Bad:
		return 2, true
	case good >= noted:
		return 0, true
	}
	return 1, noted > 0
}
