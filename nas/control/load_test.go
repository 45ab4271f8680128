package control_test

import (
	"fmt"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// What is to be done at a device is counted as it is: held back, under way, given up, done.
func TestLoads(t *testing.T) {
	const n = 5
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		c.Retry, c.Backoff = []time.Duration{30 * time.Millisecond}, time.Hour
	})
	expect := func(want nas.DeviceLoad) {
		t.Helper()
		want.Device = deviceID
		now := func() (l nas.DeviceLoad) {
			for _, l := range w.rec.Loads() {
				return l
			}
			return l
		}
		w.eventually(func() bool { return now() == want }, func() string { return fmt.Sprintf("it is %+v, want %+v", now(), want) })
	}
	payer := w.login("payer", walled)
	crowd := w.crowd(n, full)
	expect(nas.DeviceLoad{})
	w.rec.SetPauses([]nas.Pause{{Device: deviceID}})
	for _, s := range crowd {
		w.give(s.Login(), reduced)
	}
	expect(nas.DeviceLoad{Differences: n, Waiting: n, Paused: true})
	w.nas.SetQuirks(nastest.Quirks{Deaf: true})
	w.rec.SetPauses(nil)
	expect(nas.DeviceLoad{Differences: n, GivenUp: n})
	w.give("payer", full)
	expect(nas.DeviceLoad{Differences: n + 1, GivenUp: n + 1})
	w.nas.SetQuirks(nastest.Quirks{})
	for _, s := range crowd {
		w.give(s.Login(), walled)
		w.has(s, walled)
	}
	_ = payer.Stop(t.Context(), 1)
	expect(nas.DeviceLoad{})
}
