package control_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/control"
	"enlace/nas/nastest"
)

var (
	full    = service(contracts.OutcomeFull, 500e6, 250e6)
	reduced = service(contracts.OutcomeReduced, 50e6, 25e6)
	walled  = service(contracts.OutcomeWalled, 1e6, 1e6)
	faster  = service(contracts.OutcomeFull, 700e6, 350e6)
	reject  = nas.Service{Outcome: contracts.OutcomeReject}
)

func service(o contracts.Outcome, down, up uint64) nas.Service {
	return nas.Service{Outcome: o, Profile: contracts.Profile{DownBps: down, UpBps: up}, Plan: "Fibra"}
}

var begin = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// world is an access server, the least RADIUS server, and a Reconciler between them.
type world struct {
	t         testing.TB
	rec       *control.Reconciler
	nas       *nastest.NAS
	responder *nastest.Responder
	registry  *prometheus.Registry
	device    atomic.Pointer[nas.Device]
	stop      func()
	accepting func(login string) // called before an Access-Accept is made; may be nil

	mu      sync.Mutex
	now     time.Time
	desired map[string]nas.Service
	then    map[string]nas.Service // from boundary on
	at      time.Time              // the boundary of all; zero: none
	applied map[nas.SessionKey]nas.Digest
	started map[nas.SessionKey]time.Time
	logins  map[nas.SessionKey]string
	records map[nas.CommandID]nas.CommandRecord
	order   []nas.CommandID
}

const deviceID nas.DeviceID = 7

type setting func(*world, *control.Config, *nastest.Config, *nas.Device)

func newWorld(t testing.TB, dialect string, settings ...setting) *world {
	w := &world{
		t: t, now: begin, registry: prometheus.NewRegistry(),
		desired: map[string]nas.Service{}, then: map[string]nas.Service{},
		applied: map[nas.SessionKey]nas.Digest{}, started: map[nas.SessionKey]time.Time{}, logins: map[nas.SessionKey]string{},
		records: map[nas.CommandID]nas.CommandRecord{},
	}
	secret := []byte("loopback-secret")
	w.responder = &nastest.Responder{Secret: secret, Password: w.password, Accept: func(l string) radius.Attributes { return w.accept(dialect, l) }, Account: w.account}
	if err := w.responder.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	nc := nastest.Config{
		Dialect: dialect, AuthAddr: w.responder.Addr().String(), AcctAddr: w.responder.Addr().String(), Secret: secret,
		Interim: -1, Redial: 5 * time.Millisecond, Timeout: 500 * time.Millisecond,
	}
	cc := control.Config{
		Device:  func(id nas.DeviceID) (*nas.Device, bool) { return w.device.Load(), id == deviceID },
		Desired: w.want, SetApplied: w.setApplied, Record: w.record, Dialects: nas.NewDialects(nas.DefaultGarden()), Now: w.clock,
		Log: zerolog.Nop(), Metrics: w.registry,
		Retry:    []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond},
		Evidence: 50 * time.Millisecond, Backoff: 50 * time.Millisecond,
	}
	dev := &nas.Device{ID: deviceID, Name: "bras", Dialect: dialect, Secret: secret, InterimSeconds: 300, CommandsPerSecond: 10000, NASIdentifier: "nastest"}
	for _, set := range settings {
		set(w, &cc, &nc, dev)
	}
	var err error
	if w.nas, err = nastest.New(nc); err != nil {
		t.Fatal(err)
	}
	if !dev.CoA.IsValid() && dev.Name != "deaf and dumb" {
		dev.CoA = w.nas.CoAAddr()
	}
	w.device.Store(dev)
	w.rec = control.New(cc)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.rec.Run(ctx); close(done) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		w.nas.Close()
		w.responder.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// edit replaces the device, as an operator would.
func (w *world) edit(change func(*nas.Device)) {
	d := *w.device.Load()
	change(&d)
	w.device.Store(&d)
	w.rec.Kick()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) setClock(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = t
}

func (w *world) service(login string, now time.Time) (nas.Service, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.desired[login]
	if then, changes := w.then[login]; changes && !w.at.IsZero() && !now.Before(w.at) {
		s = then
	}
	return s, ok
}

func (w *world) want(login string, _ contracts.AccessID, now time.Time) (nas.Service, time.Time, bool) {
	s, ok := w.service(login, now)
	w.mu.Lock()
	defer w.mu.Unlock()
	until := w.at
	if !now.Before(until) {
		until = time.Time{}
	}
	return s, until, ok
}

func (w *world) password(login string) (string, bool) {
	s, ok := w.service(login, w.clock())
	return "pw-" + login, ok && s.Outcome != contracts.OutcomeReject
}

func (w *world) accept(dialect, login string) radius.Attributes {
	s, _ := w.service(login, w.clock())
	if w.accepting != nil {
		w.accepting(login)
	}
	attrs, err := nas.NewDialects(nas.DefaultGarden()).Named(dialect).Accept(s)
	if err != nil {
		w.t.Error(err)
	}
	attrs.Add(rfc2865.Class_Type, nas.Cookie{Access: 1, Granted: s.Digest()}.Append(nil))
	return attrs
}

// account is what the accounting of a real server does with the Reconciler.
func (w *world) account(status rfc2866.AcctStatusType, p *radius.Packet) bool {
	key := nas.SessionKey{Device: deviceID, ID: rfc2866.AcctSessionID_GetString(p)}
	switch status {
	case rfc2866.AcctStatusType_Value_Start, rfc2866.AcctStatusType_Value_InterimUpdate:
		s := nas.Session{Key: key, Login: rfc2865.UserName_GetString(p), NASIdentifier: rfc2865.NASIdentifier_GetString(p), CallingStation: rfc2865.CallingStationID_GetString(p)}
		s.FramedIP, _ = netip.AddrFromSlice(rfc2865.FramedIPAddress_Get(p).To4())
		w.mu.Lock()
		if _, ok := w.started[key]; !ok {
			w.started[key] = w.now
			w.logins[key] = s.Login
			cookie, _ := nas.ParseCookie(rfc2865.Class_Get(p))
			w.applied[key] = cookie.Granted
		}
		s.StartedAt, s.Applied = w.started[key], w.applied[key]
		cookie, _ := nas.ParseCookie(rfc2865.Class_Get(p))
		said := nas.Report{At: w.now, Seconds: int64(rfc2866.AcctSessionTime_Get(p)), Class: cookie.Granted,
			Input: uint64(rfc2866.AcctInputOctets_Get(p)), Output: uint64(rfc2866.AcctOutputOctets_Get(p))}
		w.mu.Unlock()
		w.rec.SessionSeen(s, said)
	case rfc2866.AcctStatusType_Value_Stop:
		w.rec.SessionGone(key, int(rfc2866.AcctTerminateCause_Get(p)))
	}
	return true
}

func (w *world) setApplied(key nas.SessionKey, d nas.Digest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied[key] = d
}

func (w *world) record(r nas.CommandRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.records[r.ID]; !ok {
		w.order = append(w.order, r.ID)
	}
	w.records[r.ID] = r
}

// recorded are the commands of a login, in the order in which they were requested.
func (w *world) recorded(login string) []nas.CommandRecord {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []nas.CommandRecord
	for _, id := range w.order {
		if r := w.records[id]; r.Login == login {
			out = append(out, r)
		}
	}
	return out
}

// give lets a login have a service from now on, and tells the Reconciler.
func (w *world) give(login string, s nas.Service) {
	w.mu.Lock()
	w.desired[login] = s
	w.mu.Unlock()
	w.rec.Changed(0, login)
}

// login gives a subscriber a service and brings him online.
func (w *world) login(login string, s nas.Service) *nastest.Session {
	w.t.Helper()
	w.give(login, s)
	session, err := w.nas.Login(context.Background(), login, "pw-"+login, nastest.PAP)
	if err != nil {
		w.t.Fatalf("%s: %v", login, err)
	}
	return session
}

// crowd brings many online.
func (w *world) crowd(n int, s nas.Service) []*nastest.Session {
	w.t.Helper()
	sessions := make([]*nastest.Session, n)
	for i := range sessions {
		sessions[i] = w.login(fmt.Sprintf("user%03d", i), s)
	}
	return sessions
}

func (w *world) interim(s *nastest.Session) {
	w.t.Helper()
	if err := s.Interim(context.Background()); err != nil {
		w.t.Fatalf("interim of %s: %v", s.Login(), err)
	}
}

func (w *world) key(s *nastest.Session) nas.SessionKey {
	return nas.SessionKey{Device: deviceID, ID: s.ID()}
}

// has waits until the subscriber is online with the service.
func (w *world) has(s *nastest.Session, want nas.Service) {
	w.t.Helper()
	w.eventually(func() bool { return hasNow(s, want) }, func() string {
		return fmt.Sprintf("%s should have %s; online %v, rates %+v, walled %v\n%s", s.Login(), want, s.Online(), s.Rates(), s.Walled(), w.story(s.Login()))
	})
}

func hasNow(s *nastest.Session, want nas.Service) bool {
	return s.Online() && s.Rates() == want.Profile && s.Walled() == (want.Outcome == contracts.OutcomeWalled)
}

func (w *world) eventually(ok func() bool, complaint func() string) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Fatal(complaint())
}

// recordedAs waits for the login's commands to read so.
func (w *world) recordedAs(login string, want ...string) {
	w.t.Helper()
	w.eventually(func() bool { return slices.Equal(w.lines(login), want) }, func() string {
		return fmt.Sprintf("recorded:\n%s\nwant:\n%q", w.story(login), want)
	})
}

func (w *world) lines(login string) []string {
	var out []string
	for _, r := range w.recorded(login) {
		line := string(r.Method) + " " + string(r.Answer)
		if r.ErrorCause != 0 {
			line += fmt.Sprint(" ", r.ErrorCause)
		}
		if r.Evidence != "" {
			line += " " + string(r.Evidence)
		}
		out = append(out, line)
	}
	return out
}

func (w *world) story(login string) string {
	text := ""
	for _, r := range w.recorded(login) {
		text += fmt.Sprintf("%+v\n", r)
	}
	return text
}

func (w *world) commandsOf(login string) int {
	n := 0
	for _, c := range w.nas.Commands() {
		if c.Login == login {
			n++
		}
	}
	return n
}

// metric is the sum of a counter's or gauge's series whose labels include those given.
func (w *world) metric(name string, labels map[string]string) float64 {
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			matches := true
			for k, v := range maps.All(labels) {
				matches = matches && has[k] == v
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// relay stands between the Reconciler and the access server. fate decides for each datagram how many copies arrive.
type relay struct {
	conn   *net.UDPConn
	target *net.UDPConn
}

func newRelay(t testing.TB, to netip.AddrPort, fate func(toNAS bool, datagram []byte) int) *relay {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{conn: front, target: back}
	var client atomic.Pointer[netip.AddrPort]
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			client.Store(&from)
			for range fate(true, buf[:n]) {
				_, _ = back.Write(buf[:n])
			}
		}
	})
	running.Go(func() {
		buf := make([]byte, 65536)
		for {
			n, err := back.Read(buf)
			if err != nil {
				return
			}
			for range fate(false, buf[:n]) {
				_, _ = front.WriteToUDPAddrPort(buf[:n], *client.Load())
			}
		}
	})
	t.Cleanup(func() {
		front.Close()
		back.Close()
		running.Wait()
	})
	return r
}

func (r *relay) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }
