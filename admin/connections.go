package admin

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// connectionsLimit is how many records one answer shows.
const connectionsLimit = 500

type connectionsView struct {
	Form     *form
	Zones    []choice
	Asked    string // in words; "" before anything was asked
	Reason   string
	At       time.Time // the instant asked for; zero for a period
	Found    []radius.Connection
	More     bool
	NeedPort bool // several shared the address by ports, and none was given
	Twice    bool // several sessions claim the same
	Searches []Search
}

// kindLabels say what an address is to a session.
var kindLabels = map[radius.AddressKind]string{
	radius.AddressIPv4: "IPv4", radius.AddressPrefix: "IPv6 prefix", radius.AddressDelegated: "Delegated IPv6 prefix",
	radius.AddressIPv6: "IPv6 address", radius.AddressNAT: "CGNAT",
}

// endLabels say how an end is known.
var endLabels = map[radius.ClosedBy]string{
	radius.StillOpen: "Still held", radius.ClosedByStop: "End told by the access server", radius.ClaimReleased: "Released, told by the access server",
	radius.ClaimChanged: "Estimated: another address took its place", radius.ClosedByOn: "Estimated: the access server began anew",
	radius.ClosedByOff: "Estimated: the access server was shut down", radius.ClosedByReuse: "Estimated: a later session took its place",
	radius.ClosedByStale: "Estimated: the access server no longer reported it", radius.ClosedByGone: "Estimated: the access server no longer had it",
}

// endLabel never lacks words.
func endLabel(by radius.ClosedBy) string {
	if l, ok := endLabels[by]; ok {
		return l
	}
	return "Estimated: another address took its place"
}

func (s *server) connectionsPage(w http.ResponseWriter, r *http.Request, p *page) error {
	f := &form{values: map[string]string{"about": "address", "login": strings.TrimSpace(r.FormValue("login"))}}
	if f.has("login") {
		f.values["about"] = "subscriber"
	}
	return s.showConnections(w, r, p, connectionsView{Form: f}, http.StatusOK)
}

func (s *server) showConnections(w http.ResponseWriter, r *http.Request, p *page, v connectionsView, status int) error {
	v.Zones = []choice{{"", s.Zone.String()}, {"UTC", "UTC"}}
	var err error
	if v.Searches, err = s.Staff.Searches(r.Context(), 20); err != nil {
		return err
	}
	return show(w, r, status, connectionsSearch(p, v))
}

// searchConnections answers and audits one search.
func (s *server) searchConnections(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	v := connectionsView{Form: f, Reason: f.get("reason") + f.get("why")} // each form has its own
	zone := s.Zone
	if f.get("zone") == "UTC" || f.get("clock") == "UTC" {
		zone = time.UTC
	}
	if f.get("about") == "subscriber" {
		q := radius.SubscriberQuestion{From: f.instant("from", zone), Until: f.instant("until", zone), Limit: connectionsLimit}
		var who string
		q, who, err = s.subscriberOf(r.Context(), q, f.get("login"))
		if !f.wrong(err) && err == nil {
			v.Asked = subscriberSubject(who, q)
			v.Found, v.More, err = s.heldBy(r.Context(), q, p.now, p.actor(), who, v.Reason)
		}
	} else {
		q := radius.AddressQuestion{At: f.instant("at", zone), Limit: connectionsLimit}
		q.Address, q.Port, err = radius.ParseAddressPort(f.get("address"))
		if err == nil && q.Port == radius.AnyPort {
			q.Port, err = radius.ParsePort(f.get("port"))
		}
		if !f.wrong(err) {
			v.Asked, v.At = AddressSubject(q), q.At
			v.Found, v.More, err = s.whoHad(r.Context(), q, p.now, p.actor(), v.Reason)
			v.judge(q)
		}
	}
	if f.wrong(err) {
		v.Asked = ""
		if f.err.Field == "reason" && f.get("about") == "subscriber" {
			f.err.Field = "why"
		}
		return s.showConnections(w, r, p, v, http.StatusUnprocessableEntity)
	}
	if err != nil {
		return err
	}
	if f.get("format") == "csv" {
		return writeConnections(w, v.Found)
	}
	return s.showConnections(w, r, p, v, http.StatusOK)
}

// instant reads an instant on the clock of a zone, or with an offset of its own.
func (f *form) instant(name string, zone *time.Location) time.Time {
	t, err := contracts.ParseInstant(name, f.get(name), zone)
	f.wrong(err)
	return t
}

// judge says what the reader must know of an answer.
func (v *connectionsView) judge(q radius.AddressQuestion) {
	sessions := map[nas.SessionKey]bool{}
	for i := range v.Found {
		c := &v.Found[i]
		sessions[c.Key] = true
		v.NeedPort = v.NeedPort || c.Shared() && q.Port == radius.AnyPort
	}
	v.Twice = len(sessions) > 1 && !v.NeedPort
}

// SearchReason is why somebody looks into connection records, made fit to keep; without a reason nobody does. Errors are of
// contracts.Invalid.
func SearchReason(reason string) (string, error) {
	reason = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", ""), ""))
	if len(reason) < 3 || len(reason) > 400 {
		return "", contracts.Invalidf("reason", "a search has a reason of 3 to 400 bytes, such as the number of a warrant")
	}
	return reason, nil
}

// whoHad looks an address up and records who asked. Nothing is answered that is not recorded.
func (s *server) whoHad(ctx context.Context, q radius.AddressQuestion, now time.Time, actor, reason string) ([]radius.Connection, bool, error) {
	reason, err := SearchReason(reason)
	if err != nil {
		return nil, false, err
	}
	found, more, err := s.Connections.WhoHad(ctx, q)
	if err == nil {
		err = s.Staff.AuditSearch(ctx, now, actor, Search{Subject: AddressSubject(q), Reason: reason, Found: len(found)})
	}
	if err != nil {
		return nil, false, err
	}
	return found, more, nil
}

func (s *server) heldBy(ctx context.Context, q radius.SubscriberQuestion, now time.Time, actor, who, reason string) ([]radius.Connection, bool, error) {
	reason, err := SearchReason(reason)
	if err != nil {
		return nil, false, err
	}
	if !q.Until.After(q.From) {
		return nil, false, contracts.Invalidf("until", "the period ends before it begins")
	}
	found, more, err := s.Connections.HeldBy(ctx, q)
	if err == nil {
		err = s.Staff.AuditSearch(ctx, now, actor, Search{Subject: subscriberSubject(nas.TextOf(who), q), Reason: reason, Found: len(found)})
	}
	if err != nil {
		return nil, false, err
	}
	return found, more, nil
}

// subscriberOf takes a login or a customer's document, and says who it is for the audit.
func (s *server) subscriberOf(ctx context.Context, q radius.SubscriberQuestion, text string) (radius.SubscriberQuestion, string, error) {
	if text == "" {
		return q, "", contracts.Invalidf("login", "a login or a document is needed")
	}
	if digits := onlyDigits(text); len(digits) == 11 || len(digits) == 14 {
		found, err := s.Contracts.Customers(ctx, digits, 0, 2)
		if err != nil {
			return q, "", err
		}
		if len(found) == 1 && found[0].Document == digits {
			q.Customer = found[0].ID
			return q, customerSubject(q.Customer), nil
		}
	}
	q.Login = bounded(text)
	return q, "login:" + q.Login, nil
}

func customerSubject(id contracts.CustomerID) string {
	return "customer:" + strconv.FormatInt(int64(id), 10)
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9':
			return r
		case strings.ContainsRune(".-/ ", r):
			return -1
		}
		return 'x'
	}, s)
}

// AddressSubject is what was asked for, as the audit keeps it.
func AddressSubject(q radius.AddressQuestion) string {
	address := q.Address.String()
	if q.Port != radius.AnyPort {
		address = netip.AddrPortFrom(q.Address, uint16(q.Port)).String()
	}
	return fmt.Sprintf("address:%s at %s", address, q.At.UTC().Format(time.RFC3339))
}

func subscriberSubject(who string, q radius.SubscriberQuestion) string {
	return fmt.Sprintf("%s from %s until %s", who, q.From.UTC().Format(time.RFC3339), q.Until.UTC().Format(time.RFC3339))
}

// ports of a record; all of them is nothing to say.
func ports(c *radius.Connection) string {
	if !c.Shared() {
		return ""
	}
	return fmt.Sprintf("%d–%d", c.PortFrom, c.PortTo)
}

// addressText leaves out the length of a single address.
func addressText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// writeConnections answers with a file for spreadsheets; instants are UTC.
func writeConnections(w http.ResponseWriter, found []radius.Connection) error {
	var b bytes.Buffer
	b.WriteString("\ufeff") // spreadsheets take UTF-8 for something else without it
	out := csv.NewWriter(&b)
	_ = out.Write([]string{"kind", "address", "port_from", "port_to", "from_utc", "until_utc", "end", "estimated", "last_named_utc", "login", "customer", "document",
		"contract", "calling_station", "access_server", "nas_port", "session_id", "session_started_utc"})
	for i := range found {
		c := &found[i]
		_ = out.Write(cells(string(c.Kind), addressText(c.Prefix), strconv.Itoa(int(c.PortFrom)), strconv.Itoa(int(c.PortTo)), utc(c.From), utc(c.Until),
			string(c.ClosedBy), strconv.FormatBool(c.Estimated()), utc(c.Seen), nas.TextOf(c.Login), c.CustomerName, c.Document, number(int64(c.Contract)),
			nas.TextOf(c.CallingStation), c.Device, nas.TextOf(c.NASPort), nas.TextOf(c.Key.ID), utc(c.StartedAt)))
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing connection records: %w", err)
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="connections.csv"`)
	_, _ = w.Write(b.Bytes())
	return nil
}

// cells keeps spreadsheets from taking what came over the wire for a formula.
func cells(values ...string) []string {
	for i, v := range values {
		if v != "" && strings.ContainsAny(v[:1], "=+-@\t\r") {
			values[i] = "'" + v
		}
	}
	return values
}

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z")
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

var utcZone = time.UTC

// aboutForm is what was typed where it belongs to this form, and an empty one where it was the other.
func aboutForm(f *form, about string) *form {
	if f.get("about") == about {
		return f
	}
	return &form{values: map[string]string{}}
}
