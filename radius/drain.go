package radius

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/radius/journal"
)

// SessionStore keeps sessions where every node and every person can see them.
type SessionStore interface {
	// LoadOpenSessions calls f for every open session and gives the cursor of the node's journal that goes with them:
	// zero when the node has stored nothing yet.
	LoadOpenSessions(ctx context.Context, node string, f func(Session)) (Cursor, error)
	// LoadBoots calls f for the newest Accounting-On and -Off of every access server, of whichever node.
	LoadBoots(ctx context.Context, f func(NamedBoot)) error
	// LoadStates gives what is stored of the keys of sessions: the open ones, and those that have ended and did not begin
	// long before the session given.
	LoadStates(ctx context.Context, of []Session) ([]Session, error)
	// Store merges the records of a batch into the sessions stored and moves the cursor, all or nothing. Storing the
	// same records again changes nothing. ended are the last states of the batch's sessions that are not open. An error
	// that wraps ErrRecordRefused will come again with the same records.
	Store(ctx context.Context, b Batch) (ended []Session, err error)
}

// Batch is records in the order of a node's journal.
type Batch struct {
	Node    string
	Records []Record
	To      Cursor // after the last of them
}

// ErrRecordRefused says that storage will not take a record, whenever it is asked.
var ErrRecordRefused = errors.New("storage refuses the record")

// Drain moves records from the journal to storage. It holds two batches in memory, one that is stored and one that is
// gathered meanwhile; the rest waits in the journal.
type Drain struct {
	journal  *journal.Journal
	store    SessionStore
	sessions *Sessions
	log      zerolog.Logger
	now      func() time.Time
	oldest   atomic.Int64 // when the oldest record that is not stored was received, µs since 1970; 0: none
	m        drainMetrics
	letters  letterbox
}

type drainMetrics struct {
	records, errors, refused prometheus.Counter
	seconds                  prometheus.Histogram
}

const (
	batchRecords = 5000
	batchWait    = 150 * time.Millisecond
	backoffFirst = 50 * time.Millisecond
	backoffMost  = time.Second // after its return, storage has all within seconds
	storeTimeout = 60 * time.Second
)

// NewDrain joins a journal and a storage. sessions, which may be nil, learns of ends that only storage knows. now is the
// clock by which records are received. metrics may be nil.
func NewDrain(j *journal.Journal, store SessionStore, sessions *Sessions, now func() time.Time,
	log zerolog.Logger, metrics prometheus.Registerer) (*Drain, error) {
	d := &Drain{journal: j, store: store, sessions: sessions, now: now, log: log, m: drainMetrics{
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "enlace_drain_records_total", Help: "Records moved from the journal to the database."}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "enlace_drain_errors_total", Help: "Batches that could not be stored and were tried again."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "enlace_drain_refused_total", Help: "Records that the database refuses and that were passed over."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "enlace_drain_batch_seconds", Help: "Time to store one batch.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
	}}
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "enlace_drain_lag_seconds", Help: "Age of the oldest record that is not in the database yet."}, d.Lag)
	if metrics == nil {
		return d, nil
	}
	for _, c := range []prometheus.Collector{d.m.records, d.m.errors, d.m.refused, d.m.seconds, lag} {
		if err := metrics.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of the drain: %w", err)
		}
	}
	return d, nil
}

// Lag is the age in seconds of the oldest record that is not stored; 0 when all are.
func (d *Drain) Lag() float64 {
	if oldest := d.oldest.Load(); oldest != 0 {
		return max(0, d.now().Sub(time.UnixMicro(oldest)).Seconds())
	}
	return 0
}

// Run drains until the context ends or the closed journal has been drained. While storage is away it keeps trying. It
// fails when the journal cannot be read.
func (d *Drain) Run(ctx context.Context) error {
	if err := d.lookBack(); err != nil {
		return err
	}
	var kept Cursor
	err := d.persist(ctx, func(ctx context.Context) (err error) {
		if kept, err = d.store.LoadOpenSessions(ctx, d.journal.Node(), nil); err != nil {
			return err
		}
		return d.store.LoadBoots(ctx, func(NamedBoot) {}) // which the store has to know before it stores what came after them
	})
	if err != nil {
		return err
	}
	start, _ := d.journal.Start(kept)
	if err := d.journal.Drained(start); err != nil {
		d.log.Error().Err(err).Msg("cleaning the journal up")
	}
	if !start.Before(d.journal.End()) {
		d.oldest.Store(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	gathered, free := make(chan *drainBatch), make(chan *drainBatch, 2)
	free <- &drainBatch{}
	free <- &drainBatch{}
	var gatherers sync.WaitGroup
	gatherers.Go(func() { d.gatherAll(ctx, start, free, gathered) })
	defer gatherers.Wait()
	defer cancel()
	for b := range gathered {
		if b.err != nil {
			return b.err
		}
		if len(b.records) > 0 && !b.records[0].Received.IsZero() {
			d.oldest.Store(b.records[0].Received.UnixMicro())
		}
		if err := d.move(ctx, b.records, b.after); err != nil {
			return err
		}
		if !b.end.Before(d.journal.End()) {
			d.oldest.Store(0) // otherwise the next batch tells, and until then this one's is near enough
		}
		if err := d.journal.Drained(b.end); err != nil {
			d.log.Error().Err(err).Msg("cleaning the journal up")
		}
		clear(b.records)
		free <- b
	}
	return ctx.Err()
}

// gatherAll gathers a batch while the one before is stored, until the closed journal ends or it fails.
func (d *Drain) gatherAll(ctx context.Context, start Cursor, free, gathered chan *drainBatch) {
	defer close(gathered)
	reader := d.journal.NewReader(start)
	defer reader.Close()
	for {
		var b *drainBatch
		select {
		case b = <-free:
		case <-ctx.Done():
			return
		}
		var last bool
		last, b.err = d.gather(ctx, reader, b)
		b.end = reader.Cursor()
		ended := last || b.err != nil
		select {
		case gathered <- b:
		case <-ctx.Done():
			return
		}
		if ended {
			return
		}
	}
}

// lookBack finds the journal's oldest record: until storage has said what it holds, none is known to be stored.
func (d *Drain) lookBack() error {
	start, _ := d.journal.Start(Cursor{})
	reader := d.journal.NewReader(start)
	defer reader.Close()
	payload, err := reader.TryNext()
	if err != nil && !errors.Is(err, journal.ErrClosed) {
		return fmt.Errorf("draining the journal: %w", err)
	}
	if r, _, ok := readEntry(payload); ok {
		d.oldest.Store(r.Received.UnixMicro())
	}
	return nil
}

// drainBatch is the records in hand; after[i] is the cursor after records[i].
type drainBatch struct {
	records []Record
	after   []Cursor
	end     Cursor
	err     error // of reading the journal, or that the context has ended
}

// gather waits for a record and takes those that come soon after it. last is true at the end of a closed journal.
func (d *Drain) gather(ctx context.Context, reader *journal.Reader, b *drainBatch) (last bool, err error) {
	b.records, b.after = b.records[:0], b.after[:0]
	var soon context.Context
	for len(b.records) < batchRecords {
		if p := d.letters.take(reader.Cursor(), d.journal.End(), max(batchRecords-len(b.records), batchRecords/2)); p != nil {
			d.pack(b, p, reader)
			continue
		}
		payload, err := reader.TryNext()
		if payload == nil && err == nil {
			wait := ctx
			if len(b.records) > 0 {
				if soon == nil {
					var cancel context.CancelFunc
					soon, cancel = context.WithTimeout(ctx, batchWait)
					defer cancel()
				}
				wait = soon
			}
			payload, err = reader.Next(wait)
		}
		switch {
		case errors.Is(err, journal.ErrClosed):
			return true, nil
		case err != nil && ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("draining the journal: %w", err)
		}
		r, _, ok := readEntry(payload)
		if !ok {
			r = Record{}
		}
		b.records = append(b.records, r)
		b.after = append(b.after, reader.Cursor())
	}
	return false, nil
}

// pack adds a parcel to a batch.
func (d *Drain) pack(b *drainBatch, p *parcel, reader *journal.Reader) {
	b.records, b.after = append(b.records, p.records...), append(b.after, p.after...)
	reader.Skip(p.to())
	p.free()
}

// take keeps records that were just read for the next batch.
func (d *Drain) take(p *parcel) { d.letters.put(p) }

// move stores records, trying until it is done. A record that storage refuses is found by halving, counted and passed
// over: the others must not wait for it.
func (d *Drain) move(ctx context.Context, records []Record, after []Cursor) error {
	if len(records) == 0 {
		return nil
	}
	batch := Batch{Node: d.journal.Node(), Records: records, To: after[len(after)-1]}
	var ended []Session
	err := d.persist(ctx, func(ctx context.Context) (err error) {
		began := time.Now()
		ended, err = d.store.Store(ctx, batch)
		if err == nil {
			d.m.seconds.Observe(time.Since(began).Seconds())
		}
		return err
	})
	switch {
	case err == nil:
		d.m.records.Add(float64(len(batch.Records)))
		if d.sessions != nil {
			for _, s := range ended {
				d.sessions.Settle(s, d.now())
			}
		}
		return nil
	case !errors.Is(err, ErrRecordRefused):
		return err
	case len(records) > 1:
		half := len(records) / 2
		if err := d.move(ctx, records[:half], after[:half]); err != nil {
			return err
		}
		return d.move(ctx, records[half:], after[half:])
	}
	r := &records[0]
	if r.Kind == 0 {
		return fmt.Errorf("storing the place in the journal: %w", err)
	}
	d.m.refused.Inc()
	d.log.Error().Err(err).Int64("device", int64(r.Key.Device)).Uint8("kind", uint8(r.Kind)).
		Time("event", r.Event).Msg("the database refuses an accounting record; it is passed over")
	return d.move(ctx, []Record{{}}, after)
}

// persist tries until it is done, storage refuses a record, or the context ends.
func (d *Drain) persist(ctx context.Context, f func(context.Context) error) error {
	pause := backoffFirst
	for {
		attempt, cancel := context.WithTimeout(ctx, storeTimeout)
		err := f(attempt)
		cancel()
		if err == nil || errors.Is(err, ErrRecordRefused) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.m.errors.Inc()
		if pause == backoffFirst || pause == backoffMost {
			d.log.Warn().Err(err).Msg("accounting cannot be stored; it waits in the journal")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, backoffMost)
	}
}
