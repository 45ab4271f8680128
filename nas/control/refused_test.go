package control_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// What follows a CoA-Request that is refused, by its Error-Cause.
func TestWhatFollowsARefusal(t *testing.T) {
	for _, c := range []struct {
		cause   uint32
		follows []string
		givenUp float64
		gone    bool
	}{
		{201, []string{"coa nak 201"}, 0, true},
		{202, []string{"coa nak 202"}, 1, false},
		{401, []string{"coa nak 401", "disconnect ack stop"}, 0, false},
		{402, []string{"coa nak 402", "coa nak 402", "disconnect ack stop"}, 0, false},
		{403, []string{"coa nak 403", "coa nak 403"}, 1, false},
		{404, []string{"coa nak 404", "coa nak 404", "disconnect ack stop"}, 0, false},
		{405, []string{"coa nak 405", "disconnect ack stop"}, 0, false},
		{406, []string{"coa nak 406", "disconnect ack stop"}, 0, false},
		{407, []string{"coa nak 407"}, 1, false},
		{501, []string{"coa nak 501", "disconnect ack stop"}, 0, false},
		{503, []string{"coa nak 503"}, 0, true},
		{504, []string{"coa nak 504", "disconnect ack stop"}, 0, false},
		{508, []string{"coa nak 508", "coa nak 508"}, 1, false},
		{999, []string{"coa nak 999", "disconnect ack stop"}, 0, false},
	} {
		var mu sync.Mutex
		gone := false
		w := newWorld(t, "standard", func(_ *world, cc *control.Config, _ *nastest.Config, _ *nas.Device) {
			cc.Backoff = time.Hour
			cc.Gone = func(nas.SessionKey, time.Time) { mu.Lock(); gone = true; mu.Unlock() }
		})
		w.nas.SetQuirks(nastest.Quirks{RefuseCoA: c.cause})
		s := w.login("ana", full)
		w.give("ana", reduced)
		w.recordedAs("ana", c.follows...)
		if c.givenUp == 0 && !c.gone {
			w.has(s, reduced)
		}
		w.eventually(func() bool {
			mu.Lock()
			defer mu.Unlock()
			return gone == c.gone && w.metric("enlace_nas_given_up_total", nil) == c.givenUp
		},
			func() string { return w.story("ana") })
		w.stop()
		if got := w.lines("ana"); !slices.Equal(got, c.follows) {
			t.Errorf("after %d came %q", c.cause, got)
		}
	}
}

// A device that cannot at this moment is told again without being heard of.
func TestARefusalForNowIsRepeated(t *testing.T) {
	for _, cause := range []uint32{502, 505, 506, 507} {
		w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, _ *nas.Device) { c.Backoff = 20 * time.Millisecond })
		w.nas.SetQuirks(nastest.Quirks{RefuseCoA: cause})
		s := w.login("ana", full)
		w.give("ana", reduced)
		w.eventually(func() bool { return len(w.recorded("ana")) >= 2 }, func() string { return w.story("ana") })
		w.nas.SetQuirks(nastest.Quirks{})
		w.has(s, reduced)
		if s.Logins() != 1 {
			t.Errorf("after %d the line was cut\n%s", cause, w.story("ana"))
		}
		w.stop()
	}
}

// The same holds for a Disconnect that a person ordered.
func TestAnOrderThatIsRefusedForNowIsRepeated(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, _ *nas.Device) { c.Backoff = 20 * time.Millisecond })
	w.nas.SetQuirks(nastest.Quirks{RefuseDisconnect: 506})
	s := w.login("ana", full)
	id := s.ID()
	if err := w.rec.Disconnect(w.key(s), "staff:bia", "CPE exchanged"); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() bool { return len(w.recorded("ana")) >= 2 }, func() string { return w.story("ana") })
	w.nas.SetQuirks(nastest.Quirks{})
	w.eventually(func() bool { return s.ID() != id }, func() string { return w.story("ana") })
	for _, r := range w.recorded("ana") {
		if r.Actor != "staff:bia" {
			t.Errorf("%+v", r)
		}
	}
	if n := len(w.recorded("ana")); n > 30 {
		t.Errorf("%d commands without a pause", n)
	}
}

// A wrong NAS-Identifier in the device's settings is found out by 403, once for all of its sessions.
func TestAWrongNASIdentifierIsLeftOut(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, _ *control.Config, _ *nastest.Config, d *nas.Device) { d.NASIdentifier = "another" })
	ana, bia := w.login("ana", full), w.login("bia", full)
	w.give("ana", reduced)
	w.has(ana, reduced)
	w.recordedAs("ana", "coa nak 403", "coa ack")
	if why := w.recorded("ana")[1].Reason; !strings.Contains(why, "without NAS-Identifier") {
		t.Errorf("the reason is %q", why)
	}
	w.give("bia", reduced)
	w.has(bia, reduced)
	w.recordedAs("bia", "coa ack")
	w.edit(func(d *nas.Device) { d.NASIdentifier = "nastest" })
	w.give("bia", full)
	w.has(bia, full)
	commands := w.nas.Commands()
	if id, ok := commands[len(commands)-1].Attributes.Lookup(32); !ok || string(id) != "nastest" {
		t.Errorf("after the settings were mended the NAS-Identifier is %q", id)
	}
}

// A device that denies a session and goes on reporting it knows it under another address than it said: it is named by its id
// alone. Until it is heard of again it is left alone.
func TestASessionThatIsDeniedAndGoesOnIsNamedByItsID(t *testing.T) {
	w := newWorld(t, "standard", func(w *world, c *control.Config, _ *nastest.Config, _ *nas.Device) {
		c.Backoff = 10 * time.Millisecond
		c.Gone = func(key nas.SessionKey, _ time.Time) { w.rec.SessionGone(key, 0) } // as the limit of sessions does
	})
	s := w.login("ana", full)
	key := w.key(s)
	moved := nas.Session{Key: key, Login: "ana@other", StartedAt: begin, Applied: full.Digest()}
	w.rec.SessionGone(key, 0)
	w.rec.SessionSeen(moved, nas.Report{})
	w.mu.Lock()
	w.desired["ana@other"] = reduced
	w.mu.Unlock()
	w.rec.Changed(0, "ana@other")
	w.recordedAs("ana@other", "coa nak 503")
	w.eventually(func() bool { return w.rec.Open() == 0 }, func() string { return "the session is not gone" })
	w.rec.SessionSeen(moved, nas.Report{})
	w.recordedAs("ana@other", "coa nak 503", "coa ack")
	w.has(s, reduced)
}
