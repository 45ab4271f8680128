package nastest

import (
	"fmt"
	"slices"

	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

const numberAccel = 55999

// accelVendor is accel-ppp: Filter-Id is "down/up" in kbit/s. It acknowledges whatever it does not know, takes only the
// first of Class, Session-Timeout and Accel-VRF-Name in a packet, does not sign what it answers, says no Event-Timestamp
// and sends a record that was not answered again as a new packet.
var accelVendor = &vendor{
	name:      "accel-ppp",
	sessionID: func(n uint64) string { return fmt.Sprintf("%016x", n*0x9e3779b97f4a7c15) },
	read: func(n *NAS, a *applied, attr avp) (bool, error) {
		var err error
		switch {
		case attr.standard(rfc2865.FilterID_Type):
			a.rates.DownBps, a.rates.UpBps, err = ratePair(attr.text(), 1000)
		case attr.standard(rfc2869.FramedPool_Type):
			a.pool = attr.text()
		default:
			return false, nil
		}
		return true, err
	},
	prepare: func(attrs []avp) []avp {
		dropped := func(avp) bool { return false }
		for _, one := range []func(avp) bool{
			func(attr avp) bool { return attr.standard(rfc2865.Class_Type) },
			func(attr avp) bool { return attr.standard(rfc2865.SessionTimeout_Type) },
			func(attr avp) bool { return attr.is(numberAccel, 1) },
		} {
			attrs = slices.DeleteFunc(slices.Clone(attrs), func(attr avp) bool { return one(attr) && dropped(attr) })
			if slices.ContainsFunc(attrs, one) {
				dropped = func(avp) bool { return true }
			}
		}
		return attrs
	},
	changes:        func(attr avp) bool { return !attr.standard(rfc2869.FramedPool_Type) }, // the address is given at login
	walled:         func(n *NAS, a *applied) bool { return a.rates == n.cfg.Garden.Profile && a.pool == n.cfg.Garden.Pool },
	ignoresUnknown: true,
	unsigned:       true,
	noEventTime:    true,
	newPackets:     true,
}

// vyosVendor is accel-ppp under another name.
var vyosVendor = func() *vendor {
	v := *accelVendor
	v.name = "vyos"
	return &v
}()
