package control

import (
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// change is a kind of change that a device may acknowledge without doing it.
type change uint8

const (
	ratesChange change = iota // other rates
	wallChange                // into the walled garden or out of it
	changes
)

func (c change) String() string { return [changes]string{"rates", "wall"}[c] }

func changeOf(have nas.Digest, want nas.Service) change {
	const walled = contracts.OutcomeWalled
	if (have.Outcome() == walled) != (want.Outcome == walled) {
		return wallChange
	}
	return ratesChange
}

// A device that acknowledges a kind of change without effect this often within this time, and is not seen doing it in
// between, is not asked for it so any more.
const (
	distrustAfter  = 3
	distrustWithin = time.Hour
)

// distrust is what a device has been caught at. The Reconciler's lock guards it.
type distrust struct {
	caught map[suspicion][]time.Time // real clock; of the last hour
	begin  [changes]nas.Method       // the method that is begun with; None: the dialect's
}

type suspicion struct {
	change change
	method nas.Method
}

func (d *distrust) from(c change) nas.Method { return d.begin[c] }

// note takes in that a change had no effect. It reports whether from now on the method next is begun with.
func (d *distrust) note(c change, m, next nas.Method, now time.Time) bool {
	if d.caught == nil {
		d.caught = map[suspicion][]time.Time{}
	}
	key, recent := suspicion{c, m}, []time.Time(nil)
	for _, t := range d.caught[key] {
		if now.Sub(t) < distrustWithin {
			recent = append(recent, t)
		}
	}
	d.caught[key] = append(recent, now)
	if len(d.caught[key]) < distrustAfter || stronger(d.begin[c], next) == d.begin[c] {
		return false
	}
	d.begin[c] = next
	return true
}

// worked takes in that a change was seen to be done: what looks otherwise of some sessions may be how they are used.
func (d *distrust) worked(c change, m nas.Method) { delete(d.caught, suspicion{c, m}) }

// suspect counts a change without effect against its device.
func (r *Reconciler) suspect(l *lane, c change, m nas.Method) {
	t := l.tally()
	t.ignored.WithLabelValues(string(m)).Inc()
	next := nas.Disconnect
	if m == nas.Disconnect {
		next = nas.ViaAPI
		if !r.hasAPI(l.device) {
			return
		}
	}
	if m == nas.ViaAPI || !l.distrust.note(c, m, next, time.Now()) {
		return
	}
	t.distrusted.WithLabelValues(c.String()).Set(1)
	r.cfg.Log.Warn().Str("device", t.device).Str("change", c.String()).Str("method", string(m)).Str("instead", string(next)).
		Msg("the device acknowledges this change without effect again and again; another method is begun with until it is probed or its settings change")
}

// Forgive forgets what a device was caught at, such as after a probe has found that it does what it acknowledges: the
// mildest method is begun with again, and the session is named as its dialect has it.
func (r *Reconciler) Forgive(id nas.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lanes[id]; l != nil {
		l.forgive()
	}
}

func (l *lane) forgive() {
	l.distrust, l.form, l.forms = distrust{}, byDialect, [byAll + 1]uint8{}
	clear(l.denied)
	l.answers = false
	for c := range changes {
		l.tally().distrusted.WithLabelValues(c.String()).Set(0)
	}
}

// settings are those of a device by which it may be another one.
type settings struct {
	dialect, identifier, model string
	coa, api                   string
}

func settingsOf(d *nas.Device) settings {
	return settings{d.Dialect, d.NASIdentifier, d.Site.Model, d.CoA.String(), d.API.Addr.String()}
}

// know takes in the device as it is configured now. nil: it is not known.
func (l *lane) know(d *nas.Device) {
	if d != nil && d != l.device {
		if now := settingsOf(d); now != l.settings {
			if l.settings != (settings{}) {
				l.device = d
				l.forgive()
			}
			l.settings = now
		}
	}
	l.device = d
}
