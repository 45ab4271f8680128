package radius

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"enlace/contracts"
)

// Meter is what a contract has used of its billing cycle, where one of its plans looks at usage or at the time of day.
// Its accesses share one. The zero Meter is that of all other contracts.
type Meter struct{ *meter }

type meter struct {
	zone   *time.Location
	dueDay int
	topUps []contracts.TopUp
	count  *count // shared with the meters before and after this one
}

// count is the traffic of one cycle: what is stored, and what this node has seen and nobody has stored yet.
type count struct {
	sync.Mutex
	from         contracts.Date // where the cycle begins
	stored, seen contracts.Traffic
	seenAt       time.Time // real clock
}

// NewMeter of a contract. before is the one that it had, or none: what was counted goes on.
func NewMeter(c *contracts.Contract, topUps []contracts.TopUp, before Meter) Meter {
	m := &meter{zone: c.Zone, dueDay: c.DueDay, topUps: topUps, count: &count{}}
	if before.meter != nil {
		m.count = before.count
	}
	return Meter{m}
}

// Cycle that an instant lies in.
func (m *meter) Cycle(at time.Time) (from, until contracts.Date) {
	return contracts.CycleOf(contracts.DateOf(at, m.zone), m.dueDay)
}

// Tally at an instant, as far as this node knows.
func (m *meter) Tally(now time.Time) contracts.Tally {
	var u contracts.Tally
	u.From, u.Until = m.Cycle(now)
	for i := range m.topUps {
		if x := &m.topUps[i]; u.From <= x.Day && x.Day < u.Until && !x.At.After(now) {
			u.Extra += x.Bytes
		}
	}
	m.count.Lock()
	if m.count.from == u.From {
		u.Counted = m.count.stored.Plus(m.count.seen)
	}
	m.count.Unlock()
	return u
}

// See counts traffic that came in at an instant and that nobody has stored yet.
func (m *meter) See(grown contracts.Traffic, at time.Time) {
	from, _ := m.Cycle(at)
	c := m.count
	c.Lock()
	defer c.Unlock()
	switch {
	case from < c.from: // of a cycle that is over
		return
	case from > c.from:
		c.from, c.stored, c.seen = from, contracts.Traffic{}, contracts.Traffic{}
	}
	c.seen, c.seenAt = c.seen.Plus(grown), time.Now()
}

// Store takes in what is stored of a cycle by now. What that grew by was seen before, here or on another node.
func (m *meter) Store(from contracts.Date, stored contracts.Traffic) {
	c := m.count
	c.Lock()
	defer c.Unlock()
	if c.from == from {
		c.seen = c.seen.Minus(stored.Minus(c.stored))
	} else {
		c.from, c.seen = from, contracts.Traffic{}
	}
	c.stored = stored
}

// Settle forgets what was seen longer than after ago: all of that is stored, and what is left over was counted beside
// what is stored, such as a late record of a session that memory has forgotten. It reports whether there was any.
func (m *meter) Settle(after time.Duration) bool {
	c := m.count
	c.Lock()
	defer c.Unlock()
	if c.seen.IsZero() || time.Since(c.seenAt) < after {
		return false
	}
	c.seen = contracts.Traffic{}
	return true
}

// keptMeter is a meter in a snapshot on disk.
type keptMeter struct {
	Zone   string
	DueDay int
	TopUps []contracts.TopUp
	From   contracts.Date
	Used   contracts.Traffic
}

// MarshalBinary implements encoding.BinaryMarshaler: a snapshot keeps what was used by then.
func (m Meter) MarshalBinary() ([]byte, error) {
	if m.meter == nil {
		return nil, nil
	}
	k := keptMeter{Zone: m.zone.String(), DueDay: m.dueDay, TopUps: m.topUps}
	m.count.Lock()
	k.From, k.Used = m.count.from, m.count.stored.Plus(m.count.seen)
	m.count.Unlock()
	return json.Marshal(&k)
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (m *Meter) UnmarshalBinary(b []byte) error {
	if len(b) == 0 {
		m.meter = nil
		return nil
	}
	var k keptMeter
	if err := json.Unmarshal(b, &k); err != nil {
		return fmt.Errorf("reading the usage of a contract: %w", err)
	}
	zone, err := zoneOf(k.Zone)
	if err != nil {
		return fmt.Errorf("reading the usage of a contract: %w", err)
	}
	m.meter = &meter{zone: zone, dueDay: k.DueDay, topUps: k.TopUps, count: &count{from: k.From, stored: k.Used}}
	return nil
}

var zones sync.Map // name -> *time.Location: many contracts share a handful

func zoneOf(name string) (*time.Location, error) {
	if l, ok := zones.Load(name); ok {
		return l.(*time.Location), nil
	}
	l, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, l)
	}
	return l, err
}

// decide is the window that holds at now with what the plan says of usage and of the time of day, and the grant of a
// FULL or REDUCED one: nil when its plan is unknown.
func (d *Directory) decide(s *Subscriber, now time.Time) (Window, *grant) {
	w := s.At(now)
	p, ok := (*d.plans.Load())[w.Plan]
	if !ok {
		return w, nil
	}
	if s.Meter.meter == nil || p.terms == nil {
		return w, p.grant(w.Outcome)
	}
	v := p.terms.Decide(w.Outcome, s.Meter.zone, s.Meter.Tally(now), now)
	w.Outcome = v.Outcome
	if !v.Until.IsZero() {
		w.Until = min(w.Until, v.Until.Unix())
	}
	for _, g := range p.others {
		if g.service.Outcome == v.Outcome && g.service.Profile == v.Profile {
			return w, g
		}
	}
	return w, p.grant(w.Outcome)
}

// WindowAt is the window that holds at now, as Subscriber.At, with what the plan says of usage and of the time of day.
func (d *Directory) WindowAt(s *Subscriber, now time.Time) Window {
	w, _ := d.decide(s, now)
	return w
}

// Terms say how traffic of a session at an instant is booked: whether its contract has an allowance now, and whether no
// allowance counts it.
func (d *Directory) Terms(access contracts.AccessID, login string, at time.Time) (metered, free bool) {
	s := d.Of(access, login)
	if s == nil || s.Meter.meter == nil {
		return false, false
	}
	p := (*d.plans.Load())[s.At(at).Plan].terms
	return p != nil, p != nil && p.Free(at, s.Meter.zone)
}
