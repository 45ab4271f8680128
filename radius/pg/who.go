package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// whoHad looks the address up as every prefix that could hold it. What ended before the instant is in partitions that
// are not looked at.
const whoHad = `
	with prefix as materialized (
		select array(select network(set_masklen($1::inet, bits))::inet from connection_prefix_length where bits <= $2::int) as list
	)
	select ` + shownColumns + ` from (
		select ` + heldColumns + `, null::timestamptz as until_at, '' as closed_by
		from connection_open r
		where address = any((select list from prefix)::inet[]) and from_at <= $3
			and port_from <= $5 and port_to >= $4
		union all
		select ` + heldColumns + `, until_at, closed_by
		from connection_record r
		where address = any((select list from prefix)::inet[]) and from_at <= $3 and until_at >= $3
			and port_from <= $5 and port_to >= $4
		limit $6
	) r` + holderJoin + `
	order by r.port_from, r.from_at desc, r.device_id, r.session_id, r.kind`

const heldColumns = `r.device_id, r.session_id, r.kind, r.address, r.port_from, r.port_to, r.started_at, r.login, r.access_id,
	r.calling_station, r.nas_port, r.from_at, r.said_at, r.seen_at`

// holderJoin finds whose the access is today.
const holderJoin = `
	left join access a on a.id = r.access_id
	left join contract c on c.id = a.contract_id
	left join customer u on u.id = c.customer_id
	left join device d on d.id = r.device_id`

const shownColumns = `r.device_id, r.session_id, r.kind, r.address, r.port_from, r.port_to, r.started_at, r.login, r.access_id,
	r.calling_station, r.nas_port, r.from_at, r.said_at, r.seen_at, r.until_at, r.closed_by,
	coalesce(c.id, 0), coalesce(u.id, 0), coalesce(u.name, ''), coalesce(u.document, ''), coalesce(d.name, '')`

// WhoHad is the sessions that had an address at an instant, by port. More than one is no error: addresses are shared by
// carrier-grade NAT, ends are estimated, access servers assign twice. more tells that there are others beyond the limit.
func (s *Store) WhoHad(ctx context.Context, q radius.AddressQuestion) (found []radius.Connection, more bool, err error) {
	addr := q.Address.Unmap().WithZone("")
	from, to := q.Port, q.Port
	if q.Port < 0 {
		from, to = 0, 65535
	}
	n := limit(q.Limit)
	rows, err := s.pool.Query(ctx, whoHad, addr, addr.BitLen(), q.At, from, to, n+1)
	if err == nil {
		found, err = pgx.CollectRows(rows, scanConnection)
	}
	if err != nil {
		return nil, false, fmt.Errorf("looking up who had an address: %w", err)
	}
	if len(found) > n {
		return found[:n], true, nil
	}
	return found, false, nil
}

// heldBy takes the accesses that the login names or the customer has, and what strangers' sessions called themselves.
const heldBy = `
	with mine as materialized (
		select array(
			select a.id from access a join contract c on c.id = a.contract_id
			where ($1 <> '' and a.login = $1) or ($2::bigint <> 0 and c.customer_id = $2)) as list
	)
	select ` + shownColumns + ` from (
		select ` + heldColumns + `, null::timestamptz as until_at, '' as closed_by
		from connection_open r
		where (access_id = any((select list from mine)::bigint[]) or (access_id = 0 and login = $1 and $1 <> '')) and from_at < $4
		union all
		select ` + heldColumns + `, until_at, closed_by
		from connection_record r
		where (access_id = any((select list from mine)::bigint[]) or (access_id = 0 and login = $1 and $1 <> ''))
			and from_at < $4 and until_at >= $3
		order by from_at desc
		limit $5
	) r` + holderJoin + `
	order by r.from_at desc, r.device_id, r.session_id, r.kind, r.port_from`

// HeldBy is what a login or a customer had in a period, newest first.
func (s *Store) HeldBy(ctx context.Context, p radius.SubscriberQuestion) (found []radius.Connection, more bool, err error) {
	n := limit(p.Limit)
	rows, err := s.pool.Query(ctx, heldBy, nas.TextOf(p.Login), int64(p.Customer), p.From, p.Until, n+1)
	if err == nil {
		found, err = pgx.CollectRows(rows, scanConnection)
	}
	if err != nil {
		return nil, false, fmt.Errorf("looking up the addresses of a subscriber: %w", err)
	}
	if len(found) > n {
		return found[:n], true, nil
	}
	return found, false, nil
}

func scanConnection(row pgx.CollectableRow) (radius.Connection, error) {
	var c radius.Connection
	var device, access, contract, customer int64
	var id, kind, login, calling, port, closedBy string
	var portFrom, portTo int32
	var said, seen, until *time.Time
	err := row.Scan(&device, &id, &kind, &c.Prefix, &portFrom, &portTo, &c.StartedAt, &login, &access, &calling, &port,
		&c.From, &said, &seen, &until, &closedBy, &contract, &customer, &c.CustomerName, &c.Document, &c.Device)
	if err != nil {
		return c, err
	}
	c.Key = nas.SessionKey{Device: nas.DeviceID(device), ID: nas.RawOf(id)}
	c.Kind, c.ClosedBy = radius.AddressKind(kind), radius.ClosedBy(closedBy)
	c.PortFrom, c.PortTo = uint16(portFrom), uint16(portTo)
	c.Login, c.CallingStation, c.NASPort = nas.RawOf(login), nas.RawOf(calling), nas.RawOf(port)
	c.Access, c.Contract, c.Customer = contracts.AccessID(access), contracts.ContractID(contract), contracts.CustomerID(customer)
	c.StartedAt, c.From = c.StartedAt.UTC(), c.From.UTC()
	if until != nil {
		c.Until = until.UTC()
	}
	if c.Said = c.From; said != nil {
		c.Said = said.UTC()
	}
	if c.Seen = c.Until; seen != nil {
		c.Seen = seen.UTC()
	}
	return c, nil
}
