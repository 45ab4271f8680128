package control_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

func TestASubscriberThroughEveryOutcome(t *testing.T) {
	for _, c := range []struct {
		dialect       string
		wallByNewDial bool
	}{{"mikrotik", true}, {"accel-ppp", false}, {"standard", false}} {
		t.Run(c.dialect, func(t *testing.T) {
			w := newWorld(t, c.dialect)
			s := w.login("ana", full)
			w.has(s, full)

			w.give("ana", reduced)
			w.has(s, reduced)
			w.recordedAs("ana", "coa ack")
			w.interim(s)
			w.recordedAs("ana", "coa ack interim")
			if s.Logins() != 1 {
				t.Fatalf("the line was cut to be reduced: %d logins", s.Logins())
			}

			w.give("ana", walled)
			w.has(s, walled)
			w.give("ana", full)
			w.has(s, full)
			logins := 1
			if c.wallByNewDial {
				logins = 3
				w.recordedAs("ana", "coa ack interim", "disconnect ack stop", "disconnect ack stop")
			} else {
				w.interim(s)
				w.recordedAs("ana", "coa ack interim", "coa ack", "coa ack interim")
			}
			if s.Logins() != logins {
				t.Errorf("%d logins, want %d", s.Logins(), logins)
			}

			w.give("ana", faster)
			w.has(s, faster)
			w.give("ana", reject)
			w.eventually(func() bool { return !s.Online() && w.nas.Stats().Rejects > 0 }, func() string { return "ana is still online" })
			for name, want := range map[string]float64{
				"enlace_nas_commands_total": 5, "enlace_nas_change_to_ack_seconds": 5,
				"enlace_nas_differences": 0, "enlace_nas_commands_in_flight": 0, "enlace_nas_given_up_total": 0,
			} {
				w.eventually(func() bool { return w.metric(name, nil) == want },
					func() string { return fmt.Sprintf("%s is %v, want %v", name, w.metric(name, nil), want) })
			}
			w.eventually(func() bool { return w.rec.Open() == 0 }, func() string { return "the session is still watched" })
		})
	}
}

func TestNothingIsSentWhereNothingDiffers(t *testing.T) {
	w := newWorld(t, "standard")
	s := w.login("ana", full)
	stranger := w.login("stranger", full)
	w.mu.Lock()
	delete(w.desired, "stranger") // the directory does not know him: no reason to cut his line
	w.mu.Unlock()
	renamed := full
	renamed.Plan = "another name"
	w.give("ana", renamed)
	w.rec.Changed(0, "stranger")
	w.rec.Changed(0, "nobody")
	w.interim(s)
	w.interim(stranger)
	w.rec.Kick()
	w.give("ana", reduced) // by now all before it has been looked at
	w.has(s, reduced)
	if n := len(w.nas.Commands()); n != 1 {
		t.Errorf("%d commands, want the last alone: %+v", n, w.nas.Commands())
	}
}

func TestAServiceThatIsNotKnownIsSaidAgain(t *testing.T) {
	w := newWorld(t, "standard")
	s := w.login("ana", full)
	key := w.key(s)
	w.rec.SessionGone(key, 0) // as after a restart without what was stored
	w.setApplied(key, 0)
	w.interim(s)
	w.recordedAs("ana", "coa ack")
	w.eventually(func() bool { return w.appliedTo(key) == full.Digest() }, func() string { return "what was applied is not stored" })
}

func (w *world) appliedTo(key nas.SessionKey) nas.Digest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applied[key]
}

func TestPaidBetweenAcceptAndStart(t *testing.T) {
	w := newWorld(t, "standard", func(w *world, _ *control.Config, _ *nastest.Config, _ *nas.Device) {
		w.accepting = func(login string) { w.give(login, full) } // no session is known yet
	})
	w.give("ana", walled)
	s, err := w.nas.Login(context.Background(), "ana", "pw-ana", nastest.PAP)
	if err != nil {
		t.Fatal(err)
	}
	w.has(s, full)
}

func TestARefusedCoABecomesADisconnect(t *testing.T) {
	for _, cause := range []uint32{401, 405, 406, 501, 504, 4711} {
		w := newWorld(t, "standard")
		w.nas.SetQuirks(nastest.Quirks{RefuseCoA: cause})
		s := w.login("ana", full)
		w.give("ana", reduced)
		w.has(s, reduced)
		if s.Logins() != 2 {
			t.Errorf("cause %d: %d logins", cause, s.Logins())
		}
		w.eventually(func() bool { return len(w.recorded("ana")) == 2 && w.recorded("ana")[1].Evidence == nas.EvidenceStop },
			func() string { return w.story("ana") })
		if r := w.recorded("ana")[0]; r.Answer != nas.Naked || r.ErrorCause != int(cause) || r.Attempts != 1 {
			t.Errorf("recorded %+v", r)
		}
		w.stop()
	}
}

func TestASessionUnknownToTheDeviceIsLeft(t *testing.T) {
	w := newWorld(t, "accel-ppp", func(_ *world, c *control.Config, _ *nastest.Config, _ *nas.Device) { c.Backoff = time.Hour })
	s := w.login("ana", full)
	ghost := nas.Session{Key: nas.SessionKey{Device: deviceID, ID: "%lX6b02d419%hX"}, Login: "ana", StartedAt: begin, Applied: full.Digest()}
	w.rec.SessionSeen(ghost, nas.Report{})
	w.give("ana", reduced)
	w.has(s, reduced)
	w.eventually(func() bool {
		lines := w.lines("ana")
		return len(lines) == 2 && slices.Contains(lines, "coa nak 503")
	}, func() string { return w.story("ana") })
	w.rec.SessionSeen(ghost, nas.Report{})
	w.rec.Changed(0, "ana")
	w.give("ana", full) // which the ghost has, as far as is known
	w.has(s, full)
	w.eventually(func() bool { return len(w.recorded("ana")) == 3 }, func() string { return w.story("ana") })
	other := ghost
	other.Key.ID = "another"
	w.rec.SessionSeen(other, nas.Report{})
	w.give("ana", reduced)
	w.has(s, reduced)
	w.eventually(func() bool {
		lines := slices.DeleteFunc(w.lines("ana"), func(l string) bool { return l == "coa " })
		return len(lines) == 6
	}, func() string { return w.story("ana") })
	w.give("ana", walled) // neither ghost was heard of since
	w.has(s, walled)
	if n := len(w.nas.Commands()); n != 7 {
		t.Errorf("%d commands\n%s", n, w.story("ana"))
	}
	for _, r := range w.recorded("ana") {
		if r.Session != w.key(s) && (r.Answer != nas.Naked || r.ErrorCause != 503 || r.Method != nas.CoA) {
			t.Errorf("the ghost's command: %+v", r)
		}
	}
}

func TestADeafDeviceIsGivenUpUntilItIsHeardOf(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, _ *nas.Device) {
		c.Retry = []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond}
	})
	w.nas.SetQuirks(nastest.Quirks{Deaf: true})
	s := w.login("ana", full)
	w.give("ana", reduced)
	w.recordedAs("ana", "coa timeout", "disconnect timeout")
	for _, r := range w.recorded("ana") {
		if r.Attempts != 3 || r.SentAt.IsZero() || r.AnsweredAt.IsZero() {
			t.Errorf("recorded %+v", r)
		}
	}
	if n := w.metric("enlace_nas_given_up_total", map[string]string{"device": "bras"}); n != 1 {
		t.Errorf("given up %v times", n)
	}
	if d := w.appliedTo(w.key(s)); d != 0 {
		t.Errorf("after a lost answer %x is said to be applied", uint64(d))
	}
	w.nas.SetQuirks(nastest.Quirks{})
	w.eventually(func() bool { // the pause passes, an interim is heard
		w.interim(s)
		return hasNow(s, reduced)
	}, func() string { return w.story("ana") })
	if s.Logins() != 1 {
		t.Errorf("%d logins", s.Logins())
	}
}

func TestAWrongSecretIsSilence(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		c.Retry = []time.Duration{20 * time.Millisecond}
		c.Backoff = time.Hour
		d.Secret = []byte("another-secret")
	})
	s := w.login("ana", full)
	w.give("ana", walled)
	w.recordedAs("ana", "coa timeout", "disconnect timeout")
	if st := w.nas.Stats(); st.Dropped < 2 || st.Acks+st.Naks != 0 || !hasNow(s, full) {
		t.Errorf("%+v, rates %+v", st, s.Rates())
	}
	w.edit(func(d *nas.Device) { d.Secret = []byte("loopback-secret") })
	w.has(s, walled)
}

func TestLostAndRepeatedDatagrams(t *testing.T) {
	for _, dialect := range []string{"mikrotik", "accel-ppp", "standard"} {
		t.Run(dialect, func(t *testing.T) {
			w := newWorld(t, dialect, func(_ *world, c *control.Config, nc *nastest.Config, _ *nas.Device) {
				c.Retry = nil
				for d := 10 * time.Millisecond; len(c.Retry) < 10; d = d * 3 / 2 {
					c.Retry = append(c.Retry, d)
				}
				nc.Quirks.AnswerTwice = true
			})
			seed := rand.New(rand.NewPCG(1, 2))
			var mu sync.Mutex
			r := newRelay(t, w.nas.CoAAddr(), func(bool, []byte) int {
				mu.Lock()
				defer mu.Unlock()
				return []int{0, 1, 1, 1, 2}[seed.IntN(5)] // a fifth lost, a fifth doubled
			})
			w.edit(func(d *nas.Device) { d.CoA = r.addr() })
			sessions := w.crowd(20, full)
			for _, svc := range []nas.Service{reduced, walled, full, reduced} {
				for _, s := range sessions {
					w.give(s.Login(), svc)
				}
				for _, s := range sessions {
					w.has(s, svc)
				}
			}
			if w.nas.Stats().Duplicates == 0 {
				t.Error("no retransmission was recognised as one")
			}
		})
	}
}

func TestARetransmissionIsTheSamePacket(t *testing.T) {
	var mu sync.Mutex
	var seen [][]byte
	w := newWorld(t, "standard")
	r := newRelay(t, w.nas.CoAAddr(), func(toNAS bool, b []byte) int {
		mu.Lock()
		defer mu.Unlock()
		if toNAS {
			seen = append(seen, slices.Clone(b))
			if len(seen) < 3 {
				return 0
			}
		}
		return 1
	})
	w.edit(func(d *nas.Device) { d.CoA = r.addr() })
	s := w.login("ana", full)
	w.give("ana", reduced)
	w.has(s, reduced)
	w.recordedAs("ana", "coa ack")
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 3 || !slices.Equal(seen[0], seen[1]) || !slices.Equal(seen[1], seen[2]) {
		t.Errorf("%d datagrams: %x", len(seen), seen)
	}
	if r := w.recorded("ana")[0]; r.Attempts != 3 {
		t.Errorf("%d attempts recorded", r.Attempts)
	}
}

func TestNewerDesireReplacesOlder(t *testing.T) {
	var mu sync.Mutex
	hold := true
	w := newWorld(t, "standard")
	r := newRelay(t, w.nas.CoAAddr(), func(bool, []byte) int {
		mu.Lock()
		defer mu.Unlock()
		if hold {
			return 0
		}
		return 1
	})
	w.edit(func(d *nas.Device) { d.CoA = r.addr() })
	s := w.login("ana", full)
	w.give("ana", walled) // in flight, unanswered
	w.eventually(func() bool { return w.metric("enlace_nas_commands_in_flight", nil) == 1 }, func() string { return "nothing in flight" })
	w.give("ana", reduced)
	w.give("ana", faster)
	w.give("ana", reduced)
	mu.Lock()
	hold = false
	mu.Unlock()
	w.has(s, reduced)
	w.recordedAs("ana", "coa ack", "coa ack")
}

func TestThePaceOfADeviceIsKept(t *testing.T) {
	const perSecond, n = 40, 30
	w := newWorld(t, "standard", func(_ *world, _ *control.Config, _ *nastest.Config, d *nas.Device) { d.CommandsPerSecond = perSecond })
	sessions := w.crowd(n, full)
	for _, s := range sessions {
		w.give(s.Login(), reduced)
	}
	for _, s := range sessions {
		w.has(s, reduced)
	}
	commands := w.nas.Commands()
	if took, least := commands[n-1].At.Sub(commands[0].At), (n-2)*time.Second/perSecond; took < least {
		t.Errorf("%d commands within %v, faster than %d a second", n, took, perSecond)
	}
	inOrder := slices.IsSortedFunc(commands, func(a, b nastest.Command) int {
		if a.Login < b.Login {
			return -1
		}
		return 1
	})
	if inOrder {
		t.Error("a mass restriction goes in the order of the logins")
	}
}

func TestAnUnblockOvertakesPendingBlocks(t *testing.T) {
	for _, dialect := range []string{"standard", "mikrotik"} {
		t.Run(dialect, func(t *testing.T) {
			const n = 200
			w := newWorld(t, dialect, func(_ *world, _ *control.Config, _ *nastest.Config, d *nas.Device) { d.CommandsPerSecond = 20 })
			payer := w.login("payer", walled)
			sessions := w.crowd(n, full)
			for _, s := range sessions {
				w.give(s.Login(), walled)
			}
			w.eventually(func() bool { return len(w.nas.Commands()) >= 3 }, func() string { return "no block begins" })
			before := len(w.nas.Commands())
			w.give("payer", full)
			w.has(payer, full)
			commands := w.nas.Commands()
			at := slices.IndexFunc(commands, func(c nastest.Command) bool { return c.Login == "payer" })
			if at < 0 || at > before+n/2 {
				t.Errorf("%d blocks had begun; the unblock came at place %d of %d", before, at, len(commands))
			}
			w.edit(func(d *nas.Device) { d.CommandsPerSecond = 10000 })
			for _, s := range sessions {
				w.has(s, walled)
			}
		})
	}
}

func TestTheClockBringsTheBoundary(t *testing.T) {
	w := newWorld(t, "standard")
	w.mu.Lock()
	w.at = begin.Add(16 * 24 * time.Hour)
	w.then["ana"] = reduced
	w.mu.Unlock()
	s := w.login("ana", full)
	w.setClock(w.at.Add(-time.Nanosecond))
	w.interim(s)
	if w.commandsOf("ana") != 0 {
		t.Error("the boundary came early")
	}
	w.setClock(w.at)
	w.has(s, reduced)
	w.setClock(begin) // a clock that is set back
	w.has(s, full)
	w.setClock(w.at.Add(400 * 24 * time.Hour))
	w.rec.Kick()
	w.has(s, reduced)
}

// A jump ahead and back between two looks at the clock must leave no answer of the time in between.
func TestAClockThatJumpsAheadAndBackUnseen(t *testing.T) {
	w := newWorld(t, "standard")
	s := w.login("ana", full)
	w.mu.Lock()
	w.at = begin.Add(16 * 24 * time.Hour)
	w.then["ana"] = reduced
	w.mu.Unlock()
	for range 5 {
		w.setClock(w.at)
		w.rec.Changed(0, "ana")
		w.has(s, reduced)
		w.setClock(begin)
		w.has(s, full)
	}
}

func TestAnOperatorDisconnects(t *testing.T) {
	w := newWorld(t, "mikrotik")
	s := w.login("ana", full)
	id := s.ID()
	if err := w.rec.Disconnect(w.key(s), "staff:bia", "CPE exchanged"); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() bool { return s.Online() && s.ID() != id }, func() string { return w.story("ana") })
	w.recordedAs("ana", "disconnect ack stop")
	if r := w.recorded("ana")[0]; r.Actor != "staff:bia" || r.Reason != "CPE exchanged" || r.ConfirmedAt.IsZero() {
		t.Errorf("recorded %+v", r)
	}
	err := w.rec.Disconnect(nas.SessionKey{Device: deviceID, ID: id}, "staff:bia", "again")
	if e, ok := err.(*contracts.Error); !ok || e.Kind != contracts.NotFound {
		t.Errorf("a session that is gone: %v", err)
	}
}

func TestAnAcknowledgedDisconnectThatDidNotHappenIsRepeated(t *testing.T) {
	w := newWorld(t, "mikrotik")
	w.nas.SetQuirks(nastest.Quirks{KeepSession: true})
	s := w.login("ana", full)
	w.give("ana", walled)
	w.recordedAs("ana", "disconnect ack")
	w.interim(s) // too early to mean anything
	w.eventually(func() bool {
		w.interim(s)
		return w.metric("enlace_nas_ignored_total", nil) >= 1
	}, func() string { return w.story("ana") })
	w.nas.SetQuirks(nastest.Quirks{})
	w.eventually(func() bool {
		if s.Online() {
			_ = s.Interim(context.Background())
		}
		return hasNow(s, walled)
	}, func() string { return w.story("ana") })
}

func TestALostStopIsSeenByTheNextLogin(t *testing.T) {
	w := newWorld(t, "mikrotik")
	w.login("ana", full)
	w.nas.SetQuirks(nastest.Quirks{KeepSession: true})
	w.give("ana", walled)
	w.recordedAs("ana", "disconnect ack")
	again, err := w.nas.Login(context.Background(), "ana", "pw-ana", nastest.PAP)
	if err != nil {
		t.Fatal(err)
	}
	w.recordedAs("ana", "disconnect ack login")
	w.has(again, walled)
}

func TestADeviceWithoutAnAddressIsRecordedOnce(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, _ *control.Config, _ *nastest.Config, d *nas.Device) {
		d.Name, d.CoA = "deaf and dumb", netip.AddrPort{}
	})
	s := w.login("ana", full)
	w.give("ana", reduced)
	w.recordedAs("ana", "coa unreachable")
	w.give("ana", walled)
	w.interim(s)
	if err := w.rec.Disconnect(w.key(s), "staff:bia", "x"); err == nil {
		t.Error("a device without an address is promised a Disconnect")
	}
	w.edit(func(d *nas.Device) { d.CoA = w.nas.CoAAddr() })
	w.has(s, walled)
	w.recordedAs("ana", "coa unreachable", "coa ack")
}

func TestAServiceThatCannotBeSaidIsGivenUp(t *testing.T) {
	w := newWorld(t, "standard")
	s := w.login("ana", full)
	w.give("ana", service(contracts.OutcomeFull, 10e9, 10e9))
	w.eventually(func() bool {
		return w.metric("enlace_nas_commands_total", map[string]string{"result": "unsayable"}) == 1
	}, func() string { return "nothing is said about it" })
	w.give("ana", reduced)
	w.has(s, reduced)
}

func TestAnIdThatIsUsedAgainIsAnotherSession(t *testing.T) {
	w := newWorld(t, "standard")
	s := w.login("ana", full)
	w.give("ana", reduced)
	w.has(s, reduced)
	w.recordedAs("ana", "coa ack")
	w.rec.SessionSeen(nas.Session{Key: w.key(s), Login: "ana", StartedAt: begin.Add(time.Hour), Applied: full.Digest()}, nas.Report{})
	w.recordedAs("ana", "coa ack", "coa ack")
	if w.rec.Open() != 1 {
		t.Errorf("%d sessions", w.rec.Open())
	}
}
