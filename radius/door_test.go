package radius

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"

	"enlace/nas"
)

// run serves a door on loopback until the test ends.
func run(t testing.TB, c Config) *Door {
	t.Helper()
	if c.AuthAddrs == nil {
		c.AuthAddrs = []string{"127.0.0.1:0"}
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the door does not shut")
		}
	})
	return d
}

// radclient runs the real one; its output, and whether a reply of the kind hoped for came.
func radclient(t testing.TB, to netip.AddrPort, command, secret, attributes string) (string, bool) {
	t.Helper()
	cmd := exec.Command("radclient", "-x", "-t", "1", "-r", "1", to.String(), command, secret)
	cmd.Stdin = strings.NewReader(attributes)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("radclient: %v", err)
	}
	return string(out), err == nil
}

func TestRadclient(t *testing.T) {
	sink := &slowSink{answerAt: 1}
	c := doorConfig()
	c.Sink = sink
	c.AcctAddrs = []string{"127.0.0.1:0"}
	d := run(t, c)
	auth, acct := d.AuthAddrs()[0], d.AcctAddrs()[0]
	for _, q := range []struct {
		name, command, secret, attributes string
		to                                netip.AddrPort
		ok                                bool
		has                               string
	}{
		{"PAP", "auth", doorSecret, `User-Name = "ana@isp", User-Password = "secret-ana@isp"`, auth, true, `Mikrotik-Rate-Limit = "250M/500M"`},
		{"PAP signed", "auth", doorSecret, `User-Name = "ana@isp", User-Password = "secret-ana@isp", Message-Authenticator = 0x00`, auth, true, "Access-Accept"},
		{"CHAP", "auth", doorSecret, `User-Name = "ana@isp", CHAP-Password = "secret-ana@isp"`, auth, true, "Access-Accept"},
		{"MS-CHAP", "auth", doorSecret, `User-Name = "ana@isp", MS-CHAP-Password = "secret-ana@isp"`, auth, true, "MS-CHAP-MPPE-Keys"},
		{"reduced", "auth", doorSecret, `User-Name = "rui", User-Password = "secret-rui"`, auth, true, `"25M/50M"`},
		{"wrong PAP", "auth", doorSecret, `User-Name = "ana@isp", User-Password = "guess"`, auth, false, "Access-Reject"},
		{"wrong secret", "auth", "another", `User-Name = "ana@isp", User-Password = "secret-ana@isp", Message-Authenticator = 0x00`, auth, false, "No reply"},
		{"status", "status", doorSecret, `Message-Authenticator = 0x00`, auth, true, "Access-Accept"},
		{"status on the accounting port", "status", doorSecret, `Message-Authenticator = 0x00`, acct, true, "Accounting-Response"},
		{"unsigned status", "status", doorSecret, `NAS-Identifier = "x"`, auth, false, "No reply"},
		{"accounting", "acct", doorSecret, `User-Name = "ana@isp", Acct-Status-Type = Start, Acct-Session-Id = "1", Proxy-State = 0x0102`, acct, true, "Proxy-State = 0x0102"},
		{"accounting with a wrong secret", "acct", "another", `User-Name = "ana@isp", Acct-Status-Type = Start, Acct-Session-Id = "1"`, acct, false, "No reply"},
		{"accounting on the other port", "acct", doorSecret, `User-Name = "ana@isp", Acct-Status-Type = Start, Acct-Session-Id = "1"`, auth, false, "No reply"},
	} {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			out, ok := radclient(t, q.to, q.command, q.secret, q.attributes)
			if ok != q.ok || !strings.Contains(out, q.has) {
				t.Errorf("success %v, want %v with %q:\n%s", ok, q.ok, q.has, out)
			}
		})
	}
}

func TestRadclientMSCHAPv2(t *testing.T) {
	d := run(t, doorConfig())
	q := request(t, user("ana@isp"), msCHAPv2(t, "ana@isp", "secret-ana@isp"))
	v, _ := ParseView(q)
	c, _ := v.Vendor(vendorMicrosoft, msCHAPChallenge)
	r, _ := v.Vendor(vendorMicrosoft, msCHAP2Response)
	out, ok := radclient(t, d.AuthAddrs()[0], "auth", doorSecret,
		fmt.Sprintf(`User-Name = "ana@isp", MS-CHAP-Challenge = 0x%x, MS-CHAP2-Response = 0x%x`, c, r))
	if !ok || !strings.Contains(out, "MS-CHAP2-Success = 0x2a533d") || !strings.Contains(out, "MS-MPPE-Recv-Key = 0x") {
		t.Errorf("got:\n%s", out)
	}
}

// udp is a client socket from a fixed port.
func udp(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hear reads one datagram; nil when none comes in time.
func hear(t testing.TB, c *net.UDPConn, within time.Duration) []byte {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, maxPacket)
	n, err := c.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func TestSteeringByIdentifier(t *testing.T) {
	c := doorConfig()
	c.Workers = 4
	d := run(t, c)
	conn := udp(t, d.AuthAddrs()[0])
	q := request(t, user("ana@isp"), pap("secret-ana@isp"))
	for id := range 200 {
		q[1] = byte(id)
		for range 2 { // a retransmission reaches the worker that answered
			if _, err := conn.Write(q); err != nil {
				t.Fatal(err)
			}
			if b := hear(t, conn, 5*time.Second); len(b) < 20 || b[1] != byte(id) || b[0] != CodeAccessAccept {
				t.Fatalf("identifier %d: reply %x", id, b)
			}
		}
	}
	if got := testutil.ToFloat64(d.metrics.resent.WithLabelValues("bras1")); got != 200 {
		t.Errorf("%v of 200 retransmissions reached the worker that answered", got)
	}
	for i, s := range d.sockets {
		if n := len(s.worker.cache.ring); n != 50 {
			t.Errorf("worker %d of 4 answered %d of 200 requests, want 50", i, n)
		}
	}
}

func TestPortTaken(t *testing.T) {
	for _, share := range []bool{false, true} {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			if share {
				return reusePort(c)
			}
			return nil
		}}
		other, err := lc.ListenPacket(context.Background(), "udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		c := doorConfig()
		c.AuthAddrs = []string{"127.0.0.1:0", other.LocalAddr().String()}
		_, err = New(c)
		_, port, _ := net.SplitHostPort(other.LocalAddr().String())
		if err == nil || !strings.Contains(err.Error(), port) || !strings.Contains(err.Error(), "taken") || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("other shares %v: error %v does not say that port %s is taken", share, err, port)
		}
		c.AuthAddrs = []string{"127.0.0.1:0"}
		d, err := New(c)
		if err != nil {
			t.Fatalf("after a taken port nothing can be opened with the same registry: %v", err)
		}
		d.Close()
	}
}

func TestBadAddress(t *testing.T) {
	for _, a := range []string{"1812", "127.0.0.1:port", "127.0.0.1:99999", "nonsense:1:2"} {
		c := doorConfig()
		c.AuthAddrs = []string{a}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), a) {
			t.Errorf("address %q: error %v", a, err)
		}
	}
	c := doorConfig()
	c.AcctAddrs = []string{"127.0.0.1:0"}
	if _, err := New(c); err == nil {
		t.Error("accounting without a sink was accepted")
	}
}

func TestReplyLeavesFromTheAddressAsked(t *testing.T) {
	c := doorConfig()
	v4, v6 := doorDevice(), doorDevice()
	v4.Source = netip.MustParsePrefix("127.0.0.0/8")
	v6.ID, v6.Name, v6.Source = 2, "bras6", netip.MustParsePrefix("::1/128")
	c.Devices.Set([]nas.Device{v4, v6})
	c.AuthAddrs = []string{":0"}
	d := run(t, c)
	port := d.AuthAddrs()[0].Port()
	if len(d.AuthAddrs()) != 2 || d.AuthAddrs()[1].Port() != port {
		t.Fatalf("bound to %v, want IPv4 and IPv6 with one port", d.AuthAddrs())
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.8.9.10", "::1"} {
		conn := udp(t, netip.AddrPortFrom(netip.MustParseAddr(host), port)) // connected: hears this address only
		q := request(t, user("ana@isp"), pap("secret-ana@isp"))
		if _, err := conn.Write(q); err != nil {
			t.Fatal(err)
		}
		checkedReply(t, q, hear(t, conn, 5*time.Second))
	}
}

func TestRejectDelay(t *testing.T) {
	c := doorConfig()
	c.RejectDelay = 300 * time.Millisecond
	d := run(t, c)
	conn := udp(t, d.AuthAddrs()[0])
	refused := request(t, user("ana@isp"), pap("guess"))
	begin := time.Now()
	for range 3 { // retransmissions while it waits are not evaluated and do not shorten the wait
		if _, err := conn.Write(refused); err != nil {
			t.Fatal(err)
		}
	}
	b := hear(t, conn, 5*time.Second)
	if p := checkedReply(t, refused, b); p.Code != layeh.CodeAccessReject || time.Since(begin) < c.RejectDelay {
		t.Errorf("%s after %s", p.Code, time.Since(begin))
	}
	if r := d.Refusals().Recent("ana@isp", 9); len(r) != 1 || r[0].Count != 1 {
		t.Errorf("refusals %+v, want one", r)
	}
	if _, err := conn.Write(refused); err != nil {
		t.Fatal(err)
	}
	if again := hear(t, conn, 5*time.Second); !bytes.Equal(again, b) {
		t.Errorf("after the delay the retransmission got %x, want %x", again, b)
	}
	blocked := request(t, user("max"), pap("secret-max"))
	if _, err := conn.Write(blocked); err != nil {
		t.Fatal(err)
	}
	checkedReply(t, blocked, hear(t, conn, 5*time.Second))
	if got := d.delay.waiting(); got != 0 {
		t.Errorf("%d refusals still wait", got)
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	c := doorConfig()
	c.Metrics = prometheus.NewRegistry()
	c.Sink, c.AcctAddrs = &slowSink{answerAt: 2}, []string{"127.0.0.1:0"}
	c.RejectDelay = time.Millisecond
	d := run(t, c)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			auth, acct := udp(t, d.AuthAddrs()[0]), udp(t, d.AcctAddrs()[0])
			for range 100 {
				for _, x := range []struct {
					conn *net.UDPConn
					q    []byte
				}{
					{auth, request(t, user("ana@isp"), chap(1, "secret-ana@isp"))},
					{auth, request(t, user("nobody"), pap("x"))},
					{acct, accounting(t, user("ana@isp"))},
				} {
					if _, err := x.conn.Write(x.q); err != nil {
						t.Error(err)
						return
					}
					b := hear(t, x.conn, 5*time.Second)
					if b == nil || b[1] != x.q[1] {
						t.Errorf("code %d: reply %x", x.q[0], b)
						return
					}
				}
			}
		})
	}
	// Meanwhile everything that can change changes.
	stop := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			d.devices.Set([]nas.Device{doorDevice()})
			s := *d.directory.Lookup([]byte("ana@isp"))
			d.directory.Put(&s)
			d.directory.SetFresh(doorNow)
			d.Refusals().Recent("", 10)
		}
	})
	clients.Wait()
	close(stop)
	changes.Wait()
}
