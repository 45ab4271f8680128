package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
)

// ErrBehind: the changes after the feed's position are no longer all there, because they were trimmed or because the
// database was put back to an earlier state. Load everything anew and run from that load's snapshot.
var ErrBehind = errors.New("the feed of changes no longer reaches back to this position")

// Feed reads the table `change` for one node: every change of every committed transaction once, in no promised order
// across transactions, until its handler has accepted it.
//
// Its position is a snapshot, not an id or a transaction id: ids and transaction ids become visible out of order, and
// what a snapshot could not see is exactly what is left to read, whichever writer was slow to commit. Writers must
// commit synchronously, as is PostgreSQL's default: a commit that a crash can undo would have been read in vain.
type Feed struct {
	url      string
	log      zerolog.Logger
	interval time.Duration

	position Snapshot
	next     Snapshot // the position once pending is accepted
	pending  []Change
	polled   time.Time // when pending was read

	mu     sync.Mutex
	status FeedStatus
}

// FeedStatus tells how a feed is doing.
type FeedStatus struct {
	Connected  bool
	AsOf       time.Time     // every change committed before this instant of our own clock was accepted; zero: not yet
	Delay      time.Duration // from writing to acceptance, of the last change accepted; the writer's commit is in it
	Accepted   uint64        // changes
	Reconnects uint64
	Position   string // the snapshot
}

const (
	feedSlice       = 10_000           // changes to a call of the handler
	feedPatience    = 30 * time.Second // for the next word of an answer: finds a connection that died silently
	feedRetryFirst  = 50 * time.Millisecond
	feedRetryLimit  = 5 * time.Second
	feedDialTimeout = 5 * time.Second
)

// NewFeed prepares a feed from the database at url. It polls every interval (0: one second) and at once when a
// writer called NotifyChange. A transaction pooler does not pass notifications on; the polls go on.
func NewFeed(url string, log zerolog.Logger, interval time.Duration) *Feed {
	if interval <= 0 {
		interval = time.Second
	}
	return &Feed{url: url, log: log, interval: interval}
}

// Run gives handle every change committed after start, until ctx ends (its error is returned) or the feed cannot go
// on (ErrBehind). While the database is away it reconnects, and then catches up. A slice of changes that handle
// refuses is given again after a pause. One Run at a time.
func (f *Feed) Run(ctx context.Context, start Snapshot, handle func(context.Context, []Change) error) error {
	f.position, f.next, f.pending = start, start, nil
	defer f.note(func(s *FeedStatus) { s.Connected = false })
	pause := feedRetryFirst
	for {
		worked, err := f.session(ctx, handle)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrBehind):
			return err
		}
		f.note(func(s *FeedStatus) { s.Connected = false; s.Reconnects++ })
		if worked {
			pause = feedRetryFirst
		}
		f.log.Warn().Err(err).Dur("again_in", pause).Msg("the feed of changes was interrupted")
		if !sleep(ctx, pause/2+rand.N(pause/2)) { // nodes that lost the same database do not all come back at once
			return ctx.Err()
		}
		pause = min(2*pause, feedRetryLimit)
	}
}

// Status tells how the feed is doing now. It may be called at any time from anywhere.
func (f *Feed) Status() FeedStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// session follows the feed over one connection until that fails. It tells whether any poll succeeded.
func (f *Feed) session(ctx context.Context, handle func(context.Context, []Change) error) (worked bool, err error) {
	hinted := false
	conn, err := f.connect(ctx, &hinted)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		hinted = false
		if len(f.pending) == 0 {
			if err := f.poll(ctx, conn); err != nil {
				return worked, err
			}
		}
		worked = true
		f.note(func(s *FeedStatus) { s.Connected = true })
		if err := f.deliver(ctx, handle); err != nil {
			if ctx.Err() != nil {
				return worked, err
			}
			f.log.Error().Err(err).Int("changes", len(f.pending)).Msg("changes were not accepted; giving them again")
			if !sleep(ctx, f.interval) {
				return worked, err
			}
			continue
		}
		f.note(func(s *FeedStatus) { s.AsOf = f.polled; s.Position = f.position.String() })
		if !hinted {
			if err := f.await(ctx, conn); err != nil {
				return worked, err
			}
		}
	}
}

func (f *Feed) connect(ctx context.Context, hinted *bool) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(f.url)
	if err != nil {
		return nil, fmt.Errorf("reading the database's URL: %w", err)
	}
	tune(cfg, PoolOptions{Name: "enlace feed"})
	cfg.ConnectTimeout = feedDialTimeout
	cfg.DialFunc = (&net.Dialer{Timeout: feedDialTimeout, KeepAlive: 15 * time.Second}).DialContext
	cfg.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { *hinted = true }
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting the feed of changes: %w", err)
	}
	readTimesAsUTC(conn)
	if _, err := conn.Exec(ctx, `listen `+changeChannel); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("listening for changes: %w", err)
	}
	return conn, nil
}

// poll reads what the position could not see, together with the snapshot that it is read under.
func (f *Feed) poll(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(feedPatience, func() { cancel(errors.New("the database fell silent")) })
	defer silence.Stop()
	f.polled = time.Now()
	rows, err := conn.Query(ctx, `
		with now as materialized (select pg_current_snapshot() as snapshot)
		select now.snapshot::text,
		       pg_snapshot_xmax(now.snapshot)::text::bigint <= $2
		           or coalesce(mark.key >= least(pg_snapshot_xmin($1::pg_snapshot)::text::bigint, $2 + 1), false),
		       c.id, c.tbl, c.key, c.at, c.xid::text::bigint
		from now
		left join change mark on mark.id = $3
		left join change c on c.id <> $3
		    and c.xid >= least(pg_snapshot_xmin($1::pg_snapshot)::text::bigint, $2 + 1)::text::xid8
		    and (c.xid > $2::text::xid8 or not pg_visible_in_snapshot(c.xid, $1::pg_snapshot))
		order by c.xid, c.id`, f.position.String(), f.position.newest, trimMark)
	if err != nil {
		return fmt.Errorf("reading changes: %w", err)
	}
	defer rows.Close()
	var behind bool
	var pending []Change
	next := Snapshot{newest: f.position.newest}
	for rows.Next() {
		silence.Reset(feedPatience)
		var id, key, xid *int64
		var tbl *string
		var at *time.Time
		if err := rows.Scan(&next.text, &behind, &id, &tbl, &key, &at, &xid); err != nil {
			return fmt.Errorf("reading changes: %w", err)
		}
		if id != nil {
			pending = append(pending, Change{ID: *id, Tbl: *tbl, Key: *key, At: *at})
			next.newest = max(next.newest, *xid)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading changes: %w", err)
	}
	if behind {
		return fmt.Errorf("%w (%s, the database is at %s)", ErrBehind, f.position, next)
	}
	f.next, f.pending = next, pending
	return nil
}

// deliver hands over what is pending, slice by slice, and then moves the position.
func (f *Feed) deliver(ctx context.Context, handle func(context.Context, []Change) error) error {
	for len(f.pending) > 0 {
		slice := f.pending[:min(feedSlice, len(f.pending))]
		if err := handle(ctx, slice); err != nil {
			return err
		}
		f.pending = f.pending[len(slice):]
		last := slice[len(slice)-1].At
		f.note(func(s *FeedStatus) { s.Accepted += uint64(len(slice)); s.Delay = max(0, time.Since(last)) })
	}
	f.position, f.pending = f.next, nil
	return nil
}

// await sleeps until the next poll is due or a writer says that there is something.
func (f *Feed) await(ctx context.Context, conn *pgx.Conn) error {
	due, cancel := context.WithTimeout(ctx, f.interval)
	defer cancel()
	err := conn.PgConn().WaitForNotification(due)
	switch {
	case err == nil, ctx.Err() == nil && due.Err() != nil && !conn.IsClosed():
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("waiting for changes: %w", err)
}

func (f *Feed) note(set func(*FeedStatus)) {
	f.mu.Lock()
	set(&f.status)
	f.mu.Unlock()
}

// sleep tells whether the whole pause passed.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
