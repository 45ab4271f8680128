package radius

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"

	"enlace/nas"
)

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
