package pg

import (
	"context"
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
func (u *usage) write(ctx context.Context, tx pgx.Tx) error {
	if len(u.at) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
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
