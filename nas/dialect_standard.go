package nas

import (
	"math"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/vendors/wispr"

	"enlace/contracts"
)

// standardDialect speaks RFC 2865 with the WISPr rates, in bit/s of 32 bits. The wall is a filter that the access
// server knows by name, with the portal's address in WISPr-Redirection-URL. An attribute cannot be withdrawn by CoA
// (RFC 5176 has no empty value), so a session leaves the garden by being given another filter, Garden.OpenFilter; where
// none is configured it is disconnected and dials again.
func standardDialect(g Garden) *Dialect {
	return &Dialect{
		Name:    "standard",
		Title:   "RFC 2865 + WISPr",
		CoAPort: 3799,
		Can:     Abilities{Rates: true, Wall: g.Filter == "" || g.OpenFilter != ""},
		Accept: func(s Service) (radius.Attributes, error) {
			p := &radius.Packet{}
			if err := addStandardRates(p, s, g); err != nil {
				return nil, err
			}
			if s.Outcome == contracts.OutcomeWalled {
				if err := addStandardWall(p, g); err != nil {
					return nil, err
				}
			}
			return p.Attributes, nil
		},
		Change: func(have contracts.Outcome, want Service) ([]radius.Attributes, bool, error) {
			p := &radius.Packet{}
			if err := addStandardRates(p, want, g); err != nil {
				return nil, false, err
			}
			switch {
			case want.Outcome == contracts.OutcomeWalled:
				return inOne(p, addStandardWall(p, g))
			case have == contracts.OutcomeFull || have == contracts.OutcomeReduced:
				return inOne(p, nil)
			case g.OpenFilter != "":
				return inOne(p, rfc2865.FilterID_AddString(p, g.OpenFilter))
			case have == contracts.OutcomeWalled && g.Filter != "":
				return nil, false, nil
			}
			return inOne(p, nil)
		},
	}
}

func addStandardRates(p *radius.Packet, s Service, g Garden) error {
	r, err := rates(s, g)
	if err != nil {
		return err
	}
	if r.DownBps > math.MaxUint32 || r.UpBps > math.MaxUint32 {
		return contracts.Invalidf("rate", "%s/%s does not fit WISPr-Bandwidth-Max, which ends at 4294967295 bit/s", Rate(r.DownBps), Rate(r.UpBps))
	}
	if err := wispr.WISPrBandwidthMaxUp_Add(p, wispr.WISPrBandwidthMaxUp(r.UpBps)); err != nil {
		return err
	}
	return wispr.WISPrBandwidthMaxDown_Add(p, wispr.WISPrBandwidthMaxDown(r.DownBps))
}

func addStandardWall(p *radius.Packet, g Garden) error {
	if g.Filter != "" {
		if err := rfc2865.FilterID_AddString(p, g.Filter); err != nil {
			return err
		}
	}
	if g.RedirectURL != "" {
		return wispr.WISPrRedirectionURL_AddString(p, g.RedirectURL)
	}
	return nil
}
