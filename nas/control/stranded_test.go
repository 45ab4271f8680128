package control_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// endedByAnother grants every session, with the word of a node that is gone: that it had acknowledged its end.
type endedByAnother struct {
	mu   sync.Mutex
	told map[nas.SessionKey]bool
}

func (c *endedByAnother) Claim(_ context.Context, wanted []nas.Wanted) []nas.Grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	grants := make([]nas.Grant, len(wanted))
	for i, w := range wanted {
		grants[i] = nas.Grant{Serial: 1, Until: time.Now().Add(time.Minute)}
		if !c.told[w.Key] {
			grants[i].Told = &nas.Told{Key: w.Key, StartedAt: w.StartedAt, Ended: true}
		}
	}
	return grants
}

func (c *endedByAnother) Return(r nas.Returned) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Told != nil {
		c.told[r.Key] = true
	}
}

func (c *endedByAnother) Share() float64 { return 1 }

// A node whose Disconnect was acknowledged and not obeyed dies: the one that takes over does not believe it for ever.
func TestASessionThatOutlivesAnEndToldByANodeThatIsGone(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, _ *nas.Device) {
		c.Claims = &endedByAnother{told: map[nas.SessionKey]bool{}}
	})
	s := w.login("ana", reduced)
	w.settled()
	w.give("ana", full)
	w.eventually(func() bool { w.interim(s); return w.appliedTo(w.key(s)) == full.Digest() }, func() string { return w.story("ana") })
}

// Where the path to a device that answers fails for a moment nobody who has service is cut off.
func TestAPathThatFailsForAMomentCutsNobodyOff(t *testing.T) {
	w := newWorld(t, "standard")
	ana, bia, caio := w.login("ana", full), w.login("bia", full), w.login("caio", reduced)
	w.settled()
	w.give("ana", faster)
	w.recordedAs("ana", "coa ack")
	w.nas.SetQuirks(nastest.Quirks{Deaf: true})
	w.give("bia", reduced)
	w.recordedAs("bia", "coa timeout")
	w.nas.SetQuirks(nastest.Quirks{})
	w.recordedAs("bia", "coa timeout", "coa ack")
	w.nas.SetQuirks(nastest.Quirks{Deaf: true})
	w.give("caio", full) // he waits for it
	w.recordedAs("caio", "coa timeout", "disconnect timeout")
	w.nas.SetQuirks(nastest.Quirks{})
	for _, s := range []*nastest.Session{ana, bia} {
		if !s.Online() {
			t.Errorf("%s was cut off", s.Login())
		}
	}
	w.eventually(func() bool { w.interim(caio); return w.appliedTo(w.key(caio)) == full.Digest() }, func() string { return w.story("caio") })
}
