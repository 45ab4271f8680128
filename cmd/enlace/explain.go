package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"layeh.com/radius/rfc2869"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	naspg "enlace/nas/pg"
	radiuspg "enlace/radius/pg"
)

// explainCmd says what a login may have at an instant, and why.
type explainCmd struct {
	Login  string `arg:"" help:"The login, as the access server sends it."`
	At     string `help:"Instant, past or future: 2026-04-09T09:00 (in the contract's zone) or with an offset; default: now."`
	Output string `enum:"text,json" default:"text" help:"text or json."`
	Lang   string `enum:"en,pt" default:"en" help:"Language of the sentences: en or pt."`
}

// explained is the answer, as --output json writes it.
type explained struct {
	Login        string              `json:"login"`
	Customer     string              `json:"customer"`
	Contract     int64               `json:"contract"`
	Plan         string              `json:"plan"`
	At           time.Time           `json:"at"`
	Status       contracts.Status    `json:"status"`
	Outcome      contracts.Outcome   `json:"outcome"`
	Service      string              `json:"service"`
	LoginEnabled bool                `json:"login_enabled"`
	Headline     string              `json:"headline"`
	Details      []string            `json:"details"`
	Rule         string              `json:"rule"`
	Invoice      string              `json:"invoice,omitempty"`
	NoticeOn     contracts.Date      `json:"notice_on,omitempty"`
	Policy       int                 `json:"policy_version"`
	Fact         int64               `json:"fact,omitempty"`
	Actor        string              `json:"actor,omitempty"`
	Since        time.Time           `json:"since"`
	Next         *explainedNext      `json:"next,omitempty"`
	Line         []string            `json:"line,omitempty"`
	Replies      map[string][]string `json:"replies"`
	Refused      []explainedRefusal  `json:"refused,omitempty"`
	Commands     []explainedCommand  `json:"commands,omitempty"`
}

type explainedNext struct {
	At      time.Time         `json:"at"`
	Status  contracts.Status  `json:"status"`
	Outcome contracts.Outcome `json:"outcome"`
	Planned bool              `json:"if_notices_go_out"`
}

type explainedRefusal struct {
	At      time.Time          `json:"at"`
	Request contracts.FactKind `json:"request"`
	Reason  string             `json:"reason"`
}

type explainedCommand struct {
	At       time.Time    `json:"at"`
	Method   string       `json:"method"`
	Want     string       `json:"want"`
	Answer   string       `json:"answer"`
	Evidence string       `json:"evidence"`
	Device   nas.DeviceID `json:"device"`
}

func (c *explainCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	log := cfg.logger(os.Stderr)
	cl, err := newClock(cfg.Clock)
	if err != nil {
		return err
	}
	db, err := openExisting(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer db.close()
	store := &contractspg.Store{Pool: db.pool}
	id, access, err := store.FindLogin(ctx, c.Login)
	if err != nil {
		return err
	}
	at := cl.Now()
	d, err := store.Dossier(ctx, id, at)
	if err != nil {
		return err
	}
	if c.At != "" {
		if at, err = contracts.ParseInstant("at", c.At, d.Contract.Zone); err != nil {
			return err
		}
		if d, err = store.Dossier(ctx, id, at); err != nil { // the plans as they were then
			return err
		}
	}
	commands, err := (&naspg.Store{Pool: db.pool}).CommandsOf(ctx, c.Login, 200)
	if err != nil {
		return err
	}
	from, until := contracts.CycleOf(contracts.DateOf(at, d.Contract.Zone), d.Contract.DueDay)
	days, err := radiuspg.NewStore(db.pool).Usage(ctx, radiuspg.Days{Contract: id, From: from, Until: until})
	if err != nil {
		return err
	}
	spoken, err := (&naspg.Store{Pool: db.pool}).DialectsSpoken(ctx)
	if err != nil {
		return err
	}
	dialects, err := cfg.dialects()
	if err != nil {
		return err
	}
	e := explain(&d, days[id], c.Login, access, at, cfg.garden(), dialects.Of(spoken), contracts.Language(c.Lang))
	for i := len(commands) - 1; i >= 0; i-- {
		if r := commands[i]; !r.RequestedAt.After(at) {
			e.Commands = append(e.Commands, explainedCommand{At: r.RequestedAt, Method: string(r.Method), Want: r.Want,
				Answer: string(r.Answer), Evidence: string(r.Evidence), Device: r.Session.Device})
		}
	}
	if c.Output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(e)
	}
	return e.write(out, d.Contract.Zone)
}

// explain joins what the contract says with what access servers of some dialects would be told.
func explain(d *contracts.Dossier, days []contracts.DayUsage, login string, access contracts.AccessID, at time.Time, garden nas.Garden, dialects []*nas.Dialect, lang contracts.Language) explained {
	x := contracts.Explain(d.Contract, d.Facts, d.Rules, at, lang)
	s := x.Span
	u := contracts.UsageAt(d, s, days, at, lang)
	x.Details = append(x.Details, u.Details...)
	plan := u.Plan
	e := explained{
		Login: login, Customer: d.Customer.Name, Contract: int64(d.Contract.ID), Plan: plan.Name, At: at, Status: s.Status,
		Outcome: u.Verdict.Outcome, LoginEnabled: true, Headline: x.Headline, Details: x.Details, Rule: s.Why.Rule, Invoice: s.Why.InvoiceID,
		NoticeOn: s.Why.NoticeOn, Policy: s.Why.PolicyVersion, Fact: s.Why.FactID, Actor: s.Why.Actor, Since: x.Since, Replies: map[string][]string{},
	}
	for _, id := range s.Disabled {
		if id == access {
			e.LoginEnabled, e.Outcome = false, contracts.OutcomeReject
		}
	}
	service := nas.Service{Outcome: e.Outcome, Plan: plan.Name, Profile: u.Verdict.Profile}
	if e.Outcome == contracts.OutcomeWalled {
		service.Profile = garden.Profile
	}
	e.Service = service.String()
	var own contracts.Addresses
	for i := range d.Contract.Accesses {
		if a := &d.Contract.Accesses[i]; a.ID == access {
			e.Line, own = explainLine(a), a.Line.Addresses
		}
	}
	if e.Outcome != contracts.OutcomeReject {
		for _, dialect := range dialects {
			attrs, err := dialect.Accept(service)
			if err != nil {
				e.Replies[dialect.Name] = []string{err.Error()}
				continue
			}
			pooled := len(attrs.Get(rfc2869.FramedPool_Type)) > 0
			e.Replies[dialect.Name] = append(nas.Describe(attrs), explainAddresses(dialect.Given(own, e.Outcome, pooled))...)
		}
	}
	if x.Next != nil {
		e.Next = &explainedNext{At: x.Next.From, Status: x.Next.Status, Outcome: x.Next.Outcome, Planned: x.Planned}
	}
	for _, r := range x.Refused {
		e.Refused = append(e.Refused, explainedRefusal{r.At, r.Request, r.Reason})
	}
	return e
}

// write is the answer for people.
func (e *explained) write(out io.Writer, zone *time.Location) error {
	local := func(t time.Time) string { return t.In(zone).Format("2006-01-02 15:04:05 -07:00") }
	fmt.Fprintf(out, "%s · contract %d · %s · %s\n", e.Login, e.Contract, e.Customer, e.Plan)
	fmt.Fprintf(out, "at %s\n\n%s\n", local(e.At), e.Headline)
	for _, d := range e.Details {
		fmt.Fprintf(out, "  %s\n", d)
	}
	fmt.Fprintf(out, "\nAn Access-Request is answered: %s\n", e.Service)
	if !e.LoginEnabled {
		fmt.Fprintln(out, "  this login is switched off")
	}
	for _, line := range e.Line {
		fmt.Fprintf(out, "  %s\n", line)
	}
	w := tabwriter.NewWriter(out, 2, 2, 2, ' ', 0)
	for _, dialect := range slices.Sorted(maps.Keys(e.Replies)) {
		for i, line := range e.Replies[dialect] {
			name := dialect
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "  %s\t%s\n", name, line)
		}
	}
	if len(e.Refused) > 0 {
		fmt.Fprintf(w, "\nRefused so far:\n")
		for _, r := range e.Refused {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", local(r.At), r.Request, r.Reason)
		}
	}
	if len(e.Commands) > 0 {
		fmt.Fprintf(w, "\nThe network was told:\n")
		for _, c := range e.Commands {
			fmt.Fprintf(w, "  %s\t%s\t%s\tanswered %s\tseen %s\n", local(c.At), c.Method, c.Want, orNothing(c.Answer), orNothing(c.Evidence))
		}
	}
	return w.Flush()
}

func orNothing(s string) string {
	if s == "" {
		return "nothing yet"
	}
	return s
}
