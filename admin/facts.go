package admin

import (
	"strings"

	"enlace/contracts"
)

var factLabels = map[contracts.FactKind]string{
	contracts.InvoiceIssued: "Invoice issued", contracts.InstallmentDue: "Instalment issued", contracts.PaymentReceived: "Payment received",
	contracts.PaymentReversed: "Payment reversed", contracts.InvoiceCancelled: "Invoice cancelled", contracts.DisputeOpened: "Dispute opened",
	contracts.DisputeRejected: "Dispute rejected", contracts.Renegotiated: "Renegotiated", contracts.NoticeSent: "Overdue notice sent",
	contracts.TrustUnblock: "Trust unblock", contracts.TrustCleared: "Trust unblock allowed again", contracts.TempRelease: "Temporary release",
	contracts.ManualRelease: "Manual release", contracts.ManualBlock: "Manual block", contracts.ManualUnblock: "Manual block lifted",
	contracts.VoluntarySuspend: "Suspension at own request", contracts.VoluntaryResume: "Resumed", contracts.AccessDisabled: "Access switched off",
	contracts.AccessEnabled: "Access switched on", contracts.Activated: "Activated", contracts.Cancelled: "Contract cancelled",
	contracts.PlanChanged: "Plan changed", contracts.SettingsChanged: "Settings changed", contracts.ToppedUp: "Allowance topped up",
}

func (p *page) factLabel(f *contracts.Fact) string {
	if l, ok := factLabels[f.Kind]; ok {
		return p.T(l)
	}
	return string(f.Kind)
}

// factText is what a fact says beside its kind, in one line.
func (p *page) factText(c *contracts.Contract, f *contracts.Fact) string {
	return strings.Join(p.factPieces(c, f), " · ")
}

// factPieces are invoice, amount, dates, channel and reason, as far as the fact has them.
func (p *page) factPieces(c *contracts.Contract, f *contracts.Fact) []string {
	var out []string
	if f.InvoiceID != "" {
		out = append(out, f.InvoiceID)
	}
	if f.Amount != 0 {
		out = append(out, p.Money(f.Amount))
	}
	if f.Bytes != 0 {
		out = append(out, contracts.FormatBytes(uint64(f.Bytes), p.lang))
	}
	if !f.Due.IsZero() {
		out = append(out, p.T("due %s", p.Date(f.Due)))
	}
	if !f.PaidOn.IsZero() {
		out = append(out, p.T("paid on %s", p.Date(f.PaidOn)))
	}
	if !f.From.IsZero() {
		out = append(out, p.T("from %s", p.Date(f.From)))
	}
	if !f.Until.IsZero() {
		out = append(out, p.T("until %s", p.Date(f.Until)))
	}
	if f.Channel != "" {
		out = append(out, p.T("by %s", f.Channel))
	}
	for _, a := range c.Accesses {
		if f.AccessID != 0 && a.ID == f.AccessID {
			out = append(out, a.Login)
		}
	}
	if f.Reason != "" {
		out = append(out, "“"+f.Reason+"”")
	}
	return out
}
