package contracts

import (
	"cmp"
	"slices"
	"time"
)

// Options of a timeline question.
type Options struct {
	// Plan assumes that overdue notices go out as scheduled after From. Without it only recorded notices count, and
	// without a recorded notice nothing is restricted.
	Plan bool
	From time.Time
}

// Life is a contract's life as its facts tell it: what held at every instant, what will hold unless something happens,
// and which requests were refused.
type Life struct {
	Spans   Spans
	Refused []Refusal
}

// Timeline folds facts and rules into spans. Facts may come in any order; those of one instant give the same spans in
// any order. rules is not empty, in the order of Since, and its first version rules everything before the second.
func Timeline(c *Contract, facts []Fact, rules []Rules, opt Options) Life {
	f := newFold(c, facts, rules, opt)
	for t, ok := f.begin(), true; ok; t, ok = f.next() {
		f.step(t)
	}
	return f.life
}

// Debts are the invoices that are open at now, oldest effective due date first.
func Debts(c *Contract, facts []Fact, rules []Rules, now time.Time) []Debt {
	f := newFold(c, facts, rules, Options{})
	for t, ok := f.begin(), true; ok && !t.After(now); t, ok = f.next() {
		f.step(t)
	}
	f.enter(now)
	var out []Debt
	for _, d := range f.debts {
		if !d.ages() {
			continue
		}
		due := f.effectiveDue(d)
		out = append(out, Debt{
			InvoiceID: d.id, Due: d.due, EffectiveDue: due, Open: d.open(), DaysOverdue: max(0, int(f.today-due)),
			NoticeOn: d.noticeOn, NoticeDue: d.noticeOn.IsZero() && !f.closed() && !f.noticeInstant(d, d.noticeFrom).After(now),
		})
	}
	slices.SortFunc(out, func(a, b Debt) int {
		return cmp.Or(cmp.Compare(a.EffectiveDue, b.EffectiveDue), cmp.Compare(a.InvoiceID, b.InvoiceID))
	})
	return out
}

// Debt is an open invoice at some instant.
type Debt struct {
	InvoiceID    string
	Due          Date // nominal
	EffectiveDue Date // ageing starts after it
	Open         Cents
	DaysOverdue  int  // 0 when not overdue
	NoticeOn     Date // of the recorded overdue notice, zero if none counts
	NoticeDue    bool // an overdue notice should have gone out by now
}

// level is the automatic restriction that is latched: a run raises it, settling lowers it.
type level uint8

const (
	levelNone level = iota
	levelReduced
	levelBlocked
)

// debt is an invoice inside the fold.
type debt struct {
	id                                string
	agreement                         string // of an instalment, the agreement it belongs to
	amount, paid                      Cents
	due                               Date
	known                             bool
	cancelled, disputed, renegotiated bool
	noticeOn                          Date
	noticeFrom                        time.Time // a scheduled notice goes out after this instant
}

func (d *debt) open() Cents { return max(0, d.amount-d.paid) }

// ages reports whether the invoice is owed: known, open, and neither cancelled, disputed nor part of an agreement.
func (d *debt) ages() bool {
	return d.known && !d.cancelled && !d.disputed && !d.renegotiated && d.open() > 0
}

// agreement holds a restriction until its first instalment is paid.
type agreement struct{ latched bool }

// fold is the state of a contract at the instant it has been stepped to.
type fold struct {
	c     *Contract
	facts []Fact // in order, not yet applied from index i on
	i     int
	rules []Rules
	opt   Options
	life  Life

	now   time.Time
	today Date
	in    *Rules // in force at now

	pending    bool
	terminated bool
	endOn      Date // a cancellation that is scheduled
	plan       PlanID
	nextPlan   PlanID
	nextPlanOn Date
	settings   Contract // only the switches
	disabled   []AccessID

	debts      []*debt
	agreements map[string]*agreement

	level     level
	levelWhy  Why
	manual    bool
	manualWhy Why

	release      FactKind // "" when none is active
	releaseUntil Date     // last day, of trust and temporary releases
	releaseWhy   Why

	suspendFrom, suspendUntil Date // from inclusive, until exclusive
	suspendWhy                Why
	suspensions               []Date
	trustLast                 Date
	trustCleared              bool
	tempUses                  []Date

	cause *Fact // the last fact applied at now
}

func newFold(c *Contract, facts []Fact, rules []Rules, opt Options) *fold {
	f := &fold{c: c, rules: rules, opt: opt, pending: c.StartsPending, plan: c.PlanID, settings: *c}
	f.facts = slices.Clone(facts)
	slices.SortStableFunc(f.facts, compareFacts)
	return f
}

// order ranks kinds within one instant: what is owed, then what settles, then acts; requests come after the run.
var order = map[FactKind]int{
	ToppedUp: 0, Activated: 1, PlanChanged: 2, SettingsChanged: 3, InvoiceIssued: 4, InstallmentDue: 5, DisputeOpened: 6,
	DisputeRejected: 7, InvoiceCancelled: 8, Renegotiated: 9, NoticeSent: 10, PaymentReversed: 11, PaymentReceived: 12,
	AccessDisabled: 13, AccessEnabled: 14, ManualBlock: 15, ManualUnblock: 16, TrustCleared: 17, VoluntaryResume: 18,
	Cancelled: 19, TrustUnblock: 20, TempRelease: 21, ManualRelease: 22, VoluntarySuspend: 23,
}

func isRequest(k FactKind) bool { return order[k] >= order[TrustUnblock] }

// compareFacts orders by instant, kind and content, so that the order of the slice does not matter.
func compareFacts(a, b Fact) int {
	return cmp.Or(
		a.At.Compare(b.At),
		cmp.Compare(order[a.Kind], order[b.Kind]),
		cmp.Compare(a.InvoiceID, b.InvoiceID),
		cmp.Compare(a.AgreementID, b.AgreementID),
		cmp.Compare(a.AccessID, b.AccessID),
		cmp.Compare(a.PlanID, b.PlanID),
		cmp.Compare(a.From, b.From),
		cmp.Compare(a.Until, b.Until),
		cmp.Compare(a.Amount, b.Amount),
		cmp.Compare(a.Bytes, b.Bytes),
		cmp.Compare(a.ID, b.ID),
	)
}

// begin is the first instant of the fold.
func (f *fold) begin() time.Time {
	t := f.c.CreatedAt
	if len(f.facts) > 0 && f.facts[0].At.Before(t) {
		t = f.facts[0].At
	}
	return t.UTC()
}

// enter moves the clock to t without applying anything.
func (f *fold) enter(t time.Time) {
	f.now, f.today, f.in = t, DateOf(t, f.c.Zone), RulesAt(f.rules, t)
}

// step brings the state to t: facts of t first, then what time does, then the requests of t, so that a relaxation
// wins a tie with the run.
func (f *fold) step(t time.Time) {
	before := f.in
	f.enter(t)
	f.cause = nil
	for f.i < len(f.facts) && !f.facts[f.i].At.After(t) && !isRequest(f.facts[f.i].Kind) {
		f.apply(&f.facts[f.i])
		f.i++
	}
	if before != nil && before != f.in {
		f.lower(nil) // a milder policy relaxes at once; a stricter one waits for a run
	}
	f.passTime()
	for f.i < len(f.facts) && !f.facts[f.i].At.After(t) {
		f.request(&f.facts[f.i])
		f.i++
	}
	f.emit()
}

// next is the earliest instant after now at which anything can change.
func (f *fold) next() (time.Time, bool) {
	var at time.Time
	consider := func(t time.Time) {
		if t.After(f.now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if f.i < len(f.facts) {
		consider(f.facts[f.i].At)
	}
	for i := range f.rules {
		consider(f.rules[i].Since)
	}
	f.boundaries(consider)
	if n := len(f.life.Spans); n > 0 && !at.IsZero() {
		f.life.Spans[n-1].Until = at
	}
	return at.UTC(), !at.IsZero()
}

// boundaries offers every instant at which time alone may change the state.
func (f *fold) boundaries(consider func(time.Time)) {
	loc := f.c.Zone
	if f.terminated {
		return
	}
	for _, d := range []Date{f.endOn, f.nextPlanOn, f.suspendFrom, f.suspendUntil} {
		if !d.IsZero() {
			consider(d.Start(loc))
		}
	}
	for _, d := range f.debts {
		if !d.ages() {
			continue
		}
		consider((f.effectiveDue(d) + 1).Start(loc))
		if f.opt.Plan && d.noticeOn.IsZero() && !f.closed() {
			after := f.assumeAfter(d)
			if f.now.After(after) {
				after = f.now
			}
			consider(f.noticeInstant(d, after))
		}
	}
	if day, ok := f.runWanted(); ok {
		if t, ok := f.nextRun(day); ok {
			consider(t)
		}
	}
}

// runWanted is the earliest day on which a run would change something, if its guards permitted.
func (f *fold) runWanted() (Date, bool) {
	if f.closed() || f.suspended() {
		return 0, false
	}
	switch f.release {
	case ManualRelease:
		return f.today, true
	case TrustUnblock, TempRelease:
		return f.releaseUntil + 1, true
	}
	if !f.settings.AutoBlock || f.settings.Exempt {
		return 0, false
	}
	var day Date
	found := false
	for _, d := range f.debts {
		for l := f.level + 1; l <= levelBlocked; l++ {
			if from, ok := f.restrictFrom(d, l); ok && (!found || from < day) {
				day, found = from, true
			}
		}
	}
	return day, found
}

// nextRun is the first run after now, on day or later, that the guards permit.
func (f *fold) nextRun(day Date) (time.Time, bool) {
	day = max(day, f.today)
	for last := day + 400; day < last; day++ {
		if !f.mayRestrict(day) {
			continue
		}
		if t := day.At(f.in.Policy.RunAt, f.c.Zone); t.After(f.now) {
			return t, true
		}
	}
	return time.Time{}, false
}

// mayRestrict holds the guards of the day: weekdays, holidays and their eves, and the company-wide brake.
func (f *fold) mayRestrict(day Date) bool {
	p := &f.in.Policy
	if f.in.Brake || slices.Contains(p.NoRestrictWeekdays, day.ISOWeekday()) {
		return false
	}
	holiday := func(d Date) bool {
		return f.in.Calendars.Holiday(d, p.HolidayCalendars...) || f.in.Calendars.Holiday(d, f.settings.ExtraCalendars...)
	}
	return (!p.NoRestrictHolidays || !holiday(day)) && (!p.NoRestrictHolidayEve || !holiday(day+1))
}

// restrictFrom is the first day on which debt d alone justifies level l: overdue long enough, and its own notice old
// enough. ok is false where it never does.
func (f *fold) restrictFrom(d *debt, l level) (day Date, ok bool) {
	p := &f.in.Policy
	if !d.ages() || d.open() <= p.MinBlockingBalance || d.noticeOn.IsZero() {
		return 0, false
	}
	threshold := p.ReduceAfterDays
	if l == levelBlocked {
		threshold = p.BlockAfterDays
		if d.agreement != "" && p.RenegotiatedBlockAfterDays != nil {
			threshold = p.RenegotiatedBlockAfterDays
		}
	}
	if threshold == nil {
		return 0, false
	}
	day = max(f.effectiveDue(d).AddDays(*threshold), d.noticeOn.AddDays(p.NoticeMinDays))
	if l == levelBlocked && !f.settings.NoBlockUntil.IsZero() {
		day = max(day, f.settings.NoBlockUntil+1)
	}
	return day, true
}

// justified is the level that the debts justify today, block test first, and the debt that decides: the oldest.
func (f *fold) justified() (level, *debt) {
	if !f.settings.AutoBlock || f.settings.Exempt {
		return levelNone, nil
	}
	for l := levelBlocked; l > levelNone; l-- {
		var by *debt
		for _, d := range f.debts {
			if day, ok := f.restrictFrom(d, l); ok && day <= f.today && (by == nil || f.older(d, by)) {
				by = d
			}
		}
		if by != nil {
			return l, by
		}
	}
	return levelNone, nil
}

func (f *fold) older(a, b *debt) bool {
	da, db := f.effectiveDue(a), f.effectiveDue(b)
	return da < db || da == db && a.id < b.id
}

func (f *fold) effectiveDue(d *debt) Date { return f.in.Policy.EffectiveDue(d.due, f.in.Calendars) }

// noticeInstant is when the overdue notice of d is scheduled: the first notice_at after the given instant, from the
// policy's day overdue on.
func (f *fold) noticeInstant(d *debt, after time.Time) time.Time {
	p := &f.in.Policy
	day := max(f.effectiveDue(d).AddDays(p.NoticeDay), DateOf(after, f.c.Zone))
	if t := day.At(p.NoticeAt, f.c.Zone); t.After(after) {
		return t
	}
	return (day + 1).At(p.NoticeAt, f.c.Zone)
}

// assumeAfter is the instant after which a notice of d may be assumed.
func (f *fold) assumeAfter(d *debt) time.Time {
	if f.opt.From.After(d.noticeFrom) {
		return f.opt.From
	}
	return d.noticeFrom
}

// closed reports whether no dunning applies: before activation and after the end.
func (f *fold) closed() bool { return f.pending || f.terminated }

func (f *fold) suspended() bool {
	return !f.suspendFrom.IsZero() && f.suspendFrom <= f.today && f.today < f.suspendUntil
}

// passTime does what the clock does at now: scheduled dates, assumed notices and the run.
func (f *fold) passTime() {
	if !f.endOn.IsZero() && f.endOn <= f.today {
		f.terminated, f.endOn = true, 0
	}
	if !f.nextPlanOn.IsZero() && f.nextPlanOn <= f.today {
		f.plan, f.nextPlanOn = f.nextPlan, 0
	}
	if f.opt.Plan && !f.closed() && f.today.At(f.in.Policy.NoticeAt, f.c.Zone).Equal(f.now) {
		for _, d := range f.debts {
			if d.ages() && d.noticeOn.IsZero() && !f.noticeInstant(d, f.assumeAfter(d)).After(f.now) {
				d.noticeOn = f.today
			}
		}
	}
	if f.today.At(f.in.Policy.RunAt, f.c.Zone).Equal(f.now) {
		f.run()
	}
}

// run is the one instant of a day at which restrictions may begin and releases end.
func (f *fold) run() {
	if f.closed() || f.suspended() || !f.mayRestrict(f.today) {
		return
	}
	switch f.release {
	case ManualRelease: // given before this run, because requests come after it
		f.release = ""
	case TrustUnblock, TempRelease:
		if f.releaseUntil < f.today {
			f.release = ""
		}
	}
	if f.release != "" {
		return
	}
	if l, by := f.justified(); l > f.level {
		f.raise(l, by)
	}
}

func (f *fold) raise(l level, by *debt) {
	f.level = l
	rule := "reduce_after_days"
	if l == levelBlocked {
		rule = "block_after_days"
	}
	f.levelWhy = f.whyDebt(rule, by)
}

// lower recomputes the latched restriction for today's debts. It never raises. payment is the fact that settled, if
// one did.
func (f *fold) lower(payment *Fact) {
	if f.held() {
		return
	}
	want, by := f.justified()
	if f.in.Policy.UnblockPolicy == UnblockAllOverdue && f.overdueCounted() && f.settings.AutoBlock && !f.settings.Exempt {
		want, by = f.level, nil
	}
	switch {
	case want < f.level && want == levelNone:
		f.level = levelNone
		f.release = "" // nothing is left underneath that the release could expire into
	case want < f.level:
		f.raise(want, by)
	case want == f.level && by != nil:
		f.raise(want, by) // the same restriction, perhaps for another invoice
	}
	if payment != nil && f.level == levelNone && f.in.Policy.ManualBlockReleasedByPayment {
		f.manual = false
	}
}

// held reports whether an agreement made under restriction still waits for its first instalment. An agreement whose
// first instalment was paid lets go for good, even if that payment is reversed later.
func (f *fold) held() bool {
	held := false
	for id, a := range f.agreements {
		if !a.latched {
			continue
		}
		var first *debt
		for _, d := range f.debts {
			if d.agreement == id && d.known && !d.cancelled && (first == nil || f.older(d, first)) {
				first = d
			}
		}
		if first != nil {
			a.latched = first.open() > 0
			held = held || a.latched
		}
	}
	return held
}

// overdueCounted reports whether any invoice that could restrict is overdue.
func (f *fold) overdueCounted() bool {
	return slices.ContainsFunc(f.debts, func(d *debt) bool {
		return d.ages() && d.open() > f.in.Policy.MinBlockingBalance && f.effectiveDue(d) < f.today
	})
}

// oldestOverdue is the open invoice that has been overdue longest.
func (f *fold) oldestOverdue() *debt {
	var by *debt
	for _, d := range f.debts {
		if d.ages() && f.effectiveDue(d) < f.today && (by == nil || f.older(d, by)) {
			by = d
		}
	}
	return by
}

// status is the first that matches, from the strongest claim to the weakest.
func (f *fold) status() (Status, Why) {
	switch {
	case f.terminated:
		return Terminated, Why{Rule: "terminated"}
	case f.pending:
		return Pending, Why{Rule: "awaiting_activation"}
	case f.suspended():
		return SuspendedRequest, f.suspendWhy
	case f.manual:
		return BlockedManual, f.manualWhy
	case f.release != "" && f.level > levelNone:
		switch f.release {
		case TrustUnblock:
			return ReleasedTrust, f.releaseWhy
		case TempRelease:
			return ReleasedTemp, f.releaseWhy
		}
		return ReleasedManual, f.releaseWhy
	case f.level == levelBlocked:
		return BlockedAuto, f.levelWhy
	case f.level == levelReduced:
		return Reduced, f.levelWhy
	}
	if d := f.oldestOverdue(); d != nil {
		return Overdue, f.whyDebt("overdue", d)
	}
	return Active, Why{Rule: "nothing_overdue"}
}

func (f *fold) whyDebt(rule string, d *debt) Why {
	due := f.effectiveDue(d)
	return Why{Rule: rule, InvoiceID: d.id, Due: due, DaysOverdue: int(f.today - due), Open: d.open(), NoticeOn: d.noticeOn}
}

func (f *fold) whyFact(x *Fact) Why {
	return Why{Rule: string(x.Kind), FactID: x.ID, Actor: x.Actor, Reason: x.Reason}
}

// emit starts a new span where the state differs from the last one.
func (f *fold) emit() {
	status, why := f.status()
	s := Span{From: f.now, Status: status, PlanID: f.plan, Disabled: f.disabled, Why: why,
		Outcome: OutcomeOf(status, f.in.Policy.BlockMode)}
	s.Why.PolicyVersion = f.in.Policy.Version
	if f.cause != nil && s.Why.FactID == 0 {
		s.Why.FactID, s.Why.Actor, s.Why.Reason = f.cause.ID, f.cause.Actor, f.cause.Reason
	}
	if n := len(f.life.Spans); n > 0 {
		last := &f.life.Spans[n-1]
		if last.Status == s.Status && last.Outcome == s.Outcome && last.PlanID == s.PlanID &&
			slices.Equal(last.Disabled, s.Disabled) && last.Why.Rule == s.Why.Rule && last.Why.InvoiceID == s.Why.InvoiceID {
			last.Until = time.Time{}
			return
		}
		last.Until = f.now
	}
	f.life.Spans = append(f.life.Spans, s)
}
