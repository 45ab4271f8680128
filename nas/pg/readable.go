package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"enlace/nas"
)

// ReadableDevices is Devices without those that cannot be read, which skip is told with the reason. The error is the
// database's, or that of a device when none at all can be read, as with another key.
func (s *Store) ReadableDevices(ctx context.Context, skip func(nas.DeviceID, error)) ([]nas.Device, error) {
	list, all := s.Devices(ctx)
	if all == nil || ctx.Err() != nil {
		return list, all
	}
	rows, err := s.Pool.Query(ctx, `select id from device where retired_at is null order by name`)
	if err != nil {
		return nil, fmt.Errorf("reading devices: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("reading devices: %w", err)
	}
	unread := map[nas.DeviceID]error{}
	list = nil
	for _, id := range ids {
		d, err := s.Device(ctx, nas.DeviceID(id))
		var refused *pgconn.PgError
		switch {
		case err == nil:
			list = append(list, d)
		case ctx.Err() != nil, errors.As(err, &refused), s.Pool.Ping(ctx) != nil: // not what is stored in one row
			return nil, err
		default:
			unread[nas.DeviceID(id)] = err
		}
	}
	if len(list) == 0 {
		return nil, all
	}
	for id, err := range unread {
		skip(id, err)
	}
	return list, nil
}
