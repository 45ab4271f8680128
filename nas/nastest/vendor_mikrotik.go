package nastest

import (
	"fmt"
	"slices"

	"layeh.com/radius/rfc2865"
)

const numberMikrotik = 14988

// mikrotikVendor is RouterOS: rates from the router's point of view, upload first. A CoA changes what is on a short
// list, on which neither addresses nor the address list are, nor Class.
var mikrotikVendor = &vendor{
	name:      "mikrotik",
	sessionID: func(n uint64) string { return fmt.Sprintf("81%06x", n&0xffffff) },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		var err error
		switch {
		case attr.is(numberMikrotik, 8):
			a.rates.UpBps, a.rates.DownBps, err = ratePair(attr.text(), 1)
		case attr.is(numberMikrotik, 19):
			a.list = attr.text()
		default:
			return a.readNames(attr) || attr.vendor == numberMikrotik, nil
		}
		return true, err
	},
	changes: func(attr avp) bool {
		if attr.vendor == numberMikrotik {
			return slices.Contains([]byte{1, 2, 3, 8, 11, 12, 13, 14, 15}, attr.kind)
		}
		return attr.standard(rfc2865.FilterID_Type) || attr.standard(rfc2865.SessionTimeout_Type) || attr.standard(rfc2865.IdleTimeout_Type)
	},
}
