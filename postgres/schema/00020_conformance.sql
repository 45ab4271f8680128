-- +goose Up
-- What was seen of a device's traffic of late, by check and form, added up over the nodes; more of it lets the older fade.
create table device_sighting (
    device_id bigint      not null references device (id),
    sight     text        not null, -- check/form
    n         bigint      not null,
    value     bigint      not null, -- of the latest
    seen_at   timestamptz not null,
    primary key (device_id, sight)
) with (fillfactor = 70);

-- What each check found of a device, in its traffic or by asking it.
create table device_finding (
    device_id       bigint      not null references device (id),
    check_name      text        not null,
    result          text        not null check (result in ('good', 'noted', 'bad')),
    form            text        not null,
    facts           jsonb       not null, -- [{form, n, value}]
    found_at        timestamptz not null,
    since           timestamptz not null, -- the result has been so since
    model           text        not null,
    good_at         timestamptz, -- it was good the last time
    good_model      text        not null,
    regressed_at    timestamptz, -- was good, is bad
    acknowledged_at timestamptz,
    acknowledged_by text        not null,
    primary key (device_id, check_name)
) with (fillfactor = 70);

-- What an operator has fixed of how a device is commanded; a device without a row leaves all of it to the findings.
create table device_strategy (
    device_id bigint primary key references device (id),
    identify  text not null,
    rates     text not null,
    wall      text not null,
    class     text not null
);

-- Probes that were asked for: a node takes each, once. Instants are the database's.
create table device_probe (
    id         bigint generated always as identity primary key,
    device_id  bigint      not null references device (id),
    asked_at   timestamptz not null default clock_timestamp(),
    actor      text        not null,
    session_id text        not null, -- of the open session that it is tried on, as Acct-Session-Id is written; empty: any
    try_login  text        not null, -- whose rate may be changed for a while; empty: nobody's
    taken_at   timestamptz,
    node       text        not null default '',
    ended_at   timestamptz,
    note       text        not null default '' -- why it could not be done, or not all of it
);
create index device_probe_waiting on device_probe (id) where taken_at is null;
create index device_probe_device on device_probe (device_id, id);
