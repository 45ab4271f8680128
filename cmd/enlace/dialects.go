package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"enlace/contracts"
	"enlace/nas"
)

// dialectsCmd shows the dialects as the settings and the operator's file make them; it needs neither a database nor a
// running server.
type dialectsCmd struct {
	List dialectsListCmd `cmd:"" default:"1" help:"List the dialects, and what each changes on a live session by CoA."`
	Show dialectsShowCmd `cmd:"" help:"Show what a dialect says of a service: at login, and to change a live session."`
}

type dialectsListCmd struct{}

func (c *dialectsListCmd) Run(cfg *Config, out io.Writer) error {
	dialects, err := cfg.dialects()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 2, 2, 2, ' ', 0)
	fmt.Fprintln(w, "DIALECT\tDEVICES\tCOA PORT\tNEW RATES\tWALLED GARDEN\tIPV6 IN THE GARDEN")
	for _, d := range dialects.All() {
		v6 := "covered"
		if d.OpenIPv6 {
			v6 = "none is given"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", d.Name, d.Title, d.CoAPort, byCoA(d.Can.Rates), byCoA(d.Can.Wall), v6)
	}
	return w.Flush()
}

func byCoA(can bool) string {
	if can {
		return "CoA"
	}
	return "disconnect"
}

type dialectsShowCmd struct {
	Name    string `arg:"" help:"The dialect."`
	Down    string `default:"500M" help:"Download rate of the plan, such as 500M."`
	Up      string `default:"250M" help:"Upload rate of the plan."`
	Reduced int    `default:"10" help:"Rates of a reduced contract, in % of the plan."`
	Profile string `help:"Profile name of the plan."`
}

func (c *dialectsShowCmd) Run(cfg *Config, out io.Writer) error {
	dialects, err := cfg.dialects()
	if err != nil {
		return err
	}
	d := dialects.Named(c.Name)
	if d == nil {
		return contracts.NotFoundf("there is no dialect %q; enlace dialects lists them", c.Name)
	}
	plan := contracts.Plan{Name: "shown", ReducedPercent: c.Reduced, Full: contracts.Profile{Name: c.Profile}}
	if plan.Full.DownBps, err = parseRate(c.Down); err != nil {
		return err
	}
	if plan.Full.UpBps, err = parseRate(c.Up); err != nil {
		return err
	}
	if err := plan.Validate(); err != nil {
		return err
	}
	services := []nas.Service{
		{Outcome: contracts.OutcomeFull, Profile: plan.Full},
		{Outcome: contracts.OutcomeReduced, Profile: plan.ReducedProfile()},
		{Outcome: contracts.OutcomeWalled, Profile: cfg.garden().Profile},
	}
	dialects.RecallBy(func(digest nas.Digest) (nas.Service, bool) {
		for _, s := range services {
			if s.Digest() == digest {
				return s, true
			}
		}
		return nas.Service{}, false
	})
	fmt.Fprintf(out, "%s: %s\n", d.Name, d.Title)
	for _, s := range services {
		fmt.Fprintf(out, "\n%s\n  Access-Accept\n", s)
		attrs, err := d.Accept(s)
		if err != nil {
			fmt.Fprintf(out, "    cannot be said: %s\n", err)
			continue
		}
		writeAttributes(out, nas.Describe(attrs))
		for _, have := range services {
			if have.Outcome == s.Outcome {
				continue
			}
			cmd, err := nas.Plan(d, have.Digest(), s)
			switch {
			case err != nil:
				fmt.Fprintf(out, "  from %s: cannot be said: %s\n", have.Outcome, err)
			case cmd.Method != nas.CoA:
				fmt.Fprintf(out, "  from %s: Disconnect-Request, and the next login\n", have.Outcome)
			default:
				for i, step := range cmd.Steps {
					then := ""
					if i > 0 {
						then = ", then"
					}
					fmt.Fprintf(out, "  from %s%s: CoA-Request\n", have.Outcome, then)
					writeAttributes(out, nas.Describe(step))
				}
			}
		}
	}
	return nil
}

func writeAttributes(out io.Writer, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintf(out, "    %s\n", strings.Join(lines, "\n    "))
	}
}
