package nastest

import (
	"fmt"
)

const numberRoaringPenguin = 10055

// roaringPenguinVendor is pppoe-server with pppd's radius plugin: rates in kbit/s read once at login. Whatever listens
// for commands beside it can end a session and nothing else. Its session ids have "%" in them.
var roaringPenguinVendor = &vendor{
	name:      "roaring-penguin",
	sessionID: func(n uint64) string { return "%lX" + fmt.Sprintf("%08x", n&0xffffffff) + "%hX" },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		switch {
		case attr.is(numberRoaringPenguin, 1):
			a.rates.UpBps = attr.number() * 1000
		case attr.is(numberRoaringPenguin, 2):
			a.rates.DownBps = attr.number() * 1000
		default:
			return a.readNames(attr), nil
		}
		return true, nil
	},
	noCoA: unsupportedService,
}
