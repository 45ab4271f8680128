package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
)

// AddObservations adds what this node has seen to what is stored and returns the sums, which hold what other nodes saw
// too. All or nothing.
func (s *Store) AddObservations(ctx context.Context, seen map[nas.DeviceID]nas.Observation) (map[nas.DeviceID]nas.Observation, error) {
	batch := &pgx.Batch{}
	sums := make(map[nas.DeviceID]nas.Observation, len(seen))
	for id, o := range seen {
		batch.Queue(`
			insert into device_observation as o (device_id, since, signed, unsigned, last_unsigned, unsigned_proxied,
				last_unsigned_proxied, signs, proxies_bare)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			on conflict (device_id, since) do update set signed = o.signed + excluded.signed,
				unsigned = o.unsigned + excluded.unsigned,
				last_unsigned = greatest(o.last_unsigned, excluded.last_unsigned),
				unsigned_proxied = o.unsigned_proxied + excluded.unsigned_proxied,
				last_unsigned_proxied = greatest(o.last_unsigned_proxied, excluded.last_unsigned_proxied),
				signs = o.signs or excluded.signs, proxies_bare = o.proxies_bare or excluded.proxies_bare
			returning signed, unsigned, last_unsigned, unsigned_proxied, last_unsigned_proxied, signs, proxies_bare`,
			int64(id), o.Since, int64(o.Signed), int64(o.Unsigned), instant(o.LastUnsigned), int64(o.UnsignedProxied),
			instant(o.LastUnsignedProxied), o.Signs, o.ProxiesBare).QueryRow(func(row pgx.Row) error {
			sum := nas.Observation{Since: o.Since}
			var lastUnsigned, lastProxied *time.Time
			err := row.Scan(&sum.Signed, &sum.Unsigned, &lastUnsigned, &sum.UnsignedProxied, &lastProxied, &sum.Signs, &sum.ProxiesBare)
			sum.LastUnsigned, sum.LastUnsignedProxied = known(lastUnsigned), known(lastProxied)
			sums[id] = sum
			return err
		})
	}
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return nil, fmt.Errorf("storing what was seen of devices: %w", err)
	}
	return sums, nil
}

// observeAnew begins a new observation of a device.
func observeAnew(ctx context.Context, tx pgx.Tx, id nas.DeviceID, now time.Time) error {
	_, err := tx.Exec(ctx, `
		update device set observed_since = greatest($2, observed_since + interval '1 microsecond') where id = $1`, int64(id), now)
	if err == nil {
		_, err = tx.Exec(ctx, `delete from device_observation where device_id = $1`, int64(id))
	}
	for _, table := range []string{"device_sighting", "device_finding"} {
		if err == nil {
			_, err = tx.Exec(ctx, `delete from `+table+` where device_id = $1`, int64(id))
		}
	}
	return err
}

// known is the instant of a column that may be null, in UTC.
func known(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
