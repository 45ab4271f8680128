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

// CreatePlan validates and inserts a plan with its first version; p.ID is set.
func (s *Store) CreatePlan(ctx context.Context, actor string, now time.Time, p *contracts.Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `insert into plan (name, created_at) values ($1, $2) returning id`, p.Name, now).Scan(&p.ID)
		if err != nil {
			return conflictOn(err, "plan_name_key", "duplicate_name", "there is already a plan named %q", p.Name)
		}
		return savePlanVersion(ctx, tx, actor, now, p, "plan.create")
	})
}

// UpdatePlan records a new version: price and rates from now on. The name is corrected in place.
func (s *Store) UpdatePlan(ctx context.Context, actor string, now time.Time, p *contracts.Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `update plan set name = $2 where id = $1`, p.ID, p.Name)
		if err != nil {
			return conflictOn(err, "plan_name_key", "duplicate_name", "there is already a plan named %q", p.Name)
		}
		if tag.RowsAffected() == 0 {
			return contracts.NotFoundf("there is no plan %d", p.ID)
		}
		return savePlanVersion(ctx, tx, actor, now, p, "plan.update")
	})
}

func savePlanVersion(ctx context.Context, tx pgx.Tx, actor string, now time.Time, p *contracts.Plan, act string) error {
	allowance, hours, err := planTerms(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `insert into plan_version (plan_id, since, price_cents, down_bps, up_bps, reduced_down_bps, reduced_up_bps, reduced_percent, actor, allowance, hours, profile_name)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		p.ID, now, p.Price, p.Full.DownBps, p.Full.UpBps, p.Reduced.DownBps, p.Reduced.UpBps, p.ReducedPercent, actor, allowance, hours, p.Full.Name)
	if err != nil {
		return conflictOn(err, "plan_version_pkey", "too_fast", "plan %q has just been changed; try again", p.Name)
	}
	if err := postgres.MarkChanged(ctx, tx, "plan", int64(p.ID)); err != nil {
		return err
	}
	if err := Audit(ctx, tx, now, actor, act, fmt.Sprintf("plan:%d", p.ID), "done", p); err != nil {
		return err
	}
	return postgres.NotifyChange(ctx, tx)
}

// planTerms are a plan's allowance and hours as JSON; nil where it has none.
func planTerms(p *contracts.Plan) (allowance, hours []byte, err error) {
	if p.Allowance != nil {
		if allowance, err = json.Marshal(p.Allowance); err != nil {
			return nil, nil, fmt.Errorf("writing the allowance of plan %q: %w", p.Name, err)
		}
	}
	if len(p.Hours) > 0 {
		if hours, err = json.Marshal(p.Hours); err != nil {
			return nil, nil, fmt.Errorf("writing the hours of plan %q: %w", p.Name, err)
		}
	}
	return allowance, hours, nil
}

const planQuery = `select distinct on (p.id) p.id, p.name, v.price_cents, v.down_bps, v.up_bps, v.reduced_down_bps, v.reduced_up_bps, v.reduced_percent,
	v.allowance, v.hours, v.profile_name
	from plan p join plan_version v on v.plan_id = p.id where `

// The version in force at $1; a plan made later than that is shown as it began.
const planOrder = ` order by p.id, (v.since <= $1) desc, case when v.since <= $1 then -extract(epoch from v.since) else extract(epoch from v.since) end`

func scanPlan(r pgx.CollectableRow) (p contracts.Plan, err error) {
	var allowance, hours []byte
	if err := r.Scan(&p.ID, &p.Name, &p.Price, &p.Full.DownBps, &p.Full.UpBps, &p.Reduced.DownBps, &p.Reduced.UpBps, &p.ReducedPercent, &allowance, &hours, &p.Full.Name); err != nil {
		return p, err
	}
	if allowance != nil {
		if err := json.Unmarshal(allowance, &p.Allowance); err != nil {
			return p, fmt.Errorf("reading the allowance of plan %d: %w", p.ID, err)
		}
	}
	if hours != nil {
		if err := json.Unmarshal(hours, &p.Hours); err != nil {
			return p, fmt.Errorf("reading the hours of plan %d: %w", p.ID, err)
		}
	}
	return p, nil
}

// Plans as they are at an instant.
func (s *Store) Plans(ctx context.Context, at time.Time) ([]contracts.Plan, error) {
	return plans(ctx, s.Pool, at)
}

func plans(ctx context.Context, q Querier, at time.Time) ([]contracts.Plan, error) {
	rows, err := q.Query(ctx, planQuery+`true`+planOrder, at)
	if err != nil {
		return nil, fmt.Errorf("reading plans: %w", err)
	}
	return pgx.CollectRows(rows, scanPlan)
}

// PlanAt is one plan as it is at an instant.
func (s *Store) PlanAt(ctx context.Context, id contracts.PlanID, at time.Time) (contracts.Plan, error) {
	rows, err := s.Pool.Query(ctx, planQuery+`p.id = $2`+planOrder, at, id)
	if err != nil {
		return contracts.Plan{}, fmt.Errorf("reading plan %d: %w", id, err)
	}
	p, err := pgx.CollectOneRow(rows, scanPlan)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, contracts.NotFoundf("there is no plan %d", id)
	}
	return p, err
}
