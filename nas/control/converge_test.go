package control_test

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// Whatever is wished for, lost, refused or repeated: when the network works again, it has what was wished last.
func TestItConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dialect := rapid.SampledFrom([]string{"mikrotik", "accel-ppp", "standard"}).Draw(rt, "dialect")
		w := newWorld(t, dialect, func(_ *world, c *control.Config, _ *nastest.Config, _ *nas.Device) {
			c.Retry = []time.Duration{3 * time.Millisecond, 6 * time.Millisecond}
			c.Evidence, c.Backoff = 10*time.Millisecond, time.Millisecond
		})
		defer w.stop()
		var sessions []*nastest.Session
		for _, login := range []string{"ana", "bia", "caio"} {
			sessions = append(sessions, w.login(login, full))
		}
		services := []nas.Service{full, reduced, walled, faster}
		quirks := []nastest.Quirks{{}, {Deaf: true}, {RefuseCoA: 401}, {RefuseCoA: 503}, {KeepSession: true}, {RefuseDisconnect: 504}, {AnswerTwice: true},
			{RefuseCoA: 402}, {RefuseCoA: 404}, {RefuseCoA: 407}, {RefuseCoA: 506}, {RefuseDisconnect: 506}}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			s := rapid.SampledFrom(sessions).Draw(rt, "session")
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0, 1, 2:
				w.give(s.Login(), rapid.SampledFrom(services).Draw(rt, "service"))
			case 3:
				w.nas.SetQuirks(rapid.SampledFrom(quirks).Draw(rt, "quirks"))
			case 4:
				_ = s.Interim(context.Background()) // fails where it is off line
			case 5:
				time.Sleep(time.Duration(rapid.IntRange(0, 4000).Draw(rt, "pause")) * time.Microsecond)
			}
		}
		w.nas.SetQuirks(nastest.Quirks{})
		for _, s := range sessions {
			want, _ := w.service(s.Login(), w.clock())
			w.eventually(func() bool {
				_ = s.Interim(context.Background())
				return hasNow(s, want)
			}, func() string { return s.Login() + " should have " + want.String() + "\n" + w.story(s.Login()) })
		}
		w.eventually(func() bool { return w.metric("enlace_nas_differences", nil) == 0 }, func() string { return "differences are left" })
		for _, s := range sessions {
			oneAtATime(rt, w.recorded(s.Login()))
		}
	})
}

// oneAtATime holds that no session had two commands under way: every record but a session's last is answered.
func oneAtATime(t *rapid.T, records []nas.CommandRecord) {
	last := map[nas.SessionKey]nas.CommandRecord{}
	for _, r := range records {
		if before, ok := last[r.Session]; ok && before.Answer == nas.Unanswered {
			t.Fatalf("%+v was requested while %+v was under way", r, before)
		}
		last[r.Session] = r
	}
}
