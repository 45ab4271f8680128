package nas

import "time"

// Observation is what has been seen of a device's Access-Requests over UDP: the evidence on which the policies of
// CVE-2024-3596 learn, and on which an operator decides to make them strict. Retransmissions count once.
type Observation struct {
	Since time.Time // what came before does not count; another Since is another observation
	// Signed and Unsigned count requests with a valid Message-Authenticator and with none, LastUnsigned is when the latest
	// of the latter came.
	Signed, Unsigned uint64
	LastUnsigned     time.Time
	// UnsignedProxied counts those of Unsigned that carried Proxy-State.
	UnsignedProxied     uint64
	LastUnsignedProxied time.Time

	Signs       bool // has sent a valid Message-Authenticator; with LearnMA it is required from then on
	ProxiesBare bool // was seen, while LearnProxyState learned, to be a proxy that does not sign
}

// observed is how many requests it takes to learn from, and to advise on.
const observed = 100

// Learning reports whether LearnProxyState still waits for evidence.
func (o *Observation) Learning() bool {
	return !o.Signs && !o.ProxiesBare && o.Signed+o.Unsigned < observed
}

// Advice is whether a strict policy would do harm.
type Advice string

const (
	NothingSeen Advice = "nothing_seen" // not one request
	TooFew      Advice = "too_few"      // none would have been dropped, but they are few
	Safe        Advice = "safe"         // none of many would have been dropped
	NotYet      Advice = "not_yet"      // some would have been dropped
)

// RequireMA is whether the device's requests would all pass RequireMA.
func (o *Observation) RequireMA() Advice { return o.advice(o.Unsigned) }

// ForbidProxyState is whether the device's requests would all pass ForbidProxyState.
func (o *Observation) ForbidProxyState() Advice { return o.advice(o.UnsignedProxied) }

func (o *Observation) advice(dropped uint64) Advice {
	switch n := o.Signed + o.Unsigned; {
	case n == 0:
		return NothingSeen
	case dropped > 0:
		return NotYet
	case n < observed:
		return TooFew
	}
	return Safe
}

// Plus adds what else was seen in the same observation.
func (o Observation) Plus(more Observation) Observation {
	o.Signed += more.Signed
	o.Unsigned += more.Unsigned
	o.UnsignedProxied += more.UnsignedProxied
	o.LastUnsigned = later(o.LastUnsigned, more.LastUnsigned)
	o.LastUnsignedProxied = later(o.LastUnsignedProxied, more.LastUnsignedProxied)
	o.Signs = o.Signs || more.Signs
	o.ProxiesBare = o.ProxiesBare || more.ProxiesBare
	return o
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
