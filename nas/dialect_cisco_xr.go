package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// ciscoXRDialect speaks to Cisco IOS XR (ASR 9000) as a broadband gateway: rates are policy maps of the router, by name,
// and the wall is an access list of IPv4 and one of IPv6, both named Garden.Filter. A CoA-Request that says account-update
// changes them; a session leaves the garden by being given the lists Garden.OpenFilter. The router's services
// (subscriber:sa and sd) are not used.
func ciscoXRDialect(g Garden, o Options) (*Dialect, error) {
	policies, err := ciscoPolicies("subscriber", o)
	if err != nil {
		return nil, err
	}
	lists := func(say *saying, name string) {
		say.text("Cisco-AVPair", "subscriber:inacl="+name)
		say.text("Cisco-AVPair", "subscriber:ipv6_inacl="+name)
	}
	accept := func(say *saying, s Service) {
		s.Profile = rates(say, s, g)
		policies(say, s)
		if s.Outcome == contracts.OutcomeWalled && g.Filter != "" {
			lists(say, g.Filter)
		}
	}
	return &Dialect{
		Name:    "cisco-xr",
		Title:   "Cisco IOS XR (ASR 9000)",
		CoAPort: 1700,
		Can:     Abilities{Rates: true, Wall: opens(g)},
		Accept: func(s Service) (radius.Attributes, error) {
			say := &saying{}
			accept(say, s)
			return say.done()
		},
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			say := &saying{}
			say.text("Cisco-AVPair", "subscriber:command=account-update")
			accept(say, want)
			if leaves(have, want) && g.Filter != "" && g.OpenFilter != "" {
				lists(say, g.OpenFilter)
			}
			return say.inOne()
		},
		Identify: identifyByID,
	}, o.only("up_profile", "down_profile")
}
