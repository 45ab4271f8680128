package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/billing"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// runLock is the advisory lock of the monthly run: the ASCII codes of "bill".
const runLock = 0x62696c6c

// batchSize bounds how many contracts are locked at once: a payment of one of them waits for the batch.
const batchSize = 50

// IssueDue issues every monthly invoice that is to be issued by now and tells how many. One node at a time runs; the
// others return at once with zero. A contract that fails is left out, the others are issued, and the errors come back
// joined. Running again, after a crash or at the same time elsewhere, issues nothing twice.
func (s *Store) IssueDue(ctx context.Context, now time.Time, actor string) (issued int, err error) {
	conn, err := s.Pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("starting the monthly run: %w", err)
	}
	defer conn.Release()
	var mine bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, runLock).Scan(&mine); err != nil {
		return 0, fmt.Errorf("starting the monthly run: %w", err)
	}
	if !mine {
		return 0, nil
	}
	defer func() {
		// A session that cannot be told to unlock must not go back into the pool: closing it unlocks.
		if _, lost := conn.Exec(context.WithoutCancel(ctx), `select pg_advisory_unlock($1)`, runLock); lost != nil {
			conn.Conn().Close(context.WithoutCancel(ctx))
		}
	}()
	return s.issueDue(ctx, instant(now), actor)
}

// issueDue is the run without its lock: any number of them at once still issue each invoice once.
func (s *Store) issueDue(ctx context.Context, now time.Time, actor string) (issued int, err error) {
	rules, err := s.rules(ctx)
	if err != nil {
		return 0, err
	}
	tariffs, err := readTariffs(ctx, s.Pool)
	if err != nil {
		return 0, err
	}
	var failed []error
	ids, err := candidates(ctx, s.Pool, now, contracts.RulesAt(rules, now).Policy.GenerateDaysBefore)
	if err != nil {
		return 0, err
	}
	for batch := range slices.Chunk(ids, batchSize) {
		n, bad, err := s.issueBatch(ctx, batch, now, actor, tariffs)
		failed = append(failed, bad...)
		if err != nil {
			return issued, errors.Join(append(failed, err)...)
		}
		issued += n
	}
	if issued > 0 {
		err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			return contractspg.Audit(ctx, tx, now, actor, "invoice.run", "invoices", "done", map[string]int{"issued": issued, "failed": len(failed)})
		})
		failed = append(failed, err)
	}
	return issued, errors.Join(failed...)
}

// issueBatch issues for a few contracts in one transaction; each has a savepoint, so that one that fails is left out.
func (s *Store) issueBatch(ctx context.Context, ids []contracts.ContractID, now time.Time, actor string, tariffs map[contracts.PlanID]billing.Tariff) (issued int, failed []error, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		for _, id := range ids {
			var n int
			err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) (err error) {
				n, err = issueContract(ctx, tx, id, now, actor, tariffs)
				return err
			})
			switch {
			case err == nil:
				issued += n
			case ctx.Err() != nil || tx.Conn().IsClosed():
				return err
			default:
				failed = append(failed, fmt.Errorf("invoicing contract %d: %w", id, err))
			}
		}
		return nil
	})
	if err != nil {
		return 0, failed, fmt.Errorf("invoicing: %w", err)
	}
	return issued, failed, nil
}

// issueContract issues what one contract is due, under its lock.
func issueContract(ctx context.Context, tx pgx.Tx, id contracts.ContractID, now time.Time, actor string, tariffs map[contracts.PlanID]billing.Tariff) (issued int, err error) {
	if err := contractspg.Lock(ctx, tx, id); err != nil {
		return 0, err
	}
	d, err := contractspg.ReadDossier(ctx, tx, id, now)
	if err != nil {
		return 0, err
	}
	s := billing.Subscription{Contract: d.Contract, Facts: d.Facts, Tariffs: tariffs, Spans: d.Timeline(contracts.Options{}).Spans}
	today := contracts.DateOf(now, d.Contract.Zone)
	var drafts, next []billing.Draft
	for {
		if s.Billed, err = readBilled(ctx, tx, id); err != nil {
			return 0, err
		}
		next = billing.Due(&s, today, &contracts.RulesAt(d.Rules, now).Policy)
		wrong := 0
		for _, draft := range next {
			if draft.Replaces == "" {
				continue
			}
			wrong++
			if err := withdraw(ctx, tx, now, actor, draft.Replaces); err != nil {
				return 0, err
			}
			if len(draft.Lines) > 0 {
				drafts = append(drafts, draft)
			}
		}
		if wrong == 0 {
			break
		}
	}
	slices.SortFunc(drafts, func(a, b billing.Draft) int { return cmp.Compare(a.Period.From, b.Period.From) })
	for _, draft := range append(drafts, next...) {
		carried, err := carry(ctx, tx, id, billing.Total(draft.Lines))
		if err != nil {
			return 0, err
		}
		_, done, err := issue(ctx, tx, now, actor, id, billing.Monthly, draft, carried)
		if err != nil {
			return 0, err
		}
		if done {
			issued++
		}
	}
	return issued, nil
}

// withdraw cancels an invoice that the contract's end made wrong. What was paid for it becomes the customer's credit,
// which settles the invoice that replaces it.
func withdraw(ctx context.Context, tx pgx.Tx, now time.Time, actor, number string) error {
	i, err := invoiceByNumber(ctx, tx, number)
	if err != nil {
		return err
	}
	paid, err := paidPrincipal(ctx, tx, i.ID)
	if err != nil {
		return err
	}
	if err := cancel(ctx, tx, now, actor, "the contract's end changed what it charges", &i); err != nil {
		return err
	}
	return post(ctx, tx, posting{at: now, contract: i.Contract, actor: actor}, billing.Credit(i.ID, paid))
}

// carry are the open fees that the next invoice takes over: all of them, unless they are a credit that it has no room for.
func carry(ctx context.Context, tx pgx.Tx, id contracts.ContractID, room contracts.Cents) ([]billing.Fees, error) {
	fees, err := feesOf(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	for _, f := range fees {
		room += f.Amount
	}
	if room < 0 {
		return nil, nil
	}
	return fees, nil
}

// candidates are contracts, in order of number, that may have something to issue: more than really have, never fewer.
// For every due day there is one date before which the days invoiced so far must end, or else nothing can be issued yet.
// The query's dates are widened by a day, because contracts live in different zones; each is then held against its own.
func candidates(ctx context.Context, q contractspg.Querier, now time.Time, daysBefore int) ([]contracts.ContractID, error) {
	today := contracts.DateOf(now, time.UTC)
	var starts, ends [31]time.Time // of the cycle, by due day, in which an invoice due on the last day to look at lies
	for i := range starts {
		c := billing.CycleAt(today.AddDays(1+daysBefore), i+1, contracts.Postpaid)
		starts[i], ends[i] = *sqlDate(c.From), *sqlDate(c.Until)
	}
	rows, err := q.Query(ctx, candidateQuery, starts[:], ends[:], sqlDate(today))
	if err != nil {
		return nil, fmt.Errorf("looking for contracts to invoice: %w", err)
	}
	var ids []contracts.ContractID
	var id contracts.ContractID
	var zone *string // where the query decided by a date, which is to be the contract's own
	var dueDay *int
	var timing *contracts.Timing
	var upto *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &zone, &dueDay, &timing, &upto}, func() error {
		if zone != nil {
			// A contract whose zone cannot be read is looked at, so that the run tells of the error.
			if loc, err := contractspg.Zone(*zone); err == nil && !wanted(contracts.DateOf(now, loc).AddDays(daysBefore), *dueDay, *timing, goDate(upto)) {
				return nil
			}
		}
		if n := len(ids); n == 0 || ids[n-1] != id {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for contracts to invoice: %w", err)
	}
	return ids, nil
}

// wanted reports whether an invoice due by a day charges days that no invoice up to a date has charged.
func wanted(by contracts.Date, dueDay int, timing contracts.Timing, upto contracts.Date) bool {
	c := billing.CycleAt(by, dueDay, contracts.Postpaid)
	if timing == contracts.Prepaid {
		return upto < c.Until
	}
	return upto < c.From
}

// candidateQuery finds contracts whose invoiced days end too early and that had not ended by then, and contracts that
// were charged beyond their end before it was known. An end long ago is believed to two days: its zone cannot matter
// any more.
const candidateQuery = `
	with ended as materialized (
		select contract_id, min(greatest((at at time zone 'UTC')::date, from_date)) as on_date, max(at) as known_at
		from fact where kind = 'cancel_contract' group by contract_id
	), late as materialized (
		select c.id, c.zone, c.due_day, c.timing, c.starts_pending, c.exempt, coalesce((select max(upper(i.period)) from invoice i
			where i.contract_id = c.id and i.kind = 'monthly'), c.billing_anchor) as upto
		from contract c
		cross join lateral (select case c.timing when 'prepaid' then ($2::date[])[c.due_day] else ($1::date[])[c.due_day] end as upto) want
		where c.billing_anchor < want.upto and not exists (select from invoice i where i.contract_id = c.id and i.kind = 'monthly'
			and i.due >= ($1::date[])[c.due_day] and upper(i.period) >= want.upto)
	)
	select l.id, l.zone, l.due_day, l.timing, l.upto from late l left join ended e on e.contract_id = l.id
	where (not l.starts_pending or exists (select from fact f where f.contract_id = l.id and f.kind = 'activate'))
	and (not l.exempt or exists (select from fact f where f.contract_id = l.id and f.kind = 'settings'))
	and (e.on_date is null or e.on_date > l.upto + 1 or (e.on_date >= l.upto and e.on_date + 70 >= $3::date))
	union
	select e.contract_id, null, null, null, null from ended e join invoice i on i.contract_id = e.contract_id
	where i.kind = 'monthly' and i.cancelled_at is null and upper(i.period) > e.on_date and i.issued_at <= e.known_at
	and upper(i.period) + 70 >= $3::date and e.on_date <= $3::date + 1
	order by 1`

// readBilled are the monthly invoices of a contract, cancelled ones included.
func readBilled(ctx context.Context, q contractspg.Querier, id contracts.ContractID) ([]billing.Billed, error) {
	rows, err := q.Query(ctx, `
		select i.number, lower(i.period), upper(i.period), i.due, i.cancelled_at is not null,
			coalesce((select sum(l.cents) from invoice j join invoice_line l on l.invoice_id = j.id
				where j.contract_id = $1 and j.kind = 'monthly' and j.cancelled_at is null
				and l.from_date >= lower(i.period) and l.until_date <= upper(i.period)), 0)::bigint
		from invoice i where i.contract_id = $1 and i.kind = 'monthly' order by lower(i.period), i.id`, id)
	if err != nil {
		return nil, fmt.Errorf("reading the invoices of contract %d: %w", id, err)
	}
	billed, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (b billing.Billed, err error) {
		var from, until, due time.Time
		err = r.Scan(&b.Invoice, &from, &until, &due, &b.Cancelled, &b.Charged)
		b.Period, b.Due = billing.Period{From: goDate(&from), Until: goDate(&until)}, goDate(&due)
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the invoices of contract %d: %w", id, err)
	}
	return billed, nil
}

// readTariffs are the prices of every plan, oldest first.
func readTariffs(ctx context.Context, q contractspg.Querier) (map[contracts.PlanID]billing.Tariff, error) {
	rows, err := q.Query(ctx, `select p.id, p.name, v.since, v.price_cents from plan p join plan_version v on v.plan_id = p.id order by p.id, v.since`)
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	tariffs := map[contracts.PlanID]billing.Tariff{}
	var id contracts.PlanID
	var name string
	var p billing.Price
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &p.Since, &p.Amount}, func() error {
		t := tariffs[id]
		t.Name, t.Prices = name, append(t.Prices, p)
		tariffs[id] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	return tariffs, nil
}
