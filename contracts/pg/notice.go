package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
)

// AwaitingNotice lists contracts, after a number and in its order, that may have an overdue invoice whose notice should
// have gone out by now. It errs on the side of listing: contracts.Debts decides.
func (s *Store) AwaitingNotice(ctx context.Context, now time.Time, after contracts.ContractID, limit int) ([]contracts.ContractID, error) {
	versions, err := s.Rules(ctx)
	if err != nil {
		return nil, err
	}
	in := contracts.RulesAt(versions, now)
	today := contracts.DateOf(now, time.UTC)
	rows, err := s.Pool.Query(ctx, awaitingQuery, after, sqlDate(today.AddDays(1-in.Policy.NoticeDay)), sqlDate(today))
	if err != nil {
		return nil, fmt.Errorf("looking for overdue invoices: %w", err)
	}
	defer rows.Close()
	var ids []contracts.ContractID
	for rows.Next() && len(ids) < limit {
		var id contracts.ContractID
		var zone string
		var due time.Time
		if err := rows.Scan(&id, &zone, &due); err != nil {
			return nil, fmt.Errorf("looking for overdue invoices: %w", err)
		}
		if n := len(ids); n > 0 && ids[n-1] == id {
			continue
		}
		// A contract whose zone cannot be read is listed, so that looking at it tells of the error.
		loc, err := location(zone)
		day := in.Policy.EffectiveDue(goDate(&due), in.Calendars).AddDays(in.Policy.NoticeDay)
		if err != nil || !day.At(in.Policy.NoticeAt, loc).After(now) {
			ids = append(ids, id)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("looking for overdue invoices: %w", err)
	}
	return ids, nil
}

// awaitingQuery leaves out contracts that have certainly ended: dates are compared with a day to spare, because
// contracts live in different zones, and a scheduled end counts only where no later one replaced it.
const awaitingQuery = `
	select a.contract_id, c.zone, a.due from awaiting_notice a join contract c on c.id = a.contract_id
	where a.contract_id > $1 and a.due <= $2::date and not exists (
		select from fact x where x.contract_id = a.contract_id and x.kind = 'cancel_contract' and (
			x.from_date is null or x.from_date < (x.at at time zone 'UTC')::date
			or x.from_date < $3::date - 1 and not exists (select from fact y
				where y.contract_id = x.contract_id and y.kind = 'cancel_contract' and y.at > x.at)))
	order by a.contract_id`

// trackNotice keeps awaiting_notice true to the facts of an invoice, in the transaction that appended one.
func trackNotice(ctx context.Context, tx pgx.Tx, f *contracts.Fact) error {
	if f.InvoiceID == "" {
		return nil
	}
	var batch pgx.Batch
	batch.Queue(`delete from awaiting_notice where contract_id = $1 and invoice_no = $2`, f.ContractID, f.InvoiceID)
	batch.Queue(trackQuery, f.ContractID, f.InvoiceID)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("tracking the notice of invoice %s: %w", f.InvoiceID, err)
	}
	return nil
}

// trackQuery follows the fold of contracts/apply.go: a notice counts until a reversal or a rejected dispute, and a
// reversal without an amount is of everything that was paid.
const trackQuery = `
	with about as (select * from fact where contract_id = $1 and invoice_no = $2)
	insert into awaiting_notice (contract_id, invoice_no, due)
	select i.contract_id, i.invoice_no, i.due from about i
	where i.kind in ('invoice', 'installment') and i.due is not null
		and not exists (select from about where kind in ('cancel_invoice', 'renegotiate'))
		and not exists (select from about d where d.kind = 'dispute'
			and not exists (select from about r where r.kind = 'dispute_rejected' and r.at >= d.at))
		and not exists (select from about n where n.kind = 'notice'
			and not exists (select from about r where r.kind in ('reversal', 'dispute_rejected') and r.at >= n.at))
		and (exists (select from about where kind = 'reversal' and amount_cents = 0)
			or i.amount_cents > (select coalesce(sum(case kind when 'payment' then amount_cents else -amount_cents end), 0)
				from about where kind in ('payment', 'reversal')))`
