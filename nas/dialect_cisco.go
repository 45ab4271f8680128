package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// ciscoDialect speaks to Cisco IOS XE as a PPP access server: rates are policy maps of the router, by name
// (Options.UpProfile and DownProfile), which CoA changes. The wall is an access list of the router (Filter-Id, with .in
// for what comes from the subscriber), which holds IPv4 only; whether CoA changes it is not known, so into and out of
// the garden the session is disconnected. CoA is listened for on port 1700.
func ciscoDialect(g Garden, o Options) (*Dialect, error) {
	policies, err := ciscoPolicies("ip", o)
	if err != nil {
		return nil, err
	}
	accept := func(s Service) *saying {
		say := &saying{}
		s.Profile = rates(say, s, g)
		policies(say, s)
		return say
	}
	return &Dialect{
		Name:     "cisco",
		Title:    "Cisco IOS XE (PPP)",
		CoAPort:  1700,
		Can:      Abilities{Rates: true},
		OpenIPv6: true,
		Accept: func(s Service) (radius.Attributes, error) {
			say := accept(s)
			if s.Outcome == contracts.OutcomeWalled && g.Filter != "" {
				say.text("Filter-Id", g.Filter+".in")
			}
			return say.done()
		},
		Change:   func(_, want Service) ([]radius.Attributes, bool, error) { return accept(want).inOne() },
		Identify: identifyByID,
	}, o.only("up_profile", "down_profile")
}

// ciscoPolicies says the policy maps of a service in attribute-value pairs of a protocol: in is what comes from the
// subscriber.
func ciscoPolicies(protocol string, o Options) (func(*saying, Service), error) {
	up, err := o.template("up_profile", o.UpProfile, "enlace-up-{up_kbps}k")
	if err != nil {
		return nil, err
	}
	down, err := o.template("down_profile", o.DownProfile, "enlace-down-{down_kbps}k")
	if err != nil {
		return nil, err
	}
	return func(say *saying, s Service) {
		say.rendered("Cisco-AVPair", up, s, func(name string) string { return protocol + ":sub-qos-policy-in=" + name })
		say.rendered("Cisco-AVPair", down, s, func(name string) string { return protocol + ":sub-qos-policy-out=" + name })
	}, nil
}
