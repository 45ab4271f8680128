package radius

import (
	"hash/maphash"
	"net/netip"
	"runtime/debug"
	"time"

	"enlace/contracts"
)

// worker decides what becomes of packets, one at a time. It knows nothing of sockets: each packet says who carries its
// reply. Nothing in a worker is shared except through the door.
type worker struct {
	door *Door
	port port

	hash   *hasher
	secret *secret // of the packet in hand
	shown  bool    // the packet in hand has proved that it was made with secret
	// distrusts is set when a packet is malformed or does not verify.
	distrusts bool
	ms        mschap
	cache     *replyCache
	accepts   map[acceptKey]acceptBytes
	redials   redials
	out       []byte // the reply being built
	cookie    []byte
	bearing   bearing             // of the request in hand, where it matters
	given     contracts.Addresses // of the login in hand
}

func newWorker(d *Door, p port) *worker {
	return &worker{door: d, port: p, hash: newHasher(), cache: newReplyCache(),
		accepts: map[acceptKey]acceptBytes{}, out: make([]byte, 0, 2*maxPacket), cookie: make([]byte, 0, 64)}
}

// packet is what came, from whom and when, and the way back.
type packet struct {
	datagram []byte
	device   *device
	from     netip.AddrPort
	via      carrier       // of a reply that is sent later
	oob      []byte        // control message that makes the reply leave from the address asked
	now      time.Time     // of the decision
	tick     time.Duration // monotonic
	key      replyKey
}

func (w *worker) tick() time.Duration { return w.door.clock() }

// handle is everything that happens to a packet of a known device. It returns the reply to send now; nil for silence or
// for a reply that comes later. The reply is valid until the next call.
func (w *worker) handle(p *packet) []byte {
	d := p.device
	series := w.door.metrics.of(d)
	v, err := ParseView(p.datagram)
	if err != nil {
		w.distrust(series, dropMalformed)
		return nil
	}
	if d = d.named(v); d == nil {
		w.door.metrics.stranger(dropUnknownDevice)
		w.door.warn(p.tick, "packet from an address that several devices share, with a NAS-Identifier that is none of theirs", "", p.from.Addr())
		return nil
	}
	series = w.door.metrics.of(d)
	w.secret, w.shown = d.inUse(), false
	switch code := v.Code(); {
	case code == CodeStatusServer:
		series.status.Inc()
		return w.status(d, v, series)
	case code == CodeAccessRequest && w.port.takes(code):
		series.access.Inc()
	case code == CodeAccountingRequest && w.port.takes(code):
		series.acct.Inc()
	default:
		series.dropped[dropCode].Inc()
		return nil
	}
	p.key = keyOf(p.from, v)
	digest := maphash.Bytes(w.door.seed, v.Raw())
	if r := w.cache.find(p.key, digest, p.tick); r != nil {
		if !r.ready() {
			series.dropped[dropInProgress].Inc()
			return nil
		}
		series.resentFromCache.Inc()
		return r.letter.bytes
	}
	if v.Code() == CodeAccountingRequest {
		if w.door.sheds(v, p.tick) {
			series.dropped[dropShed].Inc()
			return nil
		}
		w.account(d, v, p, digest, series)
		return nil
	}
	return w.authenticate(d, v, p, digest)
}

// status answers a Status-Server (RFC 5997): the door is alive. Its Message-Authenticator is required.
func (w *worker) status(d *device, v View, series *deviceSeries) []byte {
	switch w.checkMA(d, v, v.Authenticator()) {
	case maAbsent:
		w.distrust(series, dropMissingMA)
		return nil
	case maWrong:
		w.distrust(series, dropMA)
		return nil
	}
	code := byte(CodeAccessAccept)
	if w.port == portAcct {
		code = CodeAccountingResponse
	}
	b := appendProxyStates(appendMA(beginPacket(w.out, code, v.Identifier())), v)
	w.out = b
	if !w.hash.seal(w.secret, b, v.Authenticator()) {
		series.dropped[dropTooLong].Inc()
		return nil
	}
	series.statusAnswered.Inc()
	return b
}

// account verifies an Accounting-Request and hands it to the sink with its reply, which goes out when the record is
// durable. A Message-Authenticator in it is optional and verified with an authenticator of zeros; the response has none,
// because no RFC says over what and implementations differ.
func (w *worker) account(d *device, v View, p *packet, digest uint64, series *deviceSeries) {
	if !w.checkAccounting(d, v) {
		w.distrust(series, dropAuthenticator)
		w.door.warn(p.tick, "Accounting-Request does not verify: is the shared secret right?", d.Name, netip.Addr{})
		return
	}
	if w.checkMA(d, v, zeros[:]) == maWrong {
		w.distrust(series, dropMA)
		return
	}
	b := appendProxyStates(beginPacket(w.out, CodeAccountingResponse, v.Identifier()), v)
	w.out = b
	if !w.hash.seal(w.secret, b, v.Authenticator()) {
		series.dropped[dropTooLong].Inc()
		return
	}
	r := w.pend(p, digest, b, series)
	w.door.pending.Add(1)
	if !w.door.sink.Submit(&d.Device, v.Raw(), p.from, p.now, r) {
		r.Drop()
		series.dropped[dropQueueFull].Inc()
	}
}

// distrust counts a packet that is malformed or does not verify.
func (w *worker) distrust(series *deviceSeries, r dropReason) {
	series.dropped[r].Inc()
	w.distrusts = true
}

// remember keeps a reply that is sent now, for retransmissions.
func (w *worker) remember(p *packet, digest uint64, b []byte) []byte {
	r := w.cache.claim(p.key, digest, p.tick)
	r.letter.bytes = append(r.letter.bytes[:0], b...)
	return b
}

// pend keeps a reply that is sent later.
func (w *worker) pend(p *packet, digest uint64, b []byte, series *deviceSeries) *reply {
	r := w.cache.claim(p.key, digest, p.tick)
	r.letter.bytes = append(r.letter.bytes[:0], b...)
	r.letter.oob = append(r.letter.oob[:0], p.oob...)
	r.letter.to, r.via, r.worker, r.series, r.received = p.from, p.via, w, series, p.tick
	r.state.Store(replyPending)
	return r
}

// handleSafely keeps a defect in the handling of one packet from ending the process.
func (w *worker) handleSafely(p *packet) (b []byte) {
	defer func() {
		if r := recover(); r != nil {
			b = nil
			w.door.metrics.stranger(dropPanic)
			if w.door.panics.allow(p.tick) {
				w.door.log.Error().Interface("panic", r).Bytes("stack", debug.Stack()).Msg("handling a packet failed; the packet is dropped")
			}
		}
	}()
	return w.handle(p)
}

// observe notes how long a reply took.
func (w *worker) observe(took time.Duration) {
	w.door.metrics.latency[w.port].Observe(took.Seconds())
}
