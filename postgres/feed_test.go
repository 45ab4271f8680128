package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"enlace/postgres"
	"enlace/postgres/pgtest"
)

// follower runs a feed and remembers what it was given.
type follower struct {
	feed *postgres.Feed
	end  context.CancelFunc
	done chan error

	mu     sync.Mutex
	seen   map[int64]int // change id -> times given
	refuse int           // how many calls to refuse
}

func follow(t testing.TB, url string, interval time.Duration, start postgres.Snapshot, refuse int) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{
		feed: postgres.NewFeed(url, zerolog.Nop(), interval), end: cancel, done: make(chan error, 1),
		seen: map[int64]int{}, refuse: refuse,
	}
	go func() { f.done <- f.feed.Run(ctx, start, f.take) }()
	t.Cleanup(cancel)
	return f
}

func (f *follower) take(_ context.Context, changes []postgres.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse > 0 {
		f.refuse--
		return errors.New("not now")
	}
	for _, c := range changes {
		f.seen[c.ID]++
	}
	return nil
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

// failed tells whether the feed ended by itself, and why.
func (f *follower) failed(t testing.TB) bool {
	select {
	case err := <-f.done:
		t.Fatalf("the feed ended with %v after %d changes", err, f.count())
	default:
	}
	return false
}

// ended waits until the feed ends by itself and tells why.
func (f *follower) ended(t testing.TB) error {
	t.Helper()
	select {
	case err := <-f.done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the feed goes on")
		return nil
	}
}

// settle waits until every change so far is older than any transaction still open and the feed knows it. Transactions
// are numbered, and count as open, for the whole server: those of other tests in other databases hold a trim up, too.
func settle(t testing.TB, pool *pgxpool.Pool, f *follower) {
	t.Helper()
	eventually(t, "older transactions have ended", func() bool {
		return number(t, pool, `select count(*) from change where xid >= pg_snapshot_xmin(pg_current_snapshot())`) == 0
	})
	for range 2 { // the poll under way may have begun before
		before := f.feed.Status().AsOf
		eventually(t, "another poll", func() bool { return f.feed.Status().AsOf.After(before) || f.failed(t) })
	}
}

func (f *follower) stop(t testing.TB) map[int64]int {
	t.Helper()
	f.end()
	if err := <-f.done; !errors.Is(err, context.Canceled) {
		t.Errorf("the feed ended with %v", err)
	}
	return f.seen
}

func inTx(ctx context.Context, pool *pgxpool.Pool, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, do)
}

func change(t testing.TB, pool *pgxpool.Pool, tbl string, keys ...int64) {
	t.Helper()
	ctx := context60(t)
	if err := inTx(ctx, pool, func(tx pgx.Tx) error { return postgres.MarkChanged(ctx, tx, tbl, keys...) }); err != nil {
		t.Fatal(err)
	}
}

func snapshot(t testing.TB, pool *pgxpool.Pool) (s postgres.Snapshot) {
	t.Helper()
	ctx := context60(t)
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) (err error) {
		s, err = postgres.SnapshotOf(ctx, tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Writers commit in another order than they wrote, some roll back, and the server is killed in between. Every change
// that is in the table at the end was given, and each once.
func TestFeedMissesNothing(t *testing.T) {
	t.Parallel()
	const writers, each = 16, 40
	c := pgtest.NewCluster(t)
	if _, _, err := postgres.Migrate(context60(t), c.URL("enlace"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	pool := open(t, c.URL("enlace"))
	f := follow(t, c.URL("enlace"), 20*time.Millisecond, snapshot(t, pool), 2)
	idle := follow(t, c.URL("enlace"), 500*time.Millisecond, snapshot(t, pool), 0) // reads in larger gulps

	rollback := errors.New("roll back")
	var working sync.WaitGroup
	for w := range writers {
		working.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for n := 0; n < each; {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				fails := random.IntN(8) == 0
				err := inTx(ctx, pool, func(tx pgx.Tx) error {
					if err := postgres.MarkChanged(ctx, tx, "contract", int64(w), int64(n)); err != nil {
						return err
					}
					time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
					if fails {
						return rollback
					}
					if random.IntN(4) == 0 {
						return postgres.NotifyChange(ctx, tx)
					}
					return nil
				})
				cancel()
				if err == nil {
					n++
				} else if !errors.Is(err, rollback) {
					time.Sleep(10 * time.Millisecond) // the server is away
				}
				if w == 0 && n == each/2 && c.Restarts() == 0 {
					_ = syscall.Kill(c.PID(), syscall.SIGKILL)
					eventually(t, "the server is back", func() bool { return c.Restarts() == 1 && pool.Ping(context.Background()) == nil })
				}
			}
		})
	}
	working.Wait()
	if c.Restarts() != 1 {
		t.Errorf("the server was restarted %d times", c.Restarts())
	}
	rows, err := pool.Query(context60(t), `select id from change`)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) < writers*each*2 {
		t.Fatalf("only %d changes in the table", len(ids))
	}
	for name, f := range map[string]*follower{"quick": f, "idle": idle} {
		eventually(t, "everything was given", func() bool { return f.count() >= len(ids) || f.failed(t) })
		status := f.feed.Status()
		if status.Reconnects == 0 || status.AsOf.IsZero() {
			t.Errorf("%s: %+v", name, status)
		}
		seen := f.stop(t)
		for _, id := range ids {
			if seen[id] != 1 {
				t.Errorf("%s: change %d was given %d times", name, id, seen[id])
			}
		}
		if len(seen) != len(ids) {
			t.Errorf("%s: %d changes given, %d written", name, len(seen), len(ids))
		}
	}
}

func TestFeedContinuesItsLoad(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	ctx := context60(t)
	change(t, pool, "plan", 1) // in the load
	slow, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Rollback(context.Background())
	if err := postgres.MarkChanged(ctx, slow, "plan", 2); err != nil { // begun before the load, committed after it
		t.Fatal(err)
	}
	start := snapshot(t, pool)
	change(t, pool, "plan", 3, 4)

	keys := make(chan int64, 10)
	feed := postgres.NewFeed(pgtest.URL(t), zerolog.Nop(), 10*time.Millisecond)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := func() int64 {
		t.Helper()
		select {
		case k := <-keys:
			return k
		case <-ctx.Done():
			t.Fatal("no change came")
			return 0
		}
	}
	go feed.Run(ctx, start, func(_ context.Context, changes []postgres.Change) error {
		for _, c := range changes {
			if c.Tbl != "plan" || c.At.Location() != time.UTC {
				t.Errorf("%+v", c)
			}
			keys <- c.Key
		}
		return nil
	})
	if a, b := next(), next(); a+b != 7 {
		t.Errorf("keys %d and %d", a, b)
	}
	if err := slow.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if k := next(); k != 2 {
		t.Errorf("key %d", k)
	}
	change(t, pool, "plan", 5)
	if k := next(); k != 5 {
		t.Errorf("key %d", k)
	}
}

func TestNotificationBeatsThePoll(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	f := follow(t, pgtest.URL(t), time.Hour, snapshot(t, pool), 0)
	eventually(t, "the first poll", func() bool { return !f.feed.Status().AsOf.IsZero() })
	ctx := context60(t)
	for n := range 5 {
		err := inTx(ctx, pool, func(tx pgx.Tx) error {
			if err := postgres.MarkChanged(ctx, tx, "plan", int64(n)); err != nil {
				return err
			}
			return postgres.NotifyChange(ctx, tx)
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the change came", func() bool { return f.count() == n+1 })
	}
	f.stop(t)
}

func TestFeedBehindTheTrim(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	old := snapshot(t, pool)
	change(t, pool, "plan", 1, 2, 3)
	f := follow(t, pgtest.URL(t), 10*time.Millisecond, old, 0)
	eventually(t, "three changes", func() bool { return f.count() == 3 })
	settle(t, pool, f)

	if n, err := postgres.Trim(context60(t), pool, time.Hour); n != 0 || err != nil {
		t.Errorf("trimmed %d young changes, %v", n, err)
	}
	if n, err := postgres.Trim(context60(t), pool, 0); n != 3 || err != nil {
		t.Fatalf("trimmed %d, %v", n, err)
	}
	change(t, pool, "plan", 4)
	eventually(t, "one that has kept up goes on", func() bool { return f.count() == 4 })
	f.stop(t)

	for _, start := range []postgres.Snapshot{old, {}} {
		late := follow(t, pgtest.URL(t), 10*time.Millisecond, start, 0)
		if err := late.ended(t); !errors.Is(err, postgres.ErrBehind) {
			t.Errorf("from %v: %v", start, err)
		}
	}
	fresh := follow(t, pgtest.URL(t), 10*time.Millisecond, snapshot(t, pool), 0)
	change(t, pool, "plan", 5)
	eventually(t, "one that loaded anew goes on", func() bool { return fresh.count() == 1 })
	fresh.stop(t)
}

// A change is written early in a long transaction; what others write meanwhile must stay until all can have read it.
func TestTrimWaitsForLongTransactions(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	ctx := context60(t)
	start := snapshot(t, pool)
	long, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Rollback(context.Background()) // closing the pool waits for it
	if err := postgres.MarkChanged(ctx, long, "plan", 1); err != nil {
		t.Fatal(err)
	}
	change(t, pool, "plan", 2)
	if n, err := postgres.Trim(ctx, pool, 0); n != 0 || err != nil {
		t.Errorf("trimmed %d, %v", n, err)
	}
	f := follow(t, pgtest.URL(t), 10*time.Millisecond, start, 0)
	eventually(t, "the quick one", func() bool { return f.count() == 1 })
	if err := long.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slow one", func() bool { return f.count() == 2 })
	settle(t, pool, f)
	if n, err := postgres.Trim(ctx, pool, 0); n != 2 || err != nil {
		t.Errorf("trimmed %d, %v", n, err)
	}
	change(t, pool, "plan", 3)
	eventually(t, "the next one", func() bool { return f.count() == 3 })
	f.stop(t)
}

// A restored backup has fewer transactions than the node has seen.
func TestFeedOfAnEarlierDatabase(t *testing.T) {
	t.Parallel()
	f := follow(t, pgtest.URL(t), 10*time.Millisecond, postgres.SnapshotFrom("900000000:900000001:900000000", 900000000), 0)
	if err := f.ended(t); !errors.Is(err, postgres.ErrBehind) {
		t.Error(err)
	}
}

// Transactions that were rolled back just before a crash are not in the log that the server recovers from: it gives
// their numbers out again, to transactions that a reader of before would take for finished.
func TestFeedAfterTransactionIDsWereGivenOutAgain(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	change(t, pool, "plan", 1)
	newest := number(t, pool, `select max(xid::text::bigint) from change`)
	// The server of this test counts for other tests too: far ahead, they cannot reach it.
	ahead := newest + 1_000_000
	f := follow(t, pgtest.URL(t), 10*time.Millisecond, postgres.SnapshotFrom(fmt.Sprintf("%d:%d:", ahead, ahead), newest), 0)
	for n := 1; n <= 3; n++ {
		change(t, pool, "plan", int64(n))
		eventually(t, "the change came", func() bool { return f.count() == n || f.failed(t) })
	}
	if seen := f.stop(t); len(seen) != 3 {
		t.Errorf("given: %v", seen)
	}
}

func TestSnapshotNeedsOneViewOfTheLoad(t *testing.T) {
	t.Parallel()
	ctx := context60(t)
	err := inTx(ctx, pgtest.New(t), func(tx pgx.Tx) error {
		_, err := postgres.SnapshotOf(ctx, tx)
		return err
	})
	if err == nil {
		t.Error("a read committed load has no one snapshot")
	}
}

func TestManyChangesAtOnce(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	keys := make([]int64, 25_000)
	for i := range keys {
		keys[i] = int64(i)
	}
	start := snapshot(t, pool)
	change(t, pool, "contract", keys...)
	change(t, pool, "contract") // none: nothing
	f := follow(t, pgtest.URL(t), 10*time.Millisecond, start, 1)
	eventually(t, "all are accepted", func() bool { return f.feed.Status().Accepted == uint64(len(keys)) })
	if seen := f.stop(t); len(seen) != len(keys) {
		t.Errorf("%d of %d changes were given", len(seen), len(keys))
	}
}
