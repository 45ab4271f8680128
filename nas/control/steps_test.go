package control_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// A device whose answer comes after the command was given up has obeyed it: that is recorded, and no other command follows.
func TestADeviceThatAnswersTooLate(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		c.Retry = []time.Duration{20 * time.Millisecond}
	})
	r := newRelay(t, w.nas.CoAAddr(), func(toNAS bool, _ []byte) int {
		if !toNAS {
			time.Sleep(150 * time.Millisecond)
		}
		return 1
	})
	w.edit(func(d *nas.Device) { d.CoA, d.CommandsPerSecond = r.addr(), 1 }) // so that what would follow has to wait
	s := w.login("ana", full)
	w.give("ana", reduced)
	w.recordedAs("ana", "coa timeout")
	w.recordedAs("ana", "coa ack")
	if got := w.recorded("ana")[0]; !strings.HasSuffix(got.Reason, "; answered after it was given up") || got.Attempts != 1 {
		t.Errorf("%+v", got)
	}
	w.has(s, reduced)
	w.eventually(func() bool {
		return w.appliedTo(w.key(s)) == reduced.Digest() && w.metric("enlace_nas_differences", nil) == 0
	},
		func() string { return w.story("ana") })
	if n := w.metric("enlace_nas_commands_total", map[string]string{"result": "late"}); n != 1 {
		t.Errorf("counted %v times", n)
	}
	w.interim(s)
	w.recordedAs("ana", "coa ack interim")
}

// Of a change in several packets, the second of which is refused, it is not known what the session has: that is stored, and
// mended by what the cause asks for.
func TestAChangeThatIsHalfDone(t *testing.T) {
	for _, c := range []struct {
		cause uint32
		then  []string
	}{
		{401, []string{"coa nak 401", "disconnect ack stop"}},
		{506, []string{"coa nak 506", "disconnect ack stop"}}, // from a service that is not known the dialect has no other way
	} {
		var refusing atomic.Bool
		var mu sync.Mutex
		var stored []nas.Digest
		w := newWorld(t, "juniper", func(w *world, cc *control.Config, _ *nastest.Config, _ *nas.Device) {
			cc.Backoff = 20 * time.Millisecond
			set := cc.SetApplied
			cc.SetApplied = func(key nas.SessionKey, d nas.Digest) {
				mu.Lock()
				stored = append(stored, d)
				mu.Unlock()
				set(key, d)
			}
		})
		packets := 0
		r := newRelay(t, w.nas.CoAAddr(), func(toNAS bool, _ []byte) int {
			if toNAS && refusing.Load() {
				if packets++; packets == 2 {
					w.nas.SetQuirks(nastest.Quirks{RefuseCoA: c.cause})
				} else {
					w.nas.SetQuirks(nastest.Quirks{})
				}
			}
			return 1
		})
		w.edit(func(d *nas.Device) { d.CoA = r.addr() })
		s := w.login("ana", full)
		refusing.Store(true)
		w.give("ana", reduced)
		w.eventually(func() bool { return strings.Join(w.lines("ana"), ", ") == strings.Join(c.then, ", ") }, func() string { return w.story("ana") })
		w.has(s, reduced)
		if n := w.recorded("ana")[0].Attempts; n != 2 {
			t.Errorf("%d packets were sent", n)
		}
		mu.Lock()
		if len(stored) == 0 || stored[0] != 0 {
			t.Errorf("stored as applied: %x", stored)
		}
		mu.Unlock()
		w.stop()
	}
}
