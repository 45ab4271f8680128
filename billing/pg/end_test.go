package pg

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"enlace/billing"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// statement is what the invoices of a contract ask for, "83.87 100.00cancelled", and what is left of credit.
func (f *company) statement(id contracts.ContractID) string {
	f.Helper()
	amounts := []string{}
	for _, i := range f.invoices(id) {
		a := i.Principal.String()
		switch i.State() {
		case billing.Cancelled:
			a += "cancelled"
		case billing.Open:
		default:
			a += string(i.State())
		}
		amounts = append(amounts, a)
	}
	b, err := f.store.Balance(f.ctx, id)
	f.must(err)
	return fmt.Sprint(amounts, " owed ", b.Principal, " credit ", b.Credit)
}

func prepaid(c *contracts.Contract) { c.Timing = contracts.Prepaid }

func TestDaysAfterTheEndAreGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		paid contracts.Cents
		want string
	}{
		"nothing was paid":   {0, "[83.87 100.00 100.00cancelled 32.26] owed 216.13 credit 0.00"},
		"a part was paid":    {2000, "[83.87 100.00 100.00cancelled 32.26partial] owed 196.13 credit 0.00"},
		"all of it was paid": {10000, "[83.87 100.00 100.00cancelled 32.26paid] owed 183.87 credit 67.74"},
		"too much was paid":  {12000, "[83.87 100.00 100.00cancelled 32.26paid] owed 183.87 credit 87.74"},
	} {
		t.Run(name, func(t *testing.T) {
			f := found(t)
			id := f.sign("2026-01-15 10:00", prepaid)
			f.run("2026-03-01 06:00", 3) // through 10 April
			if c.paid > 0 {
				f.pay("p", f.invoices(id)[2].Number, c.paid, "2026-03-05", "2026-03-05 09:00")
			}
			f.record("2026-03-20 15:00", contracts.Fact{ContractID: id, Kind: contracts.Cancelled})
			f.run("2026-03-20 16:00", 1)
			f.run("2026-03-20 16:01", 0)
			if got := f.statement(id); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			f.sound()
		})
	}
}

// What an invoice that is withdrawn had adjusted is still owed, or still due to the customer.
func TestAdjustmentsOutliveTheInvoiceThatCarriedThem(t *testing.T) {
	f := found(t)
	up := f.sign("2026-01-15 10:00", prepaid)
	down := f.sign("2026-01-15 10:00", func(c *contracts.Contract) { c.Timing, c.PlanID = contracts.Prepaid, f.better })
	f.run("2026-03-01 06:00", 6)
	for n, i := range f.invoices(down) {
		f.pay(fmt.Sprint("p", n), i.Number, i.Principal, "2026-03-01", "2026-03-01 09:00")
	}
	f.record("2026-03-20 15:00", contracts.Fact{ContractID: up, Kind: contracts.PlanChanged, PlanID: f.better})
	f.record("2026-03-20 15:00", contracts.Fact{ContractID: down, Kind: contracts.PlanChanged, PlanID: f.basic})
	f.run("2026-04-01 06:00", 2)
	f.record("2026-04-20 15:00", contracts.Fact{ContractID: up, Kind: contracts.Cancelled})
	f.record("2026-04-20 15:00", contracts.Fact{ContractID: down, Kind: contracts.Cancelled})
	f.run("2026-04-21 06:00", 4)
	f.run("2026-04-21 06:01", 0)
	// 10 March to 10 April costs 10 days of one and 21 of the other plan, 10 to 20 April a third of a month.
	if got, want := f.statement(up), "[83.87 100.00 100.00cancelled 183.87cancelled 133.87 50.00] owed 367.74 credit 0.00"; got != want {
		t.Errorf("upgraded: %s, want %s", got, want)
	}
	if got, want := f.statement(down), "[125.81paid 150.00paid 150.00cancelled 66.13cancelled 116.13paid 33.33paid] owed 0.00 credit 0.54"; got != want {
		t.Errorf("downgraded: %s, want %s", got, want)
	}
	f.sound()
}

func TestReversingWhatWasPaidForAWithdrawnInvoice(t *testing.T) {
	f := found(t)
	id := f.sign("2026-03-10 10:00", prepaid)
	f.run("2026-03-10 11:00", 1)
	p := f.pay("p", f.invoices(id)[0].Number, 10000, "2026-03-10", "2026-03-10 12:00")
	f.record("2026-03-10 15:00", contracts.Fact{ContractID: id, Kind: contracts.Cancelled}) // on its first day
	f.run("2026-03-10 16:00", 0)
	if got, want := f.statement(id), "[100.00cancelled] owed 0.00 credit 100.00"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	f.sound()
	f.must(f.store.Reverse(f.ctx, p.ID, "test", "chargeback", at("2026-03-12 10:00")))
	if got, want := f.statement(id), "[100.00cancelled] owed 0.00 credit 0.00"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	f.sound()

	id = f.sign("2026-03-10 10:00", prepaid)
	f.run("2026-03-12 11:00", 1)
	p = f.pay("q", f.invoices(id)[0].Number, 10000, "2026-03-12", "2026-03-12 12:00")
	f.record("2026-03-20 15:00", contracts.Fact{ContractID: id, Kind: contracts.Cancelled})
	f.run("2026-03-20 16:00", 1)
	f.refused(f.store.Reverse(f.ctx, p.ID, "test", "chargeback", at("2026-03-22 10:00")), "credit_used")
	f.sound()
}

// A contract that has ended and is settled is left alone: ended ones add up, and the run comes round all the time.
func TestEndedContractsAreLeftAlone(t *testing.T) {
	f := found(t)
	early := f.sign("2026-01-15 10:00", nil)
	late := f.sign("2026-01-15 10:00", nil)
	f.record("2026-03-20 15:00", contracts.Fact{ContractID: early, Kind: contracts.Cancelled})
	f.record("2026-03-10 22:30", contracts.Fact{ContractID: late, Kind: contracts.Cancelled}) // the 11th in UTC
	f.run("2026-04-01 06:00", 5)
	for _, c := range []struct {
		now  string
		want []contracts.ContractID
	}{{"2026-04-01 07:00", []contracts.ContractID{late}}, {"2026-09-01 06:00", nil}} { // near the end, zones count
		ids, err := candidates(f.ctx, f.store.Pool, at(c.now), 10)
		f.must(err)
		if !slices.Equal(ids, c.want) {
			t.Errorf("at %s %v are looked at, want %v", c.now, ids, c.want)
		}
	}
}

// Whose invoice is due for issue tomorrow is not looked at today, in whatever zone: a thirtieth of all contracts would
// be read in vain by every run.
func TestTomorrowsInvoicesAreNotLookedAtToday(t *testing.T) {
	f := found(t)
	for _, name := range []string{"America/Rio_Branco", "America/Noronha", "Asia/Tokyo", "Pacific/Kiritimati"} {
		loc, err := contractspg.Zone(name)
		f.must(err)
		for _, timing := range []contracts.Timing{contracts.Postpaid, contracts.Prepaid} {
			f.sign("2026-01-15 10:00", func(c *contracts.Contract) { c.Zone, c.Timing, c.BillingAnchor = loc, timing, day("2026-01-15") })
		}
	}
	for now := at("2026-01-29 00:30"); now.Before(at("2026-02-03 00:00")); now = now.Add(time.Hour) {
		_, err := f.store.IssueDue(f.ctx, now, "system")
		f.must(err)
		ids, err := candidates(f.ctx, f.store.Pool, now, 10)
		f.must(err)
		if len(ids) != 0 {
			t.Fatalf("at %s contracts %v are still looked at", now, ids)
		}
	}
	for _, c := range []struct {
		id   contracts.ContractID
		want string
	}{{1, "2026-01-31 02:30"}, {3, "2026-01-30 23:30"}, {5, "2026-01-30 12:30"}, {7, "2026-01-30 07:30"}} { // the first full hour and a half of 31 January there
		if got := f.invoices(c.id)[0].IssuedAt; !got.Equal(at(c.want)) {
			t.Errorf("contract %d was invoiced at %s, want %s", c.id, got, at(c.want))
		}
	}
}
