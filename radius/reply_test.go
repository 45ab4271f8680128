package radius

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// ledger is a carrier that writes down what it is given.
type ledger struct {
	mu    sync.Mutex
	calls int
	sent  []string
}

func (c *ledger) send(letters []letter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	for _, l := range letters {
		c.sent = append(c.sent, string(l.bytes)+" to "+l.to.String())
	}
}

func TestAnswerAllSendsEachOnceByItsCarrier(t *testing.T) {
	c := doorConfig()
	c.Sink = &slowSink{}
	w := newHandler(t, c)
	var a, b ledger
	var answers []Answerer
	to := netip.MustParseAddrPort("127.0.0.1:7")
	for i, via := range []carrier{&a, &b, &a, &b, &a} {
		p := &packet{from: to, via: via, key: replyKey{id: byte(i)}}
		answers = append(answers, w.pend(p, uint64(i), []byte{'0' + byte(i)}, w.door.metrics.of(w.door.devices.lookup(doorFrom.Addr()))))
		w.door.pending.Add(1)
	}
	answers[2].Drop()
	answers[3].Answer()
	AnswerAll(append(answers, answers[0]))
	AnswerAll(answers)
	slices.Sort(a.sent)
	slices.Sort(b.sent)
	if want := []string{"0 to 127.0.0.1:7", "4 to 127.0.0.1:7"}; !slices.Equal(a.sent, want) || a.calls != 1 {
		t.Errorf("the first carrier sent %q in %d calls", a.sent, a.calls)
	}
	if want := []string{"1 to 127.0.0.1:7", "3 to 127.0.0.1:7"}; !slices.Equal(b.sent, want) || b.calls != 2 {
		t.Errorf("the second carrier sent %q in %d calls", b.sent, b.calls)
	}
	if n := w.door.pending.Load(); n != 0 {
		t.Errorf("%d replies still wait", n)
	}
	for i, r := range answers {
		if got := r.(*reply).ready(); got != (i != 2) {
			t.Errorf("reply %d: a retransmission may have it: %v", i, got)
		}
	}
}
