-- +goose Up
-- What a device is, where it stands, and how its own management interface is reached.
alter table device
    add column short_name          text not null default '',
    add column model               text not null default '',
    add column pop                 text not null default '',
    add column zone                text not null default '', -- IANA name; empty: the provider's
    add column latitude            double precision,
    add column longitude           double precision,
    add column api_address         text not null default '', -- host:port; empty: none
    add column api_user            text not null default '',
    add column api_password_sealed bytea,
    add column api_certificate     text not null default '', -- sha256:hex, or plain
    add constraint device_place check ((latitude is null) = (longitude is null));
