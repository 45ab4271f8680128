package radius

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"enlace/nas"
)

// slowSink is an accounting sink whose durability the test decides.
type slowSink struct {
	mu       sync.Mutex
	waiting  []Answerer
	records  [][]byte
	answerAt int // 1: at once, inside Submit; 2: from another goroutine; 3: refuse; else when told
	times    atomic.Int64
}

func (s *slowSink) Submit(dev *nas.Device, datagram []byte, from netip.AddrPort, at time.Time, a Answerer) bool {
	s.times.Add(1)
	if dev.Name != "bras1" || !at.Equal(doorNow) || !from.IsValid() {
		panic("the sink was told something else")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, bytes.Clone(datagram))
	switch s.answerAt {
	case 1:
		a.Answer()
	case 2:
		go a.Answer()
	case 3:
		return false
	default:
		s.waiting = append(s.waiting, a)
	}
	return true
}

func (s *slowSink) Load() float64 { return 0 }

// held is the i-th reply that waits.
func (s *slowSink) held(i int) Answerer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[i]
}

func accounting(t testing.TB, add ...func(*layeh.Packet) error) []byte {
	t.Helper()
	p := layeh.New(layeh.CodeAccountingRequest, []byte(doorSecret))
	for _, f := range add {
		if err := f(p); err != nil {
			t.Fatal(err)
		}
	}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAccountingIsAnsweredWhenDurable(t *testing.T) {
	sink := &slowSink{}
	c := doorConfig()
	c.Sink, c.AcctAddrs = sink, []string{"127.0.0.1:0"}
	d := run(t, c)
	conn := udp(t, d.AcctAddrs()[0])
	give := func(b []byte) {
		t.Helper()
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func() int { sink.mu.Lock(); defer sink.mu.Unlock(); return len(sink.waiting) }
	dropped := func(reason string) float64 {
		return testutil.ToFloat64(d.metrics.dropped.WithLabelValues("bras1", reason))
	}

	q := accounting(t, user("ana@isp"), proxyState("p"))
	give(append(bytes.Clone(q), 0, 0)) // padded
	eventually(t, "the record reaches the sink", func() bool { return waiting() == 1 })
	if !bytes.Equal(sink.records[0], q) {
		t.Errorf("the sink got %x, want %x", sink.records[0], q)
	}
	give(q) // a retransmission while it is not durable: silence, and no second record
	eventually(t, "the retransmission is dropped", func() bool { return dropped("in_progress") == 1 })
	sink.held(0).Answer()
	b := hear(t, conn, 5*time.Second)
	p := checkedReply(t, q, b)
	if p.Code != layeh.CodeAccountingResponse || rfc2865.ProxyState_GetString(p) != "p" {
		t.Errorf("got %s with Proxy-State %q", p.Code, rfc2865.ProxyState_GetString(p))
	}
	sink.held(0).Answer() // a second time: nothing
	give(q)
	if again := hear(t, conn, 5*time.Second); !bytes.Equal(b, again) {
		t.Errorf("the retransmission got %x, want %x", again, b)
	}
	if n := sink.times.Load(); n != 1 {
		t.Errorf("the record was submitted %d times", n)
	}

	// Given up: the retransmission is a new record.
	q = accounting(t, user("rui"))
	give(q)
	eventually(t, "the second record", func() bool { return waiting() == 2 })
	sink.held(1).Drop()
	give(q)
	eventually(t, "its retransmission", func() bool { return waiting() == 3 })
	sink.held(2).Answer()
	checkedReply(t, q, hear(t, conn, 5*time.Second))

	// No room: silence, and the retransmission is a new record.
	sink.mu.Lock()
	sink.answerAt = 3
	sink.mu.Unlock()
	q = accounting(t, user("eva"))
	give(q)
	eventually(t, "the refused record is counted", func() bool { return dropped("queue_full") == 1 })
	sink.mu.Lock()
	sink.answerAt = 2
	sink.mu.Unlock()
	give(q)
	checkedReply(t, q, hear(t, conn, 5*time.Second))

	// Signed with another secret, or altered: silence.
	q = accounting(t, user("zoe"))
	q[len(q)-1] ^= 1
	give(q)
	eventually(t, "the forged record is counted", func() bool { return dropped("bad_authenticator") == 1 })
	if n := d.pending.Load(); n != 0 {
		t.Errorf("%d replies still wait", n)
	}
}

func TestAccountingMessageAuthenticator(t *testing.T) {
	c := doorConfig()
	c.Sink, c.AcctAddrs = &slowSink{answerAt: 1}, []string{"127.0.0.1:0"}
	d := run(t, c)
	out, ok := radclient(t, d.AcctAddrs()[0], "acct", doorSecret, `User-Name = "ana@isp", Acct-Status-Type = Start, Acct-Session-Id = "1", Message-Authenticator = 0x00`)
	if !ok || !strings.Contains(out, "Accounting-Response") {
		t.Errorf("got:\n%s", out)
	}
	conn := udp(t, d.AcctAddrs()[0])
	forged := accounting(t, unsigned) // the Accounting-Request verifies, the zeros in its Message-Authenticator do not
	if _, err := conn.Write(forged); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the forged record is counted", func() bool {
		return testutil.ToFloat64(d.metrics.dropped.WithLabelValues("bras1", "bad_message_authenticator")) == 1
	})
}

func TestShutdownWaitsForDurability(t *testing.T) {
	sink := &slowSink{}
	c := doorConfig()
	c.Sink, c.AcctAddrs = sink, []string{"127.0.0.1:0"}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	conn := udp(t, d.AcctAddrs()[0])
	q := accounting(t, user("ana@isp"))
	if _, err := conn.Write(q); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record reaches the sink", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return len(sink.waiting) == 1
	})
	cancel()
	select {
	case <-done:
		t.Fatal("the door shut before the record was durable")
	case <-time.After(50 * time.Millisecond):
	}
	sink.held(0).Answer()
	checkedReply(t, q, hear(t, conn, 5*time.Second))
	if err := <-done; err != nil {
		t.Error(err)
	}
	sink.held(0).Answer() // after the end: nothing
}
