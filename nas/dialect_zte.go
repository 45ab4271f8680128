package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// zteDialect speaks to ZTE's access servers: ZTE-Rate-Ctrl-SCR for IPv4 and, apart, for IPv6, in numbers of 32 bits; or
// QoS profiles by name (Options.UpProfile and DownProfile). The unit of the numbers is not verified (Options.Unit), nor
// what these devices change by CoA, nor that their filters hold IPv6: every change is a Disconnect, and a session in the
// garden gets no IPv6.
func zteDialect(g Garden, o Options) (*Dialect, error) {
	unit, err := o.perUnit()
	if err != nil {
		return nil, err
	}
	up, err := o.template("up_profile", o.UpProfile, "")
	if err != nil {
		return nil, err
	}
	down, err := o.template("down_profile", o.DownProfile, "")
	if err != nil {
		return nil, err
	}
	if up.IsZero() != down.IsZero() {
		return nil, contracts.Invalidf("up_profile", "up_profile and down_profile go together")
	}
	accept := func(s Service) *saying {
		say := &saying{}
		s.Profile = rates(say, s, g)
		for _, family := range []string{"", "-v6"} {
			if up.IsZero() {
				say.number("ZTE-Rate-Ctrl-SCR-Up"+family, in(s.Profile.UpBps, unit), profileInstead)
				say.number("ZTE-Rate-Ctrl-SCR-Down"+family, in(s.Profile.DownBps, unit), profileInstead)
				continue
			}
			say.rendered(zteUpProfile[family], up, s, nil)
			say.rendered("ZTE-QoS-Profile-Down"+family, down, s, nil)
		}
		if s.Outcome == contracts.OutcomeWalled {
			say.filter(g)
		}
		return say
	}
	return &Dialect{
		Name:     "zte",
		Title:    "ZTE",
		CoAPort:  3799,
		says:     Abilities{Rates: true, Wall: opens(g)},
		OpenIPv6: true,
		Accept:   func(s Service) (radius.Attributes, error) { return accept(s).done() },
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			return accept(want).leave(have, want, g)
		},
		Identify: identifyByID,
	}, o.only("up_profile", "down_profile", "unit")
}

var zteUpProfile = map[string]string{"": "ZTE-QOS-Profile-Up", "-v6": "ZTE-QoS-Profile-Up-v6"}
