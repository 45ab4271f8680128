package nas

import (
	"slices"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"enlace/contracts"
)

// Identification is how commands name a session to a device.
type Identification string

const (
	ByDialect    Identification = "dialect"    // as its dialect has it
	ByLoginAndID Identification = "login_id"   // User-Name and Acct-Session-Id
	ByID         Identification = "session_id" // Acct-Session-Id alone
	ByLogin      Identification = "login"      // User-Name alone
)

// Identifications that there are, those that say most first.
var Identifications = []Identification{ByDialect, ByLoginAndID, ByID, ByLogin}

// Names gives the attributes that name a session so.
func (i Identification) Names(d *Dialect, s Session) radius.Attributes {
	var keep []radius.Type
	switch i {
	case ByLoginAndID:
		keep = []radius.Type{rfc2865.UserName_Type, rfc2866.AcctSessionID_Type}
	case ByID:
		keep = []radius.Type{rfc2866.AcctSessionID_Type}
	case ByLogin:
		keep = []radius.Type{rfc2865.UserName_Type}
	default:
		return d.Names(s)
	}
	return slices.DeleteFunc(IdentifySession(s), func(a *radius.AVP) bool { return !slices.Contains(keep, a.Type) })
}

// Auto in a Choice leaves it to what was found.
const Auto = "auto"

// Choice is what an operator has fixed of a device's strategy; empty is Auto.
type Choice struct {
	Identify string // an Identification
	Rates    string // "coa" or "disconnect"
	Wall     string // "coa" or "disconnect"
	Class    string // "yes" or "no"
}

// Validate names the first field that cannot be accepted.
func (c *Choice) Validate() error {
	for _, f := range []struct {
		field string
		value *string
		may   []string
	}{
		{"identify", &c.Identify, []string{string(ByDialect), string(ByLoginAndID), string(ByID), string(ByLogin)}},
		{"rates", &c.Rates, []string{string(CoA), string(Disconnect)}},
		{"wall", &c.Wall, []string{string(CoA), string(Disconnect)}},
		{"class", &c.Class, []string{"yes", "no"}},
	} {
		if *f.value == "" {
			*f.value = Auto
		}
		if *f.value != Auto && !slices.Contains(f.may, *f.value) {
			return contracts.Invalidf(f.field, "%q is not auto or one of %q", *f.value, f.may)
		}
	}
	return nil
}

// Why is the reason of a part of a Strategy; ConformanceText has each in words.
type Why string

const (
	WhyDefault Why = "default" // nothing found speaks against it
	WhyFixed   Why = "fixed"   // by the operator
	WhyFound   Why = "found"   // by the finding of the Part's Check
)

// Part is one choice of a Strategy, with its reason.
type Part struct {
	Value string
	Why   Why
	Check Check // of WhyFound
}

// Strategy is how a device is commanded, chosen from what was found of it.
type Strategy struct {
	Identify Part // an Identification
	Rates    Part // a Method: how other rates are brought about
	Wall     Part // a Method: how sessions get into the walled garden and out of it
	Class    Part // "yes": a CoA-Request may carry Class, which comes back; "no"; "" when that is not known
}

// Strategy of a device that speaks a dialect.
func (c *Conformance) Strategy(d *Dialect) Strategy {
	can := func(yes bool) Part {
		if yes {
			return Part{Value: string(CoA), Why: WhyDefault}
		}
		return Part{Value: string(Disconnect), Why: WhyDefault}
	}
	s := Strategy{Identify: Part{Value: string(ByDialect), Why: WhyDefault}, Rates: can(d.Can.Rates), Wall: can(d.Can.Wall), Class: Part{Why: WhyDefault}}
	if f := c.Of(CheckIdentify); f.Result == Good || f.Result == Noted {
		s.Identify = Part{Value: string(f.Form), Why: WhyFound, Check: f.Check}
	}
	found := func(to *Part, value string, check Check) { *to = Part{Value: value, Why: WhyFound, Check: check} }
	if c.Of(CheckEffect).Result == Bad {
		found(&s.Rates, string(Disconnect), CheckEffect)
	}
	if c.Of(CheckNoChange).Result == Bad {
		found(&s.Rates, string(Disconnect), CheckNoChange)
		found(&s.Wall, string(Disconnect), CheckNoChange)
	}
	switch f := c.Of(CheckCoAClass); {
	case c.Of(CheckClass).Result == Bad:
		found(&s.Class, "no", CheckClass)
	case f.Result == Good && !d.ClassAlone:
		found(&s.Class, "yes", CheckCoAClass)
	case d.ClassAlone:
		s.Class.Value = "no"
	case f.Result != Unseen && f.Form != "acked":
		found(&s.Class, "no", CheckCoAClass)
	}
	for _, fixed := range []struct {
		to    *Part
		value string
	}{{&s.Identify, c.Choice.Identify}, {&s.Rates, c.Choice.Rates}, {&s.Wall, c.Choice.Wall}, {&s.Class, c.Choice.Class}} {
		if fixed.value != "" && fixed.value != Auto {
			*fixed.to = Part{Value: fixed.value, Why: WhyFixed}
		}
	}
	return s
}

// Names gives the attributes that name a session in a command.
func (s Strategy) Names(d *Dialect, session Session) radius.Attributes {
	return Identification(s.Identify.Value).Names(d, session)
}

// Command is what is sent in place of a command from have to want: a Disconnect where the strategy has one for such a
// change.
func (s Strategy) Command(c Command, have Digest, want Service) Command {
	how := s.Rates
	if (have.Outcome() == contracts.OutcomeWalled) != (want.Outcome == contracts.OutcomeWalled) {
		how = s.Wall
	}
	if c.Method == CoA && Method(how.Value) == Disconnect {
		return Command{Method: Disconnect}
	}
	return c
}
