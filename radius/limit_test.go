package radius

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
)

// toldNetwork is a Network that writes down what it is told.
type toldNetwork struct {
	disconnected, probed []string
	err                  error
}

func (n *toldNetwork) Disconnect(k nas.SessionKey, _, _ string) error {
	n.disconnected = append(n.disconnected, k.ID)
	return n.err
}

func (n *toldNetwork) Probe(k nas.SessionKey, _ string) error {
	n.probed = append(n.probed, k.ID)
	return n.err
}

type limitKit struct {
	*testing.T
	table *Sessions
	net   *toldNetwork
	l     *Limiter
	now   time.Time
	sub   *Subscriber
}

func newLimitKit(t *testing.T, limit int, action LimitAction) *limitKit {
	k := &limitKit{T: t, table: NewSessions(), net: &toldNetwork{}, now: t0, sub: &Subscriber{Access: 3, Login: "ana"}}
	d := NewDirectory()
	d.Put(k.sub)
	k.l = NewLimiter(LimitConfig{Default: limit, Action: action, Sessions: k.table, Directory: d, Network: k.net, Log: zerolog.Nop(),
		Now: func() time.Time { return k.now },
		Close: func(s *Session, by ClosedBy, at time.Time) bool {
			return k.table.Apply(&Record{Kind: KindClosed, Key: s.Key, Received: k.now, Event: at, Closing: Closing{s.StartedAt, by}}) == Closed
		}})
	return k
}

func (k *limitKit) record(kind Kind, device nas.DeviceID, id, mac, port, multi string) {
	r := &Record{Kind: kind, Key: nas.SessionKey{Device: device, ID: id}, Received: k.now, Event: k.now, Login: "ana",
		Cookie: nas.Cookie{Access: 3, Granted: 9}, CallingStation: mac, NASPort: port, Multi: multi}
	if kind != KindStart {
		r.Seconds, r.TimeKnown = int64(k.now.Sub(t0).Seconds()), true
	}
	k.table.Apply(r)
	k.l.work()
	k.now = k.now.Add(time.Minute)
}

func (k *limitKit) start(id, mac, port string) { k.record(KindStart, 7, id, mac, port, "") }

func (k *limitKit) expect(what string, disconnected string, open ...string) {
	k.Helper()
	if got := strings.Join(k.net.disconnected, " "); got != disconnected {
		k.Errorf("%s: disconnected %q, want %q", what, got, disconnected)
	}
	k.net.disconnected = nil
	for _, id := range open {
		if _, ok := k.table.Get(nas.SessionKey{Device: 7, ID: id}); !ok {
			k.Errorf("%s: %s is not open", what, id)
		}
	}
	if n := len(k.table.AppendOf(nil, 3, "ana")); n != len(open) {
		k.Errorf("%s: %d are open, want %v", what, n, open)
	}
}

const macA, macB, macC = "AA:BB:CC:00:00:01", "AA:BB:CC:00:00:02", "AA:BB:CC:00:00:03"

func TestTheOlderSessionIsReplaced(t *testing.T) {
	k := newLimitKit(t, 1, ReplaceOlder)
	k.start("a", macA, "p1")
	k.expect("one session", "", "a")
	k.start("b", "aa-bb-cc-00-00-01", "p1")
	k.expect("the same device again, without a Stop", "", "b")
	if k.l.full(k.sub) {
		t.Error("a login would be looked at")
	}
	k.start("c", macB, "p2")
	k.expect("the password on another port", "b", "b", "c") // until the Stop
	k.record(KindStop, 7, "b", macA, "p1", "")
	k.record(KindStart, 7, "d", macB, "p2", "m1")
	k.record(KindStart, 7, "e", macB, "p2", "m1")
	k.expect("two accounting sessions of one line", "", "d", "e")
}

func TestASessionLeftBehindGoesOn(t *testing.T) {
	k := newLimitKit(t, 1, ReplaceOlder)
	k.start("a", macA, "p1")
	k.start("b", macA, "p1")
	k.expect("replaced", "", "b")
	k.record(KindInterim, 7, "a", macA, "p1", "")
	k.expect("both are reported: nothing is inferred again", "", "a", "b")
}

func TestLimits(t *testing.T) {
	k := newLimitKit(t, 0, ReplaceOlder)
	k.start("a", macA, "p1")
	k.start("b", macB, "p2")
	k.expect("no limit", "", "a", "b")
	k.sub.Limit = 2
	k.start("c", macC, "p3")
	k.expect("its own limit", "a", "a", "b", "c")
	k.net.err = contracts.Conflictf("unreachable", "no address")
	k.sub.Limit = 1
	k.start("d", macC, "p3")
	k.expect("no address for commands: left to accounting, but for its own", "a b", "a", "b", "d")
}

// The sessions of an access without a password may bear a name that is no login.
func TestTheLimitOfAnAccessThatIsKnownByItsLine(t *testing.T) {
	k := newLimitKit(t, 1, ReplaceOlder)
	k.l.cfg.Directory.Put(&Subscriber{Access: 3, Login: "house-3", Limit: 2, Line: &contracts.Line{NoPassword: true}})
	k.l.cfg.Directory.Remove("ana")
	k.start("a", macA, "p1")
	k.start("b", macB, "p2")
	k.expect("its own limit is two", "", "a", "b")
	k.start("c", macC, "p3")
	k.expect("one more", "a", "a", "b", "c")
}

func TestStaleSessionsDoNotCount(t *testing.T) {
	for _, action := range []LimitAction{ReplaceOlder, RejectNewer} {
		k := newLimitKit(t, 1, action)
		k.start("ghost", macA, "p1")
		sh := k.table.shard(nas.SessionKey{Device: 7, ID: "ghost"})
		sh.byKey[nas.SessionKey{Device: 7, ID: "ghost"}][0].Quiet = true
		if why := k.l.refuse(k.sub, 7, []byte(macB), []byte("p2")); why != "" {
			t.Errorf("%s: %s", action, why)
		}
		k.start("b", macB, "p2")
		k.expect("beside a stale one", "", "ghost", "b")
	}
}

func TestNewerLoginsAreRefused(t *testing.T) {
	k := newLimitKit(t, 1, RejectNewer)
	if k.l.full(k.sub) {
		t.Error("without a session")
	}
	k.start("a", macA, "p1")
	if !k.l.full(k.sub) {
		t.Fatal("not looked at")
	}
	for _, c := range []struct {
		device          nas.DeviceID
		station, port   string
		refused, probed bool
	}{
		{7, macA, "p9", false, false}, // the same device
		{8, macA, "p9", false, false},
		{7, macB, "p1", false, false}, // the same port: the subscriber's router was swapped
		{7, macB, "p2", true, true},
		{7, macB, "p2", true, false}, // asked a moment ago
		{8, macB, "p1", true, false},
	} {
		k.net.probed = nil
		why := k.l.refuse(k.sub, c.device, []byte(c.station), []byte(c.port))
		if (why != "") != c.refused || (len(k.net.probed) > 0) != c.probed {
			t.Errorf("%+v: %q, probed %v", c, why, k.net.probed)
		}
	}
	k.start("b", macB, "p2") // accepted when the first one's Start was not there yet
	k.expect("the newer one is ended", "b", "a", "b")
	k.record(KindStop, 7, "b", macB, "p2", "")

	a, _ := k.table.Get(nas.SessionKey{Device: 7, ID: "a"})
	k.l.Gone(a.Key, a.StartedAt.Add(time.Second)) // another session's
	k.expect("of another session", "", "a")
	k.l.Gone(a.Key, a.StartedAt)
	k.expect("its device does not know it", "")
	if why := k.l.refuse(k.sub, 7, []byte(macB), []byte("p2")); why != "" {
		t.Error(why)
	}
	k.now = k.now.Add(time.Minute)
	k.record(KindInterim, 7, "a", macA, "p1", "")
	k.expect("it goes on", "", "a")
	k.now = k.now.Add(time.Minute)
	k.l.Gone(a.Key, a.StartedAt)
	k.expect("a device that denies a session it reports is not believed twice", "", "a")
}

func TestPushingEachOtherOutIsBounded(t *testing.T) {
	k := newLimitKit(t, 1, ReplaceOlder)
	ended, refused := 0, 0
	online := ""
	for i := range 40 { // every ten seconds one of two routers dials; what is disconnected is gone
		mac, id := []string{macA, macB}[i%2], string(rune('A'+i))
		if k.l.full(k.sub) && k.l.refuse(k.sub, 7, []byte(mac), []byte(mac)) != "" {
			refused++
		} else if online == "" || !strings.HasPrefix(online, mac) {
			k.start(id, mac, mac)
			k.now = k.now.Add(-time.Minute)
			for _, gone := range k.net.disconnected {
				ended++
				k.record(KindStop, 7, gone, "", "", "")
				k.now = k.now.Add(-time.Minute)
			}
			k.net.disconnected, online = nil, mac+id
		}
		k.now = k.now.Add(10 * time.Second)
	}
	if ended != pushesMost || refused < 15 {
		t.Errorf("%d were ended and %d refused", ended, refused)
	}
	k.now = k.now.Add(2*pushWindow + time.Minute)
	k.l.tidy()
	if k.l.full(k.sub) {
		t.Error("still held")
	}
}

// TestAGhostDoesNotPush has a subscriber with a new router dial again and again while the session of the old one stays: its
// access server ends nothing that it is told to end.
func TestAGhostDoesNotPush(t *testing.T) {
	k := newLimitKit(t, 1, ReplaceOlder)
	k.start("ghost", macA, "p1")
	for i := range 10 {
		k.now = k.now.Add(30 * time.Second)
		if k.l.full(k.sub) {
			if why := k.l.refuse(k.sub, 7, []byte(macB), []byte("p2")); why != "" {
				t.Fatalf("login %d: %s", i, why)
			}
		}
		id := string(rune('a' + i))
		k.start(id, macB, "p2")
		k.expect("the newer stays", "ghost", "ghost", id)
	}
}

func TestCountingSessionsDoesNotAllocate(t *testing.T) {
	k := newLimitKit(t, 1, RejectNewer)
	k.start("a", macA, "p1")
	buffer := make([]Session, 0, 4)
	if n := testing.AllocsPerRun(100, func() {
		if k.table.numberOf(3, "ana") != 1 || len(k.table.AppendOf(buffer, 3, "ana")) != 1 || !k.l.full(k.sub) {
			t.Fatal("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestALoginWithThousandsOfSessions: what a session that begins sets going does not grow with those of its login, and is
// still about the oldest; where there is no limit, nothing is looked at.
func TestALoginWithThousandsOfSessions(t *testing.T) {
	k := newLimitKit(t, 1, ReplaceOlder)
	const n = 5000
	for i := range n {
		r := of(rec(KindStart, i, 0, 0, 0), 7, fmt.Sprintf("%05d", i), "ana")
		r.CallingStation = fmt.Sprintf("line %d", i)
		k.table.Apply(r)
	}
	k.l.began = nil
	k.now = t0.Add(2 * time.Hour)
	k.start("new", macA, "p1")
	if told := len(k.net.disconnected); told < linesBeyond || told > 2*linesBeyond {
		t.Errorf("%d sessions were told to end", told)
	}
	if slices.Contains(k.net.disconnected, "new") || k.net.disconnected[0] != "00000" {
		t.Errorf("told to end: %v", k.net.disconnected)
	}
	k.net.disconnected = nil
	k.l.cfg.Action = RejectNewer
	if why := k.l.refuse(k.sub, 7, []byte(macB), []byte("p2")); why == "" || len(k.net.probed) > 2*linesBeyond {
		t.Errorf("refused for %q, %d sessions were asked for", why, len(k.net.probed))
	}
	k.l.cfg.Action, k.l.cfg.Default = ReplaceOlder, 0
	k.start("newer", macB, "p3")
	k.start("again", macA, "p1")
	if len(k.net.disconnected) > 0 {
		t.Errorf("without a limit: %v", k.net.disconnected)
	}
	k.l.cfg.Default = 1
	k.start("third", macA, "p1") // its own, left behind, is among the newest
	for _, id := range []string{"new", "again"} {
		if _, open := k.table.Get(nas.SessionKey{Device: 7, ID: id}); open {
			t.Errorf("%s, which the device has left behind, is open", id)
		}
	}
}

// TestASessionThatCameBackCounts: one that was taken for gone and goes on is held to the limit like one that begins.
func TestASessionThatCameBackCounts(t *testing.T) {
	k := newLimitKit(t, 1, ReplaceOlder)
	k.start("a", macA, "p1")
	a, _ := k.table.Get(nas.SessionKey{Device: 7, ID: "a"})
	k.l.Gone(a.Key, a.StartedAt)
	k.now = k.now.Add(time.Minute)
	k.start("b", macB, "p2")
	k.expect("gone", "", "b")
	k.record(KindInterim, 7, "a", macA, "p1", "")
	if len(k.net.disconnected) != 1 {
		t.Errorf("told to end: %v", k.net.disconnected)
	}
}
