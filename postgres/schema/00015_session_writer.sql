-- +goose Up
-- Whose node stored sessions of a device last: what a node remembers of them holds as long as that is itself.
create table session_writer (
    device_id bigint primary key,
    writer    text   not null
);

-- Ids, logins and kinds are compared byte by byte: nobody reads them in a language's order, and each insertion into an
-- index compares a dozen.
alter table session_live alter column session_id type text collate "C", alter column login type text collate "C";
alter table session_history alter column session_id type text collate "C", alter column login type text collate "C";
alter table connection_open alter column session_id type text collate "C", alter column login type text collate "C",
    alter column kind type text collate "C";
alter table connection_record alter column session_id type text collate "C", alter column login type text collate "C",
    alter column kind type text collate "C";
