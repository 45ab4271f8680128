package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

var (
	// ErrInUse says that another process has the journal open.
	ErrInUse = errors.New("another process uses the journal")
	// ErrNotDurable tells a waiter that its record may be lost.
	ErrNotDurable = errors.New("the record could not be made durable")
)

// Cursor is a place between two records. The zero Cursor is before everything.
type Cursor struct {
	Segment int64
	Offset  int64 // bytes from the start of the segment
}

// Before reports whether c lies before o.
func (c Cursor) Before(o Cursor) bool {
	return c.Segment < o.Segment || c.Segment == o.Segment && c.Offset < o.Offset
}

// Config of a journal. Zero values take the defaults named.
type Config struct {
	Dir string // made when absent, readable by its owner only

	SegmentBytes   int64 // a segment is ended when it would grow beyond this: 64 MiB
	PendingBytes   int   // records that wait beyond this are refused: 16 MiB
	PendingRecords int   // the same, counted: 65,536

	Log     zerolog.Logger
	Metrics prometheus.Registerer // nil: not exposed
}

func (c *Config) fill() {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.PendingBytes <= 0 {
		c.PendingBytes = 16 << 20
	}
	if c.PendingRecords <= 0 {
		c.PendingRecords = 1 << 16
	}
}

// Waiter is told what became of its record.
type Waiter interface {
	// Durable is called once, in the order of the records, from one goroutine of the journal. A nil error means that
	// payload is on the disk. payload is valid during the call only. Readers see the record after Durable has returned.
	Durable(payload []byte, err error)
}

// Durable is records that have become durable together.
type Durable struct {
	From, To Cursor // before the first and after the last of them
	frames   []byte
	records  []waiting
}

// Len is the number of the records.
func (d *Durable) Len() int { return len(d.records) }

// Each calls f with every record, in order, and the place after it. A payload is valid during the call only.
func (d *Durable) Each(f func(payload []byte, after Cursor)) {
	at := 0
	for _, r := range d.records {
		f(d.frames[at+frameBytes:r.end], Cursor{d.From.Segment, d.From.Offset + int64(r.end)})
		at = r.end
	}
}

// Follow has f called with the records of each write, from the goroutine that tells the waiters, when all of them have
// been told and before readers see the records. What is durable already is not told.
func (j *Journal) Follow(f func(*Durable)) { j.followed.Store(&f) }

// Journal is a folder of segments, open for writing.
type Journal struct {
	cfg  Config
	node string
	lock *os.File
	m    metrics

	mu       sync.Mutex
	pending  *batch
	refusing bool // a write failed and no new segment could be made yet
	closing  bool
	segments []segment     // ascending, never empty; the last one is being written
	told     chan struct{} // closed and replaced when a durable end moves
	drained  Cursor

	followed  atomic.Pointer[func(*Durable)]
	ailing    atomic.Bool   // from a failure until a batch is durable again
	wake      chan struct{} // there is something pending, or closing
	completed chan *batch   // written, waiters not yet told
	free      chan *batch
	ended     chan struct{}

	// Of the writing goroutine only.
	file        *os.File // nil: broken
	number      int64    // of the segment that is written, or was before it broke
	size        int64    // its durable end
	previousEnd int64    // durable end of the segment before
}

// batch is what is written and synced at once.
type batch struct {
	frames  []byte
	records []waiting
	written segment // where it went, and that segment's durable end afterwards
	err     error
}

type waiting struct {
	end    int // of its frame in frames
	waiter Waiter
}

// retryEvery is how long the journal waits before it tries again to make a segment.
const retryEvery = 100 * time.Millisecond

// Open recovers the journal in a folder and starts writing a new segment. It fails with ErrInUse, or with ErrCorrupt
// when acknowledged records cannot be read.
func Open(cfg Config) (*Journal, error) {
	cfg.fill()
	lock, node, err := claim(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal{
		cfg: cfg, node: node, lock: lock, pending: &batch{}, told: make(chan struct{}), wake: make(chan struct{}, 1),
		completed: make(chan *batch, 1), free: make(chan *batch, 3), ended: make(chan struct{}),
	}
	for range cap(j.free) {
		j.free <- &batch{}
	}
	if err := j.recover(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	if err := j.m.register(cfg.Metrics, j); err != nil {
		j.file.Close()
		lock.Close()
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	go j.write()
	go j.tell()
	return j, nil
}

func (j *Journal) recover() error {
	segments, cut, err := recoverSegments(j.cfg.Dir)
	if err != nil {
		return err
	}
	if cut > 0 {
		j.cfg.Log.Warn().Int64("bytes", cut).Msg("the journal's last segment ended in an unfinished write; cut it")
	}
	// A last segment without a record is made anew, so that starting often leaves no trail of empty ones.
	if n := len(segments); n > 0 && segments[n-1].end == int64(headerBytes) {
		j.number = segments[n-1].number - 1
		segments = segments[:n-1]
	}
	if n := len(segments); n > 0 {
		j.number, j.size = segments[n-1].number, segments[n-1].end
	}
	if err := j.newSegment(); err != nil {
		return err
	}
	j.segments = append(segments, segment{j.number, j.size})
	return nil
}

// newSegment begins the next segment.
func (j *Journal) newSegment() error {
	f, err := createSegment(j.cfg.Dir, j.number+1, j.size)
	if err != nil {
		return err
	}
	j.file, j.number, j.size, j.previousEnd = f, j.number+1, int64(headerBytes), j.size
	return nil
}

// Node is the random name of this journal's folder.
func (j *Journal) Node() string { return j.node }

// Append queues a record whose payload is the parts one after the other; it copies them. It does not wait. True
// promises one call of w.Durable. False says that the record was refused: the queue is full, the disk fails, the
// payload is above 64 KiB, or the journal is closed. A nil waiter is told nothing.
func (j *Journal) Append(w Waiter, parts ...[]byte) bool {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	j.mu.Lock()
	b := j.pending
	if j.refusing || j.closing || n > maxPayload ||
		len(b.records) >= j.cfg.PendingRecords || len(b.frames)+n > j.cfg.PendingBytes {
		j.mu.Unlock()
		j.m.refused.Inc()
		return false
	}
	first := len(b.records) == 0
	b.frames = appendFrame(b.frames, parts...)
	b.records = append(b.records, waiting{len(b.frames), w})
	j.mu.Unlock()
	if first {
		j.nudge()
	}
	return true
}

// Load is how full the queue of records that wait to be written is, from 0 to 1, where Append refuses.
func (j *Journal) Load() float64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refusing || j.closing {
		return 1
	}
	return min(1, max(float64(len(j.pending.records))/float64(j.cfg.PendingRecords), float64(len(j.pending.frames))/float64(j.cfg.PendingBytes)))
}

// Failed reports whether the journal cannot write, so that nothing is acknowledged, as enlace_journal_failed does.
func (j *Journal) Failed() bool { return j.ailing.Load() }

func (j *Journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// write is the goroutine that owns the file.
func (j *Journal) write() {
	defer close(j.completed)
	for {
		if j.file == nil {
			select {
			case <-j.wake:
			case <-time.After(retryEvery):
				j.mend()
			}
		} else {
			<-j.wake
		}
		b := <-j.free
		b.frames, b.records, b.err = b.frames[:0], b.records[:0], nil
		j.mu.Lock()
		b, j.pending = j.pending, b
		closing := j.closing
		j.mu.Unlock()
		if len(b.records) == 0 {
			j.free <- b
			if closing {
				if j.file != nil {
					j.file.Close()
				}
				return
			}
			continue
		}
		j.commit(b)
		j.completed <- b
		if closing {
			j.nudge()
		}
	}
}

// commit makes a batch durable, or says in it why not.
func (j *Journal) commit(b *batch) {
	if j.file == nil {
		b.err = ErrNotDurable
		return
	}
	if j.size > int64(headerBytes) && j.size+int64(len(b.frames)) > j.cfg.SegmentBytes {
		old := j.file
		if err := j.newSegment(); err != nil {
			b.err = j.broke("create", err)
			return
		}
		old.Close()
	}
	began := time.Now()
	if _, err := j.file.Write(b.frames); err != nil {
		b.err = j.broke("write", err)
		return
	}
	if err := fdatasync(j.file); err != nil {
		b.err = j.broke("sync", err)
		return
	}
	j.m.sync.Observe(time.Since(began).Seconds())
	j.m.bytes.Add(float64(len(b.frames)))
	j.m.records.Add(float64(len(b.records)))
	j.size += int64(len(b.frames))
	b.written = segment{j.number, j.size}
	if j.ailing.CompareAndSwap(true, false) {
		j.m.failed.Set(0)
		j.cfg.Log.Info().Int64("segment", j.number).Msg("the journal writes again")
	}
}

// broke stops the acknowledging. Nothing is written to this file again: after a failed fdatasync the kernel may have
// dropped what it could not write, and a second one would succeed all the same (PostgreSQL's "fsyncgate").
func (j *Journal) broke(op string, err error) error {
	j.m.errors.WithLabelValues(op).Inc()
	if !j.ailing.Swap(true) { // a full disk fails again and again
		j.m.failed.Set(1)
		j.cfg.Log.Error().Err(err).Str("op", op).Msg("the journal cannot write; accounting is not answered until it can")
	}
	f := j.file
	j.file = nil
	j.mu.Lock()
	j.refusing = true
	j.mu.Unlock()
	if j.size > int64(headerBytes) {
		// What may lie beyond the durable end is not read, because the next segment's header says where this one ends.
		// Cutting it off gives the space back.
		_ = f.Truncate(j.size)
	} else {
		// Nothing durable is in it: the next one takes its number and its place.
		j.number, j.size = j.number-1, j.previousEnd
	}
	f.Close()
	return fmt.Errorf("%w: %w", ErrNotDurable, err)
}

// mend tries to begin a segment after a failure.
func (j *Journal) mend() {
	if err := j.newSegment(); err != nil {
		j.m.errors.WithLabelValues("create").Inc()
		return
	}
	j.mu.Lock()
	j.refusing = false
	j.mu.Unlock()
}

// tell is the goroutine that tells the waiters and then lets the readers see the records.
func (j *Journal) tell() {
	defer close(j.ended)
	for b := range j.completed {
		at := 0
		for i, r := range b.records {
			if r.waiter != nil {
				r.waiter.Durable(b.frames[at+frameBytes:r.end], b.err)
			}
			at = r.end
			b.records[i].waiter = nil
		}
		if b.err == nil {
			if f := j.followed.Load(); f != nil {
				to := Cursor{b.written.number, b.written.end}
				(*f)(&Durable{From: Cursor{to.Segment, to.Offset - int64(len(b.frames))}, To: to, frames: b.frames, records: b.records})
			}
			j.reached(b.written)
		}
		if cap(b.frames) > 4<<20 {
			b.frames = nil
		}
		j.free <- b
	}
}

// reached lets the readers go as far as s. Every batch before it has been told, so that the segments before s.number
// have got their last end.
func (j *Journal) reached(s segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if last := &j.segments[len(j.segments)-1]; last.number == s.number {
		last.end = s.end
	} else {
		j.segments = append(j.segments, s)
	}
	close(j.told)
	j.told = make(chan struct{})
}

// Close makes what is pending durable, tells its waiters, and ends. Readers get ErrClosed once they have read it all.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		<-j.ended
		return nil
	}
	j.closing = true
	j.mu.Unlock()
	j.nudge()
	<-j.ended
	j.mu.Lock()
	close(j.told)
	j.told = nil
	j.mu.Unlock()
	j.m.unregister()
	return j.lock.Close()
}

func randomName() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails (package crypto/rand)
	return hex.EncodeToString(b)
}
