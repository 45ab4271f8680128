package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/billing"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// Invoices newest first.
func (s *Store) Invoices(ctx context.Context, f billing.InvoiceFilter) ([]billing.Invoice, error) {
	switch f.State {
	case "", billing.Unpaid, billing.Open, billing.Partial, billing.Paid, billing.Cancelled:
	default:
		return nil, contracts.Invalidf("state", "%q is none of open, partial, paid, cancelled, unpaid", f.State)
	}
	if f.Limit == 0 {
		f.Limit = 50
	}
	if f.Limit < 1 || f.Limit > 500 {
		return nil, contracts.Invalidf("limit", "a page has 1 to 500 invoices")
	}
	rows, err := s.Pool.Query(ctx, `select * from (
			select `+invoiceColumns+` from invoice i join contract c on c.id = i.contract_id
			where ($1 = 0 or i.contract_id = $1) and ($2 = 0 or c.customer_id = $2)
			and ($3::date is null or i.due >= $3) and ($4::date is null or i.due <= $4) and ($5 = 0 or i.id < $5)) i
		where case $6 when '' then true
			when 'cancelled' then cancelled_at is not null
			when 'paid' then cancelled_at is null and open <= 0
			when 'partial' then cancelled_at is null and open > 0 and open < principal_cents
			when 'open' then cancelled_at is null and open > 0 and open = principal_cents
			else cancelled_at is null and open > 0 end
		order by id desc limit $7`,
		int64(f.Contract), int64(f.Customer), sqlDate(f.DueFrom), sqlDate(f.DueTo), f.After, string(f.State), f.Limit)
	if err != nil {
		return nil, fmt.Errorf("reading invoices: %w", err)
	}
	invoices, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (billing.Invoice, error) {
		i, err := scanInvoice(r)
		return i.Invoice, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading invoices: %w", err)
	}
	return invoices, nil
}

// Invoice by number, with what settles it when paid on a date.
func (s *Store) Invoice(ctx context.Context, number string, on contracts.Date) (billing.InvoiceDetail, error) {
	rules, err := s.rules(ctx)
	if err != nil {
		return billing.InvoiceDetail{}, err
	}
	var d billing.InvoiceDetail
	err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		i, err := invoiceByNumber(ctx, tx, number)
		if err != nil {
			return err
		}
		st, policy, err := standing(ctx, tx, &i, rules)
		if err != nil {
			return err
		}
		d = billing.InvoiceDetail{Invoice: i.Invoice, EffectiveDue: st.EffectiveDue}
		if i.State() != billing.Cancelled {
			d.Quote = st.Quote(on, policy)
		}
		return readDetail(ctx, tx, &d)
	})
	return d, err
}

func readDetail(ctx context.Context, q contractspg.Querier, d *billing.InvoiceDetail) error {
	fail := func(err error) error { return fmt.Errorf("reading invoice %s: %w", d.Number, err) }
	rows, err := q.Query(ctx, `select description, from_date, until_date, cents from invoice_line where invoice_id = $1 order by n`, d.ID)
	if err != nil {
		return fail(err)
	}
	d.Lines, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (l billing.Line, err error) {
		var from, until *time.Time
		err = r.Scan(&l.Description, &from, &until, &l.Amount)
		l.Period = billing.Period{From: goDate(from), Until: goDate(until)}
		return l, err
	})
	if err != nil {
		return fail(err)
	}
	rows, err = q.Query(ctx, `select `+paymentColumns+` from payment p join invoice i on i.id = p.invoice_id where i.id = $1 order by p.id`, d.ID)
	if err != nil {
		return fail(err)
	}
	if d.Payments, err = pgx.CollectRows(rows, scanPayment); err != nil {
		return fail(err)
	}
	rows, err = q.Query(ctx, `select t.id, t.at, t.kind, coalesce(t.payment_id, 0), t.actor, e.account, e.cents
		from ledger_entry e join ledger_txn t on t.id = e.txn_id where e.invoice_id = $1 order by t.id, e.n`, d.ID)
	if err != nil {
		return fail(err)
	}
	d.Postings, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (p billing.Posting, err error) {
		err = r.Scan(&p.Txn, &p.At, &p.Kind, &p.Payment, &p.Actor, &p.Account, &p.Amount)
		p.At, p.Invoice = p.At.UTC(), d.ID
		return p, err
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// Payment by number.
func (s *Store) Payment(ctx context.Context, id int64) (billing.Payment, error) {
	p, found, err := paymentWhere(ctx, s.Pool, `p.id = $1`, id)
	if err == nil && !found {
		return p, contracts.NotFoundf("there is no payment %d", id)
	}
	return p, err
}

// Balance of a contract.
type Balance struct {
	Principal contracts.Cents // owed
	Fees      contracts.Cents // late fees owed; negative where more was paid than is owed
	Credit    contracts.Cents // paid ahead
}

// Balance of a contract, from the ledger.
func (s *Store) Balance(ctx context.Context, id contracts.ContractID) (Balance, error) {
	var b Balance
	err := s.Pool.QueryRow(ctx, `
		select coalesce(sum(e.cents) filter (where e.account = 'receivable'), 0)::bigint,
			coalesce(sum(e.cents) filter (where e.account = 'fees_receivable'), 0)::bigint,
			coalesce(-sum(e.cents) filter (where e.account = 'customer_credit'), 0)::bigint
		from ledger_txn t join ledger_entry e on e.txn_id = t.id where t.contract_id = $1`, id).Scan(&b.Principal, &b.Fees, &b.Credit)
	if err != nil {
		return b, fmt.Errorf("reading the balance of contract %d: %w", id, err)
	}
	return b, nil
}

// TrialBalance is the sum of every account of the ledger. The sums add up to zero.
func (s *Store) TrialBalance(ctx context.Context) (map[billing.Account]contracts.Cents, error) {
	rows, err := s.Pool.Query(ctx, `select account, sum(cents)::bigint from ledger_entry group by account`)
	if err != nil {
		return nil, fmt.Errorf("reading the trial balance: %w", err)
	}
	sums := map[billing.Account]contracts.Cents{}
	var account billing.Account
	var sum contracts.Cents
	_, err = pgx.ForEachRow(rows, []any{&account, &sum}, func() error {
		sums[account] = sum
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the trial balance: %w", err)
	}
	return sums, nil
}
