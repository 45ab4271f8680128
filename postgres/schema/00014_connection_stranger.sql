-- +goose Up
-- What sessions without an access called themselves: of all they are few, but a login is not to be looked for in all of them.
create index connection_open_stranger on connection_open (login, from_at) where access_id = 0;
create index connection_record_stranger on connection_record (login, from_at) where access_id = 0;
