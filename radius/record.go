package radius

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"enlace/nas"
)

// Kind is an Acct-Status-Type (RFC 2866, section 5.1).
type Kind uint8

const (
	KindStart   Kind = 1
	KindStop    Kind = 2
	KindInterim Kind = 3
	KindOn      Kind = 7 // Accounting-On: the access server has begun anew
	KindOff     Kind = 8 // Accounting-Off: it is about to end
	// KindApplied is not on the wire: it records which service a session was given after its Access-Accept.
	KindApplied Kind = 255
	// KindClosed is not on the wire either: it records that a session was taken for ended without a Stop (Record.Closing).
	KindClosed Kind = 254
)

// Octets is a traffic counter as a record carries it.
type Octets struct {
	N     uint64
	Known bool
	Wide  bool // with Gigawords (RFC 2869, section 5.1): 64 bits; otherwise it wraps at 32
}

// Record is what an Accounting-Request says.
type Record struct {
	Kind     Kind // 0: nothing that can be kept (see Oddity)
	Key      nas.SessionKey
	Received time.Time // UTC, in microseconds as all instants here
	Sent     time.Time // by our clock: Received less Acct-Delay-Time
	// Event is when it happened: Event-Timestamp where that is within ten minutes of the time it was received less
	// Acct-Delay-Time, and that time where it is not.
	Event          time.Time
	Seconds        int64 // Acct-Session-Time
	TimeKnown      bool  // whether there was one
	Input, Output  Octets
	Login          string     // User-Name
	Cookie         nas.Cookie // from Class; zero when none of ours came back
	FramedIP       netip.Addr
	FramedIPv6     []netip.Prefix // Framed-IPv6-Prefix, Delegated-IPv6-Prefix, Framed-IPv6-Address as /128
	Delegated      []netip.Prefix // those of FramedIPv6 that were delegated
	Ports          []PortBlock    // public addresses and ports of carrier-grade NAT
	CallingStation string
	NASPort        string // NAS-Port-Id, or NAS-Port as a number
	NASIdentifier  string
	Cause          uint32  // Acct-Terminate-Cause
	Multi          string  // Acct-Multi-Session-Id
	Closing        Closing // of KindClosed
}

// Closing is what KindClosed says of a session; Record.Event is the instant up to which nothing is known of it.
type Closing struct {
	Start time.Time // StartedAt of the session that is meant, as far as its table knew
	By    ClosedBy
}

// Oddity is a set of things in a record that cannot be true and were made safe.
type Oddity uint8

const (
	OddStatusType  Oddity = 1 << iota // Acct-Status-Type is absent or not one that is kept: Kind is 0
	OddSessionID                      // no Acct-Session-Id where there must be one: Kind is 0
	OddCounter                        // octets beyond 63 bits, or more than a terabit a second of Acct-Session-Time or, without it, since the last record: taken as unknown
	OddSessionTime                    // more than ten years: taken as unknown
	OddDelay                          // more than a week: taken as none
	OddTimestamp                      // Event-Timestamp out of range: not used
	OddAttribute                      // an attribute whose length or content its type forbids: not used
	OddPorts                          // a public address and ports of NAT that make no block: not used
	oddities       = 8
)

var oddityNames = [oddities]string{
	"status_type", "session_id_missing", "counter", "session_time", "delay_time", "event_timestamp", "attribute",
	"port_block",
}

// Attributes of accounting (RFC 2865, 2866, 2869, 3162, 4818, 6911).
const (
	acctNASPort             = 5
	acctFramedIP            = 8
	acctNASIdentifier       = 32
	acctStatusType          = 40
	acctDelayTime           = 41
	acctInputOctets         = 42
	acctOutputOctets        = 43
	acctSessionID           = 44
	acctSessionTime         = 46
	acctTerminateCause      = 49
	acctMultiSessionID      = 50
	acctInputGigawords      = 52
	acctOutputGigawords     = 53
	acctEventTimestamp      = 55
	acctNASPortID           = 87
	acctFramedIPv6Prefix    = 97
	acctDelegatedIPv6Prefix = 123
	acctFramedIPv6Address   = 168
)

const (
	maxDelay       = 7 * 24 * time.Hour
	maxSessionTime = 10 * 365 * 24 * 3600 // seconds
	maxOctetRate   = 125_000_000_000      // octets a second, of one session
	timestampRange = 10 * time.Minute
	maxPrefixes    = 16 // of one session
	shortestPrefix = 16 // bits of an IPv6 prefix
)

// ParseRecord reads a verified Accounting-Request that a device sent and that was received at an instant.
func ParseRecord(dev nas.DeviceID, v View, received time.Time) (Record, Oddity) {
	p := recordParser{r: Record{Received: instant(received), Key: nas.SessionKey{Device: dev}}}
	v.Each(func(t byte, value []byte) bool {
		p.attribute(t, value)
		return true
	})
	p.finish()
	return p.r, p.odd
}

// instant is t as it is kept everywhere: UTC, microseconds, without a monotonic reading.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

type recordParser struct {
	r                 Record
	text              recordText
	port              uint32 // NAS-Port, where there was one
	portSeen          bool
	odd               Oddity
	delay             time.Duration
	timestamp         uint32
	inGiga, outGiga   uint32
	inWide, outWide   bool
	statusSeen, stamp bool
	nat               translation
}

// recordText is the attributes of a record that are text, as they lie in the packet.
type recordText struct{ login, station, port, identifier, session, multi []byte }

// own gives the record a copy of its text: one for all of it.
func (r *Record) own(t *recordText) {
	var b strings.Builder
	b.Grow(len(t.session) + len(t.login) + len(t.station) + len(t.port) + len(t.identifier) + len(t.multi))
	for _, part := range [...][]byte{t.session, t.login, t.station, t.port, t.identifier, t.multi} {
		b.Write(part)
	}
	rest := b.String()
	next := func(n int) (s string) {
		s, rest = rest[:n], rest[n:]
		return s
	}
	r.Key.ID, r.Login, r.CallingStation = next(len(t.session)), next(len(t.login)), next(len(t.station))
	r.NASPort, r.NASIdentifier, r.Multi = next(len(t.port)), next(len(t.identifier)), next(len(t.multi))
}

func (p *recordParser) attribute(t byte, value []byte) {
	r := &p.r
	switch t {
	case attrUserName:
		p.text.login = value
	case attrClass:
		if c, ok := nas.ParseCookie(value); ok && r.Cookie == (nas.Cookie{}) {
			r.Cookie = c
		}
	case attrCallingStation:
		p.text.station = value
	case acctNASPort:
		if n, ok := p.uint32(value); ok && !p.portSeen {
			p.port, p.portSeen = n, true
		}
	case acctNASPortID:
		p.text.port = value
	case acctNASIdentifier:
		p.text.identifier = value
	case acctSessionID:
		p.text.session = value
	case acctMultiSessionID:
		p.text.multi = value
	case acctFramedIP:
		p.framedIP(value)
	case acctFramedIPv6Prefix:
		p.prefix(value)
	case acctDelegatedIPv6Prefix:
		if prefix, ok := p.prefix(value); ok {
			r.Delegated = withPrefix(r.Delegated, prefix)
		}
	case attrVendorSpecific:
		p.nat.vendor(value)
	case attrExtended1:
		p.nat.extended(value)
	case acctFramedIPv6Address:
		if len(value) != 16 {
			p.odd |= OddAttribute
			return
		}
		if a := netip.AddrFrom16([16]byte(value)); !a.IsUnspecified() {
			p.addPrefix(netip.PrefixFrom(a, 128))
		}
	case acctStatusType:
		n, ok := p.uint32(value)
		p.statusSeen = ok
		switch k := Kind(min(n, math.MaxUint8-1)); k {
		case KindStart, KindStop, KindInterim, KindOn, KindOff:
			r.Kind = k
		}
	case acctDelayTime:
		if n, ok := p.uint32(value); ok {
			p.delay = time.Duration(n) * time.Second
		}
	case acctSessionTime:
		if n, ok := p.uint32(value); ok {
			r.Seconds, r.TimeKnown = int64(n), true
		}
	case acctTerminateCause:
		r.Cause, _ = p.uint32(value)
	case acctEventTimestamp:
		p.timestamp, p.stamp = p.uint32(value)
	case acctInputOctets:
		n, ok := p.uint32(value)
		r.Input.N, r.Input.Known = uint64(n), ok
	case acctOutputOctets:
		n, ok := p.uint32(value)
		r.Output.N, r.Output.Known = uint64(n), ok
	case acctInputGigawords:
		p.inGiga, p.inWide = p.uint32(value)
	case acctOutputGigawords:
		p.outGiga, p.outWide = p.uint32(value)
	}
}

func (p *recordParser) uint32(value []byte) (uint32, bool) {
	if len(value) != 4 {
		p.odd |= OddAttribute
		return 0, false
	}
	return binary.BigEndian.Uint32(value), true
}

// framedIP takes an assigned address; all ones and all ones but the last bit ask for one (RFC 2865, section 5.8).
func (p *recordParser) framedIP(value []byte) {
	if len(value) != 4 {
		p.odd |= OddAttribute
		return
	}
	if n := binary.BigEndian.Uint32(value); n != 0 && n < math.MaxUint32-1 {
		p.r.FramedIP = netip.AddrFrom4([4]byte(value))
	}
}

// prefix reads a reserved byte, the length in bits, and as many bytes as hold it (RFC 3162, section 2.3). One that is
// shorter than any provider's would make everybody's addresses one subscriber's; the unspecified one says that there is none.
func (p *recordParser) prefix(value []byte) (prefix netip.Prefix, ok bool) {
	if len(value) < 2 || len(value) > 18 || value[1] > 128 {
		p.odd |= OddAttribute
		return
	}
	var b [16]byte
	copy(b[:], value[2:])
	bits := int(value[1])
	if bits > 8*(len(value)-2) || 0 < bits && bits < shortestPrefix {
		p.odd |= OddAttribute
		return
	}
	if prefix = netip.PrefixFrom(netip.AddrFrom16(b), bits).Masked(); prefix.Addr().IsUnspecified() {
		return
	}
	p.addPrefix(prefix)
	return prefix, true
}

func (p *recordParser) addPrefix(prefix netip.Prefix) {
	p.r.FramedIPv6 = withPrefix(p.r.FramedIPv6, prefix)
}

func (p *recordParser) finish() {
	r := &p.r
	text := p.text
	if len(text.port) == 0 && p.portSeen {
		var digits [10]byte
		text.port = strconv.AppendUint(digits[:0], uint64(p.port), 10)
	}
	r.own(&text)
	switch {
	case r.Kind == 0:
		p.odd |= OddStatusType
	case r.Key.ID == "" && r.Kind != KindOn && r.Kind != KindOff:
		r.Kind = 0
		p.odd |= OddSessionID
	}
	if r.Seconds > maxSessionTime {
		r.Seconds, r.TimeKnown = 0, false
		p.odd |= OddSessionTime
	}
	if r.Ports = p.nat.finish(); p.nat.odd {
		p.odd |= OddPorts
	}
	p.octets(&r.Input, p.inGiga, p.inWide)
	p.octets(&r.Output, p.outGiga, p.outWide)
	p.event()
}

func (p *recordParser) octets(o *Octets, giga uint32, wide bool) {
	if !o.Known {
		*o = Octets{}
		return
	}
	o.N |= uint64(giga) << 32
	o.Wide = wide
	if o.N > math.MaxInt64 || p.r.TimeKnown && absurd(o.N, p.r.Seconds) {
		*o = Octets{}
		p.odd |= OddCounter
	}
}

// absurd reports whether no line carries so many octets in so many seconds.
func absurd(octets uint64, seconds int64) bool {
	return octets>>32 > 0 && octets/maxOctetRate > uint64(seconds)+60
}

func (p *recordParser) event() {
	if p.delay > maxDelay {
		p.delay = 0
		p.odd |= OddDelay
	}
	p.r.Sent = p.r.Received.Add(-p.delay)
	p.r.Event = p.r.Sent
	if !p.stamp {
		return
	}
	stamp := time.Unix(int64(p.timestamp), 0).UTC()
	if off := stamp.Sub(p.r.Event); off > -timestampRange && off < timestampRange {
		p.r.Event = stamp
	} else {
		p.odd |= OddTimestamp
	}
}

// start is when the session of this record began. known is false when the record does not say how long it has lasted:
// some access servers write zero into every Interim-Update.
func (r *Record) start() (at time.Time, known bool) {
	return r.Event.Add(-time.Duration(r.Seconds) * time.Second), r.Seconds > 0 || r.Kind == KindStart
}

// Start is when the session of this record began, as far as the record says: its event less its Acct-Session-Time.
func (r *Record) Start() time.Time {
	at, _ := r.start()
	return at
}
