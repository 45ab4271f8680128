package contracts

import "time"

// Span is a stretch of time in which nothing about the access changes: From <= t < Until.
type Span struct {
	From    time.Time
	Until   time.Time // zero: no end is foreseen
	Status  Status
	Outcome Outcome
	PlanID  PlanID
	// Disabled lists the accesses switched off one by one; they are rejected whatever the outcome.
	Disabled []AccessID
	Why      Why
}

// Why explains a span: the rule that decided, and what it looked at.
type Why struct {
	Rule          string // stable code, such as "block_after_days", "trust_unblock", "settled"
	InvoiceID     string // the invoice that decided, if one did
	Due           Date   // its effective due date
	DaysOverdue   int    // on the day the span began
	Open          Cents  // its open principal
	NoticeOn      Date   // when its overdue notice went out
	PolicyVersion int
	FactID        int64 // the fact that began the span, 0 if it was time alone
	Actor, Reason string
	// Next says what ends the span, if time does: "reduce", "block", "release_ends", "resume", "overdue".
	Next string
}

// Refusal is a request that a rule turned down.
type Refusal struct {
	At      time.Time
	Request FactKind
	Reason  string // "min_interval", "quota", "disabled_on_contract", "open_debt", "length", "status_ACTIVE", ...
	FactID  int64
}

// Spans are in order and without gaps: the first begins at the contract's creation, the last has no end.
type Spans []Span

// since is when the status that holds at t began, for the same reason: a change of plan or of an access does not begin
// it anew.
func (s Spans) since(t time.Time) time.Time {
	i := 0
	for i+1 < len(s) && !s[i+1].From.After(t) {
		i++
	}
	for i > 0 && s[i-1].Status == s[i].Status && s[i-1].Why.Rule == s[i].Why.Rule && s[i-1].Why.InvoiceID == s[i].Why.InvoiceID {
		i--
	}
	return s[i].From
}

// At is the span that holds at t; before the first, the first.
func (s Spans) At(t time.Time) *Span {
	lo, hi := 0, len(s)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; s[mid].From.After(t) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return &s[lo]
}
