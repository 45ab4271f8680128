-- +goose Up
alter table plan_version add column allowance jsonb; -- null: traffic without bound
alter table plan_version add column hours jsonb;     -- null: the same at every time of the day
alter table fact add column bytes bigint not null default 0; -- of a top-up

-- Traffic of an access on a civil day of its contract's zone, written in the transaction that stores the sessions.
create table usage_day (
    access_id          bigint not null,
    day                date   not null,
    input_octets       bigint not null, -- from the subscriber: upload
    output_octets      bigint not null, -- to the subscriber: download
    free_input_octets  bigint not null, -- the part that no allowance counts
    free_output_octets bigint not null,
    primary key (access_id, day)
) partition by range (day);
create table usage_day_default partition of usage_day default with (fillfactor = 70);
