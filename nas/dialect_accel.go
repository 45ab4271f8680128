package nas

import (
	"strconv"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"enlace/contracts"
)

// accelDialect speaks to accel-ppp and VyOS: the shaper reads Filter-Id as "down/up" in kbit/s. A PPPoE session is
// walled by a low rate, and by a pool of its own where one is configured; an address does not change by CoA, so with a
// pool the session is disconnected and dials again.
func accelDialect(g Garden) *Dialect {
	return &Dialect{
		Name:    "accel-ppp",
		Title:   "accel-ppp, VyOS",
		CoAPort: 3799,
		Can:     Abilities{Rates: true, Wall: g.Pool == ""},
		Accept: func(s Service) (radius.Attributes, error) {
			r, err := rates(s, g)
			if err != nil {
				return nil, err
			}
			p := &radius.Packet{}
			if err := rfc2865.FilterID_AddString(p, accelRate(r)); err != nil {
				return nil, err
			}
			if s.Outcome == contracts.OutcomeWalled && g.Pool != "" {
				if err := rfc2869.FramedPool_AddString(p, g.Pool); err != nil {
					return nil, err
				}
			}
			return p.Attributes, nil
		},
		Change: func(have contracts.Outcome, want Service) ([]radius.Attributes, bool, error) {
			const walled = contracts.OutcomeWalled
			if g.Pool != "" && (have == walled) != (want.Outcome == walled) {
				return nil, false, nil
			}
			r, err := rates(want, g)
			if err != nil {
				return nil, false, err
			}
			p := &radius.Packet{}
			return inOne(p, rfc2865.FilterID_AddString(p, accelRate(r)))
		},
	}
}

// accelRate is "down/up" in kbit/s, rounded up.
func accelRate(p contracts.Profile) string {
	kbit := func(bps uint64) string { return strconv.FormatUint((bps+999)/1000, 10) }
	return kbit(p.DownBps) + "/" + kbit(p.UpBps)
}
