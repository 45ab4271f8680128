-- +goose Up
-- Acct-Multi-Session-Id, and what the device's counters had reached when they wrapped or began anew.
alter table session_live
    add column multi_session_id text   not null default '',
    add column input_base       bigint not null default 0,
    add column output_base      bigint not null default 0;
-- Of an end that was inferred: when. Later records of the session open it again.
alter table session_history
    add column multi_session_id text   not null default '',
    add column input_base       bigint not null default 0,
    add column output_base      bigint not null default 0,
    add column closed_at        timestamptz;
update session_history set closed_at = stopped_at where closed_by <> 'stop';

-- Some access servers, mostly with IPoE, count in and out from their own side.
alter table device add column swap_octets boolean not null default false;
