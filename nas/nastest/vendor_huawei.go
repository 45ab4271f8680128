package nastest

import (
	"fmt"
	"strings"
)

const numberHuawei = 2011

// huaweiVendor is the VRP of ME60, NE40 and NE8000: committed and peak rates in bit/s, input being what the subscriber
// sends, or QoS profiles by name, which it writes in small letters. A profile that is not configured takes the
// subscriber off line behind an ACK, unless it validates ("authorization error-reply version2"): then the answer is a NAK.
var huaweiVendor = &vendor{
	name:      "huawei",
	sessionID: func(n uint64) string { return fmt.Sprintf("BRAS-01%014x%06d", n, n%1000000) },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberHuawei, 2), attr.is(numberHuawei, 5):
			// committed; what is shaped to is the peak
		case attr.is(numberHuawei, 3):
			a.rates.UpBps, a.up = attr.number(), ""
		case attr.is(numberHuawei, 6):
			a.rates.DownBps, a.down = attr.number(), ""
		case attr.is(numberHuawei, 31):
			name, p, err := huaweiProfile(n, attr)
			if err != nil {
				return true, err
			}
			a.rates, a.up, a.down = p.Rates, name, name
		case attr.is(numberHuawei, 182):
			name, p, err := huaweiProfile(n, attr)
			if err != nil {
				return true, err
			}
			a.rates.DownBps, a.down = p.Rates.DownBps, name
		case attr.is(numberHuawei, 140), attr.is(numberHuawei, 27):
			a.redirect = attr.text()
		case attr.is(numberHuawei, 95), attr.is(numberHuawei, 82):
			a.list = attr.text()
		default:
			return a.readNames(attr) || attr.vendor == numberHuawei, nil
		}
		return true, nil
	},
	ignoresUnknown: true,
}

func huaweiProfile(n *NAS, attr avp) (string, Policy, error) {
	name := strings.ToLower(attr.text())
	p, ok := n.policy(name)
	if !ok {
		return "", p, &refusal{cause: invalidRequest, offline: true, why: fmt.Sprintf("no QoS profile %q is configured", name)}
	}
	return name, p, nil
}
