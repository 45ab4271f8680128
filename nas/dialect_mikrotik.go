package nas

import (
	"strconv"

	"layeh.com/radius"
	"layeh.com/radius/vendors/mikrotik"

	"enlace/contracts"
)

// mikrotikDialect speaks to RouterOS: Mikrotik-Rate-Limit from the router's point of view, so upload first, and an
// address list as the wall. RouterOS changes the rate limit by CoA but not the address list, so into and out of the
// garden the session is disconnected and dials again.
func mikrotikDialect(g Garden) *Dialect {
	return &Dialect{
		Name:     "mikrotik",
		Title:    "MikroTik RouterOS",
		CoAPort:  3799,
		Can:      Abilities{Rates: true, Wall: g.AddressList == ""},
		OpenIPv6: true, // an address list holds the session's IPv4 address only
		Accept: func(s Service) (radius.Attributes, error) {
			r, err := rates(s, g)
			if err != nil {
				return nil, err
			}
			p := &radius.Packet{}
			if err := mikrotik.MikrotikRateLimit_AddString(p, mikrotikRate(r)); err != nil {
				return nil, err
			}
			if s.Outcome == contracts.OutcomeWalled && g.AddressList != "" {
				if err := mikrotik.MikrotikAddressList_AddString(p, g.AddressList); err != nil {
					return nil, err
				}
			}
			return p.Attributes, nil
		},
		Change: func(have contracts.Outcome, want Service) ([]radius.Attributes, bool, error) {
			const walled = contracts.OutcomeWalled
			if g.AddressList != "" && (have == walled) != (want.Outcome == walled) {
				return nil, false, nil
			}
			r, err := rates(want, g)
			if err != nil {
				return nil, false, err
			}
			p := &radius.Packet{}
			return inOne(p, mikrotik.MikrotikRateLimit_AddString(p, mikrotikRate(r)))
		},
	}
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
