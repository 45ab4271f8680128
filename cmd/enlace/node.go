package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	billingpg "enlace/billing/pg"
	"enlace/contracts"
	"enlace/contracts/notices"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	"enlace/nas/control"
	naspg "enlace/nas/pg"
	"enlace/postgres"
	"enlace/radius"
	"enlace/radius/journal"
	radiuspg "enlace/radius/pg"
)

// stores are the parts of the database.
type stores struct {
	contracts *contractspg.Store
	billing   *billingpg.Store
	devices   *naspg.Store
	sessions  *radiuspg.Store
}

func newStores(db *database, s *sealer, dialects *nas.Dialects) stores {
	return stores{
		contracts: &contractspg.Store{Pool: db.pool, Sealer: s},
		billing:   &billingpg.Store{Pool: db.pool},
		devices:   &naspg.Store{Pool: db.pool, Sealer: s, Dialects: dialects},
		sessions:  radiuspg.NewStore(db.pool),
	}
}

// node is the running server.
type node struct {
	cfg        *Config
	log        zerolog.Logger
	clock      *clock
	metrics    *prometheus.Registry
	dialects   *nas.Dialects
	db         *database
	stores     stores
	listener   net.Listener
	door       *radius.Door
	journal    *journal.Journal
	sessions   *radius.Sessions
	leases     *radius.Leases
	lessons    *radius.Lessons
	accounting *radius.Accounting
	drain      *radius.Drain
	projection *projection
	reconciler *control.Reconciler
	nodes      *naspg.Nodes
	routers    *routers
	limiter    *radius.Limiter
	commands   *commandLog
	channels   []notices.Channel
	snapshots  *snapshots
	prober     *prober
	loaded     chan struct{} // closed once the directory came from the database
	retained   time.Time     // when old connection records were last looked for
	password   string        // of the account made on the first start; "" afterwards
}

// newNode takes the ports, opens the database and loads what answering needs; with the database away, from the last
// snapshot. Errors name what is in the way.
func newNode(ctx context.Context, c *Config, log zerolog.Logger) (_ *node, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	n := &node{cfg: c, log: log, metrics: prometheus.NewRegistry(), sessions: radius.NewSessions(), loaded: make(chan struct{}),
		routers: newRouters(c)}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.dialects, err = c.dialects(); err != nil {
		return nil, err
	}
	if n.clock, err = newClock(c.Clock); err != nil {
		return nil, err
	}
	if n.listener, err = listenTCP(ctx, c.HTTPListen); err != nil {
		return nil, err
	}
	sealer, err := openSealer(c)
	if err != nil {
		return nil, err
	}
	if n.journal, err = journal.Open(journal.Config{Dir: c.journalDir(), Log: log, Metrics: n.metrics}); err != nil {
		return nil, fmt.Errorf("opening the accounting journal: %w", err)
	}
	if err := n.openDoor(); err != nil {
		return nil, err
	}
	if err := n.openChannels(); err != nil {
		return nil, err
	}
	if n.db, err = newDatabase(ctx, c, log); err != nil {
		return nil, err
	}
	n.stores = newStores(n.db, sealer, n.dialects)
	n.snapshots = n.newSnapshots(sealer)
	if err := n.prepare(); err != nil {
		return nil, err
	}
	if err := n.load(ctx); err != nil {
		return nil, err
	}
	var learned []contracts.Learned
	if n.lessons, learned, err = radius.OpenLessons(filepath.Join(c.DataDir, "learned")); err != nil {
		return nil, err
	}
	n.projection.directory.Recall(learned)
	n.sessions.Observe(n.reconciler)
	n.clock.OnMove(n.projection.markFresh)
	n.clock.OnMove(n.projection.usage.clockMoved)
	n.clock.OnMove(n.reconciler.Kick)
	return n, nil
}

// listenTCP binds the panel's address; a taken port is said plainly.
func listenTCP(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s/tcp is taken by another program: choose another address with --http-listen", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listening for the panel: %w", err)
	}
	return l, nil
}

// openDoor binds the RADIUS ports over an empty directory, so that a taken port is known before anything else starts.
func (n *node) openDoor() (err error) {
	if n.accounting, err = radius.NewAccounting(n.journal, n.sessions, n.log, n.metrics); err != nil {
		return err
	}
	n.projection = &projection{directory: radius.NewDirectory(), table: radius.NewDeviceTable(n.dialects, nil), sessions: n.sessions, now: n.clock.Now,
		keepPast: n.clock.settable, log: n.log}
	n.dialects.RecallBy(n.projection.directory.ServiceOf)
	n.projection.usage = newUsage(n.projection.directory, n.clock.Now, n.log, n.metrics)
	n.sessions.Grown = n.projection.usage.seen
	n.accounting.Watch(n.projection.table)
	n.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		n.sessions.Collector(n.projection.deviceName), n.projection.table.Collector(), n.projection.table.Regressions())
	n.leases = radius.NewLeases(n.cfg.PoolHold, n.cfg.SessionLimit, n.sessions)
	n.metrics.MustRegister(n.leases)
	n.door, err = radius.New(radius.Config{
		AuthAddrs: n.cfg.AuthListen, AcctAddrs: n.cfg.AcctListen, RadSec: n.cfg.radsec(), Devices: n.projection.table, Directory: n.projection.directory,
		Sink: n.accounting, Leases: n.leases, Garden: n.cfg.garden(), Now: n.clock.Now, RejectDelay: n.cfg.RejectDelay, SharedPassword: n.cfg.IPoEPassword,
		MaxStaleness: n.cfg.MaxStaleness, Log: n.log, Metrics: n.metrics,
	})
	return err
}

// openChannels prepares the ways by which overdue notices go out.
func (n *node) openChannels() error {
	if n.cfg.SMTP != "" {
		email, err := notices.NewEmail(n.cfg.SMTP, n.cfg.MailFrom)
		if err != nil {
			return err
		}
		n.channels = append(n.channels, email)
	}
	if n.cfg.NoticeLog != "" {
		file, err := notices.NewLogFile(n.cfg.NoticeLog)
		if err != nil {
			return err
		}
		n.channels = append(n.channels, file)
	}
	return nil
}

// prepare makes the parts that work on what is loaded.
func (n *node) prepare() (err error) {
	p := n.projection
	p.contracts, p.devices = n.stores.contracts, n.stores.devices
	n.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "enlace_directory_unreadable",
		Help: "Contracts that could not be read when the directory was last loaded; what was known of them is in force."},
		func() float64 { return float64(p.unread.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "enlace_directory_from_snapshot",
			Help: "1 while the directory is the snapshot's, because the database has been away since the start."}, func() float64 {
			if n.fromSnapshot() {
				return 1
			}
			return 0
		}))
	n.commands = newCommandLog(n.stores.devices, n.log, n.metrics)
	n.nodes = n.newNodes()
	n.reconciler = control.New(control.Config{
		Announce: func(key nas.SessionKey) { n.accounting.Announce(key, n.clock.Now()) },
		Claims:   n.nodes, API: n.routers.Apply,
		Device: p.device, Desired: p.desired(n.cfg.garden()), Granted: p.granted(n.cfg.garden()), Record: n.recorded, ReturnsClass: p.returnsClass, Dialects: n.dialects, Now: n.clock.Now,
		SetApplied: n.setApplied, Gone: func(key nas.SessionKey, start time.Time) { n.limiter.Gone(key, start) }, Retry: n.cfg.CoARetry, WaveOf: n.cfg.WaveSessions, Log: n.log, Metrics: n.metrics,
	})
	p.changed, p.kick, p.pauses = n.reconciler.Changed, n.reconciler.Kick, n.reconciler.SetPauses
	n.prober = newProber(n)
	p.probes = n.prober.notice
	p.usage.read, p.usage.changed = n.stores.sessions.Usage, n.reconciler.Changed
	n.stores.sessions.Terms = p.directory.Terms
	n.limiter = radius.NewLimiter(radius.LimitConfig{
		Default: n.cfg.SessionLimit, Action: radius.LimitAction(n.cfg.SessionLimitAction), Sessions: n.sessions, Directory: p.directory,
		Network: n.reconciler, Close: n.accounting.Close, Now: n.clock.Now, Log: n.log, Metrics: n.metrics,
	})
	n.door.Limit(n.limiter)
	n.drain, err = radius.NewDrain(n.journal, n.stores.sessions, n.sessions, n.clock.Now, n.log, n.metrics)
	if err == nil {
		n.accounting.Feed(n.drain)
	}
	return err
}

// run serves until ctx ends, and then lets what is in hand finish.
func (n *node) run(ctx context.Context) error {
	handler, err := n.handler()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	requests, cutRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer cutRequests()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return requests }}
	g.Go(func() error {
		if err := server.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving the panel: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(requests, 3*time.Second)
		defer cancel()
		if err := server.Shutdown(end); err != nil { // such as one that waits for a database which is away
			n.log.Warn().Msg("requests to the panel that did not end in time are cut")
			cutRequests()
			return server.Close()
		}
		return nil
	})
	g.Go(func() error { return ended(ctx, n.door.Run(ctx)) })
	g.Go(func() error { return ended(ctx, n.drain.Run(ctx)) })
	g.Go(func() error { return ended(ctx, n.follow(ctx)) })
	g.Go(func() error { n.snapshots.run(ctx); return nil })
	commanding, commanded := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error { defer commanded(); n.reconciler.Run(ctx); return nil })
	g.Go(func() error { n.meet(commanding); return nil })
	g.Go(func() error { n.commands.run(commanding); return nil })
	g.Go(func() error { n.jobs(ctx); return nil })
	g.Go(func() error { n.sweep(ctx); return nil })
	g.Go(func() error { n.settle(ctx); return nil })
	g.Go(func() error { n.prober.run(ctx); return nil })
	g.Go(func() error { keepSpare(ctx); return nil })
	g.Go(func() error { n.limiter.Run(ctx); return nil })
	g.Go(func() error { n.lend(ctx); return nil })
	g.Go(func() error {
		n.projection.directory.KeepLearned(ctx, n.stores.contracts, n.lessons, n.log)
		return nil
	})
	g.Go(func() error { n.projection.usage.keep(ctx, n.drain.Lag); return nil })
	g.Go(func() error {
		(&observer{table: n.projection.table, store: n.stores.devices, now: n.clock.Now, every: 15 * time.Second, log: n.log}).run(ctx)
		return nil
	})
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	<-ctx.Done()
	select {
	case err = <-done:
	case <-time.After(endPatience):
		err = fmt.Errorf("a part of the program did not end within %s and is cut off", endPatience)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	n.snapshots.write(last)
	return err
}

// endPatience bounds how long the end waits, for the parts to finish and for the last snapshot.
const endPatience = 10 * time.Second

// ended drops the error of a part that ended because it was told to.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// close releases what newNode took, the database last.
func (n *node) close() {
	n.routers.Close()
	if n.listener != nil {
		n.listener.Close()
	}
	if n.door != nil {
		n.door.Close()
	}
	if n.journal != nil {
		if err := n.journal.Close(); err != nil {
			n.log.Error().Err(err).Msg("closing the journal")
		}
	}
	if n.lessons != nil {
		n.lessons.Close()
	}
	if n.db != nil {
		n.db.close()
	}
}

// lend keeps the address pools, once the sessions are known.
func (n *node) lend(ctx context.Context) {
	select {
	case <-n.loaded:
		radius.NewLeaseKeeper(n.leases, n.stores.sessions, n.journal.Node(), n.cfg.PoolReserveHold, n.clock.Now, n.log).Run(ctx)
	case <-ctx.Done():
	}
}

// jobs does what has an instant of its own but no packet or person to start it. Every part may run as often as one
// likes: what was done is not done again.
func (n *node) jobs(ctx context.Context) {
	select {
	case <-n.loaded:
	case <-ctx.Done():
		return
	}
	moved := make(chan struct{}, 1)
	n.clock.OnMove(func() {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		n.runJobs(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-moved:
		}
	}
}

// jobPatience bounds one round of jobs: what it did not get to is done in the next.
const jobPatience = 15 * time.Minute

func (n *node) runJobs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, jobPatience)
	defer cancel()
	now := n.clock.Now()
	if issued, err := n.stores.billing.IssueDue(ctx, now, "system"); err != nil && ctx.Err() == nil {
		n.log.Error().Err(err).Msg("the invoice run failed; it is tried again")
	} else if issued > 0 {
		n.log.Info().Int("invoices", issued).Msg("invoices issued")
	}
	runner := notices.Runner{Store: n.stores.contracts, Channels: n.channels, Provider: n.cfg.Provider, Now: n.clock.Now, Log: n.log}
	if _, err := runner.Run(ctx, now); err != nil && ctx.Err() == nil {
		n.log.Error().Err(err).Msg("the notice run failed; it is tried again")
	}
	n.retainConnections(ctx, now)
	if _, err := postgres.Trim(ctx, n.db.pool, time.Hour); err != nil && ctx.Err() == nil {
		n.log.Warn().Err(err).Msg("trimming the feed of changes failed; it is tried again")
	}
}

// serveCmd runs the server.
type serveCmd struct{}

func (serveCmd) Run(ctx context.Context, c *Config, out io.Writer) error {
	log := c.logger(os.Stderr)
	n, err := newNode(ctx, c, log)
	if err != nil {
		return err
	}
	defer n.close()
	if n.password != "" {
		fmt.Fprintf(out, "The panel's first account is %s with the password %s. It is shown this once.\n", staffName, n.password)
	}
	log.Info().Str("auth", fmt.Sprint(n.door.AuthAddrs())).Str("accounting", fmt.Sprint(n.door.AcctAddrs())).
		Str("panel", "http://"+n.listener.Addr().String()).Str("radsec", fmt.Sprint(n.door.RadSecAddrs())).Str("version", version).Msg("serving")
	return n.run(ctx)
}

// setApplied keeps what a device acknowledged, durably.
func (n *node) setApplied(key nas.SessionKey, d nas.Digest) {
	n.accounting.SetApplied(key, d, n.clock.Now())
}
