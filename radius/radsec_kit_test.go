package radius

import (
	"bytes"
	"crypto/tls"
	"errors"
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
