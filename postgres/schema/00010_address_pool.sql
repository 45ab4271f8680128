-- +goose Up
-- Addresses lent to subscribers by this side; an access server uses at most one pool of each kind.
create table address_pool (
    id         bigint      generated always as identity primary key,
    name       text        not null unique,
    ranges     cidr[]      not null check (cardinality(ranges) > 0), -- only ever appended to: places are numbered through them
    bits       int         not null check (bits = 32 or bits between 48 and 64),
    next_place bigint      not null default 0, -- the first that nobody has ever had
    created_at timestamptz not null
);
alter table device add column ipv4_pool bigint references address_pool;
alter table device add column delegated_pool bigint references address_pool;

-- Whose a place of a pool is. The key keeps it from being lent twice, by however many nodes.
create table address_lease (
    prefix     cidr        primary key,
    pool_id    bigint      not null references address_pool,
    access_id  bigint,                           -- null: held in reserve by the node, or free
    slot       smallint    not null default 0,
    node       text        not null default '',
    until      timestamptz not null,             -- free after it
    updated_at timestamptz not null default clock_timestamp(),
    constraint address_lease_slot unique (pool_id, access_id, slot)
) with (fillfactor = 80);
create index address_lease_until on address_lease (pool_id, until);
create index address_lease_updated on address_lease (updated_at);
create index address_lease_node on address_lease (node) where access_id is null;
