package radius

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"

	"enlace/nas"
	"enlace/nas/nastest"
)

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
