package nastest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2866"

	"enlace/nas"
)

// Config of an access server. Only AuthAddr, AcctAddr and Secret must be given.
type Config struct {
	Dialect       string // the vendor to be played, one of Vendors; default "standard"
	AuthAddr      string // the server's authentication port
	AcctAddr      string // the server's accounting port
	Secret        []byte
	CoAListen     string // where commands arrive; default 127.0.0.1:0
	LocalAddr     string // local address of requests, with or without a port; default: whichever reaches the server
	NASIdentifier string // default "nastest"
	NASIP         netip.Addr

	// SessionID gives the n-th session's Acct-Session-Id; default: in the vendor's form.
	SessionID func(n uint64) string
	// SessionIDs is how many ids a session is accounted under, as some access servers do for its hosts and queues; default 1.
	SessionIDs int
	// FirstIP is the first address given to subscribers who get none from the server; default 100.64.0.1.
	FirstIP netip.Addr

	Interim time.Duration // between interims; 0: as Acct-Interim-Interval says; negative: none
	Redial  time.Duration // after a session ends, until its subscriber dials again; 0: never
	Timeout time.Duration // for one try of a request; default 3 s
	Tries   int           // default 3
	Workers int           // requests of the background at one time; default 16
	Load    float64       // share of its rates that a session uses; default 0.1
	Garden  nas.Garden    // names behind which the wall is; default nas.DefaultGarden()
	// Policies are configured on the access server under their names, beside those of Garden.
	Policies map[string]Policy
	Quirks   Quirks
	Seed     uint64 // of the chances in Quirks

	// Ahead is how far the clock that Acct-Session-Time is measured by stands before the machine's, where a test moves
	// the server's clock; nil: not at all.
	Ahead func() time.Duration
}

// Stats count what the access server saw.
type Stats struct {
	Accepts, Rejects, Unanswered, Forged int64 // requests: outcome, or replies that failed verification
	CoAs, Disconnects, Acks, Naks        int64 // commands obeyed or refused, without duplicates
	Duplicates, Dropped                  int64 // commands seen before; commands dropped as forged or malformed
}

// Command is one CoA- or Disconnect-Request that arrived and was authentic.
type Command struct {
	At         time.Time
	Code       radius.Code
	Login      string
	SessionID  string
	Attributes radius.Attributes
	Answer     radius.Code
	ErrorCause uint32
}

// NAS is an access server.
type NAS struct {
	cfg        Config
	vendor     *vendor
	path       *path
	auth, acct *exchanger
	coa        *net.UDPConn
	schedule   *schedule
	cancel     context.CancelFunc
	running    sync.WaitGroup
	begun      time.Time

	mu       sync.Mutex
	quirks   Quirks
	byID     map[string]*Session // those online, by each of their ids
	policies map[string]Policy
	commands []Command
	serial   uint64

	stats struct {
		accepts, rejects, unanswered, forged, coas, disconnects, acks, naks, duplicates, dropped atomic.Int64
	}
}

// keptCommands bounds Commands.
const keptCommands = 20_000

// New starts an access server. Close ends it.
func New(cfg Config) (*NAS, error) {
	setDefaults(&cfg)
	v, err := vendorByName(cfg.Dialect)
	if err != nil {
		return nil, err
	}
	n := &NAS{
		cfg: cfg, vendor: v, quirks: cfg.Quirks, begun: time.Now(), policies: map[string]Policy{},
		byID: map[string]*Session{}, serial: rand.Uint64N(1 << 24),
	}
	for _, name := range []string{cfg.Garden.AddressList, cfg.Garden.Filter, cfg.Garden.Pool} {
		if name != "" {
			n.policies[name] = Policy{Rates: cfg.Garden.Profile, Walled: true}
		}
	}
	maps.Copy(n.policies, cfg.Policies)
	n.path = &path{quirks: n.quirksNow, chance: rand.New(rand.NewPCG(cfg.Seed, 0))}
	if n.auth, err = newExchanger(cfg.LocalAddr, cfg.AuthAddr, cfg.Timeout, cfg.Tries, n.path); err != nil {
		return nil, err
	}
	if n.acct, err = newExchanger(cfg.LocalAddr, cfg.AcctAddr, cfg.Timeout, cfg.Tries, n.path); err != nil {
		n.auth.close()
		return nil, err
	}
	listen, err := net.ResolveUDPAddr("udp", cfg.CoAListen)
	if err == nil {
		n.coa, err = net.ListenUDP("udp", listen)
	}
	if err != nil {
		n.auth.close()
		n.acct.close()
		return nil, fmt.Errorf("nastest: listening for commands: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.schedule = newSchedule()
	n.running.Go(func() { n.schedule.run(ctx, cfg.Workers) })
	n.running.Go(n.obey)
	return n, nil
}

func setDefaults(cfg *Config) {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&cfg.Dialect, "standard")
	def(&cfg.CoAListen, "127.0.0.1:0")
	def(&cfg.NASIdentifier, "nastest")
	if !cfg.NASIP.IsValid() {
		cfg.NASIP = netip.MustParseAddr("127.0.0.1")
	}
	if !cfg.FirstIP.IsValid() {
		cfg.FirstIP = netip.MustParseAddr("100.64.0.1")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 3 * time.Second
	}
	if cfg.Tries == 0 {
		cfg.Tries = 3
	}
	if cfg.Workers == 0 {
		cfg.Workers = 16
	}
	if cfg.Load == 0 {
		cfg.Load = 0.1
	}
	if cfg.Garden == (nas.Garden{}) {
		cfg.Garden = nas.DefaultGarden()
	}
	cfg.SessionIDs = max(cfg.SessionIDs, 1)
}

// CoAAddr is where commands arrive.
func (n *NAS) CoAAddr() netip.AddrPort {
	return n.coa.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Sessions are those online, in the order of their ids.
func (n *NAS) Sessions() []*Session {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]*Session, 0, len(n.byID))
	seen := map[*Session]bool{}
	for _, id := range slices.Sorted(maps.Keys(n.byID)) {
		if s := n.byID[id]; !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// Online counts the sessions that are.
func (n *NAS) Online() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.byID) / n.cfg.SessionIDs
}

// Commands are the last commands that arrived, duplicates left out, oldest first.
func (n *NAS) Commands() []Command {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.commands)
}

// Stats so far.
func (n *NAS) Stats() Stats {
	s := &n.stats
	return Stats{
		Accepts: s.accepts.Load(), Rejects: s.rejects.Load(), Unanswered: s.unanswered.Load(),
		Forged: s.forged.Load() + n.auth.forged.Load() + n.acct.forged.Load(),
		CoAs:   s.coas.Load(), Disconnects: s.disconnects.Load(), Acks: s.acks.Load(), Naks: s.naks.Load(),
		Duplicates: s.duplicates.Load(), Dropped: s.dropped.Load(),
	}
}

// AccountingOn says that the access server has begun its service (RFC 2866, section 5.1).
func (n *NAS) AccountingOn(ctx context.Context) error {
	return n.accountDevice(ctx, rfc2866.AcctStatusType_Value_AccountingOn)
}

// AccountingOff says that the access server ends its service.
func (n *NAS) AccountingOff(ctx context.Context) error {
	return n.accountDevice(ctx, rfc2866.AcctStatusType_Value_AccountingOff)
}

// PowerCut drops every session without a Stop, says Accounting-On, and lets the subscribers dial again as Config.Redial
// and Dial say.
func (n *NAS) PowerCut(ctx context.Context) error {
	for _, s := range n.Sessions() {
		s.drop()
	}
	return n.AccountingOn(ctx)
}

// Vanish drops every session and says nothing: the power cut of an access server that sends no Accounting-On.
func (n *NAS) Vanish() {
	for _, s := range n.Sessions() {
		s.drop()
	}
}

// Shutdown ends every session with a Stop, sends Accounting-Off and closes. What the server does not answer before ctx
// ends is left unsaid.
func (n *NAS) Shutdown(ctx context.Context) error {
	n.schedule.close()
	var wait sync.WaitGroup
	room := make(chan struct{}, n.cfg.Workers)
	for _, s := range n.Sessions() {
		room <- struct{}{}
		wait.Go(func() {
			defer func() { <-room }()
			s.hold()
			_ = s.Stop(ctx, int(rfc2866.AcctTerminateCause_Value_AdminReboot))
		})
	}
	wait.Wait()
	err := n.AccountingOff(ctx)
	n.Close()
	return err
}

// Close ends the access server as a power cut does: nothing is sent.
func (n *NAS) Close() {
	n.schedule.close()
	n.cancel()
	n.coa.Close()
	n.auth.close()
	n.acct.close()
	n.running.Wait()
}

// Dialect is the vendor that it plays.
func (n *NAS) Dialect() string { return n.cfg.Dialect }
