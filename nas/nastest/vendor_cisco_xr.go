package nastest

import (
	"fmt"
	"strings"
)

// ciscoXRVendor is IOS XR: policies by name as in IOS XE, or services by subscriber:sa and :sd. A CoA-Request says in
// subscriber:command that it updates an account.
var ciscoXRVendor = &vendor{
	name:      "cisco-xr",
	sessionID: func(n uint64) string { return fmt.Sprintf("%08x", n&0xffffffff) },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		if !attr.is(numberCisco, 1) {
			return readCisco(n, a, attr)
		}
		key, value, _ := strings.Cut(attr.text(), "=")
		switch key {
		case "subscriber:command":
			return value == "account-update", nil
		case "subscriber:sa":
			name, _, _ := strings.Cut(value, "(")
			p, ok := n.policy(name)
			if !ok {
				return true, unlisted("dynamic template", name)
			}
			a.activate(service{name, p.Rates})
			return true, nil
		case "subscriber:sd":
			name, _, _ := strings.Cut(value, "(")
			a.deactivate(name)
			return true, nil
		}
		return readCisco(n, a, attr)
	},
	demands: func(attrs []avp) uint32 {
		for _, attr := range attrs {
			if attr.is(numberCisco, 1) && strings.HasPrefix(attr.text(), "subscriber:command=") {
				return 0
			}
		}
		return missingAttribute
	},
}
