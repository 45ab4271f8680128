package radius

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	layeh "layeh.com/radius"
	"pgregory.net/rapid"

	"enlace/contracts"
)

// A blocked subscriber's router that dials again and again: one line in the log, one entry with a count, no look at the
// password, and from the second time on it waits.
func TestRedialsAreCheapAndSlow(t *testing.T) {
	var log bytes.Buffer
	c := doorConfig()
	c.Log, c.RejectDelay = zerolog.New(&log), time.Hour
	w := newHandler(t, c)
	for login, why := range map[string]Reason{"max": Blocked, "pia": ContractState, "ted": ContractState, "lia": LoginDisabled} {
		log.Reset()
		dial := func(password string) []byte {
			return w.give(request(t, user(login), station("AA:BB"), pap(password)))
		}
		if b := dial("secret-" + login); len(b) == 0 || b[0] != CodeAccessReject {
			t.Fatalf("%s: the first refusal waits: %x", login, b)
		}
		waiting := w.door.delay.waiting()
		for i, password := range []string{"secret-" + login, "wrong", ""} { // what it proves itself with decides nothing
			if b := dial(password); b != nil || w.door.delay.waiting() != waiting+1+i {
				t.Fatalf("%s: the refusal of redial %d does not wait: %x", login, i, b)
			}
		}
		if r := w.door.refusals.Recent(login, 9); len(r) != 1 || r[0].Count != 4 || r[0].Reason != why {
			t.Errorf("%s: %+v", login, r)
		}
		if n := bytes.Count(log.Bytes(), []byte("login refused")); n != 1 {
			t.Errorf("%s: %d lines in the log", login, n)
		}
		// From another station it is another router.
		if b := w.give(request(t, user(login), station("CC:DD"), pap("secret-"+login))); b == nil {
			t.Errorf("%s: another router waits for the first one's sake", login)
		}
		if w.give(request(t, user(login), station("EE:FF"), pap("wrong"))) != nil {
			t.Errorf("%s: a wrong password is answered at once", login)
		}
		if r := w.door.refusals.Recent(login, 9); !slices.ContainsFunc(r, func(r Refusal) bool { return r.CallingStation == "EE:FF" && r.Reason == BadPassword }) {
			t.Errorf("%s: a wrong password from another router: %+v", login, r)
		}
	}
}

func TestWrongPasswordsWaitAndAreLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	c := doorConfig()
	c.Log, c.RejectDelay = zerolog.New(&log), time.Hour
	w := newHandler(t, c)
	for i := range 5 {
		for _, login := range []string{"ana@isp", "nobody"} {
			if w.give(request(t, user(login), pap("wrong"))) != nil {
				t.Errorf("%s: refusal %d does not wait", login, i)
			}
		}
	}
	if n := bytes.Count(log.Bytes(), []byte("login refused")); n != 2 {
		t.Errorf("%d lines in the log", n)
	}
	if b := w.give(request(t, user("ana@isp"), pap("secret-ana@isp"))); len(b) == 0 || b[0] != CodeAccessAccept {
		t.Errorf("the right password waits: %x", b)
	}
}

// The queue of delayed refusals is bounded: beyond it a refusal goes out at once.
func TestDelayedRefusalsAreBounded(t *testing.T) {
	c := doorConfig()
	c.RejectDelay = time.Hour
	w := newHandler(t, c)
	q := request(t, user("nobody"), pap("x"))
	for i := range maxDelayed {
		q[4], q[5], q[6] = byte(i), byte(i>>8), byte(i>>16) // a request of its own
		if w.give(q) != nil {
			t.Fatalf("refusal %d does not wait", i)
		}
	}
	q[7]++
	if b := w.give(q); len(b) == 0 || w.door.delay.waiting() != maxDelayed {
		t.Errorf("%d wait, the next got %x", w.door.delay.waiting(), b)
	}
	if n := len(w.cache.ring); n > cacheSlots {
		t.Errorf("%d replies are remembered", n)
	}
}

// A contract that is released, by a fact or because the time has come, lets the next dial in.
func TestReleaseEndsRedials(t *testing.T) {
	w := newHandler(t, doorConfig())
	blocked := Window{Until: doorNow.Unix() + 30, Plan: 7, Outcome: contracts.OutcomeReject, Status: statusIndex(contracts.BlockedManual)}
	released := Window{Until: NoEnd, Plan: 7, Outcome: contracts.OutcomeFull, Status: statusIndex(contracts.Active)}
	put := func(windows ...Window) {
		w.door.directory.Put(&Subscriber{Access: 1, Contract: 1, Login: "max", Password: []byte("secret-max"), Windows: windows})
	}
	now := doorNow
	w.door.now = func() time.Time { return now }
	expect := func(code byte) {
		t.Helper()
		for range 3 {
			if b := w.give(request(t, user("max"), pap("secret-max"))); len(b) == 0 || b[0] != code {
				t.Fatalf("got %x, want code %d", b, code)
			}
		}
	}
	put(blocked, released)
	expect(CodeAccessReject)
	now = now.Add(30 * time.Second)
	expect(CodeAccessAccept)
	now = doorNow
	put(blocked)
	expect(CodeAccessReject)
	put(released)
	expect(CodeAccessAccept)
	w.door.directory.Remove("max")
	expect(CodeAccessReject)
}

// Whatever a worker remembers, it accepts what one that remembers nothing accepts, with the same service.
func TestRedialsRefuseNobodyWrongly(t *testing.T) {
	c := doorConfig()
	c.RejectDelay = time.Millisecond
	w := newHandler(t, c)
	logins := []string{"max", "ana@isp"}
	rapid.Check(t, func(t *rapid.T) {
		w.redials = redials{}
		now, tick := doorNow, w.tick()
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				login := rapid.SampledFrom(logins).Draw(t, "login")
				s := &Subscriber{Access: 1, Contract: 1, Login: login, Password: []byte("secret-" + login)}
				at := now.Unix()
				for range rapid.IntRange(1, 3).Draw(t, "windows") {
					at += rapid.Int64Range(1, 60).Draw(t, "seconds")
					o := rapid.SampledFrom([]contracts.Outcome{contracts.OutcomeFull, contracts.OutcomeReduced, contracts.OutcomeReject}).Draw(t, "outcome")
					s.Windows = append(s.Windows, Window{Until: at, Plan: 7, Outcome: o, Status: statusIndex(contracts.Active), Disabled: rapid.Bool().Draw(t, "disabled")})
				}
				w.door.directory.Put(s)
			},
			"wait": func(t *rapid.T) {
				d := time.Duration(rapid.SampledFrom([]int{1, 10, 30, 59, 61}).Draw(t, "seconds")) * time.Second
				now, tick = now.Add(d), tick+d
			},
			"dial": func(t *rapid.T) {
				login := rapid.SampledFrom(logins).Draw(t, "login")
				password := rapid.SampledFrom([]string{"secret-" + login, "secret-" + login, "wrong"}).Draw(t, "password")
				q, err := layehRequest(user(login), pap(password), station(rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(t, "station")))
				if err != nil {
					t.Fatal(err)
				}
				ask := func(w *worker) []byte {
					p := &packet{datagram: q, from: doorFrom, via: &ledger{}, now: now, tick: tick}
					w.door.identify(p)
					return bytes.Clone(w.handleSafely(p))
				}
				accepted := func(b []byte) bool { return len(b) > 0 && b[0] == CodeAccessAccept }
				if got, want := ask(w), ask(newWorker(w.door, portAuth)); accepted(got) != accepted(want) || accepted(got) && !bytes.Equal(got, want) {
					t.Fatalf("%s with %q: got %x, a fresh worker gives %x", login, password, got, want)
				}
			},
		})
	})
}

func layehRequest(add ...func(*layeh.Packet) error) ([]byte, error) {
	p := layeh.New(layeh.CodeAccessRequest, []byte(doorSecret))
	for _, f := range add {
		if err := f(p); err != nil {
			return nil, err
		}
	}
	return p.Encode()
}

func TestRedialAllocatesNothing(t *testing.T) {
	w := newHandler(t, doorConfig())
	var all [][]byte
	for i := range 512 {
		q := request(t, realistic, user("max"), pap("secret-max"))
		q[1] = byte(i)
		all = append(all, q)
	}
	p := &packet{from: doorFrom, now: doorNow, device: w.door.devices.lookup(doorFrom.Addr())}
	i := 0
	one := func() {
		p.datagram, p.tick = all[i%len(all)], w.tick()
		if b := w.handleSafely(p); len(b) == 0 || b[0] != CodeAccessReject {
			t.Fatalf("no reject: %x", b)
		}
		i++
	}
	for range len(all) {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
