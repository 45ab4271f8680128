package pg_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/nas"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// connectionDump is every connection that is stored, for comparison. When it was named last is left out of open ones, in
// which it is noted only when something else is, and of released ones, of which the release says enough.
func connectionDump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	var text string
	err := pool.QueryRow(context.Background(), `select coalesce(string_agg(line, E'\n' order by line), '') from (
		select format('%s %s %s %s-%s %s..open said %s %s %s %s %s', session_id, kind, address, port_from, port_to, from_at, said_at, login, access_id, calling_station, others) as line
		from connection_open union all
		select format('%s %s %s %s-%s %s..%s %s said %s seen %s %s %s %s', session_id, kind, address, port_from, port_to, from_at, until_at, closed_by, said_at, case when closed_by <> 'release' then seen_at end, login, access_id, calling_station)
		from connection_record) x`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// TestConnectionsInAnyOrder stores the records of sessions whose addresses come and change: in order; and shuffled, in
// pieces, some twice, through two nodes whose transactions are cut short at random and begun again.
func TestConnectionsInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var records []radius.Record
	for i := range 80 {
		id := fmt.Sprintf("s%03d", i)
		ip, pd, block := 1, 0, 1
		steps := 1 + random.IntN(6)
		for k := range steps + 1 {
			kind := radius.KindInterim
			switch {
			case k == 0 && i%5 != 0:
				kind = radius.KindStart
			case k == steps && i%2 == 0:
				kind = radius.KindStop
			}
			r := rec(kind, id, 10+i+300*k, 300*k, uint64(1000*k))
			if k == 0 && i%5 == 0 {
				r.Event, r.Seconds, r.TimeKnown = r.Event.Add(60*time.Second), 60, true // its Start was lost
			}
			r.FramedIP = netip.AddrFrom4([4]byte{100, 64, byte(i), byte(ip)})
			r.FramedIPv6 = []netip.Prefix{prefix(fmt.Sprintf("2001:db8:%x::/64", i+1))}
			if pd > 0 {
				d := prefix(fmt.Sprintf("2001:db8:1%02x:%x00::/56", i, pd))
				r.Delegated = []netip.Prefix{d}
				r.FramedIPv6 = append(r.FramedIPv6, d)
				slices.SortFunc(r.FramedIPv6, netip.Prefix.Compare)
			}
			if i%3 == 0 { // a block of carrier-grade NAT, sometimes given up for another
				was := block
				block += random.IntN(2)
				public := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
				if k > 0 && was != block {
					r.Ports = append(r.Ports, radius.PortBlock{Addr: public, From: uint16(was * 1000), To: uint16(was*1000 + 999), State: radius.BlockReleased})
				}
				r.Ports = append(r.Ports, radius.PortBlock{Addr: public, From: uint16(block * 1000), To: uint16(block*1000 + 999)})
			}
			records = append(records, r)
			ip += random.IntN(3) / 2
			pd += random.IntN(2)
		}
	}
	in := pgtest.New(t)
	put(t, pg.NewStore(in), records...)
	want := connectionDump(t, in)
	if n := strings.Count(want, "\n"); n < 300 {
		t.Fatalf("only %d connections:\n%s", n, want)
	}
	for range 3 {
		t.Run("", func(t *testing.T) {
			records := append(slices.Clone(records), records[:len(records)/3]...)
			random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			pool := pgtest.New(t)
			nodes := []*pg.Store{pg.NewStore(pool), pg.NewStore(pool)}
			cut := 0
			for len(records) > 0 {
				n := min(1+random.IntN(60), len(records))
				s := nodes[random.IntN(2)]
				batch := radius.Batch{Node: "n", Records: records[:n], To: radius.Cursor{Segment: 1, Offset: 28}}
				short, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(8000))*time.Microsecond)
				if _, err := s.Store(short, batch); err != nil {
					cut++
				}
				cancel()
				put(t, s, batch.Records...)
				records = records[n:]
			}
			if cut == 0 {
				t.Error("no transaction was cut short")
			}
			if got := connectionDump(t, pool); got != want {
				t.Errorf("shuffled:\n%s\nin order:\n%s", without(got, want), without(want, got))
			}
		})
	}
}

// without is the lines of a text that another does not have.
func without(text, other string) string {
	have := strings.Split(other, "\n")
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return slices.Contains(have, l) }), "\n")
}

func who(t *testing.T, s *pg.Store, address string, port int, when time.Time) string {
	t.Helper()
	found, more, err := s.WhoHad(context.Background(), radius.AddressQuestion{Address: netip.MustParseAddr(address), Port: port, At: when})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range found {
		id := c.Key.ID
		if c.Estimated() {
			id += "?"
		}
		if c.Open() {
			id += "+"
		}
		ids = append(ids, id)
	}
	if more {
		ids = append(ids, "...")
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func TestWhoHad(t *testing.T) {
	pool := pgtest.New(t)
	s := pg.NewStore(pool)
	session := func(kind radius.Kind, id string, event, seconds int, ip string, v6 ...string) radius.Record {
		r := rec(kind, id, event, seconds, uint64(seconds))
		r.FramedIP, r.FramedIPv6 = netip.Addr{}, nil
		if ip != "" {
			r.FramedIP = netip.MustParseAddr(ip)
		}
		for _, p := range v6 {
			r.FramedIPv6 = append(r.FramedIPv6, prefix(p))
		}
		return r
	}
	nat := func(r radius.Record, from, to uint16) radius.Record {
		r.Ports = []radius.PortBlock{{Addr: netip.MustParseAddr("203.0.113.1"), From: from, To: to}}
		return r
	}
	put(t, s,
		session(radius.KindStart, "a", 0, 0, "198.51.100.1", "2001:db8:1::/56", "2001:db8:f::7/128"),
		session(radius.KindStop, "a", 600, 600, "198.51.100.1", "2001:db8:1::/56", "2001:db8:f::7/128"),
		session(radius.KindStart, "b", 900, 0, "198.51.100.1", "2001:db8:2::/60"),
		session(radius.KindInterim, "b", 1200, 300, "198.51.100.2"),  // another address
		session(radius.KindInterim, "c", 1800, 1000, "198.51.100.2"), // assigned twice; its Start was lost
		nat(session(radius.KindStart, "n1", 0, 0, "100.64.0.1"), 1024, 2047),
		nat(session(radius.KindStart, "n2", 0, 0, "100.64.0.2"), 2048, 3071),
		nat(session(radius.KindStart, "n3", 0, 0, "100.64.0.3"), 3072, 4095),
		nat(session(radius.KindStop, "n3", 60, 60, "100.64.0.3"), 3072, 4095),
	)
	for _, c := range []struct {
		address string
		port    int
		at      int
		want    string
	}{
		{"198.51.100.1", -1, -1, ""}, {"198.51.100.1", -1, 0, "a"}, {"198.51.100.1", -1, 300, "a"}, {"198.51.100.1", 80, 300, "a"},
		{"198.51.100.1", -1, 600, "a"}, {"198.51.100.1", -1, 601, ""}, {"::ffff:198.51.100.1", -1, 300, "a"},
		{"198.51.100.1", -1, 1000, "b?"}, {"198.51.100.1", -1, 1300, ""}, {"198.51.100.2", -1, 1199, "c+"},
		{"198.51.100.2", -1, 1500, "b+ c+"}, {"198.51.100.2", -1, 999999, "b+ c+"}, {"198.51.100.3", -1, 1000, ""},
		{"2001:db8:1::5", -1, 300, "a"}, {"2001:db8:1:ff:1:2:3:4", -1, 300, "a"}, {"2001:db8:1:100::", -1, 300, ""},
		{"2001:db8:f::7", -1, 300, "a"}, {"2001:db8:f::8", -1, 300, ""}, {"2001:db8:2:f::1", -1, 5000, "b+"}, {"2001:db8:2:10::1", -1, 5000, ""},
		{"203.0.113.1", -1, 30, "n1+ n2+ n3"}, {"203.0.113.1", 2048, 30, "n2+"}, {"203.0.113.1", 3071, 30, "n2+"}, {"203.0.113.1", 80, 30, ""},
		{"203.0.113.1", 3072, 30, "n3"}, {"203.0.113.1", 3072, 90, ""}, {"203.0.113.1", -1, 90, "n1+ n2+"}, {"100.64.0.2", -1, 90, "n2+"},
	} {
		if got := who(t, s, c.address, c.port, at(c.at)); got != c.want {
			t.Errorf("%s port %d at %d: %q, want %q", c.address, c.port, c.at, got, c.want)
		}
	}
	found, more, err := s.WhoHad(context.Background(), radius.AddressQuestion{Address: netip.MustParseAddr("203.0.113.1"), Port: -1, At: at(30), Limit: 2})
	if err != nil || len(found) != 2 || !more {
		t.Errorf("a limit of 2: %d, more: %v, %v", len(found), more, err)
	}
	mine, _, err := s.HeldBy(context.Background(), radius.SubscriberQuestion{Login: "login-b", From: at(0), Until: at(2000)})
	if err != nil || len(mine) != 0 {
		t.Errorf("a login that is not ours has an access number, and is found by it alone: %v, %v", mine, err)
	}
}

// TestHeldBy finds sessions by the subscriber, also those of which the Class did not come back.
func TestHeldBy(t *testing.T) {
	pool := pgtest.New(t)
	s := pg.NewStore(pool)
	_, err := pool.Exec(context.Background(), `
		insert into customer (name, document, created_at) values ('Maria', '52998224725', now());
		insert into plan (name, created_at) values ('P', now());
		insert into contract (customer_id, plan_id, zone, created_at, due_day, billing_anchor) values (1, 1, 'America/Sao_Paulo', now(), 10, '2026-01-01');
		insert into access (contract_id, login, password_sealed, created_at) values (1, 'login-a', '', now()), (1, 'login-b', '', now())`)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"a", "b", "stranger"} {
		start, stop := rec(radius.KindStart, id, 100*i, 0, 0), rec(radius.KindStop, id, 100*i+50, 50, 5)
		for _, r := range []*radius.Record{&start, &stop} {
			r.FramedIPv6, r.Cookie = nil, nas.Cookie{}
		}
		if id == "b" {
			start.Cookie.Access = 2
		}
		put(t, s, start, stop)
	}
	// Whoever has our Class is not the login that User-Name says; strangers and customers who are online count as well.
	for _, id := range []string{"masked", "masked-online", "stranger-online"} {
		start, stop := rec(radius.KindStart, id, 500, 0, 0), rec(radius.KindStop, id, 550, 50, 5)
		for _, r := range []*radius.Record{&start, &stop} {
			r.FramedIPv6, r.Cookie = nil, nas.Cookie{}
			if strings.HasPrefix(id, "masked") {
				r.Login, r.Cookie.Access = "mask", 1
			}
		}
		if put(t, s, start); !strings.HasSuffix(id, "online") {
			put(t, s, stop)
		}
	}
	for _, c := range []struct {
		period radius.SubscriberQuestion
		want   string
	}{
		{radius.SubscriberQuestion{Login: "login-a", From: at(0), Until: at(1000)}, "masked/Maria masked-online/Maria a/Maria"},
		{radius.SubscriberQuestion{Login: "login-a", From: at(600), Until: at(1000)}, "masked-online/Maria"},
		{radius.SubscriberQuestion{Login: "login-a", From: at(0), Until: at(500)}, "a/Maria"},
		{radius.SubscriberQuestion{Login: "mask", From: at(0), Until: at(1000)}, ""},
		{radius.SubscriberQuestion{Login: "login-stranger-online", From: at(800), Until: at(1000)}, "stranger-online/"},
		{radius.SubscriberQuestion{Login: "login-stranger-online", From: at(0), Until: at(500)}, ""},
		{radius.SubscriberQuestion{Login: "login-a", From: at(51), Until: at(400)}, ""},
		{radius.SubscriberQuestion{Login: "login-a", From: at(-10), Until: at(0)}, ""},
		{radius.SubscriberQuestion{Login: "login-b", From: at(0), Until: at(1000)}, "b/Maria"},
		{radius.SubscriberQuestion{Login: "login-stranger", From: at(0), Until: at(1000)}, "stranger/"},
		{radius.SubscriberQuestion{Customer: 1, From: at(0), Until: at(1000)}, "masked/Maria masked-online/Maria b/Maria a/Maria"},
		{radius.SubscriberQuestion{Customer: 2, From: at(0), Until: at(1000)}, ""},
		{radius.SubscriberQuestion{From: at(0), Until: at(1000)}, ""},
	} {
		found, _, err := s.HeldBy(context.Background(), c.period)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			got = append(got, f.Key.ID+"/"+f.CustomerName)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %q, want %q", c.period, got, c.want)
		}
	}
}

// TestConnectionsThroughABoot ends what sessions held when their access server begins anew, and opens again what goes on.
func TestConnectionsThroughABoot(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	put(t, s, rec(radius.KindStart, "a", 0, 0, 0), rec(radius.KindStart, "b", 0, 0, 0), rec(radius.KindInterim, "a", 300, 300, 5), boot(radius.KindOn, 600, "bras-1"))
	if got := who(t, s, "100.64.0.9", -1, at(500)); got != "a? b?" {
		t.Errorf("before the boot: %q", got)
	}
	if got := who(t, s, "100.64.0.9", -1, at(601)); got != "" {
		t.Errorf("after the boot: %q", got)
	}
	put(t, s, rec(radius.KindInterim, "a", 900, 900, 9)) // it lived through it
	if got := who(t, s, "100.64.0.9", -1, at(700)); got != "a+" {
		t.Errorf("a session that goes on: %q", got)
	}
	put(t, s, rec(radius.KindStop, "a", 1000, 1000, 10))
	if got := who(t, s, "100.64.0.9", -1, at(1000)); got != "a" {
		t.Errorf("at its Stop: %q", got)
	}
}

// TestReusedIDOnConnections gives one Acct-Session-Id to two sessions with the same address.
func TestReusedIDOnConnections(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	second := rec(radius.KindStart, "a", 3600, 0, 0)
	second.Login = "somebody-else"
	put(t, s, rec(radius.KindStart, "a", 0, 0, 0), rec(radius.KindInterim, "a", 300, 300, 5), second)
	for when, want := range map[int]string{0: "login-a", 300: "login-a", 2000: "", 4000: "somebody-else"} {
		found, _, err := s.WhoHad(context.Background(), radius.AddressQuestion{Address: netip.MustParseAddr("100.64.0.9"), Port: -1, At: at(when)})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range found {
			got += f.Login
		}
		if got != want {
			t.Errorf("at %d: %q, want %q", when, got, want)
		}
	}
}

// TestConnectionOfHalfAYear keeps what ended within the retention, however long ago it began.
func TestConnectionOfHalfAYear(t *testing.T) {
	pool := pgtest.New(t)
	s := pg.NewStore(pool)
	month := func(n int) time.Time { return time.Date(2026, time.Month(n), 10, 12, 0, 0, 0, time.UTC) }
	on := func(kind radius.Kind, id string, when time.Time, since time.Time) radius.Record {
		r := rec(kind, id, 0, int(when.Sub(since)/time.Second), uint64(when.Sub(since)/time.Second))
		r.Received, r.Event = when, when
		return r
	}
	for n := 1; n <= 14; n++ { // a month's session each, and one that goes through them to July
		id := fmt.Sprint("m", n)
		put(t, s, on(radius.KindStart, id, month(n), month(n)), on(radius.KindStop, id, month(n).Add(time.Hour), month(n)))
		switch n {
		case 1:
			put(t, s, on(radius.KindStart, "long", month(n), month(n)))
		case 7:
			put(t, s, on(radius.KindStop, "long", month(n), month(1)))
		}
	}
	if got := who(t, s, "100.64.0.9", -1, month(1).Add(time.Minute)); got != "long m1" {
		t.Fatalf("in January: %q", got)
	}
	retain := func(now time.Time, months int) string {
		t.Helper()
		dropped, err := s.Retain(context.Background(), now, months)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(strings.Join(dropped, " "), "connection_record_", "")
	}
	if got := retain(month(14), 13); got != "" {
		t.Errorf("a year and a month on, %s is dropped", got)
	}
	if got := retain(month(14), 12); got != "2026_01" {
		t.Errorf("of twelve months to keep, %q is dropped", got)
	}
	if got := who(t, s, "100.64.0.9", -1, month(1).Add(time.Minute)); got != "long" {
		t.Errorf("in January, afterwards: %q", got)
	}
	// A clock that has jumped ahead drops nothing that the last months with records need.
	if got := retain(month(14).AddDate(20, 0, 0), 12); got != "2026_02" {
		t.Errorf("twenty years on, %q is dropped", got)
	}
	put(t, s, on(radius.KindStart, "next", month(14).Add(48*time.Hour), month(14)))
	if got := who(t, s, "100.64.0.9", -1, month(7)); got != "long m7" {
		t.Errorf("in July: %q", got)
	}
}

// TestPlans wants an index for every table of connections but the two that are empty, with plans made for the values given and
// with those made for any.
func TestPlans(t *testing.T) {
	pool := pgtest.New(t)
	s := pg.NewStore(pool)
	ctx := context.Background()
	for n := range 14 {
		r := rec(radius.KindStart, fmt.Sprint(n), 0, 0, 0)
		r.Received = time.Date(2026, time.Month(1+n), 2, 0, 0, 0, 0, time.UTC)
		r.Event = r.Received
		put(t, s, r)
	}
	if _, err := pool.Exec(ctx, `
		insert into connection_record (device_id, started_at, access_id, from_at, until_at, port_from, port_to, listed, address, kind, closed_by,
			session_id, login, calling_station, nas_port)
		select 7, from_at, n % 3000, from_at, from_at + interval '6 hours', 0, 65535, true, '100.64.0.0'::inet + n % 3000, 'ipv4', 'stop', n::text, 'l', '', ''
		from (select n, '2026-01-01'::timestamptz + n * interval '10 minutes' as from_at from generate_series(1, 60000) n) x;
		insert into connection_open (device_id, session_id, started_at, access_id, kind, address, listed, from_at, said_at, seen_at)
		select 8, n::text, '2026-12-01', n, 'ipv4', '100.64.0.0'::inet + n, true, '2026-12-01', '2026-12-01', '2026-12-01' from generate_series(1, 3000) n;
		insert into connection_record (device_id, started_at, access_id, from_at, until_at, port_from, port_to, listed, address, kind, closed_by,
			session_id, login, calling_station, nas_port)
		select 9, from_at, 0, from_at, from_at + interval '6 hours', 0, 65535, true, '100.80.0.0'::inet + n % 3000, 'ipv4', 'stop', 'x' || n, 'stranger-' || n % 3000, '', ''
		from (select n, '2026-01-01'::timestamptz + n * interval '10 minutes' as from_at from generate_series(1, 60000) n) x;
		insert into connection_open (device_id, session_id, started_at, access_id, login, kind, address, listed, from_at, said_at, seen_at)
		select 9, 'x' || n, '2026-02-01', 0, 'stranger-' || n, 'ipv4', '100.80.0.0'::inet + n, true, '2026-02-01', '2026-02-01', '2026-02-01' from generate_series(1, 6000) n;
		insert into customer (name, created_at) select 'c' || n, now() from generate_series(1, 3000) n;
		insert into plan (name, created_at) values ('P', now());
		insert into contract (customer_id, plan_id, zone, created_at, due_day, billing_anchor) select n, 1, 'America/Sao_Paulo', now(), 10, '2026-01-01' from generate_series(1, 3000) n;
		insert into access (contract_id, login, password_sealed, created_at) select n, 'login-' || n, '', now() from generate_series(1, 3000) n;
		analyze`); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, statement string
		args            []any
	}{
		{"who had", pg.WhoHadStatement, []any{netip.MustParseAddr("100.64.0.9"), 32, when, 0, 65535, 101}},
		{"held by a login", pg.HeldByStatement, []any{"login-9", int64(0), when, when.AddDate(0, 0, 7), 101}},
		{"held by a stranger", pg.HeldByStatement, []any{"stranger-9", int64(0), when, when.AddDate(0, 0, 7), 101}},
		{"held by a customer", pg.HeldByStatement, []any{"", int64(9), when, when.AddDate(0, 0, 7), 101}},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			t.Run(c.name+" "+mode, func(t *testing.T) {
				conn, err := pool.Acquire(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Release()
				if _, err := conn.Exec(ctx, "set plan_cache_mode = "+mode); err != nil {
					t.Fatal(err)
				}
				defer conn.Exec(ctx, "reset plan_cache_mode")
				rows, err := conn.Query(ctx, "explain (analyze, costs off, timing off, summary off) "+c.statement, c.args...)
				if err != nil {
					t.Fatal(err)
				}
				var plan []string
				for rows.Next() {
					var line string
					if err := rows.Scan(&line); err != nil {
						t.Fatal(err)
					}
					plan = append(plan, line)
				}
				if err := rows.Err(); err != nil {
					t.Fatal(err)
				}
				text := strings.Join(plan, "\n")
				if !strings.Contains(text, "connection_record_2026_03") || !strings.Contains(text, "connection_open") {
					t.Errorf("the plan does not look where it should:\n%s", text)
				}
				for _, line := range plan {
					if read := readAndLeft(line); read > 100 {
						t.Errorf("%d rows are read in vain: %s, in\n%s", read, strings.TrimSpace(line), text)
					}
					if strings.Contains(line, "Seq Scan on connection_") && !strings.Contains(line, "connection_prefix_length") &&
						!strings.Contains(line, "connection_record_2027_03") && !strings.Contains(line, "connection_record_default") &&
						!strings.Contains(line, "never executed") {
						t.Errorf("%s, in\n%s", strings.TrimSpace(line), text)
					}
					if strings.Contains(line, "connection_record_2026_01") && !strings.Contains(line, "never executed") {
						t.Errorf("what ended before is looked at: %s, in\n%s", strings.TrimSpace(line), text)
					}
				}
			})
		}
	}
}

// readAndLeft is how many rows a line of a plan says were read and not wanted.
func readAndLeft(line string) (n int) {
	if _, count, ok := strings.Cut(line, "Rows Removed by Filter: "); ok {
		n, _ = strconv.Atoi(strings.TrimSpace(count))
	}
	return n
}
