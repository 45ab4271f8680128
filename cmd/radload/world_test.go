package main

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
	"enlace/radius/journal"
)

// TestMain lets the test binary be the echo server, which is this program started again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "echo-server" {
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	worldSecret = "a secret of the tests"
	worldPeople = 50
)

// world is a RADIUS server in this process, with its journal on the disk.
type world struct {
	auth, acct string
	sessions   *radius.Sessions
	metrics    *prometheus.Registry
}

func newWorld(t *testing.T) *world {
	t.Helper()
	directory := radius.NewDirectory()
	directory.SetPlans(map[contracts.PlanID]radius.PlanProfile{1: {Name: "Fibra", Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}}})
	people, err := newPeople(worldPeople, "user%07d@isp", "pw%07d", 1)
	if err != nil {
		t.Fatal(err)
	}
	active := uint8(slices.Index(contracts.Statuses, contracts.Active))
	for i, login := range people.logins {
		directory.Put(&radius.Subscriber{Access: contracts.AccessID(i + 1), Contract: contracts.ContractID(i + 1), Login: login,
			Password: []byte(people.passwords[i]), Windows: []radius.Window{{Until: radius.NoEnd, Plan: 1, Outcome: contracts.OutcomeFull, Status: active}}})
	}
	w := &world{sessions: radius.NewSessions(), metrics: prometheus.NewRegistry()}
	j, err := journal.Open(journal.Config{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	sink, err := radius.NewAccounting(j, w.sessions, zerolog.Nop(), w.metrics)
	if err != nil {
		t.Fatal(err)
	}
	door, err := radius.New(radius.Config{
		AuthAddrs: []string{"127.0.0.1:0"}, AcctAddrs: []string{"127.0.0.1:0"}, Directory: directory, Sink: sink, Garden: nas.DefaultGarden(),
		Devices: radius.NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), []nas.Device{{ID: 1, Name: "bras", Source: netip.MustParsePrefix("127.0.0.1/32"), Secret: []byte(worldSecret),
			Dialect: "mikrotik", MessageAuthenticator: nas.RequireMA, InterimSeconds: 300, CommandsPerSecond: 50}}),
		Now: time.Now, Log: zerolog.Nop(), Metrics: w.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- door.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	w.auth, w.acct = door.AuthAddrs()[0].String(), door.AcctAddrs()[0].String()
	return w
}

// counter is the sum of a metric's series that have a label of the value given ("": all).
func (w *world) counter(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					sum += m.GetCounter().GetValue()
				}
			}
			if label == "" {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// radload runs the program and gives what it printed, with its exit status.
func radload(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	status = run(ctx, args, &stdout, &stderr)
	return stdout.String() + stderr.String(), status
}

// counts are the numbers of a report.
type counts struct{ sent, accepted, rejected, answered, timeouts, wrong, stray, wholes int }

var (
	reportLine = regexp.MustCompile(`(\d+) sent, (\d+) accepted, (\d+) rejected, (\d+) answered, (\d+) timeouts, (\d+) wrong, (\d+) late`)
	wholesLine = regexp.MustCompile(`whole sessions/s, (\d+) in all`)
)

func countsOf(t *testing.T, out string) (c counts) {
	t.Helper()
	m := reportLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no counts in:\n%s", out)
	}
	for i, to := range []*int{&c.sent, &c.accepted, &c.rejected, &c.answered, &c.timeouts, &c.wrong, &c.stray} {
		*to, _ = strconv.Atoi(m[i+1])
	}
	if m := wholesLine.FindStringSubmatch(out); m != nil {
		c.wholes, _ = strconv.Atoi(m[1])
	}
	return c
}

func few(args ...string) []string {
	return append(args, "--secret", worldSecret, "--subscribers", strconv.Itoa(worldPeople), "--check")
}

func TestEveryLoginIsAnsweredOnce(t *testing.T) {
	for _, method := range []string{methodPAP, methodCHAP, methodMSCHAPv2} {
		for _, shape := range [][]string{{}, {"--sockets", "1", "--window", "1"}, {"--sockets", "3", "--window", "100"}, {"--sockets", "2", "--window", "7"}} {
			w := newWorld(t)
			out, status := radload(t, few(append([]string{"auth", "--server", w.auth, "--method", method, "--rounds", "7"}, shape...)...)...)
			want := counts{sent: 7 * worldPeople, accepted: 7 * worldPeople}
			if got := countsOf(t, out); status != 0 || got != want {
				t.Errorf("%s %v: %+v, status %d\n%s", method, shape, got, status, out)
			}
			if n := w.counter(t, "enlace_radius_resent_total", ""); n != 0 {
				t.Errorf("%s %v: the server took %v requests for retransmissions", method, shape, n)
			}
		}
	}
}

func TestWrongPasswordsAreRejected(t *testing.T) {
	w := newWorld(t)
	for _, method := range []string{methodPAP, methodCHAP, methodMSCHAPv2} {
		out, status := radload(t, few("auth", "--server", w.auth, "--method", method, "--rounds", "2", "--password", "no%07d")...)
		want := counts{sent: 2 * worldPeople, rejected: 2 * worldPeople}
		if got := countsOf(t, out); status != 0 || got != want {
			t.Errorf("%s: %+v, status %d\n%s", method, got, status, out)
		}
	}
	if n := w.counter(t, "enlace_radius_replies_total", "BAD_PASSWORD"); n != 6*worldPeople {
		t.Errorf("the server counted %v wrong passwords", n)
	}
}

func TestSilenceIsAnError(t *testing.T) {
	w := newWorld(t)
	out, status := radload(t, "auth", "--server", w.auth, "--secret", "another secret", "--subscribers", "5", "--rounds", "1", "--timeout", "200ms")
	if got := countsOf(t, out); status != 1 || got != (counts{sent: 5, timeouts: 5}) || !strings.Contains(out, "no reply to 5 requests") {
		t.Errorf("%+v, status %d\n%s", got, status, out)
	}
}

func TestAccountingGoesThroughWholeSessions(t *testing.T) {
	w := newWorld(t)
	out, status := radload(t, few("acct", "--server", w.acct, "--auth-server", w.auth, "--rounds", "3")...)
	want := counts{sent: 9 * worldPeople, answered: 9 * worldPeople}
	if got := countsOf(t, out); status != 0 || got != want {
		t.Errorf("%+v, status %d\n%s", got, status, out)
	}
	w.settled(t, 9*worldPeople, 0)

	// A second load's sessions are others, and one that ends in the middle of them leaves them open.
	out, status = radload(t, few("acct", "--server", w.acct, "--duration", "150ms", "--rate", "400", "--sockets", "2", "--window", "2")...)
	got := countsOf(t, out)
	if status != 0 || got.answered != got.sent || got.sent < 1 || got.sent > 60+runtime.GOMAXPROCS(0) {
		t.Errorf("%+v, status %d\n%s", got, status, out)
	}
}

func TestWholeSessions(t *testing.T) {
	w := newWorld(t)
	out, status := radload(t, few("sessions", "--server", w.auth, "--acct-server", w.acct, "--method", "mschapv2", "--rounds", "2")...)
	want := counts{sent: 8 * worldPeople, accepted: 2 * worldPeople, answered: 6 * worldPeople, wholes: 2 * worldPeople}
	if got := countsOf(t, out); status != 0 || got != want {
		t.Errorf("%+v, status %d\n%s", got, status, out)
	}
	w.settled(t, 6*worldPeople, 0)
	out, _ = radload(t, few("sessions", "--server", w.auth, "--acct-server", w.acct, "--password", "no%d", "--rounds", "1")...)
	if got := countsOf(t, out); got != (counts{sent: worldPeople, rejected: worldPeople}) {
		t.Errorf("with wrong passwords: %+v\n%s", got, out)
	}
}

// settled waits for records that were answered to be counted too, and then counts the sessions left open.
func (w *world) settled(t *testing.T, records, open int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		n, left := w.counter(t, "enlace_accounting_records_total", ""), w.sessions.Count()
		if n == float64(records) && left == open {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v records and %d open sessions, not %d and %d", n, left, records, open)
		}
	}
	if odd := w.counter(t, "enlace_accounting_odd_total", ""); odd != 0 {
		t.Fatalf("%v records have something that cannot be true", odd)
	}
}

// A rate bounds from above; how near to it a load comes is the machine's affair.
func TestRate(t *testing.T) {
	w := newWorld(t)
	out, status := radload(t, few("auth", "--server", w.auth, "--rate", "500", "--duration", "400ms")...)
	if got := countsOf(t, out); status != 0 || got.accepted != got.sent || got.sent < 1 || got.sent > 200+runtime.GOMAXPROCS(0) {
		t.Errorf("%+v, status %d\n%s", got, status, out)
	}
	began := time.Now()
	out, status = radload(t, few("auth", "--server", w.auth, "--rate", "200", "--rounds", "1")...)
	if got := countsOf(t, out); status != 0 || got != (counts{sent: worldPeople, accepted: worldPeople}) {
		t.Errorf("%+v, status %d\n%s", got, status, out)
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("%d requests at 200/s took %s", worldPeople, took)
	}
}

func TestEcho(t *testing.T) {
	out, status := radload(t, "echo", "--subscribers", "50", "--rounds", "20")
	if got := countsOf(t, out); status != 0 || got != (counts{sent: 1000, answered: 1000}) {
		t.Errorf("%+v, status %d\n%s", got, status, out)
	}
}

// server answers datagrams in ways that no good server does.
func server(t *testing.T, answer func(n int, request []byte) []byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, maxPacket)
		for i := 0; ; i++ {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if reply := answer(i, b[:n]); reply != nil {
				conn.WriteTo(reply, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestLostRepliesAreCounted(t *testing.T) {
	var dropped atomic.Int64
	c := newCodec([]byte(worldSecret))
	address := server(t, func(n int, request []byte) []byte {
		if n%3 == 0 {
			dropped.Add(1)
			return nil
		}
		return accept(c, request)
	})
	out, status := radload(t, few("auth", "--server", address, "--rounds", "3", "--timeout", "1500ms")...)
	lost := int(dropped.Load())
	if got := countsOf(t, out); status != 0 || lost != worldPeople || got != (counts{sent: 3 * worldPeople, accepted: 3*worldPeople - lost, timeouts: lost}) {
		t.Errorf("%+v, %d dropped, status %d\n%s", got, lost, status, out)
	}
}

// accept is a good Access-Accept.
func accept(c *codec, request []byte) []byte {
	b := begin(nil, codeAccessAccept, request[1])
	copy(b[4:headerLen], request[4:headerLen])
	b = addBytes(b, attrMessageAuthenticator, zeros[:])
	c.sign(b)
	c.md5.Reset()
	c.md5.Write(b)
	c.md5.Write(c.secret)
	c.md5.Sum(b[4:4])
	return b
}

func TestForgedRepliesAreWrong(t *testing.T) {
	for name, forge := range map[string]func([]byte){
		"response authenticator": func(b []byte) { b[4]++ },
		"code 5":                 func(b []byte) { b[0] = codeAccountingResponse },
		"Message-Authenticator":  func(b []byte) { b[headerLen] = 79 },
		"length":                 func(b []byte) { b[3]-- },
	} {
		c := newCodec([]byte(worldSecret))
		address := server(t, func(_ int, request []byte) []byte {
			b := accept(c, request)
			forge(b)
			return b
		})
		out, status := radload(t, few("auth", "--server", address, "--rounds", "1")...)
		if got := countsOf(t, out); status != 1 || got != (counts{sent: worldPeople, wrong: worldPeople}) {
			t.Errorf("%s: %+v, status %d\n%s", name, got, status, out)
		}
	}
	// What has no place in the window, or is too short to be a packet, is nobody's reply.
	address := server(t, func(_ int, request []byte) []byte { return []byte{2, request[1]} })
	out, _ := radload(t, few("auth", "--server", address, "--rounds", "1", "--timeout", "1500ms")...)
	if got := countsOf(t, out); got != (counts{sent: worldPeople, timeouts: worldPeople, stray: worldPeople}) {
		t.Errorf("short: %+v\n%s", got, out)
	}
}

func TestOnlyLoopbackAndBoundedLoads(t *testing.T) {
	for _, args := range [][]string{
		{"auth", "--server", "192.0.2.1:1812"},
		{"auth", "--server", "localhost:1812"},
		{"auth", "--server", "[::1]:1812"}, // from an IPv4 source
		{"auth", "--server", "127.0.0.1"},
		{"acct", "--server", "127.0.0.1:1813", "--auth-server", "10.0.0.1:1812"},
		{"sessions", "--source", "10.1.1.1"},
		{"auth", "--subscribers", "1000001"},
		{"auth", "--subscribers", "0"},
		{"auth", "--duration", "11m"},
		{"auth", "--window", "129"},
		{"auth", "--sockets", "0"},
		{"auth", "--rate", "1e9"},
		{"auth", "--rate", "-1"},
		{"auth", "--login", "nobody"},
		{"auth", "--login", "user%d%d"},
		{"auth", "--method", "eap"},
		{"bench", "--subscribers", "0"},
		{"bench", "--enlace", "/nonexistent/enlace"},
		{"bench", "--time", "1h"},
		{"peers", "--rounds", "0"},
		{"peers", "--subscribers", "0"},
		{"nothing"},
	} {
		if out, status := radload(t, args...); status == 0 || !strings.Contains(out, "radload: ") {
			t.Errorf("%v: status %d\n%s", args, status, out)
		}
	}
	if out, status := radload(t, "auth", "--help"); status != 0 || !strings.Contains(out, "--method") {
		t.Errorf("help: status %d\n%s", status, out)
	}
}

// The whole of bench on the real program, a moment for each thing.
func TestBench(t *testing.T) {
	enlace := filepath.Join(t.TempDir(), "enlace")
	if out, err := exec.Command("go", "build", "-o", enlace, "enlace/cmd/enlace").CombinedOutput(); err != nil {
		t.Fatalf("building enlace: %v\n%s", err, out)
	}
	temporary := "/tmp"
	t.Setenv("TMPDIR", temporary)
	t.Setenv("ENLACE_DATA_DIR", "/nonexistent") // the server's settings are not those of whoever measures
	before, _ := filepath.Glob(temporary + "/radload-*")
	out, status := radload(t, "bench", "--enlace", enlace, "--subscribers", "60", "--time", "100ms")
	if status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	for _, row := range []string{"UDP echo", "PAP", "CHAP", "MS-CHAPv2", "accounting", "whole sessions"} {
		if !regexp.MustCompile(`(?m)^ *` + row + ` +[1-9][0-9]* .* 0$`).MatchString(out) {
			t.Errorf("%s has no row without loss", row)
		}
	}
	if !strings.Contains(out, "60 subscribers: seeded in") || !regexp.MustCompile(`(\d+) sessions were begun; the database has (\d+)\.`).MatchString(out) {
		t.Error("the text around the table is not whole")
	}
	if t.Failed() {
		t.Log(out)
	}
	if after, _ := filepath.Glob(temporary + "/radload-*"); len(after) > len(before) {
		t.Errorf("left behind: %v", after)
	}
}
