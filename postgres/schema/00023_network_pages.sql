-- +goose Up
-- Commands are read newest first: of a device, of a login, of all. An ID is drawn at random and orders nothing.
create index network_command_device on network_command (device_id, requested_at desc, id desc);
create index network_command_requested on network_command (requested_at desc, id desc);
create index network_command_of_login on network_command (login, requested_at desc, id desc);
drop index network_command_login;
