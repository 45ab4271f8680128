package pg

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enlace/billing"
	"enlace/contracts"
)

// scope is a test of its own inside a property: failures are the property's, and what was set up goes when it ends.
type scope struct {
	testing.TB
	r        *rapid.T
	cleanups []func()
}

func (s *scope) Fatal(args ...any)                 { s.r.Helper(); s.r.Fatal(args...) }
func (s *scope) Fatalf(format string, args ...any) { s.r.Helper(); s.r.Fatalf(format, args...) }
func (s *scope) Errorf(format string, args ...any) { s.r.Helper(); s.r.Errorf(format, args...) }
func (s *scope) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// Whatever people do, in whatever order, the books balance and the facts say what the ledger says.
func TestBooksBalanceWhateverHappens(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue { // each has a database of its own
		defer checks.Value.Set(checks.DefValue)
		if err := checks.Value.Set("20"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		own := &scope{TB: t, r: r}
		defer own.end()
		f := found(own)
		ids := []contracts.ContractID{f.sign("2026-01-15 10:00", nil),
			f.sign("2026-01-20 10:00", func(c *contracts.Contract) { c.Timing, c.DueDay = contracts.Prepaid, 31 })}
		now := at("2026-01-20 12:00")
		payments := 0
		allowed := func(err error, codes ...string) {
			var e *contracts.Error
			if err != nil && (!errors.As(err, &e) || !slices.Contains(codes, e.Code)) {
				r.Fatal(err)
			}
		}
		numbers := func() (out []string) {
			for _, id := range ids {
				for _, i := range f.invoices(id) {
					out = append(out, i.Number)
				}
			}
			return out
		}
		pay := func(r *rapid.T, amount contracts.Cents) {
			all := numbers()
			if len(all) == 0 {
				return
			}
			payments++
			today := contracts.DateOf(now, saoPaulo)
			_, _, err := f.store.Pay(f.ctx, billing.PaymentRequest{ExternalID: fmt.Sprint("E", payments), Invoice: rapid.SampledFrom(all).Draw(r, "invoice"),
				Amount: amount, PaidOn: today - contracts.Date(rapid.IntRange(0, 20).Draw(r, "days ago")), Method: billing.Pix, Actor: "test"}, now)
			allowed(err, "cancelled")
		}
		r.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { f.sound() },
			"time": func(r *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 40*24).Draw(r, "hours")) * time.Hour)
			},
			"run": func(*rapid.T) {
				_, err := f.store.IssueDue(f.ctx, now, "system")
				allowed(err)
			},
			"pay": func(r *rapid.T) { pay(r, contracts.Cents(rapid.Int64Range(1, 25000).Draw(r, "amount"))) },
			"pay in full": func(r *rapid.T) {
				pay(r, 10000)
			},
			"reverse": func(r *rapid.T) {
				if payments > 0 {
					allowed(f.store.Reverse(f.ctx, int64(rapid.IntRange(1, payments).Draw(r, "payment")), "test", "why", now), "already_reversed", "credit_used", "not_found")
				}
			},
			"cancel": func(r *rapid.T) {
				if all := numbers(); len(all) > 0 {
					allowed(f.store.CancelInvoice(f.ctx, rapid.SampledFrom(all).Draw(r, "invoice"), "test", "why", now), "already_cancelled", "has_payments")
				}
			},
			"manual": func(r *rapid.T) {
				_, err := f.store.ManualInvoice(f.ctx, rapid.SampledFrom(ids).Draw(r, "contract"), contracts.DateOf(now, saoPaulo)+5,
					[]billing.Line{{Description: "x", Amount: contracts.Cents(rapid.Int64Range(1, 9000).Draw(r, "amount"))}}, "test", now)
				allowed(err)
			},
			"end": func(r *rapid.T) {
				f.record(now.In(saoPaulo).Format("2006-01-02 15:04"), contracts.Fact{ContractID: rapid.SampledFrom(ids).Draw(r, "contract"),
					Kind: contracts.Cancelled, From: contracts.DateOf(now, saoPaulo) + contracts.Date(rapid.IntRange(0, 30).Draw(r, "days from now"))})
			},
			"plan change": func(r *rapid.T) {
				f.record(now.In(saoPaulo).Format("2006-01-02 15:04"), contracts.Fact{ContractID: rapid.SampledFrom(ids).Draw(r, "contract"),
					Kind: contracts.PlanChanged, PlanID: rapid.SampledFrom([]contracts.PlanID{f.basic, f.better}).Draw(r, "plan")})
			},
		})
	})
}
