-- +goose Up
-- The newest Accounting-On or -Off of each access server, by the name it gives itself: records from before it that come
-- late, after a restart or to another node, must not open sessions. Few rows a device, none older than a day beside a newer.
create table accounting_boot (
    device_id      bigint      not null,
    nas_identifier text        not null, -- NAS-Identifier, as hexadecimal where it is not printable UTF-8; '' is the whole device
    at             timestamptz not null,
    closed_by      text        not null, -- 'accounting-on', 'accounting-off'
    primary key (device_id, nas_identifier)
);
