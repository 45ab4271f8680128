package pg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// Pools implements radius.LeaseStore.
func (s *Store) Pools(ctx context.Context) ([]nas.Pool, error) {
	rows, err := s.pool.Query(ctx, `select id, name, ranges, bits from address_pool order by id`)
	if err != nil {
		return nil, fmt.Errorf("reading the address pools: %w", err)
	}
	pools, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p nas.Pool, err error) {
		return p, row.Scan(&p.ID, &p.Name, &p.Ranges, &p.Bits)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the address pools: %w", err)
	}
	return pools, nil
}

// overlap is how far back leases are read again: a transaction may take that long from its stamp to its commit.
const leaseOverlap = time.Minute

// LeasesSince implements radius.LeaseStore. The mark is in the database's clock.
func (s *Store) LeasesSince(ctx context.Context, mark time.Time, f func(radius.Lease)) (time.Time, error) {
	var next time.Time
	if err := s.pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&next); err != nil {
		return mark, fmt.Errorf("reading leases: %w", err)
	}
	rows, err := s.pool.Query(ctx, `select pool_id, prefix, access_id, slot, until from address_lease where access_id is not null and updated_at >= $1`, mark)
	if err != nil {
		return mark, fmt.Errorf("reading leases: %w", err)
	}
	var l radius.Lease
	var slot int16
	_, err = pgx.ForEachRow(rows, []any{&l.Pool, &l.Prefix, &l.Access, &slot, &l.Until}, func() error {
		l.Slot = uint8(slot)
		f(l)
		return nil
	})
	if err != nil {
		return mark, fmt.Errorf("reading leases: %w", err)
	}
	return next.Add(-leaseOverlap), nil
}

// freeAfter is how long after its end a lease is still not anybody else's: nodes rely on it until shortly before.
const freeAfter = 5 * time.Minute

// Reserve implements radius.LeaseStore. Places that are an access's own in any case (access_address) are passed over.
func (s *Store) Reserve(ctx context.Context, node string, p *nas.Pool, n int, lapsed bool, now, until time.Time) (got []netip.Prefix, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var next int64
		if err := tx.QueryRow(ctx, `select next_place from address_pool where id = $1 for update`, int64(p.ID)).Scan(&next); err != nil {
			return err
		}
		var fresh []netip.Prefix
		for len(fresh) < n && uint64(next) < p.Places() {
			fresh = append(fresh, p.At(uint32(next)))
			next++
		}
		if len(fresh) > 0 {
			_, err := tx.Exec(ctx, `insert into address_lease (prefix, pool_id, until) select unnest($1::cidr[]), $2, '-infinity' on conflict do nothing`, fresh, int64(p.ID))
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `update address_pool set next_place = $2 where id = $1`, int64(p.ID), next); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, `
			update address_lease l set node = $1, access_id = null, slot = 0, until = $2, updated_at = clock_timestamp()
			from (
				select prefix from address_lease c
				where pool_id = $3 and until < $4 and (access_id is not null or node in ('', $1) or $6)
					and not exists (select from access_address a where a.prefix && c.prefix)
					and not exists (select from connection_open o where o.address = c.prefix and o.kind in ('ipv4', 'ipv6_delegated'))
				order by until limit $5 for update skip locked
			) free
			where l.prefix = free.prefix returning l.prefix`, node, until, int64(p.ID), now.Add(-freeAfter), n, lapsed)
		if err != nil {
			return err
		}
		got, err = pgx.CollectRows(rows, pgx.RowTo[netip.Prefix])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reserving places of pool %q: %w", p.Name, err)
	}
	return got, nil
}

// KeepReserve implements radius.LeaseStore.
func (s *Store) KeepReserve(ctx context.Context, node string, held []netip.Prefix, until time.Time) ([]netip.Prefix, error) {
	rows, err := s.pool.Query(ctx, `update address_lease set until = $3, updated_at = clock_timestamp()
		where prefix = any($2::cidr[]) and node = $1 and access_id is null returning prefix`, node, held, until)
	var kept []netip.Prefix
	if err == nil {
		kept, err = pgx.CollectRows(rows, pgx.RowTo[netip.Prefix])
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the reserve of the pools: %w", err)
	}
	return kept, nil
}

// EndReserve implements radius.LeaseStore. Others may have the places freeAfter later: a session that began in the last
// moments of that run is known by then.
func (s *Store) EndReserve(ctx context.Context, node string, now time.Time) error {
	_, err := s.pool.Exec(ctx, `update address_lease set until = $2, updated_at = clock_timestamp() where node = $1 and access_id is null and until > $2`, node, now)
	if err != nil {
		return fmt.Errorf("ending the reserve of an earlier run: %w", err)
	}
	return nil
}

// LeasesOf implements radius.LeaseStore.
func (s *Store) LeasesOf(ctx context.Context, pool nas.PoolID, access contracts.AccessID, f func(radius.Lease)) error {
	rows, err := s.pool.Query(ctx, `select prefix, slot, until from address_lease where pool_id = $1 and access_id = $2`, int64(pool), int64(access))
	if err != nil {
		return fmt.Errorf("reading the leases of an access: %w", err)
	}
	l := radius.Lease{Pool: pool, Access: access}
	var slot int16
	if _, err = pgx.ForEachRow(rows, []any{&l.Prefix, &slot, &l.Until}, func() error {
		l.Slot = uint8(slot)
		f(l)
		return nil
	}); err != nil {
		return fmt.Errorf("reading the leases of an access: %w", err)
	}
	return nil
}

// ReleaseReserve implements radius.LeaseStore.
func (s *Store) ReleaseReserve(ctx context.Context, node string, now time.Time) error {
	_, err := s.pool.Exec(ctx, `update address_lease set node = '', until = '-infinity', updated_at = clock_timestamp() where node = $1 and access_id is null`, node)
	if err != nil {
		return fmt.Errorf("giving back the reserve of the pools: %w", err)
	}
	return nil
}

// KeepLeases implements radius.LeaseStore.
func (s *Store) KeepLeases(ctx context.Context, node string, now time.Time, leases []radius.Lease) (taken, filled []radius.Lease, err error) {
	kept, err := s.keepLeases(ctx, node, now, leases)
	if isUniqueViolation(err) && len(leases) > 1 { // one of them is in a slot that another node has filled: find it
		for half := range slices.Chunk(leases, (len(leases)+1)/2) {
			t, f, err := s.KeepLeases(ctx, node, now, half)
			if err != nil {
				return nil, nil, err
			}
			taken, filled = append(taken, t...), append(filled, f...)
		}
		return taken, filled, nil
	}
	if isUniqueViolation(err) {
		return nil, leases, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("keeping leases: %w", err)
	}
	for _, l := range leases {
		if !kept[l.Prefix] {
			taken = append(taken, l)
		}
	}
	return taken, nil, nil
}

func isUniqueViolation(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == "23505"
}

func (s *Store) keepLeases(ctx context.Context, node string, now time.Time, leases []radius.Lease) (kept map[netip.Prefix]bool, err error) {
	pools, prefixes, accesses := make([]nas.PoolID, len(leases)), make([]netip.Prefix, len(leases)), make([]contracts.AccessID, len(leases))
	slots, untils := make([]int16, len(leases)), make([]time.Time, len(leases))
	for i, l := range leases {
		pools[i], prefixes[i], accesses[i], slots[i], untils[i] = l.Pool, l.Prefix, l.Access, int16(l.Slot), l.Until
	}
	given := []any{pools, prefixes, accesses, slots, untils}
	const k = `(select unnest($1::bigint[]) as pool_id, unnest($2::cidr[]) as prefix, unnest($3::bigint[]) as access_id,
		unnest($4::smallint[]) as slot, unnest($5::timestamptz[]) as until)`
	kept = map[netip.Prefix]bool{}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// What the access had in that slot and did not keep in time makes room.
		_, err := tx.Exec(ctx, `update address_lease l set access_id = null, slot = 0, node = '', updated_at = clock_timestamp()
			from `+k+` k where l.pool_id = k.pool_id and l.access_id = k.access_id and l.slot = k.slot and l.prefix <> k.prefix and l.until < $6`,
			append(given, now.Add(freeAfter+leaseSlack))...)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			with k as `+k+`, ordered as (select l.prefix from address_lease l join k using (prefix) order by l.prefix for update of l), kept as (
				update address_lease l set access_id = k.access_id, slot = k.slot, node = $6, until = greatest(l.until, k.until), updated_at = clock_timestamp()
				from k join ordered using (prefix)
				where l.prefix = k.prefix and (l.access_id = k.access_id or l.access_id is null and l.node in ('', $6) or l.until < $7)
				returning l.prefix
			), added as (
				insert into address_lease (prefix, pool_id, access_id, slot, node, until)
				select prefix, pool_id, access_id, slot, $6, until from k where prefix not in (select prefix from ordered)
				on conflict (prefix) do nothing returning prefix
			)
			select prefix from kept union all select prefix from added`, append(given, node, now.Add(-freeAfter))...)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[netip.Prefix])
		for _, prefix := range list {
			kept[prefix] = true
		}
		return err
	})
	return kept, err
}

// leaseSlack is how long before its end nodes no longer rely on a lease.
const leaseSlack = 15 * time.Minute
