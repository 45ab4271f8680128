package pg_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/nas"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

var t0 = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

// rec is a record with wide counters, octets in and ten times as many out.
func rec(kind radius.Kind, id string, event, seconds int, octets uint64) radius.Record {
	known := kind != radius.KindStart
	return radius.Record{
		Kind: kind, Key: nas.SessionKey{Device: 7, ID: id}, Received: at(event), Event: at(event), Seconds: int64(seconds),
		TimeKnown: known, Input: radius.Octets{N: octets, Known: known, Wide: true},
		Output: radius.Octets{N: 10 * octets, Known: known, Wide: true}, Login: "login-" + id, NASIdentifier: "bras-1",
		CallingStation: "aa:bb", NASPort: "eth1:100", FramedIP: netip.MustParseAddr("100.64.0.9"),
		FramedIPv6: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/56")}, Cookie: nas.Cookie{Access: 3, Granted: 99},
	}
}

func boot(kind radius.Kind, event int, identifier string) radius.Record {
	return radius.Record{Kind: kind, Key: nas.SessionKey{Device: 7}, Received: at(event), Event: at(event), NASIdentifier: identifier}
}

func put(t *testing.T, s *pg.Store, records ...radius.Record) []radius.Session {
	t.Helper()
	ended, err := s.Store(context.Background(), radius.Batch{Node: "n", Records: records, To: radius.Cursor{Segment: 1, Offset: 28}})
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

func live(t *testing.T, s *pg.Store) map[string]radius.Session {
	t.Helper()
	found := map[string]radius.Session{}
	if _, err := s.LoadOpenSessions(context.Background(), "n", func(s radius.Session) { found[s.Key.ID] = s }); err != nil {
		t.Fatal(err)
	}
	return found
}

func history(t *testing.T, s *pg.Store, login string) []radius.Session {
	t.Helper()
	sessions, err := s.History(context.Background(), login, 100)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

func TestASessionThereAndBack(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	want := radius.Session{
		Session: nas.Session{
			Key: nas.SessionKey{Device: 7, ID: "a"}, Login: "login-a", Access: 3, StartedAt: t0,
			FramedIP: netip.MustParseAddr("100.64.0.9"), CallingStation: "aa:bb", NASPort: "eth1:100",
			NASIdentifier: "bras-1", Applied: 99,
		},
		LastSeen: at(300), Seconds: 300, Input: 1 << 40, Output: 10 << 40,
		FramedIPv6: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/56")},
	}
	put(t, s, rec(radius.KindStart, "a", 0, 0, 0), rec(radius.KindInterim, "a", 300, 300, 1<<40))
	if got := live(t, s)["a"]; !got.Same(&want) || !slices.Equal(got.FramedIPv6, want.FramedIPv6) {
		t.Fatalf("stored\n%+v, want\n%+v", got, want)
	}
	stop := rec(radius.KindStop, "a", 400, 400, 1<<41)
	stop.Cause = 1
	for range 2 { // the second time changes nothing
		ended := put(t, s, stop)
		want.LastSeen, want.Seconds, want.Input, want.Output = at(400), 400, 1<<41, 10<<41
		want.ClosedBy, want.Stopped, want.Cause = radius.ClosedByStop, at(400), 1
		got := history(t, s, "login-a")
		if len(got) != 1 || !got[0].Same(&want) || len(live(t, s)) != 0 || len(ended) != 1 || !ended[0].Same(&want) {
			t.Fatalf("stored\n%+v, want\n%+v", got, want)
		}
	}
	put(t, s, rec(radius.KindInterim, "a", 300, 300, 1<<40), rec(radius.KindStart, "a", 0, 0, 0))
	if len(live(t, s)) != 0 || len(history(t, s, "login-a")) != 1 {
		t.Fatal("late records have opened it again")
	}
	put(t, s, rec(radius.KindInterim, "a", 900, 900, 1<<42))
	if got := live(t, s)["a"]; got.Input != 1<<42 || !got.StartedAt.Equal(t0) || len(history(t, s, "login-a")) != 0 {
		t.Fatalf("going on beyond its Stop: %+v", got)
	}
}

func TestReuseOfAnID(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	put(t, s, rec(radius.KindStart, "a", 0, 0, 0), rec(radius.KindInterim, "a", 300, 300, 5))
	put(t, s, rec(radius.KindStart, "a", 1800, 0, 0))
	got := history(t, s, "login-a")
	if len(got) != 1 || got[0].ClosedBy != radius.ClosedByReuse || got[0].Input != 5 || !live(t, s)["a"].StartedAt.Equal(at(1800)) {
		t.Fatalf("%+v", got)
	}
	put(t, s, rec(radius.KindStop, "a", 311, 310, 6)) // the first one's own, late
	got = history(t, s, "login-a")
	if len(got) != 1 || got[0].ClosedBy != radius.ClosedByStop || got[0].Input != 6 || live(t, s)["a"].Input != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestAccountingOn(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	other := rec(radius.KindStart, "other", 0, 0, 0)
	other.NASIdentifier = "bras-2"
	foreign := rec(radius.KindStart, "a", 0, 0, 0)
	foreign.Key.Device = 8
	put(t, s, rec(radius.KindStart, "a", 0, 0, 0), other, foreign, rec(radius.KindInterim, "a", 300, 300, 5),
		boot(radius.KindOn, 600, "bras-1"), rec(radius.KindStart, "b", 601, 0, 0), boot(radius.KindOn, 600, "bras-1"))
	got := history(t, s, "login-a")
	if len(got) != 1 || got[0].ClosedBy != radius.ClosedByOn || !got[0].Stopped.Equal(at(600)) || got[0].Input != 5 || got[0].Cause != radius.CauseNASReboot {
		t.Fatalf("%+v", got)
	}
	counts, err := s.Counts(context.Background())
	if err != nil || counts[7] != 2 || counts[8] != 1 {
		t.Fatalf("open: %v, %v", counts, err)
	}
	put(t, s, rec(radius.KindStart, "late", 500, 0, 0)) // from before the boot
	if got := history(t, s, "login-late"); len(got) != 1 || got[0].ClosedBy != radius.ClosedByOn {
		t.Fatalf("%+v", got)
	}
	put(t, s, rec(radius.KindInterim, "a", 900, 900, 9)) // it lived through it
	if !live(t, s)["a"].StartedAt.Equal(t0) || len(history(t, s, "login-a")) != 0 {
		t.Fatal("a session that the device goes on reporting is not open again")
	}
	put(t, s, boot(radius.KindOff, 1000, ""))
	if n := live(t, s); len(n) != 1 {
		t.Fatalf("open after Accounting-Off of the whole device: %v", n)
	}
}

func TestOddTexts(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	for i, id := range []string{"%lX6b02d419%hX", "a\x00b", "\xff\xfe", `\x6162`, "ab", "joão", "'; drop table session_live; --"} {
		r := rec(radius.KindStart, id, i, 0, 0)
		r.Login, r.CallingStation, r.NASPort, r.NASIdentifier = id, id, id, id
		put(t, s, r)
		got, ok := live(t, s)[id]
		if !ok || got.Login != id || got.CallingStation != id || got.NASPort != id || got.NASIdentifier != id {
			t.Errorf("%q came back as %+v", id, got)
		}
		found, err := s.OpenSessions(context.Background(), pg.Filter{Login: id})
		if err != nil || len(found) != 1 {
			t.Errorf("by login %q: %v, %v", id, found, err)
		}
	}
}

// TestAnyBatchesGiveTheSame stores the records of many sessions in one order in one batch, and shuffled, in pieces, some
// twice, through two nodes.
func TestAnyBatchesGiveTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var records []radius.Record
	for i := range 150 {
		id := fmt.Sprintf("s%03d", i)
		records = append(records, rec(radius.KindStart, id, i, 0, 0))
		n := random.IntN(6)
		for k := 1; k <= n; k++ {
			records = append(records, rec(radius.KindInterim, id, i+300*k, 300*k, uint64(1000*k+i)))
		}
		if i%2 == 0 {
			stop := rec(radius.KindStop, id, i+300*(n+1), 300*(n+1), uint64(1000*(n+1)+i))
			stop.Cause = 1
			records = append(records, stop)
		}
	}
	want := pgtest.New(t)
	put(t, pg.NewStore(want), records...)

	for _, records := range [][]radius.Record{records, append(slices.Clone(records), records[:200]...)} {
		t.Run("", func(t *testing.T) {
			random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			pool := pgtest.New(t)
			nodes := []*pg.Store{pg.NewStore(pool), pg.NewStore(pool)}
			for len(records) > 0 {
				n := min(1+random.IntN(60), len(records))
				put(t, nodes[random.IntN(2)], records[:n]...)
				records = records[n:]
			}
			if got, want := dump(t, pool), dump(t, want); got != want {
				t.Errorf("shuffled:\n%s\nin order:\n%s", got, want)
			}
		})
	}
}

func TestTwoNodesAtOnce(t *testing.T) {
	pool := pgtest.New(t)
	done := make(chan error, 2)
	for node := range 2 {
		go func() {
			s := pg.NewStore(pool)
			for k := range 30 {
				var records []radius.Record
				for i := range 200 {
					kind := radius.KindInterim
					if k == 29 {
						kind = radius.KindStop
					}
					records = append(records, rec(kind, fmt.Sprint((i*7+node*31)%200), 1000+k*10, k*10, uint64(k)))
				}
				if _, err := s.Store(context.Background(), radius.Batch{Node: fmt.Sprint(node), Records: records}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var open, ended, wrong int
	err := pool.QueryRow(context.Background(), `select (select count(*) from session_live), count(*),
		count(*) filter (where input_octets <> 29 or closed_by <> 'stop') from session_history`).Scan(&open, &ended, &wrong)
	if err != nil || open != 0 || ended != 200 || wrong != 0 {
		t.Fatalf("%d open, %d ended, %d of them wrong, %v", open, ended, wrong, err)
	}
}

func TestMonths(t *testing.T) {
	pool := pgtest.New(t)
	s := pg.NewStore(pool)
	session := func(id string, started time.Time) radius.Record {
		r := rec(radius.KindStop, id, 0, 60, 1)
		r.Received, r.Event = started.Add(time.Minute), started.Add(time.Minute)
		return r
	}
	old := session("old", time.Date(2025, 11, 30, 23, 59, 59, 0, time.UTC))
	old.Received = t0 // began in a month that no record was received in
	put(t, s, old, session("march", t0), session("april", time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)))
	where := func() map[string]string {
		rows, err := pool.Query(context.Background(), `select session_id, tableoid::regclass::text from session_history`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		found := map[string]string{}
		for rows.Next() {
			var id, table string
			if err := rows.Scan(&id, &table); err != nil {
				t.Fatal(err)
			}
			found[id] = table
		}
		return found
	}
	got := where()
	if got["old"] != "session_history_default" || got["march"] != "session_history_2026_03" || got["april"] != "session_history_2026_04" {
		t.Fatalf("%v", got)
	}
	put(t, pg.NewStore(pool), session("november", time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC)))
	if got := where(); got["old"] != "session_history_2025_11" || got["november"] != "session_history_2025_11" {
		t.Fatalf("after the month's partition came: %v", got)
	}
}

func TestOpenSessionsByPage(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	var records []radius.Record
	for i := range 30 {
		r := rec(radius.KindStart, fmt.Sprint(i), i, 0, 0)
		r.Login = fmt.Sprintf("user%02d", i/2) // two sessions each
		if i == 4 {
			r.CallingStation, r.FramedIP = "10_20%", netip.MustParseAddr("10.9.8.7")
		}
		records = append(records, r)
	}
	put(t, s, records...)
	var seen []string
	after := ""
	for range 100 {
		page, err := s.OpenSessions(context.Background(), pg.Filter{AfterLogin: after, Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, p := range page {
			seen = append(seen, p.Login+"/"+p.Key.ID)
			after = p.Login
		}
	}
	if slices.Sort(seen); len(seen) != 30 || len(slices.Compact(seen)) != 30 {
		t.Fatalf("pages gave %d sessions: %s", len(seen), strings.Join(seen, " "))
	}
	for query, want := range map[string]int{"user0": 20, "10_20%": 1, "1_": 0, "10.9.8": 1, "2001:db8": 30, "nobody": 0, "a\x00a:bb": 29} {
		if got, err := s.OpenSessions(context.Background(), pg.Filter{Query: query}); err != nil || len(got) != want {
			t.Errorf("query %q: %d sessions, want %d, %v", query, len(got), want, err)
		}
	}
}

// dump is everything that is stored of sessions, for comparison.
func dump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	var text string
	err := pool.QueryRow(context.Background(), `select string_agg(line, E'\n' order by line) from (
		select 'live ' || l::text as line from session_live l union all select 'ended ' || h::text from session_history h) x`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
