// Package pg keeps invoices, payments and the ledger in PostgreSQL. Every act is one transaction under the contract's
// lock: the ledger, the contract's fact and the audit are written together or not at all.
package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/billing"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// Store is the billing part of the database.
type Store struct {
	Pool *pgxpool.Pool
}

// act runs do in a transaction. A refusal (Conflict, Denied) leaves a line in the audit, and nothing else.
func (s *Store) act(ctx context.Context, now time.Time, actor, act, subject string, do func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.Pool, do)
	var refused *contracts.Error
	if errors.As(err, &refused) && (refused.Kind == contracts.Conflict || refused.Kind == contracts.Denied) {
		audit := func(tx pgx.Tx) error {
			return contractspg.Audit(ctx, tx, now, actor, act, subject, refused.Code, nil)
		}
		if lost := pgx.BeginFunc(ctx, s.Pool, audit); lost != nil {
			return errors.Join(err, lost)
		}
	}
	return err
}

// rules are all versions; read before a transaction begins, because they come over a connection of their own.
func (s *Store) rules(ctx context.Context) ([]contracts.Rules, error) {
	return (&contractspg.Store{Pool: s.Pool}).Rules(ctx)
}

// instant is now as PostgreSQL keeps it.
func instant(now time.Time) time.Time { return now.UTC().Truncate(time.Microsecond) }

// row is an invoice with what is needed of its contract.
type row struct {
	billing.Invoice
	zone *time.Location
}

const invoiceColumns = `i.id, i.number, i.contract_id, c.customer_id, i.kind, lower(i.period), upper(i.period), i.issued_at, i.due,
	i.principal_cents, i.cancelled_at, c.zone,
	coalesce((select sum(e.cents) from ledger_entry e where e.invoice_id = i.id and e.account = 'receivable'), 0)::bigint as open,
	coalesce((select sum(e.cents) from ledger_entry e where e.invoice_id = i.id and e.account = 'fees_receivable'), 0)::bigint as fees`

func scanInvoice(r pgx.CollectableRow) (row, error) {
	var i row
	var from, until, due time.Time
	var cancelled *time.Time
	var zone string
	err := r.Scan(&i.ID, &i.Number, &i.Contract, &i.Customer, &i.Kind, &from, &until, &i.IssuedAt, &due, &i.Principal,
		&cancelled, &zone, &i.Open, &i.FeesOpen)
	if err != nil {
		return i, err
	}
	i.Period, i.Due = billing.Period{From: goDate(&from), Until: goDate(&until)}, goDate(&due)
	i.IssuedAt, i.CancelledAt = i.IssuedAt.UTC(), goTime(cancelled)
	i.zone, err = time.LoadLocation(zone)
	return i, err
}

// invoiceByNumber reads an invoice. Its amounts are final for the transaction only under the contract's lock.
func invoiceByNumber(ctx context.Context, q contractspg.Querier, number string) (row, error) {
	if !utf8.ValidString(number) || strings.ContainsRune(number, 0) { // PostgreSQL's text holds neither
		return row{}, contracts.NotFoundf("there is no invoice %q", number)
	}
	rows, err := q.Query(ctx, `select `+invoiceColumns+` from invoice i join contract c on c.id = i.contract_id where i.number = $1`, number)
	if err != nil {
		return row{}, fmt.Errorf("reading invoice %s: %w", number, err)
	}
	i, err := pgx.CollectExactlyOneRow(rows, scanInvoice)
	if errors.Is(err, pgx.ErrNoRows) {
		return i, contracts.NotFoundf("there is no invoice %q", number)
	}
	if err != nil {
		return i, fmt.Errorf("reading invoice %s: %w", number, err)
	}
	return i, nil
}

// lockInvoice locks the invoice's contract and reads the invoice.
func lockInvoice(ctx context.Context, tx pgx.Tx, number string) (row, error) {
	i, err := invoiceByNumber(ctx, tx, number)
	if err != nil {
		return i, err
	}
	if err := contractspg.Lock(ctx, tx, i.Contract); err != nil {
		return i, err
	}
	return invoiceByNumber(ctx, tx, number)
}

// violates reports whether err is the violation of the named constraint.
func violates(err error, constraint string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.ConstraintName == constraint
}

// sqlDate is a civil date as PostgreSQL's date; no date is null.
func sqlDate(d contracts.Date) *time.Time {
	if d.IsZero() {
		return nil
	}
	t := d.Start(time.UTC)
	return &t
}

func goDate(t *time.Time) contracts.Date {
	if t == nil {
		return 0
	}
	return contracts.DateOf(*t, time.UTC)
}

func goTime(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
