package contracts

import (
	"slices"
	"time"
)

// apply takes in a fact that states something. Only settling facts lower a restriction, and none raises one: that is
// the run's.
func (f *fold) apply(x *Fact) {
	if x.Kind == ToppedUp { // an argument of the question (Tally), not of the spans
		return
	}
	f.cause = x
	switch x.Kind {
	case Activated:
		f.pending = false
	case Cancelled:
		if x.From > f.today {
			f.endOn = x.From
		} else {
			f.terminated = true
		}
	case PlanChanged:
		if x.From > f.today {
			f.nextPlan, f.nextPlanOn = x.PlanID, x.From
		} else {
			f.plan, f.nextPlanOn = x.PlanID, 0
		}
	case SettingsChanged:
		f.applySettings(x.Settings)
		f.lower(nil)
	case AccessDisabled:
		if i, found := slices.BinarySearch(f.disabled, x.AccessID); !found {
			f.disabled = slices.Insert(slices.Clone(f.disabled), i, x.AccessID)
		}
	case AccessEnabled:
		if i, found := slices.BinarySearch(f.disabled, x.AccessID); found {
			f.disabled = slices.Delete(slices.Clone(f.disabled), i, i+1)
		}
	case ManualBlock:
		f.manual, f.manualWhy = true, f.whyFact(x)
	case ManualUnblock:
		f.manual = false
		f.lower(nil)
	case TrustCleared:
		f.trustCleared = true
	case VoluntaryResume:
		if f.suspendFrom > f.today { // it never began, so it does not count
			f.suspensions = f.suspensions[:len(f.suspensions)-1]
		}
		f.suspendFrom, f.suspendUntil = 0, 0
	default:
		f.applyInvoice(x)
	}
}

func (f *fold) applySettings(s *Settings) {
	if s == nil {
		return
	}
	if s.AutoBlock != nil {
		f.settings.AutoBlock = *s.AutoBlock
	}
	if s.Exempt != nil {
		f.settings.Exempt = *s.Exempt
	}
	if s.TrustEnabled != nil {
		f.settings.TrustEnabled = *s.TrustEnabled
	}
	if s.NoBlockUntil != nil {
		f.settings.NoBlockUntil = *s.NoBlockUntil
	}
	if s.ExtraCalendars != nil {
		f.settings.ExtraCalendars = *s.ExtraCalendars
	}
}

// applyInvoice takes in what happens to one invoice. A fact about an invoice that is not known yet waits with it.
func (f *fold) applyInvoice(x *Fact) {
	d := f.debt(x.InvoiceID)
	switch x.Kind {
	case InvoiceIssued, InstallmentDue:
		d.known, d.amount, d.due, d.noticeFrom = true, x.Amount, x.Due, f.now
		if x.Kind == InstallmentDue {
			d.agreement = x.AgreementID
		}
	case NoticeSent:
		if d.noticeOn.IsZero() { // a repetition does not take back the time that the first one gave
			d.noticeOn = f.today
		}
	case PaymentReceived:
		d.paid += x.Amount
		f.lower(x)
	case PaymentReversed:
		amount := x.Amount
		if amount == 0 {
			amount = d.paid
		}
		d.paid = max(0, d.paid-amount)
		if f.in.Policy.ReversalRequiresNewNotice {
			d.noticeOn, d.noticeFrom = 0, f.now
		}
	case InvoiceCancelled:
		d.cancelled = true
		f.lower(nil)
	case DisputeOpened:
		d.disputed = true
		f.lower(nil)
	case DisputeRejected:
		d.disputed, d.noticeOn, d.noticeFrom = false, 0, f.now
	case Renegotiated:
		d.renegotiated = true
		if f.agreements == nil {
			f.agreements = map[string]*agreement{}
		}
		a := f.agreements[x.AgreementID]
		if a == nil {
			a = &agreement{}
			f.agreements[x.AgreementID] = a
		}
		a.latched = a.latched || f.level > levelNone
		f.lower(nil)
	}
}

func (f *fold) debt(id string) *debt {
	for _, d := range f.debts {
		if d.id == id {
			return d
		}
	}
	d := &debt{id: id}
	f.debts = append(f.debts, d)
	return d
}

// request grants or refuses what somebody asked for at now.
func (f *fold) request(x *Fact) {
	if reason := f.refusal(x); reason != "" {
		f.life.Refused = append(f.life.Refused, Refusal{At: f.now, Request: x.Kind, Reason: reason, FactID: x.ID})
		return
	}
	f.cause = x
	p := &f.in.Policy
	switch x.Kind {
	case TrustUnblock:
		f.grant(x, f.today.AddDays(p.Trust.Days))
		f.trustLast, f.trustCleared = f.today, false
	case TempRelease:
		f.grant(x, f.today.AddDays(p.Temp.Days))
		f.tempUses = append(f.tempUses, f.today)
	case ManualRelease:
		f.grant(x, 0)
	case VoluntarySuspend:
		f.suspendFrom, f.suspendUntil, f.suspendWhy = max(x.From, f.today), x.Until, f.whyFact(x)
		f.suspensions = append(f.suspensions, f.suspendFrom)
	}
}

func (f *fold) grant(x *Fact, until Date) {
	f.release, f.releaseUntil, f.releaseWhy = x.Kind, until, f.whyFact(x)
	f.releaseWhy.InvoiceID, f.releaseWhy.Due, f.releaseWhy.Open = f.levelWhy.InvoiceID, f.levelWhy.Due, f.levelWhy.Open
}

// refusal is the reason why a request is turned down, "" where it is granted. The first guard that fails is named.
func (f *fold) refusal(x *Fact) string {
	p := &f.in.Policy
	status, _ := f.status()
	switch x.Kind {
	case TrustUnblock:
		switch {
		case !f.settings.TrustEnabled:
			return "disabled_on_contract"
		case !slices.Contains(p.Trust.AllowFrom, status):
			return "status_" + string(status)
		case !f.trustCleared && !f.trustLast.IsZero() && int(f.today-f.trustLast) < p.Trust.MinIntervalDays:
			return "min_interval"
		}
	case TempRelease:
		uses := 0
		for _, d := range f.tempUses {
			if int(f.today-d) < p.Temp.WindowDays {
				uses++
			}
		}
		switch {
		case status != BlockedAuto && status != Reduced:
			return "status_" + string(status)
		case uses >= p.Temp.MaxPerWindow:
			return "quota"
		}
	case ManualRelease:
		switch status {
		case BlockedAuto, Reduced, ReleasedTrust, ReleasedTemp, ReleasedManual:
		default:
			return "status_" + string(status)
		}
	case VoluntarySuspend:
		return f.suspensionRefusal(x, status)
	}
	return ""
}

func (f *fold) suspensionRefusal(x *Fact, status Status) string {
	v := &f.in.Policy.Voluntary
	from := max(x.From, f.today)
	length := int(x.Until - from)
	switch {
	case status == Pending || status == Terminated || status == SuspendedRequest || status == BlockedManual:
		return "status_" + string(status)
	case f.oldestOverdue() != nil:
		return "open_debt"
	case length < v.MinDays || length > v.MaxDays:
		return "length"
	case slices.ContainsFunc(f.suspensions, func(d Date) bool { return d > from.AddMonths(-v.WindowMonths) }):
		return "window"
	}
	return ""
}

// RefusalOf reports how Timeline answered a request made at the given instant, "" where it was granted or is no request.
func (l *Life) RefusalOf(kind FactKind, at time.Time) string {
	for _, r := range l.Refused {
		if r.Request == kind && r.At.Equal(at) {
			return r.Reason
		}
	}
	return ""
}
