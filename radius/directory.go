package radius

import (
	"hash/maphash"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// Window is a stretch of a subscriber's future in which nothing about him changes.
type Window struct {
	Until    int64 // Unix seconds; math.MaxInt64 = no end is foreseen
	Plan     contracts.PlanID
	Outcome  contracts.Outcome
	Status   uint8 // index into contracts.Statuses
	Disabled bool  // this login is switched off, whatever the outcome
}

// NoEnd is the Until of a window without a foreseen end.
const NoEnd = math.MaxInt64

// StatusName is the contract's status, for people.
func (w Window) StatusName() contracts.Status {
	if int(w.Status) < len(contracts.Statuses) {
		return contracts.Statuses[w.Status]
	}
	return ""
}

// Subscriber is a login as the door sees it. It is immutable once it is in a Directory.
type Subscriber struct {
	Access   contracts.AccessID
	Contract contracts.ContractID
	Login    string
	Password []byte   // in clear, in memory only: CHAP and MS-CHAP need it
	Windows  []Window // ascending; the first covers the time of building
	Meter    Meter    // of the contract
	// Line is what the login has beside its password: marks and addresses. Most have nothing, and it is nil.
	Line *contracts.Line
	// Limit is how many sessions it may have at once; 0: as many as the provider allows.
	Limit uint16
	// Since is when the first of Windows began, in Unix seconds; 0: that is not known.
	Since uint32
}

// At is the window that holds at now; after the last window's end, the last. Without windows nothing is granted.
func (s *Subscriber) At(now time.Time) Window {
	t := now.Unix()
	for i := range s.Windows {
		if t < s.Windows[i].Until {
			return s.Windows[i]
		}
	}
	if n := len(s.Windows); n > 0 {
		return s.Windows[n-1]
	}
	return Window{Until: NoEnd, Outcome: contracts.OutcomeReject}
}

// PlanProfile is what the door needs of a plan.
type PlanProfile struct {
	Name          string
	Full, Reduced contracts.Profile
	Terms         *contracts.Plan // where usage or the time of day matters; otherwise nil
}

// grant is a service with its digest worked out ahead.
type grant struct {
	service nas.Service
	digest  nas.Digest
}

func newGrant(o contracts.Outcome, p contracts.Profile, plan string) *grant {
	s := nas.Service{Outcome: o, Profile: p, Plan: plan}
	return &grant{s, s.Digest()}
}

type planGrants struct {
	full, reduced *grant
	terms         *contracts.Plan // nil for a plain plan
	others        []*grant        // beside full and reduced, of other rates
}

// grant of an outcome, by the plan alone.
func (p *planGrants) grant(o contracts.Outcome) *grant {
	switch o {
	case contracts.OutcomeFull:
		return p.full
	case contracts.OutcomeReduced:
		return p.reduced
	}
	return nil
}

const directoryShards = 256

// Directory is every subscriber in memory: the projection of contracts that authentication reads. All methods may be
// called at any time from any goroutine.
type Directory struct {
	seed   maphash.Seed
	shards [directoryShards]struct {
		sync.RWMutex
		byLogin map[string]*Subscriber
		byMark  map[string]*Subscriber // accesses without a password; nil while there are none
	}
	size  atomic.Int64
	plans atomic.Pointer[map[contracts.PlanID]planGrants]
	// services are those that digests stand for, of the plans and of what they were.
	services atomic.Pointer[map[nas.Digest]nas.Service]
	fresh    atomic.Int64 // Unix nanoseconds; 0 = never

	marked   atomic.Int64 // entries of byMark
	accesses accessPages
	learning learning
}

// NewDirectory is an empty directory that has never been fresh.
func NewDirectory() *Directory {
	d := &Directory{seed: maphash.MakeSeed(), learning: learning{wake: make(chan struct{}, 1)}}
	for i := range d.shards {
		d.shards[i].byLogin = map[string]*Subscriber{}
	}
	d.plans.Store(&map[contracts.PlanID]planGrants{})
	d.services.Store(&map[nas.Digest]nas.Service{})
	return d
}

// Put adds a subscriber or takes the place of the one with the same login.
func (d *Directory) Put(s *Subscriber) {
	sh := &d.shards[maphash.String(d.seed, s.Login)%directoryShards]
	sh.Lock()
	before, old := len(sh.byLogin), sh.byLogin[s.Login]
	// The map's key is the entry's own string: delete first, or the key would keep the old entry's bytes alive.
	delete(sh.byLogin, s.Login)
	sh.byLogin[s.Login] = s
	d.accesses.follow(old, s)
	d.size.Add(int64(len(sh.byLogin) - before))
	sh.Unlock()
	if s.Line != nil || old != nil && old.Line != nil {
		d.index(old, s)
		d.learning.settle(s)
	}
}

// Remove forgets a login.
func (d *Directory) Remove(login string) {
	sh := &d.shards[maphash.String(d.seed, login)%directoryShards]
	sh.Lock()
	before, old := len(sh.byLogin), sh.byLogin[login]
	delete(sh.byLogin, login)
	d.accesses.follow(old, nil)
	d.size.Add(int64(len(sh.byLogin) - before))
	sh.Unlock()
	d.index(old, nil)
}

// Lookup finds a login, byte for byte; nil when there is none. It does not allocate.
func (d *Directory) Lookup(login []byte) *Subscriber {
	sh := &d.shards[maphash.Bytes(d.seed, login)%directoryShards]
	sh.RLock()
	s := sh.byLogin[string(login)]
	sh.RUnlock()
	return s
}

// Retain removes every subscriber that keep refuses: what is left over after a full reload.
func (d *Directory) Retain(keep func(*Subscriber) bool) {
	for i := range d.shards {
		sh := &d.shards[i]
		sh.Lock()
		before := len(sh.byLogin)
		var gone []*Subscriber
		maps.DeleteFunc(sh.byLogin, func(_ string, s *Subscriber) bool {
			if keep(s) {
				return false
			}
			d.accesses.follow(s, nil)
			if s.Line != nil {
				gone = append(gone, s)
			}
			return true
		})
		d.size.Add(int64(len(sh.byLogin) - before))
		sh.Unlock()
		for _, s := range gone {
			d.index(s, nil)
		}
	}
}

// All yields every subscriber, in no order. The directory may change meanwhile.
func (d *Directory) All(yield func(*Subscriber) bool) {
	var batch []*Subscriber
	for i := range d.shards {
		sh := &d.shards[i]
		batch = batch[:0]
		sh.RLock()
		for _, s := range sh.byLogin {
			batch = append(batch, s)
		}
		sh.RUnlock()
		for _, s := range batch {
			if !yield(s) {
				return
			}
		}
	}
}

// Len is how many logins there are.
func (d *Directory) Len() int { return int(d.size.Load()) }

// SetPlans replaces what every plan means.
func (d *Directory) SetPlans(plans map[contracts.PlanID]PlanProfile) {
	m := make(map[contracts.PlanID]planGrants, len(plans))
	for id, p := range plans {
		g := planGrants{
			full:    newGrant(contracts.OutcomeFull, p.Full, p.Name),
			reduced: newGrant(contracts.OutcomeReduced, p.Reduced, p.Name),
			terms:   p.Terms,
		}
		if p.Terms != nil {
			full, reduced := p.Terms.Profiles()
			for _, rates := range full {
				g.others = append(g.others, newGrant(contracts.OutcomeFull, rates, p.Name))
			}
			for _, rates := range reduced {
				g.others = append(g.others, newGrant(contracts.OutcomeReduced, rates, p.Name))
			}
		}
		m[id] = g
	}
	d.plans.Store(&m)
	d.remember(m)
}

// SetFresh says that the directory held everything that was known at t.
func (d *Directory) SetFresh(t time.Time) { d.fresh.Store(t.UnixNano()) }

// Age is how long ago the directory was fresh; the longest of durations when it never was.
func (d *Directory) Age(now time.Time) time.Duration {
	f := d.fresh.Load()
	if f == 0 {
		return math.MaxInt64
	}
	return max(0, time.Duration(now.UnixNano()-f))
}

// ServiceAt is what a subscriber may have at now: the service that an Access-Accept would grant, or REJECT. ok is false
// when the window names a plan that the directory does not know.
func (d *Directory) ServiceAt(s *Subscriber, now time.Time, garden nas.Garden) (service nas.Service, ok bool) {
	w, g := d.decide(s, now)
	if w.Disabled || w.Outcome == contracts.OutcomeReject {
		return nas.Service{Outcome: contracts.OutcomeReject}, true
	}
	if w.Outcome == contracts.OutcomeWalled {
		return nas.Service{Outcome: w.Outcome, Profile: garden.Profile, Plan: d.planName(w.Plan)}, true
	}
	if g == nil {
		return nas.Service{}, false
	}
	return g.service, true
}

// LoginTakes bounds the time from an Access-Accept to the Start of its session.
const LoginTakes = time.Minute

// GrantedAt is the service that a session begun at start was granted, where that follows without its Class: none was
// foreseen or decided anew for a minute before. false where it does not follow.
func (d *Directory) GrantedAt(s *Subscriber, start time.Time, garden nas.Garden) (nas.Service, bool) {
	since, t := int64(s.Since), start.Unix()
	for i := range s.Windows {
		if t < s.Windows[i].Until {
			break
		}
		since = s.Windows[i].Until
	}
	if s.Meter.meter != nil || since == 0 || since > start.Add(-LoginTakes).Unix() {
		return nas.Service{}, false
	}
	service, ok := d.ServiceAt(s, start, garden)
	return service, ok && service.Outcome != contracts.OutcomeReject
}

// ServiceOf is the service that a digest stands for, of those that the plans have or had since the start; false for
// another, and for the walled garden's.
func (d *Directory) ServiceOf(digest nas.Digest) (nas.Service, bool) {
	s, ok := (*d.services.Load())[digest]
	return s, ok
}

// maxServices bounds the services that are remembered of plans as they were.
const maxServices = 100_000

// remember keeps the services of plans beside those of before.
func (d *Directory) remember(plans map[contracts.PlanID]planGrants) {
	was := *d.services.Load()
	if len(was) > maxServices {
		was = nil
	}
	services := maps.Clone(was)
	if services == nil {
		services = map[nas.Digest]nas.Service{}
	}
	for _, p := range plans {
		for _, g := range append([]*grant{p.full, p.reduced}, p.others...) {
			services[g.digest] = g.service
		}
	}
	d.services.Store(&services)
}

// ServicesOf a plan: full, reduced, and those of its allowance and hours; none for a plan that is not known.
func (d *Directory) ServicesOf(id contracts.PlanID) []nas.Service {
	p, ok := (*d.plans.Load())[id]
	if !ok {
		return nil
	}
	services := []nas.Service{p.full.service, p.reduced.service}
	for _, g := range p.others {
		services = append(services, g.service)
	}
	return services
}

func (d *Directory) planName(id contracts.PlanID) string {
	if p, ok := (*d.plans.Load())[id]; ok {
		return p.full.service.Plan
	}
	return ""
}
