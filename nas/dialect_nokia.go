package nas

import (
	"fmt"

	"layeh.com/radius"

	"enlace/contracts"
)

// nokiaDialect speaks to Nokia SR OS: Alc-Subscriber-QoS-Override with the rate of an ingress queue, whose number is the
// operator's (Options.Queue), and the aggregate rate of the egress, in kbit/s; or subscriber and SLA profiles by name
// (Options.SubscriberProfile and SLAProfile), if these tell plans apart. An override of a queue that the QoS policy does not have is kept and not
// applied.
//
// The wall is an SLA profile (Garden.Filter), whose filters must hold IPv6 too, and a session leaves by being given its
// own again: the plan's, or Garden.OpenFilter. With Options.FilterV4 the wall is filters by number instead, which leaving
// takes away.
//
// SR OS passes over attributes it does not know, and refuses keys that conflict, so a command names the session by
// Acct-Session-Id alone.
func nokiaDialect(g Garden, o Options) (*Dialect, error) {
	subscriber, err := o.template("subscriber_profile", o.SubscriberProfile, "")
	if err != nil {
		return nil, err
	}
	sla, err := o.template("sla_profile", o.SLAProfile, "")
	if err != nil {
		return nil, err
	}
	queue := o.Queue
	if queue == 0 {
		queue = 1
	}
	switch {
	case queue < 1 || queue > 32:
		return nil, contracts.Invalidf("queue", "an ingress queue is 1 to 32")
	case o.FilterV4 < 0 || o.FilterV4 > 65535 || o.FilterV6 < 0 || o.FilterV6 > 65535:
		return nil, contracts.Invalidf("filter_v4", "a filter is 1 to 65535")
	case o.FilterV6 != 0 && o.FilterV4 == 0:
		return nil, contracts.Invalidf("filter_v4", "filter_v6 goes with a filter_v4")
	}
	filters := func(v4, v6 int) string {
		if o.FilterV6 == 0 {
			return fmt.Sprintf("Ingr-v4:%d", v4)
		}
		return fmt.Sprintf("Ingr-v4:%d,Ingr-v6:%d", v4, v6)
	}
	accept := func(s Service) *saying {
		say := &saying{}
		s.Profile = rates(say, s, g)
		wall := s.Outcome == contracts.OutcomeWalled && o.FilterV4 == 0 && g.Filter != ""
		if !subscriber.IsZero() {
			say.rendered("Alc-Subsc-Prof-Str", subscriber, s, nil)
		}
		switch {
		case wall:
			say.text("Alc-SLA-Prof-Str", g.Filter)
		case !sla.IsZero():
			say.rendered("Alc-SLA-Prof-Str", sla, s, nil)
		}
		if !subscriber.varies() && !sla.varies() {
			say.text("Alc-Subscriber-QoS-Override", fmt.Sprintf("i:q:%d:pir=%d", queue, kbit(s.Profile.UpBps)))
			say.text("Alc-Subscriber-QoS-Override", fmt.Sprintf("e:r:rate=%d", kbit(s.Profile.DownBps)))
		}
		if s.Outcome == contracts.OutcomeWalled && o.FilterV4 != 0 {
			say.text("Alc-Subscriber-Filter", filters(o.FilterV4, o.FilterV6))
		}
		return say
	}
	return &Dialect{
		Name:     "nokia",
		Title:    "Nokia SR OS",
		CoAPort:  3799,
		Can:      Abilities{Rates: true, Wall: o.FilterV4 != 0 || !sla.IsZero() || opens(g)},
		OpenIPv6: o.FilterV4 != 0 && o.FilterV6 == 0,
		Accept:   func(s Service) (radius.Attributes, error) { return accept(s).done() },
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			say := accept(want)
			switch {
			case !leaves(have, want):
			case o.FilterV4 != 0:
				say.text("Alc-Subscriber-Filter", filters(-2, -2)) // the SLA profile's own again
			case g.Filter != "" && sla.IsZero() && g.OpenFilter != "":
				say.text("Alc-SLA-Prof-Str", g.OpenFilter)
			}
			return say.inOne()
		},
		Identify: identifyByID,
	}, o.only("subscriber_profile", "sla_profile", "queue", "filter_v4", "filter_v6")
}
