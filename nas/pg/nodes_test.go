package pg_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"enlace/nas"
	"enlace/nas/pg"
	"enlace/postgres/pgtest"
)

// member is a node in this process.
type member struct {
	*pg.Nodes
	stop func()

	mu      sync.Mutex
	learned []nas.Told
}

func join(t *testing.T, s *pg.Store, name string, heard bool) *member {
	m := &member{}
	m.Nodes = pg.NewNodes(pg.NodesConfig{Store: s, Name: name, Life: 100 * time.Millisecond, Heard: func(nas.SessionKey) bool { return heard },
		Learn: func(told []nas.Told) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.learned = append(m.learned, told...)
		}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	m.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(m.stop)
	return m
}

// claim asks until nothing is refused because the node is not ready yet, or wanted says that a refusal is right.
func (m *member) claim(t *testing.T, granted bool, ids ...string) []nas.Grant {
	t.Helper()
	var wanted []nas.Wanted
	for _, id := range ids {
		wanted = append(wanted, nas.Wanted{Key: nas.SessionKey{Device: 7, ID: id}, StartedAt: now})
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		grants, all := m.Claim(t.Context(), wanted), true
		for i, g := range grants {
			if ok := !g.Until.IsZero(); ok != granted {
				all = false
				if ok {
					m.Return(nas.Returned{Key: wanted[i].Key, Serial: g.Serial})
				}
			}
		}
		if all {
			return grants
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q: granted %v was not had: %+v", ids, granted, grants)
		}
	}
}

func (m *member) others(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); m.State().Others != n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d others are known, want %d", m.State().Others, n)
		}
	}
}

// TestNodes has a node alone command without claims, two take turns at a session and learn from each other, and one that
// has left be followed by the other.
func TestNodes(t *testing.T) {
	s := &pg.Store{Pool: pgtest.New(t), Sealer: turned{}}
	a := join(t, s, "a", true)
	alone := a.claim(t, true, "x")
	if alone[0].Serial != 0 {
		t.Errorf("a node alone has made a claim: %+v", alone[0])
	}
	if a.Share() != 1 {
		t.Errorf("a node alone has %v of the rate", a.Share())
	}
	b := join(t, s, "b", true)
	a.others(t, 1)
	if g := b.claim(t, false, "x"); !g[0].Until.IsZero() {
		t.Error("a session is granted while another node has a command without a claim under way")
	}
	a.Return(nas.Returned{Key: nas.SessionKey{Device: 7, ID: "x"}})

	first := b.claim(t, true, "x", "y", "bytes\x00\xff")
	for _, g := range first {
		if g.Serial == 0 || g.Told != nil {
			t.Errorf("the first claim is %+v", g)
		}
	}
	if b.Share() != 0.5 {
		t.Errorf("one of two nodes has %v of the rate", b.Share())
	}
	a.claim(t, false, "y", "x", "bytes\x00\xff")
	key := func(id string) nas.SessionKey { return nas.SessionKey{Device: 7, ID: id} }
	b.Return(nas.Returned{Key: key("x"), Serial: first[0].Serial, Told: &nas.Told{Key: key("x"), StartedAt: now, Applied: 42}})
	b.Return(nas.Returned{Key: key("y"), Serial: first[1].Serial - 1}) // of an older claim: it ends nothing
	b.Return(nas.Returned{Key: key("bytes\x00\xff"), Serial: first[2].Serial, Told: &nas.Told{Key: key("bytes\x00\xff"), StartedAt: now, Ended: true}})
	second := a.claim(t, true, "x")
	if told := second[0].Told; told == nil || told.Applied != 42 || told.Ended || !told.StartedAt.Equal(now) {
		t.Errorf("what the other node told is %+v", told)
	}
	if g := a.claim(t, true, "bytes\x00\xff"); g[0].Told == nil || !g[0].Told.Ended {
		t.Errorf("what the other node ended is %+v", g[0].Told)
	}
	a.claim(t, false, "y")

	// b leaves with y in hand: of that nobody knows what became.
	b.stop()
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.others(t, 0)
	a.claim(t, true, "z")
}

// TestANodeThatCannotReachTheDatabase commands what it has heard of itself, and nothing else.
func TestANodeThatCannotReachTheDatabase(t *testing.T) {
	pool := pgtest.New(t)
	pool.Close()
	s := &pg.Store{Pool: pool, Sealer: turned{}}
	hears, deaf := join(t, s, "a", true), join(t, s, "b", false)
	if g := hears.claim(t, true, "x"); g[0].Serial != 0 {
		t.Errorf("a claim was made nowhere: %+v", g)
	}
	for !deaf.State().Away {
		time.Sleep(time.Millisecond)
	}
	if g := deaf.Claim(t.Context(), []nas.Wanted{{Key: nas.SessionKey{Device: 7, ID: "x"}}}); !g[0].Until.IsZero() || g[0].Again == 0 {
		t.Errorf("a session is granted that the node has not heard of: %+v", g)
	}
}
