-- +goose Up
-- Invoices that may owe an overdue notice: open, in force, and without a notice that counts. Derived from fact in the
-- transaction that appends (contracts/pg), so that the notice run need not look at every invoice there ever was.
create table awaiting_notice (
    contract_id bigint not null references contract,
    invoice_no  text   not null,
    due         date   not null,
    primary key (contract_id, invoice_no)
);
create index awaiting_notice_due on awaiting_notice (due);

insert into awaiting_notice (contract_id, invoice_no, due)
    select i.contract_id, i.invoice_no, i.due from fact i
    cross join lateral (
        select coalesce(sum(case f.kind when 'payment' then f.amount_cents when 'reversal' then -f.amount_cents end), 0) as paid,
            coalesce(bool_or(f.kind in ('reversal', 'dispute_rejected')), false) as again,
            coalesce(bool_or(f.kind = 'notice'), false) as noticed,
            coalesce(bool_or(f.kind in ('cancel_invoice', 'renegotiate')), false) as void
        from fact f where f.contract_id = i.contract_id and f.invoice_no = i.invoice_no) about
    where i.kind in ('invoice', 'installment') and i.due is not null
        and not void and (again or not noticed and i.amount_cents > paid);
