package nas

import (
	"slices"
	"time"
)

// Sight is one way of behaving that a device was seen with, in its traffic. Each belongs to a Check.
type Sight uint8

const (
	SawSigned   Sight = iota // Access-Request with a valid Message-Authenticator
	SawUnsigned              // and with none
	SawIDHex                 // Acct-Session-Id of hexadecimal digits; the value is its length
	SawIDText                // of other printable characters
	SawIDBytes               // with bytes that are not printable
	SawIDNew                 // a session began under an Acct-Session-Id that is not known
	SawIDAgain               // another session began under one that is
	SawInterimKept
	SawInterimOther // Interim-Updates come at another interval than asked; the value is the interval, in seconds
	SawGigawords    // a record with Acct-Input- or -Output-Gigawords (RFC 2869, section 5.1)
	SawWrap         // a counter wrapped at 32 bits, and the record had none
	SawClassEcho    // the Class of the Access-Accept, to the byte
	SawClassNone
	SawClassAltered
	SawClassSeveral // more than one
	SawStampClose   // Event-Timestamp within a minute of our clock; the value is the distance in seconds
	SawStampOff     // within ten
	SawStampWild    // beyond: it is not used
	SawStampNone
	SawDelay // a record with Acct-Delay-Time (RFC 2866, section 5.2)
	SawNoDelay
	SawStopOnce
	SawStopAgain // a Stop came again as a new packet
	SawOn        // Accounting-On
	SawOff       // Accounting-Off
	SawIPv6      // a record with IPv6 prefixes or addresses
	SawNoIPv6
	SawPorts // a record with a block of public ports
	SawNoPorts
	SawEffect     // after an acknowledged CoA the traffic showed the new rate
	SawClassTaken // a record brought back the Class of a CoA-Request
	SawClassKept  // a record after one brought back the Class before
	SawNoEffect   // after an acknowledged CoA the traffic was faster than the new rate
	Sights        = int(iota)
)

// sightKinds say to which check each belongs, how its form is called and what it is worth.
var sightKinds = [Sights]struct {
	check Check
	form  Form
	worth Result
}{
	SawSigned: {CheckMA, "signed", Good}, SawUnsigned: {CheckMA, "unsigned", Bad},
	SawIDHex: {CheckID, "hex", Good}, SawIDText: {CheckID, "text", Good}, SawIDBytes: {CheckID, "bytes", Noted},
	SawIDNew: {CheckReuse, "new", Good}, SawIDAgain: {CheckReuse, "again", Noted},
	SawInterimKept: {CheckInterim, "kept", Good}, SawInterimOther: {CheckInterim, "other", Bad},
	SawGigawords: {CheckGigawords, "sent", Good}, SawWrap: {CheckGigawords, "wrapped", Bad},
	SawClassEcho: {CheckClass, "echoed", Good}, SawClassNone: {CheckClass, "none", Bad},
	SawClassAltered: {CheckClass, "altered", Bad}, SawClassSeveral: {CheckClass, "several", Noted},
	SawStampClose: {CheckClock, "close", Good}, SawStampOff: {CheckClock, "off", Bad}, SawStampWild: {CheckClock, "wild", Bad},
	SawStampNone: {CheckClock, "none", Noted},
	SawDelay:     {CheckDelay, "sent", Good}, SawNoDelay: {CheckDelay, "none", Noted},
	SawStopOnce: {CheckStop, "once", Good}, SawStopAgain: {CheckStop, "again", Noted},
	SawOn: {CheckBoot, "on", Good}, SawOff: {CheckBoot, "off", Good},
	SawIPv6: {CheckIPv6, "reported", Good}, SawNoIPv6: {CheckIPv6, "none", Noted},
	SawPorts: {CheckPorts, "reported", Good}, SawNoPorts: {CheckPorts, "none", Noted},
	SawClassTaken: {CheckCoAClass, "returned", Good}, SawClassKept: {CheckCoAClass, "kept", Noted},
	SawEffect: {CheckEffect, "seen", Good}, SawNoEffect: {CheckEffect, "missing", Bad},
}

// Name is how a sight is kept: its check and its form.
func (s Sight) Name() string {
	k := sightKinds[s]
	return string(k.check) + "/" + string(k.form)
}

// SightNamed reads a Name.
func SightNamed(name string) (Sight, bool) {
	for s := range Sight(Sights) {
		if s.Name() == name {
			return s, true
		}
	}
	return 0, false
}

// Seen is how often a sight was seen of late, and what it was last.
type Seen struct {
	N     int64
	Value int64     // see the Sights; 0 where they say none
	At    time.Time // the latest
}

// Sightings are what was seen of a device's traffic.
type Sightings map[Sight]Seen

// window is how many sightings of a check are remembered: with more of them the older ones fade, so that a device that
// changes is known by what it does now.
const window = 100

// Add joins newer sightings to those that are remembered, and lets what is too much fade.
func (s Sightings) Add(newer Sightings) {
	var total, fresh [Sights]int64 // by the first sight of the check
	first := func(x Sight) Sight {
		return Sight(slices.IndexFunc(sightKinds[:], func(k struct {
			check Check
			form  Form
			worth Result
		}) bool {
			return k.check == sightKinds[x].check
		}))
	}
	for x, n := range newer {
		fresh[first(x)] += n.N
	}
	for x, n := range s {
		total[first(x)] += n.N
	}
	for x, n := range s { // what is new counts first
		if f := first(x); fresh[f] > 0 && total[f] > 0 {
			room := max(0, window-min(fresh[f], window))
			if total[f] > room {
				n.N = n.N * room / total[f]
				s[x] = n
			}
		}
	}
	for x, n := range newer {
		if f := first(x); fresh[f] > window {
			n.N = (n.N*window + fresh[f] - 1) / fresh[f]
		}
		was := s[x]
		was.N += n.N
		if !n.At.Before(was.At) {
			was.At, was.Value = n.At, n.Value
		}
		s[x] = was
	}
}
