-- +goose Up
-- What changed, for the nodes that keep a projection in memory. Rows are written in the transaction that changes the
-- thing itself. Readers go by transaction id, never by id: ids become visible out of order.
create table change (
    xid xid8        not null default pg_current_xact_id(),
    id  bigint      generated always as identity primary key,
    tbl text        not null,
    key bigint      not null,
    at  timestamptz not null default clock_timestamp()
);
create index change_xid on change (xid, id);
create index change_at on change (at);
