package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"enlace/radius"
)

// change is what a batch did to a session.
type change struct {
	before *radius.Session // as it is stored; nil: it is not
	place  place           // of before
	after  *radius.Session
}

// place is where a row of session_live lies: its ctid, which stays as it is while the device is locked (lockDevices).
type place string

// nowhere is the place of a row that is in session_history.
const nowhere place = ""

var (
	leaveLive = prepared{"session_live_leave", `delete from session_live t using unnest($1::tid[]) k (place) where t.ctid = k.place`}
	putCounts = prepared{"session_live_count", `update session_live t set last_seen_at = k.last_seen_at,
		session_seconds = k.session_seconds, input_octets = k.input_octets, output_octets = k.output_octets
		from unnest($1::tid[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[])
			k (place, last_seen_at, session_seconds, input_octets, output_octets) where t.ctid = k.place`}
	counters = columnsNamed("last_seen_at", "session_seconds", "input_octets", "output_octets") // no index has them

	putHistory   = prepared{"session_history_put", upsert("session_history", keyColumns, historyColumns, "device_id, session_id, started_at")}
	putLive      = prepared{"session_live_put", upsert("session_live", keyColumns, liveColumns, "device_id, session_id")}
	leaveHistory = prepared{"session_history_leave", `delete from session_history
		where device_id = ($1::bigint[])[1] and session_id = ($2::text[])[1] and started_at = ($3::timestamptz[])[1]`}
	historyKey = columnsNamed("device_id", "session_id", "started_at")
)

// write stores changes. Everything that follows from a session that changed is written here, in the same transaction.
func write(ctx context.Context, tx pgx.Tx, changed []change) error {
	var live, history, counted []*radius.Session
	unlive, places := newArray(pgtype.TIDOID, len(changed), 6), newArray(pgtype.TIDOID, len(changed), 6)
	for _, c := range changed {
		switch {
		case !c.after.Open():
			history = append(history, c.after)
			if c.place != nowhere {
				unlive.raw(string(c.place))
			}
		case c.before != nil && c.place == nowhere: // few: those that were taken for closed
			if err := leaveHistory.run(ctx, tx, arraysOf([]*radius.Session{c.before}, historyKey), nil); err != nil {
				return err
			}
			live = append(live, c.after)
		case c.before != nil && onlyCounters(c.before, c.after):
			counted = append(counted, c.after)
			places.raw(string(c.place))
		default:
			live = append(live, c.after)
		}
	}
	if err := leaveLive.affect(ctx, tx, [][]byte{unlive.bytes()}, unlive.n); err != nil {
		return err
	}
	if err := putHistory.affect(ctx, tx, arraysOf(history, historyColumns), len(history)); err != nil {
		return err
	}
	if err := putLive.affect(ctx, tx, arraysOf(live, liveColumns), len(live)); err != nil {
		return err
	}
	return putCounts.affect(ctx, tx, append([][]byte{places.bytes()}, arraysOf(counted, counters)...), places.n)
}

// arraysOf turns sessions into parameters, one for each column.
func arraysOf(sessions []*radius.Session, columns []column) [][]byte {
	parameters := make([][]byte, len(columns))
	for i, c := range columns {
		a := newArray(c.oid, len(sessions), 20)
		for _, s := range sessions {
			c.put(a, s)
		}
		parameters[i] = a.bytes()
	}
	return parameters
}
