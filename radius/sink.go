package radius

import (
	"net/netip"
	"time"

	"enlace/nas"
)

// AccountingSink makes accounting records durable.
type AccountingSink interface {
	// Submit hands over an Accounting-Request whose authenticator was verified. The datagram is trimmed to its length and
	// valid only during the call: the sink copies what it keeps. The device is immutable and may be kept.
	//
	// True promises exactly one call of answer.Answer or answer.Drop, from any goroutine, also before Submit returns.
	// False says that the sink cannot take it (its queue is full): answer is not called, nothing is sent, and the access
	// server tries again.
	Submit(dev *nas.Device, datagram []byte, from netip.AddrPort, receivedAt time.Time, answer Answerer) bool
	// Load is how full the queue is, from 0 to 1, where Submit returns false. It is asked for every Interim-Update.
	Load() float64
}

// Answerer is a prebuilt reply that waits for its reason to be sent.
type Answerer interface {
	// Answer sends the reply: what was asked is durable. It does not block beyond the send and may be called after the
	// door has been shut, when it does nothing.
	Answer()
	// Drop gives the request up without a reply, so that a retransmission is taken as new.
	Drop()
}
