package billing

import (
	"time"

	"enlace/contracts"
)

// InvoiceFilter selects invoices; zero values do not filter.
type InvoiceFilter struct {
	Contract contracts.ContractID
	Customer contracts.CustomerID
	State    InvoiceState   // or Unpaid
	DueFrom  contracts.Date // inclusive
	DueTo    contracts.Date // inclusive
	After    int64          // continue after the invoice with this ID, the last of the page before
	Limit    int            // 1 to 500; 0: 50
}

// Unpaid filters for invoices that are open or partial.
const Unpaid InvoiceState = "unpaid"

// InvoiceDetail is an invoice with all that belongs to it.
type InvoiceDetail struct {
	Invoice
	EffectiveDue contracts.Date // after which it is late
	Lines        []Line
	Payments     []Payment // oldest first, reversed ones included
	Postings     []Posting // oldest first
	Quote        Quote     // what settles it on the date asked for; zero where it is cancelled
}

// Posting is a ledger entry of an invoice with the transaction that it belongs to.
type Posting struct {
	Txn     int64
	At      time.Time
	Kind    TxnKind
	Payment int64 // 0: none
	Actor   string
	Entry
}
