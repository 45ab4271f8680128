package billing

import "enlace/contracts"

// Account of the ledger.
type Account string

const (
	Receivable     Account = "receivable"      // principal owed, by invoice
	FeesReceivable Account = "fees_receivable" // late fees owed, by invoice
	Revenue        Account = "revenue"
	FeeRevenue     Account = "fee_revenue"
	Money          Account = "cash"            // what came in
	CustomerCredit Account = "customer_credit" // what a contract paid ahead
)

// Entry moves an amount in an account: debit positive, credit negative.
type Entry struct {
	Account Account
	Invoice int64 // 0 for accounts that are not kept by invoice
	Amount  contracts.Cents
}

// TxnKind says what a transaction records.
type TxnKind string

const (
	TxnIssue    TxnKind = "issue"
	TxnPayment  TxnKind = "payment"
	TxnFine     TxnKind = "fine"
	TxnInterest TxnKind = "interest"
	TxnCredit   TxnKind = "credit_applied"
	TxnReversal TxnKind = "reversal"
	TxnCancel   TxnKind = "cancel"
)

// Txn is a ledger transaction; its entries sum to zero.
type Txn struct {
	Kind    TxnKind
	Entries []Entry
}

// Sum of the entries: zero for every transaction made here.
func (t Txn) Sum() contracts.Cents {
	var sum contracts.Cents
	for _, e := range t.Entries {
		sum += e.Amount
	}
	return sum
}

// move is the transaction that takes each amount from its account and gives the sum to another.
func move(kind TxnKind, to Entry, from ...Entry) Txn {
	t := Txn{Kind: kind}
	to.Amount = 0
	for _, e := range from {
		if e.Amount != 0 {
			to.Amount += e.Amount
			t.Entries = append(t.Entries, Entry{e.Account, e.Invoice, -e.Amount})
		}
	}
	if to.Amount != 0 {
		t.Entries = append([]Entry{to}, t.Entries...)
	}
	return t
}

// Fees are the late fees of an invoice that a later one takes over.
type Fees struct {
	Invoice int64
	Number  string
	Amount  contracts.Cents // negative where more was paid than is owed
}

// Issue records an invoice: service is what it charges itself, carried the fees it takes over.
func Issue(invoice int64, service contracts.Cents, carried []Fees) Txn {
	from := []Entry{{Revenue, 0, service}}
	for _, f := range carried {
		from = append(from, Entry{FeesReceivable, f.Invoice, f.Amount})
	}
	return move(TxnIssue, Entry{Account: Receivable, Invoice: invoice}, from...)
}

// Assess records a late fee, kind TxnFine or TxnInterest.
func Assess(kind TxnKind, invoice int64, amount contracts.Cents) Txn {
	return move(kind, Entry{Account: FeesReceivable, Invoice: invoice}, Entry{FeeRevenue, 0, amount})
}

// Receive records a payment as it was allocated.
func Receive(invoice int64, a Allocation) Txn {
	return move(TxnPayment, Entry{Account: Money},
		Entry{Receivable, invoice, a.Principal}, Entry{FeesReceivable, invoice, a.Fees}, Entry{CustomerCredit, 0, a.Credit})
}

// ApplyCredit settles part of an invoice with what the contract paid ahead.
func ApplyCredit(invoice int64, amount contracts.Cents) Txn {
	return move(TxnCredit, Entry{Account: CustomerCredit}, Entry{Receivable, invoice, amount})
}

// Credit gives back what was paid for an invoice that is withdrawn, as credit of the customer.
func Credit(invoice int64, amount contracts.Cents) Txn {
	return move(TxnCancel, Entry{Account: Receivable, Invoice: invoice}, Entry{CustomerCredit, 0, amount})
}

// Reverse undoes transactions by one that says the opposite.
func Reverse(kind TxnKind, done ...Txn) Txn {
	t := Txn{Kind: kind}
	for _, d := range done {
		for _, e := range d.Entries {
			t.Entries = append(t.Entries, Entry{e.Account, e.Invoice, -e.Amount})
		}
	}
	return t
}
