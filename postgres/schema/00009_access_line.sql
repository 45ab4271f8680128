-- +goose Up
-- What an access has beside its login and password. Most accesses have no row.
create table access_line (
    access_id     bigint      primary key references access,
    session_limit int         not null default 0 check (session_limit between 0 and 1000), -- 0: the provider's
    no_password   boolean     not null default false,
    mac_mode      text        not null default 'off' check (mac_mode in ('off', 'fixed', 'learn')),
    mac           macaddr     check (mac_mode <> 'off' or mac is null),
    device_mode   text        not null default 'off' check (device_mode in ('off', 'fixed', 'learn')),
    device_id     bigint      references device check (device_mode <> 'off' or device_id is null),
    port_mode     text        not null default 'off' check (port_mode in ('off', 'fixed', 'learn')),
    port          text        check (port_mode <> 'off' or port is null), -- hexadecimal after 0x where it is not printable, as the ids below
    circuit_id    text        not null default '',
    remote_id     text        not null default '',
    vlan          text        not null default '', -- 200, or outer:inner
    netmask_bits  int         not null default 0 check (netmask_bits = 0 or netmask_bits between 8 and 32),
    version       bigint      not null default 1, -- counts what the operator changes
    learned_at    timestamptz,
    check (mac_mode <> 'fixed' or mac is not null),
    check (device_mode <> 'fixed' or device_id is not null),
    check (port_mode <> 'fixed' or port is not null),
    -- An access without a password is recognised by a mark, on one access server or on all of them.
    mark          text,
    devices       int8range,
    check (no_password = (mark is not null)),
    check ((mark is null) = (devices is null)),
    constraint access_line_mark_once exclude using gist (mark with =, devices with &&)
);
create index access_line_mac on access_line (mac) where mac is not null;
create index access_line_circuit on access_line (circuit_id text_pattern_ops) where circuit_id <> '';
create index access_line_remote on access_line (remote_id text_pattern_ops) where remote_id <> '';

-- Addresses that always belong to one access. None overlaps another access's.
create table access_address (
    access_id bigint not null references access,
    kind      text   not null check (kind in ('ipv4', 'framed_ipv6', 'delegated_ipv6', 'route')),
    n         int    not null default 0,
    prefix    cidr   not null,
    gateway   inet,
    metric    int    not null default 0,
    primary key (access_id, kind, n),
    check (kind <> 'ipv4' or family(prefix) = 4 and masklen(prefix) = 32),
    check (kind not in ('framed_ipv6', 'delegated_ipv6') or family(prefix) = 6),
    constraint access_address_once exclude using gist (prefix inet_ops with &&, access_id with <>)
);
