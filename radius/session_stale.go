package radius

import (
	"slices"
	"sync/atomic"
	"time"

	"enlace/nas"
)

// A session is stale when its device has gone on reporting others while it should have reported this one three times.
// Stale sessions are open, but nothing is held against them: they do not count for limits. Any record ends it.
//
// Silence is measured from when the device was heard of without a gap, so that an outage of the device's path, or ours,
// is no evidence against any session. A device that says nothing at all for an hour while we listened is taken to be
// away, with its sessions.
const (
	staleIntervals = 3
	deviceSilence  = time.Hour
	closeAfter     = 24 * time.Hour // a session that has been stale for so long is closed, as of when it was last seen
	leastInterval  = time.Minute
	pathGap        = 10 * time.Minute // of a device, or two of its intervals where that is longer
	closingsMost   = 2000             // in one sweep
	sweepGap       = 3 * time.Minute  // between two sweeps: we were not listening
)

// Attention is what the table notes of an open session beside what its records say. It is not in the database.
type Attention struct {
	Heard int64     // by our clock, Unix seconds: its newest record
	Gaps  [4]uint16 // the last gaps between its records, in units of two seconds
	Quiet bool      // it is stale
	// Hearsay says that Heard is what storage said: no record of it has come to this node itself since.
	Hearsay bool
}

// interval is how far apart the session's records have been lately, but for one that was lost and for records that
// something else than time occasioned; 0 until there are enough of them.
func (a *Attention) interval() time.Duration {
	gaps := a.Gaps
	slices.Sort(gaps[:])
	if gaps[0] == 0 {
		return 0
	}
	return time.Duration(gaps[len(gaps)-2]) * 2 * time.Second
}

// sent is when a record was sent, by our clock.
func (r *Record) sent() time.Time {
	if r.Sent.IsZero() {
		return r.Received
	}
	return r.Sent
}

// hear takes a record as a sign of life. A record that was sent before the newest one is none.
func (a *Attention) hear(sent, listening int64) {
	if sent <= a.Heard {
		return
	}
	if gap := sent - a.Heard; a.Heard >= listening {
		copy(a.Gaps[:], a.Gaps[1:])
		a.Gaps[len(a.Gaps)-1] = uint16(min(max(gap/2, 1), 1<<16-1))
	}
	a.Heard, a.Quiet, a.Hearsay = sent, false, false
}

// life is what the table knows of a device. Instants are Unix seconds by our clock.
type life struct {
	open, stale atomic.Int64
	heard       atomic.Int64 // its newest record
	since       atomic.Int64 // it has been heard of without a gap since
	interval    atomic.Int64 // time.Duration: median of its sessions, or what it is asked for; 0: not known yet
}

// hear notes that a device was heard of.
func (l *life) hear(at int64) {
	before := l.heard.Load()
	if at <= before {
		return
	}
	if at-before > int64(max(pathGap, 2*time.Duration(l.interval.Load()))/time.Second) {
		l.since.Store(at)
	}
	l.heard.Store(at)
}

// Resume says that listening begins, or begins anew: silence before now is no evidence against a session.
func (t *Sessions) Resume(now time.Time) { t.listening.Store(now.Unix()) }

// Sweep looks for stale sessions at now and returns those that have been stale for so long that they are to be closed,
// as of their LastSeen. device is how a device is configured, false when it is not known any more. It is called every
// few seconds; a longer pause counts as one in listening.
func (t *Sessions) Sweep(now time.Time, device func(nas.DeviceID) (*nas.Device, bool)) (over []Session) {
	if last := t.swept.Swap(now.Unix()); last != 0 && (now.Unix() < last || now.Unix()-last > int64(sweepGap/time.Second)) {
		t.Resume(now)
	}
	s := sweep{now: now.Unix(), listening: t.listening.Load(), lives: map[nas.DeviceID]*verdict{}, device: device, t: t}
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.RLock()
		var changed []nas.SessionKey
		for key, l := range sh.byKey {
			if n := len(l); n == 0 || !l[n-1].Open() {
				continue
			}
			o := &l[len(l)-1]
			stale, long := s.judge(o)
			if stale != o.Quiet {
				changed = append(changed, key)
			}
			if stale && long && len(over) < closingsMost {
				over = append(over, *o)
			}
		}
		sh.mu.RUnlock()
		if len(changed) == 0 {
			continue
		}
		sh.mu.Lock()
		for _, key := range changed {
			l := sh.byKey[key]
			if n := len(l); n > 0 && l[n-1].Open() {
				before := l[n-1]
				l[n-1].Quiet, _ = s.judge(&l[n-1])
				t.count(&before, &l[n-1])
			}
		}
		sh.mu.Unlock()
	}
	for _, v := range s.lives {
		v.learn()
	}
	return over
}

type sweep struct {
	now, listening int64
	lives          map[nas.DeviceID]*verdict
	device         func(nas.DeviceID) (*nas.Device, bool)
	t              *Sessions
}

// verdict is what a sweep thinks of a device.
type verdict struct {
	life     *life
	interval time.Duration
	asked    time.Duration
	away     bool
	samples  []time.Duration
}

const samplesMost = 501

func (s *sweep) of(id nas.DeviceID) *verdict {
	if v := s.lives[id]; v != nil {
		return v
	}
	v := &verdict{life: s.t.life(id), asked: 5 * time.Minute}
	if d, ok := s.device(id); ok {
		v.asked = time.Duration(d.InterimSeconds) * time.Second
	}
	v.interval = time.Duration(v.life.interval.Load())
	if v.interval == 0 {
		v.interval = v.asked
	}
	v.away = s.now-max(v.life.heard.Load(), s.listening) > seconds(deviceSilence)
	s.lives[id] = v
	return v
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// judge says whether a session is stale, and whether it has been for long.
func (s *sweep) judge(o *Session) (stale, long bool) {
	v := s.of(o.Key.Device)
	own := o.interval()
	if own > 0 && len(v.samples) < samplesMost {
		v.samples = append(v.samples, own)
	}
	interval := max(own, v.interval, leastInterval)
	silence, allowed := v.life.heard.Load()-max(o.Heard, v.life.since.Load(), s.listening), seconds(staleIntervals*interval)
	if v.away {
		silence, allowed = s.now-max(o.Heard, s.listening), max(allowed, seconds(deviceSilence))
	}
	return silence > allowed, silence > allowed+seconds(closeAfter)
}

// learn takes the median of the intervals that the device's sessions were heard at.
func (v *verdict) learn() {
	learned := v.asked
	if len(v.samples) >= 3 {
		slices.Sort(v.samples)
		learned = v.samples[len(v.samples)/2]
	}
	v.life.interval.Store(int64(learned))
}

// Stale reports whether the session is open and its device no longer reports it. It is known of sessions in a table.
func (s *Session) Stale() bool { return s.Open() && s.Quiet }

// Attend gives a session that was read from storage what the table notes of it: whether it is stale.
func (t *Sessions) Attend(s *Session) {
	if known, ok := t.Get(s.Key); ok {
		s.Attention = known.Attention
	}
}

// StaleCount is how many of the open sessions are stale.
func (t *Sessions) StaleCount() int {
	n := 0
	t.devices.Range(func(_, l any) bool {
		n += int(l.(*life).stale.Load())
		return true
	})
	return n
}
