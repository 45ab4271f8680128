package radius

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

func TestDirectory(t *testing.T) {
	d := NewDirectory()
	d.Put(&Subscriber{Login: "ana", Access: 1})
	d.Put(&Subscriber{Login: "rui", Access: 2})
	d.Put(&Subscriber{Login: "ana", Access: 3})
	if d.Len() != 2 || d.Lookup([]byte("ana")).Access != 3 || d.Lookup([]byte("an")) != nil {
		t.Errorf("after two logins and a replacement: %d entries, ana %+v", d.Len(), d.Lookup([]byte("ana")))
	}
	d.Remove("rui")
	d.Remove("rui")
	d.Put(&Subscriber{Login: "eva", Access: 4})
	d.Retain(func(s *Subscriber) bool { return s.Access == 4 })
	if d.Len() != 1 || d.Lookup([]byte("eva")) == nil || d.Lookup([]byte("ana")) != nil {
		t.Errorf("after removals %d entries", d.Len())
	}
	login := []byte("eva")
	if n := testing.AllocsPerRun(100, func() { d.Lookup(login) }); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}

func TestWindows(t *testing.T) {
	s := &Subscriber{Windows: []Window{{Until: 100, Plan: 1}, {Until: 200, Plan: 2}, {Until: 300, Plan: 3}}}
	for at, want := range map[int64]contracts.PlanID{-5: 1, 99: 1, 100: 2, 199: 2, 200: 3, 300: 3, 1 << 40: 3} {
		if got := s.At(time.Unix(at, 999)).Plan; got != want {
			t.Errorf("at %d plan %d, want %d", at, got, want)
		}
	}
	if w := (&Subscriber{}).At(doorNow); w.Outcome != contracts.OutcomeReject {
		t.Errorf("without windows: %+v", w)
	}
}

func TestServiceAt(t *testing.T) {
	d, g := doorDirectory(), nas.DefaultGarden()
	for login, want := range map[string]string{"ana@isp": "FULL 500M/250M", "rui": "REDUCED 50M/25M", "eva": "WALLED 1M/1M",
		"max": "REJECT", "lia": "REJECT", "pia": "REJECT"} {
		if got, ok := d.ServiceAt(d.Lookup([]byte(login)), doorNow, g); !ok || got.String() != want {
			t.Errorf("%s: %s, want %s", login, got, want)
		}
	}
	if _, ok := d.ServiceAt(d.Lookup([]byte("noa")), doorNow, g); ok {
		t.Error("a plan that is not in memory has a service")
	}
}

// A million subscribers fit well under 1 GiB; a tenth of them under a tenth.
func TestDirectoryMemory(t *testing.T) {
	const n = 100_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	d := filled(n)
	each := (heap() - before) / n
	if d.Len() != n || each > 600 {
		t.Errorf("%d subscribers take %d bytes each", d.Len(), each)
	}
	t.Logf("%d bytes a subscriber", each)
}

func filled(n int) *Directory {
	d := NewDirectory()
	d.SetPlans(map[contracts.PlanID]PlanProfile{7: {Name: "Fibra 500", Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, Reduced: contracts.Profile{DownBps: 50e6, UpBps: 25e6}}})
	for i := range n {
		d.Put(&Subscriber{Access: contracts.AccessID(i), Contract: contracts.ContractID(i), Login: fmt.Sprintf("user%07d@isp", i), Password: fmt.Appendf(nil, "pw%07d", i),
			Windows: []Window{{Until: doorNow.Unix() + 1000, Plan: 7, Outcome: contracts.OutcomeFull, Status: statusIndex(contracts.Active)},
				{Until: NoEnd, Plan: 7, Outcome: contracts.OutcomeReduced, Status: statusIndex(contracts.Reduced)}}})
	}
	d.SetFresh(doorNow)
	return d
}

func TestDeviceTable(t *testing.T) {
	dev := func(id nas.DeviceID, source string) nas.Device {
		return nas.Device{ID: id, Name: source, Source: netip.MustParsePrefix(source), Secret: []byte("secret"), Dialect: "standard"}
	}
	table := NewDeviceTable(nas.NewDialects(nas.DefaultGarden()), []nas.Device{dev(1, "10.0.0.0/8"), dev(2, "10.1.0.0/16"), dev(3, "10.1.1.1/32"), dev(4, "2001:db8::/32"),
		dev(5, "2001:db8::1/128"), dev(6, "::ffff:192.0.2.0/120"), dev(7, "fe80::1/128")})
	for addr, want := range map[string]nas.DeviceID{"10.9.9.9": 1, "10.1.9.9": 2, "10.1.1.1": 3, "::ffff:10.1.1.1": 3, "::ffff:10.9.9.9": 1,
		"2001:db8::2": 4, "2001:db8::1": 5, "192.0.2.77": 6, "fe80::1%eth0": 7, "11.0.0.1": 0, "::1": 0} {
		got := nas.DeviceID(0)
		if d := table.Lookup(netip.MustParseAddr(addr)); d != nil {
			got = d.ID
		}
		if got != want {
			t.Errorf("%s is device %d, want %d", addr, got, want)
		}
	}
	table.Set(nil)
	if table.Lookup(netip.MustParseAddr("10.1.1.1")) != nil {
		t.Error("a device outlives its removal")
	}
}

func TestRefusals(t *testing.T) {
	r := newRefusals()
	at := doorNow
	add := func(login string, why Reason) bool {
		at = at.Add(time.Second)
		_, news := r.add(at, []byte(login), "bras1", nil, why, "")
		return news
	}
	if !add("ana", BadPassword) || add("ana", BadPassword) || !add("rui", UserUnknown) || add("ana", BadPassword) || !add("ana", LoginDisabled) {
		t.Error("news is the first of a series, and no other within the minute")
	}
	got := r.Recent("ana", 9)
	if len(got) != 2 || got[0].Reason != LoginDisabled || got[1].Count != 3 || got[1].First != doorNow.Add(time.Second) || got[1].At != doorNow.Add(4*time.Second) {
		t.Errorf("ana: %+v", got)
	}
	if got := r.Recent("", 2); len(got) != 2 || got[0].Login != "ana" || got[1].Reason != BadPassword {
		t.Errorf("everyone: %+v", got)
	}
	at = at.Add(time.Minute)
	if !add("ana", LoginDisabled) {
		t.Error("after a minute it is news again")
	}
	for i := range 3 * refusalsKept {
		add(fmt.Sprint(i), UserUnknown)
	}
	if len(r.ring) != refusalsKept || len(r.latest) != refusalsKept || len(r.Recent("ana", 9)) != 0 {
		t.Errorf("%d entries, %d logins are kept", len(r.ring), len(r.latest))
	}
	if got := r.Recent(fmt.Sprint(3*refusalsKept-1), 1); len(got) != 1 {
		t.Error("the latest is not there")
	}
	for why := Reason(0); why < reasons; why++ {
		if text, err := why.MarshalText(); err != nil || strings.ToUpper(string(text)) != string(text) || len(text) == 0 {
			t.Errorf("reason %d is %q", why, text)
		}
	}
}

func TestReplyCacheIsBounded(t *testing.T) {
	c := newReplyCache()
	for i := range 2*cacheSlots + 10 {
		r := c.claim(replyKey{port: uint16(i), addr: [16]byte{byte(i >> 16)}}, uint64(i), 0)
		if i%3 == 0 {
			r.state.Store(replyPending)
		}
	}
	if len(c.ring) != cacheSlots || len(c.byKey) != cacheSlots {
		t.Errorf("%d places, %d keys", len(c.ring), len(c.byKey))
	}
	for i, r := range c.ring {
		if r.place != i || c.byKey[r.key] != r {
			t.Fatalf("place %d holds %+v", i, r)
		}
	}
	key, last := replyKey{port: 10 - 1, addr: [16]byte{1}}, uint64(2*cacheSlots+9)
	if c.find(key, last, cacheTTL) == nil || c.find(key, last+1, 0) != nil || c.find(key, last, cacheTTL+1) != nil {
		t.Error("a reply is found by its whole request and until it expires")
	}
}

func TestDelayerKeepsOrderAndBound(t *testing.T) {
	var now time.Duration
	var mu sync.Mutex
	d := newDelayer(time.Second, func() time.Duration { mu.Lock(); defer mu.Unlock(); return now })
	var pushed []*reply
	for range 3 {
		for range maxDelayed {
			r := &reply{}
			pushed = append(pushed, r)
			if !d.push(r) {
				t.Fatal("refused with room left")
			}
		}
		if d.push(&reply{}) {
			t.Fatal("more than the bound wait")
		}
		if r, wait := d.pop(); r != nil || wait != time.Second {
			t.Fatalf("something is due %s early", wait)
		}
		now += time.Second
		var popped []*reply
		for r, _ := d.pop(); r != nil; r, _ = d.pop() {
			popped = append(popped, r)
		}
		if !slices.Equal(popped, pushed) {
			t.Fatal("what comes out is not what went in")
		}
		pushed = pushed[:0]
	}
}

// What a session was given is known after its plan has changed: access servers must be told what to be rid of.
func TestServicesOfPlansAsTheyWereAreKnown(t *testing.T) {
	d := NewDirectory()
	profile := func(mega uint64) contracts.Profile {
		return contracts.Profile{DownBps: mega * 1e6, UpBps: mega * 1e6, Name: "p"}
	}
	plan := contracts.Plan{Name: "Fibra", Full: profile(500), ReducedPercent: 10, Hours: []contracts.Hours{{From: 0, Until: 60, Percent: 200}}}
	d.SetPlans(map[contracts.PlanID]PlanProfile{1: {Name: "Fibra", Full: plan.Full, Reduced: plan.ReducedProfile(), Terms: &plan}})
	had := d.ServicesOf(1)
	d.SetPlans(map[contracts.PlanID]PlanProfile{1: {Name: "Fibra", Full: profile(600), Reduced: profile(60)}})
	for _, s := range append(had, d.ServicesOf(1)...) {
		if got, ok := d.ServiceOf(s.Digest()); !ok || got != s {
			t.Errorf("the digest of %s stands for %s, %v", s, got, ok)
		}
	}
	if len(had) < 4 {
		t.Errorf("of a plan with hours only %d services are known", len(had))
	}
	if s, ok := d.ServiceOf(nas.Unsure); ok {
		t.Errorf("what is unsure stands for %s", s)
	}
}

// What a session without Class was granted follows only where nothing changed for a minute before it.
func TestGrantedAt(t *testing.T) {
	d, g := doorDirectory(), nas.DefaultGarden()
	s := *d.Lookup([]byte("ana@isp"))
	start := doorNow
	plan := s.Windows[0].Plan
	for name, c := range map[string]struct {
		since   int64
		windows []Window
		want    string
	}{
		"long since":          {start.Unix() - 3600, []Window{{Until: NoEnd, Plan: plan, Outcome: contracts.OutcomeFull}}, "FULL 500M/250M"},
		"just changed":        {start.Unix() - 30, []Window{{Until: NoEnd, Plan: plan, Outcome: contracts.OutcomeFull}}, ""},
		"changed since":       {start.Unix() + 30, []Window{{Until: NoEnd, Plan: plan, Outcome: contracts.OutcomeFull}}, ""},
		"not known":           {0, []Window{{Until: NoEnd, Plan: plan, Outcome: contracts.OutcomeFull}}, ""},
		"the window before":   {start.Unix() - 3600, []Window{{Until: start.Unix() + 5, Plan: plan, Outcome: contracts.OutcomeReduced}, {Until: NoEnd, Plan: plan, Outcome: contracts.OutcomeFull}}, "REDUCED 50M/25M"},
		"a window just begun": {start.Unix() - 3600, []Window{{Until: start.Unix() - 5, Plan: plan, Outcome: contracts.OutcomeReduced}, {Until: NoEnd, Plan: plan, Outcome: contracts.OutcomeFull}}, ""},
		"refused":             {start.Unix() - 3600, []Window{{Until: NoEnd, Plan: plan, Outcome: contracts.OutcomeReject}}, ""},
	} {
		s.Since, s.Windows = uint32(c.since), c.windows
		got, ok := d.GrantedAt(&s, start, g)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%s: %s, %v; want %q", name, got, ok, c.want)
		}
	}
}
