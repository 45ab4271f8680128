package radius

import (
	"hash/maphash"
	"time"

	"enlace/nas"
)

const (
	redialSlots       = 4096 // per worker of a socket
	redialSlotsRadSec = 256  // per connection, of which there may be many
	redialFor         = time.Minute
)

// redials are the logins that a worker lately refused for what their contract is, whatever they prove themselves with: a
// subscriber's router dials again every few seconds, all day. Such a login is not verified again while nothing that
// decides has changed (the same Subscriber in the same window, asking by the same device and from the same station), and
// its reply waits for the delay of refusals, which slows the dialling down. One that may be granted something
// is never looked up here.
type redials struct {
	slots []redial // by hash; nil until there is one
}

type redial struct {
	who        uint64 // hash of login, device and station
	subscriber *Subscriber
	window     Window
	why        Reason
	detail     string
	at         time.Duration
}

// who is a login at a device and a station.
func who(seed maphash.Seed, login []byte, d nas.DeviceID, station []byte) uint64 {
	return maphash.Bytes(seed, login) ^ 31*maphash.Bytes(seed, station) ^ 0x9e3779b97f4a7c15*uint64(d)
}

// redialed refuses a login again that was refused lately; ok is false when it is to be decided on.
func (w *worker) redialed(d *device, v View, a *ask, p *packet, digest uint64) (reply []byte, ok bool) {
	if w.redials.slots == nil {
		return nil, false
	}
	id := who(w.door.seed, a.login, d.ID, a.callingStation)
	r := &w.redials.slots[id%uint64(len(w.redials.slots))]
	if r.who != id || p.tick-r.at > redialFor {
		return nil, false
	}
	s := w.door.directory.Lookup(a.login)
	if s == nil || s != r.subscriber || s.At(p.now) != r.window {
		*r = redial{}
		return nil, false
	}
	r.at = p.tick
	w.recordRefusal(d, a, p, r.why, r.detail)
	return w.reject(d, v, a, p, digest, r.why, true), true
}

// refuseContract refuses a login that has proved itself, for what its contract is now.
func (w *worker) refuseContract(d *device, v View, a *ask, p *packet, digest uint64, s *Subscriber, window Window, why Reason, detail string) []byte {
	// An access with a line can be somebody else's the next time, and its bindings are looked at first.
	if s.Line == nil {
		if w.redials.slots == nil {
			n := redialSlots
			if w.port == portRadSec {
				n = redialSlotsRadSec
			}
			w.redials.slots = make([]redial, n)
		}
		id := who(w.door.seed, a.login, d.ID, a.callingStation)
		w.redials.slots[id%uint64(len(w.redials.slots))] = redial{id, s, window, why, detail, p.tick}
	}
	return w.refuse(d, v, a, p, digest, why, detail)
}
