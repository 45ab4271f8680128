package control

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/nas"
)

// wave is a mass change under way, or one that has ended. The Reconciler's lock guards it.
type wave struct {
	id           int64
	began, ended time.Time // the clock's
	total        nas.WaveCount
	devices      map[nas.DeviceID]*deviceWave
}

// deviceWave is a device's part, with what its pace is seen to be: since is when it was last let go on, settled what
// had been done or had failed by then.
type deviceWave struct {
	nas.WaveCount
	since   time.Time // real clock
	settled int
	sent    int // datagrams
	told    int // commands that they were
}

// part is what a session counts as in its wave.
type part uint8

const (
	noPart part = iota
	waiting
	inFlight
	done
	failed
)

func of(c *nas.WaveCount, p part) *int {
	switch p {
	case waiting:
		return &c.Waiting
	case inFlight:
		return &c.InFlight
	case done:
		return &c.Done
	}
	return &c.Failed
}

// track counts a session as pending while a difference is to be closed, and in the wave as what it is now. It begins the
// wave when enough are pending, and ends it when none of its own is.
func (r *Reconciler) track(s *session) {
	pending := s.differs && !s.gone && !s.givenUp
	_, was := r.pending[s]
	switch {
	case pending && !was:
		r.pending[s] = struct{}{}
		s.lane.pending++
		if r.wave == nil && len(r.pending) >= r.cfg.WaveOf {
			r.beginWave()
			return
		}
	case !pending && was:
		delete(r.pending, s)
		s.lane.pending--
	}
	switch {
	case r.wave == nil:
	case pending:
		r.wave.count(s, pendingPart(s))
	case s.wave != r.wave:
	case s.differs && !s.gone:
		r.settled(s, failed)
	default:
		r.settled(s, done)
	}
	if w := r.wave; w != nil && w.total.Waiting+w.total.InFlight == 0 {
		r.endWave()
	}
}

func (r *Reconciler) settled(s *session, p part) {
	if s.part == waiting || s.part == inFlight {
		r.metrics.settled.Inc()
	}
	r.wave.count(s, p)
}

func pendingPart(s *session) part {
	if s.busy || !s.disconnectedAt.IsZero() {
		return inFlight
	}
	return waiting
}

// count has a session counted as p, and no longer as what it was.
func (w *wave) count(s *session, p part) {
	if s.wave != w {
		s.wave, s.part = w, noPart
	}
	if s.part == p {
		return
	}
	d := w.devices[s.Key.Device]
	if d == nil {
		d = &deviceWave{since: time.Now()}
		w.devices[s.Key.Device] = d
	}
	for _, c := range [...]*nas.WaveCount{&w.total, &d.WaveCount} {
		if s.part == noPart {
			c.Total++
		} else {
			*of(c, s.part)--
		}
		*of(c, p)++
	}
	s.part = p
}

// told takes in how many datagrams a command was.
func (w *wave) told(s *session, datagrams int) {
	if w == nil || s.wave != w || datagrams == 0 {
		return
	}
	d := w.devices[s.Key.Device]
	d.sent += datagrams
	d.told++
}

func (r *Reconciler) beginWave() {
	r.waveCount++
	w := &wave{id: r.waveCount, began: r.cfg.Now(), devices: map[nas.DeviceID]*deviceWave{}}
	r.wave = w
	for s := range r.pending {
		w.count(s, pendingPart(s))
	}
	r.cfg.Log.Info().Int64("wave", w.id).Int("sessions", w.total.Total).Msg("many sessions differ at once: a mass change begins")
}

func (r *Reconciler) endWave() {
	w := r.wave
	r.wave, w.ended = nil, r.cfg.Now()
	r.past = append(r.past, w)
	if len(r.past) > keptWaves {
		r.past = slices.Delete(r.past, 0, len(r.past)-keptWaves)
	}
	r.metrics.waves.Inc()
	r.cfg.Log.Info().Int64("wave", w.id).Int("done", w.total.Done).Int("failed", w.total.Failed).Msg("the mass change has ended")
}

// keptWaves bounds the waves that are remembered after their end.
const keptWaves = 20

// Waves are the mass changes of this node since its start: the one under way, if there is one, and the last that have ended,
// newest first.
func (r *Reconciler) Waves() []nas.Wave {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []nas.Wave
	if r.wave != nil {
		out = append(out, r.shown(r.wave))
	}
	for _, w := range slices.Backward(r.past) {
		out = append(out, r.shown(w))
	}
	return out
}

func (r *Reconciler) shown(w *wave) nas.Wave {
	v := nas.Wave{ID: w.id, Began: w.began, Ended: w.ended, WaveCount: w.total}
	for id, d := range w.devices {
		part := nas.DeviceWave{Device: id, WaveCount: d.WaveCount, Paused: r.isPaused(id)}
		if w.ended.IsZero() {
			part.ETA = r.eta(id, d)
		}
		v.ETA = max(v.ETA, part.ETA)
		v.Devices = append(v.Devices, part)
	}
	slices.SortFunc(v.Devices, func(a, b nas.DeviceWave) int {
		return cmp.Or(cmp.Compare(b.ETA, a.ETA), cmp.Compare(b.Total, a.Total), cmp.Compare(a.Device, b.Device))
	})
	return v
}

// eta is how long a device will take for what is left: at its rate, each command being as many datagrams as they were so
// far; or as slowly as it has been seen to answer.
func (r *Reconciler) eta(id nas.DeviceID, d *deviceWave) time.Duration {
	left := float64(d.Waiting + d.InFlight)
	if left == 0 {
		return 0
	}
	rate := 1.0
	if l := r.lanes[id]; l != nil && l.device != nil {
		rate = float64(max(l.device.CommandsPerSecond, 1))
	}
	if d.told > 0 {
		rate *= float64(d.told) / float64(d.sent)
	}
	settled := float64(d.Done + d.Failed - d.settled)
	if watched := time.Since(d.since).Seconds(); watched >= 10 && settled > 0 && !r.isPaused(id) {
		rate = min(rate, settled/watched)
	}
	return time.Duration(left / rate * float64(time.Second)).Round(time.Second)
}

// SetPauses says what is paused from now on, in place of what was: while all or a device is, only commands that restore
// service go there, and those that a person orders. What is in flight is not called back.
func (r *Reconciler) SetPauses(pauses []nas.Pause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pauses = slices.Clone(pauses)
	r.metrics.pauses.Set(float64(len(pauses)))
	for _, l := range r.lanes {
		l.paused = r.isPaused(l.id)
		l.wakeUp()
	}
	if r.wave != nil {
		for _, d := range r.wave.devices {
			d.since, d.settled = time.Now(), d.Done+d.Failed
		}
	}
}

// Pauses is what SetPauses said last.
func (r *Reconciler) Pauses() []nas.Pause {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.pauses)
}

func (r *Reconciler) isPaused(id nas.DeviceID) bool {
	return slices.ContainsFunc(r.pauses, func(p nas.Pause) bool { return p.Device == 0 || p.Device == id })
}

var (
	waveActive   = prometheus.NewDesc("enlace_wave_active", "1 while a mass change is under way.", nil, nil)
	waveSessions = prometheus.NewDesc("enlace_wave_sessions", "Sessions of the mass change under way, by state: waiting, in_flight, done, failed.",
		[]string{"device", "state"}, nil)
	waveETA = prometheus.NewDesc("enlace_wave_eta_seconds", "How long the mass change under way will take, as if nothing were paused.", nil, nil)
)

// waveCollector exposes the wave under way.
type waveCollector struct{ r *Reconciler }

func (c waveCollector) Describe(to chan<- *prometheus.Desc) {
	to <- waveActive
	to <- waveSessions
	to <- waveETA
}

func (c waveCollector) Collect(to chan<- prometheus.Metric) {
	r := c.r
	r.mu.Lock()
	var v *nas.Wave
	names := map[string]nas.WaveCount{} // devices that are gone may have equal names
	if r.wave != nil {
		shown := r.shown(r.wave)
		v = &shown
		for _, d := range v.Devices {
			name := "device " + strconv.FormatInt(int64(d.Device), 10)
			if l := r.lanes[d.Device]; l != nil && l.device != nil {
				name = l.device.Name
			}
			n := names[name]
			names[name] = nas.WaveCount{Waiting: n.Waiting + d.Waiting, InFlight: n.InFlight + d.InFlight, Done: n.Done + d.Done, Failed: n.Failed + d.Failed}
		}
	}
	r.mu.Unlock()
	if v == nil {
		to <- prometheus.MustNewConstMetric(waveActive, prometheus.GaugeValue, 0)
		return
	}
	to <- prometheus.MustNewConstMetric(waveActive, prometheus.GaugeValue, 1)
	to <- prometheus.MustNewConstMetric(waveETA, prometheus.GaugeValue, v.ETA.Seconds())
	for name, n := range names {
		for state, count := range map[string]int{"waiting": n.Waiting, "in_flight": n.InFlight, "done": n.Done, "failed": n.Failed} {
			to <- prometheus.MustNewConstMetric(waveSessions, prometheus.GaugeValue, float64(count), name, state)
		}
	}
}
