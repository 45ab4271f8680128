-- +goose Up
-- Who had which address when (Brazil: Lei 12.965/2014, article 13, a year from the end of the connection). What is still
-- held is in connection_open; what has ended is in the monthly partitions of connection_record, by when it ended: so a
-- partition that is dropped whole holds nothing that ended later, however long it was held. Names of customers are not
-- copied: access_id leads to them.
create table connection_open (
    device_id       bigint      not null,
    session_id      text        not null, -- as in session_live
    started_at      timestamptz not null, -- of the session
    login           text        not null default '',
    access_id       bigint      not null default 0,
    calling_station text        not null default '',
    nas_port        text        not null default '',
    kind            text        not null check (kind in ('ipv4', 'ipv6', 'ipv6_delegated', 'ipv6_address', 'nat')),
    address         inet        not null, -- with its prefix length
    port_from       int         not null default 0,
    port_to         int         not null default 65535, -- inclusive
    listed          boolean     not null, -- a later record without it, and with another of its kind, ends it
    from_at         timestamptz not null,
    said_at         timestamptz not null, -- the first record that names it
    seen_at         timestamptz not null, -- the last record that names it, as far as it was noted
    others          boolean     not null default false, -- the session also has records that have ended
    primary key (device_id, session_id, kind, address, port_from, port_to)
) with (fillfactor = 80);
create index connection_open_address on connection_open (address, from_at, port_from, port_to);
create index connection_open_access on connection_open (access_id, from_at);

create table connection_record (
    device_id       bigint      not null,
    started_at      timestamptz not null,
    access_id       bigint      not null,
    from_at         timestamptz not null,
    until_at        timestamptz not null,
    said_at         timestamptz,          -- null: from_at
    seen_at         timestamptz,          -- null: until_at
    port_from       int         not null,
    port_to         int         not null, -- inclusive
    listed          boolean     not null,
    address         inet        not null,
    kind            text        not null,
    closed_by       text        not null, -- 'stop' and 'release' were told, all others are estimates
    session_id      text        not null,
    login           text        not null,
    calling_station text        not null,
    nas_port        text        not null
) partition by range (until_at);
-- What ended in a later month and began before an instant is little: long sessions. So of each partition only the rows
-- of the address that began before the instant are looked at, and of those only the index.
create index connection_record_address on connection_record (address, from_at, until_at, port_from, port_to);
create index connection_record_access on connection_record (access_id, from_at);
create index connection_record_session on connection_record (device_id, session_id);
create table connection_record_default partition of connection_record default;

-- The lengths of prefixes that occur, so that an address is looked for in few.
create table connection_prefix_length (
    bits int primary key check (bits between 0 and 128)
);
insert into connection_prefix_length values (32), (56), (64), (128);

-- Sessions that were kept before.
with kept as (
    select device_id, session_id, started_at, login, access_id, calling_station, nas_port, last_seen_at,
        null::timestamptz as stopped_at, '' as closed_by, framed_ip, framed_ipv6 from session_live
    union all
    select device_id, session_id, started_at, login, access_id, calling_station, nas_port, last_seen_at,
        stopped_at, closed_by, framed_ip, framed_ipv6 from session_history
), address as (
    select k.*, 'ipv4' as kind, framed_ip as address from kept k where framed_ip is not null
    union all
    select k.*, case when p like '%/128' then 'ipv6_address' when masklen(p::inet) < 64 then 'ipv6_delegated' else 'ipv6' end, p::inet
    from kept k, unnest(framed_ipv6) p
), lengths as (
    insert into connection_prefix_length select distinct masklen(address) from address on conflict do nothing
), opened as (
    insert into connection_open (device_id, session_id, started_at, login, access_id, calling_station, nas_port, kind,
        address, listed, from_at, said_at, seen_at)
    select device_id, session_id, started_at, login, access_id, calling_station, nas_port, kind, address, true,
        started_at, started_at, last_seen_at
    from address where stopped_at is null
)
insert into connection_record (device_id, session_id, started_at, login, access_id, calling_station, nas_port, kind,
    address, port_from, port_to, listed, from_at, until_at, seen_at, closed_by)
select device_id, session_id, started_at, login, access_id, calling_station, nas_port, kind, address, 0, 65535, true,
    started_at, greatest(stopped_at, started_at), nullif(last_seen_at, greatest(stopped_at, started_at)), closed_by
from address where stopped_at is not null;

create index audit_connections on audit (id) where act = 'connections.search';
