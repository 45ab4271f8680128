package nas

import (
	"strings"

	"layeh.com/radius"

	"enlace/contracts"
)

// huaweiDialect speaks to Huawei's ME60, NE40 and NE8000: committed and peak rates in bit/s of 32 bits, Input being what
// comes from the subscriber; or QoS profiles by name (Options.UpProfile and DownProfile), in lower case, as these routers
// keep them. A profile that the router does not know ends the session.
//
// The wall is a user group (Filter-Id), which CoA changes; its policy must hold IPv6 too. A session leaves by being given
// the group Garden.OpenFilter. A router acknowledges a group or a profile it does not know unless it is configured to
// say so (radius-server authorization error-reply version2).
//
// A command names the session by Acct-Session-Id alone.
func huaweiDialect(g Garden, o Options) (*Dialect, error) {
	up, err := o.template("up_profile", o.UpProfile, "")
	if err != nil {
		return nil, err
	}
	down, err := o.template("down_profile", o.DownProfile, "")
	if err != nil {
		return nil, err
	}
	if up.IsZero() && !down.IsZero() {
		return nil, contracts.Invalidf("up_profile", "down_profile goes with an up_profile")
	}
	accept := func(s Service) *saying {
		say := &saying{}
		r := rates(say, s, g)
		if s.Outcome == contracts.OutcomeWalled {
			defer say.filter(g)
		}
		if up.IsZero() {
			for _, name := range []string{"Huawei-Input-Average-Rate", "Huawei-Input-Peak-Rate"} {
				say.number(name, r.UpBps, profileInstead)
			}
			for _, name := range []string{"Huawei-Output-Average-Rate", "Huawei-Output-Peak-Rate"} {
				say.number(name, r.DownBps, profileInstead)
			}
			return say
		}
		s.Profile = r
		say.rendered("Huawei-Qos-Profile-Name", up, s, strings.ToLower)
		if !down.IsZero() {
			say.rendered("Huawei-Down-QOS-Profile-Name", down, s, strings.ToLower)
		}
		return say
	}
	return &Dialect{
		Name:    "huawei",
		Title:   "Huawei ME60, NE40, NE8000",
		CoAPort: 3799,
		Can:     Abilities{Rates: true, Wall: opens(g)},
		Accept:  func(s Service) (radius.Attributes, error) { return accept(s).done() },
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			return accept(want).leave(have, want, g)
		},
		Identify: identifyByID,
	}, o.only("up_profile", "down_profile")
}

// profileInstead is what to do about a rate that an attribute cannot hold, where profiles have names.
const profileInstead = "have the rates said by name, with the dialect's options up_profile and down_profile"

// rendered says a template's text for a service, which change (nil: none) may still alter.
func (s *saying) rendered(name string, t Template, service Service, change func(string) string) {
	text, err := t.Render(service)
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return
	}
	if change != nil {
		text = change(text)
	}
	s.text(name, text)
}
