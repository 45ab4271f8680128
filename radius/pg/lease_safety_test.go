package pg_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// use is a session with an address of a pool.
type use struct {
	access int
	id     string
	by     *lender // whom its device tells of it; it reaches the database when that does
	stored bool
}

// lendingWorld is nodes that lend, and the sessions that came of it.
type lendingWorld struct {
	*lending
	uses  map[netip.Prefix]*use
	begun int
}

func (w *lendingWorld) tell(n *lender, kind radius.Kind, p netip.Prefix) {
	u := w.uses[p]
	n.sessions.Apply(&radius.Record{Kind: kind, Key: nas.SessionKey{Device: 1, ID: u.id}, Received: w.clock, Event: w.clock, Login: fmt.Sprint("login ", u.access),
		FramedIP: p.Addr(), CallingStation: fmt.Sprint("mac ", u.access), Cookie: nas.Cookie{Access: contracts.AccessID(u.access)}})
}

// login asks a node; what it lends must be nobody else's.
func (w *lendingWorld) login(t fatal, n *lender, access int) (netip.Prefix, bool) {
	t.Helper()
	p, verdict := n.Lend(1, subscriber(access), fmt.Append(nil, "mac ", access), w.clock)
	if verdict != radius.Lent {
		return p, false
	}
	if u, used := w.uses[p]; used && u.access != access {
		t.Fatalf("%s is lent to access %d by %s while access %d has it in a session", p, access, n.name, u.access)
	} else if used {
		return p, true
	}
	w.begun++
	w.uses[p] = &use{access: access, id: fmt.Sprint("s", w.begun), by: n}
	w.tell(n, radius.KindStart, p)
	w.store(t)
	return p, true
}

// store drains the journals of the nodes that are not cut off.
func (w *lendingWorld) store(t fatal) {
	t.Helper()
	for p, u := range w.uses {
		if !u.stored && u.by.line.cutUntil.IsZero() {
			u.stored = true
			w.exec(t, `insert into connection_open (device_id, session_id, started_at, kind, address, listed, from_at, said_at, seen_at)
				values (1, $1, $2, 'ipv4', $3, true, $2, $2, $2)`, u.id, w.clock, p)
		}
	}
}

func (w *lendingWorld) logout(t fatal, p netip.Prefix) {
	t.Helper()
	for _, n := range w.nodes {
		w.tell(n, radius.KindStop, p)
	}
	w.exec(t, `delete from connection_open where session_id = $1`, w.uses[p].id)
	delete(w.uses, p)
}

func (w *lendingWorld) exec(t fatal, statement string, args ...any) {
	t.Helper()
	if _, err := w.pool.Exec(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// restart is a node that begins after a crash, under its own name or another one; open sessions are known to it.
func (w *lendingWorld) restart(i int, name string) {
	n := w.run(name)
	for p, u := range w.uses {
		w.tell(n, radius.KindStart, p)
		if u.by == w.nodes[i] {
			u.by = n
		}
	}
	w.nodes[i] = n
}

// rounds are due on every node. A cut one fails in it.
func (w *lendingWorld) rounds(t fatal, order ...int) {
	t.Helper()
	for _, i := range order {
		n := w.nodes[i]
		if !n.line.cutUntil.IsZero() && !w.clock.Before(n.line.cutUntil) {
			n.line.cutUntil = time.Time{}
		}
		if err := n.Round(context.Background(), true); (err != nil) != !n.line.cutUntil.IsZero() {
			t.Fatalf("a round of %s, cut until %v: %v", n.name, n.line.cutUntil, err)
		}
		w.store(t)
	}
}

func newLendingWorld(t testing.TB, ranges ...string) *lendingWorld {
	return &lendingWorld{lending: newLending(t, 0, ranges...), uses: map[netip.Prefix]*use{}}
}

// Whatever nodes do, die and come back, with the database away from one or from all of them, no two accesses have one
// place at once, and none is lost for good.
func TestNoPlaceIsLentTwice(t *testing.T) {
	const places, accesses, nodes = 32, 60, 3
	w := newLendingWorld(t, "192.0.2.0/27")
	rapid.Check(t, func(rt *rapid.T) {
		w.exec(rt, `truncate address_lease, connection_open; update address_pool set next_place = 0`)
		w.clock, w.nodes, w.uses = t0, []*lender{w.node(), w.node(), w.node()}, map[netip.Prefix]*use{}
		node := rapid.IntRange(0, nodes-1)
		order := rapid.Permutation([]int{0, 1, 2})
		cut := func() bool {
			return slices.ContainsFunc(w.nodes, func(n *lender) bool { return !n.line.cutUntil.IsZero() })
		}
		rt.Repeat(map[string]func(*rapid.T){
			"logins": func(rt *rapid.T) {
				n := w.nodes[node.Draw(rt, "node")]
				for range rapid.IntRange(1, 6).Draw(rt, "logins") {
					w.login(rt, n, rapid.IntRange(1, accesses).Draw(rt, "access"))
				}
			},
			"logout": func(rt *rapid.T) {
				for _, p := range slices.SortedFunc(maps.Keys(w.uses), netip.Prefix.Compare) {
					if rapid.Bool().Draw(rt, "this") {
						w.logout(rt, p)
						return
					}
				}
			},
			"round": func(rt *rapid.T) { w.rounds(rt, node.Draw(rt, "node")) },
			"minutes": func(rt *rapid.T) { // while nodes are up they have their rounds
				for range rapid.IntRange(1, 45).Draw(rt, "minutes") {
					w.clock = w.clock.Add(time.Minute)
					w.rounds(rt, order.Draw(rt, "order")...)
				}
			},
			"days": func(rt *rapid.T) {
				if cut() {
					return
				}
				w.rounds(rt, order.Draw(rt, "order")...)
				for range rapid.IntRange(1, 30).Draw(rt, "steps") {
					w.clock = w.clock.Add(3 * time.Hour)
					w.rounds(rt, order.Draw(rt, "order")...)
				}
			},
			"cut off": func(rt *rapid.T) { // one node alone, for less than its reserve lasts
				if n := w.nodes[node.Draw(rt, "node")]; !cut() {
					w.rounds(rt, order.Draw(rt, "order")...)
					n.line.cutUntil = w.clock.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "minutes")) * time.Minute)
				}
			},
			"outage": func(rt *rapid.T) { // of the database itself, for however long
				if cut() {
					return
				}
				end := w.clock.Add(time.Duration(rapid.IntRange(1, 600).Draw(rt, "minutes")) * time.Minute)
				for _, n := range w.nodes {
					n.line.cutUntil = end
				}
				w.rounds(rt, order.Draw(rt, "order")...)
				for w.clock.Before(end) {
					w.clock = w.clock.Add(end.Sub(w.clock)/2 + time.Minute)
					if w.clock.Before(end) {
						w.rounds(rt, order.Draw(rt, "order")...)
					}
					for range rapid.IntRange(0, 4).Draw(rt, "logins") {
						w.login(rt, w.nodes[node.Draw(rt, "node")], rapid.IntRange(1, accesses).Draw(rt, "access"))
					}
				}
				w.rounds(rt, order.Draw(rt, "order")...)
			},
			"crash": func(rt *rapid.T) { // and another start, while the database is there
				if i := node.Draw(rt, "node"); !cut() {
					w.restart(i, w.nodes[i].name)
				}
			},
			"die": func(rt *rapid.T) { // for good, and another takes its place
				if i := node.Draw(rt, "node"); !cut() {
					w.began++
					w.restart(i, fmt.Sprint("node ", w.began))
				}
			},
		})
		for p := range maps.Clone(w.uses) {
			w.logout(rt, p)
		}
		w.clock = w.clock.Add(2 * leaseHold)
		lent, last := map[netip.Prefix]bool{}, w.node()
		w.nodes = []*lender{last}
		w.rounds(rt, 0)
		w.clock = w.clock.Add(10 * time.Minute)
		for access := 1001; access <= 1000+places; access++ {
			w.rounds(rt, 0)
			p, verdict := last.Lend(1, subscriber(access), nil, w.clock)
			if verdict != radius.Lent {
				rt.Fatalf("of %d places %d can be lent after all was given back", places, len(lent))
			}
			if lent[p] {
				rt.Fatalf("%s is lent again at once", p)
			}
			lent[p] = true
		}
	})
}

// fill has a node lend every place that there is, but for its and the others' reserves.
func (w *lendingWorld) fill(t testing.TB, n *lender, from int) (lent int) {
	t.Helper()
	for access := from; ; access++ {
		if err := n.Round(context.Background(), true); err != nil {
			t.Fatal(err)
		}
		if _, ok := w.login(t, n, access); !ok {
			return lent
		}
		lent++
	}
}

// What a dead node held in reserve others lend after minutes, not hours; they need what a node that is only cut off
// from the database lends for less.
func TestTheReserveOfADeadNodeIsTaken(t *testing.T) {
	w := newLendingWorld(t, "192.0.2.0/28")
	dead, other := w.node(), w.node()
	w.nodes = []*lender{dead, other}
	w.rounds(t, 0, 1)
	for minute := range 5 { // nothing of a node that is alive
		w.clock = w.clock.Add(time.Minute)
		w.rounds(t, 0, 1)
		w.fill(t, other, 100+100*minute)
	}
	held := 16 - len(w.uses)
	if held == 0 {
		t.Fatal("a node that is alive has no place in reserve any more")
	}
	for range 6 {
		w.clock = w.clock.Add(4 * time.Minute)
		w.rounds(t, 1)
	}
	if got := w.fill(t, other, 1000); got != 0 {
		t.Fatalf("after 24 minutes of silence %d places of a reserve of 30 minutes are lent by another node", got)
	}
	// It would have stopped before the others begin.
	w.clock = t0.Add(5*time.Minute + reserveHold - time.Minute)
	if p, verdict := dead.Lend(1, subscriber(5000), nil, w.clock); verdict == radius.Lent {
		t.Errorf("cut off for 29 minutes a node lends %s", p)
	}
	w.clock = w.clock.Add(7 * time.Minute)
	if got := w.fill(t, other, 1000); got != held {
		t.Errorf("of the %d places of a dead node %d are lent", held, got)
	}
}

// A node that begins again after a crash knows that its earlier run is over: the others get its reserve within minutes.
func TestACrashFreesTheReserve(t *testing.T) {
	w := newLendingWorld(t, "192.0.2.0/28")
	crashed, other := w.node(), w.node()
	w.nodes = []*lender{crashed, other}
	w.rounds(t, 0, 1)
	w.fill(t, other, 100)
	held := 16 - len(w.uses)
	w.restart(0, crashed.name)
	w.rounds(t, 0, 1)
	w.clock = w.clock.Add(6 * time.Minute)
	w.rounds(t, 1)
	if got := w.fill(t, other, 1000); got == 0 || got != held {
		t.Errorf("of the %d places of a node that began again %d are lent", held, got)
	}
}

// However long the database was away from all, nobody takes what another node lent meanwhile and has not recorded yet.
func TestAnOutageOfAllLosesNoReserve(t *testing.T) {
	w := newLendingWorld(t, "192.0.2.0/28")
	a, b := w.node(), w.node()
	w.nodes = []*lender{a, b}
	w.rounds(t, 0, 1)
	w.fill(t, b, 100)
	a.line.cutUntil, b.line.cutUntil = t0.Add(5*time.Hour), t0.Add(5*time.Hour)
	w.clock = t0.Add(20 * time.Minute)
	w.rounds(t, 0, 1)
	had, ok := w.login(t, a, 7)
	if !ok {
		t.Fatal("20 minutes into an outage a node with a reserve lends nothing")
	}
	w.clock = t0.Add(5 * time.Hour)
	w.rounds(t, 1) // the other is the first to be back
	w.clock = w.clock.Add(time.Second)
	w.fill(t, b, 200)
	w.rounds(t, 0, 1)
	if again, ok := w.login(t, a, 7); !ok || again != had {
		t.Errorf("before the outage's end %s, after it %s", had, again)
	}
}

// An address that a dead node lent and did not record belongs to whoever has it in a session, once that can be recorded,
// and is said once to be strange until then.
func TestAnUnrecordedLeaseOfADeadNodeIsKept(t *testing.T) {
	w := newLendingWorld(t, "192.0.2.0/28")
	dead, other := w.node(), w.node()
	w.nodes = []*lender{dead, other}
	w.rounds(t, 0, 1)
	had, ok := w.login(t, dead, 7)
	if !ok {
		t.Fatal("nothing is lent")
	}
	w.nodes = []*lender{other}
	w.tell(other, radius.KindInterim, had) // its device has changed servers
	for range 45 {
		w.clock = w.clock.Add(time.Minute)
		w.rounds(t, 0)
	}
	if again, ok := w.login(t, other, 7); !ok || again != had {
		t.Errorf("the session has %s, and the next login gets %s", had, again)
	}
	if got := conflicts(t, other); got != 1 {
		t.Errorf("one address is told to be strange %v times", got)
	}
}

func conflicts(t testing.TB, n *lender) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(n.Leases)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "enlace_pool_conflicts_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("conflicts are not counted")
	return 0
}

// Where other nodes have filled slots of an access, its lease moves to a free one in one step.
func TestALeaseMovesToAFreeSlotAtOnce(t *testing.T) {
	w := newLendingWorld(t, "192.0.2.0/24")
	a, b := w.node(), w.node()
	w.nodes = []*lender{a, b}
	w.rounds(t, 0, 1)
	for station := range 5 { // b has not heard of them
		w.lend(t, a, 1, 7, fmt.Sprint("mac ", station))
	}
	mine := w.lend(t, b, 1, 7, "mac of b")
	w.rounds(t, 0)
	before := b.line.kept
	w.rounds(t, 1)
	if writes := b.line.kept - before; writes > 2 {
		t.Errorf("it took %d writes", writes)
	}
	var slot int
	if err := w.pool.QueryRow(context.Background(), `select slot from address_lease where prefix = $1 and access_id = 7`, mine).Scan(&slot); err != nil || slot != 5 {
		t.Errorf("%s is in slot %d: %v", mine, slot, err)
	}
	if got := conflicts(t, b); got != 0 {
		t.Errorf("%v conflicts are told", got)
	}
}

// What an open session has nobody claims, although it was lent by a node that died before it could record that.
func TestWhatAnOpenSessionHasIsNotClaimed(t *testing.T) {
	w := newLendingWorld(t, "192.0.2.0/28")
	dead, other := w.node(), w.node()
	w.nodes = []*lender{dead, other}
	w.rounds(t, 0, 1)
	had, ok := w.login(t, dead, 7)
	if !ok {
		t.Fatal("nothing is lent")
	}
	w.nodes = []*lender{other}
	for range 45 {
		w.clock = w.clock.Add(time.Minute)
		w.rounds(t, 0)
	}
	if got := w.fill(t, other, 100); got != 15 { // fails at once when it is lent
		t.Errorf("of 15 free places %d are lent", got)
	}
	w.logout(t, had)
	w.clock = w.clock.Add(time.Second)
	if got := w.fill(t, other, 200); got != 1 {
		t.Errorf("after the session's end %d places are lent", got)
	}
}
