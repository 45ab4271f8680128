package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"text/tabwriter"
	"time"

	"enlace/admin"
	adminpg "enlace/admin/pg"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	"enlace/radius"
	radiuspg "enlace/radius/pg"
)

// whoCmd says who had an address at an instant, and records that somebody asked.
type whoCmd struct {
	Address string `arg:"" help:"Address, also with a port: 203.0.113.7, 203.0.113.7:5060, 2001:db8::1, [2001:db8::1]:5060."`
	At      string `required:"" help:"Instant: 2026-03-10T14:00:00 (in the provider's zone) or with an offset."`
	Reason  string `required:"" help:"Why it is asked, such as the number of a warrant; kept in the audit."`
	Output  string `enum:"text,json" default:"text" help:"text or json."`
	Limit   int    `default:"500" help:"Records at most, 1 to 1000."`
}

// held is one record, as --output json writes it.
type held struct {
	Kind           radius.AddressKind `json:"kind"`
	Address        string             `json:"address"`
	PortFrom       uint16             `json:"port_from"`
	PortTo         uint16             `json:"port_to"`
	From           time.Time          `json:"from"`
	Until          *time.Time         `json:"until,omitempty"`
	End            radius.ClosedBy    `json:"end,omitempty"`
	Estimated      bool               `json:"estimated"`
	Login          string             `json:"login"`
	Customer       string             `json:"customer,omitempty"`
	Document       string             `json:"document,omitempty"`
	Contract       int64              `json:"contract,omitempty"`
	CallingStation string             `json:"calling_station,omitempty"`
	Device         string             `json:"device,omitempty"`
	NASPort        string             `json:"nas_port,omitempty"`
	SessionID      string             `json:"session_id"`
}

func (c *whoCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	zone, err := contractspg.Zone(cfg.Zone)
	if err != nil {
		return err
	}
	q := radius.AddressQuestion{Limit: c.Limit}
	if q.Address, q.Port, err = radius.ParseAddressPort(c.Address); err != nil {
		return err
	}
	if q.At, err = contracts.ParseInstant("at", c.At, zone); err != nil {
		return err
	}
	reason, err := admin.SearchReason(c.Reason)
	if err != nil {
		return err
	}
	db, err := openExisting(ctx, cfg, cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer db.close()
	cl, err := newClock(cfg.Clock)
	if err != nil {
		return err
	}
	found, more, err := radiuspg.NewStore(db.pool).WhoHad(ctx, q)
	if err != nil {
		return err
	}
	actor := "cli"
	if u, err := user.Current(); err == nil {
		actor = "cli:" + u.Username
	}
	search := admin.Search{Subject: admin.AddressSubject(q), Reason: reason, Found: len(found)}
	if err := (&adminpg.Store{Pool: db.pool}).AuditSearch(ctx, cl.Now(), actor, search); err != nil {
		return err
	}
	if c.Output == "json" {
		list := []held{}
		for i := range found {
			list = append(list, heldOf(&found[i]))
		}
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	return writeWho(out, q, found, more, zone)
}

func heldOf(c *radius.Connection) held {
	h := held{Kind: c.Kind, Address: c.Prefix.String(), PortFrom: c.PortFrom, PortTo: c.PortTo, From: c.From, End: c.ClosedBy, Estimated: c.Estimated(),
		Login: nas.TextOf(c.Login), Customer: c.CustomerName, Document: c.Document, Contract: int64(c.Contract),
		CallingStation: nas.TextOf(c.CallingStation), Device: c.Device, NASPort: nas.TextOf(c.NASPort), SessionID: nas.TextOf(c.Key.ID)}
	if !c.Open() {
		h.Until = &c.Until
	}
	return h
}

// writeWho is the answer for people, on the provider's clock.
func writeWho(out io.Writer, q radius.AddressQuestion, found []radius.Connection, more bool, zone *time.Location) error {
	local := func(t time.Time) string { return t.In(zone).Format("2006-01-02 15:04:05 -07:00") }
	fmt.Fprintf(out, "%s\nthat is %s in %s\n\n", admin.AddressSubject(q), local(q.At), zone)
	if len(found) == 0 {
		fmt.Fprintln(out, "No record: nobody is known to have had it, or the records are older than the retention.")
		return nil
	}
	sessions, shared := map[nas.SessionKey]bool{}, false
	w := tabwriter.NewWriter(out, 2, 2, 2, ' ', 0)
	fmt.Fprintln(w, "LOGIN\tCUSTOMER\tDOCUMENT\tADDRESS\tPORTS\tFROM\tUNTIL\tEND\tMAC\tDEVICE\tSESSION")
	for i := range found {
		c := &found[i]
		sessions[c.Key], shared = true, shared || c.Shared()
		until, end := "still held", ""
		if !c.Open() {
			until, end = local(c.Until), "told: "+string(c.ClosedBy)
			if c.Estimated() {
				end = "estimated: " + string(c.ClosedBy)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d-%d\t%s\t%s\t%s\t%s\t%s\t%s\n", nas.TextOf(c.Login), c.CustomerName, c.Document, c.Prefix, c.PortFrom, c.PortTo,
			local(c.From), until, end, nas.TextOf(c.CallingStation), c.Device, nas.TextOf(c.Key.ID))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case shared && q.Port == radius.AnyPort:
		fmt.Fprintln(out, "\nThe address was shared by ports, and no port was given: each of these may be the one.")
	case len(sessions) > 1:
		fmt.Fprintln(out, "\nMore than one session claims the address at this instant: mind which ends are estimated.")
	}
	if more {
		fmt.Fprintln(out, "\nThere are more: raise --limit.")
	}
	return nil
}

// retainConnections drops the months of connection records that nobody need keep, once an hour of the program's clock.
func (n *node) retainConnections(ctx context.Context, now time.Time) {
	if now.Sub(n.retained).Abs() < time.Hour {
		return
	}
	dropped, err := n.stores.sessions.Retain(ctx, now, n.cfg.ConnectionRetention)
	for _, p := range dropped {
		n.log.Info().Str("partition", p).Int("months", n.cfg.ConnectionRetention).Msg("connection records older than the retention are dropped")
	}
	if err != nil && ctx.Err() == nil {
		n.log.Warn().Err(err).Msg("dropping old connection records failed; it is tried again")
		return
	}
	n.retained = now
}
