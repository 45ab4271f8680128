package nastest

import (
	"fmt"
	"net/netip"
	"strings"

	"layeh.com/radius"
)

// Codes of Cisco-Command-Code, its first byte.
const (
	isgActivate   = 0x0b
	isgDeactivate = 0x0c
)

// ciscoISGVendor is the Intelligent Services Gateway: what a subscriber has is services configured under a name, given
// at login by Cisco-Account-Info "A" and changed by Cisco-Command-Code. Cisco-Account-Info "S" and his address name him.
var ciscoISGVendor = &vendor{
	name:      "cisco-isg",
	sessionID: func(n uint64) string { return fmt.Sprintf("%08X", n&0xffffffff) },
	names:     func(attr avp) bool { return isgAddress(attr) != "" },
	find: func(n *NAS, p *radius.Packet) ([]*Session, uint32) {
		attrs, err := flatten(p.Attributes)
		if err != nil {
			return nil, invalidRequest
		}
		for _, attr := range attrs {
			if text := isgAddress(attr); text != "" {
				ip, err := netip.ParseAddr(text)
				if err != nil {
					return nil, invalidRequest
				}
				return n.matching(func(s *Session, st state) bool { return st.ip == ip && matches(p, s, st) })
			}
		}
		return n.matchAll(p)
	},
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		text := attr.text()
		switch {
		case attr.is(numberCisco, 250) && strings.HasPrefix(text, "A"), attr.is(numberCisco, 60):
			return true, isgService(n, a, strings.TrimPrefix(text, "A"))
		case attr.is(numberCisco, 252) && len(text) > 1 && text[0] == isgActivate:
			return true, isgService(n, a, text[1:])
		case attr.is(numberCisco, 252) && len(text) > 1 && text[0] == isgDeactivate:
			a.deactivate(text[1:])
			return true, nil
		case attr.is(numberCisco, 63):
			a.deactivate(text)
			return true, nil
		}
		return readCisco(n, a, attr)
	},
	// A pair of command and service name is the same as one Command-Code.
	prepare: func(attrs []avp) []avp {
		var out []avp
		command := byte(0)
		for _, attr := range attrs {
			pair, is := attr.text(), attr.is(numberCisco, 1)
			name, named := strings.CutPrefix(pair, "subscriber:service-name=")
			switch {
			case is && pair == "subscriber:command=activate-service":
				command = isgActivate
			case is && pair == "subscriber:command=deactivate-service":
				command = isgDeactivate
			case is && named && command != 0:
				out = append(out, avp{numberCisco, 252, append([]byte{command}, name...)})
			default:
				out = append(out, attr)
			}
		}
		return out
	},
}

// isgAddress is what Cisco-Account-Info says of the subscriber's address, or "".
func isgAddress(attr avp) string {
	if !attr.is(numberCisco, 250) {
		return ""
	}
	address, ok := strings.CutPrefix(attr.text(), "S")
	if !ok {
		return ""
	}
	address, _, _ = strings.Cut(address, ":") // a port may follow
	return address
}

func isgService(n *NAS, a *applied, name string) error {
	p, ok := n.policy(name)
	if !ok {
		return unlisted("service", name)
	}
	a.activate(service{name, p.Rates})
	return nil
}
