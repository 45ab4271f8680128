package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"enlace/contracts"
	"enlace/nas"
)

// lane is one device's commands: who is next, how fast, and the socket. What is queued is sessions, not commands: the
// command follows from what the session should have when its turn comes. The Reconciler's lock guards all but peer and counts, which are the lane's own goroutine's.
type lane struct {
	r      *Reconciler
	id     nas.DeviceID
	device *nas.Device // as it was last asked for; nil when it is not known
	first  queue       // restoring: in order of arrival
	rest   queue       // in random order, so that no neighbourhood is always the last
	paused bool
	wake   chan struct{}
	counts *tally
	load

	granted []*session // of rest: may be commanded, in this order

	settings settings // of device
	distrust distrust
	form     form                // how the device knows its sessions
	forms    [byAll + 1]uint8    // how often it has known one so, where that is not form
	denied   map[string]struct{} // ids of sessions that it said it does not have
	answers  bool                // CoA-Requests were answered
	calls    chan struct{}       // of its API, under way

	pace *pace
	peer *peer
}

func newLane(r *Reconciler, id nas.DeviceID) *lane {
	l := &lane{r: r, id: id, wake: make(chan struct{}, 1), calls: make(chan struct{}, apiCalls)}
	l.pace = &pace{restores: func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return l.first.len() > 0
	}}
	l.pace.set(1)
	return l
}

// put queues a session, or moves it to the other queue.
func (l *lane) put(s *session, first bool) {
	q := &l.rest
	if first {
		q = &l.first
	}
	if s.line == q {
		return
	}
	l.drop(s)
	q.put(s)
	l.wakeUp()
}

// drop takes a session out of its queue.
func (l *lane) drop(s *session) {
	if s.line != nil {
		s.line.drop(s, s.line == &l.first)
	}
}

func (l *lane) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// tally is the device's metrics, under its present name.
func (l *lane) tally() *tally {
	name := "device " + strconv.FormatInt(int64(l.id), 10)
	if l.device != nil {
		name = l.device.Name
	}
	if l.counts == nil || l.counts.device != name {
		l.counts = l.r.metrics.of(name)
	}
	return l.counts
}

// flights bounds the commands of one device that are under way; identifiers end at 256.
const flights = 200

// run sends until ctx ends.
func (l *lane) run(ctx context.Context) {
	var flying sync.WaitGroup
	defer func() {
		flying.Wait()
		if l.peer != nil {
			l.peer.close()
			l.peer = nil
		}
	}()
	room := make(chan struct{}, flights)
	for {
		if !l.waiting() {
			select {
			case <-l.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		dev, ok := l.r.cfg.Device(l.id)
		if !ok {
			dev = nil
		} else {
			l.pace.set(float64(max(dev.CommandsPerSecond, 1)) * l.r.share())
		}
		if ok && l.r.canTell(dev) && !l.claim(ctx, dev) {
			<-room
			continue
		}
		if ok && l.r.canTell(dev) && l.pace.wait(ctx, true) != nil {
			return
		}
		job := l.take(dev)
		if job == nil {
			<-room
			continue
		}
		if job.rec.Method != nas.ViaAPI && (l.peer == nil || l.peer.addr != dev.CoA) {
			if l.peer != nil {
				l.peer.close()
			}
			var err error
			if l.peer, err = dial(dev.CoA, l.pace); err != nil {
				l.r.cfg.Log.Error().Err(err).Str("device", dev.Name).Msg("no socket for commands")
				l.r.finish(outcome{job: job, err: err})
				<-room
				continue
			}
		}
		peer := l.peer
		flying.Go(func() {
			defer func() { <-room }()
			l.flying.Add(1)
			l.r.metrics.inFlight.Inc()
			ctx, cancel := job.bounded(ctx)
			defer cancel()
			l.r.announce(job)
			a, attempts, err := l.send(ctx, job, dev, peer)
			if errors.Is(err, context.DeadlineExceeded) {
				err = errTimeout
			}
			l.r.metrics.inFlight.Dec()
			l.flying.Add(-1)
			l.r.finish(outcome{job, a, attempts, err})
		})
	}
}

// send has the device do it, and waits for its answer.
func (l *lane) send(ctx context.Context, j *job, dev *nas.Device, p *peer) (answer, int, error) {
	if j.rec.Method == nas.ViaAPI {
		return l.callAPI(ctx, j, dev)
	}
	return p.exchangeUnder(ctx, &sending{code: j.code, packets: j.packets, retry: l.r.cfg.Retry, leave: true,
		late: func(a answer, last bool) { l.r.answeredLate(j, a, last) }}, dev)
}

func (l *lane) waiting() bool {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	return l.first.len() > 0 || l.rest.len() > 0 && !l.paused
}

// job is a command about to be sent.
type job struct {
	s       *session
	session nas.Session // as it was when the command was made
	want    nas.Service
	had     nas.Digest // what was applied before
	named   form
	class   bool      // it carries the service's Class
	since   time.Time // real clock: when the difference was noticed; zero for an order where nothing differs
	order   *order
	start   time.Time // the session's StartedAt
	probe   bool      // nothing follows but what Error-Cause 503 says
	rec     nas.CommandRecord
	code    radius.Code
	// packets are sent one after the other, each once the one before is acknowledged.
	packets   []radius.Attributes
	until     time.Time // real clock: nothing is sent after it; zero: there is no claim
	announced bool
}

// take picks the next session and plans its command; nil when, after all, there is nothing to send.
func (l *lane) take(dev *nas.Device) *job {
	r := l.r
	r.mu.Lock()
	defer r.mu.Unlock()
	l.know(dev)
	s := l.next(dev)
	if s == nil {
		return nil
	}
	l.drop(s)
	defer r.unclaim(s)
	if !r.canTell(dev) {
		s.order, s.probe = nil, ""
		r.settle(s)
		return nil
	}
	cmd, err := r.plan(s, dev)
	probe := s.order == nil && !s.differs && s.probe != ""
	why := s.probe
	s.probe = ""
	if probe && (err != nil || cmd.Method != nas.CoA) {
		r.settle(s) // it cannot be asked without ending the session
		return nil
	}
	if err != nil && r.hasAPI(dev) {
		cmd, err = nas.Command{Method: nas.ViaAPI}, nil
	}
	if err != nil {
		r.giveUp(s, "the service cannot be said: "+err.Error())
		l.tally().commands.WithLabelValues(string(nas.CoA), resultUnsayable).Inc()
		return nil
	}
	if cmd.Method == nas.None {
		r.settle(s)
		return nil
	}
	j := &job{s: s, session: s.Session, want: s.want, had: s.applied, named: s.named(), order: s.order, start: s.StartedAt, probe: probe, rec: r.newRecord(s, cmd.Method), code: radius.CodeCoARequest}
	if cmd.Method == nas.Disconnect {
		j.code = radius.CodeDisconnectRequest
	}
	if probe {
		j.rec.Reason = why
	}
	if s.differs {
		j.since = s.since
	}
	j.rec.SentAt = j.rec.RequestedAt
	if s.order != nil {
		j.want = nas.Service{Outcome: contracts.OutcomeReject}
	}
	for _, step := range cmd.Steps {
		j.packets = append(j.packets, append(r.identify(s, dev, j.named), step...))
	}
	if len(j.packets) == 0 {
		j.packets = []radius.Attributes{r.identify(s, dev, j.named)}
	}
	if cmd.Method == nas.CoA && !probe && s.Access != 0 && r.cfg.ReturnsClass(l.id) {
		j.class = true
		last := &j.packets[len(j.packets)-1]
		last.Add(rfc2865.Class_Type, nas.Cookie{Access: s.Access, Granted: s.want.Digest()}.Append(nil))
	}
	s.busy, s.trial, s.last = true, nil, j.rec.ID
	r.track(s)
	j.until = s.claimedUntil()
	r.cfg.Record(j.rec)
	return j
}

// plan is the session's command: a person's order, or what the dialect makes of the difference and what this device is
// known to do of that.
func (r *Reconciler) plan(s *session, dev *nas.Device) (nas.Command, error) {
	switch {
	case s.order != nil && (s.order.by == nas.ViaAPI || !dev.CoA.IsValid()):
		return nas.Command{Method: nas.ViaAPI}, nil
	case s.order != nil:
		return nas.Command{Method: nas.Disconnect}, nil
	case !s.differs && s.probe == "":
		return nas.Command{}, nil
	}
	d := r.cfg.Dialects.Named(dev.Dialect)
	if d == nil {
		return nas.Command{}, fmt.Errorf("the dialect %q is not known", dev.Dialect)
	}
	have := s.applied
	if !s.differs {
		have = 0 // to be told again what it has
	}
	cmd, err := nas.Plan(d, have, s.want)
	if err != nil || cmd.Method == nas.None {
		return cmd, err
	}
	if s.differs {
		cmd = dev.Conformance.Strategy(d).Command(cmd, have, s.want)
	}
	if m := r.method(s, dev, cmd.Method); m != cmd.Method {
		return nas.Command{Method: m}, nil
	}
	return cmd, nil
}

// newRecord begins the record of a session's command.
func (r *Reconciler) newRecord(s *session, m nas.Method) nas.CommandRecord {
	rec := nas.CommandRecord{
		ID: nas.CommandID(rand.Int64N(1<<63-1) + 1), Session: s.Key, Login: s.Login, Method: m,
		Want: s.want.String(), Reason: s.reason(), Actor: "system", RequestedAt: r.cfg.Now(),
	}
	if f := s.named(); f != s.lane.form {
		rec.Reason += "; " + f.String()
	}
	if s.order != nil {
		rec.Actor, rec.Reason, rec.Want = s.order.actor, s.order.reason, "no session"
		if s.order.why != "" {
			rec.Reason += "; " + s.order.why
		}
	}
	return rec
}
