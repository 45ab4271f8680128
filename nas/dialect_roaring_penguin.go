package nas

import (
	"layeh.com/radius"

	"enlace/contracts"
)

// roaringPenguinDialect speaks to the attributes of Roaring Penguin's PPPoE server, which pppd's scripts read: rates in
// kbit/s. The wall is a filter by name, and a pool where one is configured; pppd takes no CoA, so every change is a
// Disconnect, and a session in the garden gets no IPv6.
func roaringPenguinDialect(g Garden, o Options) (*Dialect, error) {
	accept := func(s Service) *saying {
		say := &saying{}
		r := rates(say, s, g)
		say.number("RP-Upstream-Speed-Limit", kbit(r.UpBps), otherDialect)
		say.number("RP-Downstream-Speed-Limit", kbit(r.DownBps), otherDialect)
		if s.Outcome == contracts.OutcomeWalled {
			say.filter(g)
			if g.Pool != "" {
				say.text("Framed-Pool", g.Pool)
			}
		}
		return say
	}
	return &Dialect{
		Name:     "roaring-penguin",
		Title:    "Roaring Penguin, pppd",
		CoAPort:  3799,
		says:     Abilities{Rates: true, Wall: g.Pool == "" && opens(g)},
		OpenIPv6: true,
		Accept:   func(s Service) (radius.Attributes, error) { return accept(s).done() },
		Change: func(have, want Service) ([]radius.Attributes, bool, error) {
			return accept(want).leave(have, want, g)
		},
	}, o.only()
}
