package control_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// TestProbe asks for a session that lives and for one that the device does not have, and takes silence and refusals for
// nothing.
func TestProbe(t *testing.T) {
	var mu sync.Mutex
	var gone []string
	w := newWorld(t, "mikrotik", func(w *world, c *control.Config, _ *nastest.Config, _ *nas.Device) {
		c.Retry = []time.Duration{20 * time.Millisecond, 40 * time.Millisecond}
		c.Gone = func(key nas.SessionKey, start time.Time) {
			mu.Lock()
			gone = append(gone, key.ID)
			mu.Unlock()
			if !start.Equal(begin) {
				t.Errorf("%s began at %s", key.ID, start)
			}
			w.rec.SessionGone(key, 0)
		}
	})
	s := w.login("ana", full)
	ghost := nas.Session{Key: nas.SessionKey{Device: deviceID, ID: "ghost"}, Login: "ana", StartedAt: begin, Applied: full.Digest()}
	w.rec.SessionSeen(ghost, nas.Report{})
	probe := func(key nas.SessionKey) {
		t.Helper()
		if err := w.rec.Probe(key, "another login"); err != nil {
			t.Fatal(err)
		}
	}
	probe(w.key(s))
	w.recordedAs("ana", "coa ack")
	probe(ghost.Key)
	w.eventually(func() bool { mu.Lock(); defer mu.Unlock(); return len(gone) == 1 && gone[0] == "ghost" },
		func() string { return w.story("ana") })
	if err := w.rec.Probe(ghost.Key, "again"); err == nil {
		t.Error("a session that is gone was asked for")
	}
	for i, q := range []nastest.Quirks{{Deaf: true}, {RefuseCoA: 506}} {
		w.nas.SetQuirks(q)
		probe(w.key(s))
		w.eventually(func() bool {
			n := 0
			for _, r := range w.recorded("ana") {
				if r.Answer == nas.TimedOut || r.ErrorCause == 506 {
					n++
				}
			}
			return n == i+1
		}, func() string { return w.story("ana") })
	}
	w.nas.SetQuirks(nastest.Quirks{})
	probe(w.key(s))
	w.eventually(func() bool { return w.nas.Stats().Acks == 2 }, func() string { return fmt.Sprint(w.nas.Stats()) + w.story("ana") })
	for _, r := range w.recorded("ana") {
		if r.Method == nas.Disconnect {
			t.Errorf("a probe became %+v", r)
		}
	}
	if !s.Online() || len(gone) != 1 {
		t.Errorf("online %v, gone %v", s.Online(), gone)
	}
}
