package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// port is which of a server's two ports a request goes to.
type port uint8

const (
	portAuth port = iota
	portAcct
	ports = iota
)

// crowd is how a load is laid on: from how many ports, with how many requests under way on each, how fast and how long.
type crowd struct {
	servers  [ports]netip.AddrPort // those asked; the others are zero
	source   netip.Addr
	sockets  int
	window   int     // 1 to 128, for each socket
	rate     float64 // begun a second, all together; 0: as fast as the answers come
	duration time.Duration
	timeout  time.Duration
	check    bool // verify every reply, not one in sampleEvery
	bare     bool // the server's replies may lack a Message-Authenticator
}

func (c crowd) codec(secret string) *codec {
	codec := newCodec([]byte(secret))
	codec.bare = c.bare
	return codec
}

const sampleEvery = 64

// load decides what is asked next and what an answer is worth. One load serves the slots of one loop, from one goroutine.
type load interface {
	// next puts the slot's next request and its port in place; false when the slot has asked all it had.
	next(s *slot) bool
	// judge takes the reply; more is true when the slot goes on at once with what belongs to it.
	judge(s *slot, reply []byte) (v verdict, more bool)
	// lost is told of a request that no reply came to.
	lost(s *slot)
}

// verdict is what a reply is worth.
type verdict uint8

const (
	accepted verdict = iota
	rejected
	answered // Accounting-Response, or an echo
	wrong    // does not verify, or cannot be a reply to this
	verdicts = iota
)

// slot is one place in a socket's window: at most one request under way.
type slot struct {
	lane    *lane
	number  int  // among all slots of the crowd
	local   int  // among those of its loop
	base    byte // its identifiers are base, base+window, base+2*window ...
	spin    int  // of the identifiers
	turn    int  // requests or sessions begun
	request []byte
	port    port
	pending bool
	since   time.Duration // when the request was due
	sent    time.Duration // then, or as soon as the slot was free
}

// identifier is the slot's next: never one that was just used, so that a late reply is known for what it is.
func (s *slot) identifier(window int) byte {
	id := int(s.base) + window*s.spin
	s.spin = (s.spin + 1) % (256 / window)
	return byte(id)
}

// lane is one source port for each of the server's ports.
type lane struct {
	fds   [ports]int
	slots []*slot
	idle  []*slot
}

// result is what came of a load.
type result struct {
	sent, lost, stray, unsent uint64
	verdicts                  [verdicts]uint64
	wholes                    uint64 // sessions from login to Stop
	opened                    uint64 // sessions of which at least the Start was sent
	latency                   [ports]histogram
	elapsed                   time.Duration // until the last reply
	problem                   string        // of the first wrong reply
}

func (r *result) replies() uint64 {
	n := uint64(0)
	for _, v := range r.verdicts {
		n += v
	}
	return n
}

func (r *result) rate() float64 { return perSecond(r.replies(), r.elapsed) }

func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

func (r *result) merge(o *result) {
	r.sent, r.lost, r.stray, r.unsent = r.sent+o.sent, r.lost+o.lost, r.stray+o.stray, r.unsent+o.unsent
	r.wholes += o.wholes
	for i := range r.verdicts {
		r.verdicts[i] += o.verdicts[i]
	}
	for i := range r.latency {
		r.latency[i].merge(&o.latency[i])
	}
	r.elapsed = max(r.elapsed, o.elapsed)
	if r.problem == "" {
		r.problem = o.problem
	}
}

// run lays the load on until its time is over, it has nothing more to ask, or ctx ends; then it waits for what is under
// way. prepare makes the load of a loop; it is called from several goroutines.
func (c crowd) run(ctx context.Context, prepare func(slots []*slot, r *result) load) (*result, error) {
	n := min(runtime.GOMAXPROCS(0), c.sockets)
	// With one to spare, Go's scheduler leaves a loop its own while it waits for replies, instead of watching every 20 µs.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1))
	loops := []*loop{}
	defer func() {
		for _, l := range loops {
			l.close()
		}
	}()
	for i := range n {
		l := &loop{crowd: c, in: newInbox()}
		loops = append(loops, l)
		for p := range l.out {
			l.out[p] = newOutbox()
		}
		for j := i; j < c.sockets; j += n {
			if err := l.addLane(j); err != nil {
				return nil, err
			}
		}
		l.crowd.rate = c.rate * float64(len(l.lanes)) / float64(c.sockets)
	}
	var preparing, running sync.WaitGroup
	for _, l := range loops {
		preparing.Go(func() { l.load = prepare(l.slots, &l.result) })
	}
	preparing.Wait()
	began := time.Now()
	errs := make([]error, len(loops))
	for i, l := range loops {
		l.began = began
		running.Go(func() { errs[i] = l.run(ctx) })
	}
	running.Wait()
	total := &result{}
	for _, l := range loops {
		total.merge(&l.result)
	}
	return total, errors.Join(errs...)
}

// loop serves some lanes from one thread: it waits for replies and for what is due, and answers each reply with the
// next request.
type loop struct {
	crowd
	load    load
	lanes   []*lane
	slots   []*slot
	polled  []unix.PollFd
	owner   []*lane // of polled
	out     [ports]*outbox
	in      *inbox
	began   time.Time
	due     float64 // nanoseconds from began, of the next request with a rate
	cursor  int     // lane that is next
	pending int
	live    int // slots that have more to ask
	ending  bool
	result  result
}

func (l *loop) addLane(number int) error {
	la := &lane{}
	for p := range la.fds {
		la.fds[p] = -1
	}
	l.lanes = append(l.lanes, la)
	for p, to := range l.servers {
		if !to.IsValid() {
			continue
		}
		fd, err := dial(l.source, to)
		if err != nil {
			return err
		}
		la.fds[p] = fd
		l.polled = append(l.polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		l.owner = append(l.owner, la)
	}
	for i := range l.window {
		s := &slot{lane: la, number: i*l.sockets + number, local: len(l.slots), base: byte(i)}
		la.slots = append(la.slots, s)
		l.slots = append(l.slots, s)
	}
	for i := range la.slots {
		la.idle = append(la.idle, la.slots[len(la.slots)-1-i])
	}
	l.live += len(la.slots)
	return nil
}

func (l *loop) close() {
	for _, la := range l.lanes {
		for _, fd := range la.fds {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}
}

// lookEvery is how often a loop looks for requests that have had no reply in time.
const lookEvery = 20 * time.Millisecond

func (l *loop) run(ctx context.Context) error {
	runtime.LockOSThread() // and not unlocked: the thread ends with this goroutine, for its timers are not as others'
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("asking for exact timers: %w", err)
	}
	looked := time.Duration(0)
	for {
		now := time.Since(l.began)
		if now >= l.duration {
			l.ending = true
		}
		if now-looked >= lookEvery {
			looked = now
			l.expire(now)
			l.ending = l.ending || ctx.Err() != nil
		}
		if !l.ending {
			if l.rate > 0 {
				l.beginDue(now)
			} else {
				l.beginAll(now)
			}
		}
		if l.pending == 0 && (l.ending || l.live == 0) {
			return nil
		}
		timeout := unix.NsecToTimespec(int64(l.patience(now)))
		if _, err := unix.Ppoll(l.polled, &timeout, nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("waiting for replies: %w", err)
		}
		for i := range l.polled {
			if l.polled[i].Revents != 0 {
				l.receive(l.owner[i], int(l.polled[i].Fd))
			}
		}
	}
}

// patience is how long there is nothing to do but to wait for replies.
func (l *loop) patience(now time.Duration) time.Duration {
	if l.rate > 0 && !l.ending && l.live > l.pending {
		return min(lookEvery, max(0, time.Duration(l.due)-now))
	}
	return lookEvery
}

// beginAll gives every idle slot its next request.
func (l *loop) beginAll(now time.Duration) {
	for _, la := range l.lanes {
		if len(la.idle) == 0 {
			continue
		}
		for len(la.idle) > 0 {
			l.begin(l.take(la), now, now)
		}
		l.flush(la)
	}
}

// beginDue begins what is due. With no slot idle it waits, and the wait counts into the latency.
func (l *loop) beginDue(now time.Duration) {
	for time.Duration(l.due) <= now {
		tried := 0
		for ; tried < len(l.lanes) && len(l.lanes[l.cursor].idle) == 0; tried++ {
			l.cursor = (l.cursor + 1) % len(l.lanes)
		}
		if tried == len(l.lanes) {
			return
		}
		la := l.lanes[l.cursor]
		if l.begin(l.take(la), time.Duration(l.due), now) {
			l.due += 1e9 / l.rate
			l.flush(la)
			l.cursor = (l.cursor + 1) % len(l.lanes)
		}
	}
}

func (l *loop) take(la *lane) *slot {
	last := len(la.idle) - 1
	s := la.idle[last]
	la.idle = la.idle[:last]
	return s
}

// begin asks for the slot's next request and puts it into the outbox; false when the slot has no more.
func (l *loop) begin(s *slot, since, now time.Duration) bool {
	if !l.load.next(s) {
		l.live--
		return false
	}
	s.pending, s.since, s.sent = true, since, now
	l.pending++
	l.result.sent++
	if out := l.out[s.port]; !out.put(s.request) {
		l.flush(s.lane)
		out.put(s.request)
	}
	return true
}

func (l *loop) flush(la *lane) {
	for p, out := range l.out {
		if out.n > 0 {
			l.result.unsent += uint64(out.flush(la.fds[p]))
		}
	}
}

// receive takes the replies that have come to a socket.
func (l *loop) receive(la *lane, fd int) {
	for {
		n := l.in.fill(fd)
		now := time.Since(l.began)
		for i := range n {
			l.reply(la, fd, l.in.datagram(i), now)
		}
		l.flush(la) // what sessions go on with
		if n < batchSize {
			return
		}
	}
}

func (l *loop) reply(la *lane, fd int, b []byte, now time.Duration) {
	if len(b) < headerLen {
		l.result.stray++
		return
	}
	s := la.slots[int(b[1])%l.window]
	if !s.pending || s.request[1] != b[1] || la.fds[s.port] != fd {
		l.result.stray++
		return
	}
	s.pending = false
	l.pending--
	p := s.port
	v, more := l.load.judge(s, b)
	l.result.verdicts[v]++
	l.result.latency[p].add(now - s.since)
	l.result.elapsed = now
	if more {
		l.begin(s, now, now)
	} else {
		la.idle = append(la.idle, s)
	}
}

// expire gives up the requests that have waited too long.
func (l *loop) expire(now time.Duration) {
	for _, s := range l.slots {
		if s.pending && now-s.sent > l.timeout {
			s.pending = false
			l.pending--
			l.result.lost++
			l.load.lost(s)
			s.lane.idle = append(s.lane.idle, s)
		}
	}
}
