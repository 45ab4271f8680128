package contracts

import "time"

// ContractID numbers a contract; AccessID numbers an access (a login) of one.
type (
	ContractID int64
	AccessID   int64
)

// Contract is what was agreed when it was recorded. What changed afterwards is in its facts.
type Contract struct {
	ID         ContractID
	CustomerID CustomerID
	PlanID     PlanID
	Zone       *time.Location // where the service is installed; never the server's
	CreatedAt  time.Time

	StartsPending  bool     // begins as PENDING, until an Activate fact
	AutoBlock      bool     // automatic restriction applies (bloqueio automático)
	Exempt         bool     // never charged and never restricted for debt
	TrustEnabled   bool     // the subscriber may unblock himself on his word
	NoBlockUntil   Date     // no automatic block through this date
	ExtraCalendars []string // city and state holidays, beside the policy's

	DueDay        int    // 1 to 31, clamped to each month's length
	Timing        Timing // whether the period charged comes before or after the due date
	BillingAnchor Date   // where the first (pro rata) charge starts

	Accesses []Access
}

// Timing says which period an invoice charges.
type Timing string

const (
	Postpaid Timing = "postpaid" // the period that ends on the due date
	Prepaid  Timing = "prepaid"  // the period that starts on the due date
)

// Validate names the first field that cannot be accepted.
func (c *Contract) Validate() error {
	switch {
	case c.DueDay < 1 || c.DueDay > 31:
		return Invalidf("due_day", "a due day is 1 to 31")
	case c.Timing != Postpaid && c.Timing != Prepaid:
		return Invalidf("timing", "%q is neither postpaid nor prepaid", c.Timing)
	case c.Zone == nil:
		return Invalidf("zone", "a contract has a time zone")
	case c.PlanID == 0:
		return Invalidf("plan_id", "a contract has a plan")
	}
	if err := validCalendarNames("extra_calendars", c.ExtraCalendars); err != nil {
		return err
	}
	if err := ValidDate("no_block_until", c.NoBlockUntil); err != nil {
		return err
	}
	return ValidDate("billing_anchor", c.BillingAnchor)
}
