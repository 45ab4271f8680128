package control_test

import (
	"fmt"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// counted is a wave's numbers as text.
func counted(c nas.WaveCount) string {
	return fmt.Sprintf("%d: %d done, %d failed, %d in flight, %d waiting", c.Total, c.Done, c.Failed, c.InFlight, c.Waiting)
}

func (w *world) wave() nas.Wave {
	if waves := w.rec.Waves(); len(waves) > 0 {
		return waves[0]
	}
	return nas.Wave{}
}

// A mass change is seen from its beginning to its end, paused and let go on; what restores service is not paused.
func TestAWave(t *testing.T) {
	const n = 40
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		c.WaveOf, d.CommandsPerSecond = n, 20
	})
	payer := w.login("payer", walled)
	crowd := w.crowd(n, full)
	if waves := w.rec.Waves(); len(waves) != 0 {
		t.Fatalf("before it began: %+v", waves)
	}
	w.rec.SetPauses([]nas.Pause{{}}) // so that all differ at once
	for _, s := range crowd[1:] {
		w.give(s.Login(), reduced)
	}
	w.eventually(func() bool { return w.rec.Differences() == n-1 }, func() string { return "they do not differ" })
	if waves := w.rec.Waves(); len(waves) != 0 {
		t.Fatalf("one less is a wave: %+v", waves)
	}
	w.give(crowd[0].Login(), reduced)
	w.eventually(func() bool { return w.wave().Total == n }, func() string { return counted(w.wave().WaveCount) })
	w.rec.SetPauses(nil)
	w.eventually(func() bool { return w.wave().Done >= 2 }, func() string { return counted(w.wave().WaveCount) })
	w.rec.SetPauses([]nas.Pause{{Device: deviceID, Since: begin, Actor: "staff:ana"}})
	w.eventually(func() bool { return w.wave().InFlight == 0 }, func() string { return counted(w.wave().WaveCount) })
	held := w.wave()
	if held.Waiting == 0 || held.Total != held.Done+held.Waiting || !held.Devices[0].Paused || held.Devices[0].Device != deviceID {
		t.Fatalf("paused: %+v", held)
	}
	if least, most := time.Duration(held.Waiting)*time.Second/25, time.Duration(held.Waiting)*time.Second/15; held.ETA.Round(time.Second) < least-time.Second || held.ETA > most+time.Second {
		t.Errorf("%d wait at 20 a second: %s", held.Waiting, held.ETA)
	}
	for name, want := range map[string]int{"waiting": held.Waiting, "done": held.Done, "failed": 0, "in_flight": 0} {
		if got := w.metric("enlace_wave_sessions", map[string]string{"device": "bras", "state": name}); got != float64(want) {
			t.Errorf("the metric of %s is %v, want %d", name, got, want)
		}
	}
	w.give("payer", full)
	w.has(payer, full) // the others wait
	if now := w.wave(); now.Waiting != held.Waiting {
		t.Errorf("while paused %s became %s", counted(held.WaveCount), counted(now.WaveCount))
	}
	if w.metric("enlace_wave_active", nil) != 1 || w.metric("enlace_nas_pauses", nil) != 1 {
		t.Error("the metrics do not say that a wave is paused")
	}
	w.rec.SetPauses(nil)
	for _, s := range crowd {
		w.has(s, reduced)
	}
	w.eventually(func() bool { return !w.wave().Ended.IsZero() }, func() string { return counted(w.wave().WaveCount) })
	over := w.wave()
	if over.Done != over.Total || over.Total < n || over.Total > n+1 || over.ETA != 0 || over.ID != 1 {
		t.Errorf("at the end: %+v", over)
	}
	if w.metric("enlace_wave_settled_total", nil) != float64(over.Total) || w.metric("enlace_wave_ended_total", nil) != 1 || w.metric("enlace_wave_active", nil) != 0 {
		t.Error("the metrics do not say that it has ended")
	}
}

// The sessions that a device does not answer for are failures of the wave, and those that were to be disconnected are done
// once they ended.
func TestAWaveOfFailuresAndEnds(t *testing.T) {
	const n = 10
	w := newWorld(t, "mikrotik", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		c.WaveOf, c.Backoff = n, time.Hour
		c.Retry = []time.Duration{20 * time.Millisecond}
	})
	crowd := w.crowd(n, full)
	w.nas.SetQuirks(nastest.Quirks{Deaf: true})
	w.rec.SetPauses([]nas.Pause{{}}) // so that all differ at once
	for _, s := range crowd {
		w.give(s.Login(), reduced)
	}
	w.eventually(func() bool { return w.wave().Waiting == n }, func() string { return counted(w.wave().WaveCount) })
	w.rec.SetPauses(nil)
	w.eventually(func() bool { return w.wave().Failed == n && !w.wave().Ended.IsZero() }, func() string { return counted(w.wave().WaveCount) })
	w.nas.SetQuirks(nastest.Quirks{})
	w.rec.SetPauses([]nas.Pause{{Device: deviceID}})
	for _, s := range crowd {
		w.give(s.Login(), walled)
	}
	w.eventually(func() bool { return w.wave().ID == 2 && w.wave().Waiting == n }, func() string { return counted(w.wave().WaveCount) })
	w.rec.SetPauses(nil)
	for _, s := range crowd {
		w.has(s, walled)
	}
	w.eventually(func() bool { return w.wave().Done == n && !w.wave().Ended.IsZero() }, func() string { return counted(w.wave().WaveCount) })
	if waves := w.rec.Waves(); len(waves) != 2 || waves[1].ID != 1 || waves[1].Failed != n {
		t.Errorf("%+v", waves)
	}
}

// What changes its mind while the wave goes on is counted once.
func TestAWaveCountsASessionOnce(t *testing.T) {
	const n = 6
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) { c.WaveOf = n })
	crowd := w.crowd(n, full)
	w.rec.SetPauses([]nas.Pause{{}})
	for _, s := range crowd {
		w.give(s.Login(), walled)
	}
	w.eventually(func() bool { return w.wave().Waiting == n }, func() string { return counted(w.wave().WaveCount) })
	w.give(crowd[0].Login(), full)
	w.eventually(func() bool { return w.wave().Done == 1 }, func() string { return counted(w.wave().WaveCount) })
	w.give(crowd[0].Login(), reduced)
	w.eventually(func() bool { return w.wave().Waiting == n && w.wave().Done == 0 }, func() string { return counted(w.wave().WaveCount) })
	w.rec.SessionGone(w.key(crowd[1]), 1)
	if got := counted(w.wave().WaveCount); got != "6: 1 done, 0 failed, 0 in flight, 5 waiting" {
		t.Error(got)
	}
}

// A wave ends though the Stop of a session is never heard of, nor the session again.
func TestAWaveDoesNotWaitForALostStop(t *testing.T) {
	w := newWorld(t, "mikrotik", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		c.WaveOf, c.Evidence = 2, 100*time.Millisecond
	})
	crowd := w.crowd(2, full)
	w.nas.SetQuirks(nastest.Quirks{KeepSession: true}) // as good as a Stop that is lost
	for _, s := range crowd {
		w.give(s.Login(), walled)
	}
	w.eventually(func() bool { return w.wave().Failed == 2 && !w.wave().Ended.IsZero() }, func() string { return counted(w.wave().WaveCount) })
	for _, s := range crowd {
		w.recordedAs(s.Login(), "disconnect ack")
	}
	w.nas.SetQuirks(nastest.Quirks{})
	for _, s := range crowd {
		w.interim(s) // it goes on
		w.has(s, walled)
	}
}
