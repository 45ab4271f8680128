-- +goose Up
create extension if not exists btree_gist;

create sequence invoice_number;

create table invoice (
    id              bigint generated always as identity primary key,
    number          text        not null unique,
    contract_id     bigint      not null references contract,
    kind            text        not null check (kind in ('monthly', 'manual')),
    period          daterange   not null check (not isempty(period)),
    issued_at       timestamptz not null,
    due             date        not null,
    principal_cents bigint      not null check (principal_cents >= 0),
    cancelled_at    timestamptz,
    -- One contract is never charged twice for the same days.
    constraint invoice_period_once exclude using gist (contract_id with =, period with &&)
        where (kind = 'monthly' and cancelled_at is null)
);
create index invoice_contract on invoice (contract_id, due);
create index invoice_due on invoice (due);

create table invoice_line (
    invoice_id  bigint not null references invoice,
    n           int    not null,
    description text   not null,
    from_date   date,
    until_date  date,
    cents       bigint not null,
    primary key (invoice_id, n)
);

create table payment (
    id          bigint generated always as identity primary key,
    external_id text        not null unique, -- the idempotency key: endToEndId, file line, or one made by the caller
    invoice_id  bigint      not null references invoice,
    cents       bigint      not null check (cents > 0),
    paid_on     date        not null,
    received_at timestamptz not null,
    method      text        not null,
    actor       text        not null,
    -- How the amount was used when it arrived; the sum is cents.
    principal_cents bigint  not null check (principal_cents >= 0),
    fee_cents       bigint  not null check (fee_cents >= 0),
    credit_cents    bigint  not null check (credit_cents >= 0),
    reversed_at timestamptz,
    check (principal_cents + fee_cents + credit_cents = cents)
);
create index payment_invoice on payment (invoice_id);
create index payment_received on payment (received_at);

create table ledger_txn (
    id          bigint generated always as identity primary key,
    at          timestamptz not null,
    kind        text        not null, -- as billing.TxnKind says
    contract_id bigint      not null references contract,
    payment_id  bigint      references payment,
    actor       text        not null
);
create index ledger_txn_contract on ledger_txn (contract_id, id);

-- Debit positive, credit negative; the entries of a transaction sum to zero.
create table ledger_entry (
    txn_id     bigint not null references ledger_txn,
    n          int    not null,
    account    text   not null check (account in ('receivable', 'fees_receivable', 'revenue', 'fee_revenue', 'cash', 'customer_credit')),
    invoice_id bigint references invoice,
    cents      bigint not null check (cents <> 0),
    primary key (txn_id, n)
);
create index ledger_entry_invoice on ledger_entry (invoice_id, account) include (cents);

-- +goose StatementBegin
create function ledger_balanced() returns trigger language plpgsql as $$
begin
    if (select sum(cents) from ledger_entry where txn_id = new.txn_id) <> 0 then
        raise exception 'ledger transaction % does not sum to zero', new.txn_id using errcode = 'check_violation';
    end if;
    return null;
end $$;
-- +goose StatementEnd
create constraint trigger balanced after insert on ledger_entry
    deferrable initially deferred for each row execute function ledger_balanced();
create trigger append_only before update or delete on ledger_entry for each row execute function refuse_rewrite();
create trigger append_only before update or delete on ledger_txn for each row execute function refuse_rewrite();
