package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
)

// AwaitingNotice lists contracts, after a number and in its order, that may have an overdue invoice without a notice
// that counts. It errs on the side of listing: contracts.Debts decides.
func (s *Store) AwaitingNotice(ctx context.Context, now time.Time, after contracts.ContractID, limit int) ([]contracts.ContractID, error) {
	rows, err := s.Pool.Query(ctx, `
		select distinct i.contract_id from fact i
		where i.kind in ('invoice', 'installment') and i.contract_id > $1 and i.due < $2::date
			and not exists (
				select from fact n where n.contract_id = i.contract_id and n.invoice_no = i.invoice_no and n.kind = 'notice'
					and not exists (select from fact r where r.contract_id = i.contract_id and r.invoice_no = i.invoice_no
						and r.kind in ('reversal', 'dispute_rejected') and r.at >= n.at))
			and (i.amount_cents > (
				select coalesce(sum(case p.kind when 'payment' then p.amount_cents else -p.amount_cents end), 0)
				from fact p where p.contract_id = i.contract_id and p.invoice_no = i.invoice_no and p.kind in ('payment', 'reversal'))
				or exists (select from fact p where p.contract_id = i.contract_id and p.invoice_no = i.invoice_no
					and p.kind = 'reversal' and p.amount_cents = 0)) -- of everything that was paid
			and not exists (select from fact c where c.contract_id = i.contract_id and c.invoice_no = i.invoice_no
				and c.kind in ('cancel_invoice', 'renegotiate'))
		order by i.contract_id limit $3`,
		after, now.AddDate(0, 0, 1), limit)
	if err != nil {
		return nil, fmt.Errorf("looking for overdue invoices: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[contracts.ContractID])
}
