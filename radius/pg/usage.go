package pg

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
type usage []grown

// grown is what one record adds.
type grown struct {
	family        *family
	home          home   // zone nil: nobody's
	access        int64  // by the Class that came back; 0: by the login
	login         string // as text
	at            time.Time
	by            booked
	metered, free bool
}

// booked is what is added to a day of an access.
type booked struct{ input, output, freeInput, freeOutput int64 }

// add never exceeds what a day can have.
func (b *booked) add(o booked) {
	b.input, b.output = min(b.input+o.input, mostOctets), min(b.output+o.output, mostOctets)
	b.freeInput, b.freeOutput = min(b.freeInput+o.freeInput, mostOctets), min(b.freeOutput+o.freeOutput, mostOctets)
}

// mostOctets bounds a day's traffic, so that absurd counters cannot make a sum that does not fit, and a month's fits too.
const mostOctets = 1 << 56

// note takes in that a record turned the lineage with the counters before into another.
func (u *usage) note(f *family, before contracts.Traffic, at int, r *radius.Record, terms Terms) {
	after := f.lineage
	more := after.Traffic().Minus(before)
	if at < 0 || more.IsZero() {
		return
	}
	s := &after[at]
	g := grown{family: f, access: int64(s.Access), login: nas.TextOf(strings.TrimSpace(s.Login)), at: r.Event,
		by: booked{input: int64(min(more.Up, mostOctets)), output: int64(min(more.Down, mostOctets))}}
	if terms != nil {
		g.metered, g.free = terms(s.Access, g.login, r.Event)
	}
	if g.free {
		g.by.freeInput, g.by.freeOutput = g.by.input, g.by.output
	}
	*u = append(*u, g)
}

var (
	homesStatement = prepared{"usage_home_of", `select k.n, a.id, a.contract_id, c.zone
		from unnest($1::bigint[], $2::text[]) with ordinality as k (access_id, login, n)
		cross join lateral (
			select id, contract_id from access where k.access_id <> 0 and id = k.access_id
			union all
			select id, contract_id from access where k.access_id = 0 and login = k.login
			offset 0) a
		cross join lateral (select zone from contract where id = a.contract_id offset 0) c`}
	addUsage = prepared{"usage_day_add", `
		insert into usage_day as d (access_id, day, input_octets, output_octets, free_input_octets, free_output_octets)
		select * from unnest($1::bigint[], $2::date[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
		on conflict (access_id, day) do update set
			input_octets = least(d.input_octets + excluded.input_octets, ` + fmt.Sprint(mostOctets) + `),
			output_octets = least(d.output_octets + excluded.output_octets, ` + fmt.Sprint(mostOctets) + `),
			free_input_octets = least(d.free_input_octets + excluded.free_input_octets, ` + fmt.Sprint(mostOctets) + `),
			free_output_octets = least(d.free_output_octets + excluded.free_output_octets, ` + fmt.Sprint(mostOctets) + `)`}
	tellUsage = prepared{"usage_tell", `insert into change (tbl, key) select 'usage', k from unnest($1::bigint[]) k`}
)

// home is where a session's traffic is booked.
type home struct {
	asked    int64  // the session's access when it was looked up; 0: by its login
	login    string // where asked is 0
	access   int64
	contract int64
	zone     *time.Location
}

// write adds the traffic to the days of the accesses; traffic of nobody's access is nobody's usage. Rows are taken in one
// order, so that nodes do not deadlock.
func (u usage) write(ctx context.Context, tx pgx.Tx) error {
	if len(u) == 0 {
		return nil
	}
	err := u.findHomes(ctx, tx)
	if err == nil {
		err = u.book(ctx, tx)
	}
	if err != nil {
		return fmt.Errorf("booking usage: %w", err)
	}
	return nil
}

// findHomes looks up whose the traffic is, where that is not remembered.
func (u usage) findHomes(ctx context.Context, tx pgx.Tx) error {
	var unknown []*grown
	accesses, logins := newArray(pgtype.Int8OID, len(u), 8), newArray(pgtype.TextOID, len(u), 16)
	for i := range u {
		g := &u[i]
		if h := g.family.home; h.zone != nil && h.asked == g.access && (h.asked != 0 || h.login == g.login) {
			g.home = h
			continue
		}
		unknown = append(unknown, g)
		accesses.int8(g.access)
		logins.raw(g.login)
	}
	if len(unknown) == 0 {
		return nil
	}
	zones := map[string]*time.Location{}
	return homesStatement.run(ctx, tx, [][]byte{accesses.bytes(), logins.bytes()}, func(values [][]byte) {
		g := unknown[int8Of(values[0])-1]
		zone := zones[string(values[3])]
		if zone == nil {
			var err error
			if zone, err = time.LoadLocation(string(values[3])); err != nil {
				zone = time.UTC // a zone that only PostgreSQL knows: a day that is hours off, and nothing is held up
			}
			zones[string(values[3])] = zone
		}
		g.home = home{asked: g.access, access: int8Of(values[1]), contract: int8Of(values[2]), zone: zone}
		if g.access == 0 {
			g.home.login = strings.Clone(g.login)
		}
		g.family.home = g.home
	})
}

// accessDay is a day of an access: civil, in days since 2000, as PostgreSQL counts them.
type accessDay struct {
	access int64
	day    int32
}

func dayOf(at time.Time, zone *time.Location) int32 {
	y, m, d := at.In(zone).Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()/86400 - postgresEpoch/86400/1e6)
}

func (u usage) book(ctx context.Context, tx pgx.Tx) error {
	sums := make(map[accessDay]booked, len(u))
	told := map[int64]bool{}
	for i := range u {
		g := &u[i]
		h := g.home
		if h.zone == nil {
			continue
		}
		k := accessDay{h.access, dayOf(g.at, h.zone)}
		sum := sums[k]
		sum.add(g.by)
		sums[k] = sum
		if g.metered {
			told[h.contract] = true
		}
	}
	if len(sums) == 0 {
		return nil
	}
	columns := [6]*array{}
	for i, oid := range []uint32{pgtype.Int8OID, pgtype.DateOID, pgtype.Int8OID, pgtype.Int8OID, pgtype.Int8OID, pgtype.Int8OID} {
		columns[i] = newArray(oid, len(sums), 8)
	}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b accessDay) int {
		return cmp.Or(cmp.Compare(a.access, b.access), cmp.Compare(a.day, b.day))
	}) {
		b := sums[k]
		columns[0].int8(k.access)
		columns[1].int4(k.day)
		for i, n := range []int64{b.input, b.output, b.freeInput, b.freeOutput} {
			columns[2+i].int8(n)
		}
	}
	parameters := make([][]byte, len(columns))
	for i := range columns {
		parameters[i] = columns[i].bytes()
	}
	if err := addUsage.affect(ctx, tx, parameters, len(sums)); err != nil || len(told) == 0 {
		return err
	}
	contracts := newArray(pgtype.Int8OID, len(told), 8)
	for k := range told {
		contracts.int8(k)
	}
	return tellUsage.affect(ctx, tx, [][]byte{contracts.bytes()}, len(told))
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
