package nastest

import (
	"fmt"
	"strings"

	"enlace/contracts"
)

const numberJuniper = 4874

// juniperVendor is an MX: services are dynamic profiles, activated by a tagged name with parameters such as
// "internet(250m,500m)", upload first, and deactivated by name alone. Unless it validates a CoA's variables, it applies
// what it can and acknowledges the whole. A Disconnect-Request must carry Acct-Session-Id.
var juniperVendor = &vendor{
	name:      "juniper",
	sessionID: func(n uint64) string { return fmt.Sprintf("%d", n) },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberJuniper, 65), attr.is(numberJuniper, 180):
			s, err := juniperService(n, untagged(attr.text()))
			if err != nil {
				return true, err
			}
			a.activate(s)
		case attr.is(numberJuniper, 66):
			name, _, _ := strings.Cut(untagged(attr.text()), "(")
			a.deactivate(name)
		case attr.is(numberJuniper, 26):
			p, ok := n.policy(attr.text())
			if !ok {
				return true, unlisted("QoS profile", attr.text())
			}
			a.up, a.down, a.rates = attr.text(), attr.text(), p.Rates
		case attr.is(numberJuniper, 10):
			a.filter = attr.text()
		case attr.is(numberJuniper, 11): // the filter towards the subscriber
		case attr.is(numberJuniper, 177):
			down, err := rate(attr.text(), 1)
			if err != nil {
				return true, err
			}
			a.rates.DownBps = down
		default:
			return a.readNames(attr), nil
		}
		return true, nil
	},
	partial:        true,
	needsSessionID: true,
}

// untagged takes off the tag of a tagged string (RFC 2868, section 3.3), which is below any letter.
func untagged(text string) string {
	if text != "" && text[0] < ' ' {
		return text[1:]
	}
	return text
}

// juniperService reads "name(up,down)", or a name whose rates are configured.
func juniperService(n *NAS, text string) (service, error) {
	name, rest, parameters := strings.Cut(text, "(")
	p, ok := n.policy(name)
	if !parameters {
		if !ok {
			return service{}, unlisted("service", name)
		}
		return service{name, p.Rates}, nil
	}
	inner, closed := strings.CutSuffix(rest, ")")
	up, down, two := strings.Cut(inner, ",")
	s := service{name: name, rates: contracts.Profile{}}
	var err1, err2 error
	s.rates.UpBps, err1 = rate(strings.TrimSpace(up), 1)
	s.rates.DownBps, err2 = rate(strings.TrimSpace(down), 1)
	if !closed || !two || err1 != nil || err2 != nil {
		return service{}, &refusal{cause: invalidRequest, why: fmt.Sprintf("%q is not a service with its parameters", text)}
	}
	return s, nil
}
