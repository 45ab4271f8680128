-- +goose Up
-- The nodes at work on this database, by this database's clock.
create table node (
    name       text        primary key, -- of its journal
    generation bigint      not null,    -- grows with every node that begins, or begins anew after having been cut off
    knows      bigint      not null,    -- of all nodes up to this generation it knows, and commands nothing without a claim
    seen_at    timestamptz not null,
    patience   interval    not null     -- unseen for so long it is gone, with every command it may have sent
);
create sequence node_generation;

-- Who may command a session until when, and what it was told last. A row left open is a command of which nobody knows
-- whether it took effect. Without another node alive there are none.
create table command_claim (
    device_id  bigint      not null,
    session_id text        collate "C" not null,
    node       text        not null,
    serial     bigint      not null,               -- of the claim, within its node
    until      timestamptz not null,
    open       boolean     not null default true,
    told_by    text,                               -- the node that commanded it last
    started_at timestamptz,                        -- which session it was that was told, where ids are used again
    applied    bigint      not null default 0,     -- digest of the service it has since; 0: unknown
    ended      boolean     not null default false, -- a Disconnect was acknowledged
    primary key (device_id, session_id)
) with (fillfactor = 70);
