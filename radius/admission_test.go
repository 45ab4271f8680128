package radius

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2866"

	"enlace/nas"
)

// shortSink is an accounting sink with room for a few records, which stay until the test takes them out.
type shortSink struct {
	room    int
	waiting []Answerer
	kinds   []rfc2866.AcctStatusType
}

func (s *shortSink) Submit(_ *nas.Device, datagram []byte, _ netip.AddrPort, _ time.Time, a Answerer) bool {
	if len(s.waiting) == s.room {
		return false
	}
	p, err := layeh.Parse(datagram, []byte(doorSecret))
	if err != nil {
		panic(err)
	}
	s.waiting, s.kinds = append(s.waiting, a), append(s.kinds, rfc2866.AcctStatusType_Get(p))
	return true
}

func (s *shortSink) Load() float64 { return float64(len(s.waiting)) / float64(s.room) }

func status(kind rfc2866.AcctStatusType) func(*layeh.Packet) error {
	return func(p *layeh.Packet) error { return rfc2866.AcctStatusType_Add(p, kind) }
}

func accountant(t testing.TB, c Config) *worker {
	w := newHandler(t, c)
	t.Cleanup(w.door.Close)
	w.port = portAcct
	return w
}

func dropped(w *worker, r dropReason) int {
	return int(testutil.ToFloat64(w.door.metrics.dropped.WithLabelValues("bras1", dropNames[r])))
}

// With a sink that takes nothing away, Interim-Updates get half its queue and what is told once gets all of it.
func TestInterimsGiveWay(t *testing.T) {
	sink := &shortSink{room: 12}
	c := doorConfig()
	c.Sink = sink
	w := accountant(t, c)
	var way ledger
	given := 0
	give := func(kind rfc2866.AcctStatusType) []byte {
		given++
		q := accounting(t, user("ana@isp"), status(kind), proxyState(fmt.Sprint(given))) // no two are the same
		p := &packet{datagram: q, from: doorFrom, via: &way, now: doorNow, tick: w.tick(), device: w.door.devices.lookup(doorFrom.Addr())}
		if b := w.handleSafely(p); b != nil {
			t.Fatalf("answered before it is durable: %x", b)
		}
		return q
	}
	var shed []byte
	for range 9 {
		shed = give(rfc2866.AcctStatusType_Value_InterimUpdate)
	}
	if len(sink.waiting) != 6 || dropped(w, dropShed) != 3 {
		t.Fatalf("%d interims of 9 got in, %d were shed", len(sink.waiting), dropped(w, dropShed))
	}
	once := []rfc2866.AcctStatusType{rfc2866.AcctStatusType_Value_Start, rfc2866.AcctStatusType_Value_Stop,
		rfc2866.AcctStatusType_Value_AccountingOn, rfc2866.AcctStatusType_Value_AccountingOff, 15, rfc2866.AcctStatusType_Value_Start}
	for i, kind := range once {
		give(kind)
		give(rfc2866.AcctStatusType_Value_InterimUpdate)
		if len(sink.waiting) != 7+i || sink.kinds[6+i] != kind {
			t.Fatalf("%d records wait after %s, the last is %s", len(sink.waiting), kind, sink.kinds[len(sink.kinds)-1])
		}
	}
	if dropped(w, dropShed) != 3+len(once) || dropped(w, dropQueueFull) != 0 {
		t.Errorf("%d interims shed, %d records refused", dropped(w, dropShed), dropped(w, dropQueueFull))
	}
	give(rfc2866.AcctStatusType_Value_Stop)
	if dropped(w, dropQueueFull) != 1 {
		t.Error("a record beyond the queue was not counted")
	}
	// Room again: the retransmission of what was shed is a new record, and is answered.
	AnswerAll(sink.waiting)
	if len(way.sent) != 12 {
		t.Fatalf("%d answers of 12", len(way.sent))
	}
	sink.waiting = nil
	if w.give(shed); len(sink.waiting) != 1 {
		t.Error("an interim that was shed is not taken later")
	}
}

// A retransmission of an Interim-Update that was answered gets its answer whatever the pressure: it costs less than silence,
// after which it would come again.
func TestAnsweredInterimsAreNotShed(t *testing.T) {
	sink := &shortSink{room: 1}
	c := doorConfig()
	c.Sink = sink
	w := accountant(t, c)
	q := accounting(t, user("ana@isp"), status(rfc2866.AcctStatusType_Value_InterimUpdate))
	p := &packet{datagram: q, from: doorFrom, via: &ledger{}, now: doorNow, tick: w.tick(), device: w.door.devices.lookup(doorFrom.Addr())}
	w.handleSafely(p)
	sink.waiting[0].Answer()
	if w.give(q) == nil {
		t.Error("the retransmission got silence")
	}
}

// A socket that is not served falls behind: until it has caught up for a while, Interim-Updates are shed.
func TestSocketsFallBehind(t *testing.T) {
	for _, p := range []port{portAuth, portAcct} {
		c := doorConfig()
		c.Sink, c.AcctAddrs, c.AuthAddrs, c.Workers = &shortSink{room: 100}, []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, 1
		w := accountant(t, c)
		s := w.door.sockets[p]
		interim := accounting(t, user("ana@isp"), status(rfc2866.AcctStatusType_Value_InterimUpdate))
		view, err := ParseView(interim)
		if err != nil {
			t.Fatal(err)
		}
		conn := udp(t, localAddr(s.conn))
		send := func() {
			if _, err := conn.Write(make([]byte, maxPacket)); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 * batchSize {
			send()
		}
		s.gauge(w.tick())
		if w.door.sheds(view, w.tick()) {
			t.Errorf("%s: a burst counts as a storm", portNames[p])
		}
		before := w.door.overflows()
		for i := 0; s.memory.share(s.raw) <= behindShare; i++ {
			if send(); i > 1e6 {
				t.Fatal("the socket's buffer does not fill")
			}
		}
		if n := w.door.overflows(); n != before {
			t.Errorf("%s: it was behind only after %d datagrams were lost", portNames[p], n)
		}
		tick := w.tick()
		s.gauge(tick)
		if !w.door.sheds(view, tick) {
			t.Errorf("%s: interims are not shed", portNames[p])
		}
		start, err := ParseView(accounting(t, user("ana@isp"), status(rfc2866.AcctStatusType_Value_Start)))
		if err != nil || w.door.sheds(start, tick) {
			t.Errorf("%s: a Start is shed (%v)", portNames[p], err)
		}
		for i := 0; w.door.overflows() == before; i++ {
			if send(); i > 1e6 {
				t.Fatal("the socket never overflows")
			}
		}
		in := newInbox(s.info)
		if err := s.raw.Control(func(fd uintptr) {
			for in.receive(fd) {
			}
		}); err != nil {
			t.Fatal(err)
		}
		s.gauge(tick + time.Second)
		if w.door.sheds(view, tick+time.Second) {
			t.Errorf("%s: still behind with nothing waiting", portNames[p])
		}
	}
}

// Accounting that cannot keep up slows logins down at most.
func TestLoginsGoOnWhileAccountingIsBehind(t *testing.T) {
	d := run(t, doorConfig())
	d.admission.fell(portAcct, d.clock()+time.Hour)
	conn := udp(t, d.AuthAddrs()[0])
	widen(conn, 1<<20) // for all the replies
	seen := map[byte]bool{}
	for id := range 256 {
		q := request(t, user("ana@isp"), pap("secret-ana@isp"))
		q[1] = byte(id)
		if _, err := conn.Write(q); err != nil {
			t.Fatal(err)
		}
	}
	for range 256 {
		b := hear(t, conn, 5*time.Second)
		if len(b) < headerLen || b[0] != CodeAccessAccept {
			t.Fatalf("after %d accepts: %x", len(seen), b)
		}
		seen[b[1]] = true
	}
	if len(seen) != 256 {
		t.Error(fmt.Sprint(len(seen), " logins were answered"))
	}
}

// What is not an Accounting-Request of the usual shape is not taken for one that can be missed.
func TestOnlyInterimsCanBeMissed(t *testing.T) {
	for value, want := range map[string]bool{"\x00\x00\x00\x03": true, "\x00\x00\x00\x01": false, "\x03": false, "": false, "\x03\x00\x00\x03": false} {
		b := appendAttr(beginPacket(nil, CodeAccountingRequest, 1), acctStatusType, []byte(value))
		endPacket(b)
		v, err := ParseView(bytes.Clone(b))
		if err != nil || isInterim(v) != want {
			t.Errorf("Acct-Status-Type %x: %v, %v", value, isInterim(v), err)
		}
	}
}
