package pg

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/postgres"
)

// Rules are all versions, oldest first; at least one. Before anything was recorded, the default policy with the
// Brazilian calendars holds.
func (s *Store) Rules(ctx context.Context) ([]contracts.Rules, error) { return rules(ctx, s.Pool) }

// DefaultRules hold until the operator records others.
func DefaultRules() contracts.Rules {
	return contracts.Rules{Policy: contracts.DefaultPolicy(), Calendars: contracts.BrazilianCalendars(2015, 2060)}
}

func rules(ctx context.Context, q Querier) ([]contracts.Rules, error) {
	rows, err := q.Query(ctx, `select version, since, policy, calendars, brake from rules order by version`)
	if err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r contracts.Rules, err error) {
		var version int
		var policy, calendars []byte
		if err := row.Scan(&version, &r.Since, &policy, &calendars, &r.Brake); err != nil {
			return r, err
		}
		r.Since = r.Since.UTC()
		if err := json.Unmarshal(policy, &r.Policy); err != nil {
			return r, fmt.Errorf("reading policy version %d: %w", version, err)
		}
		r.Policy.Version = version
		r.Calendars, err = decodeCalendars(calendars)
		return r, err
	})
	if err != nil {
		return nil, err
	}
	return append([]contracts.Rules{DefaultRules()}, found...), nil
}

// SaveRules records a version of policy, calendars and brake that holds from now on.
func (s *Store) SaveRules(ctx context.Context, actor, reason string, now time.Time, r contracts.Rules) error {
	if err := r.Policy.Validate(); err != nil {
		return err
	}
	if err := r.Calendars.Validate(); err != nil {
		return err
	}
	if err := contracts.ValidText("reason", reason, 2000); err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `lock table rules in share row exclusive mode`); err != nil {
			return fmt.Errorf("locking rules: %w", err)
		}
		var version int
		if err := tx.QueryRow(ctx, `select coalesce(max(version), 1) + 1 from rules`).Scan(&version); err != nil {
			return fmt.Errorf("numbering rules: %w", err)
		}
		policy, err := json.Marshal(r.Policy)
		if err != nil {
			return fmt.Errorf("writing the policy: %w", err)
		}
		_, err = tx.Exec(ctx, `insert into rules (version, since, policy, calendars, brake, actor, reason) values ($1, greatest($2, (select max(since) from rules)), $3, $4, $5, $6, $7)`,
			version, now, policy, encodeCalendars(r.Calendars), r.Brake, actor, reason)
		if err != nil {
			return fmt.Errorf("recording rules: %w", err)
		}
		if err := postgres.MarkChanged(ctx, tx, "rules", int64(version)); err != nil {
			return err
		}
		if err := Audit(ctx, tx, now, actor, "rules.change", fmt.Sprintf("rules:%d", version), "done", r.Policy); err != nil {
			return err
		}
		return postgres.NotifyChange(ctx, tx)
	})
}

func encodeCalendars(c contracts.Calendars) []byte {
	lists := map[string][]contracts.Date{}
	for name, days := range c {
		for d := range days {
			lists[name] = append(lists[name], d)
		}
		slices.Sort(lists[name])
	}
	b, err := json.Marshal(lists)
	if err != nil {
		panic(fmt.Sprintf("calendars always marshal: %v", err))
	}
	return b
}

func decodeCalendars(b []byte) (contracts.Calendars, error) {
	var lists map[string][]contracts.Date
	if err := json.Unmarshal(b, &lists); err != nil {
		return nil, fmt.Errorf("reading calendars: %w", err)
	}
	c := contracts.Calendars{}
	for name, days := range lists {
		c[name] = map[contracts.Date]bool{}
		for _, d := range days {
			c[name][d] = true
		}
	}
	return c, nil
}
