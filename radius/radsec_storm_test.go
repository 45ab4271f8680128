package radius

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2866"

	"enlace/nas"
)

// tardySink takes a moment for each record.
type tardySink struct{}

func (s *tardySink) Submit(_ *nas.Device, _ []byte, _ netip.AddrPort, _ time.Time, a Answerer) bool {
	time.Sleep(2 * time.Millisecond)
	a.Answer()
	return true
}

func (s *tardySink) Load() float64 { return 0 }

// TestRadSecFallsBehind has a peer send more than is served: Interim-Updates give way, on every port, until it is served
// without anything waiting.
func TestRadSecFallsBehind(t *testing.T) {
	s := secured(t, func(c *Config) { c.Sink = &tardySink{} })
	c := s.bras()
	go func() {
		for { // what is answered must be read
			if _, err := c.frames.next(); err != nil {
				return
			}
		}
	}()
	interim := func(i int) []byte {
		return over(t, byte(i), layeh.CodeAccountingRequest, user("ana@isp"), status(rfc2866.AcctStatusType_Value_InterimUpdate), proxyState(time.Duration(i).String()))
	}
	view, err := ParseView(interim(1))
	if err != nil {
		t.Fatal(err)
	}
	if s.sheds(view, s.clock()) {
		t.Fatal("interims are shed before anything has come")
	}
	shed := func() float64 {
		return testutil.ToFloat64(s.metrics.dropped.WithLabelValues("bras1", dropNames[dropShed]))
	}
	for i := 0; shed() == 0; i++ {
		if i > 100_000 {
			t.Fatal("nothing is shed")
		}
		if i < 2000 || i%100 == 0 {
			c.send(interim(i))
		}
	}
	if !s.sheds(view, s.clock()) {
		t.Error("interims on the other ports are not shed")
	}
	for deadline := time.Now().Add(30 * time.Second); s.sheds(view, s.clock()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it counts as behind for ever")
		}
	}
	before := shed()
	q := interim(77)
	quiet := s.bras()
	quiet.send(q)
	quiet.reply(q, layeh.CodeAccountingResponse)
	if shed() != before {
		t.Error("interims are shed though nothing waits")
	}
}

// TestRadSecSlowHandshakesGiveWay has one address open connections that say nothing: a device behind the same address
// comes in.
func TestRadSecSlowHandshakesGiveWay(t *testing.T) {
	s := secured(t, func(c *Config) { c.RadSec.HandshakeTimeout = time.Minute })
	for range maxFromOne {
		c, err := net.Dial("tcp", s.RadSecAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	with := s.issue(s.authority, "bras1", brasName)
	deadline := time.Now().Add(handshakePatience + 20*time.Second)
	for {
		c, err := s.dial(with)
		if err == nil {
			q := overLogin(t, 1)
			c.send(q)
			c.reply(q, layeh.CodeAccessAccept)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the device does not come in: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.refused("handshake", 1) // one of those that said nothing, and no more
	s.radsec.mu.Lock()
	defer s.radsec.mu.Unlock()
	if n := len(s.radsec.handshakes); n != maxFromOne-1 {
		t.Errorf("%d handshakes are open", n)
	}
}

// TestRadSecHandshakesAreBounded counts networks by what one subscriber may have, and all of them together.
func TestRadSecHandshakesAreBounded(t *testing.T) {
	r := &radsec{config: RadSec{MaxConnections: 1}, open: map[*connection]struct{}{}}
	in := func(from netip.Addr) *handshake {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		return r.begin(a, from)
	}
	for i := range maxFromOne + 3 { // hosts of one network
		a := netip.MustParseAddr("2001:db8::").As16()
		a[14], a[15] = byte(i>>8), byte(i)
		if got := in(netip.AddrFrom16(a)); (got != nil) != (i < maxFromOne) {
			t.Fatalf("host %d: %v", i, got)
		}
	}
	for i := range maxHandshakes {
		if got := in(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})); (got != nil) != (i < maxHandshakes-maxFromOne) {
			t.Fatalf("address %d: %v", i, got)
		}
	}
	r.handshakes[0].since = r.handshakes[0].since.Add(-handshakePatience)
	gone := r.handshakes[0]
	h := in(netip.MustParseAddr("192.0.2.1"))
	if h == nil || len(r.handshakes) != maxHandshakes || r.handshakes[0] == gone {
		t.Fatalf("the oldest does not give way: %v of %d", h, len(r.handshakes))
	}
	if _, err := gone.raw.Write([]byte{1}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("it is not closed: %v", err)
	}
	r.handshaken(gone) // no longer there
	r.handshaken(h)
	if len(r.handshakes) != maxHandshakes-1 {
		t.Errorf("%d", len(r.handshakes))
	}
}

// TestRadSecShutsWithoutReset has a peer send more while the door shuts: its answers and the end of the connection arrive.
func TestRadSecShutsWithoutReset(t *testing.T) {
	sink := &slowSink{}
	s := secured(t, func(c *Config) { c.Sink = sink })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	other := s.config
	other.Metrics = prometheus.NewRegistry()
	d, err := New(other)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	s.Door = d
	c := s.bras()
	q, status := overStart(t, 7), overStatus(t, 8)
	c.send(q, status)
	c.reply(status, layeh.CodeAccessAccept)
	cancel()
	<-d.radsec.stop
	for range 20 { // which nobody reads any more
		c.send(overStatus(t, 9))
	}
	sink.held(0).Answer()
	answered := false
	for err == nil { // some of what came late may have been read all the same
		var b []byte
		if b, err = c.frames.next(); err == nil && b[1] == q[1] {
			answered = layeh.IsAuthenticResponse(b, q, []byte(radsecSecret))
		}
	}
	if !answered || !errors.Is(err, io.EOF) {
		t.Errorf("answered %v, and the connection ends with %v", answered, err)
	}
	if _, err := c.NetConn().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it is reset: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRadSecRefusalsAreRemembered: a router that dials again over RadSec is slowed down as one over UDP, and the many
// connections that there may be remember less each.
func TestRadSecRefusalsAreRemembered(t *testing.T) {
	s := secured(t, func(c *Config) { c.RejectDelay = 50 * time.Millisecond })
	c := s.bras()
	refused := func(id byte) {
		q := over(t, id, layeh.CodeAccessRequest, user("max"), pap("secret-max"))
		c.send(q)
		c.reply(q, layeh.CodeAccessReject)
	}
	refused(1)
	began := time.Now()
	refused(2)
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("the second refusal came after %v", took)
	}
	s.radsec.mu.Lock()
	defer s.radsec.mu.Unlock()
	for open := range s.radsec.open {
		if n := len(open.worker.redials.slots); n != redialSlotsRadSec {
			t.Errorf("%d places for refusals in a connection", n)
		}
	}
}
