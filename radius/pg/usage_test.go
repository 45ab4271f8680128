package pg_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/contracts"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// signed records one contract in a zone with an access for every login; the accesses are numbered from 1.
func signed(t testing.TB, pool *pgxpool.Pool, zone string, logins ...string) {
	t.Helper()
	_, err := pool.Exec(context.Background(), `
		with c as (insert into customer (name, created_at) values ('Ana', $1) returning id),
		p as (insert into plan (name, created_at) values ('Fibra', $1) returning id),
		k as (insert into contract (customer_id, plan_id, zone, created_at, due_day, billing_anchor) select c.id, p.id, $2, $1, 10, $1 from c, p returning id)
		insert into access (contract_id, login, password_sealed, created_at) select k.id, l, '', $1 from k, unnest($3::text[]) l`, t0, zone, logins)
	if err != nil {
		t.Fatal(err)
	}
}

func date(s string) contracts.Date {
	d, err := contracts.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// days of contract 1 in 2026, by date; up is what was counted from the subscriber.
func days(t *testing.T, s *pg.Store) map[string]contracts.DayUsage {
	t.Helper()
	found, err := s.Usage(context.Background(), pg.Days{Contract: 1, From: date("2026-01-01"), Until: date("2027-01-01")})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]contracts.DayUsage{}
	for _, d := range found[1] {
		by[d.Day.String()] = d
	}
	return by
}

// used is all traffic of contract 1.
func used(t *testing.T, s *pg.Store) (sum contracts.Traffic) {
	t.Helper()
	for _, d := range days(t, s) {
		sum = sum.Plus(d.Total)
	}
	return sum
}

// of is a record of a session of an access, known by its login only where access is 0.
func of(r radius.Record, access contracts.AccessID, login string) radius.Record {
	r.Login, r.Cookie.Access = login, access
	return r
}

func TestUsageIsBookedOnTheDayOfTheRecord(t *testing.T) {
	pool := pgtest.New(t)
	signed(t, pool, "America/Sao_Paulo", "ana", "ana-2")
	s := pg.NewStore(pool)
	s.Terms = func(access contracts.AccessID, login string, at time.Time) (bool, bool) {
		return true, login == "ana" && at.Hour() == 4 // 01:00 in São Paulo
	}
	night := 3*3600 - 12*3600 + 86400 // midnight in São Paulo, after t0
	put(t, s, of(rec(radius.KindStart, "a", 0, 0, 0), 0, "ana"), of(rec(radius.KindInterim, "a", night-60, night-60, 100), 0, "ana"),
		of(rec(radius.KindInterim, "a", night+60, night+60, 130), 0, "ana"), // thirty more, a minute after midnight
		of(rec(radius.KindStop, "b", night+120, 60, 7), 2, "whatever the device says"))
	put(t, s, of(rec(radius.KindStop, "a", night+4000, night+4000, 1130), 0, "ana"))
	put(t, s, of(rec(radius.KindStop, "c", night, 60, 1<<40), 0, "nobody"), of(rec(radius.KindStop, "d", night, 60, 1<<40), 77, "nobody"))
	got := days(t, s)
	if d := got["2026-03-10"]; len(got) != 2 || d.Total != (contracts.Traffic{Up: 100, Down: 1000}) || !d.Free.IsZero() {
		t.Errorf("the first day is %+v of %+v", d, got)
	}
	if d := got["2026-03-11"]; d.Total != (contracts.Traffic{Up: 1037, Down: 10370}) || d.Free != (contracts.Traffic{Up: 1000, Down: 10000}) {
		t.Errorf("the second day is %+v", d)
	}
	var told int
	if err := pool.QueryRow(context.Background(), `select count(*) from change where tbl = 'usage' and key = 1`).Scan(&told); err != nil || told != 2 {
		t.Errorf("the nodes were told %d times, %v", told, err)
	}
	one, err := s.Usage(context.Background(), pg.Days{Contract: 1, From: date("2026-03-11"), Until: date("2026-03-12")}, pg.Days{Contract: 9, From: date("2026-03-11"), Until: date("2026-03-12")})
	if err != nil || len(one) != 1 || len(one[1]) != 1 {
		t.Errorf("one day: %+v, %v", one, err)
	}
}

// Whatever comes twice, late, out of order, after a crash, of an id that is used again, or through two nodes at once:
// the usage is the sum of the sessions' counters.
func TestUsageIsTheSumOfTheCounters(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			pool := pgtest.New(t)
			signed(t, pool, "America/Sao_Paulo", "ana", "ana-2")
			stores := []*pg.Store{pg.NewStore(pool), pg.NewStore(pool)}
			random := rand.New(rand.NewPCG(seed, 1))
			var records []radius.Record
			for i := range 32 {
				id, login, access := fmt.Sprint(i%24), []string{"ana", "ana-2"}[i%2], contracts.AccessID(i%2+1)
				if i%3 == 0 {
					access = 0
				}
				start, octets := 86400*(i/24), uint64(0) // ids 0 to 7 are used again, a day later
				records = append(records, of(rec(radius.KindStart, id, start, 0, 0), access, login))
				for k := range 1 + random.IntN(6) {
					octets += random.Uint64N(1 << 33)
					kind := radius.KindInterim
					if k == 5 {
						kind = radius.KindStop
					}
					records = append(records, of(rec(kind, id, start+(k+1)*900, (k+1)*900, octets), access, login))
				}
			}
			records = append(records, records[:len(records)/3]...)
			for i := range records {
				j := max(0, i-random.IntN(25))
				records[i], records[j] = records[j], records[i]
			}
			records = slices.Insert(records, 50, boot(radius.KindOn, 500, "bras-1"))

			// Two nodes get overlapping parts of it, in batches, at once; some batches again, as after a kill.
			var wg sync.WaitGroup
			for n, s := range stores {
				wg.Go(func() {
					mine := records[len(records)/3*n:]
					random := rand.New(rand.NewPCG(seed, uint64(n)+2))
					for len(mine) > 0 {
						batch := mine[:min(len(mine), 1+random.IntN(30))]
						for range 1 + random.IntN(2) {
							_, err := s.Store(context.Background(), radius.Batch{Node: fmt.Sprint(n), Records: batch, To: radius.Cursor{Segment: 1}})
							for try := 0; err != nil && try < 20; try++ { // a deadlock is the drain's to repeat
								_, err = s.Store(context.Background(), radius.Batch{Node: fmt.Sprint(n), Records: batch, To: radius.Cursor{Segment: 1}})
							}
							if err != nil {
								t.Error(err)
								return
							}
						}
						mine = mine[len(batch):]
					}
				})
			}
			wg.Wait()
			var in, out, sessions int64
			err := pool.QueryRow(context.Background(), `select sum(input_octets), sum(output_octets), count(*) from
			(select input_octets, output_octets from session_live union all select input_octets, output_octets from session_history) s`).Scan(&in, &out, &sessions)
			if err != nil {
				t.Fatal(err)
			}
			if got := used(t, stores[0]); got != (contracts.Traffic{Up: uint64(in), Down: uint64(out)}) {
				t.Errorf("seed %d: usage is %+v, the %d sessions' counters sum to %d and %d", seed, got, sessions, in, out)
			}
		})
	}
}

func TestAbsurdCountersDoNotStopTheOthers(t *testing.T) {
	pool := pgtest.New(t)
	signed(t, pool, "America/Sao_Paulo", "ana")
	s := pg.NewStore(pool)
	for i := range 3 {
		r := of(rec(radius.KindStop, fmt.Sprint("absurd", i), 60, 60, 1<<58), 1, "ana")
		r.Output.N = 1<<63 - 1
		put(t, s, r, of(rec(radius.KindStop, fmt.Sprint("good", i), 60, 60, 5), 1, "ana"))
	}
	if got := used(t, s); got.Up != 1<<56 || got.Down != 1<<56 {
		t.Errorf("used %+v", got)
	}
}
