package radius

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"enlace/contracts"
	"enlace/nas"
)

// DefaultRejectDelay is a usual delay of refusals for a wrong password or an unknown login.
const DefaultRejectDelay = time.Second

const (
	warnEvery     = 10 * time.Second // one warning of a kind in this time
	shutdownGrace = 2 * time.Second  // for accounting replies that wait for durability

	// refusalLogMost is how many refusals are logged within warnEvery; the metrics count them all.
	refusalLogMost = 500
)

// Config is what a Door is made of. Addresses are "host:port"; without a host they mean every address; port 0 lets the
// system choose.
type Config struct {
	AuthAddrs, AcctAddrs []string
	RadSec               RadSec
	Devices              *DeviceTable
	Directory            *Directory
	Sink                 AccountingSink // needed when there are AcctAddrs or RadSec
	Leases               *Leases        // nil where no device has an address pool
	Garden               nas.Garden
	Now                  func() time.Time // the clock of decisions
	RejectDelay          time.Duration    // 0 = none
	SharedPassword       string           // let pass for accesses without a password; "" = none
	MaxStaleness         time.Duration    // a directory older than this gives no replies; 0 = no bound
	Workers              int              // sockets per address; 0 = one for each processor that Go uses
	Log                  zerolog.Logger
	Metrics              prometheus.Registerer
}

// Door answers RADIUS on its sockets.
type Door struct {
	devices        *DeviceTable
	directory      *Directory
	sink           AccountingSink
	limiter        atomic.Pointer[Limiter]
	leases         *Leases
	garden         nas.Garden
	walled         *grant
	now            func() time.Time
	maxStaleness   time.Duration
	sharedPassword []byte
	log            zerolog.Logger
	metrics        *metrics
	refusals       *Refusals
	refusalLines   ration // invented logins must not fill the disk
	delay          *delayer
	seed           maphash.Seed
	started        time.Time
	pending        atomic.Int64 // accounting replies that wait for durability
	admission      admission
	warnings       interval
	panics         interval

	sockets              []*socket
	radsec               *radsec // nil without
	authAddrs, acctAddrs []netip.AddrPort
}

// New binds every address and fails clearly when one is taken. The sockets are served by Run and closed by Run or Close.
func New(c Config) (*Door, error) {
	if len(c.AcctAddrs)+len(c.RadSec.Addrs) > 0 && c.Sink == nil {
		return nil, errors.New("radius: accounting addresses without an accounting sink")
	}
	d := &Door{
		devices: c.Devices, directory: c.Directory, sink: c.Sink, garden: c.Garden, now: c.Now,
		walled:       newGrant(contracts.OutcomeWalled, c.Garden.Profile, ""),
		maxStaleness: c.MaxStaleness, sharedPassword: []byte(c.SharedPassword), log: c.Log, refusals: newRefusals(),
		seed: maphash.MakeSeed(), started: time.Now(),
	}
	d.delay = newDelayer(c.RejectDelay, d.clock)
	if d.leases = c.Leases; d.leases == nil {
		d.leases = NewLeases(time.Hour, 0, NewSessions())
	}
	workers := c.Workers
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	var err error
	if d.authAddrs, err = d.listen(portAuth, c.AuthAddrs, workers); err == nil {
		d.acctAddrs, err = d.listen(portAcct, c.AcctAddrs, workers)
	}
	if err == nil && len(c.RadSec.Addrs) > 0 {
		d.radsec, err = newRadSec(d, c.RadSec)
	}
	if err == nil {
		d.metrics, err = newMetrics(c.Metrics, d)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Limit has logins refused that a Limiter does not let in.
func (d *Door) Limit(l *Limiter) { d.limiter.Store(l) }

func (d *Door) listen(p port, addresses []string, workers int) (bound []netip.AddrPort, err error) {
	for _, a := range addresses {
		groups, err := bind(a, workers)
		if err != nil {
			return nil, err
		}
		for _, conns := range groups {
			bound = append(bound, localAddr(conns[0]))
			for _, c := range conns {
				s, err := newSocket(newWorker(d, p), c)
				if err != nil {
					closeAll(conns)
					return nil, err
				}
				d.sockets = append(d.sockets, s)
			}
		}
	}
	return bound, nil
}

// AuthAddrs are the addresses bound for authentication.
func (d *Door) AuthAddrs() []netip.AddrPort { return d.authAddrs }

// AcctAddrs are the addresses bound for accounting.
func (d *Door) AcctAddrs() []netip.AddrPort { return d.acctAddrs }

// RadSecAddrs are the addresses bound for RadSec.
func (d *Door) RadSecAddrs() []netip.AddrPort {
	if d.radsec == nil {
		return nil
	}
	return d.radsec.addrs
}

// Refusals are the latest logins that were refused, and why.
func (d *Door) Refusals() *Refusals { return d.refusals }

// clock is monotonic and independent of Config.Now.
func (d *Door) clock() time.Duration { return time.Since(d.started) }

// Run serves until ctx ends. Then it reads no more, waits a moment for accounting replies that are almost durable, and
// closes the sockets.
func (d *Door) Run(ctx context.Context) error {
	defer d.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving sync.WaitGroup
	serving.Go(func() { d.delay.run(ctx) })
	for _, s := range d.sockets {
		serving.Go(s.serve)
	}
	if d.radsec != nil {
		d.radsec.run(ctx)
	}
	<-ctx.Done()
	if d.radsec != nil {
		d.radsec.stopReading()
	}
	for _, s := range d.sockets {
		if err := s.conn.SetReadDeadline(time.Unix(1, 0)); err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("radius: ending the reading of %s: %w", s.conn.LocalAddr(), err)
		}
	}
	serving.Wait()
	for end := time.Now().Add(shutdownGrace); d.pending.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Close closes the sockets; needed only for a Door that is not run.
func (d *Door) Close() {
	if d.radsec != nil {
		d.radsec.close()
	}
	for _, s := range d.sockets {
		s.conn.Close()
	}
}

// warn logs a warning about a device or an address, of all kinds together one in every ten seconds: whoever can send a
// datagram could otherwise fill the disk.
func (d *Door) warn(tick time.Duration, message, device string, source netip.Addr) {
	if !d.warnings.allow(tick) {
		return
	}
	e := d.log.Warn()
	if device != "" {
		e = e.Str("device", device)
	}
	if source.IsValid() {
		e = e.Stringer("source", source)
	}
	e.Msg(message)
}

// interval allows something once in warnEvery.
type interval struct{ next atomic.Int64 }

func (i *interval) allow(tick time.Duration) bool {
	next := i.next.Load()
	return int64(tick) >= next && i.next.CompareAndSwap(next, int64(tick+warnEvery))
}

// ration allows something refusalLogMost times within warnEvery.
type ration struct {
	mu   sync.Mutex
	end  time.Duration
	used int
}

func (r *ration) allow(tick time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if tick >= r.end {
		r.end, r.used = tick+warnEvery, 0
	}
	r.used++
	return r.used <= refusalLogMost
}
