package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// Terms say how traffic of a session at an instant is booked: whether the contract's plan looks at usage, so that the
// nodes are told that it grew, and whether no allowance counts it.
type Terms func(access contracts.AccessID, login string, at time.Time) (metered, free bool)

// usage is what records add to the traffic of their accesses. A record adds what the session's counters grew by when it
// was folded: what was stored before counts for nothing again, so that a record counts once, in whatever order and
// however often it comes. It is booked on the civil day of the record's event.
type usage struct {
	key              []nas.SessionKey
	access           []int64
	login            []string
	at               []time.Time
	input, output    []int64
	metered, exempts []bool
}

// mostOctets bounds a day's traffic, so that absurd counters cannot make a sum that does not fit, and a month's fits too.
const mostOctets = 1 << 56

// note takes in that a record turned the lineage with the counters before into another.
func (u *usage) note(before contracts.Traffic, after radius.Lineage, at int, r *radius.Record, terms Terms) {
	grown := after.Traffic().Minus(before)
	if at < 0 || grown.IsZero() {
		return
	}
	s := &after[at]
	login := nas.TextOf(strings.TrimSpace(s.Login))
	u.key = append(u.key, s.Key)
	u.access = append(u.access, int64(s.Access))
	u.login = append(u.login, login)
	u.at = append(u.at, r.Event)
	u.input = append(u.input, int64(min(grown.Up, mostOctets)))
	u.output = append(u.output, int64(min(grown.Down, mostOctets)))
	var metered, free bool
	if terms != nil {
		metered, free = terms(s.Access, login, r.Event)
	}
	u.metered, u.exempts = append(u.metered, metered), append(u.exempts, free)
}

// write adds the traffic to the days of the accesses. An access is known by the Class that came back, and otherwise by
// its login; traffic of nobody's access is nobody's usage. Rows are taken in one order, so that nodes do not deadlock.
//
// fresh are the sessions that were not stored before. Where another node has stored one since this transaction looked,
// it has booked its traffic: errOvertaken, and with last nothing of it is booked.
func (u *usage) write(ctx context.Context, tx pgx.Tx, fresh []radius.Session, last bool) error {
	if len(u.at) == 0 {
		return nil
	}
	taken, err := overtaken(ctx, tx, fresh)
	switch {
	case err != nil:
		return err
	case len(taken) > 0 && !last:
		return errOvertaken
	}
	for i, key := range u.key {
		if taken[key] {
			u.input[i], u.output[i] = 0, 0
		}
	}
	_, err = tx.Exec(ctx, `
		with said as materialized (
			select coalesce(nullif(access_id, 0), (select a.id from access a where a.login = s.login)) as access_id, at, input, output, metered, free
			from (select unnest($1::bigint[]) as access_id, unnest($2::text[]) as login, unnest($3::timestamptz[]) as at,
				unnest($4::bigint[]) as input, unnest($5::bigint[]) as output, unnest($6::bool[]) as metered, unnest($7::bool[]) as free) s
		), booked as materialized (
			select a.id, a.contract_id, (s.at at time zone c.zone)::date as day, bool_or(s.metered) as metered,
				sum(s.input) as input, sum(s.output) as output,
				coalesce(sum(s.input) filter (where s.free), 0) as free_input, coalesce(sum(s.output) filter (where s.free), 0) as free_output
			from said s join access a on a.id = s.access_id join contract c on c.id = a.contract_id
			group by 1, 2, 3
		), added as (
			insert into usage_day as d (access_id, day, input_octets, output_octets, free_input_octets, free_output_octets)
			select id, day, least(input, $8), least(output, $8), least(free_input, $8), least(free_output, $8) from booked order by id, day
			on conflict (access_id, day) do update set
				input_octets = least(d.input_octets + excluded.input_octets, $8),
				output_octets = least(d.output_octets + excluded.output_octets, $8),
				free_input_octets = least(d.free_input_octets + excluded.free_input_octets, $8),
				free_output_octets = least(d.free_output_octets + excluded.free_output_octets, $8)
		)
		insert into change (tbl, key) select distinct 'usage', contract_id from booked where metered`,
		u.access, u.login, u.at, u.input, u.output, u.metered, u.exempts, int64(mostOctets))
	if err != nil {
		return fmt.Errorf("booking usage: %w", err)
	}
	return nil
}

// errOvertaken says that another node stored a session which this transaction had looked for and not found: what its
// counters grew by is not what was thought.
var errOvertaken = errors.New("another node has stored a session meanwhile")

// overtaken finds the sessions that were to be new and met a row: that leaves a mark in xmax.
func overtaken(ctx context.Context, tx pgx.Tx, fresh []radius.Session) (map[nas.SessionKey]bool, error) {
	var keys []nas.SessionKey
	var started []time.Time
	var open []bool
	for i := range fresh {
		if s := &fresh[i]; s.Input > 0 || s.Output > 0 {
			keys, started, open = append(keys, s.Key), append(started, s.StartedAt), append(open, s.Open())
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	devices, ids := keyColumns(keys)
	rows, err := tx.Query(ctx, `
		with k as materialized (
			select * from unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::bool[]) with ordinality as k (device_id, session_id, started_at, open, n))
		select k.n from k join session_live l using (device_id, session_id) where k.open and l.xmax <> '0'
		union all
		select k.n from k join session_history h using (device_id, session_id, started_at) where not k.open and h.xmax <> '0'`, devices, ids, started, open)
	if err != nil {
		return nil, fmt.Errorf("looking for sessions of other nodes: %w", err)
	}
	taken := map[nas.SessionKey]bool{}
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&n}, func() error {
		taken[keys[n-1]] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("looking for sessions of other nodes: %w", err)
	}
	return taken, nil
}

// Days is a stretch of civil days of a contract: From inclusive, Until exclusive.
type Days struct {
	Contract    contracts.ContractID
	From, Until contracts.Date
}

// Usage of contracts, day by day, over all their accesses; days without traffic are left out.
func (s *Store) Usage(ctx context.Context, of ...Days) (map[contracts.ContractID][]contracts.DayUsage, error) {
	var ids []int64
	var from, until []time.Time
	for _, d := range of {
		ids, from, until = append(ids, int64(d.Contract)), append(from, sqlDate(d.From)), append(until, sqlDate(d.Until))
	}
	rows, err := s.pool.Query(ctx, `
		select k.contract_id, u.day, sum(u.input_octets)::bigint, sum(u.output_octets)::bigint, sum(u.free_input_octets)::bigint, sum(u.free_output_octets)::bigint
		from (select unnest($1::bigint[]) as contract_id, unnest($2::date[]) as since, unnest($3::date[]) as until) k
		join access a on a.contract_id = k.contract_id
		join usage_day u on u.access_id = a.id and u.day >= k.since and u.day < k.until
		group by 1, 2 order by 1, 2`, ids, from, until)
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	found := map[contracts.ContractID][]contracts.DayUsage{}
	var id int64
	var day time.Time
	var in, out, freeIn, freeOut int64
	_, err = pgx.ForEachRow(rows, []any{&id, &day, &in, &out, &freeIn, &freeOut}, func() error {
		c := contracts.ContractID(id)
		found[c] = append(found[c], contracts.DayUsage{Day: contracts.DateOf(day, time.UTC),
			Total: contracts.Traffic{Up: uint64(in), Down: uint64(out)}, Free: contracts.Traffic{Up: uint64(freeIn), Down: uint64(freeOut)}})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	return found, nil
}

func sqlDate(d contracts.Date) time.Time {
	y, m, day := d.Parts()
	return time.Date(y, m, day, 0, 0, 0, 0, time.UTC)
}
