package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// standardDialect speaks RFC 2865 with the WISPr rates, in bit/s of 32 bits. The wall is a filter that the access
// server knows by name, with the portal's address in WISPr-Redirection-URL; the filter must hold IPv6 too. An attribute
// cannot be withdrawn by CoA (RFC 5176 has no empty value), so a session leaves the garden by being given another filter,
// Garden.OpenFilter; where none is configured it is disconnected and dials again.
func standardDialect(g Garden, o Options) (*Dialect, error) {
	accept := func(s Service) *saying {
		say := &saying{}
		r := rates(say, s, g)
		say.number("WISPr-Bandwidth-Max-Up", r.UpBps, otherDialect)
		say.number("WISPr-Bandwidth-Max-Down", r.DownBps, otherDialect)
		if s.Outcome == contracts.OutcomeWalled {
			say.filter(g)
			if g.RedirectURL != "" {
				say.text("WISPr-Redirection-URL", g.RedirectURL)
			}
		}
		return say
	}
	return &Dialect{
		Name:    "standard",
		Title:   "RFC 2865 + WISPr",
		CoAPort: 3799,
		Can:     Abilities{Rates: true, Wall: opens(g)},
		Accept:  func(s Service) (radius.Attributes, error) { return accept(s).done() },
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			return accept(want).leave(have, want, g)
		},
	}, o.only()
}

// otherDialect is what to do about a rate that an attribute cannot hold, where profiles have no names.
const otherDialect = "these devices need a dialect whose rates are text, 64 bits or names of profiles"

// filter says the garden's filter, where it has one.
func (s *saying) filter(g Garden) {
	if g.Filter != "" {
		s.text("Filter-Id", g.Filter)
	}
}

// opens reports whether a CoA can take a session out of the garden's filter.
func opens(g Garden) bool { return g.Filter == "" || g.OpenFilter != "" }

// leave finishes a change in one CoA-Request: a session that may be walled and is to be so no longer is given the open
// filter in place of the garden's.
func (s *saying) leave(have, want Service, g Garden) ([]radius.Attributes, bool, error) {
	if leaves(have, want) && g.Filter != "" && g.OpenFilter != "" {
		s.text("Filter-Id", g.OpenFilter)
	}
	return s.inOne()
}

// leaves reports whether a session that may be in the walled garden is to be outside of it.
func leaves(have, want Service) bool {
	return want.Outcome != contracts.OutcomeWalled && have.Outcome != contracts.OutcomeFull && have.Outcome != contracts.OutcomeReduced
}
