package routeros

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// Config of a Client. Its zero value has what is said of each field.
type Config struct {
	Timeout     time.Duration // of connecting, and of a command; default 10 s
	Listing     time.Duration // of a command that lists what may be many; default 60 s
	Connections int           // to one router at a time; default 2
	Idle        time.Duration // after which a connection that nobody uses is closed; default 30 s
	Confirm     time.Duration // how long a session that was ended may take to go; default 5 s
}

// Client speaks with any number of routers, by their API. It may be used from any number of goroutines.
type Client struct {
	cfg Config

	mu      sync.Mutex
	routers map[endpoint]*router
	closed  bool
}

// endpoint is a router as it is reached: other settings are another.
type endpoint struct {
	addr              netip.AddrPort
	user, certificate string
	password          [sha256.Size]byte
}

// router is the connections to one endpoint. The Client's lock guards users and idle.
type router struct {
	room  chan struct{} // one place for each connection in use
	users int           // that wait for a place or have one
	idle  []*idleConn   // the one used last is the last
}

type idleConn struct {
	*conn
	expiry *time.Timer
}

// New makes a Client. Close ends its connections.
func New(cfg Config) *Client {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Timeout, 10*time.Second)
	def(&cfg.Listing, time.Minute)
	def(&cfg.Idle, 30*time.Second)
	def(&cfg.Confirm, 5*time.Second)
	if cfg.Connections == 0 {
		cfg.Connections = 2
	}
	return &Client{cfg: cfg, routers: map[endpoint]*router{}}
}

// Close closes the connections that are not in use, and every other one after its command.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for at, r := range c.routers {
		for _, k := range r.idle {
			k.expiry.Stop()
			k.close()
		}
		r.idle = nil
		c.forget(at, r)
	}
}

// run has a router obey one command. A connection that had been waiting may have been closed by the router meanwhile:
// then a new one is tried, once.
func (c *Client) run(ctx context.Context, a nas.API, timeout time.Duration, words ...string) (reply, error) {
	if !a.Known() {
		return reply{}, contracts.Invalidf("api", "the device has no API address")
	}
	at := endpoint{a.Addr, a.User, a.Certificate, sha256.Sum256(a.Password)}
	r := c.join(at)
	defer c.leave(at, r)
	select {
	case r.room <- struct{}{}:
		defer func() { <-r.room }()
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
	k := c.take(r)
	for waited := k != nil; ; {
		if k == nil {
			var err error
			if k, err = dial(ctx, a, c.cfg.Timeout); err != nil {
				return reply{}, err
			}
		}
		out, err := k.run(ctx, timeout, words...)
		if err == nil {
			c.keep(at, r, k)
			return out, nil
		}
		k.close()
		if !waited || !hungUp(err) || ctx.Err() != nil {
			return reply{}, err
		}
		k, waited = nil, false
	}
}

// hungUp reports whether the other end closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (c *Client) join(at endpoint) *router {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.routers[at]
	if r == nil {
		r = &router{room: make(chan struct{}, c.cfg.Connections)}
		c.routers[at] = r
	}
	r.users++
	return r
}

// take is a connection that nobody uses, or nil.
func (c *Client) take(r *router) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(r.idle) - 1
	if last < 0 {
		return nil
	}
	k := r.idle[last]
	r.idle = r.idle[:last]
	k.expiry.Stop()
	return k.conn
}

func (c *Client) leave(at endpoint, r *router) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.users--
	c.forget(at, r)
}

// forget lets go of a router with which nothing is going on.
func (c *Client) forget(at endpoint, r *router) {
	if r.users == 0 && len(r.idle) == 0 && c.routers[at] == r {
		delete(c.routers, at)
	}
}

// keep puts a connection by, for as long as one is kept.
func (c *Client) keep(at endpoint, r *router, k *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		k.close()
		return
	}
	i := &idleConn{conn: k}
	i.expiry = time.AfterFunc(c.cfg.Idle, func() { c.expire(at, r, i) })
	r.idle = append(r.idle, i)
}

func (c *Client) expire(at endpoint, r *router, i *idleConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := slices.Index(r.idle, i)
	if n < 0 {
		return // somebody uses it
	}
	r.idle = slices.Delete(r.idle, n, n+1)
	i.close()
	c.forget(at, r)
}

// list is all items of a menu that the query lets through, with the properties named.
func (c *Client) list(ctx context.Context, a nas.API, menu, properties string, query ...string) ([]row, error) {
	words := []string{menu + "/print"}
	if properties != "" {
		words = append(words, "=.proplist="+properties)
	}
	out, err := c.run(ctx, a, c.cfg.Listing, append(words, query...)...)
	return out.rows, err
}

// one is the only item of a menu of settings.
func (c *Client) one(ctx context.Context, a nas.API, menu string) (row, error) {
	rows, err := c.list(ctx, a, menu, "")
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("%s has %d items, not one", menu, len(rows))
	}
	return rows[0], nil
}

// order has a router do something.
func (c *Client) order(ctx context.Context, a nas.API, words ...string) error {
	_, err := c.run(ctx, a, c.cfg.Timeout, words...)
	return err
}
