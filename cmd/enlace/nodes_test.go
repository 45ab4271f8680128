package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"enlace/nas/nastest"
	"enlace/postgres/pgtest"
)

// pair is two nodes on one database, and one access server that may talk to either, with many lines of one contract.
type pair struct {
	t          *testing.T
	one, two   *program
	auth, acct *relay
	tap        *tap
	bras       *nastest.NAS
	contract   string
	lines      []*nastest.Session
	ahead      atomic.Int64
}

// newPair brings the nodes up, and the lines online through the first. settings change how the device misbehaves.
func newPair(t *testing.T, database, source string, lines int, quirks nastest.Quirks) *pair {
	t.Helper()
	const begins = "2026-01-15 10:00:00"
	clock := local(begins).Format(time.RFC3339)
	p := &pair{t: t}
	p.ahead.Store(int64(time.Until(local(begins))))
	p.one = startOn(t, database, clock)
	p.two = startOn(t, database, clock, "--key-file", filepath.Join(p.one.dir, "key"))
	p.others(p.one, 1)
	p.others(p.two, 1)
	p.auth = newRelay(t, p.one.auth, source, nil)
	p.acct = newRelay(t, p.one.acct, source, nil)
	var err error
	p.bras, err = nastest.New(nastest.Config{Dialect: "standard", AuthAddr: p.auth.addr(), AcctAddr: p.acct.addr(), Secret: []byte(storySecret),
		Interim: -1, Timeout: time.Second, NASIdentifier: "bras-1", Quirks: quirks,
		Ahead: func() time.Duration { return time.Duration(p.ahead.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.bras.Close)
	p.tap = newTap(t, p.bras.CoAAddr().String(), storySecret, 2100*time.Millisecond)
	p.one.api("POST", "/api/v1/devices", object{"name": "bras-1", "source": source, "secret": storySecret, "dialect": "standard",
		"coa": p.tap.relay.addr(), "nas_identifier": "bras-1", "message_authenticator": "yes", "commands_per_second": pairRate}, 201)
	plan := p.one.api("POST", "/api/v1/plans", object{"name": "Fibra 500", "price": "100.00", "full": object{"down_bps": 500_000_000, "up_bps": 250_000_000}, "reduced_percent": 10}, 201)
	customer := p.one.api("POST", "/api/v1/customers", object{"name": "Maria Souza", "document": "529.982.247-25", "email": "maria@example.com"}, 201)
	accesses := make([]object, lines)
	for i := range accesses {
		accesses[i] = object{"login": fmt.Sprintf("line%02d@isp", i), "password": storyPassword}
	}
	p.contract = fmt.Sprint(p.one.api("POST", "/api/v1/contracts", object{"customer_id": customer["id"], "plan_id": plan["id"], "due_day": 10,
		"zone": "America/Sao_Paulo", "accesses": accesses}, 201)["id"])
	for i := range lines {
		eventually(t, "a login is accepted", func() error {
			line, err := p.bras.Login(t.Context(), fmt.Sprintf("line%02d@isp", i), storyPassword, nastest.CHAP)
			if err == nil {
				p.lines = append(p.lines, line)
			}
			return err
		})
	}
	p.open(p.one, lines)
	return p
}

// caughtUp waits until both nodes know what the database says by now: a contract that is recorded last can log in at both.
func (p *pair) caughtUp() {
	p.t.Helper()
	first := p.one.api("GET", "/api/v1/contracts/"+p.contract, nil, 200)
	p.one.api("POST", "/api/v1/contracts", object{"customer_id": first["customer_id"], "plan_id": first["plan_id"], "due_day": 10,
		"zone": "America/Sao_Paulo", "accesses": []object{{"login": "last@isp", "password": storyPassword}}}, 201)
	for _, node := range []*program{p.one, p.two} {
		p.auth.aim(node.auth)
		node.eventually("the node has followed the database", func() error {
			_, err := p.bras.Login(p.t.Context(), "last@isp", storyPassword, nastest.CHAP)
			return err
		})
	}
}

// pairRate is how many commands a second the access server takes.
const pairRate = 25

// number reads a metric.
func number(p *program, name string) float64 {
	n, _ := strconv.ParseFloat(p.metric(name), 64)
	return n
}

func (p *pair) others(node *program, n int) {
	p.t.Helper()
	node.eventually(fmt.Sprintf("a node knows of %d others", n), func() error {
		if got := number(node, "enlace_nodes_others"); got != float64(n) {
			return fmt.Errorf("it knows of %v", got)
		}
		return nil
	})
}

func (p *pair) open(node *program, n int) {
	p.t.Helper()
	node.eventually(fmt.Sprintf("%d sessions are open", n), func() error {
		if got := number(node, `enlace_sessions_open{device="bras-1"}`); got != float64(n) {
			return fmt.Errorf("%v are", got)
		}
		return nil
	})
}

// report has lines tell a node that they go on.
func (p *pair) report(node *program, lines []*nastest.Session) {
	p.t.Helper()
	p.acct.aim(node.acct)
	for _, line := range lines {
		if err := line.Interim(p.t.Context()); err != nil {
			p.t.Fatalf("an Interim-Update: %v", err)
		}
	}
}

// settled waits until every line is walled, or none, and the nodes agree that nothing is to be done.
func (p *pair) settled(walled bool, nodes ...*program) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("every line is walled: %v", walled), func() error {
		n := 0
		for _, line := range p.lines {
			if line.Online() && line.Walled() == walled {
				n++
			}
		}
		if n != len(p.lines) {
			return fmt.Errorf("%d of %d are", n, len(p.lines))
		}
		return nil
	})
	for _, node := range nodes {
		node.eventually("nothing is left to do", func() error {
			if n := number(node, "enlace_nas_differences"); n != 0 {
				return fmt.Errorf("%v sessions differ", n)
			}
			return nil
		})
	}
}

// once wants every session to have got so many commands.
func (p *pair) once(want int) {
	p.t.Helper()
	for name, n := range p.tap.counts() {
		if n != want {
			p.t.Errorf("%s got %d commands, want %d", name, n, want)
		}
	}
}

func (p *pair) act(node *program, act string) {
	p.t.Helper()
	node.api("POST", "/api/v1/contracts/"+p.contract+"/acts/"+act, object{"reason": "trial"}, 200)
}

// TestTwoNodesCommandASessionOnce has sessions begin through one node and report to the other, so that both want every
// change: each session is told it once. One of the nodes is killed in the midst of the next change, and the other ends it.
func TestTwoNodesCommandASessionOnce(t *testing.T) {
	t.Parallel()
	const lines = 50
	p := newPair(t, pgtest.URL(t), "127.31.13.1", lines, nastest.Quirks{Late: 1, Delay: 60 * time.Millisecond})
	p.report(p.two, p.lines)
	p.open(p.two, lines)

	for round := range 2 {
		p.act(p.one, "manual-block")
		p.settled(true, p.one, p.two)
		p.once(2*round + 1)
		p.act(p.two, "manual-unblock")
		p.settled(false, p.one, p.two)
		p.once(2*round + 2)
	}

	before, _ := p.tap.count()
	since := func() int { n, _ := p.tap.count(); return n - before }
	p.act(p.two, "manual-block")
	eventually(t, "a part of the change is done", func() error {
		if n := since(); n < lines/4 {
			return fmt.Errorf("%d commands", n)
		}
		return nil
	})
	p.tap.kill()
	p.one.kill(syscall.SIGKILL)
	left := lines - since()
	p.settled(true, p.two)
	if left < lines/8 {
		t.Errorf("the node was killed with %d lines left: that shows nothing", left)
	}
	if n := since(); n > lines+flightsAtOnce {
		t.Errorf("%d commands for %d lines: what the killed node had done was done again", n, lines)
	}

	// Back, it knows what the other did.
	p.one.up(local("2026-01-15 10:30:00").Format(time.RFC3339))
	p.others(p.one, 1)
	p.open(p.one, lines)
	p.act(p.two, "manual-unblock")
	p.settled(false, p.one, p.two)
	p.tap.orderly(t)
	if most := p.tap.busiest(time.Second); most > pairRate+pairRate/10+2 { // each node may send one at once; and they are not sent to the millisecond
		t.Errorf("%d commands within a second, of %d that the device takes", most, pairRate)
	}
}

// flightsAtOnce is more than a node has on its way to the device of this test when it is killed.
const flightsAtOnce = 20

// TestTwoNodesWithoutTheirDatabase takes the database away before a change that both nodes foresee: each commands the
// sessions that it heard of last, and no others.
func TestTwoNodesWithoutTheirDatabase(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t)
	const lines = 20
	p := newPair(t, cluster.URL("enlace"), "127.31.14.1", lines, nastest.Quirks{})
	clock := func(at string) {
		t.Helper()
		p.ahead.Store(int64(time.Until(local(at))))
		for _, node := range []*program{p.one, p.two} {
			node.api("PUT", "/api/v1/clock", object{"now": local(at).Format(time.RFC3339)}, 200)
		}
	}
	s := &story{program: p.one, contract: p.contract}
	p.report(p.two, p.lines)
	p.open(p.two, lines)
	clock("2026-01-31 07:00:00")
	number := s.invoices(1)[0]["number"]
	clock("2026-02-11 08:30:00")
	s.noticed(number)
	p.caughtUp()
	clock("2026-02-26 08:59:35")
	mine, theirs := p.lines[:lines/2], p.lines[lines/2:]
	p.report(p.one, mine)
	p.report(p.two, theirs)
	before := p.tap.counts()
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every line is reduced", func() error {
		n := 0
		for _, line := range p.lines {
			if line.Rates().DownBps == 50_000_000 {
				n++
			}
		}
		if n != lines {
			return fmt.Errorf("%d are; of the last it is seen: %s", n, p.tap.story(p.lines[lines-1].ID()))
		}
		return nil
	})
	eventually(t, "both nodes know that they are cut off", func() error {
		for _, node := range []*program{p.one, p.two} {
			if node.metric("enlace_nodes_cut_off") != "1" {
				return fmt.Errorf("one does not")
			}
		}
		return nil
	})
	p.tap.mu.Lock()
	defer p.tap.mu.Unlock()
	by := func(line *nastest.Session) (from []string) {
		for _, c := range p.tap.sessions[line.ID()].commands[before[line.ID()]:] {
			from = append(from, c.from.String())
		}
		return from
	}
	for _, half := range [][]*nastest.Session{mine, theirs} {
		node := by(half[0])
		for _, line := range half {
			if from := by(line); len(from) != 1 || from[0] != node[0] {
				t.Errorf("%s was commanded by %v, its neighbours by %v", line.Login(), from, node)
			}
		}
	}
	if by(mine[0])[0] == by(theirs[0])[0] {
		t.Error("one node has commanded all")
	}
}
