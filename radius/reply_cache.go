package radius

import (
	"net/netip"
	"time"
)

const (
	cacheTTL   = 30 * time.Second // RFC 5080, section 2.2.2, asks for 5 to 30 seconds
	cacheSlots = 32768            // per socket
)

// replyKey is what a retransmission has in common with its request (RFC 5080, section 2.2.2); the request authenticator
// and the rest of the datagram are compared beside it. An access server that uses an Identifier anew supersedes what it
// stood for.
type replyKey struct {
	addr     [16]byte
	port     uint16
	code, id byte
}

func keyOf(from netip.AddrPort, v View) replyKey {
	return replyKey{addr: from.Addr().As16(), port: from.Port(), code: v.Code(), id: v.Identifier()}
}

// replyCache remembers a worker's replies. Steering brings a retransmission to the worker that saw the request, so
// there is no lock.
type replyCache struct {
	byKey map[replyKey]*reply
	ring  []*reply // in the order of claiming, more or less
	hand  int
}

func newReplyCache() *replyCache { return &replyCache{byKey: map[replyKey]*reply{}} }

// find is the reply of the same request, if it is remembered and was not given up.
func (c *replyCache) find(key replyKey, digest uint64, tick time.Duration) *reply {
	r := c.byKey[key]
	if r == nil || r.digest != digest || tick-r.at > cacheTTL || r.state.Load() == replyDropped {
		return nil
	}
	return r
}

// claim gives the place for a new request's reply: that of the request it supersedes, else one that has expired, else
// a new one, else the oldest. A reply that is still to be sent is left to its sender, and its place gets another.
func (c *replyCache) claim(key replyKey, digest uint64, tick time.Duration) *reply {
	r := c.byKey[key]
	if r == nil {
		r = c.vacate(tick)
	}
	if r.unsent() {
		fresh := &reply{place: r.place}
		c.ring[r.place] = fresh
		r = fresh
	}
	r.key, r.digest, r.at, r.delayed = key, digest, tick, false
	r.state.Store(replyGiven)
	c.byKey[key] = r
	return r
}

// vacate frees a place in the ring.
func (c *replyCache) vacate(tick time.Duration) *reply {
	if len(c.ring) > 0 {
		if r := c.ring[c.hand]; tick-r.at > cacheTTL || len(c.ring) == cacheSlots {
			delete(c.byKey, r.key)
			c.hand = (c.hand + 1) % len(c.ring)
			return r
		}
	}
	r := &reply{place: len(c.ring)}
	c.ring = append(c.ring, r)
	return r
}

// unsent reports whether the reply still belongs to whoever is to send it.
func (r *reply) unsent() bool {
	s := r.state.Load()
	return s == replyPending || s == replySending || s == replyDropping
}

// ready reports whether a retransmission may have the reply.
func (r *reply) ready() bool {
	s := r.state.Load()
	return s == replyGiven || s == replySending
}
