package admin

import (
	"slices"
	"strings"

	"enlace/billing"
	"enlace/contracts"
)

// statusClass is the colour of a status: one per kind of standing.
func statusClass(s contracts.Status) string {
	switch s {
	case contracts.Active:
		return "s-active"
	case contracts.Overdue:
		return "s-overdue"
	case contracts.Reduced:
		return "s-reduced"
	case contracts.BlockedAuto:
		return "s-blocked"
	case contracts.BlockedManual:
		return "s-manual"
	case contracts.ReleasedTrust, contracts.ReleasedTemp, contracts.ReleasedManual:
		return "s-released"
	case contracts.SuspendedRequest:
		return "s-suspended"
	}
	return "s-closed"
}

func outcomeClass(o contracts.Outcome) string { return "o-" + strings.ToLower(o.String()) }

var outcomeLabels = map[contracts.Outcome]string{
	contracts.OutcomeFull: "Full speed", contracts.OutcomeReduced: "Reduced speed",
	contracts.OutcomeWalled: "Walled garden", contracts.OutcomeReject: "Refused",
}

func invoiceLabel(i *billing.Invoice, today contracts.Date) string {
	switch i.State() {
	case billing.Cancelled:
		return "Cancelled"
	case billing.Paid:
		return "Paid"
	case billing.Partial:
		return "Partly paid"
	}
	if i.Due < today {
		return "Overdue"
	}
	return "Open"
}

func invoiceClass(i *billing.Invoice, today contracts.Date) string {
	switch i.State() {
	case billing.Cancelled:
		return "s-closed"
	case billing.Paid:
		return "s-active"
	case billing.Partial:
		return "s-reduced"
	}
	if i.Due < today {
		return "s-overdue"
	}
	return "s-released"
}

func shown(field string, fields []string) bool { return slices.Contains(fields, field) }

// document writes a tax id with its usual punctuation.
func document(s string) string {
	switch len(s) {
	case 11:
		return s[:3] + "." + s[3:6] + "." + s[6:9] + "-" + s[9:]
	case 14:
		return s[:2] + "." + s[2:5] + "." + s[5:8] + "/" + s[8:12] + "-" + s[12:]
	}
	return s
}
