-- +goose Up
create table customer (
    id         bigint generated always as identity primary key,
    name       text        not null check (btrim(name) <> ''),
    document   text        not null default '',
    email      text        not null default '',
    phone      text        not null default '',
    created_at timestamptz not null
);
create unique index customer_document on customer (document) where document <> '';
create index customer_name on customer (lower(name) text_pattern_ops);

create table plan (
    id         bigint generated always as identity primary key,
    name       text        not null unique,
    created_at timestamptz not null
);

-- A plan's price and rates from an instant on. Older versions keep ruling their own time.
create table plan_version (
    plan_id          bigint      not null references plan,
    since            timestamptz not null,
    price_cents      bigint      not null check (price_cents >= 0),
    down_bps         bigint      not null check (down_bps > 0),
    up_bps           bigint      not null check (up_bps > 0),
    reduced_down_bps bigint      not null default 0,
    reduced_up_bps   bigint      not null default 0,
    reduced_percent  int         not null default 0,
    actor            text        not null default 'system',
    primary key (plan_id, since)
);

create table contract (
    id              bigint generated always as identity primary key,
    customer_id     bigint      not null references customer,
    plan_id         bigint      not null references plan,
    zone            text        not null,
    created_at      timestamptz not null,
    starts_pending  boolean     not null default false,
    auto_block      boolean     not null default true,
    exempt          boolean     not null default false,
    trust_enabled   boolean     not null default true,
    no_block_until  date,
    extra_calendars text[]      not null default '{}',
    due_day         int         not null check (due_day between 1 and 31),
    timing          text        not null default 'postpaid' check (timing in ('postpaid', 'prepaid')),
    billing_anchor  date        not null
);
create index contract_customer on contract (customer_id);

create table access (
    id              bigint generated always as identity primary key,
    contract_id     bigint      not null references contract,
    login           text        not null unique,
    password_sealed bytea       not null,
    created_at      timestamptz not null
);
create index access_contract on access (contract_id);

-- What happened, appended and never edited.
create table fact (
    id           bigint generated always as identity primary key,
    contract_id  bigint      not null references contract,
    at           timestamptz not null,
    kind         text        not null,
    invoice_no   text        not null default '',
    agreement    text        not null default '',
    payment_id   bigint      not null default 0,
    amount_cents bigint      not null default 0,
    due          date,
    paid_on      date,
    from_date    date,
    until_date   date,
    plan_id      bigint      not null default 0,
    access_id    bigint      not null default 0,
    settings     jsonb,
    channel      text        not null default '',
    proof        text        not null default '',
    actor        text        not null,
    reason       text        not null default ''
);
create index fact_contract on fact (contract_id, at, id);
-- The invoice run looks for contracts that end.
create index fact_end on fact (contract_id) where kind = 'cancel_contract';
create unique index fact_invoice_once on fact (contract_id, invoice_no) where kind in ('invoice', 'installment');

-- The policy, the calendars and the company-wide brake from an instant on.
create table rules (
    version   int         primary key check (version > 0),
    since     timestamptz not null,
    policy    jsonb       not null,
    calendars jsonb       not null,
    brake     boolean     not null default false,
    actor     text        not null,
    reason    text        not null default ''
);

-- +goose StatementBegin
create function refuse_rewrite() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
-- +goose StatementEnd
create trigger append_only before update or delete on fact for each row execute function refuse_rewrite();
create trigger append_only before update or delete on rules for each row execute function refuse_rewrite();
create trigger append_only before update or delete on plan_version for each row execute function refuse_rewrite();
