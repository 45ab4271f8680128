package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// ubiquitiDialect speaks to Ubiquiti's access points: rates in numbers of 64 bits, in bit/s unless Options.Unit says
// otherwise. What these devices change by CoA is not verified, nor that a filter holds IPv6: every change is a
// Disconnect, and a session in the garden gets no IPv6.
func ubiquitiDialect(g Garden, o Options) (*Dialect, error) {
	unit, err := o.perUnit()
	if err != nil {
		return nil, err
	}
	accept := func(s Service) *saying {
		say := &saying{}
		r := rates(say, s, g)
		say.number("UBNT-Data-Rate-DL", in(r.DownBps, unit), otherDialect)
		say.number("UBNT-Data-Rate-UL", in(r.UpBps, unit), otherDialect)
		if s.Outcome == contracts.OutcomeWalled {
			say.filter(g)
		}
		return say
	}
	return &Dialect{
		Name:     "ubiquiti",
		Title:    "Ubiquiti",
		CoAPort:  3799,
		says:     Abilities{Rates: true, Wall: opens(g)},
		OpenIPv6: true,
		Accept:   func(s Service) (radius.Attributes, error) { return accept(s).done() },
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			return accept(want).leave(have, want, g)
		},
	}, o.only("unit")
}
