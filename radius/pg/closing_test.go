package pg_test

import (
	"testing"

	"enlace/postgres/pgtest"
	"enlace/radius"
	"enlace/radius/pg"
)

func closing(id string, start, event int, by radius.ClosedBy) radius.Record {
	return radius.Record{Kind: radius.KindClosed, Key: rec(radius.KindStart, id, 0, 0, 0).Key, Received: at(event), Event: at(event),
		Closing: radius.Closing{Start: at(start), By: by}}
}

// TestInferredEnds: an end that was inferred is history with the time the session was last seen, and the session is open
// again, under the same start and with the same counters, when its device goes on reporting it.
func TestInferredEnds(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	multi := rec(radius.KindInterim, "a", 300, 300, 500)
	multi.Multi = "m1"
	put(t, s, rec(radius.KindStart, "a", 0, 0, 0), multi, rec(radius.KindInterim, "a", 600, 600, 70)) // the counters began anew
	put(t, s, closing("a", 0, 900, radius.ClosedByGone), closing("unknown", 0, 900, radius.ClosedByGone))
	got := history(t, s, "login-a")
	if len(got) != 1 || got[0].ClosedBy != radius.ClosedByGone || !got[0].Stopped.Equal(at(600)) || !got[0].ClosedAt.Equal(at(900)) ||
		got[0].Input != 570 || got[0].InputBase != 500 || got[0].Multi != "m1" || len(live(t, s)) != 0 {
		t.Fatalf("%+v", got)
	}
	put(t, s, rec(radius.KindInterim, "a", 800, 800, 75)) // from before
	if got = history(t, s, "login-a"); len(got) != 1 || !got[0].Stopped.Equal(at(800)) || got[0].Input != 575 {
		t.Fatalf("%+v", got)
	}
	put(t, s, rec(radius.KindInterim, "a", 1200, 1200, 80))
	back := live(t, s)["a"]
	if !back.StartedAt.Equal(at(0)) || back.Input != 580 || back.InputBase != 500 || !back.ClosedAt.IsZero() || len(history(t, s, "login-a")) != 0 {
		t.Fatalf("%+v", back)
	}
	put(t, s, closing("a", 0, 900, radius.ClosedByGone)) // again: it is known to have gone on
	if len(live(t, s)) != 1 {
		t.Fatal("closed by what was inferred before")
	}
}

// TestOneIDTwoAccesses: sessions of two accesses that one id names at the same time do not mix.
func TestOneIDTwoAccesses(t *testing.T) {
	s := pg.NewStore(pgtest.New(t))
	other := func(r radius.Record) radius.Record {
		r.Login, r.Cookie.Access = "login-z", 4
		return r
	}
	put(t, s, rec(radius.KindStart, "a", 0, 0, 0), other(rec(radius.KindStart, "a", 30, 0, 0)))
	put(t, s, rec(radius.KindInterim, "a", 300, 300, 5), other(rec(radius.KindInterim, "a", 330, 300, 7)))
	first, second := history(t, s, "login-a"), live(t, s)["a"]
	if len(first) != 1 || first[0].Input != 5 || first[0].ClosedBy != radius.ClosedByReuse || second.Login != "login-z" || second.Input != 7 {
		t.Fatalf("%+v\n%+v", first, second)
	}
}
