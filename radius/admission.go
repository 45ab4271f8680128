package radius

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// When more comes than can be served, what matters most goes first: Start, Stop, Accounting-On and -Off, then logins,
// then Interim-Updates, whose counters come again with the next record of their session. Nothing waits without a bound:
//
//   - datagrams wait in the kernel's buffer of their socket, which drops what does not fit
//     (enlace_radius_socket_overflows_total);
//   - records wait in the sink's queue. Interim-Updates may use the first half of it, the rest belongs to what is told
//     once only; a full queue is silence (reason "queue_full");
//   - while sockets are behind, of either port or of RadSec, Interim-Updates are shed (reason "shed"): before any hashing,
//     unless theirs is a reply already given;
//   - what a RadSec connection sends waits in the kernel's buffer of the connection, and then with the peer;
//   - while accounting's sockets are behind, those of authentication pause between full batches. They do not stop:
//     accounting that cannot keep up must not keep subscribers from logging in;
//   - refusals that wait for their delay are at most maxDelayed, remembered replies at most cacheSlots for each socket.
const (
	interimShare = 0.5                    // of the sink's queue
	behindShare  = 0.75                   // of a socket's receive buffer: a socket fuller than that is behind
	behindFor    = 250 * time.Millisecond // a socket that was behind counts as such
	standBack    = time.Millisecond       // pause of authentication for accounting
	radsecBehind = 100 * time.Millisecond // a RadSec connection of which something has waited for so long is behind
)

// admission knows which ports are behind. It is written only when they are.
type admission struct {
	until [len(portNames)]atomic.Int64 // on the door's clock
}

func (a *admission) fell(p port, tick time.Duration) { a.until[p].Store(int64(tick + behindFor)) }

func (a *admission) behind(p port, tick time.Duration) bool { return int64(tick) < a.until[p].Load() }

// sheds reports whether an Accounting-Request is to be met with silence for the sake of others.
func (d *Door) sheds(v View, tick time.Duration) bool {
	if !isInterim(v) {
		return false
	}
	for p := range port(len(portNames)) {
		if d.admission.behind(p, tick) {
			return true
		}
	}
	return d.sink.Load() >= interimShare
}

// isInterim reports whether an Accounting-Request can be missed.
func isInterim(v View) bool {
	status, _ := v.Get(acctStatusType)
	return len(status) == 4 && binary.BigEndian.Uint32(status) == uint32(KindInterim)
}

// gauge looks, after a full batch, how much still waits in the socket. One full batch says nothing: a burst of 32 logins
// is no storm.
func (s *socket) gauge(tick time.Duration) {
	d, p := s.worker.door, s.worker.port
	if s.memory.share(s.raw) > behindShare {
		d.admission.fell(p, tick)
	}
	if p == portAuth && d.admission.behind(portAcct, tick) {
		time.Sleep(standBack)
	}
}

// overflows is how many datagrams the sockets had no room for.
func (d *Door) overflows() (n uint64) {
	for _, s := range d.sockets {
		n += uint64(newSocketMemory().drops(s.raw)) // its own, because the socket's is in use
	}
	return n
}
