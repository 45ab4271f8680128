package contracts

// Status is the access status of a contract, as shown to people.
type Status string

const (
	Pending          Status = "PENDING"
	Active           Status = "ACTIVE"
	Overdue          Status = "OVERDUE"
	Reduced          Status = "REDUCED"
	BlockedAuto      Status = "BLOCKED_AUTO"
	BlockedManual    Status = "BLOCKED_MANUAL"
	ReleasedTrust    Status = "RELEASED_TRUST"
	ReleasedTemp     Status = "RELEASED_TEMP"
	ReleasedManual   Status = "RELEASED_MANUAL"
	SuspendedRequest Status = "SUSPENDED_REQUEST"
	Terminated       Status = "TERMINATED"
)

// Statuses are all of them, in the order of a contract's life.
var Statuses = []Status{Pending, Active, Overdue, Reduced, BlockedAuto, BlockedManual,
	ReleasedTrust, ReleasedTemp, ReleasedManual, SuspendedRequest, Terminated}

// Outcome is what an access server is told. The order is from the least to the most restricted.
type Outcome uint8

const (
	OutcomeFull    Outcome = iota + 1 // the plan's profile
	OutcomeReduced                    // same addresses, reduced profile
	OutcomeWalled                     // accepted into the walled garden
	OutcomeReject
)

// String is FULL, REDUCED, WALLED or REJECT.
func (o Outcome) String() string {
	switch o {
	case OutcomeFull:
		return "FULL"
	case OutcomeReduced:
		return "REDUCED"
	case OutcomeWalled:
		return "WALLED"
	case OutcomeReject:
		return "REJECT"
	}
	return "NONE"
}

// MarshalText writes String.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what String writes.
func (o *Outcome) UnmarshalText(b []byte) error {
	for v := OutcomeFull; v <= OutcomeReject; v++ {
		if v.String() == string(b) {
			*o = v
			return nil
		}
	}
	return Invalidf("", "%q is none of FULL, REDUCED, WALLED, REJECT", b)
}

// OutcomeOf is the answer that a status leads to under a block mode.
func OutcomeOf(s Status, mode BlockMode) Outcome {
	switch s {
	case Active, Overdue, ReleasedTrust, ReleasedTemp, ReleasedManual:
		return OutcomeFull
	case Reduced:
		return OutcomeReduced
	case BlockedAuto, BlockedManual, SuspendedRequest:
		if mode == BlockReject {
			return OutcomeReject
		}
		return OutcomeWalled
	}
	return OutcomeReject
}
