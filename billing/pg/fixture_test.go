package pg

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/billing"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/postgres/pgtest"
)

var saoPaulo = func() *time.Location {
	l, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		panic(err)
	}
	return l
}()

// plain keeps secrets readable: nothing here is about them.
type plain struct{}

func (plain) Seal(b []byte) []byte          { return b }
func (plain) Open(b []byte) ([]byte, error) { return b, nil }

// at is an instant in São Paulo: "2026-03-10 15:00".
func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, saoPaulo)
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

// company is a provider with one customer and two plans: 100.00 and 150.00.
type company struct {
	testing.TB
	ctx       context.Context
	store     *Store
	contracts *contractspg.Store
	customer  contracts.CustomerID
	basic     contracts.PlanID
	better    contracts.PlanID
	logins    int
}

func found(t testing.TB) *company {
	pool := pgtest.New(t)
	f := &company{TB: t, ctx: context.Background(), store: &Store{Pool: pool}, contracts: &contractspg.Store{Pool: pool, Sealer: plain{}}}
	c := contracts.Customer{Name: "Maria"}
	f.must(f.contracts.CreateCustomer(f.ctx, "test", at("2025-01-01 08:00"), &c))
	f.customer = c.ID
	for name, p := range map[string]*contracts.PlanID{"Fibra 500": &f.basic, "Fibra 900": &f.better} {
		plan := contracts.Plan{Name: name, Price: 10000, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10}
		if p == &f.better {
			plan.Price = 15000
		}
		f.must(f.contracts.CreatePlan(f.ctx, "test", at("2025-01-01 08:00"), &plan))
		*p = plan.ID
	}
	return f
}

func (f *company) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// sign makes a contract of the basic plan, due on day 10, from an instant on.
func (f *company) sign(from string, change func(*contracts.Contract)) contracts.ContractID {
	f.Helper()
	f.logins++
	c := contracts.Contract{CustomerID: f.customer, PlanID: f.basic, Zone: saoPaulo, AutoBlock: true, DueDay: 10, Timing: contracts.Postpaid,
		Accesses: []contracts.Access{{Login: fmt.Sprintf("user%d@isp", f.logins)}}}
	if change != nil {
		change(&c)
	}
	f.must(f.contracts.CreateContract(f.ctx, "test", at(from), &c, []string{"secret"}))
	return c.ID
}

func (f *company) run(now string, want int) {
	f.Helper()
	n, err := f.store.IssueDue(f.ctx, at(now), "system")
	if err != nil || n != want {
		f.Fatalf("run at %s issued %d (%v), want %d", now, n, err, want)
	}
}

// record appends a fact.
func (f *company) record(now string, fact contracts.Fact) {
	f.Helper()
	fact.Actor = "test"
	f.must(pgx.BeginFunc(f.ctx, f.store.Pool, func(tx pgx.Tx) error { return contractspg.Append(f.ctx, tx, at(now), &fact) }))
}

// invoices of a contract, oldest first.
func (f *company) invoices(id contracts.ContractID) []billing.Invoice {
	f.Helper()
	list, err := f.store.Invoices(f.ctx, billing.InvoiceFilter{Contract: id, Limit: 500})
	f.must(err)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

func (f *company) detail(number, on string) billing.InvoiceDetail {
	f.Helper()
	d, err := f.store.Invoice(f.ctx, number, day(on))
	f.must(err)
	return d
}

// pay registers a payment that must be accepted and fresh.
func (f *company) pay(id, invoice string, amount contracts.Cents, paidOn, now string) billing.Payment {
	f.Helper()
	p, fresh, err := f.store.Pay(f.ctx, billing.PaymentRequest{ExternalID: id, Invoice: invoice, Amount: amount, PaidOn: day(paidOn),
		Method: billing.Pix, Actor: "test"}, at(now))
	f.must(err)
	if !fresh {
		f.Fatalf("payment %s is not fresh", id)
	}
	return p
}

// refused checks that err is a domain error with a code.
func (f *company) refused(err error, code string) {
	f.Helper()
	var e *contracts.Error
	if !errors.As(err, &e) || e.Code != code {
		f.Fatalf("%v, want a refusal with code %s", err, code)
	}
}

// sound checks what must hold of the books at any time.
func (f *company) sound() {
	f.Helper()
	sums, err := f.store.TrialBalance(f.ctx)
	f.must(err)
	var total contracts.Cents
	for _, s := range sums {
		total += s
	}
	if total != 0 {
		f.Fatalf("the trial balance sums to %s: %v", total, sums)
	}
	var crooked int
	f.must(f.store.Pool.QueryRow(f.ctx, `select count(*) from (select from ledger_entry group by txn_id having sum(cents) <> 0) x`).Scan(&crooked))
	if crooked != 0 {
		f.Fatalf("%d transactions do not sum to zero", crooked)
	}
	var cash contracts.Cents
	f.must(f.store.Pool.QueryRow(f.ctx, `select coalesce(sum(cents), 0)::bigint from payment where reversed_at is null`).Scan(&cash))
	if cash != sums[billing.Money] {
		f.Fatalf("payments of %s, cash of %s", cash, sums[billing.Money])
	}
	if sums[billing.CustomerCredit] > 0 {
		f.Fatalf("customers' credit is overdrawn by %s", sums[billing.CustomerCredit])
	}
	ids, err := pgx.CollectRows(query(f, `select id from contract`), pgx.RowTo[contracts.ContractID])
	f.must(err)
	for _, id := range ids {
		f.soundContract(id)
	}
}

func query(f *company, sql string) pgx.Rows {
	rows, err := f.store.Pool.Query(f.ctx, sql)
	f.must(err)
	return rows
}

// soundContract compares the ledger with payments, credit and facts, invoice by invoice.
func (f *company) soundContract(id contracts.ContractID) {
	f.Helper()
	d, err := f.contracts.Dossier(f.ctx, id, at("2030-01-01 00:00"))
	f.must(err)
	late := at("2030-01-01 00:00")
	open := map[string]contracts.Cents{}
	for _, debt := range contracts.Debts(d.Contract, d.Facts, d.Rules, late) {
		open[debt.InvoiceID] = debt.Open
	}
	var receivable contracts.Cents
	for _, i := range f.invoices(id) {
		detail := f.detail(i.Number, "2026-03-10")
		settled := contracts.Cents(0)
		for _, p := range detail.Payments {
			if p.Used.Principal+p.Used.Fees+p.Used.Credit != p.Amount {
				f.Fatalf("payment %d of %s is used as %+v", p.ID, p.Amount, p.Used)
			}
			if p.ReversedAt.IsZero() {
				settled += p.Used.Principal
			}
		}
		for _, p := range detail.Postings {
			if p.Kind == billing.TxnCredit && p.Account == billing.Receivable {
				settled -= p.Amount
			}
		}
		want := i.Principal - settled
		if i.State() == billing.Cancelled {
			want = 0
		}
		if i.Open != want || i.Open < 0 {
			f.Fatalf("invoice %s of %s is open with %s, settled with %s", i.Number, i.Principal, i.Open, settled)
		}
		if open[i.Number] != i.Open {
			f.Fatalf("invoice %s: the ledger says %s is open, the facts say %s", i.Number, i.Open, open[i.Number])
		}
		if billing.Total(detail.Lines) != i.Principal {
			f.Fatalf("invoice %s of %s has lines of %s", i.Number, i.Principal, billing.Total(detail.Lines))
		}
		receivable += i.Open
	}
	b, err := f.store.Balance(f.ctx, id)
	f.must(err)
	if b.Principal != receivable || b.Credit < 0 {
		f.Fatalf("balance %+v, invoices are open with %s", b, receivable)
	}
}

// audited counts the lines of the audit with an act and a result.
func (f *company) audited(act, result string) (n int) {
	f.Helper()
	f.must(f.store.Pool.QueryRow(f.ctx, `select count(*) from audit where act = $1 and result = $2`, act, result).Scan(&n))
	return n
}
