package nastest

import (
	"fmt"
	"testing"

	"layeh.com/radius"
	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
)

// configure has the access server know the names that the dialects' defaults give to rates.
func configure(n *NAS, p contracts.Profile) {
	up, down := (p.UpBps+999)/1000, (p.DownBps+999)/1000
	n.SetPolicy(fmt.Sprintf("enlace-up-%dk", up), Policy{Rates: contracts.Profile{UpBps: up * 1000}})
	n.SetPolicy(fmt.Sprintf("enlace-down-%dk", down), Policy{Rates: contracts.Profile{DownBps: down * 1000}})
	n.SetPolicy(fmt.Sprintf("enlace-%dk-%dk", down, up), Policy{Rates: contracts.Profile{UpBps: up * 1000, DownBps: down * 1000}})
}

// TestDialectsAreUnderstood: what a dialect says at login, an access server of that vendor takes for the rates and the
// wall meant; and wherever a CoA leads, a login would have led.
func TestDialectsAreUnderstood(t *testing.T) {
	garden := nas.DefaultGarden()
	for _, d := range nas.NewDialects(garden).All() {
		t.Run(d.Name, func(t *testing.T) {
			v, err := vendorByName(d.Name)
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) {
				n := &NAS{cfg: Config{Garden: garden}, vendor: v, policies: map[string]Policy{
					garden.Filter: {Rates: garden.Profile, Walled: true}, garden.OpenFilter: {}}}
				draw := func(label string) nas.Service {
					s := nas.Service{Outcome: rapid.SampledFrom([]contracts.Outcome{contracts.OutcomeFull, contracts.OutcomeReduced, contracts.OutcomeWalled}).Draw(t, label)}
					s.Profile = garden.Profile
					if s.Outcome != contracts.OutcomeWalled {
						kbit := rapid.Uint64Range(64, 4_000_000)
						s.Profile = contracts.Profile{DownBps: kbit.Draw(t, label+" down") * 1000, UpBps: kbit.Draw(t, label+" up") * 1000}
					}
					configure(n, s.Profile)
					return s
				}
				have, want := draw("have"), draw("want")
				login := func(s nas.Service) applied {
					attrs, err := d.Accept(s)
					if err != nil {
						t.Fatalf("%s: %v", s, err)
					}
					a, err := n.accept(&radius.Packet{Attributes: attrs})
					if err != nil {
						t.Fatalf("%s is not taken: %v", s, err)
					}
					return a
				}
				is := func(a applied, s nas.Service, how string) {
					if a.rates.DownBps != s.Profile.DownBps || a.rates.UpBps != s.Profile.UpBps || n.isWalled(&a) != (s.Outcome == contracts.OutcomeWalled) {
						t.Fatalf("%s by %s is %+v, walled %v", s, how, a, n.isWalled(&a))
					}
				}
				a := login(have)
				is(a, have, "login")
				is(login(want), want, "login")
				steps, ok, err := d.Change(have, want)
				if err != nil {
					t.Fatalf("from %s to %s: %v", have, want, err)
				}
				if !ok {
					return
				}
				for _, step := range steps {
					if cause, offline := n.change(&a, &radius.Packet{Attributes: step}, Quirks{}); cause != 0 || offline {
						t.Fatalf("from %s to %s: Error-Cause %d, off line %v", have, want, cause, offline)
					}
				}
				is(a, want, "CoA from "+have.String())
			})
		})
	}
}
