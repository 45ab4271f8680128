package nas

import (
	"strconv"

	"layeh.com/radius"

	"enlace/contracts"
)

// accelDialect speaks to accel-ppp: the shaper reads Filter-Id as "down/up" in kbit/s, or, where it is configured to
// (Options.RateAttribute), Mikrotik-Rate-Limit as "up/down", whose numbers it takes for kbit/s when they have no suffix,
// unlike RouterOS, so they always have one. A PPPoE session is walled by a low rate, which holds for IPv6 too, and by a
// pool of its own where one is configured, which does not; an address does not change by CoA, so with a pool the session
// is disconnected and dials again.
//
// accel-ppp acts on one of Class, Session-Timeout and the VRF in a CoA-Request and passes over the others, so the change
// has none of them.
func accelDialect(g Garden, o Options) (*Dialect, error) {
	mikrotik := o.RateAttribute == "Mikrotik-Rate-Limit"
	if !mikrotik && o.RateAttribute != "" && o.RateAttribute != "Filter-Id" {
		return nil, contracts.Invalidf("rate_attribute", "rate_attribute is Filter-Id or Mikrotik-Rate-Limit, not %q", o.RateAttribute)
	}
	accept := func(s Service) *saying {
		say := &saying{}
		r := rates(say, s, g)
		down, up := strconv.FormatUint(kbit(r.DownBps), 10), strconv.FormatUint(kbit(r.UpBps), 10)
		if mikrotik {
			say.text("Mikrotik-Rate-Limit", up+"k/"+down+"k")
		} else {
			say.text("Filter-Id", down+"/"+up)
		}
		return say
	}
	return &Dialect{
		Name:       "accel-ppp",
		Title:      "accel-ppp",
		CoAPort:    3799,
		Can:        Abilities{Rates: true, Wall: g.Pool == ""},
		OpenIPv6:   g.Pool != "",
		ClassAlone: true,
		Accept: func(s Service) (radius.Attributes, error) {
			say := accept(s)
			if s.Outcome == contracts.OutcomeWalled && g.Pool != "" {
				say.text("Framed-Pool", g.Pool)
			}
			return say.done()
		},
		Change: func(_, want Service) ([]radius.Attributes, bool, error) { return accept(want).inOne() },
	}, o.only("rate_attribute")
}
