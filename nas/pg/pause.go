package pg

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas"
	"enlace/postgres"
)

// Pauses is what is paused, the pause of all devices first.
func (s *Store) Pauses(ctx context.Context) ([]nas.Pause, error) {
	rows, err := s.Pool.Query(ctx, `select device_id, since, actor from command_pause order by device_id`)
	if err != nil {
		return nil, fmt.Errorf("reading the pauses: %w", err)
	}
	pauses, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p nas.Pause, err error) {
		err = row.Scan(&p.Device, &p.Since, &p.Actor)
		p.Since = p.Since.UTC()
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the pauses: %w", err)
	}
	return pauses, nil
}

// PauseCommands holds back the commands of a device that do not restore service, or of all (device 0), on every node. What
// is paused already stays as it is. The error is NotFound where the device is not known.
func (s *Store) PauseCommands(ctx context.Context, actor string, now time.Time, device nas.DeviceID) error {
	return s.actOnPause(ctx, actor, now, "network.pause", device, `
		insert into command_pause (device_id, since, actor) values ($1, $2, $3) on conflict (device_id) do nothing`,
		int64(device), now, actor)
}

// ResumeCommands lifts a pause: of one device, or the one of all (device 0), which leaves those of single devices. Where
// nothing is paused nothing happens.
func (s *Store) ResumeCommands(ctx context.Context, actor string, now time.Time, device nas.DeviceID) error {
	return s.actOnPause(ctx, actor, now, "network.resume", device, `delete from command_pause where device_id = $1`, int64(device))
}

func (s *Store) actOnPause(ctx context.Context, actor string, now time.Time, act string, device nas.DeviceID, sql string, args ...any) error {
	subject := "device:all"
	if device != 0 {
		subject = "device:" + strconv.FormatInt(int64(device), 10)
	}
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var known bool
		if err := tx.QueryRow(ctx, `select $1 = 0 or exists (select from device where id = $1)`, int64(device)).Scan(&known); err != nil {
			return err
		}
		if !known {
			return contracts.NotFoundf("there is no device %d", device)
		}
		done, err := tx.Exec(ctx, sql, args...)
		if err != nil || done.RowsAffected() == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, `insert into audit (at, actor, act, subject, result, detail) values ($1, $2, $3, $4, 'done', '{}')`,
			now, actor, act, subject); err != nil {
			return err
		}
		if err := postgres.MarkChanged(ctx, tx, "pause", int64(device)); err != nil {
			return err
		}
		return postgres.NotifyChange(ctx, tx)
	})
	return refused(act, nil, err)
}
