package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// pfSenseDialect speaks to the captive portal of pfSense: rates in numbers of 32 bits, in bit/s unless Options.Unit says
// otherwise, and the portal's address in WISPr-Redirection-URL. It takes no CoA, so a change is a Disconnect, and where
// nobody listens for that either it comes with the session's end: give such devices no CoA address, and a Session-Timeout
// ends what is walled. The wall is a low rate, and IPv6 is not given in it.
func pfSenseDialect(g Garden, o Options) (*Dialect, error) {
	unit, err := o.perUnit()
	if err != nil {
		return nil, err
	}
	accept := func(s Service) *saying {
		say := &saying{}
		r := rates(say, s, g)
		say.number("pfSense-Bandwidth-Max-Up", in(r.UpBps, unit), otherDialect)
		say.number("pfSense-Bandwidth-Max-Down", in(r.DownBps, unit), otherDialect)
		if s.Outcome == contracts.OutcomeWalled && g.RedirectURL != "" {
			say.text("WISPr-Redirection-URL", g.RedirectURL)
		}
		return say
	}
	return &Dialect{
		Name:     "pfsense",
		Title:    "pfSense",
		CoAPort:  3799,
		says:     Abilities{Rates: true},
		OpenIPv6: true,
		Accept:   func(s Service) (radius.Attributes, error) { return accept(s).done() },
		Change:   func(_, want Service) ([]radius.Attributes, bool, error) { return accept(want).inOne() },
	}, o.only("unit")
}
