package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"enlace/admin"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	naspg "enlace/nas/pg"
)

// nasCmd is about access servers.
type nasCmd struct {
	Probe nasProbeCmd `cmd:"" help:"Have the running server ask an access server what it does with commands, and say what is known of it."`
}

// nasProbeCmd asks through the database: the server that runs on it does the asking, from the address that devices know.
type nasProbeCmd struct {
	Device  string        `arg:"" help:"Name of the access server."`
	Session string        `help:"Acct-Session-Id of an open session to tell what it has already, as the list of sessions shows it; default: any that has what it should have."`
	Show    bool          `help:"Ask nothing: say what is known."`
	Output  string        `enum:"text,json" default:"text" help:"text or json."`
	Lang    string        `enum:"en,pt" default:"en" help:"Language of the sentences: en or pt."`
	Wait    time.Duration `default:"2m" help:"How long to wait for the end."`
}

func (c *nasProbeCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	seal, err := openSealer(cfg)
	if err != nil {
		return err
	}
	dialects, err := cfg.dialects()
	if err != nil {
		return err
	}
	zone, err := contractspg.Zone(cfg.Zone)
	if err != nil {
		return err
	}
	cl, err := newClock(cfg.Clock)
	if err != nil {
		return err
	}
	db, err := openExisting(ctx, cfg, cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer db.close()
	store := &naspg.Store{Pool: db.pool, Sealer: seal, Dialects: dialects}
	d, err := store.DeviceByName(ctx, c.Device)
	if err != nil {
		return err
	}
	if !c.Show {
		if err := c.ask(ctx, store, d.ID, cl.Now()); err != nil {
			return err
		}
		if d, err = store.Device(ctx, d.ID); err != nil {
			return err
		}
	}
	var last *nas.Probe
	if p, ok, err := store.LastProbe(ctx, d.ID); err != nil {
		return err
	} else if ok {
		last = &p
	}
	lang := contracts.Language(c.Lang)
	report := admin.ReportConformance(&d, dialects.Named(d.Dialect), last, lang)
	if c.Output == "json" {
		return writeJSON(out, report)
	}
	return writeConformance(out, &d, &report, zone, lang)
}

// ask has a server do it, and waits.
func (c *nasProbeCmd) ask(ctx context.Context, store *naspg.Store, id nas.DeviceID, now time.Time) error {
	p := nas.Probe{Device: id, Actor: "cli", SessionID: nas.RawOf(c.Session)}
	if u, err := user.Current(); err == nil {
		p.Actor = "cli:" + u.Username
	}
	if err := store.AskProbe(ctx, now, &p); err != nil {
		return err
	}
	asked := time.Now()
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		p, err := store.Probe(ctx, p.ID)
		switch waited := time.Since(asked); {
		case err != nil:
			return err
		case !p.EndedAt.IsZero():
			return nil
		case p.TakenAt.IsZero() && waited > 2*probeEvery:
			return fmt.Errorf("no server took the probe: is enlace serve running on this database?")
		case waited > c.Wait:
			return fmt.Errorf("the probe goes on; enlace nas probe %s --show says what came of it", c.Device)
		}
	}
}

// writeConformance is the answer for people, on the provider's clock.
func writeConformance(out io.Writer, d *nas.Device, r *admin.ConformanceReport, zone *time.Location, lang contracts.Language) error {
	say := func(en, pt string) string {
		if lang == contracts.Portuguese {
			return pt
		}
		return en
	}
	local := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.In(zone).Format("2006-01-02 15:04:05")
	}
	title := d.Name + " · " + d.Dialect
	if r.Build != "" {
		title += " · " + r.Build
	}
	if d.CoA.IsValid() {
		title += " · " + d.CoA.String()
	}
	fmt.Fprintln(out, title)
	if r.Probe != nil && r.Probe.Says != "" {
		fmt.Fprintln(out, r.Probe.Says)
	}
	for _, f := range r.Regressions() {
		fmt.Fprintf(out, "\n%s\n", fmt.Sprintf(say("REGRESSION: %s was good until %s and has not been since %s.", "REGRESSÃO: %s estava bom até %s e não está desde %s."),
			f.Title, local(f.GoodAt), local(f.RegressedAt)))
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 2, 2, 2, ' ', 0)
	fmt.Fprintf(w, "\n%s\t%s\t%s\t%s\n", say("CHECK", "VERIFICAÇÃO"), say("RESULT", "RESULTADO"), say("SINCE", "DESDE"), say("EVIDENCE", "EVIDÊNCIA"))
	for _, f := range r.Findings {
		result, says := nas.ResultText(nas.Result(f.Result), lang), f.Says
		if f.Result == "unseen" {
			result, says = nas.ResultText(nas.Unseen, lang), ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Title, result, local(f.Since), says)
	}
	fmt.Fprintf(w, "\n%s\t%s\t%s\t%s\n", say("STRATEGY", "ESTRATÉGIA"), "", "", say("WHY", "POR QUÊ"))
	for _, s := range r.Strategy {
		fmt.Fprintf(w, "%s\t%s\t\t%s\n", s.Title, s.Says, s.Cause)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		fmt.Fprintln(out, strings.TrimRight(line, " \n"))
	}
	return nil
}
