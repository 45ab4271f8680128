package control

import (
	"fmt"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"enlace/nas"
)

// remedy is what is done about a command that was refused.
type remedy uint8

const (
	anotherMethod remedy = iota // Disconnect in place of CoA, the API in place of Disconnect
	afterPause                  // the same again, after a pause
	renamed                     // the same again with the session named in another way, and then another method
	renamedOnly                 // the same, and then given up
	sessionGone                 // the device has no such session
	hopeless                    // given up: only an operator can mend it
)

func (r remedy) String() string {
	return [...]string{"another method", "again after a pause", "another identification, then another method", "another identification, then given up",
		"the session is gone", "given up"}[r]
}

// cause is a row of the table of Error-Causes.
type cause struct {
	name   string
	remedy remedy
}

// causes is what each Error-Cause of a NAK means (RFC 5176, section 3.5) and what is done about it. docs/operation.md shows
// the same table to operators.
var causes = map[int]cause{
	0:   {"no Error-Cause", anotherMethod},
	201: {"Residual-Session-Context-Removed", sessionGone},
	202: {"Invalid-EAP-Packet", hopeless},
	401: {"Unsupported-Attribute", anotherMethod},
	402: {"Missing-Attribute", renamed},
	403: {"NAS-Identification-Mismatch", renamedOnly},
	404: {"Invalid-Request", renamed},
	405: {"Unsupported-Service", anotherMethod},
	406: {"Unsupported-Extension", anotherMethod},
	407: {"Invalid-Attribute-Value", hopeless},
	501: {"Administratively-Prohibited", anotherMethod},
	502: {"Request-Not-Routable", afterPause},
	503: {"Session-Context-Not-Found", sessionGone},
	504: {"Session-Context-Not-Removable", anotherMethod},
	505: {"Other-Proxy-Processing-Error", afterPause},
	506: {"Resources-Unavailable", afterPause},
	507: {"Request-Initiated", afterPause},
	508: {"Multiple-Session-Selection-Unsupported", renamedOnly},
}

// remedyOf an Error-Cause; of one that no RFC names, another method.
func remedyOf(c int) remedy { return causes[c].remedy }

// ErrorCauseName is the name of an Error-Cause (RFC 5176, section 3.5), such as "Session-Context-Not-Found".
func ErrorCauseName(c int) string {
	if known, ok := causes[c]; ok {
		return known.name
	}
	return fmt.Sprintf("Error-Cause %d", c)
}

// form is how commands name a session to a device.
type form uint8

const (
	byDialect         form = iota // as its dialect has it, and by the NAS-Identifier of its settings
	withoutIdentifier             // the same without NAS-Identifier
	bySessionID                   // by Acct-Session-Id alone
	byAll                         // by all that is known of it
)

func (f form) String() string {
	return [...]string{"named as the dialect has it", "named without NAS-Identifier", "named by Acct-Session-Id alone", "named by all that is known of it"}[f]
}

// formsAfter are the forms to try when an Error-Cause says that the session was not named well, in this order.
func formsAfter(c int) []form {
	switch c {
	case 402: // something is missing
		return []form{byAll}
	case 403:
		return []form{withoutIdentifier}
	case 503, 404, 508:
		return []form{bySessionID}
	}
	return nil
}

// formAfter is how many sessions a device must have known in another form before all are named so. That its NAS-Identifier
// is another one holds for all at once.
const formAfter = 3

// knows takes in that the device knew a session by that form.
func (l *lane) knows(f form) {
	if f <= l.form {
		return
	}
	if l.forms[f]++; f == withoutIdentifier || l.forms[f] == formAfter {
		l.form = f
	}
}

// rename gives the next form to try for a session after the one that it was named in: the first that says anything else.
func (r *Reconciler) rename(s *session, dev *nas.Device, c int) (form, bool) {
	now := s.named()
	was := r.identify(s, dev, now)
	for _, f := range formsAfter(c) {
		if f > now && !sameAttributes(was, r.identify(s, dev, f)) {
			return f, true
		}
	}
	return 0, false
}

// named is the form that the session's next command names it in.
func (s *session) named() form { return max(s.form, s.lane.form) }

// identify names the session, and the device where it has a NAS-Identifier.
func (r *Reconciler) identify(s *session, dev *nas.Device, f form) radius.Attributes {
	p := &radius.Packet{}
	switch d := r.cfg.Dialects.Named(dev.Dialect); {
	case f == bySessionID:
		p.Add(rfc2866.AcctSessionID_Type, radius.Attribute(s.Key.ID))
		return p.Attributes
	case f == byAll || d == nil:
		p.Attributes = nas.IdentifySession(s.Session)
	default:
		p.Attributes = dev.Conformance.Strategy(d).Names(d, s.Session)
	}
	if f == byAll && len(s.CallingStation) > 0 {
		p.Add(rfc2865.CallingStationID_Type, radius.Attribute(s.CallingStation))
	}
	if dev.NASIdentifier != "" && f != withoutIdentifier {
		p.Add(rfc2865.NASIdentifier_Type, radius.Attribute(dev.NASIdentifier))
	}
	return p.Attributes
}

func sameAttributes(a, b radius.Attributes) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Type != b[i].Type || string(a[i].Attribute) != string(b[i].Attribute) {
			return false
		}
	}
	return true
}

// deny remembers that a device said that it has no such session: if it goes on reporting it, the session was not named
// well. The limit of sessions may close it meanwhile, so that this is the device's memory.
func (l *lane) deny(id string) {
	if len(l.denied) >= deniedMost {
		clear(l.denied)
	}
	if l.denied == nil {
		l.denied = map[string]struct{}{}
	}
	l.denied[id] = struct{}{}
}

// deniedMost bounds the sessions that a device denied and that are remembered.
const deniedMost = 4096
