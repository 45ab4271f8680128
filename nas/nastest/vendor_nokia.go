package nastest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
)

const numberNokia = 6527

// nokiaVendor is SR OS: SLA and subscriber profiles by name, and overrides of queues and of the aggregate in kbit/s,
// "i" being what the subscriber sends. Of what names a session in a command the strongest counts, and the others may not
// contradict it. What it does not support it passes over and acknowledges.
var nokiaVendor = &vendor{
	name:      "nokia",
	sessionID: func(n uint64) string { return fmt.Sprintf("D896FF%010X%06X", n&0xffffffffff, (n*2654435761)&0xffffff) },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberNokia, 126):
			return true, nokiaOverride(a, attr.text())
		case attr.is(numberNokia, 12), attr.is(numberNokia, 13):
			p, ok := n.policy(attr.text())
			if !ok {
				return true, unlisted("profile", attr.text())
			}
			if attr.kind == 12 {
				a.list = attr.text()
			} else {
				a.up, a.down = attr.text(), attr.text()
			}
			if p.Rates.UpBps != 0 {
				a.rates.UpBps = p.Rates.UpBps
			}
			if p.Rates.DownBps != 0 {
				a.rates.DownBps = p.Rates.DownBps
			}
		case attr.is(numberNokia, 134):
			a.filter = attr.text()
		case attr.is(numberNokia, 136):
			a.redirect = attr.text()
		default:
			return a.readNames(attr), nil
		}
		return true, nil
	},
	refusesAccept: func(attrs []avp) error {
		has := func(t radius.Type) bool {
			return slices.ContainsFunc(attrs, func(attr avp) bool { return attr.standard(t) })
		}
		if has(rfc2865.FramedIPAddress_Type) && has(rfc2869.FramedPool_Type) {
			return errors.New("host set-up fails: Framed-IP-Address and Framed-Pool")
		}
		return nil
	},
	find:           findNokia,
	ignoresUnknown: true,
	shorterRefused: true,
}

// nokiaOverride reads "i:q:1:pir=40000,cir=20000" and "e:r:rate=800000".
func nokiaOverride(a *applied, text string) error {
	parts := strings.Split(text, ":")
	settings := parts[len(parts)-1]
	var bps uint64
	var err error
	for setting := range strings.SplitSeq(settings, ",") {
		key, value, _ := strings.Cut(setting, "=")
		if key == "pir" || key == "rate" {
			bps, err = rate(value, 1000)
		}
	}
	switch {
	case err != nil || bps == 0:
		return fmt.Errorf("%q is not an override", text)
	case len(parts) == 4 && parts[0] == "i" && parts[1] == "q", len(parts) == 3 && parts[0] == "i" && parts[1] == "r":
		a.rates.UpBps = bps
	case len(parts) == 4 && parts[0] == "e" && parts[1] == "q", len(parts) == 3 && parts[0] == "e" && parts[1] == "r":
		a.rates.DownBps = bps
	default:
		return fmt.Errorf("%q is not an override", text)
	}
	return nil
}

// findNokia takes NAS-Port-Id with Framed-IP-Address before Acct-Session-Id before User-Name.
func findNokia(n *NAS, p *radius.Packet) ([]*Session, uint32) {
	_, byPort := p.Lookup(rfc2869.NASPortID_Type)
	_, byIP := p.Lookup(rfc2865.FramedIPAddress_Type)
	_, byID := p.Lookup(rfc2866.AcctSessionID_Type)
	_, byLogin := p.Lookup(rfc2865.UserName_Type)
	if !byPort && !byID && !byLogin {
		return nil, missingAttribute
	}
	found, cause := n.matching(func(s *Session, st state) bool {
		switch {
		case byPort && byIP:
			return !differs(p, rfc2869.NASPortID_Type, s.PortID()) && !differsIP(p, st.ip)
		case byID:
			return slices.Contains(st.ids, rfc2866.AcctSessionID_GetString(p))
		case byLogin:
			return !differs(p, rfc2865.UserName_Type, s.login)
		}
		return !differs(p, rfc2869.NASPortID_Type, s.PortID())
	})
	for _, s := range found {
		if st := s.now(); byID && !slices.Contains(st.ids, rfc2866.AcctSessionID_GetString(p)) || differs(p, rfc2865.UserName_Type, s.login) ||
			differsIP(p, st.ip) || differs(p, rfc2869.NASPortID_Type, s.PortID()) {
			return nil, sessionNotFound // keys that contradict each other
		}
	}
	return found, cause
}
