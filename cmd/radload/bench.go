package main

import (
	"context"
	"debug/buildinfo"
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
	Subscribers int    `default:"100000" help:"Subscribers in the server's memory (1 to 1000000)."`
	Quick       bool   `help:"Measure each thing for a second only: to see that it runs, not how fast."`
	Enlace      string `help:"The server's program; default: enlace beside this one."`
}

// bench is one run.
type bench struct {
	out     io.Writer
	subject *subject
	frame   crowd
	people  *people
	full    time.Duration // measured at full speed
	half    time.Duration // measured at half load
	table   *tabwriter.Writer
	echo    float64 // per second
}

func (c *benchCmd) Run(ctx context.Context, out io.Writer) error {
	if c.Enlace == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		c.Enlace = filepath.Join(filepath.Dir(self), "enlace")
	}
	flags := crowdFlags{Source: "127.0.0.1", Secret: "-", Subscribers: c.Subscribers, Login: "user%07d@isp", Password: "pw%07d",
		Sockets: 16, Window: 32, Duration: time.Second, Timeout: 3 * time.Second}
	if _, err := flags.crowd([ports]string{}); err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(c.Enlace)
	if err != nil {
		return fmt.Errorf("finding the server's program (make build): %w", err)
	}
	b := &bench{out: out, full: 6 * time.Second, half: 6 * time.Second}
	if c.Quick {
		b.full, b.half = time.Second, time.Second
	}
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
	now, peak, err = s.resident()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\n%sResident after all this %d MB, at its peak %d MB.\n", notes, now>>20, peak>>20)
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

// row measures a load on a process and adds a row; rate is 0 for full speed.
func (b *bench) row(p *process, name string, latency port, rate float64, lay func(crowd) (*result, error)) (*result, error) {
	c := b.frame
	if rate == 0 {
		c.duration = warmUp
		if _, err := lay(c); err != nil {
			return nil, err
		}
		c.duration = b.full
	} else {
		c.duration, c.rate = b.half, rate
	}
	before, err := p.usage()
	if err != nil {
		return nil, err
	}
	r, err := lay(c)
	if err == nil {
		err = r.failure()
	}
	if err != nil {
		return nil, fmt.Errorf("measuring %s: %w", name, err)
	}
	after, err := p.usage()
	if err != nil {
		return nil, err
	}
	if r.verdicts[rejected] > 0 {
		return nil, fmt.Errorf("measuring %s: %d logins were rejected", name, r.verdicts[rejected])
	}
	b.print(name, r, latency, after.since(before))
	return r, nil
}

func (b *bench) print(name string, r *result, latency port, used usage) {
	each := func(d time.Duration) string {
		return fmt.Sprintf("%.1f", float64(d.Microseconds())/float64(r.replies()))
	}
	others, share := "", ""
	if used.others > 100*time.Millisecond {
		others = each(used.others)
	}
	if b.echo > 0 && r.rate() > 0 {
		share = fmt.Sprintf("%.2f", r.rate()/b.echo)
	}
	h := &r.latency[latency]
	fmt.Fprintf(b.table, "%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", name, r.rate(), each(used.own), others, share,
		short(h.quantile(0.5)), short(h.quantile(0.9)), short(h.quantile(0.99)), short(h.quantile(0.999)), short(h.max), r.lost)
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
	r, err := b.row(server.process, "UDP echo", portAuth, 0, func(c crowd) (*result, error) { return echoes(ctx, c, b.people, 0) })
	if err == nil {
		b.echo = r.rate()
	}
	return err
}

func (b *bench) logins(ctx context.Context, name, method string) error {
	lay := func(c crowd) (*result, error) { return logins(ctx, c, b.people, b.subject.secret, method, 0) }
	r, err := b.row(b.subject.process, name, portAuth, 0, lay)
	if err == nil {
		_, err = b.row(b.subject.process, name+", half load", portAuth, r.rate()/2, lay)
	}
	return err
}

// accounting measures answers, and how soon what was answered is in the database. It returns what the table does not say.
func (b *bench) accounting(ctx context.Context) (notes string, err error) {
	if err := logEverybodyIn(ctx, b.frame, b.people, b.subject.secret); err != nil {
		return "", err
	}
	var rate float64
	for _, name := range []string{"accounting", "accounting, half load"} {
		before, err := b.subject.metric("enlace_drain_records_total")
		if err != nil {
			return "", err
		}
		answers, began := uint64(0), time.Now()
		r, err := b.row(b.subject.process, name, portAcct, rate/2, func(c crowd) (*result, error) {
			r, err := accounting(ctx, c, b.people, b.subject.secret, 0)
			if err == nil {
				answers += r.verdicts[answered]
			}
			return r, err
		})
		if err != nil {
			return "", err
		}
		rate = r.rate()
		laid := time.Since(began)
		if err := b.drained(ctx, before+float64(answers)); err != nil {
			return "", err
		}
		all := time.Since(began)
		notes += fmt.Sprintf("%s: %d records answered in %s; all in PostgreSQL %s after the last answer: %.0f/s drained.\n",
			strings.ToUpper(name[:1])+name[1:], answers, short(laid), short(all-laid), perSecond(answers, all))
	}
	return notes, nil
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
	var whole float64
	_, err := b.row(b.subject.process, "session requests", portAcct, 0, func(c crowd) (*result, error) {
		r, err := wholes(ctx, c, b.people, b.subject.secret, methodPAP, 0)
		if err == nil {
			whole = perSecond(r.wholes, r.elapsed)
		}
		return r, err
	})
	if err == nil {
		fmt.Fprintf(b.table, "whole sessions\t%.0f\t\t\t\t\t\t\t\t\t\t\n", whole)
	}
	return err
}
