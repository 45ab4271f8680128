package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"enlace/contracts"
	"enlace/nas"
)

// Pools is all address pools, by name, with what of them is in use at an instant.
func (s *Store) Pools(ctx context.Context, now time.Time) ([]nas.PoolUse, error) {
	rows, err := s.Pool.Query(ctx, `
		select p.id, p.name, p.ranges, p.bits, coalesce(l.leased, 0), coalesce(l.held, 0)
		from address_pool p left join (
			select pool_id, count(access_id) as leased, count(*) - count(access_id) as held from address_lease where until > $1 group by pool_id
		) l on l.pool_id = p.id order by p.name`, now)
	if err != nil {
		return nil, fmt.Errorf("reading the address pools: %w", err)
	}
	pools, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u nas.PoolUse, err error) {
		return u, row.Scan(&u.ID, &u.Name, &u.Ranges, &u.Bits, &u.Leased, &u.Reserved)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the address pools: %w", err)
	}
	return pools, nil
}

// CreatePool adds a pool and sets its ID. The error is Invalid, or Conflict when the name or a part of a range is
// another pool's.
func (s *Store) CreatePool(ctx context.Context, actor string, now time.Time, p *nas.Pool) error {
	if !storable(p.Name) {
		return contracts.Invalidf("name", "the name is not text")
	}
	return s.actOnPool(ctx, actor, now, "pool.create", p, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `insert into address_pool (name, ranges, bits, created_at) values ($1, $2, $3, $4) returning id`,
			p.Name, p.Ranges, p.Bits, now).Scan(&p.ID)
	})
}

// ExtendPool gives a pool one more network to hand out of. The error is Invalid, NotFound or Conflict.
func (s *Store) ExtendPool(ctx context.Context, actor string, now time.Time, id nas.PoolID, more netip.Prefix) (p nas.Pool, err error) {
	rows, err := s.Pool.Query(ctx, `select id, name, ranges, bits from address_pool where id = $1`, int64(id))
	if err != nil {
		return p, fmt.Errorf("reading the address pool: %w", err)
	}
	p, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (p nas.Pool, err error) {
		return p, row.Scan(&p.ID, &p.Name, &p.Ranges, &p.Bits)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return p, contracts.NotFoundf("there is no address pool %d", id)
	}
	if err != nil {
		return p, fmt.Errorf("reading the address pool: %w", err)
	}
	had := len(p.Ranges)
	p.Ranges = append(p.Ranges, more)
	return p, s.actOnPool(ctx, actor, now, "pool.extend", &p, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `update address_pool set ranges = ranges || $2::cidr where id = $1 and cardinality(ranges) = $3`, int64(id), more, had)
		if err == nil && tag.RowsAffected() == 0 {
			err = contracts.Conflictf("changed", "the pool was changed meanwhile")
		}
		return err
	})
}

// actOnPool does something to a pool that keeps pools apart, with its row of the audit, all or nothing.
func (s *Store) actOnPool(ctx context.Context, actor string, now time.Time, act string, p *nas.Pool, do func(pgx.Tx) error) error {
	if err := p.Validate(); err != nil {
		return err
	}
	detail, err := json.Marshal(map[string]any{"name": p.Name, "ranges": p.Ranges, "bits": p.Bits})
	if err != nil {
		return fmt.Errorf("%s: %w", act, err)
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `lock table address_pool in share row exclusive mode`); err != nil {
			return err
		}
		var other string
		err := tx.QueryRow(ctx, `select name from address_pool, unnest(ranges) r, unnest($1::cidr[]) n where id <> $2 and r && n limit 1`, p.Ranges, int64(p.ID)).Scan(&other)
		if err == nil {
			e := contracts.Conflictf("overlap", "the pool %q hands out of some of these addresses already", other)
			e.Field = "ranges"
			return e
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into audit (at, actor, act, subject, result, detail) values ($1, $2, $3, $4, 'done', $5)`,
			now, actor, act, "pool:"+strconv.FormatInt(int64(p.ID), 10), detail)
		return err
	})
	var domain *contracts.Error
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &domain):
		return domain
	case errors.As(err, &pgErr) && pgErr.ConstraintName == "address_pool_name_key":
		e := contracts.Conflictf("duplicate_name", "there is an address pool named %q already", p.Name)
		e.Field = "name"
		return e
	}
	return fmt.Errorf("%s: %w", act, err)
}

// checkPools refuses a device's pools that do not exist or lend something else than is asked of them.
func checkPools(ctx context.Context, tx pgx.Tx, d *nas.Device) error {
	for _, of := range []struct {
		field, lends string
		id           nas.PoolID
		v4           bool
	}{{"ipv4_pool", "IPv4 addresses", d.IPv4Pool, true}, {"delegated_pool", "IPv6 prefixes", d.DelegatedPool, false}} {
		if of.id == 0 {
			continue
		}
		var name string
		var v4 bool
		err := tx.QueryRow(ctx, `select name, family(ranges[1]) = 4 from address_pool where id = $1`, int64(of.id)).Scan(&name, &v4)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return contracts.Invalidf(of.field, "there is no address pool %d", of.id)
		case err != nil:
			return fmt.Errorf("reading the address pool: %w", err)
		case v4 != of.v4:
			return contracts.Invalidf(of.field, "the address pool %q does not lend %s", name, of.lends)
		}
	}
	return nil
}
