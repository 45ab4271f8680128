package radius

import (
	"testing"
	"time"

	"enlace/nas"
)

// slow is an Observer that takes a while to hear of an open session when something is to happen meanwhile.
type slow struct {
	heard
	meanwhile func()
	gone      chan struct{}
}

func (o *slow) SessionSeen(s nas.Session, said nas.Report) {
	if o.meanwhile != nil {
		go o.meanwhile()
		select {
		case <-o.gone:
		case <-time.After(50 * time.Millisecond):
		}
	}
	o.heard.SessionSeen(s, said)
}

func (o *slow) SessionGone(key nas.SessionKey, cause int) {
	o.heard.SessionGone(key, cause)
	close(o.gone)
}

// TestTheObserverIsToldInOrder ends a session from the drain's side while its observer is being told that it is open:
// were it told of the end first, it would keep a session that is gone for ever.
func TestTheObserverIsToldInOrder(t *testing.T) {
	table, o := NewSessions(), &slow{gone: make(chan struct{})}
	table.Observe(o)
	table.Apply(of(rec(KindInterim, 300, 300, 5, 5), 7, "a", "ana"))
	ended := opened(of(rec(KindStop, 600, 600, 9, 9), 7, "a", "ana"))
	o.meanwhile = func() { table.Settle(ended, t0) }
	table.Apply(of(rec(KindInterim, 400, 400, 6, 6), 7, "a", "ana"))
	<-o.gone
	o.expect(t, "seen a ana", "seen a ana", "gone a 0")
}

// A service that a lost answer made uncertain is not taken for the one that the Access-Accept granted.
func TestAnUncertainServiceStaysUncertain(t *testing.T) {
	l := foldAll(cookie(rec(KindStart, 0, 0, 0, 0), 5),
		&Record{Kind: KindApplied, Key: testKey, Event: t0.Add(time.Minute)},
		cookie(rec(KindInterim, 300, 300, 5, 5), 5))
	if len(l) != 1 || l[0].Applied != nas.Unsure {
		t.Errorf("%+v", l)
	}
}

// reported is an Observer that keeps what it was told last.
type reported struct{ nas.Report }

func (o *reported) SessionSeen(_ nas.Session, said nas.Report) { o.Report = said }
func (o *reported) SessionGone(nas.SessionKey, int)            { o.Report = nas.Report{} }

// TestTheObserverIsToldWhatAccountingSays: counters of the session and the digest of this very record's Class, also where
// an earlier one said another.
func TestTheObserverIsToldWhatAccountingSays(t *testing.T) {
	table, o := NewSessions(), &reported{}
	table.Observe(o)
	granting := func(r *Record, d nas.Digest) *Record {
		r.Cookie = nas.Cookie{Access: 5, Granted: d}
		return r
	}
	table.Apply(granting(rec(KindStart, 0, 0, 0, 0), 0x100000000000007))
	table.Apply(granting(narrow(rec(KindInterim, 300, 300, 1<<31+7, 50)), 0x200000000000009))
	want := nas.Report{At: t0.Add(300 * time.Second), Seconds: 300, Input: 1<<31 + 7, Output: 50, Class: 0x200000000000009}
	if o.Report != want {
		t.Errorf("told %+v, want %+v", o.Report, want)
	}
	table.Apply(narrow(rec(KindInterim, 600, 600, 9, 60))) // the counter wrapped; no Class came back
	want = nas.Report{At: t0.Add(600 * time.Second), Seconds: 600, Input: 1<<32 + 9, Output: 60}
	if o.Report != want {
		t.Errorf("told %+v, want %+v", o.Report, want)
	}
	if s, _ := table.Get(testKey); s.Applied != 0x100000000000007 {
		t.Errorf("applied %x", uint64(s.Applied))
	}
}
