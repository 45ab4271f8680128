package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/postgres"
)

// Append records a fact in the caller's transaction: it locks the contract, gives the fact its instant (now, but always
// after the contract's last fact, so that what was recorded first also counts first), and marks the contract as changed.
func Append(ctx context.Context, tx pgx.Tx, now time.Time, f *contracts.Fact) error {
	if err := f.Validate(); err != nil {
		return err
	}
	if err := Lock(ctx, tx, f.ContractID); err != nil {
		return err
	}
	var last *time.Time
	if err := tx.QueryRow(ctx, `select max(at) from fact where contract_id = $1`, f.ContractID).Scan(&last); err != nil {
		return fmt.Errorf("reading the last fact of contract %d: %w", f.ContractID, err)
	}
	f.At = stamp(now, last)
	var settings []byte
	if f.Settings != nil {
		var err error
		if settings, err = json.Marshal(f.Settings); err != nil {
			return fmt.Errorf("writing settings: %w", err)
		}
	}
	err := tx.QueryRow(ctx, `
		insert into fact (contract_id, at, kind, invoice_no, agreement, payment_id, amount_cents, due, paid_on,
			from_date, until_date, plan_id, access_id, settings, channel, proof, actor, reason, bytes)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) returning id`,
		f.ContractID, f.At, f.Kind, f.InvoiceID, f.AgreementID, f.PaymentID, f.Amount, sqlDate(f.Due), sqlDate(f.PaidOn),
		sqlDate(f.From), sqlDate(f.Until), f.PlanID, f.AccessID, settings, f.Channel, f.Proof, f.Actor, f.Reason, f.Bytes,
	).Scan(&f.ID)
	if err != nil {
		return fmt.Errorf("recording %s of contract %d: %w", f.Kind, f.ContractID, err)
	}
	if err := trackNotice(ctx, tx, f); err != nil {
		return err
	}
	if err := postgres.MarkChanged(ctx, tx, "contract", int64(f.ContractID)); err != nil {
		return err
	}
	return postgres.NotifyChange(ctx, tx)
}

// stamp is the instant of a fact recorded at now after the contract's last one: instants of PostgreSQL are microseconds.
func stamp(now time.Time, last *time.Time) time.Time {
	at := now.UTC().Truncate(time.Microsecond)
	if last != nil && !at.After(*last) {
		return last.UTC().Add(time.Microsecond)
	}
	return at
}

// Lock holds the contract's row until the transaction ends, so that its facts are recorded one after another.
func Lock(ctx context.Context, tx pgx.Tx, id contracts.ContractID) error {
	var one int
	err := tx.QueryRow(ctx, `select 1 from contract where id = $1 for update`, id).Scan(&one)
	if errors.Is(err, pgx.ErrNoRows) {
		return contracts.NotFoundf("there is no contract %d", id)
	}
	if err != nil {
		return fmt.Errorf("locking contract %d: %w", id, err)
	}
	return nil
}

const factColumns = `id, contract_id, at, kind, invoice_no, agreement, payment_id, amount_cents, due, paid_on, from_date,
	until_date, plan_id, access_id, settings, channel, proof, actor, reason, bytes`

func scanFact(row pgx.CollectableRow) (contracts.Fact, error) {
	var f contracts.Fact
	var due, paidOn, from, until *time.Time
	var settings []byte
	err := row.Scan(&f.ID, &f.ContractID, &f.At, &f.Kind, &f.InvoiceID, &f.AgreementID, &f.PaymentID, &f.Amount, &due,
		&paidOn, &from, &until, &f.PlanID, &f.AccessID, &settings, &f.Channel, &f.Proof, &f.Actor, &f.Reason, &f.Bytes)
	if err != nil {
		return f, err
	}
	f.At = f.At.UTC()
	f.Due, f.PaidOn, f.From, f.Until = goDate(due), goDate(paidOn), goDate(from), goDate(until)
	if settings != nil {
		f.Settings = &contracts.Settings{}
		if err := json.Unmarshal(settings, f.Settings); err != nil {
			return f, fmt.Errorf("reading the settings of fact %d: %w", f.ID, err)
		}
	}
	return f, nil
}

// sqlDate is a civil date as PostgreSQL's date; no date is null.
func sqlDate(d contracts.Date) *time.Time {
	if d.IsZero() {
		return nil
	}
	y, m, day := d.Parts()
	t := time.Date(y, m, day, 0, 0, 0, 0, time.UTC)
	return &t
}

func goDate(t *time.Time) contracts.Date {
	if t == nil {
		return 0
	}
	return contracts.DateOf(*t, time.UTC)
}
