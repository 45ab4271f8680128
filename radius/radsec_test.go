package radius

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"

	"enlace/nas"
	"enlace/nas/nastest"
)

// secure is a door with RadSec, the authority that its peers come from, and where its certificates lie.
type secure struct {
	*Door
	t         *testing.T
	authority *nastest.Authority
	dir       string
	config    Config
}

const brasName = "bras1.example.net"

// secured opens a door for one device, known by the name in its certificate.
func secured(t *testing.T, change func(*Config)) *secure {
	t.Helper()
	s := &secure{t: t, dir: t.TempDir(), config: doorConfig()}
	s.authority = s.newAuthority()
	s.put(s.authority, s.issue(s.authority, "server", "localhost"))
	dev := doorDevice()
	dev.Source, dev.Certificate, dev.MessageAuthenticator = netip.Prefix{}, brasName, nas.RequireMA
	s.config.Devices.Set([]nas.Device{dev})
	s.config.Sink = &slowSink{answerAt: 1}
	s.config.RadSec = RadSec{Addrs: []string{"127.0.0.1:0"}, CertFile: s.file("cert"), KeyFile: s.file("key"), CAFile: s.file("ca"), ReloadEvery: 10 * time.Millisecond}
	if change != nil {
		change(&s.config)
	}
	t.Cleanup(s.nothingIsLeft) // after the door was shut
	s.Door = run(t, s.config)
	return s
}

func (s *secure) file(name string) string { return filepath.Join(s.dir, name) }

func (s *secure) newAuthority() *nastest.Authority {
	a, err := nastest.NewAuthority("authority")
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *secure) issue(a *nastest.Authority, cn string, names ...string) *nastest.Certificate {
	s.t.Helper()
	c, err := a.Issue(cn, names, time.Now().Add(time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// put writes what the door shows and whom it believes.
func (s *secure) put(a *nastest.Authority, c *nastest.Certificate) {
	s.t.Helper()
	if err := errors.Join(os.WriteFile(s.file("ca"), a.PEM, 0o600), c.Write(s.file("cert"), s.file("key"))); err != nil {
		s.t.Fatal(err)
	}
}

// nothingIsLeft wants every goroutine of every connection gone.
func (s *secure) nothingIsLeft() {
	deadline := time.Now().Add(5 * time.Second)
	for {
		var b bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&b, 1)
		if !strings.Contains(b.String(), "radius.(*connection)") && !strings.Contains(b.String(), "radius.(*radsec)") {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("goroutines are left:\n%s", &b)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// client is a hand-written RadSec client.
type client struct {
	*tls.Conn
	t      *testing.T
	frames *frames
}

// dial connects with a certificate, or with none.
func (s *secure) dial(with *nastest.Certificate) (*client, error) {
	config := &tls.Config{RootCAs: s.authority.Pool(), ServerName: "localhost"}
	if with != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &with.TLS, nil }
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", s.RadSecAddrs()[0].String(), config)
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{conn, s.t, newFrames(conn)}, nil
}

// bras connects as the device.
func (s *secure) bras() *client {
	s.t.Helper()
	c, err := s.dial(s.issue(s.authority, "bras1", brasName))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (c *client) send(packets ...[]byte) {
	c.t.Helper()
	if _, err := c.Write(bytes.Join(packets, nil)); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads a reply and checks that it belongs to a request and was made with RadSec's secret.
func (c *client) reply(request []byte, code layeh.Code) {
	c.t.Helper()
	b, err := c.frames.next()
	if err != nil {
		c.t.Fatalf("no reply: %v", err)
	}
	if b[1] != request[1] || !layeh.IsAuthenticResponse(b, request, []byte(radsecSecret)) || layeh.Code(b[0]) != code {
		c.t.Fatalf("a reply %x to %x, want a %s", b, request, code)
	}
}

// ended wants the connection closed with nothing more said.
func (c *client) ended(why string) {
	c.t.Helper()
	if b, err := c.frames.next(); err == nil {
		c.t.Errorf("%s: answered with %x", why, b)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("%s: the connection stays open", why)
	}
}

// over is a packet with RadSec's secret under an Identifier.
func over(t testing.TB, id byte, code layeh.Code, add ...func(*layeh.Packet) error) []byte {
	t.Helper()
	p := layeh.New(code, []byte(radsecSecret))
	p.Identifier = id
	for _, f := range add {
		if err := f(p); err != nil {
			t.Fatal(err)
		}
	}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if maOffset(b) > 0 {
		sign(b, radsecSecret)
	}
	return b
}

func overLogin(t testing.TB, id byte) []byte {
	return over(t, id, layeh.CodeAccessRequest, user("ana@isp"), pap("secret-ana@isp"))
}
func overStatus(t testing.TB, id byte) []byte {
	return over(t, id, layeh.CodeStatusServer, unsigned)
}
func overStart(t testing.TB, id byte) []byte {
	return over(t, id, layeh.CodeAccountingRequest, user("ana@isp"))
}

func (s *secure) counted(what string, c prometheus.Counter, n float64) {
	s.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for testutil.ToFloat64(c) != n {
		if time.Now().After(deadline) {
			s.t.Errorf("%s: counted %v times, want %v", what, testutil.ToFloat64(c), n)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *secure) refused(result string, n float64) {
	s.t.Helper()
	s.counted(result, s.radsec.connections.WithLabelValues(result), n)
}

func (s *secure) closedFor(reason string, n float64) {
	s.t.Helper()
	s.counted(reason, s.radsec.closed.WithLabelValues("bras1", reason), n)
}

func TestRadSecAnswersHoweverTheStreamIsCut(t *testing.T) {
	s := secured(t, nil)
	c := s.bras()
	kinds := []struct {
		make func(testing.TB, byte) []byte
		code layeh.Code
	}{{overLogin, layeh.CodeAccessAccept}, {overStart, layeh.CodeAccountingResponse}, {overStatus, layeh.CodeAccessAccept}}
	for i, k := range kinds { // one byte in a record
		q := k.make(t, byte(i))
		for j := range q {
			c.send(q[j : j+1])
		}
		c.reply(q, k.code)
	}
	for _, version := range []int{1, 2, 7} { // many packets in a record, and more
		var all [][]byte
		for i := range 200 {
			all = append(all, kinds[i%3].make(t, byte(i)))
		}
		stream := bytes.Join(all, nil)
		for len(stream) > 0 {
			n := min(len(stream), 16000/version)
			c.send(stream[:n])
			stream = stream[n:]
		}
		for i, q := range all {
			c.reply(q, kinds[i%3].code)
		}
	}
	c.Close()
	s.closedFor("peer", 1)
	if got := testutil.ToFloat64(s.metrics.requests.WithLabelValues("bras1", "Accounting-Request")); got != 202 {
		t.Errorf("%v accounting requests were counted", got)
	}
}

func TestRadSecTurnsStrangersAway(t *testing.T) {
	s := secured(t, func(c *Config) {
		one, two := doorDevice(), doorDevice()
		one.Certificate = brasName
		two.ID, two.Name, two.Source, two.Certificate = 2, "bras2", netip.MustParsePrefix("127.0.0.2/32"), "bras2.example.net"
		c.Devices.Set([]nas.Device{one, two})
	})
	expired, err := s.authority.Issue("bras1", []string{brasName}, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		with   *nastest.Certificate
		result string
	}{
		"no certificate":                    {nil, "no_certificate"},
		"another authority":                 {s.issue(s.newAuthority(), "bras1", brasName), "bad_certificate"},
		"an expired certificate":            {expired, "bad_certificate"},
		"a name that is no device's":        {s.issue(s.authority, "bras9", "bras9.example.net"), "no_device"},
		"a common name beside another name": {s.issue(s.authority, brasName, "bras9.example.net"), "no_device"},
		"a name below the device's":         {s.issue(s.authority, "", "x."+brasName), "no_device"},
		"the names of two devices":          {s.issue(s.authority, "", brasName, "bras2.example.net"), "no_device"},
		"no name at all":                    {s.issue(s.authority, ""), "no_device"},
		"an address that is a device's own": {s.issue(s.authority, "127.0.0.1"), "no_device"},
	} {
		before := testutil.ToFloat64(s.radsec.connections.WithLabelValues(c.result))
		conn, err := s.dial(c.with)
		if err == nil { // TLS 1.3: the client believes before the server has judged
			conn.Write(overLogin(t, 1))
			conn.ended(what)
		}
		s.refused(c.result, before+1)
	}
	if got := testutil.ToFloat64(s.metrics.requests.WithLabelValues("bras1", "Access-Request")); got != 0 {
		t.Errorf("%v packets of strangers were looked at", got)
	}
	c := s.bras() // and whoever belongs is served
	q := overLogin(t, 1)
	c.send(q)
	c.reply(q, layeh.CodeAccessAccept)
}

func TestRadSecKnowsDevicesByCertificate(t *testing.T) {
	s := secured(t, nil)
	pinned := s.issue(s.authority, "anything")
	dev := doorDevice()
	for identity, with := range map[string]*nastest.Certificate{
		brasName:                            s.issue(s.authority, "other", "other.example.net", "BRAS1.Example.net"),
		"bras1":                             s.issue(s.authority, "Bras1"),
		peerOf(pinned.TLS.Leaf).fingerprint: pinned,
	} {
		dev.Certificate = identity
		s.config.Devices.Set([]nas.Device{dev})
		c, err := s.dial(with)
		if err != nil {
			t.Fatal(err)
		}
		q := overLogin(t, 1)
		c.send(q)
		c.reply(q, layeh.CodeAccessAccept)
	}
	dev.Certificate = brasName
	s.config.Devices.Set([]nas.Device{dev})
	c := s.bras()
	q := overLogin(t, 1)
	c.send(q)
	c.reply(q, layeh.CodeAccessAccept)
	dev.Certificate = "bras7.example.net" // the operator gives the device another
	s.config.Devices.Set([]nas.Device{dev})
	c.send(overLogin(t, 2))
	c.ended("a certificate that is the device's no longer")
	s.closedFor("device_gone", 1)
}

func TestRadSecEndsWhatMakesNoSense(t *testing.T) {
	s := secured(t, nil)
	broken := overLogin(t, 1)
	broken[len(broken)-17]++ // the length of an attribute
	forged := over(t, 1, layeh.CodeAccessRequest, user("ana@isp"), pap("secret-ana@isp"), unsigned)
	forged[4]++
	falseStart := overStart(t, 1)
	falseStart[4]++
	for i, c := range []struct {
		what   string
		sent   []byte
		reason string
	}{
		{"garbage", bytes.Repeat([]byte{0xff}, 5000), "malformed"},
		{"a length of 19", append([]byte{1, 1, 0, 19}, make([]byte, 30)...), "malformed"},
		{"a length of 4097", append([]byte{1, 1, 0x10, 1}, make([]byte, 30)...), "malformed"},
		{"attributes that do not fit", broken, "distrusted"},
		{"a forged Message-Authenticator", forged, "distrusted"},
		{"an accounting request with another secret", falseStart, "distrusted"},
		{"a Status-Server without Message-Authenticator", over(t, 1, layeh.CodeStatusServer), "distrusted"},
	} {
		conn := s.bras()
		before := testutil.ToFloat64(s.radsec.closed.WithLabelValues("bras1", c.reason))
		q := overStatus(t, byte(i))
		conn.send(q)
		conn.reply(q, layeh.CodeAccessAccept)
		conn.send(c.sent, overStatus(t, 9)) // not with q: a reset, for what was not read, takes back the reply
		conn.ended(c.what)
		s.closedFor(c.reason, before+1)
	}
	conn := s.bras() // a code that does not belong here is passed over
	q := overLogin(t, 3)
	conn.send(over(t, 2, layeh.CodeCoARequest), q)
	conn.reply(q, layeh.CodeAccessAccept)
	raw, err := net.Dial("tcp", s.RadSecAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	raw.Write(overLogin(t, 1))
	if b, err := io.ReadAll(raw); errors.Is(err, os.ErrDeadlineExceeded) || bytes.Contains(b, []byte{2, 1}) {
		t.Errorf("RADIUS without TLS was answered with %x, %v", b, err)
	}
	s.refused("handshake", 1)
}

func TestRadSecTimeouts(t *testing.T) {
	s := secured(t, func(c *Config) {
		c.RadSec.IdleTimeout, c.RadSec.PacketTimeout, c.RadSec.HandshakeTimeout = 400*time.Millisecond, 150*time.Millisecond, 150*time.Millisecond
	})
	raw, err := net.Dial("tcp", s.RadSecAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	alive := s.bras()
	begin := time.Now()
	for i := 0; time.Since(begin) < time.Second; i++ { // Status-Server keeps it open
		q := overStatus(t, byte(i))
		alive.send(q)
		alive.reply(q, layeh.CodeAccessAccept)
		time.Sleep(50 * time.Millisecond)
	}
	s.refused("handshake", 1)
	alive.ended("nothing sent")
	s.closedFor("idle", 1)
	half := s.bras()
	half.send(overLogin(t, 1)[:30])
	half.ended("half a packet")
	s.closedFor("stalled", 1)
}

// TestRadSecSlowReaders: who asks and does not read is cut off, and keeps nobody waiting.
func TestRadSecSlowReaders(t *testing.T) {
	s := secured(t, func(c *Config) { c.RadSec.WriteTimeout = 30 * time.Second })
	other := s.bras()
	slow := s.bras()
	slow.NetConn().(*net.TCPConn).SetReadBuffer(4096)
	var filler []func(*layeh.Packet) error
	filler = append(filler, unsigned)
	for range 15 {
		filler = append(filler, proxyState(strings.Repeat("x", 250)))
	}
	big := over(t, 1, layeh.CodeStatusServer, filler...)
	slow.SetWriteDeadline(time.Now().Add(20 * time.Second))
	for i := 0; i < 20000; i++ {
		if _, err := slow.Write(big); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the slow reader is waited for")
			}
			break
		}
	}
	s.closedFor("slow_reader", 1)
	q := overLogin(t, 1)
	other.send(q)
	other.reply(q, layeh.CodeAccessAccept)
}

func TestRadSecBounds(t *testing.T) {
	s := secured(t, func(c *Config) { c.RadSec.MaxPerDevice, c.RadSec.MaxConnections = 2, 3 })
	joined := func(identifier byte) *client { // a handshake is over for the client before the server has seen its certificate
		c := s.bras()
		q := overLogin(t, identifier)
		c.send(q)
		c.reply(q, layeh.CodeAccessAccept)
		return c
	}
	first, second, third := joined(11), joined(12), joined(13)
	first.ended("the oldest of three where two are allowed")
	s.closedFor("replaced", 1)
	for i, c := range []*client{second, third} {
		q := overLogin(t, byte(i))
		c.send(q)
		c.reply(q, layeh.CodeAccessAccept)
	}
	var idle []net.Conn
	for range maxFromOne + 5 {
		c, err := net.Dial("tcp", s.RadSecAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	s.refused("limit", 5)
	for _, c := range idle {
		c.Close()
	}
	s.refused("handshake", maxFromOne)
	s.bras()
}

// TestRadSecAnswersWhenDurable: an accounting answer comes when the record is durable, on the connection of its request,
// and nowhere when that is gone. A retransmission is told by connection.
func TestRadSecAnswersWhenDurable(t *testing.T) {
	sink := &slowSink{}
	s := secured(t, func(c *Config) { c.Sink = sink })
	one, two := s.bras(), s.bras()
	q := overStart(t, 7)
	for _, c := range []*client{one, one, two} { // the second is a retransmission, the third is not
		c.send(q)
		status := overStatus(t, 8)
		c.send(status)
		c.reply(status, layeh.CodeAccessAccept)
	}
	if n := sink.times.Load(); n != 2 {
		t.Fatalf("%d records were taken, want one of each connection", n)
	}
	sink.held(1).Answer()
	two.reply(q, layeh.CodeAccountingResponse)
	one.Close()
	s.closedFor("peer", 1)
	before := testutil.ToFloat64(s.metrics.unsent)
	sink.held(0).Answer()
	s.counted("an answer to who has gone", s.metrics.unsent, before+1)
	two.send(q)
	two.reply(q, layeh.CodeAccountingResponse)
	if n := sink.times.Load(); n != 2 {
		t.Errorf("a retransmission after the answer was taken as new: %d records", n)
	}
}

// TestRadSecShutsWithAnswers: what becomes durable while the door shuts is still answered.
func TestRadSecShutsWithAnswers(t *testing.T) {
	s := &secure{t: t, dir: t.TempDir(), config: doorConfig()}
	s.authority = s.newAuthority()
	s.put(s.authority, s.issue(s.authority, "server", "localhost"))
	dev := doorDevice()
	dev.Certificate = brasName
	sink := &slowSink{}
	s.config.Devices.Set([]nas.Device{dev})
	s.config.Sink, s.config.RadSec = sink, RadSec{Addrs: []string{"127.0.0.1:0"}, CertFile: s.file("cert"), KeyFile: s.file("key"), CAFile: s.file("ca")}
	d, err := New(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.Door = d
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	c := s.bras()
	q, status := overStart(t, 7), overStatus(t, 8)
	c.send(q, status)
	c.reply(status, layeh.CodeAccessAccept)
	cancel()
	for {
		raw, err := net.Dial("tcp", d.RadSecAddrs()[0].String())
		if err != nil {
			break // it has begun to shut
		}
		raw.Close()
	}
	sink.held(0).Answer()
	c.reply(q, layeh.CodeAccountingResponse)
	c.ended("the door is shut")
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.nothingIsLeft()
}

func TestRadSecTakesNewCertificates(t *testing.T) {
	s := secured(t, nil)
	shown := func() string {
		t.Helper()
		c := s.bras()
		q := overLogin(t, 1)
		c.send(q)
		c.reply(q, layeh.CodeAccessAccept)
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	eventually := func(what string, f func() bool) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not in time", what)
			}
		}
	}
	if cn := shown(); cn != "server" {
		t.Fatalf("it shows %q", cn)
	}
	stays := s.bras()

	s.put(s.authority, s.issue(s.authority, "renewed", "localhost"))
	eventually("the renewed certificate is shown", func() bool { return shown() == "renewed" })

	expired, err := s.authority.Issue("expired", []string{"localhost"}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	other := s.issue(s.authority, "half", "localhost")
	renewed := s.issue(s.authority, "again", "localhost")
	for what, spoil := range map[string]func() error{
		"an empty file":                  func() error { return os.WriteFile(s.file("cert"), nil, 0o600) },
		"no file":                        func() error { return os.Remove(s.file("key")) },
		"a key of another certificate":   func() error { return os.WriteFile(s.file("key"), other.KeyPEM, 0o600) },
		"an expired certificate":         func() error { return expired.Write(s.file("cert"), s.file("key")) },
		"authorities that are none":      func() error { return os.WriteFile(s.file("ca"), []byte("none"), 0o600) },
		"an authority that is cut short": func() error { return os.WriteFile(s.file("ca"), s.authority.PEM[:200], 0o600) },
	} {
		was := s.radsec.credentials.serverConfig().Certificates[0].Leaf.Subject.CommonName
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		eventually(what+" is noticed", s.radsec.credentials.failed.Load)
		if cn := shown(); cn != was {
			t.Errorf("with %s it shows %q, want %q", what, cn, was)
		}
		s.put(s.authority, renewed)
		eventually("what is right again is taken", func() bool { return !s.radsec.credentials.failed.Load() })
	}

	next := s.newAuthority()
	s.put(next, s.issue(s.authority, "believes another", "localhost"))
	eventually("another authority is believed", func() bool {
		c, err := s.dial(s.issue(next, "bras1", brasName))
		if err != nil {
			return false
		}
		q := overStatus(t, 1)
		c.Write(q)
		_, err = c.frames.next()
		return err == nil
	})
	c, err := s.dial(s.issue(s.authority, "bras1", brasName))
	if err == nil {
		c.Write(overLogin(t, 1))
		c.ended("the former authority")
	}
	q := overLogin(t, 2)
	stays.send(q)
	stays.reply(q, layeh.CodeAccessAccept) // connections go on as they were made
}

func TestRadSecNeedsItsFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad"), []byte("bad"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"bad", "missing"} {
		c := doorConfig()
		c.Sink = &slowSink{}
		name := filepath.Join(dir, file)
		c.RadSec = RadSec{Addrs: []string{"127.0.0.1:0"}, CertFile: name, KeyFile: name, CAFile: name}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestRadSecCertificateEnds: a connection does not outlive the certificate that made it.
func TestRadSecCertificateEnds(t *testing.T) {
	s := secured(t, nil)
	short, err := s.authority.Issue("bras1", []string{brasName}, time.Now().Add(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.dial(short)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		q := overStatus(t, byte(i))
		if _, err := c.Write(q); err != nil {
			break
		}
		if _, err := c.frames.next(); err != nil {
			if time.Now().Before(short.TLS.Leaf.NotAfter) {
				t.Fatalf("ended %s before the certificate: %v", time.Until(short.TLS.Leaf.NotAfter), err)
			}
			break
		}
		if time.Since(short.TLS.Leaf.NotAfter) > 3*time.Second {
			t.Fatal("the connection outlives its certificate")
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.closedFor("certificate_expired", 1)
}
