package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas"
	"enlace/postgres"
)

const probeColumns = `id, device_id, actor, session_id, try_login, asked_at, taken_at, ended_at, note`

// AskProbe asks the nodes to probe a device, and sets the probe's ID. One takes it within a moment. The error is Invalid,
// NotFound, or Conflict while another probe of the device is under way.
func (s *Store) AskProbe(ctx context.Context, now time.Time, p *nas.Probe) error {
	if len(p.SessionID) > 253 || len(p.TryLogin) > 253 {
		return contracts.Invalidf("session", "a session id and a login have at most 253 bytes")
	}
	detail := map[string]any{"session": nas.TextOf(p.SessionID), "try_rate": nas.TextOf(p.TryLogin)}
	return s.onDevice(ctx, p.Actor, now, "device.probe", p.Device, detail, func(tx pgx.Tx) error {
		var busy bool
		err := tx.QueryRow(ctx, `
			select exists (select from device_probe where device_id = $1 and ended_at is null and asked_at > clock_timestamp() - $2::interval)`,
			int64(p.Device), probePatience).Scan(&busy)
		if err == nil && busy {
			return contracts.Conflictf("probing", "the access server is being probed already")
		}
		if err == nil {
			err = tx.QueryRow(ctx, `
				insert into device_probe (device_id, actor, session_id, try_login) values ($1, $2, $3, $4) returning id`,
				int64(p.Device), p.Actor, nas.TextOf(p.SessionID), nas.TextOf(p.TryLogin)).Scan(&p.ID)
		}
		if err == nil {
			err = postgres.MarkChanged(ctx, tx, "probe", int64(p.ID))
		}
		return err
	})
}

// probePatience is how long a probe is taken to be under way: after that its node has ended.
const probePatience = 2 * time.Minute

// TakeProbe takes the oldest probe that nobody has taken for a node; ok is false when there is none. What has waited for
// long is not taken: whoever asked is gone.
func (s *Store) TakeProbe(ctx context.Context, node string) (p nas.Probe, ok bool, err error) {
	rows, err := s.Pool.Query(ctx, `
		update device_probe set taken_at = clock_timestamp(), node = $1
		where id = (select id from device_probe where taken_at is null and asked_at > clock_timestamp() - $2::interval
			order by id for update skip locked limit 1)
		returning `+probeColumns, node, probePatience)
	return oneProbe(rows, err)
}

// EndProbe notes that a probe has ended.
func (s *Store) EndProbe(ctx context.Context, id nas.ProbeID, note string) error {
	_, err := s.Pool.Exec(ctx, `update device_probe set ended_at = clock_timestamp(), note = $2 where id = $1 and ended_at is null`, int64(id), note)
	if err != nil {
		return fmt.Errorf("ending a probe: %w", err)
	}
	return nil
}

// Probe is a probe by its number. The error is a NotFound when there is none.
func (s *Store) Probe(ctx context.Context, id nas.ProbeID) (nas.Probe, error) {
	rows, err := s.Pool.Query(ctx, `select `+probeColumns+` from device_probe where id = $1`, int64(id))
	p, ok, err := oneProbe(rows, err)
	if err == nil && !ok {
		err = contracts.NotFoundf("there is no probe %d", id)
	}
	return p, err
}

// LastProbe is the latest probe that was asked for of a device; ok is false when there was none.
func (s *Store) LastProbe(ctx context.Context, id nas.DeviceID) (p nas.Probe, ok bool, err error) {
	rows, err := s.Pool.Query(ctx, `select `+probeColumns+` from device_probe where device_id = $1 order by id desc limit 1`, int64(id))
	return oneProbe(rows, err)
}

func oneProbe(rows pgx.Rows, err error) (p nas.Probe, ok bool, _ error) {
	if err != nil {
		return p, false, fmt.Errorf("reading a probe: %w", err)
	}
	p, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (p nas.Probe, err error) {
		var taken, ended *time.Time
		err = row.Scan(&p.ID, &p.Device, &p.Actor, &p.SessionID, &p.TryLogin, &p.AskedAt, &taken, &ended, &p.Note)
		p.SessionID, p.TryLogin, p.AskedAt, p.TakenAt, p.EndedAt = nas.RawOf(p.SessionID), nas.RawOf(p.TryLogin), p.AskedAt.UTC(), known(taken), known(ended)
		return p, err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("reading a probe: %w", err)
	}
	return p, true, nil
}
