package pg_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// lender is a node's side of the pools.
type lender struct {
	*radius.LeaseKeeper
	sessions *radius.Sessions
	name     string
	line     *line // to the database
}

// line is a node's connection to the database.
type line struct {
	*pg.Store
	cutUntil time.Time // zero: it is there
	kept     int       // writes of leases
}

var errCut = errors.New("the database cannot be reached")

func (l *line) Pools(ctx context.Context) ([]nas.Pool, error) {
	if !l.cutUntil.IsZero() {
		return nil, errCut
	}
	return l.Store.Pools(ctx)
}

func (l *line) KeepLeases(ctx context.Context, node string, now time.Time, leases []radius.Lease) ([]radius.Lease, []radius.Lease, error) {
	if !l.cutUntil.IsZero() {
		return nil, nil, errCut
	}
	l.kept++
	return l.Store.KeepLeases(ctx, node, now, leases)
}

// lending is pools in a database with nodes that lend from them, on one clock.
type lending struct {
	pool  *pgxpool.Pool
	store *pg.Store
	clock time.Time
	nodes []*lender
	began int
}

const (
	leaseHold   = 72 * time.Hour
	reserveHold = 30 * time.Minute
)

func newLending(t testing.TB, nodes int, ranges ...string) *lending {
	t.Helper()
	l := &lending{pool: pgtest.New(t), clock: t0}
	l.store = pg.NewStore(l.pool)
	for i, r := range ranges {
		bits := 32
		if p := netip.MustParsePrefix(r); p.Addr().Is6() {
			bits = 56
		}
		if _, err := l.pool.Exec(context.Background(), `insert into address_pool (name, ranges, bits, created_at) values ($1, array[$2::cidr], $3, $4)`,
			fmt.Sprint("pool ", i+1), r, bits, t0); err != nil {
			t.Fatal(err)
		}
	}
	for range nodes {
		l.nodes = append(l.nodes, l.node())
	}
	return l
}

// node is a node that has just begun.
func (l *lending) node() *lender {
	l.began++
	return l.run(fmt.Sprint("node ", l.began))
}

// run is a node that begins again.
func (l *lending) run(name string) *lender {
	sessions := radius.NewSessions()
	leases, line := radius.NewLeases(leaseHold, 0, sessions), &line{Store: l.store}
	return &lender{radius.NewLeaseKeeper(leases, line, name, reserveHold, func() time.Time { return l.clock }, zerolog.Nop()), sessions, name, line}
}

type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

func (l *lending) round(t fatal, nodes ...*lender) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Round(context.Background(), true); err != nil {
			t.Fatalf("a round: %v", err)
		}
	}
}

func subscriber(access int) *radius.Subscriber {
	return &radius.Subscriber{Access: contracts.AccessID(access), Login: fmt.Sprint("login ", access)}
}

// lend wants a place.
func (l *lending) lend(t fatal, n *lender, pool nas.PoolID, access int, station string) netip.Prefix {
	t.Helper()
	p, verdict := n.Lend(pool, subscriber(access), []byte(station), l.clock)
	if verdict != radius.Lent {
		t.Fatalf("access %d gets nothing of pool %d: %d", access, pool, verdict)
	}
	return p
}

func TestLeasesAreSticky(t *testing.T) {
	l := newLending(t, 2, "100.64.0.0/26", "2001:db8::/48")
	a, b := l.nodes[0], l.nodes[1]
	l.round(t, a, b)
	v4, v6 := l.lend(t, a, 1, 7, "mac"), l.lend(t, a, 2, 7, "mac")
	if v4.Bits() != 32 || v6.Bits() != 56 {
		t.Errorf("lent %s and %s", v4, v6)
	}
	if again := l.lend(t, a, 1, 7, "mac"); again != v4 {
		t.Errorf("then %s, before %s", again, v4)
	}
	l.round(t, a, b) // recorded by one, heard of by the other
	if there := l.lend(t, b, 1, 7, "mac"); there != v4 {
		t.Errorf("the other node lends %s, not %s", there, v4)
	}
	// It is still the same after two days of silence and after both nodes began anew.
	l.clock = l.clock.Add(48 * time.Hour)
	c := l.node()
	l.round(t, c)
	if later := l.lend(t, c, 1, 7, "another router"); later != v4 {
		t.Errorf("two days later %s, not %s", later, v4)
	}
	// While that router's session is open, another router of the same access has a place of its own.
	l.clock = l.clock.Add(2 * time.Minute)
	c.sessions.Apply(&radius.Record{Kind: radius.KindStart, Key: nas.SessionKey{Device: 1, ID: "s"}, Login: "login 7", Received: l.clock, Event: l.clock,
		FramedIP: v4.Addr(), CallingStation: "another router", Cookie: nas.Cookie{Access: 7}})
	if second := l.lend(t, c, 1, 7, "third router"); second == v4 {
		t.Errorf("two routers share %s", second)
	}
	if first := l.lend(t, c, 1, 7, "another router"); first != v4 {
		t.Errorf("the first router now gets %s", first)
	}
}

func TestPoolsEndAndBeginAgain(t *testing.T) {
	l := newLending(t, 1, "192.0.2.0/29")
	n := l.nodes[0]
	seen := map[netip.Prefix]int{}
	for access := 1; access <= 8; access++ {
		l.round(t, n)
		seen[l.lend(t, n, 1, access, "mac")]++
	}
	if len(seen) != 8 {
		t.Fatalf("8 accesses have %v", seen)
	}
	l.round(t, n)
	if _, verdict := n.Lend(1, subscriber(9), nil, l.clock); verdict != radius.PoolExhausted {
		t.Errorf("the ninth of eight: %d", verdict)
	}
	// Access 3 goes on having a session; the others' leases end, and their places are lent anew.
	first := l.lend(t, n, 1, 3, "mac")
	n.sessions.Apply(&radius.Record{Kind: radius.KindStart, Key: nas.SessionKey{Device: 1, ID: "s3"}, Login: "login 3", Received: l.clock, Event: l.clock,
		FramedIP: first.Addr(), Cookie: nas.Cookie{Access: 3}})
	for range 4 {
		l.clock = l.clock.Add(leaseHold / 2)
		l.round(t, n)
	}
	l.clock = l.clock.Add(time.Second) // an exhausted pool is asked again once a second
	for access := 11; access <= 17; access++ {
		l.round(t, n)
		if p := l.lend(t, n, 1, access, "mac"); p == first {
			t.Errorf("access %d was lent %s, which access 3 has in a session", access, p)
		}
	}
	if again := l.lend(t, n, 1, 3, "mac"); again != first {
		t.Errorf("access 3 had %s in its session and now gets %s", first, again)
	}
	l.round(t, n)
	want := strings.NewReader("# HELP enlace_pool_leased Of a pool, those that are an access's.\n# TYPE enlace_pool_leased gauge\nenlace_pool_leased{pool=\"pool 1\"} 8\n")
	if err := testutil.CollectAndCompare(n.Leases, want, "enlace_pool_leased"); err != nil {
		t.Errorf("of 8 places: %v", err)
	}
}

// lendMeanwhile is a store during whose work logins go on.
type lendMeanwhile struct {
	*pg.Store
	lend func(nas.PoolID)
}

func (s *lendMeanwhile) KeepLeases(ctx context.Context, node string, now time.Time, leases []radius.Lease) ([]radius.Lease, []radius.Lease, error) {
	taken, filled, err := s.Store.KeepLeases(ctx, node, now, leases)
	s.lend(3 - leases[0].Pool)
	return taken, filled, err
}

// What a node that ends lends last must not be given back with its reserve.
func TestTheReserveIsGivenBackAfterWhatWasLentIsRecorded(t *testing.T) {
	l := newLending(t, 0, "100.64.0.0/26", "100.65.0.0/26")
	during := &lendMeanwhile{Store: l.store, lend: func(nas.PoolID) {}}
	leases := radius.NewLeases(leaseHold, 0, radius.NewSessions())
	n := &lender{LeaseKeeper: radius.NewLeaseKeeper(leases, during, "ends", reserveHold, func() time.Time { return l.clock }, zerolog.Nop())}
	l.round(t, n)
	lent := map[netip.Prefix]int{}
	for pool := range nas.PoolID(2) {
		lent[l.lend(t, n, pool+1, 1, "mac")] = 1
	}
	access := 2
	during.lend = func(pool nas.PoolID) {
		if p, verdict := n.Lend(pool, subscriber(access), []byte("mac"), l.clock); verdict == radius.Lent {
			lent[p] = access
		}
		access++
	}
	if err := n.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	for p, access := range lent {
		var whose *int
		if err := l.pool.QueryRow(context.Background(), `select access_id from address_lease where prefix = $1`, p).Scan(&whose); err != nil {
			t.Fatal(err)
		}
		if whose == nil || *whose != access {
			t.Errorf("%s was lent to access %d and is recorded as %v's", p, access, whose)
		}
	}
}

func TestStaticAddressesAreNotLent(t *testing.T) {
	l := newLending(t, 1, "192.0.2.0/30")
	ctx := context.Background()
	// Whose it is does not matter here.
	if _, err := l.pool.Exec(ctx, `alter table access_address drop constraint access_address_access_id_fkey`); err != nil {
		t.Fatal(err)
	}
	if _, err := l.pool.Exec(ctx, `insert into access_address (access_id, kind, prefix) values (99, 'ipv4', '192.0.2.1/32')`); err != nil {
		t.Fatal(err)
	}
	n := l.nodes[0]
	for access := 1; access <= 3; access++ {
		l.round(t, n)
		if p := l.lend(t, n, 1, access, "mac"); p.Addr() == netip.MustParseAddr("192.0.2.1") {
			t.Errorf("access %d was lent the address of another", access)
		}
	}
	l.round(t, n)
	if p, verdict := n.Lend(1, subscriber(4), nil, l.clock); verdict == radius.Lent {
		t.Errorf("a fourth was lent %s", p)
	}
}

// With the database away for longer than a lease lasts, whoever has a session keeps his place, and gets it again.
func TestOpenSessionsKeepTheirPlacesWithoutTheDatabase(t *testing.T) {
	l := newLending(t, 1, "192.0.2.0/28")
	n := l.nodes[0]
	l.round(t, n)
	had := l.lend(t, n, 1, 7, "mac")
	n.sessions.Apply(&radius.Record{Kind: radius.KindStart, Key: nas.SessionKey{Device: 1, ID: "s"}, Login: "login 7", Received: l.clock, Event: l.clock,
		FramedIP: had.Addr(), CallingStation: "mac", Cookie: nas.Cookie{Access: 7}})
	l.round(t, n)
	l.pool.Close()
	for range 10 {
		l.clock = l.clock.Add(leaseHold / 3)
		if err := n.Round(context.Background(), true); err == nil {
			t.Fatal("a round without the database had no trouble")
		}
	}
	if got := l.lend(t, n, 1, 7, "mac"); got != had {
		t.Errorf("after the outage %s, before it %s", got, had)
	}
}

// Whoever dials with ever new routers gets no more places than its limit of sessions asks for.
func TestOneAccessDrainsNoPool(t *testing.T) {
	l := newLending(t, 1, "192.0.2.0/28")
	n := l.nodes[0]
	l.round(t, n)
	s := subscriber(1)
	s.Limit = 1
	lent := map[netip.Prefix]bool{}
	for router := range 30 {
		p, verdict := n.Lend(1, s, fmt.Append(nil, "router ", router), l.clock)
		if verdict != radius.Lent {
			t.Fatalf("router %d gets nothing: %d", router, verdict)
		}
		lent[p] = true
	}
	if len(lent) != 2 {
		t.Errorf("one access with one session holds %d places", len(lent))
	}
}
