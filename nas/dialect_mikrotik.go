package nas

import (
	"strconv"

	"layeh.com/radius"

	"enlace/contracts"
)

// mikrotikDialect speaks to RouterOS: Mikrotik-Rate-Limit from the router's point of view, so upload first, and an
// address list as the wall. RouterOS changes the rate limit by CoA but not the address list, so into and out of the
// garden the session is disconnected and dials again. An address list holds the session's IPv4 address only.
func mikrotikDialect(g Garden, o Options) (*Dialect, error) {
	accept := func(s Service) *saying {
		say := &saying{}
		r := rates(say, s, g)
		say.text("Mikrotik-Rate-Limit", mikrotikRate(r))
		return say
	}
	return &Dialect{
		Name:     "mikrotik",
		Title:    "MikroTik RouterOS",
		CoAPort:  3799,
		Can:      Abilities{Rates: true, Wall: g.AddressList == ""},
		OpenIPv6: g.AddressList != "",
		Accept: func(s Service) (radius.Attributes, error) {
			say := accept(s)
			if s.Outcome == contracts.OutcomeWalled && g.AddressList != "" {
				say.text("Mikrotik-Address-List", g.AddressList)
			}
			return say.done()
		},
		Change: func(_, want Service) ([]radius.Attributes, bool, error) { return accept(want).inOne() },
	}, o.only()
}

// mikrotikRate is "up/down", such as "250M/500M". Only k and M are written: other readers of this attribute take G for
// something else.
func mikrotikRate(p contracts.Profile) string {
	return mikrotikNumber(p.UpBps) + "/" + mikrotikNumber(p.DownBps)
}

func mikrotikNumber(bps uint64) string {
	switch {
	case bps%1e6 == 0:
		return strconv.FormatUint(bps/1e6, 10) + "M"
	case bps%1e3 == 0:
		return strconv.FormatUint(bps/1e3, 10) + "k"
	}
	return strconv.FormatUint(bps, 10)
}
