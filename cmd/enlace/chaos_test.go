package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"enlace/contracts"
	"enlace/nas/nastest"
	"enlace/postgres/pgtest"
)

// chaos is a small provider on which anything may happen: two nodes, access servers of several vendors behind bad paths,
// and subscribers each with a contract.
type chaos struct {
	t       *testing.T
	random  *rand.Rand
	nodes   [2]*program
	up      [2]bool
	sites   []*site
	ahead   atomic.Int64 // of the machine's clock, where the provider's stands
	plans   []chaosPlan
	numbers int // of payments
}

// site is an access server, with what stands between it and the nodes.
type site struct {
	vendor     string
	nas        *nastest.NAS
	auth, acct *relay
	tap        *tap
	rate       int
	talks      *program // whom its accounting goes to
	homes      []home
}

// home is a subscriber's line and contract.
type home struct {
	line     *nastest.Session
	contract string
}

type chaosPlan struct {
	id            float64
	full, reduced contracts.Profile
}

var chaosVendors = []string{"mikrotik", "accel-ppp", "standard", "huawei", "cisco", "nokia"}

// chaosRetry is for how long a node waits for the answers to the three attempts of a command.
const chaosRetry = (300 + 600 + 1200) * time.Millisecond

// TestChaos lets facts, losses, reboots and kills of nodes happen at random, for as long as TORTURE says (make torture).
// At rest every line must be online with what its contract says, as its access server understands it; no session may have
// been told two things at once, and no access server more in a time than it takes. SEED repeats a run's choices.
//
// What an access server takes is counted in datagrams, with retransmissions, in every window of one second and of ten: with
// one more for each node, which may begin with one, and some for senders that a busy machine wakes late.
func TestChaos(t *testing.T) {
	t.Parallel()
	lasting, err := time.ParseDuration(os.Getenv("TORTURE"))
	homes := 12
	if err != nil {
		lasting, homes = 20*time.Second, 6
	}
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("SEED=%d", seed)
	c := newChaos(t, seed, homes)
	for end := time.Now().Add(lasting); time.Now().Before(end); {
		time.Sleep(time.Duration(c.random.IntN(150)) * time.Millisecond)
		c.something()
	}
	c.calm()
	for _, s := range c.sites {
		s.orderly(t)
	}
	c.agrees()
	for _, s := range c.sites {
		s.tap.orderly(t)
	}
	if t.Failed() {
		t.Logf("SEED=%d", seed)
	}
}

func newChaos(t *testing.T, seed uint64, homes int) *chaos {
	c := &chaos{t: t, random: rand.New(rand.NewPCG(seed, 0))}
	c.ahead.Store(int64(time.Until(local("2026-01-15 10:00:00"))))
	database := pgtest.URL(t)
	c.nodes[0] = startOn(t, database, c.now())
	c.nodes[1] = startOn(t, database, c.now(), "--key-file", filepath.Join(c.nodes[0].dir, "key"))
	c.up = [2]bool{true, true}
	policies := map[string]nastest.Policy{"enlace-open": {}}
	for i, mbit := range []uint64{500, 300} {
		p := chaosPlan{full: contracts.Profile{DownBps: mbit * 1e6, UpBps: mbit * 5e5}, reduced: contracts.Profile{DownBps: mbit * 1e5, UpBps: mbit * 5e4}}
		p.id = c.nodes[0].api("POST", "/api/v1/plans", object{"name": fmt.Sprint("Plan ", i), "price": "100.00", "reduced_percent": 10,
			"full": object{"down_bps": p.full.DownBps, "up_bps": p.full.UpBps}}, 201)["id"].(float64)
		c.plans = append(c.plans, p)
		for _, r := range []contracts.Profile{p.full, p.reduced, {DownBps: 1e6, UpBps: 1e6}} {
			policies[fmt.Sprintf("enlace-up-%dk", r.UpBps/1000)] = nastest.Policy{Rates: contracts.Profile{UpBps: r.UpBps}}
			policies[fmt.Sprintf("enlace-down-%dk", r.DownBps/1000)] = nastest.Policy{Rates: contracts.Profile{DownBps: r.DownBps}}
			policies[fmt.Sprintf("enlace-%dk-%dk", r.DownBps/1000, r.UpBps/1000)] = nastest.Policy{Rates: r}
		}
	}
	customer := c.nodes[0].api("POST", "/api/v1/customers", object{"name": "Maria Souza", "document": "529.982.247-25", "email": "maria@example.com"}, 201)
	for i, vendor := range chaosVendors {
		s := &site{vendor: vendor, rate: 4 + 2*i, talks: c.nodes[0]}
		c.sites = append(c.sites, s)
		source := fmt.Sprintf("127.42.0.%d", i+1)
		s.auth, s.acct = newRelay(t, c.nodes[0].auth, source, nil), newRelay(t, c.nodes[0].acct, source, nil)
		var err error
		s.nas, err = nastest.New(nastest.Config{Dialect: vendor, AuthAddr: s.auth.addr(), AcctAddr: s.acct.addr(), Secret: []byte(storySecret),
			Interim: 2 * time.Second, Redial: 300 * time.Millisecond, Timeout: 500 * time.Millisecond, NASIdentifier: vendor, Load: 1e-9,
			Policies: policies, Seed: seed + uint64(i), Ahead: func() time.Duration { return time.Duration(c.ahead.Load()) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.nas.Close)
		s.tap = newTap(t, s.nas.CoAAddr().String(), storySecret, chaosRetry*3/4)
		c.nodes[0].api("POST", "/api/v1/devices", object{"name": vendor, "source": source, "secret": storySecret, "dialect": vendor,
			"coa": s.tap.relay.addr(), "nas_identifier": vendor, "message_authenticator": "yes", "commands_per_second": s.rate}, 201)
		for n := range homes {
			login := fmt.Sprintf("%s-%d@isp", vendor, n)
			made := c.nodes[0].api("POST", "/api/v1/contracts", object{"customer_id": customer["id"], "plan_id": c.plans[n%2].id, "due_day": 10,
				"zone": "America/Sao_Paulo", "accesses": []object{{"login": login, "password": storyPassword}}}, 201)
			s.homes = append(s.homes, home{s.nas.Dial(login, storyPassword, nastest.CHAP), fmt.Sprint(made["id"])})
		}
	}
	c.agrees()
	return c
}

func (c *chaos) now() string {
	return time.Now().Add(time.Duration(c.ahead.Load())).Format(time.RFC3339)
}

// something happens.
func (c *chaos) something() {
	s := c.sites[c.random.IntN(len(c.sites))]
	switch n := c.random.IntN(100); {
	case n < 60:
		for range 1 + c.random.IntN(3) {
			c.fact(s.homes[c.random.IntN(len(s.homes))].contract)
		}
	case n < 68: // a day of blocks, or of releases
		act := []string{"manual-block", "manual-unblock"}[c.random.IntN(2)]
		for _, h := range s.homes {
			c.act(h.contract, act, nil)
		}
	case n < 74:
		c.timePasses()
	case n < 82:
		s.nas.SetQuirks(nastest.Quirks{LoseIn: c.random.Float64() * 0.3, LoseOut: c.random.Float64() * 0.3, Duplicate: c.random.Float64() * 0.2,
			Late: c.random.Float64() * 0.5, Delay: time.Duration(c.random.IntN(300)) * time.Millisecond, AnswerTwice: c.random.IntN(4) == 0})
	case n < 84:
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		_ = s.nas.PowerCut(ctx) // whether its Accounting-On is heard or not
		cancel()
	case n < 86:
		s.nas.Vanish()
	case n < 94:
		c.turn(s)
	default:
		c.kill()
	}
}

// someone is a node that is up.
func (c *chaos) someone() *program {
	i := c.random.IntN(2)
	if !c.up[i] {
		i = 1 - i
	}
	return c.nodes[i]
}

// turn has an access server talk to a node that is up, with logins and accounting each to its own.
func (c *chaos) turn(s *site) {
	s.auth.aim(c.someone().auth)
	s.talks = c.someone()
	s.acct.aim(s.talks.acct)
}

// kill ends a node as a power cut does, or brings the one back that was ended.
func (c *chaos) kill() {
	for i, up := range c.up {
		if !up {
			c.raise(i)
			return
		}
	}
	i := c.random.IntN(2)
	for _, s := range c.sites {
		s.tap.kill()
	}
	c.nodes[i].kill(syscall.SIGKILL)
	c.up[i] = false
	for _, s := range c.sites {
		c.turn(s)
	}
}

func (c *chaos) raise(i int) {
	c.nodes[i].up(c.now())
	c.up[i] = true
	for _, s := range c.sites {
		c.turn(s)
	}
}

// timePasses moves the clocks of the nodes that are up.
func (c *chaos) timePasses() {
	c.ahead.Add(int64(time.Duration(1+c.random.IntN(96)) * time.Hour))
	for i, p := range c.nodes {
		if c.up[i] {
			p.api("PUT", "/api/v1/clock", object{"now": c.now()}, 200)
		}
	}
}

// act acts on a contract; more is what that takes beside a reason.
func (c *chaos) act(contract, name string, more object) {
	body := object{"reason": "chaos"}
	maps.Copy(body, more)
	if status, b := c.someone().call("POST", "/api/v1/contracts/"+contract+"/acts/"+name, body); status != 200 && status != 409 {
		c.t.Errorf("%s: %d %s", name, status, b)
	}
}

// fact records something about a contract; what its rules refuse is refused.
func (c *chaos) fact(contract string) {
	act := func(name string, more object) { c.act(contract, name, more) }
	p := c.someone()
	switch c.random.IntN(7) {
	case 0, 1:
		act("manual-block", nil)
	case 2:
		act("manual-unblock", nil)
	case 3:
		act([]string{"trust-unblock", "manual-release", "temp-release"}[c.random.IntN(3)], nil)
	case 4, 5:
		act("plan-change", object{"plan_id": c.plans[c.random.IntN(len(c.plans))].id})
	default:
		for _, i := range p.api("GET", "/api/v1/invoices?contract_id="+contract, nil, 200)["items"].([]any) {
			number := i.(map[string]any)["number"].(string)
			quote, ok := p.api("GET", "/api/v1/invoices/"+number, nil, 200)["quote"].(map[string]any)
			if !ok || quote["total"] == "0.00" {
				continue
			}
			c.numbers++
			if status, b := p.call("POST", "/api/v1/payments", object{"external_id": fmt.Sprint("E2E-", c.numbers), "invoice": number,
				"amount": quote["total"], "method": "pix"}); status != 201 && status != 409 {
				c.t.Errorf("a payment: %d %s", status, b)
			}
		}
	}
}

// calm ends what goes wrong: paths are good, and both nodes up.
func (c *chaos) calm() {
	for _, s := range c.sites {
		s.nas.SetQuirks(nastest.Quirks{})
	}
	for i, up := range c.up {
		if !up {
			c.raise(i)
		}
	}
}

// agrees waits until every line is online with what its contract says, and the nodes have nothing left to do.
func (c *chaos) agrees() {
	c.t.Helper()
	began, last := time.Now(), ""
	for time.Since(began) < 3*time.Minute {
		wrong := c.disagrees()
		if wrong == "" {
			c.t.Logf("at rest all agrees after %v", time.Since(began).Round(100*time.Millisecond))
			return
		}
		last = wrong
		time.Sleep(200 * time.Millisecond)
	}
	for _, s := range c.sites {
		for _, h := range s.homes {
			if wrong := c.wrong(h); wrong != "" {
				c.t.Logf("%s\n%s", wrong, s.tap.story(h.line.ID()))
			}
		}
	}
	c.t.Fatalf("at rest: %s", last)
}

func (c *chaos) disagrees() string {
	for _, s := range c.sites {
		for _, h := range s.homes {
			if wrong := c.wrong(h); wrong != "" {
				return wrong
			}
		}
	}
	for _, s := range c.sites { // the nodes that they report to know it
		for _, h := range s.homes {
			id := h.line.ID()
			for _, o := range s.talks.api("GET", "/api/v1/sessions?login="+url.QueryEscape(h.line.Login()), nil, 200)["items"].([]any) {
				if o := o.(map[string]any); o["session_id"] == id && o["settled"] != true {
					return fmt.Sprintf("%s (%s) is not settled: applied %v, wanted %v", h.line.Login(), id, o["applied"], o["wanted"])
				}
			}
		}
	}
	return ""
}

// wrong says what a line has that its contract does not say.
func (c *chaos) wrong(h home) string {
	status, b := c.nodes[0].call("GET", "/api/v1/contracts/"+h.contract, nil)
	var contract struct {
		Status, Outcome string
		PlanID          float64 `json:"plan_id"`
	}
	if err := json.Unmarshal(b, &contract); status != 200 || err != nil {
		return fmt.Sprintf("contract %s: %d %s", h.contract, status, b)
	}
	want := contracts.Profile{DownBps: 1e6, UpBps: 1e6}
	for _, p := range c.plans {
		switch {
		case p.id != contract.PlanID:
		case contract.Outcome == "FULL":
			want = p.full
		case contract.Outcome == "REDUCED":
			want = p.reduced
		}
	}
	walled := contract.Outcome == "WALLED"
	if have := h.line.Rates(); !h.line.Online() || have != want || h.line.Walled() != walled {
		return fmt.Sprintf("%s (%s) should have %s of plan %v, %d/%d: online %v, %d/%d, walled %v", h.line.Login(), h.line.ID(), contract.Outcome, contract.PlanID,
			want.DownBps, want.UpBps, h.line.Online(), have.DownBps, have.UpBps, h.line.Walled())
	}
	return ""
}

// orderly wants that no session was told two things at once, and that the device's rate was kept.
func (s *site) orderly(t *testing.T) {
	t.Helper()
	s.tap.orderly(t)
	second, ten := s.tap.busiest(time.Second), s.tap.busiest(10*time.Second)
	commands, datagrams := s.tap.count()
	t.Logf("%s: %d commands in %d datagrams, at most %d within a second and %d within ten, of %d a second", s.vendor, commands, datagrams, second, ten, s.rate)
	if second > s.rate+s.rate/5+2 || ten > 10*s.rate+s.rate/5+2 {
		t.Errorf("%s was told %d times within a second and %d times within ten, of %d a second", s.vendor, second, ten, s.rate)
	}
}
