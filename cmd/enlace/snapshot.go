package main

import (
	"bytes"
	"context"
	"encoding"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crypto/sha256"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// snapshot is everything that answering needs, on disk: with it a node serves although it starts without its database.
// Rules are not in it: the timelines are their result, and are built anew only from the database.
type snapshot struct {
	snapshotHead
	subscribers []*radius.Subscriber
	sessions    []radius.Session
	leases      []radius.Lease
}

// snapshotHead is what the snapshot begins with.
type snapshotHead struct {
	Taken   time.Time    // by the program's clock; everything that was known then is in it
	Journal radius.Place // the sessions hold what the journal says up to here
	Plans   []contracts.Plan
	Devices []nas.Device
	Pools   []nas.Pool
	Pauses  []nas.Pause
	Boots   []radius.NamedBoot
}

// snapshotFrame is a part of the file: the head first, then subscribers, sessions and leases, then the end.
type snapshotFrame struct {
	Head        *snapshotHead
	Subscribers []*radius.Subscriber
	Sessions    []radius.Session
	Leases      []radius.Lease
	End         *snapshotEnd
}

// snapshotEnd is what must have come before.
type snapshotEnd struct{ Subscribers, Sessions, Leases int }

const snapshotPart = 2000 // subscribers, sessions or leases in a frame

// snapshotVersion names the form of a snapshot: a file whose types had other fields is of another version, because what
// a field that is missing would have restricted must not be granted.
var snapshotVersion = sync.OnceValues(func() (v [32]byte, err error) {
	var text strings.Builder
	if err := describe(&text, reflect.TypeFor[snapshotFrame](), map[reflect.Type]bool{}); err != nil {
		return v, err
	}
	return sha256.Sum256([]byte("1 " + text.String())), nil
})

// describe writes a type down to its basic kinds, and refuses what would not come back from a snapshot: fields that are
// not exported, pointers to anything but structs (encoding/gob does not tell nil from a pointer to zero), interfaces.
func describe(to *strings.Builder, t reflect.Type, seen map[reflect.Type]bool) error {
	fmt.Fprintf(to, "%s %s", t, t.Kind())
	if seen[t] || t.Implements(binaryMarshaler) && reflect.PointerTo(t).Implements(binaryUnmarshaler) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Struct:
		for f := range t.Fields() {
			if !f.IsExported() {
				return fmt.Errorf("%s.%s is not exported", t, f.Name)
			}
			fmt.Fprintf(to, " %s:", f.Name)
			if err := describe(to, f.Type, seen); err != nil {
				return err
			}
		}
		return nil
	case reflect.Map:
		if err := describe(to, t.Key(), seen); err != nil {
			return err
		}
		return describe(to, t.Elem(), seen)
	case reflect.Slice, reflect.Array:
		return describe(to, t.Elem(), seen)
	case reflect.Pointer:
		if t.Elem().Kind() != reflect.Struct {
			return fmt.Errorf("%s: a pointer to what is not a struct", t)
		}
		return describe(to, t.Elem(), seen)
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Uintptr, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%s cannot be in a snapshot", t)
	}
	return nil
}

var (
	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// readSnapshot reads a snapshot whole: the error, such as os.ErrNotExist, says why there is none.
func readSnapshot(ctx context.Context, path string, seal *sealer) (*snapshot, error) {
	version, err := snapshotVersion()
	if err != nil {
		return nil, err
	}
	file, err := openSealed(path, seal, version)
	if err != nil {
		return nil, err
	}
	defer file.close()
	var parts []*snapshotFrame
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for reading.Err() == nil {
		sealed, err := file.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		part := &snapshotFrame{}
		parts = append(parts, part)
		g.Go(func() error {
			plain, err := sealed.open()
			if err != nil {
				return err
			}
			if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(part); err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return assemble(parts)
}

// assemble puts the parts together and counts them.
func assemble(parts []*snapshotFrame) (*snapshot, error) {
	if len(parts) < 2 || parts[0].Head == nil || parts[len(parts)-1].End == nil {
		return nil, errDamaged
	}
	s := &snapshot{snapshotHead: *parts[0].Head}
	end := parts[len(parts)-1].End
	if end.Subscribers < 0 || end.Sessions < 0 {
		return nil, errDamaged
	}
	for _, p := range parts {
		s.subscribers = append(s.subscribers, p.Subscribers...)
		s.sessions = append(s.sessions, p.Sessions...)
		s.leases = append(s.leases, p.Leases...)
	}
	if len(s.subscribers) != end.Subscribers || len(s.sessions) != end.Sessions || len(s.leases) != end.Leases {
		return nil, errDamaged
	}
	return s, nil
}

// snapshotWriter writes a snapshot frame by frame.
type snapshotWriter struct {
	file *sealedWriter
	end  snapshotEnd
	buf  bytes.Buffer
}

func (w *snapshotWriter) put(f *snapshotFrame) error {
	w.end.Subscribers += len(f.Subscribers)
	w.end.Sessions += len(f.Sessions)
	w.end.Leases += len(f.Leases)
	w.buf.Reset()
	// Each frame can be read by itself: several are decoded at once.
	if err := gob.NewEncoder(&w.buf).Encode(f); err != nil {
		return err
	}
	return w.file.write(w.buf.Bytes(), f.End != nil)
}

// writeSnapshot streams a snapshot to its place; the one before stays until this one is whole.
func writeSnapshot(ctx context.Context, path string, seal *sealer, head *snapshotHead, subscribers func(func(*radius.Subscriber) bool), sessions func(func(radius.Session) bool), leases func(func(radius.Lease) bool)) (end snapshotEnd, err error) {
	version, err := snapshotVersion()
	if err != nil {
		return end, err
	}
	file, err := createSealed(path, seal, version)
	if err != nil {
		return end, err
	}
	w := &snapshotWriter{file: file}
	if err := w.stream(ctx, head, subscribers, sessions, leases); err != nil {
		file.abandon()
		return end, err
	}
	return w.end, file.commit()
}

func (w *snapshotWriter) stream(ctx context.Context, head *snapshotHead, subscribers func(func(*radius.Subscriber) bool), sessions func(func(radius.Session) bool), leases func(func(radius.Lease) bool)) error {
	if err := w.put(&snapshotFrame{Head: head}); err != nil {
		return err
	}
	var subs []*radius.Subscriber
	for s := range subscribers {
		if subs = append(subs, s); len(subs) == snapshotPart {
			if err := errors.Join(ctx.Err(), w.put(&snapshotFrame{Subscribers: subs})); err != nil {
				return err
			}
			subs = subs[:0]
		}
	}
	open := []radius.Session(nil)
	for s := range sessions {
		if open = append(open, s); len(open) == snapshotPart {
			if err := errors.Join(ctx.Err(), w.put(&snapshotFrame{Sessions: open})); err != nil {
				return err
			}
			open = open[:0]
		}
	}
	lent := []radius.Lease(nil)
	for l := range leases {
		if lent = append(lent, l); len(lent) == snapshotPart {
			if err := errors.Join(ctx.Err(), w.put(&snapshotFrame{Leases: lent})); err != nil {
				return err
			}
			lent = lent[:0]
		}
	}
	if err := w.put(&snapshotFrame{Subscribers: subs, Sessions: open, Leases: lent}); err != nil {
		return err
	}
	end := w.end
	return w.put(&snapshotFrame{End: &end})
}

// snapshots writes the node's snapshot again and again.
type snapshots struct {
	path       string
	every      time.Duration // 0: never
	seal       *sealer
	projection *projection
	sessions   *radius.Sessions
	leases     *radius.Leases
	accounting *radius.Accounting
	log        zerolog.Logger
	taken      atomic.Int64 // Unix seconds of the last one written, by the program's clock; 0: none yet
	failed     prometheus.Counter
	seconds    prometheus.Gauge
}

func (n *node) newSnapshots(seal *sealer) *snapshots {
	s := &snapshots{path: filepath.Join(n.cfg.DataDir, "snapshot"), every: n.cfg.SnapshotInterval, seal: seal,
		projection: n.projection, sessions: n.sessions, leases: n.leases, accounting: n.accounting, log: n.log,
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "enlace_snapshot_errors_total", Help: "Snapshots that could not be written."}),
		seconds: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "enlace_snapshot_write_seconds", Help: "How long the last snapshot took to write."}),
	}
	n.metrics.MustRegister(s.failed, s.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "enlace_snapshot_taken_seconds", Help: "Unix time of what the last snapshot written holds; 0 before the first."},
		func() float64 { return float64(s.taken.Load()) }))
	return s
}

// run writes at every interval until ctx ends; the pauses are long enough that writing is a small part of the time.
func (s *snapshots) run(ctx context.Context) {
	if s.every == 0 {
		return
	}
	for {
		began := time.Now()
		s.write(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(s.every, 20*time.Since(began))):
		}
	}
}

// write writes one snapshot, unless nothing was ever loaded.
func (s *snapshots) write(ctx context.Context) {
	now := s.projection.now()
	age := s.projection.directory.Age(now)
	if s.every == 0 || age > farAway {
		return
	}
	if _, err := os.Stat(s.path); err == nil && s.projection.directory.Len() == 0 {
		return // a database that has lost everything must not take the snapshot with it
	}
	began := time.Now()
	head := &snapshotHead{Taken: now.Add(-age), Journal: s.accounting.Place(), Plans: s.projection.plansNow(), Devices: s.projection.devicesNow(), Pools: s.leases.Pools(),
		Pauses: s.projection.pausedNow(), Boots: slices.Collect(s.sessions.Boots().All)}
	_, err := writeSnapshot(ctx, s.path, s.seal, head, s.projection.directory.All, s.sessions.Open, s.leases.All)
	if err != nil {
		if ctx.Err() == nil {
			s.failed.Inc()
			s.log.Error().Err(err).Msg("writing the snapshot failed; the last one stays")
		}
		return
	}
	s.taken.Store(head.Taken.Unix())
	s.seconds.Set(time.Since(began).Seconds())
}

// farAway is the age of a directory that was never fresh.
const farAway = 100 * 365 * 24 * time.Hour

// usable tells whether there is a snapshot that could be served from, without reading it whole.
func (s *snapshots) usable() bool {
	version, err := snapshotVersion()
	if err != nil || s.every == 0 {
		return false
	}
	file, err := openSealed(s.path, s.seal, version)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			s.log.Warn().Err(err).Str("file", s.path).Msg("the snapshot on disk cannot be used")
		}
		return false
	}
	file.close()
	return true
}

// restore serves from the snapshot: all of it or nothing.
func (s *snapshots) restore(ctx context.Context) error {
	began := time.Now()
	found, err := readSnapshot(ctx, s.path, s.seal)
	if err != nil {
		return fmt.Errorf("the snapshot %s cannot be used: %w", s.path, err)
	}
	s.projection.restore(found)
	s.leases.Restore(found.Pools, found.leases)
	if err := s.accounting.Resume(ctx, found.sessions, found.Boots, found.Journal); err != nil {
		return err
	}
	s.log.Warn().Time("taken", found.Taken).Int("logins", len(found.subscribers)).Int("sessions", s.sessions.Count()).
		Dur("took_ms", time.Since(began)).Msg("serving from the snapshot on disk")
	return nil
}
