package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/billing"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// Pay registers a payment: allocation, late fees, ledger, fact and audit in one transaction. fresh is false where the
// same request was registered before; the payment is then the one made at that time. An invoice that is paid already
// takes the amount as customer credit. Conflict: "idempotency" (the external id belongs to another payment), "cancelled".
func (s *Store) Pay(ctx context.Context, req billing.PaymentRequest, now time.Time) (p billing.Payment, fresh bool, err error) {
	now = instant(now)
	rules, err := s.rules(ctx)
	if err != nil {
		return p, false, err
	}
	// The second try meets the payment of whoever used the same external id at the same moment for another contract.
	for try := 0; ; try++ {
		err = s.act(ctx, now, req.Actor, "payment.create", "invoice:"+req.Invoice, func(tx pgx.Tx) (err error) {
			p, fresh, err = pay(ctx, tx, req, now, rules)
			return err
		})
		if try == 0 && violates(err, "payment_external_id_key") {
			continue
		}
		return p, fresh, err
	}
}

func pay(ctx context.Context, tx pgx.Tx, req billing.PaymentRequest, now time.Time, rules []contracts.Rules) (p billing.Payment, fresh bool, err error) {
	// Before the invoice is known its zone is not; the widest date still refuses what is malformed.
	if err := req.Validate(contracts.DateOf(now, time.UTC) + 1); err != nil {
		return p, false, err
	}
	i, err := lockInvoice(ctx, tx, req.Invoice)
	if err != nil {
		return p, false, err
	}
	p, found, err := paymentWhere(ctx, tx, `p.external_id = $1`, req.ExternalID)
	if err != nil {
		return p, false, err
	}
	if found {
		if !p.SameAs(&req) {
			return billing.Payment{}, false, contracts.Conflictf("idempotency", "external id %q belongs to another payment", req.ExternalID)
		}
		return p, false, nil
	}
	today := contracts.DateOf(now, i.zone)
	if err := req.Validate(today); err != nil {
		return p, false, err
	}
	if i.State() == billing.Cancelled {
		return p, false, contracts.Conflictf("cancelled", "invoice %s is cancelled", i.Number)
	}
	if req.PaidOn.IsZero() {
		req.PaidOn = today
	}

	st, policy, err := standing(ctx, tx, &i, rules)
	if err != nil {
		return p, false, err
	}
	fine, interest := st.LateFee(req.PaidOn, policy)
	p = billing.Payment{ExternalID: req.ExternalID, Invoice: i.Number, Contract: i.Contract, Amount: req.Amount, PaidOn: req.PaidOn,
		ReceivedAt: now, Method: req.Method, Actor: req.Actor,
		Used: billing.Allocate(req.Amount, st.Open, st.FeesOpen+fine+interest)}
	err = tx.QueryRow(ctx, `
		insert into payment (external_id, invoice_id, cents, paid_on, received_at, method, actor, principal_cents, fee_cents, credit_cents)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id`,
		p.ExternalID, i.ID, p.Amount, sqlDate(p.PaidOn), now, p.Method, p.Actor, p.Used.Principal, p.Used.Fees, p.Used.Credit).Scan(&p.ID)
	if err != nil {
		return p, false, fmt.Errorf("registering a payment for invoice %s: %w", i.Number, err)
	}
	err = post(ctx, tx, posting{at: now, contract: i.Contract, payment: p.ID, actor: p.Actor},
		billing.Assess(billing.TxnFine, i.ID, fine), billing.Assess(billing.TxnInterest, i.ID, interest), billing.Receive(i.ID, p.Used))
	if err != nil {
		return p, false, err
	}
	if p.Used.Principal > 0 {
		err = contractspg.Append(ctx, tx, now, &contracts.Fact{ContractID: i.Contract, Kind: contracts.PaymentReceived,
			InvoiceID: i.Number, Amount: p.Used.Principal, PaidOn: p.PaidOn, PaymentID: p.ID, Actor: p.Actor})
		if err != nil {
			return p, false, err
		}
	}
	return p, true, contractspg.Audit(ctx, tx, now, p.Actor, "payment.create", "invoice:"+i.Number, "done", map[string]any{
		"payment": p.ID, "amount": p.Amount, "principal": p.Used.Principal, "fees": p.Used.Fees, "credit": p.Used.Credit, "method": p.Method})
}

// Reverse undoes a payment (refund, chargeback, a slip of the operator), its late fees included, once.
// Conflict: "already_reversed"; "credit_used" where credit that it brought has settled another invoice.
func (s *Store) Reverse(ctx context.Context, payment int64, actor, reason string, now time.Time) error {
	now = instant(now)
	subject := fmt.Sprintf("payment:%d", payment)
	return s.act(ctx, now, actor, "payment.reverse", subject, func(tx pgx.Tx) error {
		p, found, err := paymentWhere(ctx, tx, `p.id = $1`, payment)
		if err != nil {
			return err
		}
		if !found {
			return contracts.NotFoundf("there is no payment %d", payment)
		}
		if err := contractspg.Lock(ctx, tx, p.Contract); err != nil {
			return err
		}
		if p, _, err = paymentWhere(ctx, tx, `p.id = $1`, payment); err != nil {
			return err
		}
		if !p.ReversedAt.IsZero() {
			return contracts.Conflictf("already_reversed", "payment %d is already reversed", payment)
		}
		i, err := invoiceByNumber(ctx, tx, p.Invoice)
		if err != nil {
			return err
		}
		var given billing.Txn // where the invoice was withdrawn after the payment, its principal is credit too
		became := p.Used.Credit
		if i.State() == billing.Cancelled {
			given = billing.Credit(i.ID, p.Used.Principal)
			became += p.Used.Principal
		}
		credit, err := creditOf(ctx, tx, p.Contract)
		if err != nil {
			return err
		}
		if became > credit {
			return contracts.Conflictf("credit_used", "%s of payment %d became credit that has settled another invoice", became, payment)
		}
		done, err := transactions(ctx, tx, `t.payment_id = $1`, payment)
		if err != nil {
			return err
		}
		err = post(ctx, tx, posting{at: now, contract: p.Contract, payment: p.ID, actor: actor}, billing.Reverse(billing.TxnReversal, append(done, given)...))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `update payment set reversed_at = $2 where id = $1`, payment, now); err != nil {
			return fmt.Errorf("reversing payment %d: %w", payment, err)
		}
		if err := appendReversal(ctx, tx, now, &p, actor, reason); err != nil {
			return err
		}
		return contractspg.Audit(ctx, tx, now, actor, "payment.reverse", subject, "done",
			map[string]any{"invoice": p.Invoice, "amount": p.Amount, "reason": reason})
	})
}

// appendReversal records the fact, where principal was settled. It counts after the payment's own fact even if no time
// went by in between, because facts of one instant have no order among themselves.
func appendReversal(ctx context.Context, tx pgx.Tx, now time.Time, p *billing.Payment, actor, reason string) error {
	if p.Used.Principal == 0 {
		return nil
	}
	var paid time.Time
	err := tx.QueryRow(ctx, `select max(at) from fact where contract_id = $1 and payment_id = $2`, p.Contract, p.ID).Scan(&paid)
	if err != nil {
		return fmt.Errorf("reading the fact of payment %d: %w", p.ID, err)
	}
	if !now.After(paid) {
		now = paid.Add(time.Microsecond)
	}
	return contractspg.Append(ctx, tx, now, &contracts.Fact{ContractID: p.Contract, Kind: contracts.PaymentReversed,
		InvoiceID: p.Invoice, Amount: p.Used.Principal, PaymentID: p.ID, Actor: actor, Reason: reason})
}

const paymentColumns = `p.id, p.external_id, i.number, i.contract_id, p.cents, p.paid_on, p.received_at, p.method, p.actor,
	p.principal_cents, p.fee_cents, p.credit_cents, p.reversed_at`

func scanPayment(r pgx.CollectableRow) (billing.Payment, error) {
	var p billing.Payment
	var paidOn time.Time
	var reversed *time.Time
	err := r.Scan(&p.ID, &p.ExternalID, &p.Invoice, &p.Contract, &p.Amount, &paidOn, &p.ReceivedAt, &p.Method, &p.Actor,
		&p.Used.Principal, &p.Used.Fees, &p.Used.Credit, &reversed)
	p.PaidOn, p.ReceivedAt, p.ReversedAt = goDate(&paidOn), p.ReceivedAt.UTC(), goTime(reversed)
	return p, err
}

func paymentWhere(ctx context.Context, q contractspg.Querier, where string, arg any) (p billing.Payment, found bool, err error) {
	rows, err := q.Query(ctx, `select `+paymentColumns+` from payment p join invoice i on i.id = p.invoice_id where `+where, arg)
	if err != nil {
		return p, false, fmt.Errorf("reading a payment: %w", err)
	}
	p, err = pgx.CollectExactlyOneRow(rows, scanPayment)
	if errors.Is(err, pgx.ErrNoRows) {
		return billing.Payment{}, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("reading a payment: %w", err)
	}
	return p, true, nil
}
