package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// methods are the ways to change a session, the mildest first: each is tried when the one before did not do.
var methods = []nas.Method{nas.CoA, nas.Disconnect, nas.ViaAPI}

// stronger is the one of two methods that comes later.
func stronger(a, b nas.Method) nas.Method {
	if slices.Index(methods, a) >= slices.Index(methods, b) {
		return a
	}
	return b
}

// canTell reports whether a device can be told anything.
func (r *Reconciler) canTell(dev *nas.Device) bool {
	return dev != nil && (dev.CoA.IsValid() || r.hasAPI(dev))
}

func (r *Reconciler) hasAPI(dev *nas.Device) bool {
	return dev != nil && r.cfg.API != nil && dev.API.Known()
}

// method is how a command is given that by the dialect would be given as planned: what failed for this service, or has
// often been acknowledged without effect by this device, is passed over. Without a CoA address there is only the API.
func (r *Reconciler) method(s *session, dev *nas.Device, planned nas.Method) nas.Method {
	m := planned
	if s.instead != 0 && s.instead == s.want.Digest() {
		m = stronger(m, s.insteadBy)
	}
	m = stronger(m, s.lane.distrust.from(changeOf(s.applied, s.want)))
	switch {
	case !dev.CoA.IsValid():
		return nas.ViaAPI
	case m == nas.ViaAPI && !r.hasAPI(dev):
		return nas.Disconnect
	}
	return m
}

// escalate has the next method tried where one did not do; with none left the difference is given up.
func (r *Reconciler) escalate(j *job, why string) {
	s, next := j.s, nas.None
	if i := slices.Index(methods, j.rec.Method); i+1 < len(methods) {
		next = methods[i+1]
	}
	if next == nas.None || next == nas.ViaAPI && !r.hasAPI(s.lane.device) {
		r.giveUp(s, why)
		return
	}
	if j.order != nil {
		if s.order == nil {
			s.order = &order{actor: j.order.actor, reason: j.order.reason, by: next, why: why}
		}
		return
	}
	s.instead, s.insteadBy, s.insteadWhy = j.want.Digest(), next, why
}

// apiPatience bounds a call of a device's API, and apiCalls how many are under way on one device.
const (
	apiPatience = 30 * time.Second
	apiCalls    = 4
)

// errNoRoom says that the device's API was busy for too long.
var errNoRoom = errors.New("too many calls of its API are under way")

// callAPI has the device's API bring the session to the service wanted.
func (l *lane) callAPI(ctx context.Context, j *job, dev *nas.Device) (answer, int, error) {
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	select {
	case l.calls <- struct{}{}:
		defer func() { <-l.calls }()
	case <-ctx.Done():
		return answer{}, 0, errNoRoom
	}
	if err := l.r.cfg.API(ctx, dev, j.session, j.want); err != nil {
		return answer{}, 1, &apiError{err}
	}
	return answer{ack: true}, 1, nil
}

// apiError is the failure of a device's API.
type apiError struct{ err error }

func (e *apiError) Error() string { return fmt.Sprintf("the device's API: %v", e.err) }
func (e *apiError) Unwrap() error { return e.err }

// ends reports whether a command, once it is obeyed, leaves no session.
func (j *job) ends() bool {
	return j.rec.Method == nas.Disconnect || j.order != nil || j.want.Outcome == contracts.OutcomeReject
}
