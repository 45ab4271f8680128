-- +goose Up
create table staff (
    id            bigint generated always as identity primary key,
    username      text        not null unique,
    password_hash text        not null, -- argon2id, PHC string
    created_at    timestamptz not null,
    disabled_at   timestamptz
);

create table staff_session (
    token   text        primary key, -- SHA-256 of the cookie's token
    data    bytea       not null,
    expires timestamptz not null
);
create index staff_session_expires on staff_session (expires);

create table api_token (
    id           bigint generated always as identity primary key,
    name         text        not null,
    token_hash   bytea       not null unique, -- SHA-256
    created_at   timestamptz not null,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- Who did what. Facts carry their own actor; this also holds refused acts and sign-ins.
create table audit (
    id      bigint generated always as identity primary key,
    at      timestamptz not null,
    actor   text        not null,
    act     text        not null,
    subject text        not null,
    result  text        not null, -- 'done', or the code of the refusal
    detail  jsonb       not null default '{}'
);
create index audit_subject on audit (subject, id);
