package pg

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/postgres/pgtest"
)

var ctx = context.Background()

var saoPaulo = mustZone("America/Sao_Paulo")

func mustZone(name string) *time.Location {
	z, err := Zone(name)
	if err != nil {
		panic(err)
	}
	return z
}

// at is an instant in São Paulo: "2026-03-10 15:00" or "2026-03-10 15:00:01".
func at(s string) time.Time {
	layout := "2006-01-02 15:04"
	if len(s) > len(layout) {
		layout += ":05"
	}
	t, err := time.ParseInLocation(layout, s, saoPaulo)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func day(s string) contracts.Date {
	d, err := contracts.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// mask is a sealer whose result is told from the plain text, and which notices what it did not make.
type mask struct{ key byte }

func (m mask) Seal(plain []byte) []byte {
	out := []byte{m.key}
	for _, b := range plain {
		out = append(out, b^m.key)
	}
	return out
}

func (m mask) Open(sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != m.key {
		return nil, errors.New("sealed with another key")
	}
	out := make([]byte, 0, len(sealed))
	for _, b := range sealed[1:] {
		out = append(out, b^m.key)
	}
	return out, nil
}

// house is a provider with one customer and one plan in a database of its own.
type house struct {
	testing.TB
	*Store
	customer contracts.CustomerID
	plan     contracts.PlanID
	logins   int
}

func newHouse(t testing.TB) *house {
	h := &house{TB: t, Store: &Store{Pool: pgtest.New(t), Sealer: mask{0x5a}}}
	c := contracts.Customer{Name: "Maria Aparecida"}
	h.must(h.CreateCustomer(ctx, "test", at("2026-01-01 08:00"), &c))
	h.customer = c.ID
	h.plan = h.newPlan("Fibra 500", 10000)
	return h
}

func (h *house) newPlan(name string, price contracts.Cents) contracts.PlanID {
	h.Helper()
	p := contracts.Plan{Name: name, Price: price, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10}
	h.must(h.CreatePlan(ctx, "test", at("2026-01-01 08:00"), &p))
	return p.ID
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// draft is a contract as most tests want it, not recorded yet.
func (h *house) draft() contracts.Contract {
	h.logins++
	return contracts.Contract{CustomerID: h.customer, PlanID: h.plan, Zone: saoPaulo, AutoBlock: true, TrustEnabled: true, DueDay: 10,
		Timing: contracts.Postpaid, Accesses: []contracts.Access{{Login: fmt.Sprintf("user%d@isp", h.logins)}}}
}

// sign records a contract.
func (h *house) sign(now string, change ...func(*contracts.Contract)) *contracts.Contract {
	h.Helper()
	c := h.draft()
	for _, f := range change {
		f(&c)
	}
	passwords := make([]string, len(c.Accesses))
	for i := range passwords {
		passwords[i] = "secret-" + c.Accesses[i].Login
	}
	h.must(h.CreateContract(ctx, "test", at(now), &c, passwords))
	return &c
}

// record appends a fact and returns it as recorded.
func (h *house) record(now time.Time, f contracts.Fact) contracts.Fact {
	h.Helper()
	if f.Actor == "" {
		f.Actor = "test"
	}
	h.must(pgx.BeginFunc(ctx, h.Pool, func(tx pgx.Tx) error { return Append(ctx, tx, now, &f) }))
	return f
}

// debtor is a contract with an invoice due on 2026-03-10 and its notice of the 11th: reduced from 26 March, blocked
// from 9 April, 09:00.
func (h *house) debtor() *contracts.Contract {
	h.Helper()
	c := h.sign("2026-01-05 10:00")
	h.record(at("2026-02-28 06:00"), contracts.Fact{ContractID: c.ID, Kind: contracts.InvoiceIssued, InvoiceID: fmt.Sprintf("F%d", c.ID), Amount: 10000, Due: day("2026-03-10")})
	h.record(at("2026-03-11 08:00"), contracts.Fact{ContractID: c.ID, Kind: contracts.NoticeSent, InvoiceID: fmt.Sprintf("F%d", c.ID), Channel: "log", Proof: "line 1"})
	return c
}

func (h *house) facts(id contracts.ContractID) []contracts.Fact {
	h.Helper()
	list, err := Facts(ctx, h.Pool, id)
	h.must(err)
	return list
}

// statusAt folds the recorded facts.
func (h *house) statusAt(id contracts.ContractID, t time.Time) contracts.Status {
	h.Helper()
	d, err := h.Dossier(ctx, id, t)
	h.must(err)
	life := d.Timeline(contracts.Options{})
	return life.Spans.At(t).Status
}

// count runs a query that gives one number.
func (h *house) count(query string, args ...any) int {
	h.Helper()
	var n int
	h.must(h.Pool.QueryRow(ctx, query, args...).Scan(&n))
	return n
}

// refused checks that err is a domain error of a kind and, unless "", with a code or about a field.
func refused(t testing.TB, err error, kind contracts.ErrorKind, codeOrField string) {
	t.Helper()
	var e *contracts.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T), want a domain error", err, err)
	}
	if e.Kind != kind || (codeOrField != "" && e.Code != codeOrField && e.Field != codeOrField) {
		t.Fatalf("kind %d code %s field %s (%v), want kind %d and %s", e.Kind, e.Code, e.Field, e, kind, codeOrField)
	}
}
