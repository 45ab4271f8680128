// Package billing is the money of a contract: which days an invoice charges and at what price, what a late payment
// adds, how a payment is used, and the ledger transactions that record all of it.
//
// Owns: cycles and due dates, pro rata, late fees, loyalty penalties, the planning of the monthly run, the allocation of
// payments, the shape of every ledger transaction. Does not own: storage (billing/pg), what debt does to access
// (contracts), payment instruments such as Pix and boletos.
//
// # What is charged
//
// A cycle runs from one nominal due date to the next; a due day beyond a month's length is its last day, and the next
// month has the full day again. A postpaid invoice charges the cycle that ends on its due date, a prepaid one the cycle
// that starts on it. The first charge starts at the billing anchor, or with the activation of a contract that began as
// pending; the last one ends on the day of cancellation, which is not charged. What a contract is at the end of a day in
// its own zone decides that day: activated at noon, it is charged; cancelled at noon, it is not; a plan changed at noon
// costs the new price all day. Days suspended at the subscriber's request and days on which the contract is exempt are
// not charged, and neither are days blocked once they have passed, unless the policy says accrue_while_blocked; days
// reduced are charged like any other.
//
// Nothing is issued for days before the anchor, and nothing twice. A run after downtime issues every cycle that was
// missed, each once. An invoice is never due before the day it is issued or before the first day that it charges. What
// changed in a cycle after it was invoiced (a plan, a suspension, a cancellation) becomes an adjustment line of the next
// monthly invoice. Where none follows, because the contract has ended, the invoice is cancelled and issued anew as it
// should be, and what was paid for it becomes credit. The days of an invoice that somebody cancelled are not issued
// again by the run.
//
// # What a payment settles
//
// Principal first, then late fees, then customer credit, which settles the contract's next invoice. Fees therefore never
// keep a service restricted. They are assessed when a late payment arrives: the fine once per invoice, simple interest
// on the principal that was open before the payment, from the effective due date or the last date already assessed, to
// the date of payment. No fee is charged on a fee. What the payment leaves of them stays in fees receivable and becomes
// a line of the contract's next monthly invoice. A payment that was made in time has no fee, however late it is heard of.
// Reversing a payment undoes its fees too: a late payment made again is assessed anew.
//
// # The ledger
//
// Debit positive, credit negative; every transaction sums to zero; nothing is edited, only reversed. The open principal
// of an invoice is its balance in the account receivable, and equals what the contract's facts say of it.
//
// Dates are civil, in the contract's zone; money is integer cents. The package is pure: no clock, no socket, no SQL.
package billing
