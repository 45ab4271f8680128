package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// benchCmd measures bin/enlace. What it prints is for docs/performance.md.
type benchCmd struct {
	Subscribers int           `default:"100000" help:"Subscribers in the server's memory (1 to 1000000)."`
	Time        time.Duration `default:"6s" help:"How long each thing is measured (up to 1m)."`
	Quick       bool          `help:"Measure each thing for a second only: to see that it runs, not how fast."`
	Enlace      string        `help:"The server's program; default: enlace beside this one."`
}

// benchFlags are the crowd of every measurement.
func benchFlags(subscribers int) crowdFlags {
	return crowdFlags{Source: "127.0.0.1", Secret: "-", Subscribers: subscribers, Login: "user%07d@isp", Password: "pw%07d",
		Sockets: 16, Window: 32, Duration: time.Second, Timeout: 3 * time.Second}
}

// bench is one run.
type bench struct {
	out     io.Writer
	subject *subject
	frame   crowd
	people  *people
	time    time.Duration // that each thing is measured
	table   *tabwriter.Writer
	echo    float64 // per second
	opened  uint64  // sessions
	lost    uint64  // accounting requests without an answer
}

func (c *benchCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Enlace == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		c.Enlace = filepath.Join(filepath.Dir(self), "enlace")
	}
	flags := benchFlags(c.Subscribers)
	if _, err := flags.crowd([ports]string{}); err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(c.Enlace)
	if err != nil {
		return fmt.Errorf("finding the server's program (make build): %w", err)
	}
	if c.Quick {
		c.Time = time.Second
	}
	if c.Time < 10*time.Millisecond || c.Time > time.Minute {
		return errors.New("the time is 10ms to 1m")
	}
	b := &bench{out: out, time: c.Time}
	if b.people, err = flags.people(); err != nil {
		return err
	}
	if b.subject, err = raise(ctx, c.Enlace, &flags); err != nil {
		return err
	}
	err = b.measure(ctx, &flags, info.GoVersion)
	if end := b.subject.end(); err == nil {
		err = end
	}
	return err
}

func (b *bench) measure(ctx context.Context, flags *crowdFlags, goVersion string) (err error) {
	s := b.subject
	if b.frame, err = flags.crowd([ports]string{portAuth: s.auth, portAcct: s.acct}); err != nil {
		return err
	}
	if err := b.machine(ctx, goVersion); err != nil {
		return err
	}
	now, peak, err := s.resident()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%d subscribers: seeded in %s, read into memory in %s, serving %s after the start; resident %d MB, at the peak of loading %d MB\n\n",
		flags.Subscribers, short(s.seeded), short(s.loaded), short(s.ready), now>>20, peak>>20)
	b.table = tabwriter.NewWriter(b.out, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(b.table, "what\trate/s\tCPU µs\tPostgreSQL µs\tof echo\tp50\tp90\tp99\tp99.9\tmax\tlost\t")
	if err := b.measureEcho(ctx); err != nil {
		return err
	}
	for _, m := range []struct{ name, method string }{{"PAP", methodPAP}, {"CHAP", methodCHAP}, {"MS-CHAPv2", methodMSCHAPv2}} {
		if err := b.logins(ctx, m.name, m.method); err != nil {
			return err
		}
	}
	notes, err := b.accounting(ctx)
	if err != nil {
		return err
	}
	if err := b.wholes(ctx); err != nil {
		return err
	}
	if err := b.table.Flush(); err != nil {
		return err
	}
	fmt.Fprint(b.out, "\nA whole session is a login, Start, Interim-Update and Stop; its latency is that of the three.\n"+notes)
	if err := b.storms(ctx); err != nil {
		return err
	}
	count, err := b.stored(ctx)
	if err != nil {
		return err
	}
	now, peak, err = s.resident()
	if err != nil {
		return err
	}
	open, err := s.metric("enlace_sessions_open")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%sAt the end, with %.0f sessions open, resident %d MB, at the peak %d MB.\n", count, open, now>>20, peak>>20)
	return nil
}

// machine says where the figures come from.
func (b *bench) machine(ctx context.Context, goVersion string) error {
	var database string
	if err := b.subject.pool.QueryRow(ctx, `select split_part(version(), ' ', 2)`).Scan(&database); err != nil {
		return fmt.Errorf("asking PostgreSQL its version: %w", err)
	}
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return fmt.Errorf("asking the kernel its version: %w", err)
	}
	var total unix.Sysinfo_t
	if err := unix.Sysinfo(&total); err != nil {
		return fmt.Errorf("asking the kernel for the memory: %w", err)
	}
	fmt.Fprintf(b.out, "%d processors (%s), %d GB, Linux %s, %s, PostgreSQL %s; server, database and crowd share the machine\n",
		runtime.NumCPU(), processorModel(), total.Totalram*uint64(total.Unit)>>30, unix.ByteSliceToString(kernel.Release[:]), goVersion, database)
	fmt.Fprintf(b.out, "%d source ports, up to %d requests under way on each; half load is begun on time whatever the answers do, and a wait to begin counts\n",
		b.frame.sockets, b.frame.window)
	return nil
}

// processorModel is the first "model name" of /proc/cpuinfo.
func processorModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

// warmUp is how long each load runs before it is measured.
const warmUp = time.Second / 2

// measured is a load that was measured: what came of it and what it cost.
type measured struct {
	*result
	used usage
}

// at lays a load on a process at a rate, 0 for full speed, and measures it.
func (b *bench) at(rate float64, p *process, name string, lay func(crowd) (*result, error)) (m measured, err error) {
	c := b.frame
	if rate == 0 {
		c.duration = min(warmUp, b.time)
		if _, err := lay(c); err != nil {
			return m, err
		}
	}
	c.duration, c.rate = b.time, rate
	before, err := p.usage()
	if err != nil {
		return m, err
	}
	if m.result, err = lay(c); err == nil {
		err = m.failure()
	}
	if err == nil && m.verdicts[rejected] > 0 {
		err = fmt.Errorf("%d logins were rejected", m.verdicts[rejected])
	}
	if err != nil {
		return m, fmt.Errorf("measuring %s: %w", name, err)
	}
	after, err := p.usage()
	m.used = after.since(before)
	return m, err
}

// print adds a row: n of what it is about, and the latency of requests to a port.
func (b *bench) print(name string, m measured, n uint64, latency port, ofEcho bool) {
	each := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/float64(max(n, 1))) }
	others, share := "", ""
	if m.used.others > 0 {
		others = each(m.used.others)
	}
	if ofEcho {
		share = fmt.Sprintf("%.2f", m.rate()/b.echo)
	}
	h := &m.latency[latency]
	fmt.Fprintf(b.table, "%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", name, perSecond(n, m.elapsed), each(m.used.own), others, share,
		short(h.quantile(0.5)), short(h.quantile(0.9)), short(h.quantile(0.99)), short(h.quantile(0.999)), short(h.max), m.lost)
}

func (b *bench) measureEcho(ctx context.Context) error {
	server, err := startEcho(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	asked := b.frame
	defer func() { b.frame = asked }()
	flags := crowdFlags{Source: "127.0.0.1", Secret: "-", Subscribers: 1, Sockets: asked.sockets, Window: asked.window, Duration: asked.duration, Timeout: asked.timeout}
	if b.frame, err = flags.crowd([ports]string{portAuth: server.address}); err != nil {
		return err
	}
	lay := func(c crowd) (*result, error) { return echoes(ctx, c, b.people, 0) }
	m, err := b.at(0, server.process, "UDP echo", lay)
	if err != nil {
		return err
	}
	b.echo = m.rate()
	b.print("UDP echo", m, m.replies(), portAuth, true)
	m, err = b.at(b.echo/2, server.process, "UDP echo at half load", lay)
	if err == nil {
		b.print("at half load", m, m.replies(), portAuth, false)
	}
	return err
}

func (b *bench) logins(ctx context.Context, name, method string) error {
	lay := func(c crowd) (*result, error) { return logins(ctx, c, b.people, b.subject.secret, method, 0) }
	full, err := b.at(0, b.subject.process, name, lay)
	if err != nil {
		return err
	}
	b.print(name, full, full.replies(), portAuth, true)
	half, err := b.at(full.rate()/2, b.subject.process, name+" at half load", lay)
	if err == nil {
		b.print("at half load", half, half.replies(), portAuth, false)
	}
	return err
}

// accounting measures answers, and how soon what was answered is in the database. It returns what the table does not say.
func (b *bench) accounting(ctx context.Context) (notes string, err error) {
	if err := logEverybodyIn(ctx, b.frame, b.people, b.subject.secret); err != nil {
		return "", err
	}
	lines := newLines(b.people)
	first, err := lines.begin(ctx, b.frame, b.subject.secret)
	if err != nil {
		return "", err
	}
	b.opened, b.lost = b.opened+first.opened, b.lost+first.lost
	if err := b.emptied(ctx); err != nil {
		return "", err
	}
	full, stored, note, err := b.reports(ctx, lines, 0, "accounting")
	if err != nil {
		return "", err
	}
	_, _, more, err := b.reports(ctx, lines, full.rate()/2, "at half load")
	if err != nil {
		return "", err
	}
	// What is answered at full speed waits in the journal for the database; half of what both keep up with is what goes on
	// for ever.
	_, _, last, err := b.reports(ctx, lines, stored/2, "at half of what is stored")
	return note + more + last, err
}

// reports measures accounting at a rate, and then waits until the database has it: so many were stored per second.
func (b *bench) reports(ctx context.Context, lines *lines, rate float64, name string) (m measured, stored float64, note string, err error) {
	before, err := b.subject.metric("enlace_drain_records_total")
	if err != nil {
		return m, 0, "", err
	}
	answers, began := uint64(0), time.Now()
	m, err = b.at(rate, b.subject.process, name, func(c crowd) (*result, error) {
		r, err := lines.account(ctx, c, b.subject.secret, 0, 0)
		if err == nil {
			answers += r.verdicts[answered]
			b.opened, b.lost = b.opened+r.opened, b.lost+r.lost
		}
		return r, err
	})
	if err != nil {
		return m, 0, "", err
	}
	b.print(name, m, m.replies(), portAcct, false)
	laid := time.Since(began)
	if err := b.drained(ctx, before+float64(answers)); err != nil {
		return m, 0, "", err
	}
	all := time.Since(began)
	return m, perSecond(answers, all), fmt.Sprintf("%s: %d records answered in %s, the last of them in PostgreSQL %s later: %.0f/s drained.\n",
		strings.ToUpper(name[:1])+name[1:], answers, short(laid), short(all-laid), perSecond(answers, all)), nil
}

// drained waits until as many records as were answered have left the journal for the database.
func (b *bench) drained(ctx context.Context, records float64) error {
	return b.subject.until(ctx, "the journal is drained", func() (bool, error) {
		n, err := b.subject.metric("enlace_drain_records_total")
		if err != nil || n < records {
			return false, err
		}
		left, err := b.subject.metric("enlace_journal_backlog_bytes")
		return left == 0, err
	})
}

func (b *bench) wholes(ctx context.Context) error {
	m, err := b.at(0, b.subject.process, "whole sessions", func(c crowd) (*result, error) {
		r, err := wholes(ctx, c, b.people, b.subject.secret, methodPAP, 0)
		if err == nil {
			b.opened, b.lost = b.opened+r.opened, b.lost+r.lost
		}
		return r, err
	})
	if err == nil {
		b.print("whole sessions", m, m.wholes, portAcct, false)
	}
	return err
}

// stored compares the sessions in the database with those that were begun. One may be missing for each request that had
// no answer.
func (b *bench) stored(ctx context.Context) (string, error) {
	rows := uint64(0)
	err := b.subject.until(ctx, "every session is in the database", func() (bool, error) {
		err := b.subject.pool.QueryRow(ctx, `select (select count(*) from session_live) + (select count(*) from session_history)`).Scan(&rows)
		return rows+b.lost >= b.opened, err
	})
	if err == nil && rows > b.opened {
		err = fmt.Errorf("%d sessions were begun, but the database has %d", b.opened, rows)
	}
	return fmt.Sprintf("%d sessions were begun; the database has %d.\n", b.opened, rows), err
}
