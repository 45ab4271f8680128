package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// peersCmd measures bin/enlace beside FreeRADIUS. What it prints is for docs/performance.md.
type peersCmd struct {
	Subscribers int           `default:"100000" help:"Subscribers of each server (1 to 1000000)."`
	Time        time.Duration `default:"6s" help:"How long each thing is measured (up to 1m)."`
	Loads       []string      `default:"PAP,CHAP,MS-CHAPv2,accounting,sessions" enum:"PAP,CHAP,MS-CHAPv2,accounting,sessions" help:"What they are asked: PAP, CHAP, MS-CHAPv2, accounting, sessions."`
	Rounds      int           `default:"3" help:"How often the servers take their turn (1 to 9)."`
	Lean        bool          `help:"Spare rlm_sql the groups and the log of logins that Debian's configuration has."`
	Enlace      string        `help:"Enlace's program; default: enlace beside this one."`
}

// peer is a server that is measured beside the others, in turn.
type peer struct {
	name             string
	auth, acct       string
	secret           string
	used             func() (usage, error)
	resident         func() (now, peak int64, err error)
	bare             bool                        // its replies have no Message-Authenticator
	stores           bool                        // what accounting says
	rest             func(context.Context) error // returns when nothing that was laid on is left to do
	people           *people                     // with the Classes that it has given
	lines            *lines                      // of the sessions whose accounting it is told
	figures          map[string][]figure         // by load
	resting, loading int64                       // bytes resident before the first load and after the last
}

// figure is one load's outcome.
type figure struct {
	rate     float64
	answered float64       // per second, whether stored or not
	own, all time.Duration // processor time of each, without and with the database's
	p50, p99 time.Duration
	lost     uint64
}

func (c *peersCmd) Run(ctx context.Context, out io.Writer) (err error) {
	if c.Enlace == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		c.Enlace = filepath.Join(filepath.Dir(self), "enlace")
	}
	if c.Time < 10*time.Millisecond || c.Time > time.Minute || c.Rounds < 1 || c.Rounds > 9 {
		return errors.New("the time is 10ms to 1m, the rounds are 1 to 9")
	}
	flags := benchFlags(c.Subscribers)
	if _, err := flags.crowd([ports]string{}); err != nil {
		return err
	}
	b := &bench{out: out, time: c.Time}
	if b.people, err = flags.people(); err != nil {
		return err
	}
	version, err := freeRADIUSVersion()
	if err != nil {
		return err
	}
	if b.subject, err = raise(ctx, c.Enlace, &flags); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.subject.end()) }()
	files, err := raiseFreeRADIUS(ctx, flags.Source, b.people, inFiles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.end()) }()
	how := inSQL
	if c.Lean {
		how = inLeanSQL
	}
	sql, err := raiseFreeRADIUS(ctx, flags.Source, b.people, how)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sql.end()) }()

	peers := []*peer{
		{name: "enlace", auth: b.subject.auth, acct: b.subject.acct, secret: b.subject.secret, used: b.subject.usage,
			resident: b.subject.resident, stores: true, rest: b.emptied},
		{name: "files", auth: files.auth, acct: files.acct, secret: files.secret, bare: true, used: files.usage, resident: files.resident},
		{name: "rlm_sql", auth: sql.auth, acct: sql.acct, secret: sql.secret, bare: true, used: sql.usage, resident: sql.resident, stores: true},
	}
	fmt.Fprintf(out, "FreeRADIUS %s with %d subscribers in its files module, and in PostgreSQL by rlm_sql; enlace with the same; one after the other, %d rounds\n",
		version, c.Subscribers, c.Rounds)
	return b.comparePeers(ctx, &flags, peers, c.Loads, c.Rounds)
}

func (b *bench) comparePeers(ctx context.Context, flags *crowdFlags, peers []*peer, loads []string, rounds int) (err error) {
	echo := map[string][]figure{}
	for _, p := range peers {
		own := *b.people
		p.people, p.figures = &own, map[string][]figure{}
		if p.resting, _, err = p.resident(); err != nil {
			return err
		}
	}
	for round := range rounds {
		e, err := b.echoFigure(ctx)
		if err != nil {
			return err
		}
		echo["PAP"] = append(echo["PAP"], e)
		for _, load := range loads {
			for _, p := range peers {
				if !p.stores && (load == "accounting" || load == "sessions") {
					continue
				}
				f, err := b.peerFigure(ctx, flags, p, load)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				p.figures[load] = append(p.figures[load], f)
			}
		}
		fmt.Fprintf(b.out, "round %d of %d is done\n", round+1, rounds)
	}
	for _, p := range peers {
		if p.loading, _, err = p.resident(); err != nil {
			return err
		}
	}
	return b.peerTable(peers, loads, &peer{name: "bare UDP echo", figures: echo})
}

func (b *bench) echoFigure(ctx context.Context) (figure, error) {
	server, err := startEcho(ctx)
	if err != nil {
		return figure{}, err
	}
	defer server.stop()
	flags := benchFlags(len(b.people.logins))
	c, err := flags.crowd([ports]string{portAuth: server.address})
	if err != nil {
		return figure{}, err
	}
	return b.figure(ctx, c, server.usage, nil, portAuth, false, func(c crowd) (*result, error) { return echoes(ctx, c, b.people, 0) })
}

// peerFigure lays one load on one server at full speed.
func (b *bench) peerFigure(ctx context.Context, flags *crowdFlags, p *peer, load string) (figure, error) {
	c, err := flags.crowd([ports]string{portAuth: p.auth, portAcct: p.acct})
	if err != nil {
		return figure{}, err
	}
	c.bare = p.bare
	from := portAuth
	lay := func(c crowd) (*result, error) {
		method := map[string]string{"PAP": methodPAP, "CHAP": methodCHAP, "MS-CHAPv2": methodMSCHAPv2}[load]
		return logins(ctx, c, p.people, p.secret, method, 0)
	}
	whole := load == "sessions"
	switch load {
	case "accounting":
		from = portAcct
		if p.lines == nil {
			p.lines = newLines(p.people)
			if !p.bare { // an access server sends back the Class that it was given
				if err := logEverybodyIn(ctx, c, p.people, p.secret); err != nil {
					return figure{}, err
				}
			}
			if _, err := p.lines.begin(ctx, c, p.secret); err != nil {
				return figure{}, err
			}
		}
		lay = func(c crowd) (*result, error) { return p.lines.account(ctx, c, p.secret, 0, 0) }
	case "sessions":
		from = portAcct
		lay = func(c crowd) (*result, error) { return wholes(ctx, c, p.people, p.secret, methodPAP, 0) }
	}
	rest := p.rest
	if from == portAuth {
		rest = nil
	}
	return b.figure(ctx, c, p.used, rest, from, whole, lay)
}

// figure warms a server up and measures it. Time that it takes to come to rest counts to the rate: records that were
// answered are stored when it has.
func (b *bench) figure(ctx context.Context, c crowd, used func() (usage, error), rest func(context.Context) error, from port, whole bool, lay func(crowd) (*result, error)) (f figure, err error) {
	c.duration = min(warmUp, b.time)
	if _, err := lay(c); err != nil {
		return f, err
	}
	if rest != nil {
		if err := rest(ctx); err != nil {
			return f, err
		}
	}
	c.duration = b.time
	before, err := used()
	if err != nil {
		return f, err
	}
	began := time.Now()
	r, err := lay(c)
	if err != nil {
		return f, err
	}
	if err := r.failure(); err != nil {
		return f, err
	}
	if r.verdicts[rejected] > 0 {
		return f, fmt.Errorf("%d logins were rejected", r.verdicts[rejected])
	}
	elapsed := r.elapsed
	if rest != nil {
		if err := rest(ctx); err != nil {
			return f, err
		}
		elapsed = max(elapsed, time.Since(began))
	}
	after, err := used()
	if err != nil {
		return f, err
	}
	n := r.replies()
	if whole {
		n = r.wholes
	}
	u, h := after.since(before), &r.latency[from]
	each := func(d time.Duration) time.Duration { return d / time.Duration(max(n, 1)) }
	return figure{rate: perSecond(n, elapsed), answered: perSecond(n, r.elapsed), own: each(u.own), all: each(u.own + u.others), p50: h.quantile(0.5), p99: h.quantile(0.99), lost: r.lost}, nil
}

// emptied waits until enlace has nothing left in its journal.
func (b *bench) emptied(ctx context.Context) error {
	return b.subject.until(ctx, "the journal is drained", func() (bool, error) {
		left, err := b.subject.metric("enlace_journal_backlog_bytes")
		return left == 0, err
	})
}

// peerTable prints medians over the rounds, and how enlace compares.
func (b *bench) peerTable(peers []*peer, loads []string, echo *peer) error {
	fmt.Fprintln(b.out, "\nMedians of the rounds; accounting and whole sessions count until the last record is in PostgreSQL.")
	t := tabwriter.NewWriter(b.out, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "what\tserver\tanswered/s\trate/s\tCPU µs\twith PostgreSQL µs\tp50\tp99\tlost\tenlace's rate is\t")
	row := func(load string, p *peer) {
		rate := middle(p.figures[load], func(f figure) float64 { return f.rate })
		times := ""
		if p != peers[0] {
			times = fmt.Sprintf("%.2f times", middle(peers[0].figures[load], func(f figure) float64 { return f.rate })/rate)
		}
		duration := func(of func(figure) time.Duration) time.Duration { return middle(p.figures[load], of) }
		lost := uint64(0)
		for _, f := range p.figures[load] {
			lost += f.lost
		}
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%.0f\t%.1f\t%.1f\t%s\t%s\t%d\t%s\t\n", load, p.name,
			middle(p.figures[load], func(f figure) float64 { return f.answered }), rate,
			float64(duration(func(f figure) time.Duration { return f.own }).Nanoseconds())/1e3, float64(duration(func(f figure) time.Duration { return f.all }).Nanoseconds())/1e3,
			short(duration(func(f figure) time.Duration { return f.p50 })), short(duration(func(f figure) time.Duration { return f.p99 })), lost, times)
	}
	for _, load := range loads {
		for _, p := range append(slices.Clone(peers), echo) {
			if len(p.figures[load]) > 0 {
				row(load, p)
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(b.out)
	for _, p := range peers {
		fmt.Fprintf(b.out, "%s: resident %d MB before the loads, %d MB after them\n", p.name, p.resting>>20, p.loading>>20)
	}
	return nil
}

// middle is the median; of an even number of figures the mean of the two in the middle.
func middle[T float64 | time.Duration](figures []figure, of func(figure) T) T {
	values := make([]T, len(figures))
	for i, f := range figures {
		values[i] = of(f)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
