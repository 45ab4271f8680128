package radius

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/nas"
)

// RadSec is RADIUS over TLS (RFC 6614). A peer's certificate must come from an authority of CAFile and name a device;
// nobody else gets a packet answered. The files are looked at while the door is open, and new connections use what is in
// them. Times and bounds that are 0 have a default.
type RadSec struct {
	Addrs                     []string // "host:port", TCP; none: no RadSec
	CertFile, KeyFile, CAFile string   // PEM
	IdleTimeout               time.Duration
	HandshakeTimeout          time.Duration
	PacketTimeout             time.Duration // for the rest of a packet that has begun
	WriteTimeout              time.Duration // for a peer to take what it is sent
	ReloadEvery               time.Duration // between looks at the files
	MaxConnections            int
	MaxPerDevice              int // beyond it the device's oldest connection gives way
}

const (
	maxHandshakes = 512 // at once
	maxFromOne    = 128 // handshakes at once from one network: an IPv4 address, or a /64 of IPv6
	// handshakePatience is how long a handshake has that others wait for. A device's is over within a few round trips; one
	// that takes longer gives way to a newcomer when there are too many.
	handshakePatience = 2 * time.Second
)

// handshake is a connection that has not shown yet whose it is.
type handshake struct {
	raw     net.Conn
	network netip.Prefix
	since   time.Time
}

func (c *RadSec) fill() {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.IdleTimeout, 10*time.Minute)
	set(&c.HandshakeTimeout, 10*time.Second)
	set(&c.PacketTimeout, 10*time.Second)
	set(&c.WriteTimeout, 10*time.Second)
	set(&c.ReloadEvery, 5*time.Second)
	if c.MaxConnections <= 0 {
		c.MaxConnections = 1024
	}
	if c.MaxPerDevice <= 0 {
		c.MaxPerDevice = 64
	}
}

// radsec is the door for connections.
type radsec struct {
	door        *Door
	config      RadSec
	credentials *credentials
	listeners   []net.Listener
	addrs       []netip.AddrPort

	mu         sync.Mutex
	handshakes []*handshake // oldest first
	open       map[*connection]struct{}
	byDevice   map[nas.DeviceID][]*connection // oldest first
	stopping   bool

	stop    chan struct{} // closed when nothing more is to be read
	shut    chan struct{} // closed when nothing more is to be sent
	shutNow sync.Once
	reading sync.WaitGroup // connections that may still hand packets over
	living  sync.WaitGroup // every goroutine

	connections *prometheus.CounterVec // result
	closed      *prometheus.CounterVec // device, reason
	warnings    interval
}

// newRadSec reads the certificates and takes the ports.
func newRadSec(d *Door, c RadSec) (*radsec, error) {
	c.fill()
	r := &radsec{door: d, config: c, open: map[*connection]struct{}{},
		byDevice: map[nas.DeviceID][]*connection{}, stop: make(chan struct{}), shut: make(chan struct{})}
	r.credentials = &credentials{certFile: c.CertFile, keyFile: c.KeyFile, caFile: c.CAFile, log: d.log, verify: r.verify}
	if err := r.credentials.load(); err != nil {
		return nil, err
	}
	if expires := time.Unix(r.credentials.expiry.Load(), 0); time.Now().After(expires) {
		d.log.Error().Time("expired", expires.UTC()).Msg("RadSec's certificate has expired: access servers will refuse it")
	}
	for _, a := range c.Addrs {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", a)
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("radius: %s/tcp is taken by another program: %w", a, err)
		} else if err != nil {
			err = fmt.Errorf("radius: listening for RadSec on %q: %w", a, err)
		}
		if err != nil {
			r.closeListeners()
			return nil, err
		}
		r.listeners = append(r.listeners, l)
		r.addrs = append(r.addrs, l.Addr().(*net.TCPAddr).AddrPort())
	}
	r.connections = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "enlace_radsec_connections_total", Help: "RadSec connections, by whether they were accepted or why not."}, []string{"result"})
	r.closed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "enlace_radsec_closed_total", Help: "Ends of accepted RadSec connections, by reason."}, []string{"device", "reason"})
	return r, nil
}

// collectors are the metrics.
func (r *radsec) collectors() []prometheus.Collector {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	return []prometheus.Collector{r.connections, r.closed,
		gauge("enlace_radsec_connections", "Open RadSec connections.", func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(len(r.open))
		}),
		gauge("enlace_radsec_certificate_expiry_seconds", "When the certificate that RadSec shows expires, in Unix seconds.",
			func() float64 { return float64(r.credentials.expiry.Load()) }),
		gauge("enlace_radsec_reload_failed", "1 while the files of RadSec's certificates cannot be used and older ones are in use.", func() float64 {
			if r.credentials.failed.Load() {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "enlace_radsec_reloads_total", Help: "How often changed certificates were taken into use."},
			func() float64 { return float64(r.credentials.reloads.Load()) }),
	}
}

var errNoDevice = errors.New("the certificate names no device")

// verify is the last step of a handshake: the peer must be a device.
func (r *radsec) verify(c *x509.Certificate) error {
	p := peerOf(c)
	if r.door.devices.current.Load().of(&p) == nil {
		return fmt.Errorf("%w: %q, %s", errNoDevice, p.names, p.fingerprint)
	}
	return nil
}

// run accepts until ctx ends.
func (r *radsec) run(ctx context.Context) {
	r.living.Go(func() { r.credentials.follow(ctx, r.config.ReloadEvery) })
	for _, l := range r.listeners {
		r.living.Go(func() { r.accept(ctx, l) })
	}
}

func (r *radsec) accept(ctx context.Context, l net.Listener) {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // such as too many files
			continue
		}
		from := raw.RemoteAddr().(*net.TCPAddr).AddrPort()
		h := r.begin(raw, from.Addr().Unmap())
		if h == nil {
			r.connections.WithLabelValues("limit").Inc()
			raw.Close()
			continue
		}
		go func() {
			defer r.living.Done()
			r.serve(ctx, h, from)
		}()
	}
}

// begin makes room for a handshake; nil when there is none.
func (r *radsec) begin(raw net.Conn, from netip.Addr) *handshake {
	bits := 64
	if from.Is4() {
		bits = 32
	}
	h := &handshake{raw: raw, since: time.Now()}
	h.network, _ = from.Prefix(bits)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping || len(r.open) >= r.config.MaxConnections {
		return nil
	}
	oldest, of := -1, 0
	for i, o := range r.handshakes {
		if o.network == h.network {
			if of++; oldest < 0 {
				oldest = i
			}
		}
	}
	if full := len(r.handshakes) >= maxHandshakes; full || of >= maxFromOne {
		if full && of < maxFromOne {
			oldest = 0
		}
		if h.since.Sub(r.handshakes[oldest].since) < handshakePatience {
			return nil
		}
		r.handshakes[oldest].raw.Close()
		r.handshakes = slices.Delete(r.handshakes, oldest, oldest+1)
	}
	r.handshakes = append(r.handshakes, h)
	r.living.Add(1)
	r.reading.Add(1)
	return h
}

func (r *radsec) handshaken(h *handshake) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.handshakes, h); i >= 0 {
		r.handshakes = slices.Delete(r.handshakes, i, i+1)
	}
}

// join makes a connection one of its device's; the oldest gives way when there are too many, which may be left over
// from before the device lost its power. False when the door is full or shut.
func (r *radsec) join(c *connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping || len(r.open) >= r.config.MaxConnections {
		return false
	}
	of := r.byDevice[c.device.ID]
	if len(of) >= r.config.MaxPerDevice {
		of[0].end("replaced")
		of = of[1:]
	}
	r.open[c] = struct{}{}
	r.byDevice[c.device.ID] = append(of, c)
	return true
}

func (r *radsec) leave(c *connection, id nas.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	of := r.byDevice[id]
	if i := slices.Index(of, c); i >= 0 {
		of = slices.Delete(of, i, i+1)
	}
	if r.byDevice[id] = of; len(of) == 0 {
		delete(r.byDevice, id)
	}
}

// stopReading accepts and reads no more. It returns when no packet can come any more.
func (r *radsec) stopReading() {
	r.mu.Lock()
	if !r.stopping {
		r.stopping = true
		close(r.stop)
	}
	for c := range r.open {
		c.tls.SetReadDeadline(time.Unix(1, 0))
	}
	r.mu.Unlock()
	r.closeListeners()
	r.reading.Wait()
}

// close ends every connection after what waits to be sent, and returns when all is over.
func (r *radsec) close() {
	r.stopReading()
	r.shutNow.Do(func() { close(r.shut) })
	r.living.Wait()
}

func (r *radsec) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

func (r *radsec) closeListeners() {
	for _, l := range r.listeners {
		l.Close()
	}
}
