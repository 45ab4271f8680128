package contracts

import "time"

// Policy is one version of the dunning parameters of a company. The zero value is not usable: start from DefaultPolicy.
// Days are whole civil days in the contract's zone.
type Policy struct {
	Version int `json:"version" yaml:"-"` // 1, 2, ... in the order of recording

	NoticeAt  ClockTime `json:"notice_at" yaml:"notice_at"`   // overdue notices go out from this time of day, every day
	NoticeDay int       `json:"notice_day" yaml:"notice_day"` // notice on this day overdue (1 = first)
	RunAt     ClockTime `json:"run_at" yaml:"run_at"`         // the restriction instant of a permitted day
	// AllowedFrom and AllowedUntil bound RunAt: restrictions may begin only within these hours.
	AllowedFrom  ClockTime `json:"allowed_from" yaml:"allowed_from"`
	AllowedUntil ClockTime `json:"allowed_until" yaml:"allowed_until"`

	NoticeMinDays              int  `json:"notice_min_days" yaml:"notice_min_days"`         // whole days between notice and any restriction; law: 15
	NoticeMinOverride          bool `json:"notice_min_override" yaml:"notice_min_override"` // the operator takes responsibility for fewer than 15
	ReduceAfterDays            *int `json:"reduce_after_days" yaml:"reduce_after_days"`     // days overdue; nil = never reduce
	BlockAfterDays             *int `json:"block_after_days" yaml:"block_after_days"`       // days overdue; nil = never block
	RenegotiatedBlockAfterDays *int `json:"renegotiated_block_after_days" yaml:"renegotiated_block_after_days"`

	NoRestrictWeekdays   []int    `json:"no_restrict_weekdays" yaml:"no_restrict_weekdays"` // ISO, 1 = Monday
	NoRestrictHolidays   bool     `json:"no_restrict_holidays" yaml:"no_restrict_holidays"`
	NoRestrictHolidayEve bool     `json:"no_restrict_holiday_eve" yaml:"no_restrict_holiday_eve"`
	BankCalendars        []string `json:"bank_calendars" yaml:"bank_calendars"`       // move due dates
	HolidayCalendars     []string `json:"holiday_calendars" yaml:"holiday_calendars"` // guard restrictions, with the contract's own

	DueShift           DueShift      `json:"due_shift" yaml:"due_shift"`
	MinBlockingBalance Cents         `json:"min_blocking_balance" yaml:"min_blocking_balance"` // an open balance up to this never restricts
	UnblockPolicy      UnblockPolicy `json:"unblock_policy" yaml:"unblock_policy"`
	BlockMode          BlockMode     `json:"block_mode" yaml:"block_mode"`

	ReversalRequiresNewNotice    bool `json:"reversal_requires_new_notice" yaml:"reversal_requires_new_notice"`
	ManualBlockReleasedByPayment bool `json:"manual_block_released_by_payment" yaml:"manual_block_released_by_payment"`

	Trust     TrustPolicy      `json:"trust" yaml:"trust"`
	Temp      TempPolicy       `json:"temp" yaml:"temp"`
	Voluntary SuspensionPolicy `json:"vs" yaml:"vs"`

	FinePercentBP     int `json:"fine_bp" yaml:"fine_bp"`         // late fine in basis points of the open amount; law: at most 200
	InterestMonthlyBP int `json:"interest_bp" yaml:"interest_bp"` // simple interest per 30 days in basis points; law: at most 100

	AccrueWhileBlocked bool `json:"accrue_while_blocked" yaml:"accrue_while_blocked"` // days blocked, for debt or by hand, are charged

	GenerateDaysBefore int `json:"generate_days_before" yaml:"generate_days_before"` // invoices are issued this many days before they are due
}

// DueShift says what a due date on a day without banks becomes.
type DueShift string

const (
	ShiftNextBusinessDay DueShift = "next_business_day"
	ShiftNone            DueShift = "none"
)

// UnblockPolicy says which debts must be settled before a restriction is lowered.
type UnblockPolicy string

const (
	// UnblockThreshold lowers to what the remaining debts alone would justify today.
	UnblockThreshold UnblockPolicy = "threshold"
	// UnblockAllOverdue lowers only when no counted invoice is overdue.
	UnblockAllOverdue UnblockPolicy = "all_overdue"
)

// BlockMode says what an access server is told about a blocked login.
type BlockMode string

const (
	BlockWalled BlockMode = "walled" // accept into the walled garden
	BlockReject BlockMode = "reject"
)

// TrustPolicy rules the unblock that a subscriber gives himself on his word.
type TrustPolicy struct {
	Days            int      `json:"days" yaml:"days"` // through the end of the day of use + Days
	MinIntervalDays int      `json:"min_interval_days" yaml:"min_interval_days"`
	AllowFrom       []Status `json:"allow_from" yaml:"allow_from"`
}

// TempPolicy rules the temporary release that an operator gives.
type TempPolicy struct {
	Days         int `json:"days" yaml:"days"`
	MaxPerWindow int `json:"max_per_window" yaml:"max_per_window"`
	WindowDays   int `json:"window_days" yaml:"window_days"`
}

// SuspensionPolicy rules the suspension that a subscriber in good standing asks for.
type SuspensionPolicy struct {
	MinDays      int `json:"min_days" yaml:"min_days"`
	MaxDays      int `json:"max_days" yaml:"max_days"`
	WindowMonths int `json:"window_months" yaml:"window_months"` // at most one start within so many months
}

// LegalNoticeDays is the least number of days between an overdue notice and a restriction (Anatel, RGC: Resolution
// 765/2023, arts. 70 and 71).
const LegalNoticeDays = 15

// DefaultPolicy is the legal-safe set of parameters, version 1.
func DefaultPolicy() Policy {
	days := func(n int) *int { return &n }
	return Policy{
		Version: 1, NoticeAt: 8 * 60, NoticeDay: 1, RunAt: 9 * 60, AllowedFrom: 8 * 60, AllowedUntil: 18 * 60,
		NoticeMinDays: LegalNoticeDays, ReduceAfterDays: days(16), BlockAfterDays: days(30), RenegotiatedBlockAfterDays: days(3),
		NoRestrictWeekdays: []int{5, 6, 7}, NoRestrictHolidays: true, NoRestrictHolidayEve: true,
		BankCalendars: []string{"national", "bank"}, HolidayCalendars: []string{"national"},
		DueShift: ShiftNextBusinessDay, MinBlockingBalance: 500, UnblockPolicy: UnblockThreshold, BlockMode: BlockWalled,
		ReversalRequiresNewNotice: true,
		Trust:                     TrustPolicy{Days: 3, MinIntervalDays: 30, AllowFrom: []Status{BlockedAuto}},
		Temp:                      TempPolicy{Days: 3, MaxPerWindow: 1, WindowDays: 30},
		Voluntary:                 SuspensionPolicy{MinDays: 30, MaxDays: 120, WindowMonths: 12},
		FinePercentBP:             200, InterestMonthlyBP: 100, GenerateDaysBefore: 10,
	}
}

// Validate refuses parameters that contradict themselves or the law's bounds; the error names the field.
func (p Policy) Validate() error {
	switch {
	case p.NoticeMinDays < 0 || p.NoticeDay < 1:
		return Invalidf("notice_day", "notices go out on the first day overdue or later")
	case p.NoticeMinDays < LegalNoticeDays && !p.NoticeMinOverride:
		return Invalidf("notice_min_days", "fewer than %d days between notice and restriction needs notice_min_override", LegalNoticeDays)
	case p.RunAt < p.AllowedFrom || p.RunAt > p.AllowedUntil:
		return Invalidf("run_at", "%s lies outside the allowed hours %s to %s", p.RunAt, p.AllowedFrom, p.AllowedUntil)
	case p.DueShift != ShiftNextBusinessDay && p.DueShift != ShiftNone:
		return Invalidf("due_shift", "%q is neither next_business_day nor none", p.DueShift)
	case p.UnblockPolicy != UnblockThreshold && p.UnblockPolicy != UnblockAllOverdue:
		return Invalidf("unblock_policy", "%q is neither threshold nor all_overdue", p.UnblockPolicy)
	case p.BlockMode != BlockWalled && p.BlockMode != BlockReject:
		return Invalidf("block_mode", "%q is neither walled nor reject", p.BlockMode)
	case p.Trust.Days < 0 || p.Temp.Days < 0 || p.Trust.MinIntervalDays < 0 || p.Temp.WindowDays < 0:
		return Invalidf("trust", "days cannot be negative")
	case p.FinePercentBP < 0 || p.FinePercentBP > 200:
		return Invalidf("fine_bp", "the fine is between 0 and 2 %% (200 basis points)")
	case p.InterestMonthlyBP < 0 || p.InterestMonthlyBP > 100:
		return Invalidf("interest_bp", "interest is between 0 and 1 %% a month (100 basis points)")
	case p.GenerateDaysBefore < 0 || p.GenerateDaysBefore > 60:
		return Invalidf("generate_days_before", "invoices are issued 0 to 60 days before they are due")
	}
	for name, n := range map[string]*int{"reduce_after_days": p.ReduceAfterDays, "block_after_days": p.BlockAfterDays, "renegotiated_block_after_days": p.RenegotiatedBlockAfterDays} {
		if n != nil && *n < 1 {
			return Invalidf(name, "a restriction begins on the first day overdue or later")
		}
	}
	for _, d := range p.NoRestrictWeekdays {
		if d < 1 || d > 7 {
			return Invalidf("no_restrict_weekdays", "%d is not an ISO weekday (1 = Monday to 7 = Sunday)", d)
		}
	}
	if len(p.NoRestrictWeekdays) >= 7 {
		return Invalidf("no_restrict_weekdays", "no day of the week is left")
	}
	for _, s := range p.Trust.AllowFrom {
		if s != BlockedAuto && s != Reduced {
			return Invalidf("trust.allow_from", "%q is neither BLOCKED_AUTO nor REDUCED", s)
		}
	}
	for name, n := range p.days() {
		if n < 0 || n > maxPolicyDays {
			return Invalidf(name, "0 to %d are possible", maxPolicyDays)
		}
	}
	if err := validCalendarNames("bank_calendars", p.BankCalendars); err != nil {
		return err
	}
	return validCalendarNames("holiday_calendars", p.HolidayCalendars)
}

// maxPolicyDays keeps dates that follow from a policy within the calendar: ten years. "Never" is written as no number.
const maxPolicyDays = 3650

// days are the parameters that count days, months or uses.
func (p *Policy) days() map[string]int {
	days := map[string]int{
		"notice_day": p.NoticeDay, "notice_min_days": p.NoticeMinDays,
		"trust.days": p.Trust.Days, "trust.min_interval_days": p.Trust.MinIntervalDays,
		"temp.days": p.Temp.Days, "temp.max_per_window": p.Temp.MaxPerWindow, "temp.window_days": p.Temp.WindowDays,
		"vs.min_days": p.Voluntary.MinDays, "vs.max_days": p.Voluntary.MaxDays, "vs.window_months": p.Voluntary.WindowMonths,
	}
	for name, n := range map[string]*int{"reduce_after_days": p.ReduceAfterDays, "block_after_days": p.BlockAfterDays, "renegotiated_block_after_days": p.RenegotiatedBlockAfterDays} {
		if n != nil {
			days[name] = *n
		}
	}
	return days
}

// EffectiveDue is the date from which an invoice ages: the nominal due date, moved to the next bank day where the
// policy says so.
func (p *Policy) EffectiveDue(due Date, cal Calendars) Date {
	if p.DueShift == ShiftNone {
		return due
	}
	return cal.NextBusinessDay(due, p.BankCalendars...)
}

// Rules are everything that is not the contract's own and yet decides: one version, known from an instant on.
// A new policy, a new holiday or the company-wide brake is a new version; the older ones keep ruling their own time.
type Rules struct {
	Since     time.Time // recorded at; the first version may be the zero time
	Policy    Policy
	Calendars Calendars
	Brake     bool // company-wide: while set, no new restriction begins
}

// RulesAt is the version in force at t: the last one recorded by then. Versions are in the order of Since.
func RulesAt(versions []Rules, t time.Time) *Rules {
	in := &versions[0]
	for i := range versions {
		if versions[i].Since.After(t) {
			break
		}
		in = &versions[i]
	}
	return in
}
