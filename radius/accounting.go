package radius

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/nas"
	"enlace/radius/journal"
)

// Cursor is a place in a node's journal.
type Cursor = journal.Cursor

// Accounting answers an Accounting-Request once it is durable in the journal, and keeps the table of open sessions.
// It implements AccountingSink.
type Accounting struct {
	journal  *journal.Journal
	sessions *Sessions
	log      zerolog.Logger
	waiting  sync.Pool  // of *pendingAnswer
	answers  []Answerer // due; of the journal's goroutine
	drain    atomic.Pointer[Drain]
	devices  atomic.Pointer[DeviceTable] // told of how devices account; nil: nobody is
	odd      [oddities]prometheus.Counter
	kept     prometheus.Counter
	broken   prometheus.Counter
}

// NewAccounting joins a journal and the table of open sessions. metrics may be nil.
func NewAccounting(j *journal.Journal, sessions *Sessions, log zerolog.Logger, metrics prometheus.Registerer) (*Accounting, error) {
	a := &Accounting{journal: j, sessions: sessions, log: log}
	a.waiting.New = func() any { return &pendingAnswer{accounting: a} }
	j.Follow(a.answer, a.fold)
	odd := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "enlace_accounting_odd_total", Help: "Accounting records with something in them that cannot be true."}, []string{"what"})
	for i, name := range oddityNames {
		a.odd[i] = odd.WithLabelValues(name)
	}
	sessions.odd = a.note
	a.kept = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_accounting_records_total", Help: "Accounting records made durable and answered."})
	a.broken = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "enlace_accounting_unreadable_total", Help: "Entries of the journal that are not records of this version."})
	if metrics == nil {
		return a, nil
	}
	for _, c := range []prometheus.Collector{odd, a.kept, a.broken} {
		if err := metrics.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of accounting: %w", err)
		}
	}
	return a, nil
}

// Entries of the journal: one byte says what, then the instant in microseconds since 1970 and the device, big endian.
const (
	entryDatagram = 1 // then source address (16 bytes), port (2 bytes), datagram
	entryApplied  = 2 // then digest (8 bytes), Acct-Session-Id
	entrySwapped  = 3 // as entryDatagram; Input and Output are the other way round (nas.Device.SwapOctets)
	entryClosed   = 4 // the instant is that of Record.Event; then StartedAt (µs, 8 bytes), the length of ClosedBy, it, Acct-Session-Id
	entryHead     = 1 + 8 + 8
)

// Submit implements AccountingSink.
func (a *Accounting) Submit(dev *nas.Device, datagram []byte, from netip.AddrPort, receivedAt time.Time, answer Answerer) bool {
	var head [entryHead + 18]byte
	what := byte(entryDatagram)
	if dev.SwapOctets {
		what = entrySwapped
	}
	putEntryHead(head[:], what, receivedAt, dev.ID)
	addr := from.Addr().As16()
	copy(head[entryHead:], addr[:])
	binary.BigEndian.PutUint16(head[entryHead+16:], from.Port())
	w := a.waiting.Get().(*pendingAnswer)
	w.answer = answer
	if !a.journal.Append(w, head[:], datagram) {
		w.answer = nil
		a.waiting.Put(w)
		return false
	}
	return true
}

// Load implements AccountingSink.
func (a *Accounting) Load() float64 { return a.journal.Load() }

func putEntryHead(b []byte, what byte, at time.Time, d nas.DeviceID) {
	b[0] = what
	binary.BigEndian.PutUint64(b[1:], uint64(at.UnixMicro()))
	binary.BigEndian.PutUint64(b[9:], uint64(d))
}

// pendingAnswer waits for its record to be durable.
type pendingAnswer struct {
	accounting *Accounting
	answer     Answerer
}

// Durable implements journal.Waiter.
func (w *pendingAnswer) Durable(payload []byte, err error) {
	a, answer := w.accounting, w.answer
	w.answer = nil
	a.waiting.Put(w)
	if err != nil {
		answer.Drop()
		return
	}
	a.answers = append(a.answers, answer)
}

// answer sends the answers of records that have become durable together.
func (a *Accounting) answer() {
	AnswerAll(a.answers)
	a.kept.Add(float64(len(a.answers)))
	clear(a.answers)
	a.answers = a.answers[:0]
}

// fold merges durable records into the table and hands them to the drain. The journal calls it from one goroutine, so
// that each session hears of its records in their order.
func (a *Accounting) fold(d *journal.Durable) {
	p := newParcel(d)
	d.Each(func(payload []byte, after Cursor) {
		r, odd, ok := readEntry(payload)
		if !ok {
			a.broken.Inc()
		}
		if odd != 0 {
			a.note(odd)
		}
		p.add(r, after)
		if ok && payload[0] != entryApplied && payload[0] != entryClosed { // those have been applied
			if devices := a.devices.Load(); devices != nil {
				devices.apply(payload[entryHead+18:], &r, a.sessions)
			} else {
				a.sessions.Apply(&r)
			}
		}
	})
	if drain := a.drain.Load(); drain != nil {
		drain.take(p)
		return
	}
	p.free()
}

// note counts what was odd about a record.
func (a *Accounting) note(odd Oddity) {
	for i := 0; odd != 0; i, odd = i+1, odd>>1 {
		if odd&1 != 0 {
			a.odd[i].Inc()
		}
	}
}

// Feed spares a drain of the same journal the reading of what was just written.
func (a *Accounting) Feed(d *Drain) { a.drain.Store(d) }

// Watch has the table told of how the devices account.
func (a *Accounting) Watch(t *DeviceTable) { a.devices.Store(t) }

// readEntry reads an entry of the journal; ok is false when it is none that this version knows.
func readEntry(payload []byte) (r Record, odd Oddity, ok bool) {
	if len(payload) < entryHead {
		return Record{}, 0, false
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(payload[1:])))
	dev := nas.DeviceID(binary.BigEndian.Uint64(payload[9:]))
	rest := payload[entryHead:]
	switch {
	case (payload[0] == entryDatagram || payload[0] == entrySwapped) && len(rest) >= 18:
		v, err := ParseView(rest[18:])
		if err != nil {
			return Record{}, 0, false
		}
		r, odd = ParseRecord(dev, v, at)
		if payload[0] == entrySwapped {
			r.Input, r.Output = r.Output, r.Input
		}
		return r, odd, true
	case payload[0] == entryApplied && len(rest) > 8:
		return Record{
			Kind: KindApplied, Key: nas.SessionKey{Device: dev, ID: string(rest[8:])},
			Received: instant(at), Event: instant(at),
			Cookie: nas.Cookie{Granted: nas.Digest(binary.BigEndian.Uint64(rest))},
		}, 0, true
	case payload[0] == entryClosed:
		r, ok = readClosed(dev, instant(at), rest)
		return r, 0, ok
	}
	return Record{}, 0, false
}

// SetApplied notes, in the table and durably, which service an open session was given by a CoA-Request, 0 when it is
// unknown whether it was: after a restart it must not be taken for what its Access-Accept granted.
func (a *Accounting) SetApplied(key nas.SessionKey, d nas.Digest, now time.Time) {
	a.sessions.SetApplied(key, d)
	a.appendApplied(nil, key, d, now)
}

// announcePatience is how long a command waits for its announcement to be on the disk. A disk that takes longer is not
// waited for: what restores service must not depend on it.
const announcePatience = 50 * time.Millisecond

// Announce notes durably that an open session is about to be given another service: should this process end before SetApplied
// says what became of that, it is unknown what the session has.
func (a *Accounting) Announce(key nas.SessionKey, now time.Time) {
	w := make(written)
	if !a.appendApplied(w, key, 0, now) {
		return
	}
	patience := time.NewTimer(announcePatience)
	defer patience.Stop()
	select {
	case <-w:
	case <-patience.C:
	}
}

// written is closed when a record is on the disk, or cannot be.
type written chan struct{}

// Durable implements journal.Waiter.
func (w written) Durable([]byte, error) { close(w) }

func (a *Accounting) appendApplied(w journal.Waiter, key nas.SessionKey, d nas.Digest, now time.Time) bool {
	var head [entryHead + 8]byte
	putEntryHead(head[:], entryApplied, now, key.Device)
	binary.BigEndian.PutUint64(head[entryHead:], uint64(d))
	if !a.journal.Append(w, head[:], []byte(key.ID)) {
		a.log.Warn().Int64("device", int64(key.Device)).Str("session", nas.TextOf(key.ID)).
			Msg("the journal did not take which service a session was given; a restart may command it again")
		return false
	}
	return true
}

// Recover fills the table of open sessions before anything is served: with those stored, and then with what the journal
// has beyond the cursor stored with them.
func (a *Accounting) Recover(ctx context.Context, store SessionStore) error {
	kept, err := store.LoadOpenSessions(ctx, a.journal.Node(), a.sessions.Restore)
	if err != nil {
		return fmt.Errorf("loading the open sessions: %w", err)
	}
	if err := store.LoadBoots(ctx, a.sessions.Boots().Remember); err != nil {
		return err
	}
	return a.replay(ctx, kept)
}
