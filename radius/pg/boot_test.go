package pg_test

import (
	"context"
	"fmt"
	"testing"

	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// many stores n sessions of device 7, every other one of a second access server behind its address.
func many(t testing.TB, s *pg.Store, n int) {
	t.Helper()
	var records []radius.Record
	for i := range n {
		r := rec(radius.KindInterim, fmt.Sprintf("%08d", i), 300, 300, uint64(i))
		r.NASIdentifier = []string{"bras-1", "bras-2"}[i%2]
		records = append(records, r)
		if len(records) == 5000 || i == n-1 {
			if _, err := s.Store(context.Background(), radius.Batch{Node: "n", Records: records}); err != nil {
				t.Fatal(err)
			}
			records = records[:0]
		}
	}
}

// TestAccountingOnOfManySessions ends more sessions than are handled at once, and none of another access server.
func TestAccountingOnOfManySessions(t *testing.T) {
	const n = 11_000
	pool := pgtest.New(t)
	s := pg.NewStore(pool)
	many(t, s, n)
	put(t, s, boot(radius.KindOn, 600, "bras-1"), rec(radius.KindStart, "new", 601, 0, 0))
	var open, ended, wrong int
	err := pool.QueryRow(context.Background(), `select (select count(*) from session_live), count(*), count(*) filter (where closed_by <> 'accounting-on'
		or nas_identifier <> 'bras-1' or input_octets <> session_id::int or terminate_cause <> $1) from session_history`, radius.CauseNASReboot).Scan(&open, &ended, &wrong)
	if err != nil || open != n/2+1 || ended != n/2 || wrong != 0 {
		t.Fatalf("%d open, %d ended, %d of them wrong, %v", open, ended, wrong, err)
	}
	put(t, s, boot(radius.KindOff, 700, ""))
	if counts, err := s.Counts(context.Background()); err != nil || counts[7] != 0 {
		t.Fatalf("open after Accounting-Off of the whole device: %v, %v", counts, err)
	}
}

// BenchmarkAccountingOn ends 100,000 sessions.
func BenchmarkAccountingOn(b *testing.B) {
	for range b.N {
		b.StopTimer()
		s := pg.NewStore(pgtest.New(b))
		many(b, s, 100_000)
		b.StartTimer()
		if _, err := s.Store(context.Background(), radius.Batch{Node: "n", Records: []radius.Record{boot(radius.KindOn, 600, "")}}); err != nil {
			b.Fatal(err)
		}
	}
}
