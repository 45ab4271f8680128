-- +goose Up
create table device (
    id                  bigint generated always as identity primary key,
    name                text        not null,
    source              cidr        not null, -- address or prefix its packets come from
    secret_sealed       bytea       not null,
    dialect             text        not null,
    coa_address         text        not null default '', -- host:port for CoA and Disconnect; empty: none
    nas_identifier      text        not null default '',
    message_authenticator text      not null default 'auto' check (message_authenticator in ('yes', 'auto', 'no')),
    interim_seconds     int         not null default 300 check (interim_seconds between 60 and 86400),
    commands_per_second int         not null default 50 check (commands_per_second between 1 and 10000),
    created_at          timestamptz not null,
    retired_at          timestamptz
);
-- A retired device gives its name and its address back.
create unique index device_name_key on device (name) where retired_at is null;
create unique index device_source_key on device (source) where retired_at is null;

-- Open sessions: small and hot. Closed ones move to session_history.
create table session_live (
    device_id        bigint      not null,
    session_id       text        not null, -- Acct-Session-Id, as hexadecimal where it is not printable UTF-8
    login            text        not null,
    access_id        bigint      not null default 0,
    started_at       timestamptz not null, -- fixed when the session was first seen
    last_seen_at     timestamptz not null,
    session_seconds  bigint      not null default 0,
    input_octets     bigint      not null default 0, -- from the subscriber: upload
    output_octets    bigint      not null default 0, -- to the subscriber: download
    framed_ip        inet,
    framed_ipv6      text[]      not null default '{}',
    calling_station  text        not null default '',
    nas_port         text        not null default '',
    nas_identifier   text        not null default '',
    applied          text        not null default '', -- digest of the service that the access server applies
    primary key (device_id, session_id)
) with (fillfactor = 70);
create index session_live_login on session_live (login);

create table session_history (
    like session_live including defaults,
    stopped_at      timestamptz not null,
    terminate_cause int         not null default 0,  -- Acct-Terminate-Cause (RFC 2866, section 5.10)
    closed_by       text        not null,            -- 'stop', 'accounting-on', 'accounting-off', 'replaced'
    primary key (device_id, session_id, started_at)
) partition by range (started_at);
create index session_history_login on session_history (login, started_at);
create table session_history_default partition of session_history default;

-- How far a node's journal has been drained; written in the transaction that stores what was drained.
create table journal_cursor (
    node     text   primary key,
    segment  bigint not null,
    position bigint not null
);

-- What the network was told, what it answered and what was seen afterwards.
create table network_command (
    id           bigint generated always as identity primary key,
    device_id    bigint      not null,
    session_id   text        not null,
    login        text        not null,
    method       text        not null check (method in ('coa', 'disconnect')),
    want         text        not null, -- the outcome wanted, such as 'REDUCED 50M/25M'
    reason       text        not null,
    actor        text        not null,
    requested_at timestamptz not null,
    sent_at      timestamptz,
    attempts     int         not null default 0,
    answered_at  timestamptz,
    answer       text        not null default '', -- 'ack', 'nak', 'timeout'
    error_cause  int         not null default 0,  -- RFC 5176, section 3.5
    confirmed_at timestamptz,
    evidence     text        not null default ''  -- 'interim', 'stop', 'login'
);
create index network_command_login on network_command (login, id);
