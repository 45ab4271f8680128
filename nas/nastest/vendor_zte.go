package nastest

import (
	"fmt"
)

const numberZTE = 3902

// zteVendor is a BRAS of the M6000 kind: rates in bit/s or profiles by name, with the direction in the attribute's name.
var zteVendor = &vendor{
	name:      "zte",
	sessionID: func(n uint64) string { return fmt.Sprintf("ZTE%013d", n) },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberZTE, 83):
			a.rates.DownBps, a.down = attr.number(), ""
		case attr.is(numberZTE, 89):
			a.rates.UpBps, a.up = attr.number(), ""
		case attr.is(numberZTE, 82), attr.is(numberZTE, 94):
			p, ok := n.policy(attr.text())
			if !ok {
				return true, unlisted("QoS profile", attr.text())
			}
			if attr.kind == 82 {
				a.rates.DownBps, a.down = p.Rates.DownBps, attr.text()
			} else {
				a.rates.UpBps, a.up = p.Rates.UpBps, attr.text()
			}
		case attr.is(numberZTE, 228), attr.is(numberZTE, 233), attr.is(numberZTE, 232), attr.is(numberZTE, 237):
			// the same for IPv6, which is not counted apart here
		default:
			return a.readNames(attr), nil
		}
		return true, nil
	},
}
