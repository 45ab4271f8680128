-- +goose Up
-- What access servers that know rates by name call a plan.
alter table plan_version
    add column profile_name text not null default '' check (profile_name ~ '^[A-Za-z0-9._-]{0,64}$');
