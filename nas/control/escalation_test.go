package control_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"layeh.com/radius/rfc2865"

	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

// viaAPI gives the world's device an API, and what is called of it.
type viaAPI struct {
	mu    sync.Mutex
	calls []string
	err   error
	do    func(nas.Session, nas.Service)
}

func (a *viaAPI) setting(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
	d.API.Addr = netip.MustParseAddrPort("127.0.0.1:8729")
	c.API = func(_ context.Context, _ *nas.Device, s nas.Session, want nas.Service) error {
		a.mu.Lock()
		a.calls = append(a.calls, want.String())
		err, do := a.err, a.do
		a.mu.Unlock()
		if err == nil && do != nil {
			do(s, want)
		}
		return err
	}
}

func (a *viaAPI) called() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.calls, ", ")
}

func (a *viaAPI) fails(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// CoA, then Disconnect, then the device's own API.
func TestTheAPIIsTheLastResort(t *testing.T) {
	api := &viaAPI{}
	w := newWorld(t, "standard", api.setting)
	w.nas.SetQuirks(nastest.Quirks{RefuseCoA: 401, RefuseDisconnect: 504})
	s := w.login("ana", full)
	api.do = func(nas.Session, nas.Service) { _ = s.Stop(context.Background(), 6) }
	w.give("ana", reduced)
	w.has(s, reduced)
	w.recordedAs("ana", "coa nak 401", "disconnect nak 504", "api ack stop")
	if got := api.called(); got != reduced.String() {
		t.Errorf("called for %q", got)
	}
	if why := w.recorded("ana")[2].Reason; why != "restricted from FULL to REDUCED; disconnect refused: Session-Context-Not-Removable" {
		t.Errorf("the reason is %q", why)
	}
}

func TestADeviceThatHearsNoCommandsIsToldByItsAPI(t *testing.T) {
	api := &viaAPI{}
	w := newWorld(t, "standard", api.setting, func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
		d.Name, d.CoA, c.Backoff = "deaf and dumb", netip.AddrPort{}, time.Millisecond
	})
	s := w.login("ana", full)
	w.give("ana", reduced)
	w.recordedAs("ana", "api ack")
	w.interim(s)
	w.recordedAs("ana", "api ack interim")
	if d := w.appliedTo(w.key(s)); d != reduced.Digest() {
		t.Errorf("stored as applied: %x", uint64(d))
	}
	api.fails(errors.New("the router is busy"))
	w.give("ana", walled)
	w.recordedAs("ana", "api ack interim", "api nak")
	if why := w.recorded("ana")[1].Reason; !strings.HasSuffix(why, "the device's API: the router is busy") {
		t.Errorf("the reason is %q", why)
	}
	if n := w.metric("enlace_nas_given_up_total", nil); n != 1 {
		t.Errorf("given up %v times", n)
	}
	api.fails(nil)
	w.eventually(func() bool { w.interim(s); return w.appliedTo(w.key(s)) == walled.Digest() }, func() string { return w.story("ana") })
	if err := w.rec.Disconnect(w.key(s), "staff:bia", "moved"); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() bool { return strings.HasSuffix(api.called(), "REJECT") }, api.called)
	if err := w.rec.Probe(w.key(s), "x"); err == nil {
		t.Error("it is to be asked by a command that it cannot hear")
	}
}

// says has accounting say something of a session, that much later by every clock.
func (w *world) says(s *nastest.Session, later time.Duration, down, up uint64, class nas.Digest) {
	w.mu.Lock()
	w.now = w.now.Add(later)
	key := w.key(s)
	seen := nas.Session{Key: key, Login: w.logins[key], StartedAt: w.started[key], Applied: w.applied[key]}
	said := nas.Report{At: w.now, Seconds: int64(w.now.Sub(begin).Seconds()), Output: down, Input: up, Class: class}
	w.mu.Unlock()
	w.rec.SessionSeen(seen, said)
}

// settled waits until it is known what every session should have, and has it.
func (w *world) settled() {
	w.t.Helper()
	w.eventually(func() bool { return w.rec.Differences() == 0 }, func() string { return "differences are left" })
}

const octets = 5 * 60 / 8 // of one bit/s in five minutes

// What traffic proves of rates that were acknowledged.
func TestTrafficIsEvidence(t *testing.T) {
	slower := service(full.Outcome, 500e6, 25e6)
	for _, c := range []struct {
		name       string
		from, to   nas.Service
		down, up   uint64 // bit/s that are seen
		recordedAs []string
	}{
		{"idle", full, reduced, 0, 0, []string{"coa ack interim"}},
		{"at the new rate and a burst", full, reduced, 60e6, 30e6, []string{"coa ack interim"}},
		{"faster down than the new rate", full, reduced, 64e6, 0, []string{"coa ack ignored", "disconnect ack stop"}},
		{"faster up than the new rate", full, reduced, 0, 70e6, []string{"coa ack ignored", "disconnect ack stop"}},
		{"faster up than the new rate, and down more than that", full, reduced, 40e6, 32e6, []string{"coa ack ignored", "disconnect ack stop"}},
		{"at the new rate, counted the other way round", full, reduced, 25e6, 50e6, []string{"coa ack interim"}},
		{"at the older rate, counted the other way round", reduced, full, 25e6, 50e6, []string{"coa ack interim"}},
		{"faster where nothing was lowered", full, slower, 640e6, 0, []string{"coa ack interim"}},
		{"faster than the older rate", full, faster, 640e6, 0, []string{"coa ack traffic"}},
		{"faster than the older rate and the new one", full, faster, 900e6, 0, []string{"coa ack ignored", "disconnect ack stop"}},
		{"not faster than the older rate", full, faster, 500e6, 250e6, []string{"coa ack interim"}},
		{"as fast as without any", reduced, full, 70e6, 0, []string{"coa ack traffic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "standard")
			s := w.login("ana", c.from)
			w.settled()
			w.give("ana", c.to)
			w.has(s, c.to)
			w.recordedAs("ana", "coa ack")
			w.says(s, 2*time.Second, 1, 1, 0)
			w.says(s, 2*time.Minute, 900e9, 900e9, 0) // of before, perhaps: its counters may be a minute old
			w.says(s, 5*time.Minute, 900e9+c.down*octets, 900e9+c.up*octets, 0)
			w.recordedAs("ana", c.recordedAs...)
			if n := w.metric("enlace_nas_ignored_total", map[string]string{"device": "bras", "method": "coa"}); n != float64(len(c.recordedAs)-1) {
				t.Errorf("counted %v times", n)
			}
			if len(c.recordedAs) > 1 {
				first, then := w.recorded("ana")[0].Reason, w.recorded("ana")[1].Reason
				if !strings.Contains(first, "acknowledged without effect: ") || !strings.Contains(then, "seen, ") {
					t.Errorf("the reasons are %q and %q", first, then)
				}
				w.has(s, c.to)
			}
		})
	}
}

// Who pays must not stay slow behind an acknowledgement: at the older rate twice in a row is that rate still.
func TestTrafficAtTheOlderRateIsEvidence(t *testing.T) {
	little := service(full.Outcome, 600e6, 300e6)
	for _, c := range []struct {
		name       string
		from, to   nas.Service
		seen       []uint64 // bit/s down, from one record to the next
		recordedAs []string
	}{
		{"twice", walled, full, []uint64{1e6, 1e6}, []string{"coa ack ignored", "disconnect ack stop"}},
		{"once", walled, full, []uint64{1e6}, []string{"coa ack interim"}},
		{"not in a row", walled, full, []uint64{1e6, 1e3, 1e6}, []string{"coa ack interim"}},
		{"then fast", walled, full, []uint64{1e6, 90e6}, []string{"coa ack traffic"}},
		{"slower than that", reduced, full, []uint64{30e6, 30e6, 30e6}, []string{"coa ack interim"}},
		{"where little was added", full, little, []uint64{500e6, 500e6, 500e6}, []string{"coa ack interim"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "standard")
			s := w.login("ana", c.from)
			w.settled()
			w.give("ana", c.to)
			w.recordedAs("ana", "coa ack")
			total := uint64(0)
			w.says(s, 2*time.Minute, total, 0, 0)
			for _, bps := range c.seen {
				total += bps * octets
				w.says(s, 5*time.Minute, total, 0, 0)
			}
			w.recordedAs("ana", c.recordedAs...)
			w.has(s, c.to)
		})
	}
}

// Some access servers end a session over what they acknowledge: the record of the change says that it ended.
func TestASessionThatEndsOverAChangeIsRecorded(t *testing.T) {
	w := newWorld(t, "standard")
	for login, stop := range map[string]bool{"ana": true, "bia": false} {
		s := w.login(login, full)
		w.settled()
		w.give(login, reduced)
		w.recordedAs(login, "coa ack")
		if stop {
			if err := s.Leave(context.Background(), 9); err != nil {
				t.Fatal(err)
			}
			w.recordedAs(login, "coa ack stop")
		} else {
			w.rec.SessionGone(w.key(s), 0) // inferred
			w.recordedAs(login, "coa ack")
		}
	}
}

// A device whose Acct-Session-Time stands still between its records is not taken for faster than it is.
func TestASessionTimeThatLagsIsNoEvidence(t *testing.T) {
	w := newWorld(t, "standard")
	s := w.login("ana", full)
	w.settled()
	w.give("ana", reduced)
	w.recordedAs("ana", "coa ack")
	key := w.key(s)
	for i := range 4 {
		w.mu.Lock()
		w.now = w.now.Add(10 * time.Minute)
		seen := nas.Session{Key: key, Login: "ana", StartedAt: w.started[key], Applied: w.applied[key]}
		said := nas.Report{At: w.now, Seconds: 300 * int64(1+i), Output: uint64(i) * 2 * 45e6 * octets}
		w.mu.Unlock()
		w.rec.SessionSeen(seen, said)
	}
	w.recordedAs("ana", "coa ack interim")
}

// What was heard in haste proves nothing: shorter than four minutes, or with counters that had begun before the change.
func TestTrafficOfAMomentIsNoEvidence(t *testing.T) {
	w := newWorld(t, "standard")
	s := w.login("ana", full)
	w.settled()
	w.give("ana", reduced)
	w.recordedAs("ana", "coa ack")
	w.says(s, 10*time.Second, 0, 0, 0)
	w.says(s, 49*time.Second, 900e9, 0, 0)
	w.says(s, 2*time.Second, 901e9, 0, 0) // the first that counts
	w.says(s, 239*time.Second, 999e9, 0, 0)
	w.recordedAs("ana", "coa ack interim")
	w.says(s, 10*time.Minute, 999e9, 0, 0) // 98 GB in a quarter of an hour would be too fast, and is
	w.recordedAs("ana", "coa ack ignored", "disconnect ack stop")
}

// The Class of a CoA-Request that comes back proves it, and the older one proves the contrary, of a device that is known to
// give it back.
func TestClassIsEvidence(t *testing.T) {
	for _, returns := range []bool{true, false} {
		w := newWorld(t, "standard", func(_ *world, c *control.Config, _ *nastest.Config, _ *nas.Device) {
			c.ReturnsClass = func(nas.DeviceID) bool { return returns }
		})
		ana, bia := w.login("ana", full), w.login("bia", full)
		for _, s := range []*nastest.Session{ana, bia} {
			seen := nas.Session{Key: w.key(s), Login: s.Login(), Access: 5, StartedAt: begin, Applied: full.Digest()}
			w.rec.SessionSeen(seen, nas.Report{})
			w.mu.Lock()
			w.desired[s.Login()] = reduced
			w.mu.Unlock()
			w.rec.Changed(5, s.Login())
			w.recordedAs(s.Login(), "coa ack")
			class, carried := w.nas.Commands()[len(w.nas.Commands())-1].Attributes.Lookup(rfc2865.Class_Type)
			if carried != returns || carried && string(class) != string(nas.Cookie{Access: 5, Granted: reduced.Digest()}.Append(nil)) {
				t.Errorf("the CoA-Request carries the Class %q", class)
			}
		}
		w.says(bia, time.Second, 0, 0, full.Digest()) // said before, and heard late
		w.recordedAs("bia", "coa ack interim")
		w.says(bia, 2*time.Minute, 0, 0, full.Digest())
		w.says(ana, 5*time.Minute, 0, 0, reduced.Digest())
		if returns {
			w.recordedAs("ana", "coa ack class")
			w.recordedAs("bia", "coa ack ignored", "disconnect ack stop")
		} else {
			w.recordedAs("ana", "coa ack interim")
			w.recordedAs("bia", "coa ack interim")
		}
		w.stop()
	}
}

// A device that is caught three times is begun with at the next method, for such changes alone, until it is forgiven.
func TestADeviceThatIgnoresWhatItAcknowledgesIsDistrusted(t *testing.T) {
	w := newWorld(t, "standard")
	sessions := w.crowd(5, full)
	lie := func(s *nastest.Session) {
		w.give(s.Login(), reduced)
		w.recordedAs(s.Login(), "coa ack")
		w.says(s, 2*time.Minute, 0, 0, 0)
		w.says(s, 5*time.Minute, 400e6*octets, 0, 0)
		w.recordedAs(s.Login(), "coa ack ignored", "disconnect ack stop")
		w.has(s, reduced)
	}
	for _, s := range sessions[:3] {
		if n := w.metric("enlace_nas_distrusted", nil); n != 0 {
			t.Fatal("distrusted too early")
		}
		lie(s)
	}
	if w.metric("enlace_nas_distrusted", map[string]string{"device": "bras", "change": "rates"}) != 1 {
		t.Error("it is not said to be distrusted")
	}
	w.give(sessions[3].Login(), reduced)
	w.recordedAs(sessions[3].Login(), "disconnect ack stop")
	w.has(sessions[3], reduced)
	w.give(sessions[3].Login(), walled) // by a filter, which is another matter
	w.recordedAs(sessions[3].Login(), "disconnect ack stop", "coa ack")
	w.rec.Forgive(deviceID)
	w.give(sessions[4].Login(), reduced)
	w.recordedAs(sessions[4].Login(), "coa ack")
	if n := w.metric("enlace_nas_distrusted", nil); n != 0 {
		t.Errorf("after it was forgiven: %v", n)
	}
}

// A device that is seen doing a change is not one that ignores it: what looks so of some sessions does not add up.
func TestADeviceThatDoesWhatItAcknowledgesIsNotDistrusted(t *testing.T) {
	w := newWorld(t, "standard")
	sessions := w.crowd(6, reduced)
	w.settled()
	for i, s := range sessions {
		w.give(s.Login(), full)
		w.recordedAs(s.Login(), "coa ack")
		w.says(s, 2*time.Minute, 0, 0, 0)
		if i%3 == 2 {
			w.says(s, 5*time.Minute, 300e6*octets, 0, 0)
			w.recordedAs(s.Login(), "coa ack traffic")
			continue
		}
		w.says(s, 5*time.Minute, 50e6*octets, 0, 0) // what he watches takes what he had before
		w.says(s, 5*time.Minute, 100e6*octets, 0, 0)
		w.recordedAs(s.Login(), "coa ack ignored", "disconnect ack stop")
	}
	if n := w.metric("enlace_nas_distrusted", nil); n != 0 {
		t.Error("it is distrusted")
	}
}

// A Disconnect that is acknowledged and ignored is repeated once; then comes the API, or it is given up.
func TestAnIgnoredDisconnectBecomesACallOfTheAPI(t *testing.T) {
	for _, has := range []bool{true, false} {
		t.Run(fmt.Sprint(has), func(t *testing.T) {
			api := &viaAPI{}
			w := newWorld(t, "mikrotik", api.setting, func(_ *world, c *control.Config, _ *nastest.Config, d *nas.Device) {
				c.Backoff = time.Hour
				if !has {
					d.API = nas.API{}
				}
			})
			w.nas.SetQuirks(nastest.Quirks{KeepSession: true})
			s := w.login("ana", full)
			api.do = func(nas.Session, nas.Service) { // which answers before the session has ended
				time.AfterFunc(50*time.Millisecond, func() { _ = s.Stop(context.Background(), 6) })
			}
			w.give("ana", walled)
			want := []string{"disconnect ack ignored", "disconnect ack ignored"}
			if has {
				want = append(want, "api ack stop")
			}
			w.eventually(func() bool {
				if s.Online() {
					_ = s.Interim(context.Background())
				}
				return strings.Join(w.lines("ana"), ", ") == strings.Join(want, ", ")
			}, func() string { return w.story("ana") })
			if has {
				w.has(s, walled)
			} else if w.metric("enlace_nas_given_up_total", nil) != 1 {
				t.Error("it is not given up")
			}
		})
	}
}
