-- +goose Up
-- Commands by a device's own API, and the pauses of mass changes: without a row nothing is paused.
alter table network_command drop constraint network_command_method_check;
alter table network_command add constraint network_command_method_check check (method in ('coa', 'disconnect', 'api'));
create table command_pause (
    device_id bigint      primary key, -- 0: all devices
    since     timestamptz not null,
    actor     text        not null
);
