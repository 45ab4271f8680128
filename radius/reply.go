package radius

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// carrier takes replies to whoever asked: a UDP socket, a connection. Safe from any goroutine.
type carrier interface {
	// send takes the letters where they belong, one after the other, and waits for nobody beyond what the system needs to
	// take them. One that cannot be sent is counted and does not keep the others from going. What the letters hold is
	// the caller's again when send returns.
	send(letters []letter)
}

// letter is a packet on its way out.
type letter struct {
	bytes []byte
	to    netip.AddrPort
	oob   []byte // control message that makes it leave from the address asked
}

// replyState is the life of a reply.
type replyState = uint32

const (
	replyGiven   replyState = iota // sent; a retransmission gets it again
	replyPending                   // waits for durability or for a delay; a retransmission gets silence
	replySending                   // between the two; a retransmission gets it again, which does no harm
	replyDropping
	replyDropped // given up; a retransmission is a new request
)

// reply is an answer that is remembered, and that can be sent later from another goroutine. The worker owns it except
// while it is pending; then only Answer, AnswerAll and Drop touch it.
type reply struct {
	// What a lookup reads comes first, together.
	digest uint64 // of the whole request datagram
	at     time.Duration
	state  atomic.Uint32
	place  int // in the ring
	letter letter
	key    replyKey

	// Of one that is sent later.
	worker   *worker
	via      carrier
	series   *deviceSeries
	received time.Duration
	delayed  bool // on purpose: its latency says nothing
}

// Answer implements Answerer.
func (r *reply) Answer() {
	if !r.state.CompareAndSwap(replyPending, replySending) {
		return
	}
	m := mails.Get().(*mail)
	m.letters = append(m.letters, r.letter)
	r.via.send(m.letters)
	m.done()
	r.sent(r.worker.tick())
}

// sent ends a reply's sending.
func (r *reply) sent(now time.Duration) {
	if !r.delayed {
		r.series.accounted.Inc()
		r.worker.observe(now - r.received)
		r.worker.door.pending.Add(-1)
	}
	r.state.Store(replyGiven) // last, as in Drop
}

// Drop implements Answerer. Only accounting replies are dropped.
func (r *reply) Drop() {
	if !r.state.CompareAndSwap(replyPending, replyDropping) {
		return
	}
	r.worker.door.pending.Add(-1)
	r.state.Store(replyDropped) // last: from here on the worker may use the place for something else
}

// AnswerAll calls Answer for each, and sends what goes the same way in few system calls.
func AnswerAll(answers []Answerer) {
	m := mails.Get().(*mail)
	for _, a := range answers {
		r, ok := a.(*reply)
		if !ok {
			a.Answer()
		} else if r.state.CompareAndSwap(replyPending, replySending) {
			m.replies = append(m.replies, r)
		}
	}
	for rest := m.replies; len(rest) > 0; { // once for each carrier; they are few
		via, n := rest[0].via, 0
		m.letters = m.letters[:0]
		for i, r := range rest {
			if r.via == via {
				rest[i], rest[n] = rest[n], r
				n++
				m.letters = append(m.letters, r.letter)
			}
		}
		via.send(m.letters)
		now := rest[0].worker.tick()
		for _, r := range rest[:n] {
			r.sent(now)
		}
		rest = rest[n:]
	}
	m.done()
}

// mail is scratch space for sending.
type mail struct {
	replies []*reply
	letters []letter
}

var mails = sync.Pool{New: func() any { return new(mail) }}

func (m *mail) done() {
	clear(m.replies)
	clear(m.letters[:cap(m.letters)])
	m.replies, m.letters = m.replies[:0], m.letters[:0]
	mails.Put(m)
}
