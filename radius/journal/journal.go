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
	// Nothing is written meanwhile.
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

// Follow has told called when the waiters of a write have been told, from the goroutine that tells them, and then fold
// with the write's records: in order, from another goroutine, before readers see them. Writing does not wait for fold
// until that has as much before it as may wait to be written. What is durable already is not told.
func (j *Journal) Follow(told func(), fold func(*Durable)) { j.follower.Store(&follower{told, fold}) }

type follower struct {
	told func()
	fold func(*Durable)
}

// Journal is a folder of segments, open for writing.
type Journal struct {
	cfg  Config
	node string
	lock *os.File
	m    metrics

	tidying  sync.Mutex // held while drained segments are deleted; taken before mu
	mu       sync.Mutex
	pending  *batch
	refusing bool // a write failed and no new segment could be made yet
	closing  bool
	segments []segment     // ascending, never empty; the last one is being written
	told     chan struct{} // closed and replaced when a durable end moves
	drained  Cursor
	behind   struct{ records, bytes int } // durable, and not folded yet
	caughtUp *sync.Cond                   // of mu: behind has shrunk

	follower atomic.Pointer[follower]
	ailing   atomic.Bool   // from a failure until a batch is durable again
	wake     chan struct{} // there is something pending, or closing
	durable  chan *batch   // to be folded
	free     chan *batch
	ended    chan struct{}
	spare    spare

	// Of the writing goroutine only.
	file        *os.File // nil: broken
	room        int64    // bytes of file that are there to be overwritten; 0: it grows
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

const (
	batchesMost    = 1024    // that wait to be folded
	batchesKept    = 4       // whose memory is kept
	batchBytesKept = 4 << 20 // of each
)

// seal writes the checksums of a batch's frames.
func (b *batch) seal(seed uint32) {
	at := 0
	for _, r := range b.records {
		sealFrame(b.frames[at:r.end], seed)
		at = r.end
	}
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
		durable: make(chan *batch, batchesMost), free: make(chan *batch, batchesKept), ended: make(chan struct{}),
		spare: spare{dir: cfg.Dir, bytes: cfg.SegmentBytes},
	}
	j.caughtUp = sync.NewCond(&j.mu)
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
	go j.fold()
	return j, nil
}

func (j *Journal) recover() error {
	segments, cut, err := recoverSegments(j.cfg.Dir)
	if err != nil {
		return err
	}
	// A spare file that was left: what it holds is not known to be of earlier segments.
	if err := os.Remove(j.spare.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if cut > 0 {
		j.cfg.Log.Warn().Int64("bytes", cut).Msg("the journal was not closed; what its last segment has behind the last whole record is cut off")
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
	j.segments = append(segments, segment{j.number, j.size, seedOf(j.number)})
	return nil
}

// newSegment begins the next segment, in the spare file if there is one.
func (j *Journal) newSegment() (err error) {
	f, room := j.spare.take()
	if f != nil {
		err = j.spare.begin(f, j.number+1, j.size)
	} else {
		f, err = createSegment(j.cfg.Dir, j.number+1, j.size)
	}
	if err != nil {
		return err
	}
	j.file, j.room, j.number, j.size, j.previousEnd = f, room, j.number+1, int64(headerBytes), j.size
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

// write is the goroutine that owns the file and tells the waiters.
func (j *Journal) write() {
	defer close(j.durable)
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
		b, closing := j.takePending()
		if b == nil {
			if closing {
				j.finish()
				return
			}
			continue
		}
		j.commit(b)
		j.tell(b)
		if closing {
			j.nudge()
		}
	}
}

// takePending takes what waits to be written, nil when nothing does. It waits while folding is too far behind.
func (j *Journal) takePending() (b *batch, closing bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.behind.records >= j.cfg.PendingRecords || j.behind.bytes >= j.cfg.PendingBytes {
		j.caughtUp.Wait()
	}
	if len(j.pending.records) == 0 {
		return nil, j.closing
	}
	b = j.pending
	select {
	case j.pending = <-j.free:
	default:
		j.pending = new(batch)
	}
	return b, j.closing
}

// recycle keeps a batch's memory for another.
func (j *Journal) recycle(b *batch) {
	if cap(b.frames) > batchBytesKept {
		return
	}
	b.frames, b.records, b.err = b.frames[:0], b.records[:0], nil
	select {
	case j.free <- b:
	default:
	}
}

// finish ends the writing, and gives back the room behind the last record.
func (j *Journal) finish() {
	j.spare.discard()
	if j.file == nil {
		return
	}
	if j.room > 0 {
		_ = j.file.Truncate(j.size)
	}
	j.file.Close()
}

// commit makes a batch durable, or says in it why not.
func (j *Journal) commit(b *batch) {
	if j.file == nil {
		b.err = ErrNotDurable
		return
	}
	if j.isOver(len(b.frames)) {
		old := j.file
		if err := j.newSegment(); err != nil {
			b.err = j.broke("create", err)
			return
		}
		old.Close()
	}
	began := time.Now()
	b.seal(seedOf(j.number))
	end := j.size + int64(len(b.frames))
	whole := padded(b.frames, end, j.room)
	b.frames = whole[:len(b.frames)]
	if _, err := j.file.WriteAt(whole, j.size); err != nil {
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
	j.size = end
	b.written = segment{j.number, end, seedOf(j.number)}
	if j.ailing.CompareAndSwap(true, false) {
		j.m.failed.Set(0)
		j.cfg.Log.Info().Int64("segment", j.number).Msg("the journal writes again")
	}
}

// isOver reports whether the next n bytes go into a new segment: this one is full, or it grows with every write, and a
// file that need not is ready.
func (j *Journal) isOver(n int) bool {
	return j.size > int64(headerBytes) && (j.size+int64(n) > j.cfg.SegmentBytes || j.room == 0 && j.spare.ready())
}

// provide has the next segment's file made ready, when it is time: at once where this one grows, or else when half of it
// is written and none has come back from the drain.
func (j *Journal) provide() {
	if j.room == 0 && j.size > j.cfg.SegmentBytes/64 || j.size > j.cfg.SegmentBytes/2 {
		j.spare.prepare(j.number, j.unprepared)
	}
}

// unprepared hears that no file could be made ready. Segments then grow as they are written, which takes longer.
func (j *Journal) unprepared(err error) {
	j.m.errors.WithLabelValues("prepare").Inc()
	j.cfg.Log.Warn().Err(err).Msg("the journal's next segment could not be made ready; it will grow as it is written")
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

// tell tells the waiters of a batch what became of it, and has it folded.
func (j *Journal) tell(b *batch) {
	if b.err == nil {
		j.mu.Lock()
		j.behind.records += len(b.records)
		j.behind.bytes += len(b.frames)
		j.mu.Unlock()
	}
	at := 0
	for i, r := range b.records {
		if r.waiter != nil {
			r.waiter.Durable(b.frames[at+frameBytes:r.end], b.err)
		}
		at = r.end
		b.records[i].waiter = nil
	}
	if b.err != nil {
		j.recycle(b)
		return
	}
	if f := j.follower.Load(); f != nil {
		f.told()
	}
	j.durable <- b
	j.provide()
}

// fold is the goroutine that hands what is durable to the follower and then lets the readers see it.
func (j *Journal) fold() {
	defer close(j.ended)
	for b := range j.durable {
		if f := j.follower.Load(); f != nil {
			to := Cursor{b.written.number, b.written.end}
			f.fold(&Durable{From: Cursor{to.Segment, to.Offset - int64(len(b.frames))}, To: to, frames: b.frames, records: b.records})
		}
		j.reached(b)
		j.recycle(b)
	}
}

// reached lets the readers go as far as a batch. Every batch before it has been folded, so that the segments before its
// own have got their last end.
func (j *Journal) reached(b *batch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if last := &j.segments[len(j.segments)-1]; last.number == b.written.number {
		last.end = b.written.end
	} else {
		j.segments = append(j.segments, b.written)
	}
	j.behind.records -= len(b.records)
	j.behind.bytes -= len(b.frames)
	j.caughtUp.Signal()
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
	j.tidying.Lock()
	defer j.tidying.Unlock()
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
