package nastest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
	"layeh.com/radius/vendors/mikrotik"

	"enlace/contracts"
	"enlace/nas"
	"enlace/nas/nastest"
)

var secret = []byte("loopback-secret")

// log keeps what the server was told by accounting.
type log struct {
	mu      sync.Mutex
	packets []*radius.Packet
	deaf    atomic.Bool
}

func (l *log) account(_ rfc2866.AcctStatusType, p *radius.Packet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.packets = append(l.packets, p)
	return !l.deaf.Load()
}

// of is the packets of a kind, about one session or, with an empty id, about any.
func (l *log) of(status rfc2866.AcctStatusType, id string) []*radius.Packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.packets), func(p *radius.Packet) bool {
		return rfc2866.AcctStatusType_Get(p) != status || (id != "" && rfc2866.AcctSessionID_GetString(p) != id)
	})
}

var full = nas.Service{Outcome: contracts.OutcomeFull, Profile: contracts.Profile{DownBps: 500e6, UpBps: 250e6}}

func start(t *testing.T, cfg nastest.Config, change ...func(*nastest.Responder)) (*nastest.NAS, *log) {
	t.Helper()
	if cfg.Dialect == "" {
		cfg.Dialect = "standard"
	}
	l := &log{}
	r := &nastest.Responder{Secret: secret, Account: l.account,
		Password: func(login string) (string, bool) { return "pw", login != "nobody" },
		Accept: func(string) radius.Attributes {
			attrs, err := nas.NewDialects(nas.DefaultGarden()).Named(cfg.Dialect).Accept(full)
			if err != nil {
				t.Error(err)
			}
			attrs.Add(rfc2865.Class_Type, radius.Attribute("first"))
			attrs.Add(rfc2865.Class_Type, radius.Attribute("second\x00"))
			return attrs
		},
	}
	for _, c := range change {
		c(r)
	}
	if err := r.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	cfg.AuthAddr, cfg.AcctAddr, cfg.Secret = r.Addr().String(), r.Addr().String(), secret
	if cfg.Timeout == 0 {
		cfg.Timeout = 300 * time.Millisecond
	}
	n, err := nastest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, l
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not seen: %s", what)
}

func login(t *testing.T, n *nastest.NAS) *nastest.Session {
	t.Helper()
	s, err := n.Login(context.Background(), "ana", "pw", nastest.PAP)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoginAndAccounting(t *testing.T) {
	for _, dialect := range []string{"mikrotik", "accel-ppp", "standard"} {
		t.Run(dialect, func(t *testing.T) {
			n, l := start(t, nastest.Config{Dialect: dialect})
			s := login(t, n)
			if !s.Online() || s.Walled() || s.Rates() != full.Profile || n.Online() != 1 {
				t.Errorf("online %v, walled %v, rates %+v", s.Online(), s.Walled(), s.Rates())
			}
			s.AddTraffic(7, 5<<32+9)
			if err := s.Interim(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := s.Stop(context.Background(), 1); err != nil {
				t.Fatal(err)
			}
			if s.Online() || n.Online() != 0 {
				t.Error("still online after its Stop")
			}
			starts, interims, stops := l.of(1, s.ID()), l.of(3, s.ID()), l.of(2, s.ID())
			if len(starts) != 1 || len(interims) != 1 || len(stops) != 1 {
				t.Fatalf("%d starts, %d interims, %d stops", len(starts), len(interims), len(stops))
			}
			for _, p := range []*radius.Packet{starts[0], interims[0], stops[0]} {
				classes, err := rfc2865.Class_Gets(p)
				if err != nil || len(classes) != 2 || string(classes[0]) != "first" || string(classes[1]) != "second\x00" {
					t.Errorf("Class came back as %q", classes)
				}
				if rfc2865.UserName_GetString(p) != "ana" || !rfc2865.FramedIPAddress_Get(p).Equal(net.IP(s.IP().AsSlice())) {
					t.Errorf("a packet about %s at %s", rfc2865.UserName_GetString(p), rfc2865.FramedIPAddress_Get(p))
				}
				if _, err := rfc2869.EventTimestamp_Lookup(p); (err == nil) == (dialect == "accel-ppp") {
					t.Errorf("Event-Timestamp: %v", err)
				}
			}
			if g := rfc2869.AcctOutputGigawords_Get(stops[0]); g != 5 {
				t.Errorf("%d output gigawords", g)
			}
			if c := rfc2866.AcctTerminateCause_Get(stops[0]); c != 1 {
				t.Errorf("terminate cause %d", c)
			}
		})
	}
}

func TestRefusedUnansweredForged(t *testing.T) {
	n, _ := start(t, nastest.Config{Timeout: 20 * time.Millisecond})
	var rejected *nastest.Rejected
	if _, err := n.Login(context.Background(), "ana", "wrong", nastest.PAP); !errors.As(err, &rejected) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := n.Login(context.Background(), "nobody", "pw", nastest.PAP); !errors.As(err, &rejected) {
		t.Errorf("an unknown login: %v", err)
	}
	stranger, _ := start(t, nastest.Config{Timeout: 20 * time.Millisecond}, func(r *nastest.Responder) { r.Secret = []byte("another") })
	stranger.SetQuirks(nastest.Quirks{NoMessageAuthenticator: true}) // so that the request is taken
	if _, err := stranger.Login(context.Background(), "ana", "pw", nastest.PAP); !errors.Is(err, nastest.ErrUnanswered) {
		t.Errorf("a server with another secret: %v", err)
	}
	if st := stranger.Stats(); st.Forged == 0 || st.Unanswered != 1 {
		t.Errorf("%+v", st)
	}
}

func TestTrafficFollowsTheRates(t *testing.T) {
	n, _ := start(t, nastest.Config{Load: 0.5})
	s := login(t, n)
	eventually(t, "traffic", func() bool { in, out := s.Counters(); return in > 1000 && out > in })
}

// send gives a command to the access server with the library's own client.
func send(t *testing.T, n *nastest.NAS, code radius.Code, add ...func(*radius.Packet)) (radius.Code, uint32) {
	t.Helper()
	p := radius.New(code, secret)
	for _, a := range add {
		a(p)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := radius.Exchange(ctx, p, n.CoAAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, signed := answer.Lookup(rfc2869.MessageAuthenticator_Type)
	if dialect := n.Dialect(); signed == (dialect == "accel-ppp" || dialect == "vyos") {
		t.Errorf("%s signs its answers: %v", dialect, signed)
	}
	return answer.Code, uint32(rfc3576.ErrorCause_Get(answer))
}

func TestCommands(t *testing.T) {
	id := func(s *nastest.Session) func(*radius.Packet) {
		return func(p *radius.Packet) { _ = rfc2866.AcctSessionID_AddString(p, s.ID()) }
	}
	user := func(u string) func(*radius.Packet) {
		return func(p *radius.Packet) { _ = rfc2865.UserName_AddString(p, u) }
	}
	filter := func(f string) func(*radius.Packet) {
		return func(p *radius.Packet) { _ = rfc2865.FilterID_AddString(p, f) }
	}
	rate := func(r string) func(*radius.Packet) {
		return func(p *radius.Packet) { _ = mikrotik.MikrotikRateLimit_AddString(p, r) }
	}
	list := func(p *radius.Packet) { _ = mikrotik.MikrotikAddressList_AddString(p, "enlace-walled") }
	timeout := func(p *radius.Packet) { _ = rfc2865.SessionTimeout_Add(p, 600) }
	reply := func(p *radius.Packet) { _ = rfc2865.ReplyMessage_AddString(p, "x") }
	nasID := func(v string) func(*radius.Packet) {
		return func(p *radius.Packet) { _ = rfc2865.NASIdentifier_AddString(p, v) }
	}
	const ack, nak = radius.CodeCoAACK, radius.CodeCoANAK
	for _, c := range []struct {
		dialect string
		name    string
		add     func(s *nastest.Session) []func(*radius.Packet)
		code    radius.Code
		cause   uint32
		rates   contracts.Profile
	}{
		{"mikrotik", "rate", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){id(s), user("ana"), nasID("nastest"), rate("64k/1500k 128k/3M")}
		}, ack, 0, contracts.Profile{DownBps: 1_500_000, UpBps: 64_000}},
		{"mikrotik", "address list", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){id(s), rate("1M/1M"), list}
		}, nak, 401, full.Profile},
		{"mikrotik", "bad rate", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){id(s), rate("fast")}
		}, nak, 404, full.Profile},
		{"mikrotik", "no session named", func(*nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){rate("1M/1M")}
		}, nak, 402, full.Profile},
		{"mikrotik", "another access server", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){id(s), nasID("other"), rate("1M/1M")}
		}, nak, 403, full.Profile},
		{"mikrotik", "another user's session", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){id(s), user("bia"), rate("1M/1M")}
		}, nak, 503, full.Profile},
		{"accel-ppp", "rate", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){user("ana"), filter("8192/2048")}
		}, ack, 0, contracts.Profile{DownBps: 8_192_000, UpBps: 2_048_000}},
		{"accel-ppp", "unknown attributes", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){id(s), reply, list}
		}, ack, 0, full.Profile},
		{"accel-ppp", "unknown session", func(*nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){user("bia"), filter("1/1")}
		}, nak, 503, full.Profile},
		{"standard", "timeout alone", func(s *nastest.Session) []func(*radius.Packet) {
			return []func(*radius.Packet){id(s), timeout}
		}, ack, 0, full.Profile},
	} {
		t.Run(c.dialect+" "+c.name, func(t *testing.T) {
			n, _ := start(t, nastest.Config{Dialect: c.dialect})
			s := login(t, n)
			code, cause := send(t, n, radius.CodeCoARequest, c.add(s)...)
			if code != c.code || cause != c.cause || s.Rates() != c.rates {
				t.Errorf("%s %d, rates %+v; want %s %d, %+v", code, cause, s.Rates(), c.code, c.cause, c.rates)
			}
			if got := n.Commands(); len(got) != 1 || got[0].Answer != c.code || got[0].ErrorCause != c.cause {
				t.Errorf("remembered %+v", got)
			}
		})
	}
}

func TestDisconnect(t *testing.T) {
	n, l := start(t, nastest.Config{Dialect: "mikrotik", Redial: time.Millisecond})
	s := login(t, n)
	first := s.ID()
	name := func(p *radius.Packet) { _ = rfc2866.AcctSessionID_AddString(p, first) }
	rate := func(p *radius.Packet) { _ = mikrotik.MikrotikRateLimit_AddString(p, "1M/1M") }
	if code, cause := send(t, n, radius.CodeDisconnectRequest, name, rate); code != radius.CodeDisconnectNAK || cause != 401 {
		t.Errorf("with more than a name: %s %d", code, cause)
	}
	if code, _ := send(t, n, radius.CodeDisconnectRequest, name); code != radius.CodeDisconnectACK {
		t.Errorf("answered with %s", code)
	}
	eventually(t, "a Stop with cause Admin-Reset", func() bool {
		stops := l.of(2, first)
		return len(stops) == 1 && rfc2866.AcctTerminateCause_Get(stops[0]) == 6
	})
	eventually(t, "the next login", func() bool { return s.Online() && s.ID() != first && s.Logins() == 2 })
	if code, cause := send(t, n, radius.CodeDisconnectRequest, name); code != radius.CodeDisconnectNAK || cause != 503 {
		t.Errorf("a session that is gone: %s %d", code, cause)
	}
}

func TestForgedCommandsMeetSilence(t *testing.T) {
	n, _ := start(t, nastest.Config{})
	s := login(t, n)
	conn, err := net.Dial("udp", n.CoAAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wire := func(secret []byte, at time.Time) []byte {
		p := radius.New(radius.CodeDisconnectRequest, secret)
		_ = rfc2866.AcctSessionID_AddString(p, s.ID())
		_ = rfc2869.EventTimestamp_Add(p, at)
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i, b := range [][]byte{wire([]byte("another"), time.Now()), wire(secret, time.Now().Add(-time.Hour)), {40, 1, 0, 20}, wire(secret, time.Now())[:30]} {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("forgery %d dropped", i), func() bool { return n.Stats().Dropped == int64(i+1) })
	}
	good := wire(secret, time.Now())
	var answers [2][]byte
	for i := range answers {
		if _, err := conn.Write(good); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		size, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		answers[i] = buf[:size]
	}
	if !bytes.Equal(answers[0], answers[1]) || n.Stats().Duplicates != 1 || n.Stats().Disconnects != 1 {
		t.Errorf("a repeated command was not recognised: %+v", n.Stats())
	}
}

func TestACrowdStaysOnline(t *testing.T) {
	var closed atomic.Bool
	n, l := start(t, nastest.Config{Redial: time.Millisecond, Interim: 20 * time.Millisecond}, func(r *nastest.Responder) {
		password := r.Password
		r.Password = func(login string) (string, bool) {
			p, ok := password(login)
			return p, ok && !closed.Load()
		}
	})
	const size = 60
	crowd := n.Crowd(nastest.CrowdConfig{N: size, MaxLoad: 0.2, Over: 10 * time.Millisecond, Subscriber: func(i int) (string, string, nastest.Method) {
		return fmt.Sprintf("user%d", i), "pw", nastest.PAP
	}})
	eventually(t, "everyone online", func() bool { return crowd.Online() == size })
	eventually(t, "interims of everyone", func() bool {
		for _, s := range crowd.Lines {
			if len(l.of(3, s.ID())) == 0 {
				return false
			}
		}
		return true
	})
	closed.Store(true)
	if err := n.PowerCut(context.Background()); err != nil {
		t.Fatal(err)
	}
	if stops := l.of(2, ""); len(stops) != 0 || len(l.of(7, "")) != 1 {
		t.Errorf("a power cut sends %d Stops and %d Accounting-On", len(stops), len(l.of(7, "")))
	}
	eventually(t, "refusals", func() bool { return n.Stats().Rejects >= size })
	closed.Store(false)
	eventually(t, "everyone back", func() bool { return crowd.Online() == size })
	if err := n.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if stops := l.of(2, ""); len(stops) != size || len(l.of(8, "")) != 1 {
		t.Errorf("an orderly end sends %d Stops and %d Accounting-Off", len(stops), len(l.of(8, "")))
	}
}

func TestAnUnansweredStopIsSentAgainAsANewPacket(t *testing.T) {
	n, l := start(t, nastest.Config{Timeout: 5 * time.Millisecond, Tries: 2})
	s := login(t, n)
	l.deaf.Store(true)
	if err := s.Stop(context.Background(), 2); !errors.Is(err, nastest.ErrUnanswered) {
		t.Fatalf("silence is %v", err)
	}
	l.deaf.Store(false)
	eventually(t, "a Stop with its delay", func() bool {
		stops := l.of(2, s.ID())
		last := stops[len(stops)-1]
		return rfc2866.AcctDelayTime_Get(last) > 0 && last.Authenticator != stops[0].Authenticator
	})
}

func TestSessionTimeoutEndsASession(t *testing.T) {
	n, l := start(t, nastest.Config{}, func(r *nastest.Responder) {
		accept := r.Accept
		r.Accept = func(login string) radius.Attributes {
			p := &radius.Packet{Attributes: accept(login)}
			_ = rfc2865.SessionTimeout_Add(p, 1)
			return p.Attributes
		}
	})
	s := login(t, n)
	eventually(t, "a Stop with cause Session-Timeout", func() bool {
		stops := l.of(2, s.ID())
		return len(stops) == 1 && rfc2866.AcctTerminateCause_Get(stops[0]) == 5
	})
}

func TestBadConfiguration(t *testing.T) {
	for _, cfg := range []nastest.Config{
		{Dialect: "klingon", AuthAddr: "127.0.0.1:1", AcctAddr: "127.0.0.1:1"},
		{AuthAddr: "nowhere", AcctAddr: "127.0.0.1:1"},
		{AuthAddr: "127.0.0.1:1", AcctAddr: "127.0.0.1:1", CoAListen: "127.0.0.1:70000"},
	} {
		if n, err := nastest.New(cfg); err == nil {
			n.Close()
			t.Errorf("%+v is taken", cfg)
		}
	}
}
