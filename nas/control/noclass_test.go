package control_test

import (
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// An access server that returns no Class and refuses commands: a session that has what it was given is not told so, nor
// ended for refusing it.
func TestWithoutClassWhatWasGrantedIsWorkedOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		grant nas.Service
		known bool
		cuts  bool
	}{
		{"granted what it should have", full, true, false},
		{"granted something else", reduced, true, true},
		{"not known", full, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "standard", func(_ *world, cc *control.Config, nc *nastest.Config, _ *nas.Device) {
				nc.Quirks = nastest.Quirks{NoClass: true, RefuseCoA: 501}
				cc.Granted = func(login string, start, now time.Time) (nas.Digest, bool) {
					if login != "ana" || now.Before(start) {
						t.Errorf("asked for %s, begun at %s, at %s", login, start, now)
					}
					return c.grant.Digest(), c.known
				}
			})
			s := w.login("ana", full)
			key := w.key(s)
			if c.cuts {
				w.eventually(func() bool { return w.nas.Stats().CoAs > 0 }, func() string { return "nothing was told" })
				return
			}
			w.eventually(func() bool { return w.appliedTo(key) == full.Digest() }, func() string { return "what was granted is not stored" })
			w.interim(s)
			if n := w.nas.Stats(); n.CoAs+n.Disconnects != 0 || w.rec.Differences() != 0 {
				t.Errorf("%d CoAs and %d Disconnects were sent", n.CoAs, n.Disconnects)
			}
			w.give("ana", reduced) // a real change is still made
			w.eventually(func() bool { return w.nas.Stats().CoAs > 0 }, func() string { return "the change was not told" })
		})
	}
}
