package control_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

func examiner() *control.Examiner {
	return &control.Examiner{Dialects: nas.NewDialects(nas.DefaultGarden()), Retry: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}}
}

// says is what was found, each as "check form value".
func says(found []nas.Finding) string {
	var lines []string
	for _, f := range found {
		line := fmt.Sprintf("%s %s %s", f.Result, f.Check, f.Form)
		if f.Check == nas.CheckIdentify {
			for _, fact := range f.Facts {
				line += fmt.Sprintf(" [%s %s]", fact.Form, fact.Value)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// TestExamine asks devices of several habits, on a session that is borrowed and has afterwards what it had.
func TestExamine(t *testing.T) {
	const good = "good coa_reach answers\ngood coa_reply_signed signed\ngood coa_unknown_session not_found\ngood coa_reply_address same\n"
	for _, x := range []struct {
		name, dialect string
		quirks        nastest.Quirks
		patient       func(*control.Patient)
		want          string
	}{
		{name: "a standard one", dialect: "standard",
			want: good + "good coa_no_change acked\ngood coa_identification dialect [dialect ] [login_id ] [session_id ] [login ]\nnoted coa_class acked"},
		{name: "RouterOS takes no Class", dialect: "mikrotik",
			want: good + "good coa_no_change acked\ngood coa_identification dialect [dialect ] [login_id ] [session_id ] [login ]\nnoted coa_class refused"},
		{name: "accel-ppp does not sign", dialect: "accel-ppp",
			want: strings.Replace(good, "good coa_reply_signed signed", "noted coa_reply_signed unsigned", 1) +
				"good coa_no_change acked\ngood coa_identification dialect [dialect ] [login_id ] [session_id ] [login ]\nnoted coa_class alone"},
		{name: "another address than it knows", dialect: "standard", patient: func(p *control.Patient) { p.Session.FramedIP = netip.MustParseAddr("192.0.2.77") },
			want: good + "good coa_no_change acked\nnoted coa_identification login_id [dialect Session-Context-Not-Found] [login_id ] [session_id ] [login ]\nnoted coa_class acked"},
		{name: "another User-Name", dialect: "standard", patient: func(p *control.Patient) { p.Session.Login = "ana@isp" },
			want: good + "good coa_no_change acked\nnoted coa_identification session_id [dialect Session-Context-Not-Found] [login_id Session-Context-Not-Found] [session_id ] [login Session-Context-Not-Found]\nnoted coa_class acked"},
		{name: "two sessions of the login", dialect: "standard", patient: func(p *control.Patient) { p.Alone = false },
			want: good + "good coa_no_change acked\ngood coa_identification dialect [dialect ] [login_id ] [session_id ]\nnoted coa_class acked"},
		{name: "refuses every CoA", dialect: "standard", quirks: nastest.Quirks{RefuseCoA: 501},
			want: "good coa_reach answers\ngood coa_reply_signed signed\nnoted coa_unknown_session refused\ngood coa_reply_address same\nbad coa_no_change refused\n" +
				"bad coa_identification none [none ] [dialect Administratively-Prohibited] [login_id Administratively-Prohibited] [session_id Administratively-Prohibited] [login Administratively-Prohibited]"},
		{name: "acknowledges the unknown", dialect: "standard", quirks: nastest.Quirks{AckUnknown: true},
			want: "good coa_reach answers\ngood coa_reply_signed signed\nbad coa_unknown_session acked\ngood coa_reply_address same\ngood coa_no_change acked"},
		{name: "deaf", dialect: "standard", quirks: nastest.Quirks{Deaf: true}, want: "bad coa_reach silent"},
	} {
		w := newWorld(t, x.dialect, func(_ *world, _ *control.Config, c *nastest.Config, _ *nas.Device) { c.Quirks = x.quirks })
		s := w.login("ana", full)
		var b *control.Borrowed
		w.eventually(func() (ok bool) { b, ok = w.rec.Borrow(context.Background(), w.key(s)); return ok }, func() string { return x.name + ": not settled" })
		p := &control.Patient{Session: b.Session, Has: b.Has, Alone: true}
		p.Session.Access = 1
		if x.patient != nil {
			x.patient(p)
		}
		found, silent, unsure, err := examiner().Examine(context.Background(), w.device.Load(), true, func() *control.Patient { return p })
		b.Return(unsure)
		if got := says(found); err != nil || got != x.want || silent != x.quirks.Deaf || unsure {
			t.Errorf("%s: %v, silent %v, unsure %v\n%s\nwant\n%s", x.name, err, silent, unsure, got, x.want)
		}
		if !hasNow(s, full) {
			t.Errorf("%s: the session was changed: %+v", x.name, s.Rates())
		}
		w.stop()
	}
}

// TestExamineSilence tells the reasons for silence apart, as far as that is possible.
func TestExamineSilence(t *testing.T) {
	w := newWorld(t, "standard")
	e := examiner()
	e.Ports = []uint16{w.device.Load().CoA.Port()}
	dev := *w.device.Load()
	for _, x := range []struct {
		name   string
		device func(*nas.Device)
		want   nas.Finding
	}{
		{"no address", func(d *nas.Device) { d.CoA = netip.AddrPort{} }, nas.Finding{Result: nas.Noted, Form: "unset"}},
		{"another secret", func(d *nas.Device) { d.Secret = []byte("another") }, nas.Finding{Result: nas.Bad, Form: "silent"}},
		{"the older secret", func(d *nas.Device) { d.OlderSecret, d.Secret = d.Secret, []byte("another") }, nas.Finding{Result: nas.Bad, Form: "older"}},
		{"another port", func(d *nas.Device) { d.CoA = netip.AddrPortFrom(d.CoA.Addr(), closedPort(t)) }, nas.Finding{Result: nas.Bad, Form: "other_port"}},
	} {
		d := dev
		x.device(&d)
		found, silent, _, err := e.Examine(context.Background(), &d, true, nil)
		if err != nil || !silent || len(found) != 1 || found[0].Result != x.want.Result || found[0].Form != x.want.Form {
			t.Errorf("%s: %+v, %v, %v", x.name, found, silent, err)
		}
	}
	w.stop()
	found, _, _, err := e.Examine(context.Background(), &dev, true, nil)
	if err != nil || len(found) != 1 || found[0].Form != "closed" {
		t.Errorf("nothing listens: %+v, %v", found, err)
	}
	e.Ports = []uint16{1}
	dev.Secret = []byte("another")
	heard, _, _, err := e.Examine(context.Background(), &dev, false, nil)
	if err != nil || len(heard) != 1 {
		t.Fatalf("%+v, %v", heard, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, _, err := e.Examine(ctx, &dev, false, nil); err == nil {
		t.Error("an examination that was called off has a result")
	}
}

func closedPort(t *testing.T) uint16 {
	r := &nastest.Responder{Secret: []byte("x")}
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return r.Addr().Port()
}

// TestReplyFromAnotherAddress: a reply that a firewall or a second address sends from elsewhere is heard, and told.
func TestReplyFromAnotherAddress(t *testing.T) {
	w := newWorld(t, "standard")
	dev := *w.device.Load()
	dev.CoA = slantedRelay(t, w.nas.CoAAddr())
	found, silent, _, err := examiner().Examine(context.Background(), &dev, true, nil)
	if err != nil || silent || len(found) != 4 || !strings.Contains(says(found), "bad coa_reply_address other") || !strings.Contains(nas.ConformanceText(&found[3], contracts.English), "127.0.0.") {
		t.Errorf("%s, %v", says(found), err)
	}
}

// TestBorrowKeepsCommandsAway: nothing is told of a session that is borrowed, and what was due is told afterwards.
func TestBorrowKeepsCommandsAway(t *testing.T) {
	w := newWorld(t, "mikrotik")
	s := w.login("ana", full)
	var b *control.Borrowed
	w.eventually(func() (ok bool) { b, ok = w.rec.Borrow(context.Background(), w.key(s)); return ok }, func() string { return "not settled" })
	if _, ok := w.rec.Borrow(context.Background(), w.key(s)); ok {
		t.Fatal("it is borrowed twice")
	}
	w.give("ana", reduced)
	other := w.login("bia", full)
	w.give("bia", reduced)
	w.has(other, reduced) // the reconciler was at work meanwhile
	if w.commandsOf("ana") != 0 {
		t.Error("a session that is borrowed was commanded")
	}
	b.Return(false)
	w.has(s, reduced)
	if _, ok := w.rec.Borrow(context.Background(), nas.SessionKey{Device: deviceID, ID: "ghost"}); ok {
		t.Error("a session that is not open is borrowed")
	}
	w.eventually(func() (ok bool) { b, ok = w.rec.Borrow(context.Background(), w.key(s)); return ok }, func() string { return "not settled" })
	before := w.commandsOf("ana")
	b.Return(true)
	w.eventually(func() bool { return w.commandsOf("ana") == before+1 }, func() string { return "what it has is unknown, and it is not told\n" + w.story("ana") })
}

// slantedRelay passes commands on and sends the replies from another address than it takes them at.
func slantedRelay(t *testing.T, to netip.AddrPort) netip.AddrPort {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	var client atomic.Pointer[netip.AddrPort]
	var running sync.WaitGroup
	pass := func(in *net.UDPConn, next func(from netip.AddrPort) netip.AddrPort) {
		running.Go(func() {
			buf := make([]byte, 65536)
			for {
				n, from, err := in.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				_, _ = back.WriteToUDPAddrPort(buf[:n], next(from))
			}
		})
	}
	pass(front, func(from netip.AddrPort) netip.AddrPort { client.Store(&from); return to })
	pass(back, func(netip.AddrPort) netip.AddrPort { return *client.Load() })
	t.Cleanup(func() {
		front.Close()
		back.Close()
		running.Wait()
	})
	return front.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestStrategyIsFollowed: what was found of a device, or was fixed by an operator, decides how it is commanded.
func TestStrategyIsFollowed(t *testing.T) {
	w := newWorld(t, "standard", func(_ *world, _ *control.Config, c *nastest.Config, d *nas.Device) {
		c.Redial = 5 * time.Millisecond
		d.Conformance.Choice = nas.Choice{Rates: "disconnect", Identify: "session_id"}
	})
	s := w.login("ana", full)
	w.give("ana", reduced)
	w.eventually(func() bool { return w.commandsOf("") > 0 && s.Logins() >= 2 && hasNow(s, reduced) }, func() string { return w.story("ana") })
	for _, r := range w.recorded("ana") {
		if r.Method != nas.Disconnect {
			t.Errorf("told by %s", r.Method)
		}
	}
	w.edit(func(d *nas.Device) {
		d.Conformance = nas.Conformance{Findings: []nas.Finding{{Check: nas.CheckIdentify, Result: nas.Noted, Form: nas.Form(nas.ByLogin)}}}
	})
	w.give("ana", full)
	w.has(s, full)
	last := w.nas.Commands()[len(w.nas.Commands())-1]
	if last.Login != "ana" || last.SessionID != "" || s.Logins() != 2 {
		t.Errorf("told as %q %q, %d logins", last.Login, last.SessionID, s.Logins())
	}
}
