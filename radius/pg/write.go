package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"enlace/radius"
)

// change is what a batch did to a session.
type change struct {
	family *family
	before *radius.Session // as it is stored; nil: it is not
	place  place           // of before
	after  *radius.Session
}

// place is where a row of session_live lies: its ctid, which stays as it is while the device is locked (lockDevices), and
// afterwards as long as recent says.
type place string

// nowhere is the place of a row that is in session_history.
const nowhere place = ""

var (
	leaveLive = prepared{"session_live_leave", `delete from session_live t using unnest($1::tid[]) k (place) where t.ctid = k.place`}
	putCounts = prepared{"session_live_count", `update session_live t set last_seen_at = k.last_seen_at,
		session_seconds = k.session_seconds, input_octets = k.input_octets, output_octets = k.output_octets
		from unnest($1::tid[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[]) with ordinality
			k (place, last_seen_at, session_seconds, input_octets, output_octets, n)
		where t.ctid = k.place
		returning k.n, t.ctid`}
	counters = columnsNamed("last_seen_at", "session_seconds", "input_octets", "output_octets") // no index has them

	placeStatement = prepared{"session_live_place", `select k.n, l.ctid
		from unnest($1::bigint[], $2::text[]) with ordinality as k (device_id, session_id, n)
		cross join lateral (select ctid from session_live where device_id = k.device_id and session_id = k.session_id offset 0) l`}
	putHistory   = prepared{"session_history_put", upsert("session_history", keyColumns, historyColumns, "device_id, session_id, started_at")}
	putLive      = prepared{"session_live_put", upsert("session_live", keyColumns, liveColumns, "device_id, session_id") + " returning ctid"}
	leaveHistory = prepared{"session_history_leave", `delete from session_history
		where device_id = ($1::bigint[])[1] and session_id = ($2::text[])[1] and started_at = ($3::timestamptz[])[1]`}
	historyKey = columnsNamed("device_id", "session_id", "started_at")
)

// write stores changes. Everything that follows from a session that changed is written here, in the same transaction.
// A session that ends is copied into the history, where none of its key and start can be; careful merges it all the same.
func write(ctx context.Context, tx pgx.Tx, changed []change, careful bool) error {
	var live, amended, counted []*radius.Session
	var fresh, put, moved []*family // put of live, moved of counted
	unlive, places := newArray(pgtype.TIDOID, len(changed), 6), newArray(pgtype.TIDOID, len(changed), 6)
	opened := newCopy("session_live", listed("", liveColumns), len(liveColumns), len(changed))
	history := newCopy("session_history", listed("", historyColumns), len(historyColumns), len(changed))
	for _, c := range changed {
		switch {
		case !c.after.Open():
			if careful || c.before != nil && c.place == nowhere {
				amended = append(amended, c.after)
			} else {
				putCopied(history.next(), c.after, historyColumns)
			}
			if c.place != nowhere {
				unlive.raw(string(c.place))
				c.family.place = nowhere
			}
		case c.before != nil && c.place == nowhere: // few: those that were taken for closed
			if err := leaveHistory.run(ctx, tx, arraysOf([]*radius.Session{c.before}, historyKey), nil); err != nil {
				return err
			}
			live, put = append(live, c.after), append(put, c.family)
		case c.before != nil && onlyCounters(c.before, c.after):
			counted, moved = append(counted, c.after), append(moved, c.family)
			places.raw(string(c.place))
		case c.before == nil && !careful:
			putCopied(opened.next(), c.after, liveColumns)
			fresh = append(fresh, c.family)
		default:
			live, put = append(live, c.after), append(put, c.family)
		}
	}
	if err := leaveLive.affect(ctx, tx, [][]byte{unlive.bytes()}, unlive.n); err != nil {
		return err
	}
	if err := history.write(ctx, tx); err != nil {
		return err
	}
	if err := putHistory.affect(ctx, tx, arraysOf(amended, historyColumns), len(amended)); err != nil {
		return err
	}
	if err := opened.write(ctx, tx); err != nil {
		return err
	}
	if len(fresh) > 0 {
		err := placeStatement.run(ctx, tx, keyArrays(fresh), func(values [][]byte) {
			fresh[int8Of(values[0])-1].place = place(values[1])
		})
		if err != nil {
			return err
		}
	}
	// Rows come back in the order in which they were put.
	if err := putLive.place(ctx, tx, arraysOf(live, liveColumns), len(live), func(i int, values [][]byte) {
		put[i].place = place(values[0])
	}); err != nil {
		return err
	}
	return putCounts.place(ctx, tx, append([][]byte{places.bytes()}, arraysOf(counted, counters)...), places.n, func(_ int, values [][]byte) {
		moved[int8Of(values[0])-1].place = place(values[1])
	})
}

// putCopied puts a session's columns into a row of a COPY.
func putCopied(row *array, s *radius.Session, columns []column) {
	for _, c := range columns {
		if c.name != "framed_ipv6" {
			c.put(row, s)
			continue
		}
		texts := make([]string, len(s.FramedIPv6))
		for i, p := range s.FramedIPv6 {
			texts[i] = p.String()
		}
		row.texts(texts)
	}
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
