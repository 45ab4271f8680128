-- +goose Up
-- A payment's own transactions: its late fees, and what a reversal undoes.
create index ledger_txn_payment on ledger_txn (payment_id) where payment_id is not null;
