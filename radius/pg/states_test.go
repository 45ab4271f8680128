package pg_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"layeh.com/radius/rfc2866"

	"enlace/nas"
	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

// ends is an observer that writes down which sessions have ended.
type ends struct{ ids []string }

func (e *ends) SessionSeen(nas.Session, nas.Report)     { /* only ends are looked at */ }
func (e *ends) SessionGone(k nas.SessionKey, _ int)     { e.ids = append(e.ids, k.ID) }
func (e *ends) String() string                          { slices.Sort(e.ids); return strings.Join(e.ids, " ") }
func key(id string) nas.SessionKey                      { return nas.SessionKey{Device: device.ID, ID: id} }
func open(s *radius.Sessions, id string) radius.Session { o, _ := s.Get(key(id)); return o }

// TestTwoNodesSettle has a device report to one node and then to another: the first learns which of its sessions have
// ended and which go on, of those that it should have heard of.
func TestTwoNodesSettle(t *testing.T) {
	pool := pgtest.New(t)
	node := func() (*radius.Accounting, *radius.Sessions, *pg.Store, func()) {
		j := openJournal(t, t.TempDir())
		a, sessions := newAccounting(t, j)
		s := pg.NewStore(pool)
		if err := a.Recover(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		return a, sessions, s, drain(t, j, s, sessions, a)
	}
	a, mine, store, settledA := node()
	var got answers
	since := func(seconds int) time.Time { return t0.Add(time.Duration(seconds-590) * time.Second) }
	ids := []string{"stopped", "goes on", "its id again", "silent", "heard here", "odd\x00"}
	for _, id := range ids {
		submit(a, &got, datagram(rfc2866.AcctStatusType_Value_Start, id, "ana", since(0), 0, 0))
	}
	got.wg.Wait()
	settledA()

	b, theirs, _, settledB := node() // knows them from the database
	for _, id := range []string{"stopped", "odd\x00"} {
		submit(b, &got, datagram(rfc2866.AcctStatusType_Value_Stop, id, "ana", since(300), 300, 7))
	}
	submit(b, &got, datagram(rfc2866.AcctStatusType_Value_InterimUpdate, "goes on", "ana", since(400), 400, 9))
	submit(b, &got, datagram(rfc2866.AcctStatusType_Value_Start, "its id again", "rui", since(500), 0, 0))
	submit(b, &got, datagram(rfc2866.AcctStatusType_Value_Stop, "heard here", "ana", since(100), 100, 5))
	got.wg.Wait()
	settledB()
	if mine.Count() != len(ids) || theirs.Count() != len(ids)-3 {
		t.Fatalf("%d open here, %d there", mine.Count(), theirs.Count())
	}
	// The last one went on here, which the database does not know yet.
	mine.Apply(&radius.Record{Kind: radius.KindInterim, Key: key("heard here"), Received: since(550), Event: since(550), Seconds: 550, TimeKnown: true,
		Input: radius.Octets{N: 50, Known: true}, Login: "ana"})
	o := &ends{}
	mine.Observe(o)

	settle := func(now time.Time) int {
		t.Helper()
		n, err := a.Settle(context.Background(), store, now)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := settle(t0.Add(time.Minute)); n != 0 || o.String() != "" {
		t.Errorf("%d have ended of those that need not have been heard of: %s", n, o)
	}
	if n := settle(t0.Add(time.Hour)); n != 3 || o.String() != "its id again odd\x00 stopped" {
		t.Errorf("%d have ended: %q", n, o)
	}
	for id, octets := range map[string]uint64{"goes on": 9, "silent": 0, "heard here": 50} {
		if s := open(mine, id); !s.Open() || s.Key.ID == "" || s.Input != octets || !s.StartedAt.Equal(since(0)) {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if s := open(mine, "goes on"); s.Heard < since(400).Unix() || !s.LastSeen.Equal(since(400)) {
		t.Errorf("heard of at %v: %+v", s.Heard, s)
	}
	if mine.Count() != 3 {
		t.Errorf("%d are open", mine.Count())
	}
	o.ids = nil
	if n := settle(t0.Add(2 * time.Hour)); n != 0 || o.String() != "" {
		t.Errorf("again, %d have ended: %s", n, o)
	}
	// What comes late of one that has ended opens nothing; what goes on beyond its end does.
	mine.Apply(&radius.Record{Kind: radius.KindInterim, Key: key("stopped"), Received: t0, Event: since(200), Seconds: 200, TimeKnown: true, Login: "ana"})
	if s := open(mine, "stopped"); s.Key.ID != "" {
		t.Errorf("a late record has opened %+v", s)
	}
}

// TestManySessionsSettle: a round is bounded, and rounds get to every session.
func TestManySessionsSettle(t *testing.T) {
	const n = 5000
	pool := pgtest.New(t)
	s := pg.NewStore(pool)
	a, mine := newAccounting(t, openJournal(t, t.TempDir()))
	var starts, stops []radius.Record
	for i := range n {
		id := fmt.Sprint(i)
		starts, stops = append(starts, rec(radius.KindStart, id, 0, 0, 0)), append(stops, rec(radius.KindStop, id, 300, 300, 5))
	}
	put(t, s, starts...)
	for id, open := range live(t, s) {
		if open.Key.ID = id; !mine.Adopt(open) {
			t.Fatal(id)
		}
	}
	put(t, s, stops...)
	rounds := 0
	for now := at(3600); mine.Count() > 0; now = now.Add(15 * time.Second) {
		ended, err := a.Settle(context.Background(), s, now)
		if rounds++; err != nil || ended == 0 || ended > n/2 {
			t.Fatalf("round %d: %d have ended, %v", rounds, ended, err)
		}
	}
	if rounds < 3 {
		t.Errorf("%d rounds", rounds)
	}
}
