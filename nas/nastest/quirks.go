package nastest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Quirks are ways in which access servers and the network before them misbehave. Any of them go together.
type Quirks struct {
	NoMessageAuthenticator bool   // Access-Requests carry none, as old systems do
	AcceptUnsigned         bool   // replies without one are taken
	NoClass                bool   // accounting does not bring Class back
	Deaf                   bool   // commands are not answered
	RefuseCoA              uint32 // Error-Cause with which every CoA-Request is refused
	RefuseDisconnect       uint32 // Error-Cause with which every Disconnect-Request is refused
	NoEffect               bool   // a CoA-Request is acknowledged and changes nothing
	AckUnknown             bool   // a CoA-Request for a session that there is not is acknowledged
	KeepSession            bool   // a Disconnect-Request is acknowledged and nothing happens
	AnswerTwice            bool   // every answer to a command is sent twice
	// Validates says that what a CoA-Request names is looked up before it is answered (Huawei's error-reply version2,
	// Juniper's coa-dynamic-variable-validation).
	Validates bool
	// Unknown are attributes that this release does not know in a CoA-Request; what follows is the vendor's way.
	Unknown []Attribute
	// Reboot at the next command, which is lost; it happens once.
	Reboot Reboot

	LoseIn, LoseOut float64       // share of the datagrams to and from the access server that are lost
	Duplicate       float64       // share of the datagrams that arrive twice
	Late            float64       // share of the datagrams that arrive Delay later, so that others overtake them
	Delay           time.Duration // at most, drawn at random
}

// Attribute names one of a vendor's, or of the standard's with Vendor 0.
type Attribute struct {
	Vendor uint32
	Number byte
}

func (q *Quirks) unknown(attr avp) bool {
	return slices.Contains(q.Unknown, Attribute{attr.vendor, attr.kind})
}

// Reboot is a power cut in the middle of things.
type Reboot uint8

const (
	NoReboot     Reboot = iota
	RebootLoud          // Accounting-On follows
	RebootSilent        // nothing is said
)

// SetQuirks changes how the access server misbehaves from now on.
func (n *NAS) SetQuirks(q Quirks) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quirks = q
}

func (n *NAS) quirksNow() Quirks {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.quirks
}

// rebootNow does what Quirks.Reboot asks for, once, and reports whether it was asked for.
func (n *NAS) rebootNow() bool {
	n.mu.Lock()
	kind := n.quirks.Reboot
	n.quirks.Reboot = NoReboot
	n.mu.Unlock()
	if kind == NoReboot {
		return false
	}
	n.Vanish()
	if kind == RebootLoud {
		n.schedule.after(0, n.bootSaid)
	}
	return true
}

// bootSaid says Accounting-On until it is answered.
func (n *NAS) bootSaid(ctx context.Context) {
	if n.AccountingOn(ctx) != nil {
		n.schedule.after(jitter(time.Second), n.bootSaid)
	}
}

// path is the network between access server and server: it loses, doubles and delays datagrams as the quirks say.
type path struct {
	quirks func() Quirks

	mu     sync.Mutex
	chance *rand.Rand
}

// carry passes a datagram on by deliver, which may be called later, twice or not at all.
func (p *path) carry(in bool, deliver func()) {
	q := p.quirks()
	lose := q.LoseOut
	if in {
		lose = q.LoseIn
	}
	if lose == 0 && q.Duplicate == 0 && q.Late == 0 {
		deliver()
		return
	}
	p.mu.Lock()
	lost, twice := p.chance.Float64() < lose, p.chance.Float64() < q.Duplicate
	var wait [2]time.Duration
	for i := range wait {
		if p.chance.Float64() < q.Late && q.Delay > 0 {
			wait[i] = time.Duration(p.chance.Int64N(int64(q.Delay)) + 1)
		}
	}
	p.mu.Unlock()
	times := 1
	if lost {
		times--
	}
	if twice {
		times++
	}
	for _, d := range wait[:times] {
		if d == 0 {
			deliver()
		} else {
			time.AfterFunc(d, deliver)
		}
	}
}
