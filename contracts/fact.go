package contracts

import "time"

// FactKind says what happened.
type FactKind string

const (
	// Money. Amounts are of the invoice's principal: late fees never keep a service restricted.
	InvoiceIssued    FactKind = "invoice"          // InvoiceID, Amount, Due
	InstallmentDue   FactKind = "installment"      // InvoiceID, Amount, Due: an instalment of the agreement AgreementID
	PaymentReceived  FactKind = "payment"          // InvoiceID, Amount, PaidOn; PaymentID
	PaymentReversed  FactKind = "reversal"         // InvoiceID, Amount: refund, chargeback, MED
	InvoiceCancelled FactKind = "cancel_invoice"   // InvoiceID
	DisputeOpened    FactKind = "dispute"          // InvoiceID: stops counting
	DisputeRejected  FactKind = "dispute_rejected" // InvoiceID: counts again, needs a new notice
	Renegotiated     FactKind = "renegotiate"      // InvoiceID becomes part of the agreement AgreementID
	NoticeSent       FactKind = "notice"           // InvoiceID; Channel and Proof in Data

	// Acts on access.
	TrustUnblock     FactKind = "trust_unblock"
	TrustCleared     FactKind = "trust_clear" // lets the subscriber use it once more before the interval
	TempRelease      FactKind = "temp_release"
	ManualRelease    FactKind = "manual_release"
	ManualBlock      FactKind = "manual_block"
	ManualUnblock    FactKind = "manual_unblock"
	VoluntarySuspend FactKind = "voluntary_suspend" // From, Until (exclusive)
	VoluntaryResume  FactKind = "resume"
	AccessDisabled   FactKind = "access_disable" // AccessID
	AccessEnabled    FactKind = "access_enable"  // AccessID

	// Life of the contract.
	Activated       FactKind = "activate"
	Cancelled       FactKind = "cancel_contract" // From: optional later date
	PlanChanged     FactKind = "plan_change"     // PlanID; From: optional later date
	SettingsChanged FactKind = "settings"        // Settings
	ToppedUp        FactKind = "top_up"          // Bytes: more traffic until the billing cycle ends
)

// Fact is something that happened, appended and never edited. Which fields matter depends on Kind.
type Fact struct {
	ID         int64 // order of recording, unique; 0 for facts that are only imagined
	ContractID ContractID
	At         time.Time // the instant it was recorded, UTC: it counts from here on
	Kind       FactKind

	InvoiceID   string // the invoice's public number
	AgreementID string
	PaymentID   int64
	Amount      Cents
	Due         Date // nominal due date
	PaidOn      Date // when it was paid, if not on the date of At; matters to fees only
	From, Until Date
	PlanID      PlanID
	AccessID    AccessID
	Settings    *Settings
	Bytes       int64 // of a top-up

	Channel string // of a notice: "email", "log"
	Proof   string // of a notice: what shows that it went out, such as the SMTP server's answer
	Actor   string // who: "staff:ana", "subscriber", "token:erp", "system"
	Reason  string // why, in the actor's words
}

// Validate names the first field that cannot be kept. Whether the rules allow the fact is not its question.
func (f *Fact) Validate() error {
	if _, known := order[f.Kind]; !known {
		return Invalidf("kind", "there is no fact of kind %q", string(f.Kind))
	}
	for _, t := range [...]struct{ field, text string }{{"invoice", f.InvoiceID}, {"agreement", f.AgreementID}, {"channel", f.Channel},
		{"proof", f.Proof}, {"actor", f.Actor}, {"reason", f.Reason}} {
		if err := ValidText(t.field, t.text, 2000); err != nil {
			return err
		}
	}
	for _, d := range [...]struct {
		field string
		date  Date
	}{{"due", f.Due}, {"paid_on", f.PaidOn}, {"from", f.From}, {"until", f.Until}} {
		if err := ValidDate(d.field, d.date); err != nil {
			return err
		}
	}
	if f.Kind == ToppedUp && (f.Bytes <= 0 || f.Bytes > MaxAllowance) {
		return Invalidf("bytes", "a top-up adds something, and at most 1,000,000 GB")
	}
	if s := f.Settings; s != nil {
		if s.NoBlockUntil != nil {
			if err := ValidDate("no_block_until", *s.NoBlockUntil); err != nil {
				return err
			}
		}
		if s.ExtraCalendars != nil {
			return validCalendarNames("extra_calendars", *s.ExtraCalendars)
		}
	}
	return nil
}

// Settings changes the switches of a contract; nil leaves one as it is.
type Settings struct {
	AutoBlock      *bool     `json:"auto_block,omitempty"`
	Exempt         *bool     `json:"exempt,omitempty"`
	TrustEnabled   *bool     `json:"trust_enabled,omitempty"`
	NoBlockUntil   *Date     `json:"no_block_until,omitempty"`
	ExtraCalendars *[]string `json:"extra_calendars,omitempty"`
}
