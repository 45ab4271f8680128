package nastest

import (
	"fmt"
	"strings"

	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

const numberCisco = 9

// ciscoVendor is IOS XE terminating PPP: rates are policies configured under a name, one for each direction, input being
// what the subscriber sends. A name that is not configured is refused.
var ciscoVendor = &vendor{
	name:      "cisco",
	sessionID: func(n uint64) string { return fmt.Sprintf("%08X", n&0xffffffff) },
	read:      readCisco,
}

func readCisco(n *NAS, a *applied, attr avp) (bool, error) {
	switch {
	case attr.is(numberCisco, 1):
		return readCiscoPair(n, a, attr.text())
	case attr.is(numberCisco, 37), attr.is(numberCisco, 55):
		return true, ciscoPolicy(n, a, attr.text(), true)
	case attr.is(numberCisco, 38), attr.is(numberCisco, 56):
		return true, ciscoPolicy(n, a, attr.text(), false)
	case attr.standard(rfc2865.FilterID_Type):
		a.filter = strings.TrimSuffix(strings.TrimSuffix(attr.text(), ".in"), ".out")
	case attr.standard(rfc2869.FramedPool_Type):
		a.pool = attr.text()
	default:
		return false, nil
	}
	return true, nil
}

// readCiscoPair takes "protocol:name=value" of Cisco-AVPair.
func readCiscoPair(n *NAS, a *applied, pair string) (bool, error) {
	key, value, _ := strings.Cut(pair, "=")
	switch key {
	case "ip:sub-qos-policy-in", "sub-qos-policy-in", "subscriber:sub-qos-policy-in":
		return true, ciscoPolicy(n, a, value, true)
	case "ip:sub-qos-policy-out", "sub-qos-policy-out", "subscriber:sub-qos-policy-out":
		return true, ciscoPolicy(n, a, value, false)
	case "ip:inacl", "subscriber:inacl":
		a.filter = value
	case "ip:outacl", "subscriber:outacl", "ipv6:inacl", "subscriber:ipv6_inacl", "subscriber:ipv6_outacl":
		// the other direction's, or IPv6's; the wall is told by the first
	case "ip:addr-pool":
		a.pool = value
	default:
		return false, nil
	}
	return true, nil
}

func ciscoPolicy(n *NAS, a *applied, name string, in bool) error {
	p, ok := n.policy(name)
	switch {
	case !ok:
		return unlisted("policy-map", name)
	case in:
		a.up, a.rates.UpBps = name, p.Rates.UpBps
	default:
		a.down, a.rates.DownBps = name, p.Rates.DownBps
	}
	return nil
}
