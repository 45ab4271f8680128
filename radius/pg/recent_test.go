package pg_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// stateTables are what storing accounting writes, and how their rows are told apart.
var stateTables = []string{"session_live", "session_history", "connection_open", "connection_record", "usage_day"}

func stateOf(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	var all strings.Builder
	for _, table := range stateTables {
		rows, err := pool.Query(context.Background(), fmt.Sprintf(`select x::text from %s x order by 1`, table))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s\n  %s\n", table, strings.Join(lines, "\n  "))
	}
	return all.String()
}

// TestRememberingChangesNothing has two stores, which remember what they wrote, take turns at one database, and one that
// remembers nothing do the same in another: whatever the records, and whatever is done to the table beneath them, both
// databases hold the same.
func TestRememberingChangesNothing(t *testing.T) {
	ctx := context.Background()
	pool, plain := pgtest.New(t), pgtest.New(struct{ testing.TB }{t}) // another test, so another database
	for _, p := range []*pgxpool.Pool{pool, plain} {
		signed(t, p, "America/Sao_Paulo", "ana", "bia", "caio")
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		for _, p := range []*pgxpool.Pool{pool, plain} {
			if _, err := p.Exec(ctx, `truncate `+strings.Join(stateTables, ", ")+`, journal_cursor, accounting_boot`); err != nil {
				rt.Fatal(err)
			}
		}
		stores := []*pg.Store{pg.NewStore(pool), pg.NewStore(pool)}
		forgetful := []*pg.Store{pg.NewStore(plain), pg.NewStore(plain)}
		clock, offset := 0, int64(0)
		record := rapid.Custom(func(rt *rapid.T) radius.Record {
			clock += rapid.SampledFrom([]int{0, 1, 30, 300, 4000}).Draw(rt, "later")
			kind := rapid.SampledFrom([]radius.Kind{radius.KindStart, radius.KindInterim, radius.KindInterim, radius.KindInterim,
				radius.KindStop, radius.KindOn}).Draw(rt, "kind")
			who := rapid.IntRange(0, 3).Draw(rt, "who")
			event := clock - rapid.SampledFrom([]int{0, 0, 0, 60, 2000}).Draw(rt, "late")
			if kind == radius.KindOn {
				r := boot(kind, event, rapid.SampledFrom([]string{"", "bras-1", "bras-2"}).Draw(rt, "nas"))
				r.Key.Device = nas.DeviceID(rapid.IntRange(7, 8).Draw(rt, "device"))
				return r
			}
			seconds := rapid.SampledFrom([]int{0, 10, 300, 5000}).Draw(rt, "seconds")
			r := rec(kind, fmt.Sprint("s", rapid.IntRange(0, 3).Draw(rt, "id")), event, seconds, uint64(rapid.IntRange(0, 5).Draw(rt, "octets"))*uint64(seconds))
			r.Key.Device = nas.DeviceID(rapid.IntRange(7, 8).Draw(rt, "device"))
			r.Login = []string{"ana", "bia", "caio", "nobody"}[who]
			r.Cookie.Access = contracts.AccessID(rapid.SampledFrom([]int{0, who + 1}).Draw(rt, "access") % 4)
			r.NASIdentifier = rapid.SampledFrom([]string{"", "bras-1", "bras-1", "bras-2"}).Draw(rt, "nas")
			r.FramedIP = netip.AddrFrom4([4]byte{100, 64, 0, byte(rapid.IntRange(1, 2).Draw(rt, "ip"))})
			if rapid.Bool().Draw(rt, "no v6") {
				r.FramedIPv6 = nil
			}
			return r
		})
		for range rapid.IntRange(2, 12).Draw(rt, "batches") {
			switch rapid.IntRange(0, 9).Draw(rt, "beneath") {
			case 0: // the rows move
				if _, err := pool.Exec(ctx, `vacuum full session_live`); err != nil {
					rt.Fatal(err)
				}
			case 1: // the last batch of both is lost, as when a standby takes over: whatever it was, the cursor is older
				for _, p := range []*pgxpool.Pool{pool, plain} {
					if _, err := p.Exec(ctx, `with back as (update journal_cursor set position = position - 1),
						released as (delete from connection_open where session_id = 's1')
						delete from session_live where session_id = 's1'`); err != nil {
						rt.Fatal(err)
					}
				}
			}
			offset += 2
			b := radius.Batch{Node: fmt.Sprint("node", run), Records: rapid.SliceOfN(record, 1, 6).Draw(rt, "records"),
				To: radius.Cursor{Segment: 1, Offset: offset}}
			which := rapid.IntRange(0, 3).Draw(rt, "store") / 3 // mostly the first
			b.Node += fmt.Sprint("-", which)
			for i := range b.Records {
				r := &b.Records[i]
				rt.Logf("store %d: kind %d %v at %v, %d s, %q/%d of %q, %v", which, r.Kind, r.Key, r.Event, r.Seconds, r.Login, r.Cookie.Access, r.NASIdentifier, r.FramedIP)
			}
			if _, err := stores[which].Store(ctx, b); err != nil {
				rt.Fatal(err)
			}
			forgetful[which].Forget()
			if _, err := forgetful[which].Store(ctx, b); err != nil {
				rt.Fatal(err)
			}
		}
		if got, want := stateOf(t, pool), stateOf(t, plain); got != want {
			rt.Fatalf("remembering:\n%s\nwithout:\n%s", got, want)
		}
	})
}
