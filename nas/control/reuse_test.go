package control_test

import (
	"sync"
	"testing"
	"time"

	"enlace/nas"
)

// A CoA that restricts is under way when its session ends and the device gives its id to another, whose subscriber has
// paid by then: what the device did to the id is put right, and is not taken for what the newer session has.
func TestACoAUnderWayWhenItsIdIsUsedAgain(t *testing.T) {
	w := newWorld(t, "standard")
	var key nas.SessionKey
	var once sync.Once
	r := newRelay(t, w.nas.CoAAddr(), func(toNAS bool, _ []byte) int {
		if toNAS {
			once.Do(func() {
				w.mu.Lock()
				w.desired["ana"], w.applied[key] = full, full.Digest()
				w.mu.Unlock()
				w.rec.SessionSeen(nas.Session{Key: key, Login: "ana", StartedAt: begin.Add(time.Hour), Applied: full.Digest()}, nas.Report{})
			})
		}
		return 1
	})
	w.edit(func(d *nas.Device) { d.CoA = r.addr() })
	s := w.login("ana", full)
	key = w.key(s)
	w.give("ana", reduced)
	w.recordedAs("ana", "coa ack", "coa ack")
	w.has(s, full)
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := w.applied[key]; got != full.Digest() {
		t.Errorf("stored as applied: outcome %s", got.Outcome())
	}
}
