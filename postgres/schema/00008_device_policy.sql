-- +goose Up
-- A device may be known by its certificate alone (RadSec), and devices behind one address by their NAS-Identifier.
alter table device alter column source drop not null;
alter table device add column certificate text not null default ''; -- DNS name or sha256:hex; empty: no RadSec
alter table device add column older_secret_sealed bytea; -- accepted too while a new one is brought in
alter table device add column limit_proxy_state text not null default 'auto' check (limit_proxy_state in ('yes', 'auto', 'no'));
alter table device add column observed_since timestamptz; -- what was seen of it before does not count
update device set observed_since = created_at;
alter table device alter column observed_since set not null;
drop index device_source_key;
create unique index device_source_key on device (source, nas_identifier) where retired_at is null;
create unique index device_certificate_key on device (certificate) where retired_at is null and certificate <> '';

-- What was seen of a device's Access-Requests over UDP, added up over the nodes.
create table device_observation (
    device_id             bigint      not null,
    since                 timestamptz not null, -- device.observed_since when it was seen
    signed                bigint      not null, -- with a valid Message-Authenticator
    unsigned              bigint      not null, -- with none
    last_unsigned         timestamptz,
    unsigned_proxied      bigint      not null, -- of those, with Proxy-State
    last_unsigned_proxied timestamptz,
    signs                 boolean     not null, -- Message-Authenticator is required where the policy is auto
    proxies_bare          boolean     not null, -- a proxy that does not sign
    primary key (device_id, since)
) with (fillfactor = 70);
