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

// posting says whose transaction it is and why.
type posting struct {
	at       time.Time
	contract contracts.ContractID
	payment  int64 // 0: none
	actor    string
}

// post records ledger transactions; one without entries moves nothing and is left out.
func post(ctx context.Context, tx pgx.Tx, p posting, txns ...billing.Txn) error {
	var payment *int64
	if p.payment != 0 {
		payment = &p.payment
	}
	for _, t := range txns {
		if len(t.Entries) == 0 {
			continue
		}
		var id int64
		err := tx.QueryRow(ctx, `insert into ledger_txn (at, kind, contract_id, payment_id, actor) values ($1, $2, $3, $4, $5) returning id`,
			p.at, t.Kind, p.contract, payment, p.actor).Scan(&id)
		if err != nil {
			return fmt.Errorf("recording %s of contract %d in the ledger: %w", t.Kind, p.contract, err)
		}
		var batch pgx.Batch
		for n, e := range t.Entries {
			var invoice *int64
			if e.Invoice != 0 {
				invoice = &e.Invoice
			}
			batch.Queue(`insert into ledger_entry (txn_id, n, account, invoice_id, cents) values ($1, $2, $3, $4, $5)`,
				id, n+1, e.Account, invoice, e.Amount)
		}
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("recording %s of contract %d in the ledger: %w", t.Kind, p.contract, err)
		}
	}
	return nil
}

// transactions reads ledger transactions, oldest first: where is a condition on t (ledger_txn) with one argument.
func transactions(ctx context.Context, q contractspg.Querier, where string, arg any) ([]billing.Txn, error) {
	rows, err := q.Query(ctx, `select t.id, t.kind, e.account, coalesce(e.invoice_id, 0), e.cents
		from ledger_txn t join ledger_entry e on e.txn_id = t.id where `+where+` order by t.id, e.n`, arg)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	var list []billing.Txn
	var id, last int64
	var kind billing.TxnKind
	var e billing.Entry
	_, err = pgx.ForEachRow(rows, []any{&id, &kind, &e.Account, &e.Invoice, &e.Amount}, func() error {
		if id != last {
			list, last = append(list, billing.Txn{Kind: kind}), id
		}
		t := &list[len(list)-1]
		t.Entries = append(t.Entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return list, nil
}

// creditOf a contract is what it paid ahead and has not used.
func creditOf(ctx context.Context, q contractspg.Querier, id contracts.ContractID) (contracts.Cents, error) {
	var credit contracts.Cents
	err := q.QueryRow(ctx, `select coalesce(-sum(e.cents), 0)::bigint from ledger_txn t join ledger_entry e on e.txn_id = t.id
		where t.contract_id = $1 and e.account = 'customer_credit'`, id).Scan(&credit)
	if err != nil {
		return 0, fmt.Errorf("reading the credit of contract %d: %w", id, err)
	}
	return credit, nil
}

// feesOf a contract are the late fees, by invoice, that nobody paid and no later invoice took over.
func feesOf(ctx context.Context, q contractspg.Querier, id contracts.ContractID) ([]billing.Fees, error) {
	rows, err := q.Query(ctx, `select i.id, i.number, sum(e.cents)::bigint from invoice i join ledger_entry e on e.invoice_id = i.id
		where i.contract_id = $1 and e.account = 'fees_receivable' group by i.id, i.number having sum(e.cents) <> 0 order by i.id`, id)
	if err != nil {
		return nil, fmt.Errorf("reading the fees of contract %d: %w", id, err)
	}
	fees, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (f billing.Fees, err error) {
		return f, r.Scan(&f.Invoice, &f.Number, &f.Amount)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the fees of contract %d: %w", id, err)
	}
	return fees, nil
}

// standing of an invoice, and the policy that rules its fees: the one in force when the day it was due began.
func standing(ctx context.Context, q contractspg.Querier, i *row, rules []contracts.Rules) (billing.Standing, *contracts.Policy, error) {
	in := contracts.RulesAt(rules, i.Due.Start(i.zone))
	st := billing.Standing{Open: i.Open, FeesOpen: i.FeesOpen, EffectiveDue: in.Policy.EffectiveDue(i.Due, in.Calendars)}
	var assessed *time.Time
	err := q.QueryRow(ctx, `
		select coalesce(bool_or(t.kind = 'fine'), false), max(p.paid_on), (
			select coalesce(-sum(fee.cents), 0)::bigint from ledger_entry r join ledger_txn issue on issue.id = r.txn_id
			join ledger_entry fee on fee.txn_id = issue.id
			where r.invoice_id = $1 and r.account = 'receivable' and issue.kind = 'issue' and fee.account = 'fees_receivable')
		from payment p join ledger_txn t on t.payment_id = p.id and t.kind in ('fine', 'interest')
		where p.invoice_id = $1 and p.reversed_at is null`, i.ID).Scan(&st.Fined, &assessed, &st.FeesCarried)
	if err != nil {
		return st, nil, fmt.Errorf("reading the fees of invoice %s: %w", i.Number, err)
	}
	st.AssessedTo = goDate(assessed)
	st.FeesCarried = max(0, st.FeesCarried)
	return st, &in.Policy, nil
}
