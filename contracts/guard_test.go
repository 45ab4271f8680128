package contracts_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"enlace/contracts"
)

// when is an instant in São Paulo: "2026-03-10 15:00".
func when(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, saoPaulo)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func on(s string) contracts.Date {
	d, err := contracts.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// story is a contract from 2026-01-05 with its facts, under the default policy. F1 of 100.00 is due on Tuesday
// 2026-03-10; its notice of 11 March lets it be reduced on 26 March and blocked on 9 April, both Thursdays.
type story struct {
	*testing.T
	world
}

func tell(t *testing.T) *story {
	return &story{t, world{
		contract: &contracts.Contract{ID: 1, PlanID: 1, Zone: saoPaulo, CreatedAt: when("2026-01-05 12:00"), AutoBlock: true,
			TrustEnabled: true, DueDay: 10, Timing: contracts.Postpaid},
		rules: []contracts.Rules{{Policy: contracts.DefaultPolicy(), Calendars: contracts.BrazilianCalendars(2025, 2028)}},
	}}
}

func (s *story) fact(at string, f contracts.Fact) {
	f.At = when(at)
	s.add(f)
}

func (s *story) invoice(id, due string) {
	s.fact("2026-02-10 06:00", contracts.Fact{Kind: contracts.InvoiceIssued, InvoiceID: id, Due: on(due), Amount: 10000})
}

func (s *story) notice(id, at string) {
	s.fact(at, contracts.Fact{Kind: contracts.NoticeSent, InvoiceID: id})
}

func (s *story) pay(at, id string, amount contracts.Cents) {
	s.fact(at, contracts.Fact{Kind: contracts.PaymentReceived, InvoiceID: id, Amount: amount})
}

// late is F1 with its notice.
func (s *story) late() {
	s.invoice("F1", "2026-03-10")
	s.notice("F1", "2026-03-11 08:00")
}

// policy is a version of the rules from an instant on.
func (s *story) policy(since string, change func(*contracts.Rules)) {
	r := s.rules[len(s.rules)-1]
	r.Since = when(since)
	r.Policy.Version++
	change(&r)
	s.rules = append(s.rules, r)
}

// is checks "2026-04-09 09:00 BLOCKED_AUTO" lines.
func (s *story) is(lines ...string) {
	s.Helper()
	life := s.life(contracts.Options{})
	for _, l := range lines {
		if got := life.Spans.At(when(l[:16])).Status; string(got) != l[17:] {
			s.Errorf("at %s: %s, want %s", l[:16], got, l[17:])
		}
	}
}

// refuses checks the refusals, "trust_unblock quota" each.
func (s *story) refuses(want ...string) {
	s.Helper()
	var got []string
	for _, r := range s.life(contracts.Options{}).Refused {
		got = append(got, string(r.Request)+" "+r.Reason)
	}
	if !slices.Equal(got, want) {
		s.Errorf("refused %q, want %q", strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

func TestWithdrawnBeforeActivationIsTerminated(t *testing.T) {
	s := tell(t)
	s.contract.StartsPending = true
	s.fact("2026-02-01 10:00", contracts.Fact{Kind: contracts.Cancelled})
	s.fact("2026-02-02 10:00", contracts.Fact{Kind: contracts.Activated})
	s.is("2026-02-01 09:59 PENDING", "2026-02-01 10:00 TERMINATED", "2026-02-02 10:00 TERMINATED")
}

func TestRepeatedNoticeDoesNotPutOff(t *testing.T) {
	s := tell(t)
	s.late()
	s.notice("F1", "2026-03-30 08:00")
	s.pay("2026-03-31 10:00", "F1", 100)
	s.is("2026-03-31 10:00 REDUCED", "2026-04-09 09:00 BLOCKED_AUTO")
}

func TestAgreementHoldsUntilItsFirstInstalmentIsPaidOnce(t *testing.T) {
	agree := func(s *story, at string) {
		s.fact(at, contracts.Fact{Kind: contracts.InstallmentDue, InvoiceID: "R1", AgreementID: "A", Due: on("2026-04-15"), Amount: 5000})
		s.fact(at, contracts.Fact{Kind: contracts.InstallmentDue, InvoiceID: "R2", AgreementID: "A", Due: on("2026-05-15"), Amount: 5000})
		s.fact(at, contracts.Fact{Kind: contracts.Renegotiated, InvoiceID: "F1", AgreementID: "A"})
	}
	t.Run("made while blocked", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.invoice("F2", "2026-04-10")
		s.notice("F2", "2026-04-13 08:00")
		agree(s, "2026-04-13 10:00")
		s.pay("2026-04-14 10:00", "R2", 5000)
		s.pay("2026-04-15 12:00", "R1", 5000)
		s.fact("2026-04-16 12:00", contracts.Fact{Kind: contracts.PaymentReversed, InvoiceID: "R1", Amount: 5000})
		s.pay("2026-06-10 12:00", "F2", 10000)
		s.is("2026-04-14 10:00 BLOCKED_AUTO", "2026-04-15 12:00 OVERDUE", "2026-04-16 12:00 OVERDUE",
			"2026-06-09 12:00 BLOCKED_AUTO", "2026-06-10 12:00 OVERDUE")
	})
	t.Run("made in time", func(t *testing.T) {
		s := tell(t)
		s.late()
		agree(s, "2026-03-20 10:00")
		s.invoice("F2", "2026-03-11")
		s.notice("F2", "2026-03-12 08:00")
		s.pay("2026-04-20 12:00", "F2", 10000)
		s.is("2026-04-20 11:59 BLOCKED_AUTO", "2026-04-20 12:00 OVERDUE")
	})
	t.Run("first instalment cancelled", func(t *testing.T) {
		s := tell(t)
		s.late()
		agree(s, "2026-04-13 10:00")
		s.fact("2026-04-14 10:00", contracts.Fact{Kind: contracts.InvoiceCancelled, InvoiceID: "R1"})
		s.pay("2026-04-15 12:00", "R2", 5000)
		s.is("2026-04-14 10:00 BLOCKED_AUTO", "2026-04-15 12:00 ACTIVE")
	})
}

func TestRulesChange(t *testing.T) {
	t.Run("a milder policy relaxes at once, a stricter one waits for its run", func(t *testing.T) {
		s := tell(t)
		s.late()
		days := func(n int) func(*contracts.Rules) {
			return func(r *contracts.Rules) { r.Policy.BlockAfterDays = &n }
		}
		s.policy("2026-04-15 12:00", days(60))
		s.policy("2026-04-16 12:00", days(30))
		s.is("2026-04-15 11:59 BLOCKED_AUTO", "2026-04-15 12:00 REDUCED", "2026-04-16 12:00 REDUCED",
			"2026-04-17 09:00 REDUCED", "2026-04-22 09:00 BLOCKED_AUTO") // Friday, and the holiday of the 21st with its eve
	})
	t.Run("the brake stops what would begin and keeps what has begun", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.policy("2026-04-01 12:00", func(r *contracts.Rules) { r.Brake = true })
		s.policy("2026-04-14 12:00", func(r *contracts.Rules) { r.Brake = false })
		s.is("2026-04-14 09:00 REDUCED", "2026-04-15 09:00 BLOCKED_AUTO")
	})
	t.Run("all_overdue never raises and does not hold who is not restricted automatically", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.invoice("F2", "2026-03-11")
		s.policy("2026-02-01 12:00", func(r *contracts.Rules) { r.Policy.UnblockPolicy = contracts.UnblockAllOverdue })
		s.pay("2026-03-30 12:00", "F1", 10000)
		no := false
		s.fact("2026-03-31 12:00", contracts.Fact{Kind: contracts.SettingsChanged, Settings: &contracts.Settings{AutoBlock: &no}})
		s.is("2026-03-30 11:59 REDUCED", "2026-03-30 12:00 REDUCED", "2026-03-31 12:00 OVERDUE")
	})
	t.Run("all_overdue does not count what may not restrict", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.fact("2026-02-10 06:00", contracts.Fact{Kind: contracts.InvoiceIssued, InvoiceID: "F2", Due: on("2026-03-11"), Amount: 500})
		s.policy("2026-02-01 12:00", func(r *contracts.Rules) { r.Policy.UnblockPolicy = contracts.UnblockAllOverdue })
		s.pay("2026-03-30 12:00", "F1", 10000)
		s.is("2026-03-30 12:00 OVERDUE")
	})
	t.Run("a reversal keeps the notice where the policy says so", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.policy("2026-02-01 12:00", func(r *contracts.Rules) { r.Policy.ReversalRequiresNewNotice = false })
		s.pay("2026-03-20 12:00", "F1", 10000)
		s.fact("2026-04-20 12:00", contracts.Fact{Kind: contracts.PaymentReversed, InvoiceID: "F1"}) // of everything
		s.is("2026-04-20 12:00 OVERDUE", "2026-04-22 09:00 BLOCKED_AUTO")
	})
	t.Run("only a payment lifts a manual block, and only where nothing restricts", func(t *testing.T) {
		s := tell(t)
		s.policy("2026-02-01 12:00", func(r *contracts.Rules) { r.Policy.ManualBlockReleasedByPayment = true })
		s.late()
		s.invoice("F2", "2026-04-30")
		s.fact("2026-04-13 12:00", contracts.Fact{Kind: contracts.ManualBlock})
		s.pay("2026-04-13 13:00", "F2", 10000)
		s.fact("2026-04-14 12:00", contracts.Fact{Kind: contracts.InvoiceCancelled, InvoiceID: "F1"})
		s.is("2026-04-13 13:00 BLOCKED_MANUAL", "2026-04-14 12:00 BLOCKED_MANUAL")
	})
}

func TestSwitchesActAtOnce(t *testing.T) {
	yes, no, until := true, false, on("2026-05-04")
	for name, c := range map[string]struct {
		set  contracts.Settings
		want []string
	}{
		"exempt":         {contracts.Settings{Exempt: &yes}, []string{"2026-04-13 12:00 OVERDUE", "2026-12-01 12:00 OVERDUE"}},
		"auto_block":     {contracts.Settings{AutoBlock: &no}, []string{"2026-04-13 12:00 OVERDUE", "2026-12-01 12:00 OVERDUE"}},
		"no_block_until": {contracts.Settings{NoBlockUntil: &until}, []string{"2026-04-13 12:00 REDUCED", "2026-05-04 12:00 REDUCED", "2026-05-05 09:00 BLOCKED_AUTO"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t)
			s.late()
			s.fact("2026-04-13 12:00", contracts.Fact{Kind: contracts.SettingsChanged, Settings: &c.set})
			s.is(append(c.want, "2026-04-13 11:59 BLOCKED_AUTO")...)
		})
	}
}

func TestReleases(t *testing.T) {
	t.Run("a manual release at the instant of the run lives until the next one", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.fact("2026-04-13 09:00", contracts.Fact{Kind: contracts.ManualRelease})
		s.is("2026-04-13 09:00 RELEASED_MANUAL", "2026-04-14 08:59 RELEASED_MANUAL", "2026-04-14 09:00 BLOCKED_AUTO")
	})
	t.Run("a release lasts through its last day where that day permits a run", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.fact("2026-04-13 12:00", contracts.Fact{Kind: contracts.TempRelease}) // Monday, through Thursday
		s.pay("2026-04-16 09:00", "F1", 100)                                    // at the instant of a run
		s.is("2026-04-16 09:00 RELEASED_TEMP", "2026-04-17 12:00 RELEASED_TEMP", "2026-04-22 09:00 BLOCKED_AUTO")
	})
	t.Run("a payment drops the release that it makes pointless", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.policy("2026-02-01 12:00", func(r *contracts.Rules) { r.Policy.Trust.Days = 60 })
		s.invoice("F2", "2026-03-24")
		s.notice("F2", "2026-03-25 08:00")
		s.fact("2026-04-13 08:00", contracts.Fact{Kind: contracts.TrustUnblock})
		s.pay("2026-04-13 08:30", "F1", 10000) // F2 is 20 days overdue and reducible: the release goes on
		s.pay("2026-04-13 08:40", "F2", 10000)
		s.invoice("F3", "2026-03-25")
		s.notice("F3", "2026-03-30 08:00")
		s.is("2026-04-13 08:30 RELEASED_TRUST", "2026-04-13 08:40 OVERDUE", "2026-04-14 09:00 REDUCED")
	})
	t.Run("without anything underneath nothing is released", func(t *testing.T) {
		s := tell(t)
		s.invoice("F1", "2026-03-10")
		s.fact("2026-03-12 10:00", contracts.Fact{Kind: contracts.ManualRelease})
		s.is("2026-03-12 10:00 OVERDUE")
		s.refuses("manual_release status_OVERDUE")
	})
	t.Run("an operator may go over any other release", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.fact("2026-03-26 10:00", contracts.Fact{Kind: contracts.ManualRelease}) // reduced
		s.fact("2026-04-13 10:00", contracts.Fact{Kind: contracts.TrustUnblock})
		s.fact("2026-04-13 11:00", contracts.Fact{Kind: contracts.ManualRelease})
		s.fact("2026-04-14 10:00", contracts.Fact{Kind: contracts.TempRelease})
		s.fact("2026-04-14 11:00", contracts.Fact{Kind: contracts.ManualRelease})
		s.refuses()
	})
	t.Run("the window of temporary releases ends on its last day", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.fact("2026-04-13 10:00", contracts.Fact{Kind: contracts.TempRelease})
		s.fact("2026-05-12 10:00", contracts.Fact{Kind: contracts.TempRelease})
		s.fact("2026-05-13 10:00", contracts.Fact{Kind: contracts.TempRelease})
		s.refuses("temp_release quota")
	})
	t.Run("a cleared restriction is cleared for one use", func(t *testing.T) {
		s := tell(t)
		s.late()
		s.fact("2026-04-13 10:00", contracts.Fact{Kind: contracts.TrustCleared})
		s.fact("2026-04-13 11:00", contracts.Fact{Kind: contracts.TrustUnblock})
		s.fact("2026-04-23 11:00", contracts.Fact{Kind: contracts.TrustUnblock})
		s.refuses("trust_unblock min_interval")
	})
}

func TestSuspensions(t *testing.T) {
	suspend := func(s *story, at, from, until string) {
		s.fact(at, contracts.Fact{Kind: contracts.VoluntarySuspend, From: on(from), Until: on(until)})
	}
	t.Run("nothing is restricted while suspended", func(t *testing.T) {
		s := tell(t)
		s.late()
		suspend(s, "2026-03-05 10:00", "2026-03-15", "2026-05-04")
		s.is("2026-03-26 09:00 SUSPENDED_REQUEST", "2026-05-04 00:00 OVERDUE", "2026-05-04 09:00 BLOCKED_AUTO")
	})
	t.Run("the lengths allowed include both ends", func(t *testing.T) {
		s := tell(t)
		suspend(s, "2026-03-05 10:00", "2026-03-10", "2026-04-08") // 29 days
		suspend(s, "2026-03-05 11:00", "2026-03-10", "2026-07-09") // 121
		suspend(s, "2026-03-05 12:00", "2026-03-10", "2026-07-08") // 120
		suspend(s, "2027-03-09 12:00", "2027-03-09", "2027-04-08") // a day too early
		suspend(s, "2027-03-09 13:00", "2027-03-10", "2027-04-09") // 30, a year after the last began
		s.refuses("voluntary_suspend length", "voluntary_suspend length", "voluntary_suspend window")
	})
	t.Run("a date gone by is today", func(t *testing.T) {
		s := tell(t)
		suspend(s, "2026-03-05 10:00", "2026-01-01", "2026-04-10")
		s.is("2026-03-05 10:00 SUSPENDED_REQUEST", "2026-04-10 00:00 ACTIVE")
		suspend(s, "2027-03-04 10:00", "2027-03-04", "2027-04-10")
		s.refuses("voluntary_suspend window")
	})
	t.Run("taken back before it began, it does not count; ended early, it does", func(t *testing.T) {
		s := tell(t)
		suspend(s, "2026-03-05 10:00", "2026-03-10", "2026-04-20")
		s.fact("2026-03-06 10:00", contracts.Fact{Kind: contracts.VoluntaryResume})
		suspend(s, "2026-03-07 10:00", "2026-03-10", "2026-04-20")
		s.fact("2026-03-20 10:00", contracts.Fact{Kind: contracts.VoluntaryResume})
		suspend(s, "2026-03-21 10:00", "2026-03-25", "2026-04-30")
		s.is("2026-03-19 10:00 SUSPENDED_REQUEST", "2026-03-20 10:00 ACTIVE", "2026-03-25 10:00 ACTIVE")
		s.refuses("voluntary_suspend window")
	})
	t.Run("not while blocked by an operator, nor after the end", func(t *testing.T) {
		s := tell(t)
		s.fact("2026-03-05 10:00", contracts.Fact{Kind: contracts.ManualBlock})
		suspend(s, "2026-03-05 11:00", "2026-03-10", "2026-04-20")
		s.fact("2026-03-06 10:00", contracts.Fact{Kind: contracts.Cancelled})
		suspend(s, "2026-03-06 11:00", "2026-03-10", "2026-04-20")
		s.refuses("voluntary_suspend status_BLOCKED_MANUAL", "voluntary_suspend status_TERMINATED")
	})
	t.Run("it shows over a manual block, which is there afterwards", func(t *testing.T) {
		s := tell(t)
		suspend(s, "2026-03-05 10:00", "2026-03-10", "2026-04-20")
		s.fact("2026-03-12 10:00", contracts.Fact{Kind: contracts.ManualBlock})
		s.is("2026-03-12 10:00 SUSPENDED_REQUEST", "2026-04-20 00:00 BLOCKED_MANUAL")
	})
}

func TestScheduledDates(t *testing.T) {
	t.Run("an end", func(t *testing.T) {
		s := tell(t)
		s.fact("2026-03-05 10:00", contracts.Fact{Kind: contracts.Cancelled, From: on("2026-03-20")})
		s.is("2026-03-19 23:59 ACTIVE", "2026-03-20 00:00 TERMINATED")
	})
	t.Run("an end that was put off", func(t *testing.T) {
		s := tell(t)
		s.fact("2026-03-05 10:00", contracts.Fact{Kind: contracts.Cancelled, From: on("2026-03-20")})
		s.fact("2026-03-06 10:00", contracts.Fact{Kind: contracts.Cancelled, From: on("2026-04-20")})
		s.is("2026-03-20 00:00 ACTIVE", "2026-04-20 00:00 TERMINATED")
	})
	t.Run("an end today", func(t *testing.T) {
		s := tell(t)
		s.fact("2026-03-05 10:00", contracts.Fact{Kind: contracts.Cancelled, From: on("2026-03-05")})
		s.is("2026-03-05 10:00 TERMINATED")
	})
	t.Run("a plan, and one that replaces it", func(t *testing.T) {
		s := tell(t)
		plan := func(at string, id contracts.PlanID, from contracts.Date) {
			s.fact(at, contracts.Fact{Kind: contracts.PlanChanged, PlanID: id, From: from})
		}
		plan("2026-03-05 10:00", 2, on("2026-03-10"))
		plan("2026-03-12 10:00", 3, on("2026-04-10"))
		plan("2026-03-15 10:00", 4, 0)
		for at, want := range map[string]contracts.PlanID{"2026-03-09 23:59": 1, "2026-03-10 00:00": 2, "2026-03-15 10:00": 4, "2026-05-01 00:00": 4} {
			if got := s.life(contracts.Options{}).Spans.At(when(at)).PlanID; got != want {
				t.Errorf("at %s plan %d, want %d", at, got, want)
			}
		}
	})
}

func TestNothingIsDunnedBeforeActivationOrAfterTheEnd(t *testing.T) {
	s := tell(t)
	s.contract.StartsPending = true
	s.late()
	s.invoice("F2", "2026-04-06")
	s.fact("2026-04-15 10:00", contracts.Fact{Kind: contracts.Activated})
	s.fact("2026-04-16 10:00", contracts.Fact{Kind: contracts.Cancelled})
	due := func(at string) (n int) {
		for _, d := range contracts.Debts(s.contract, s.facts, s.rules, when(at)) {
			if d.NoticeDue {
				n++
			}
		}
		return n
	}
	known := s.facts
	for at, want := range map[string]int{"2026-04-14 12:00": 0, "2026-04-15 12:00": 1, "2026-04-16 12:00": 0} {
		s.facts = slices.DeleteFunc(slices.Clone(known), func(f contracts.Fact) bool { return f.At.After(when(at)) })
		if got := due(at); got != want {
			t.Errorf("at %s %d notices are due, want %d", at, got, want)
		}
	}
	s.facts = known
	s.is("2026-04-14 12:00 PENDING", "2026-04-15 10:00 OVERDUE", "2026-04-15 23:00 OVERDUE")
}

func TestReversalsNeverCountBelowNothing(t *testing.T) {
	s := tell(t)
	s.late()
	s.pay("2026-03-20 10:00", "F1", 4000)
	s.fact("2026-03-21 10:00", contracts.Fact{Kind: contracts.PaymentReversed, InvoiceID: "F1", Amount: 9000})
	s.pay("2026-03-22 10:00", "F1", 10000)
	s.is("2026-03-22 10:00 ACTIVE")
}

func TestWhyNamesTheOldestInvoice(t *testing.T) {
	s := tell(t)
	s.late()
	s.invoice("F2", "2026-03-09")
	s.notice("F2", "2026-03-10 08:00")
	s.pay("2026-04-13 10:00", "F1", 100) // looks at all of them again
	if why := s.life(contracts.Options{}).Spans.At(when("2026-04-13 12:00")).Why; why.InvoiceID != "F2" {
		t.Errorf("invoice %s is named", why.InvoiceID)
	}
}

func TestDisabledAccessesDoNotShareMemory(t *testing.T) {
	s := tell(t)
	for n, at := range []string{"2026-03-01 10:00", "2026-03-02 10:00", "2026-03-03 10:00", "2026-03-04 10:00"} {
		s.fact(at, contracts.Fact{Kind: contracts.AccessDisabled, AccessID: contracts.AccessID(9 - n)})
	}
	spans := s.life(contracts.Options{}).Spans
	for at, want := range map[string][]contracts.AccessID{"2026-03-01 12:00": {9}, "2026-03-02 12:00": {8, 9}, "2026-03-03 12:00": {7, 8, 9}, "2026-03-04 12:00": {6, 7, 8, 9}} {
		if got := spans.At(when(at)).Disabled; !slices.Equal(got, want) {
			t.Errorf("at %s %v are disabled, want %v", at, got, want)
		}
	}
}
