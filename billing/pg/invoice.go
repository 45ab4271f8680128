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

// issue records an invoice with its lines, ledger transaction and fact, and settles it with the contract's credit. The
// contract is locked by the caller. done is false where the days are charged already: then nothing was recorded.
func issue(ctx context.Context, tx pgx.Tx, now time.Time, actor string, id contracts.ContractID, kind billing.Kind, d billing.Draft, carried []billing.Fees) (number string, done bool, err error) {
	lines := d.Lines
	for _, f := range carried {
		lines = append(lines, billing.Line{Description: billing.FeesText + " " + f.Number, Amount: f.Amount})
	}
	principal := billing.Total(lines)
	if principal < 0 || principal > contracts.MaxAmount {
		return "", false, contracts.Invalidf("lines", "an invoice of %s cannot be issued", principal)
	}
	rows, err := tx.Query(ctx, `
		insert into invoice (number, contract_id, kind, period, issued_at, due, principal_cents)
		select 'F' || repeat('0', 8 - length(n)) || n, $1, $2, daterange($3, $4), $5, $6, $7 from (select nextval('invoice_number')::text as n) s
		on conflict on constraint invoice_period_once do nothing returning id, number`,
		id, kind, sqlDate(d.Period.From), sqlDate(d.Period.Until), now, sqlDate(d.Due), principal)
	if err != nil {
		return "", false, fmt.Errorf("issuing an invoice of contract %d: %w", id, err)
	}
	var invoice int64
	tag, err := pgx.ForEachRow(rows, []any{&invoice, &number}, func() error { return nil })
	if err != nil {
		return "", false, fmt.Errorf("issuing an invoice of contract %d: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return "", false, nil
	}
	var batch pgx.Batch
	for n, l := range lines {
		batch.Queue(`insert into invoice_line (invoice_id, n, description, from_date, until_date, cents) values ($1, $2, $3, $4, $5, $6)`,
			invoice, n+1, l.Description, sqlDate(l.Period.From), sqlDate(l.Period.Until), l.Amount)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return "", false, fmt.Errorf("issuing invoice %s: %w", number, err)
	}
	p := posting{at: now, contract: id, actor: actor}
	if err := post(ctx, tx, p, billing.Issue(invoice, billing.Total(d.Lines), carried)); err != nil {
		return "", false, err
	}
	err = contractspg.Append(ctx, tx, now, &contracts.Fact{ContractID: id, Kind: contracts.InvoiceIssued,
		InvoiceID: number, Amount: principal, Due: d.Due, Actor: actor})
	if err != nil {
		return "", false, err
	}
	return number, true, applyCredit(ctx, tx, p, invoice, number, principal)
}

// applyCredit settles an invoice just issued with what the contract paid ahead.
func applyCredit(ctx context.Context, tx pgx.Tx, p posting, invoice int64, number string, principal contracts.Cents) error {
	credit, err := creditOf(ctx, tx, p.contract)
	if err != nil {
		return err
	}
	used := min(credit, principal)
	if used <= 0 {
		return nil
	}
	if err := post(ctx, tx, p, billing.ApplyCredit(invoice, used)); err != nil {
		return err
	}
	return contractspg.Append(ctx, tx, p.at, &contracts.Fact{ContractID: p.contract, Kind: contracts.PaymentReceived,
		InvoiceID: number, Amount: used, Actor: p.actor, Reason: "customer credit"})
}

// ManualInvoice charges what somebody wrote. A contract that has ended can still be charged.
func (s *Store) ManualInvoice(ctx context.Context, id contracts.ContractID, due contracts.Date, lines []billing.Line, actor string, now time.Time) (billing.Invoice, error) {
	now = instant(now)
	var made row
	err := s.act(ctx, now, actor, "invoice.create", fmt.Sprintf("contract:%d", id), func(tx pgx.Tx) error {
		if err := contractspg.Lock(ctx, tx, id); err != nil {
			return err
		}
		var zone string
		if err := tx.QueryRow(ctx, `select zone from contract where id = $1`, id).Scan(&zone); err != nil {
			return fmt.Errorf("reading contract %d: %w", id, err)
		}
		loc, err := time.LoadLocation(zone)
		if err != nil {
			return fmt.Errorf("reading contract %d: %w", id, err)
		}
		if err := billing.ValidateManual(due, contracts.DateOf(now, loc), lines); err != nil {
			return err
		}
		draft := billing.Draft{Period: hull(lines, due), Due: due, Lines: lines}
		number, _, err := issue(ctx, tx, now, actor, id, billing.Manual, draft, nil)
		if err != nil {
			return err
		}
		if made, err = invoiceByNumber(ctx, tx, number); err != nil {
			return err
		}
		return contractspg.Audit(ctx, tx, now, actor, "invoice.create", "invoice:"+number, "done",
			map[string]any{"contract": id, "principal": made.Principal, "due": due})
	})
	return made.Invoice, err
}

// hull is from the first to the last day that lines name, or the due date where they name none.
func hull(lines []billing.Line, due contracts.Date) billing.Period {
	var p billing.Period
	for _, l := range lines {
		if l.Period.Days() == 0 {
			continue
		}
		if p.Days() == 0 {
			p = l.Period
		}
		p = billing.Period{From: min(p.From, l.Period.From), Until: max(p.Until, l.Period.Until)}
	}
	if p.Days() == 0 {
		p = billing.Period{From: due, Until: due + 1}
	}
	return p
}

// CancelInvoice withdraws an invoice that no standing payment is for; credit that settled it is the customer's again.
// Conflict: "has_payments", "already_cancelled".
func (s *Store) CancelInvoice(ctx context.Context, number, actor, reason string, now time.Time) error {
	now = instant(now)
	return s.act(ctx, now, actor, "invoice.cancel", "invoice:"+number, func(tx pgx.Tx) error {
		i, err := lockInvoice(ctx, tx, number)
		if err != nil {
			return err
		}
		if i.State() == billing.Cancelled {
			return contracts.Conflictf("already_cancelled", "invoice %s is already cancelled", number)
		}
		paid, err := hasPayments(ctx, tx, i.ID)
		if err != nil {
			return err
		}
		if paid {
			return contracts.Conflictf("has_payments", "invoice %s has payments: reverse them first", i.Number)
		}
		return cancel(ctx, tx, now, actor, reason, &i)
	})
}

// cancel undoes what issued an invoice and the credit that settled it.
func cancel(ctx context.Context, tx pgx.Tx, now time.Time, actor, reason string, i *row) error {
	done, err := transactions(ctx, tx, `t.kind in ('issue', 'credit_applied') and t.id in
		(select r.txn_id from ledger_entry r where r.invoice_id = $1 and r.account = 'receivable')`, i.ID)
	if err != nil {
		return err
	}
	if err := post(ctx, tx, posting{at: now, contract: i.Contract, actor: actor}, billing.Reverse(billing.TxnCancel, done...)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update invoice set cancelled_at = $2 where id = $1`, i.ID, now); err != nil {
		return fmt.Errorf("cancelling invoice %s: %w", i.Number, err)
	}
	err = contractspg.Append(ctx, tx, now, &contracts.Fact{ContractID: i.Contract, Kind: contracts.InvoiceCancelled,
		InvoiceID: i.Number, Actor: actor, Reason: reason})
	if err != nil {
		return err
	}
	return contractspg.Audit(ctx, tx, now, actor, "invoice.cancel", "invoice:"+i.Number, "done", map[string]string{"reason": reason})
}

func hasPayments(ctx context.Context, q contractspg.Querier, invoice int64) (bool, error) {
	var paid bool
	err := q.QueryRow(ctx, `select exists (select from payment where invoice_id = $1 and reversed_at is null)`, invoice).Scan(&paid)
	if err != nil {
		return false, fmt.Errorf("reading payments: %w", err)
	}
	return paid, nil
}

// paidPrincipal is how much of an invoice's principal standing payments settled.
func paidPrincipal(ctx context.Context, q contractspg.Querier, invoice int64) (contracts.Cents, error) {
	var paid contracts.Cents
	err := q.QueryRow(ctx, `select coalesce(sum(principal_cents), 0)::bigint from payment where invoice_id = $1 and reversed_at is null`, invoice).Scan(&paid)
	if err != nil {
		return 0, fmt.Errorf("reading payments: %w", err)
	}
	return paid, nil
}
