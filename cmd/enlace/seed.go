package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/postgres"
)

// seedCmd fills a database with active synthetic contracts, for benchmarks.
type seedCmd struct {
	Subscribers int    `required:"" help:"How many contracts, each with one login."`
	Login       string `default:"user%07d@isp" help:"Pattern of the logins; %07d is the number, from 1."`
	Password    string `default:"pw%07d" help:"Pattern of the passwords."`
	PlanDown    string `default:"500M" help:"Download rate of the plan, bit/s with k, M or G."`
	PlanUp      string `default:"250M" help:"Upload rate of the plan."`
	PlanPrice   string `default:"99.90" help:"Monthly price of the plan."`
}

// seedBatch is how many contracts go into one transaction.
const seedBatch = 20_000

func (c *seedCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	plan := contracts.Plan{Name: fmt.Sprintf("Seed %s/%s", c.PlanDown, c.PlanUp), ReducedPercent: 10}
	var err error
	if plan.Full.DownBps, err = parseRate(c.PlanDown); err != nil {
		return err
	}
	if plan.Full.UpBps, err = parseRate(c.PlanUp); err != nil {
		return err
	}
	if plan.Price, err = contracts.ParseCents(c.PlanPrice); err != nil {
		return err
	}
	if _, err := contractspg.Zone(cfg.Zone); err != nil {
		return err
	}
	for _, pattern := range []string{c.Login, c.Password} {
		if a := fmt.Sprintf(pattern, 1); strings.Contains(a, "%!") || a == fmt.Sprintf(pattern, 2) {
			return fmt.Errorf("%q is not a pattern with one number, such as user%%07d@isp", pattern)
		}
	}
	if c.Subscribers < 1 || c.Subscribers > 10_000_000 {
		return fmt.Errorf("subscribers are 1 to 10000000")
	}
	if err := contracts.ValidLogin(fmt.Sprintf(c.Login, c.Subscribers)); err != nil {
		return err
	}
	if err := contractspg.ValidPassword(fmt.Sprintf(c.Password, c.Subscribers)); err != nil {
		return err
	}
	seal, err := openSealer(cfg)
	if err != nil {
		return err
	}
	cl, err := newClock(cfg.Clock)
	if err != nil {
		return err
	}
	db, err := openExisting(ctx, cfg, cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer db.close()
	now := cl.Now()
	store := &contractspg.Store{Pool: db.pool, Sealer: seal}
	if plan.ID, err = c.plan(ctx, store, now, plan); err != nil {
		return err
	}
	began := time.Now()
	for first := 1; first <= c.Subscribers; first += seedBatch {
		last := min(first+seedBatch-1, c.Subscribers)
		if err := c.batch(ctx, db, seal, now, plan.ID, cfg.Zone, first, last); err != nil {
			var pe *pgconn.PgError
			if errors.As(err, &pe) && pe.ConstraintName == "access_login_key" {
				return fmt.Errorf("a login of subscribers %d to %d is taken: choose another pattern with --login", first, last)
			}
			return fmt.Errorf("seeding subscribers %d to %d: %w", first, last, err)
		}
	}
	if _, err := db.pool.Exec(ctx, `analyze customer, contract, access`); err != nil {
		return fmt.Errorf("analyzing: %w", err)
	}
	fmt.Fprintf(out, "%d subscribers in %s\n", c.Subscribers, time.Since(began).Round(time.Millisecond))
	return nil
}

// plan finds the plan of an earlier seeding with the same rates, or makes it.
func (c *seedCmd) plan(ctx context.Context, store *contractspg.Store, now time.Time, p contracts.Plan) (contracts.PlanID, error) {
	plans, err := store.Plans(ctx, now)
	if err != nil {
		return 0, err
	}
	for _, q := range plans {
		if q.Name == p.Name {
			return q.ID, nil
		}
	}
	err = store.CreatePlan(ctx, "seed", now, &p)
	return p.ID, err
}

// batch copies a range of contracts in one transaction.
func (c *seedCmd) batch(ctx context.Context, db *database, seal *sealer, now time.Time, plan contracts.PlanID, zone string, first, last int) error {
	n := last - first + 1
	return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var ids [3][]int64
		for i, table := range []string{"customer", "contract", "access"} {
			err := tx.QueryRow(ctx, `select array_agg(nextval(pg_get_serial_sequence($1, 'id'))) from generate_series(1, $2)`, table, n).Scan(&ids[i])
			if err != nil {
				return err
			}
		}
		y, m, d := contracts.DateOf(now, time.UTC).Parts()
		anchor := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		copies := []struct {
			table   string
			columns []string
			row     func(i int) ([]any, error)
		}{
			{"customer", []string{"id", "name", "created_at"}, func(i int) ([]any, error) {
				return []any{ids[0][i], "Subscriber " + strconv.Itoa(first+i), now}, nil
			}},
			{"contract", []string{"id", "customer_id", "plan_id", "zone", "created_at", "due_day", "billing_anchor"}, func(i int) ([]any, error) {
				return []any{ids[1][i], ids[0][i], int64(plan), zone, now, int32(1 + i%28), anchor}, nil
			}},
			{"access", []string{"id", "contract_id", "login", "password_sealed", "created_at"}, func(i int) ([]any, error) {
				return []any{ids[2][i], ids[1][i], fmt.Sprintf(c.Login, first+i), seal.Seal(fmt.Appendf(nil, c.Password, first+i)), now}, nil
			}},
		}
		for _, t := range copies {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{t.table}, t.columns, pgx.CopyFromSlice(n, t.row)); err != nil {
				return err
			}
		}
		return postgres.MarkChanged(ctx, tx, "contract", ids[1]...)
	})
}

// parseRate reads bit/s with an optional k, M or G (powers of ten).
func parseRate(s string) (uint64, error) {
	unit := uint64(1)
	digits := s
	if n := len(s); n > 0 {
		switch s[n-1] {
		case 'k':
			unit, digits = 1e3, s[:n-1]
		case 'M':
			unit, digits = 1e6, s[:n-1]
		case 'G':
			unit, digits = 1e9, s[:n-1]
		}
	}
	v, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || v == 0 || v > contracts.MaxBps/unit {
		return 0, fmt.Errorf("%q is not a rate: write it as 500M, 64k or 10G", s)
	}
	return v * unit, nil
}
