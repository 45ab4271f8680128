package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
	"enlace/radius"
)

// keepBoot stores an Accounting-On or -Off for other nodes and for the next start, and lets go of what is not remembered
// of its device any more.
func (s *Store) keepBoot(ctx context.Context, tx pgx.Tx, r *radius.Record) error {
	s.boots.Note(r)
	b := radius.BootOf(r)
	if _, err := tx.Exec(ctx, `
		insert into accounting_boot as t (device_id, nas_identifier, at, closed_by) values ($1, $2, $3, $4)
		on conflict (device_id, nas_identifier) do update set at = excluded.at, closed_by = excluded.closed_by where t.at < excluded.at`,
		int64(r.Key.Device), nas.TextOf(r.NASIdentifier), b.At, string(b.By)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		delete from accounting_boot where device_id = $1 and (at < (select max(at) from accounting_boot where device_id = $1) - $2::interval
			or nas_identifier <> '' and at < (select at from accounting_boot where device_id = $1 and nas_identifier <> '' order by at desc offset $3 limit 1))`,
		int64(r.Key.Device), radius.BootMatters, radius.BootsMost-1)
	return err
}

// LoadBoots implements radius.SessionStore. The store itself knows them from then on, too.
func (s *Store) LoadBoots(ctx context.Context, f func(radius.NamedBoot)) error {
	rows, err := s.pool.Query(ctx, `select device_id, nas_identifier, at, closed_by from accounting_boot`)
	if err != nil {
		return fmt.Errorf("reading when access servers began: %w", err)
	}
	var device int64
	var identifier, by string
	var n radius.NamedBoot
	if _, err := pgx.ForEachRow(rows, []any{&device, &identifier, &n.Boot.At, &by}, func() error {
		n.Device, n.Identifier, n.Boot.By = nas.DeviceID(device), nas.RawOf(identifier), radius.ClosedBy(by)
		n.Boot.At = n.Boot.At.UTC()
		s.boots.Remember(n)
		f(n)
		return nil
	}); err != nil {
		return fmt.Errorf("reading when access servers began: %w", err)
	}
	return nil
}
