package pg

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"enlace/nas"
)

// NodesConfig is what Nodes works with. The functions are called from Run.
type NodesConfig struct {
	Store *Store
	// Name of this node, its own and the same after a restart.
	Name string
	// Life is the longest that a command takes.
	Life time.Duration
	// Heard reports whether a session's device has lately told this node itself of it.
	Heard func(nas.SessionKey) bool
	// Learn takes in what other nodes have told sessions.
	Learn func([]nas.Told)
	// Gone is called when a node that was alive is gone. It is called again after an error.
	Gone func(ctx context.Context) error
	// Changed is told when other nodes come and go, and when commands can or cannot be claimed.
	Changed func(NodesState)
}

// NodesState is what a node knows of the others.
type NodesState struct {
	Others int  // that are alive
	Away   bool // the database has not answered for longer than the others may count on it
}

// Nodes keeps the nodes that work on one database from commanding a session at the same time.
//
// A node enters itself into a table and says every few seconds that it is alive. As long as it sees no other it commands
// as it likes, without SQL. A node that begins commands nothing before every node alive has said that it knows it: from
// then on all of them claim a session in the database before they command it, for as long as a command can take, and give
// it back with what they told it. A node that has not reached the database for leaseFor does not count on its claims and
// is not counted on: it commands only sessions that it has lately heard of itself, and begins anew once the database is
// back. The others take it for gone when its last command must have ended, too.
//
// What this cannot exclude: a node cut off from a database that others reach commands a session that it heard of within
// the last interval and a half, while another node that knows the session, or that the device has turned to since,
// commands it as well. Both tell it what the contract says; the device sees one command more.
type Nodes struct {
	cfg      NodesConfig
	returned chan struct{} // something is in pending

	mu         sync.Mutex
	begun      bool      // the first attempt to enter the table has ended
	lease      time.Time // real clock: it may count on its row until then
	generation int64
	joined     bool // every node alive knows this one
	others     map[string]int64
	alone      bool  // there are no others, and nothing is left of those there were
	mostKnown  int64 // the highest generation seen
	loose      int   // grants without a claim that were not returned yet
	looseUntil time.Time
	serial     int64
	pending    []nas.Returned
	state      NodesState
}

const (
	beatEvery    = 2 * time.Second
	leaseFor     = 5 * beatEvery
	beatPatience = leaseFor / 2
	joinEvery    = 100 * time.Millisecond // while waiting for others to know this node, or for it to know them
	flushEvery   = 10 * time.Millisecond
	claimSlack   = 10 * time.Second // that a claim may wait for its command
	askPatience  = 3 * time.Second
	askAgain     = 400 * time.Millisecond // a session that was refused
	leaveToOther = 3 * time.Second        // a session that another node hears of is left to it for so long
	trimEvery    = 10 * time.Minute
)

// NewNodes does nothing until Run.
func NewNodes(cfg NodesConfig) *Nodes {
	return &Nodes{cfg: cfg, returned: make(chan struct{}, 1), others: map[string]int64{}}
}

// grantFor is how long a session is granted.
func (n *Nodes) grantFor() time.Duration { return n.cfg.Life + claimSlack }

// patience is how long after its last sign a node may still have commands under way.
func (n *Nodes) patience() time.Duration { return leaseFor + n.grantFor() }

// Share implements control.Claims: as many nodes as are alive have equal parts.
func (n *Nodes) Share() float64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return 1 / float64(1+len(n.others))
}

// State is what is known of other nodes now.
func (n *Nodes) State() NodesState {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stateAt(time.Now())
}

func (n *Nodes) stateAt(now time.Time) NodesState {
	return NodesState{Others: len(n.others), Away: n.begun && now.After(n.lease)}
}

// Claim implements control.Claims.
func (n *Nodes) Claim(ctx context.Context, wanted []nas.Wanted) []nas.Grant {
	grants, heard := make([]nas.Grant, len(wanted)), make([]bool, len(wanted))
	for i := range wanted {
		heard[i] = n.cfg.Heard(wanted[i].Key)
	}
	now := time.Now()
	until := now.Add(n.grantFor())
	n.mu.Lock()
	switch {
	case n.begun && now.After(n.lease): // the database is away
		for i := range grants {
			if heard[i] {
				grants[i] = n.grantLoose(until)
			} else {
				grants[i].Again = beatEvery
			}
		}
	case !n.joined:
		for i := range grants {
			grants[i].Again = joinEvery
		}
	case n.alone:
		for i := range grants {
			grants[i] = n.grantLoose(until)
		}
	default:
		n.serial++
		serial := n.serial
		n.mu.Unlock()
		n.ask(ctx, serial, until, wanted, heard, grants)
		return grants
	}
	n.mu.Unlock()
	return grants
}

func (n *Nodes) grantLoose(until time.Time) nas.Grant {
	n.loose++
	n.looseUntil = until
	return nas.Grant{Until: until}
}

// ask claims in the database.
func (n *Nodes) ask(ctx context.Context, serial int64, until time.Time, wanted []nas.Wanted, heard []bool, grants []nas.Grant) {
	var asked []nas.Wanted
	var places []int
	for i := range wanted {
		grants[i].Again = askAgain
		if w := &wanted[i]; heard[i] || time.Since(w.Since) > leaveToOther {
			asked, places = append(asked, *w), append(places, i)
		}
	}
	if len(asked) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	taken, err := n.cfg.Store.claim(ctx, n.cfg.Name, serial, n.grantFor(), asked)
	if err != nil {
		return // what was claimed nevertheless ends by itself
	}
	for j, g := range taken {
		g.Until = until
		grants[places[j]] = g
	}
}

// Return implements control.Claims.
func (n *Nodes) Return(r nas.Returned) {
	n.mu.Lock()
	if r.Serial == 0 {
		n.loose--
		n.mu.Unlock()
		return
	}
	n.pending = append(n.pending, r)
	n.mu.Unlock()
	select {
	case n.returned <- struct{}{}:
	default:
	}
}

// Run keeps this node in the table until ctx ends, and then until the claims are given back.
func (n *Nodes) Run(ctx context.Context) {
	var flushing sync.WaitGroup
	flushing.Go(func() { n.flush(ctx) })
	trimmed := time.Now()
	for ctx.Err() == nil {
		pause := n.live(ctx)
		if time.Since(trimmed) > trimEvery {
			trimmed = time.Now()
			_ = n.cfg.Store.trimNodes(ctx) // in time it will
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	flushing.Wait()
}

// Leave takes this node out of the table, once it sends nothing any more: others need not wait until it must be gone.
func (n *Nodes) Leave(ctx context.Context) error {
	n.mu.Lock()
	list, generation := n.pending, n.generation
	n.pending, n.lease = nil, time.Time{}
	n.mu.Unlock()
	if len(list) > 0 {
		if err := n.cfg.Store.giveBack(ctx, n.cfg.Name, list); err != nil {
			return err
		}
	}
	return n.cfg.Store.endNode(ctx, n.cfg.Name, generation)
}

// live says once that this node is alive, and looks who else is. It returns how long to wait until the next time.
func (n *Nodes) live(ctx context.Context) time.Duration {
	defer n.tellChanges()
	beating, cancel := context.WithTimeout(ctx, beatPatience)
	defer cancel()
	began := time.Now()
	n.mu.Lock()
	// A lease that may end while this is stored is as good as over.
	generation, lapsed, first := n.generation, began.Add(beatPatience).After(n.lease), n.generation == 0
	knows := int64(0)
	if n.loose == 0 || began.After(n.looseUntil) {
		knows = n.mostKnown // what was sent without a claim has ended
	}
	n.mu.Unlock()
	var err error
	if lapsed {
		if generation, err = n.cfg.Store.beginNode(beating, n.cfg.Name, n.patience(), first); err == nil {
			n.mu.Lock()
			n.generation, n.joined = generation, false
			n.mu.Unlock()
		}
	}
	var others []peer
	ours := false
	if err == nil {
		others, ours, err = n.cfg.Store.beat(beating, n.cfg.Name, generation, knows)
	}
	if err == nil && !ours {
		n.mu.Lock()
		n.lease = time.Time{} // somebody has cleaned up: begin anew
		n.begun = true
		n.mu.Unlock()
		return joinEvery
	}
	if err != nil {
		n.mu.Lock()
		n.begun = true
		n.mu.Unlock()
		return beatEvery / 2
	}
	return n.meet(ctx, began, knows, others)
}

// meet takes in which others are alive.
func (n *Nodes) meet(ctx context.Context, began time.Time, knew int64, list []peer) time.Duration {
	alive := map[string]int64{}
	most, known := int64(0), true
	for _, p := range list {
		if p.alive {
			alive[p.name] = p.generation
			most = max(most, p.generation)
			known = known && p.knows >= n.generation
		}
	}
	n.mu.Lock()
	left := n.generation != 0 && !n.joined && known // this node begins: what those before it left behind
	for name := range n.others {
		if _, ok := alive[name]; !ok {
			left = true
		}
	}
	if len(alive) > 0 {
		n.alone = false // before those who wait for that are told
	}
	n.mostKnown = max(n.mostKnown, most)
	pause := beatEvery
	if n.mostKnown > knew || !known {
		pause = joinEvery
	}
	n.mu.Unlock()
	if left || len(alive) == 0 && !n.isAlone() {
		if err := n.inherit(ctx, len(alive) == 0); err != nil {
			n.mu.Lock()
			n.lease, n.begun = began.Add(leaseFor), true
			n.mu.Unlock()
			return beatEvery / 2 // those who are gone still are among others: it is tried again
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.others, n.alone = alive, len(alive) == 0
	n.lease, n.begun = began.Add(leaseFor), true
	n.joined = n.joined || known
	return pause
}

func (n *Nodes) isAlone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alone
}

// inherit takes over what nodes that are gone knew. alone says that nobody is left.
func (n *Nodes) inherit(ctx context.Context, alone bool) error {
	told, err := n.cfg.Store.toldByOthers(ctx, n.cfg.Name)
	if err != nil {
		return err
	}
	if n.cfg.Gone != nil && len(n.others) > 0 {
		if err := n.cfg.Gone(ctx); err != nil {
			return err
		}
	}
	n.cfg.Learn(told)
	if alone {
		return n.cfg.Store.forgetClaims(ctx)
	}
	return nil
}

// tellChanges tells when something has changed.
func (n *Nodes) tellChanges() {
	n.mu.Lock()
	state := n.stateAt(time.Now())
	changed := state != n.state
	n.state = state
	n.mu.Unlock()
	if changed && n.cfg.Changed != nil {
		n.cfg.Changed(state)
	}
}

// flush gives claims back, some at a time.
func (n *Nodes) flush(ctx context.Context) {
	for {
		select {
		case <-n.returned:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(flushEvery):
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		list := n.pending
		n.pending = nil
		n.mu.Unlock()
		if len(list) == 0 {
			continue
		}
		storing, cancel := context.WithTimeout(ctx, askPatience)
		err := n.cfg.Store.giveBack(storing, n.cfg.Name, slices.Clone(list))
		cancel()
		if err != nil && ctx.Err() == nil {
			n.mu.Lock()
			n.pending = append(list, n.pending...)
			if beyond := len(n.pending) - mostPending; beyond > 0 {
				n.pending = slices.Delete(n.pending, 0, beyond) // they have ended by themselves
			}
			n.mu.Unlock()
			select {
			case n.returned <- struct{}{}:
			default:
			}
			select {
			case <-time.After(beatEvery / 2):
			case <-ctx.Done():
			}
		}
	}
}

// mostPending bounds the claims that wait to be given back.
const mostPending = 100_000

// digestOf reads a digest as sessions are stored with it; 0 when there is none.
func digestOf(text string) nas.Digest {
	d, _ := strconv.ParseUint(text, 16, 64)
	return nas.Digest(d)
}
