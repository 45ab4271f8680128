package pg

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas"
	"enlace/postgres"
)

// AddSightings adds what this node has seen of devices to what is remembered of them, and judges it. All or nothing for
// each device.
func (s *Store) AddSightings(ctx context.Context, now time.Time, seen map[nas.DeviceID]nas.Sightings) (stored []nas.DeviceID, err error) {
	for id, news := range seen {
		err := s.findings(ctx, now, id, func(tx pgx.Tx, known *nas.Conformance, model string) ([]nas.Finding, error) {
			all, err := sightings(ctx, tx, id)
			if err != nil {
				return nil, err
			}
			all.Add(news)
			batch := &pgx.Batch{}
			for sight, n := range all {
				batch.Queue(`
					insert into device_sighting (device_id, sight, n, value, seen_at) values ($1, $2, $3, $4, $5)
					on conflict (device_id, sight) do update set n = excluded.n, value = excluded.value, seen_at = excluded.seen_at`,
					int64(id), sight.Name(), n.N, n.Value, n.At)
			}
			if err := tx.SendBatch(ctx, batch).Close(); err != nil {
				return nil, err
			}
			return nas.Judge(all, known, model, now), nil
		})
		if err != nil {
			return stored, fmt.Errorf("storing what was seen of device %d: %w", id, err)
		}
		stored = append(stored, id)
	}
	return stored, nil
}

func sightings(ctx context.Context, tx pgx.Tx, id nas.DeviceID) (nas.Sightings, error) {
	all := nas.Sightings{}
	rows, err := tx.Query(ctx, `select sight, n, value, seen_at from device_sighting where device_id = $1`, int64(id))
	if err != nil {
		return nil, err
	}
	var name string
	var n nas.Seen
	_, err = pgx.ForEachRow(rows, []any{&name, &n.N, &n.Value, &n.At}, func() error {
		if sight, ok := nas.SightNamed(name); ok {
			n.At = n.At.UTC()
			all[sight] = n
		}
		return nil
	})
	return all, err
}

// AddFindings joins what a probe found of a device to what is known of it. That it acknowledged changes without effect is
// forgotten when it answers: commands show anew whether that is so.
func (s *Store) AddFindings(ctx context.Context, now time.Time, id nas.DeviceID, found []nas.Finding) error {
	err := s.findings(ctx, now, id, func(tx pgx.Tx, known *nas.Conformance, model string) ([]nas.Finding, error) {
		answers := false
		for i := range found {
			found[i].At, found[i].Model = now, model
			answers = answers || found[i].Check == nas.CheckReach && found[i].Result == nas.Good
		}
		if !answers || !known.Forget(nas.CheckEffect) {
			return found, nil
		}
		_, err := tx.Exec(ctx, `delete from device_sighting where device_id = $1 and sight like $2`, int64(id), string(nas.CheckEffect)+"/%")
		if err == nil {
			_, err = tx.Exec(ctx, `delete from device_finding where device_id = $1 and check_name = $2`, int64(id), string(nas.CheckEffect))
		}
		if err == nil {
			err = postgres.MarkChanged(ctx, tx, "device", int64(id))
		}
		return found, err
	})
	if err != nil {
		return fmt.Errorf("storing what a probe found of device %d: %w", id, err)
	}
	return nil
}

// refreshFindings is how old the evidence of a finding may grow while its result stays.
const refreshFindings = 10 * time.Second

// findings changes what is known of a device in service, one node at a time. Nodes are told when a result, a form or a
// regression is another.
func (s *Store) findings(ctx context.Context, now time.Time, id nas.DeviceID,
	judge func(tx pgx.Tx, known *nas.Conformance, model string) ([]nas.Finding, error)) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var model string
		err := tx.QueryRow(ctx, `select model from device where id = $1 and retired_at is null for no key update`, int64(id)).Scan(&model)
		if err == pgx.ErrNoRows {
			return nil // retired meanwhile
		}
		if err != nil {
			return err
		}
		of := []nas.Device{{ID: id}}
		if err := addConformance(ctx, tx, of); err != nil {
			return err
		}
		known := of[0].Conformance
		newer, err := judge(tx, &known, known.Build(model))
		if err != nil {
			return err
		}
		before := known
		changed := known.Take(newer)
		batch := &pgx.Batch{}
		for i := range known.Findings {
			f := &known.Findings[i]
			if was := before.Of(f.Check); was.Result == f.Result && was.Form == f.Form && was.RegressedAt.Equal(f.RegressedAt) && f.At.Sub(was.At).Abs() < refreshFindings {
				continue
			}
			facts, err := json.Marshal(f.Facts)
			if err != nil {
				return err
			}
			batch.Queue(`
				insert into device_finding (device_id, check_name, result, form, facts, found_at, since, model, good_at, good_model,
					regressed_at, acknowledged_at, acknowledged_by)
				values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
				on conflict (device_id, check_name) do update set result = excluded.result, form = excluded.form, facts = excluded.facts,
					found_at = excluded.found_at, since = excluded.since, model = excluded.model, good_at = excluded.good_at,
					good_model = excluded.good_model, regressed_at = excluded.regressed_at, acknowledged_at = excluded.acknowledged_at,
					acknowledged_by = excluded.acknowledged_by`,
				int64(id), string(f.Check), string(f.Result), string(f.Form), facts, f.At, f.Since, f.Model, instant(f.GoodAt), f.GoodModel,
				instant(f.RegressedAt), instant(f.AcknowledgedAt), f.AcknowledgedBy)
		}
		if batch.Len() > 0 {
			if err := tx.SendBatch(ctx, batch).Close(); err != nil {
				return err
			}
		}
		if changed {
			return postgres.MarkChanged(ctx, tx, "device", int64(id))
		}
		return nil
	})
}

// addConformance reads what is known of devices into them.
func addConformance(ctx context.Context, q querier, devices []nas.Device) error {
	ids, at := make([]int64, len(devices)), make(map[int64]*nas.Conformance, len(devices))
	for i := range devices {
		ids[i], at[int64(devices[i].ID)] = int64(devices[i].ID), &devices[i].Conformance
	}
	rows, err := q.Query(ctx, `
		select device_id, check_name, result, form, facts, found_at, since, model, good_at, good_model, regressed_at, acknowledged_at, acknowledged_by
		from device_finding where device_id = any($1)`, ids)
	if err != nil {
		return fmt.Errorf("reading findings: %w", err)
	}
	found := map[int64][]nas.Finding{}
	var id int64
	var f nas.Finding
	var good, regressed, acknowledged *time.Time
	var facts []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &f.Check, &f.Result, &f.Form, &facts, &f.At, &f.Since, &f.Model, &good, &f.GoodModel,
		&regressed, &acknowledged, &f.AcknowledgedBy}, func() error {
		f.Facts = nil
		if err := json.Unmarshal(facts, &f.Facts); err != nil {
			return fmt.Errorf("finding %s of device %d: %w", f.Check, id, err)
		}
		f.At, f.Since, f.GoodAt, f.RegressedAt, f.AcknowledgedAt = f.At.UTC(), f.Since.UTC(), known(good), known(regressed), known(acknowledged)
		found[id] = append(found[id], f)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading findings: %w", err)
	}
	for id, list := range found {
		at[id].Know(list)
	}
	rows, err = q.Query(ctx, `select device_id, identify, rates, wall, class from device_strategy where device_id = any($1)`, ids)
	if err != nil {
		return fmt.Errorf("reading strategies: %w", err)
	}
	var c nas.Choice
	_, err = pgx.ForEachRow(rows, []any{&id, &c.Identify, &c.Rates, &c.Wall, &c.Class}, func() error {
		at[id].Choice = c
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading strategies: %w", err)
	}
	return nil
}

// AcknowledgeRegression notes that a person knows that a check of a device is no longer good. The error is a NotFound
// when there is no such regression.
func (s *Store) AcknowledgeRegression(ctx context.Context, actor string, now time.Time, id nas.DeviceID, check nas.Check) error {
	return s.onDevice(ctx, actor, now, "device.regression_acknowledged", id, map[string]any{"check": check}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			update device_finding set acknowledged_at = $3, acknowledged_by = $4
			where device_id = $1 and check_name = $2 and regressed_at is not null and acknowledged_at is null`, int64(id), string(check), now, actor)
		if err == nil && tag.RowsAffected() == 0 {
			err = contracts.NotFoundf("the check %q of this device has no regression that waits for acknowledgement", check)
		}
		return err
	})
}

// SetChoice fixes parts of how a device is commanded, or leaves them to the findings. The error is Invalid or NotFound.
func (s *Store) SetChoice(ctx context.Context, actor string, now time.Time, id nas.DeviceID, c nas.Choice) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return s.onDevice(ctx, actor, now, "device.strategy", id, c, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into device_strategy (device_id, identify, rates, wall, class) values ($1, $2, $3, $4, $5)
			on conflict (device_id) do update set identify = excluded.identify, rates = excluded.rates, wall = excluded.wall, class = excluded.class`,
			int64(id), c.Identify, c.Rates, c.Wall, c.Class)
		return err
	})
}

// onDevice does something to what is known of a device in service, with its row of the audit and its mark for the nodes.
func (s *Store) onDevice(ctx context.Context, actor string, now time.Time, act string, id nas.DeviceID, detail any, do func(pgx.Tx) error) error {
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("%s: %w", act, err)
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		var one int
		err := tx.QueryRow(ctx, `select 1 from device where id = $1 and retired_at is null for no key update`, int64(id)).Scan(&one)
		if err == pgx.ErrNoRows {
			return contracts.NotFoundf("there is no device %d", id)
		}
		if err == nil {
			err = do(tx)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into audit (at, actor, act, subject, result, detail) values ($1, $2, $3, $4, 'done', $5)`,
			now, actor, act, "device:"+strconv.FormatInt(int64(id), 10), text)
		if err != nil {
			return err
		}
		if err := postgres.MarkChanged(ctx, tx, "device", int64(id)); err != nil {
			return err
		}
		return postgres.NotifyChange(ctx, tx)
	})
	return refused(act, &nas.Device{ID: id}, err)
}
