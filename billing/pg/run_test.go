package pg

import (
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"enlace/billing"
	"enlace/contracts"
)

func TestRunIssuesOnceAndCatchesUp(t *testing.T) {
	f := found(t)
	id := f.sign("2026-01-15 10:00", nil)
	f.run("2026-01-30 12:00", 0)
	f.run("2026-01-31 06:00", 1)
	f.run("2026-01-31 06:00", 0)
	f.run("2026-04-05 06:00", 2)
	list := f.invoices(id)
	for i, want := range []struct {
		period, due string
		principal   contracts.Cents
	}{{"2026-01-15..2026-02-10", "2026-02-10", 8387}, {"2026-02-10..2026-03-10", "2026-04-05", 10000}, {"2026-03-10..2026-04-10", "2026-04-10", 10000}} {
		got := list[i]
		if got.Period.From.String()+".."+got.Period.Until.String() != want.period || got.Due != day(want.due) ||
			got.Principal != want.principal || got.State() != billing.Open || got.Number != fmt.Sprintf("F%08d", i+1) || got.Customer != f.customer {
			t.Errorf("invoice %d is %+v, want %v", i, got, want)
		}
	}
	d := f.detail(list[0].Number, "2026-01-31")
	if len(d.Lines) != 1 || d.Lines[0].Description != "Fibra 500" || d.Lines[0].Period.From != day("2026-01-15") {
		t.Errorf("lines %+v", d.Lines)
	}
	if n := f.audited("invoice.run", "done"); n != 2 {
		t.Errorf("%d runs are in the audit, want the 2 that issued", n)
	}
	f.sound()
}

func TestConcurrentRunsIssueOnce(t *testing.T) {
	f := found(t)
	for range 70 {
		f.sign("2026-01-15 10:00", nil)
	}
	for _, c := range []struct {
		now string
		run func(now string) (int, error)
	}{
		{"2026-01-31 06:00", func(now string) (int, error) { return f.store.IssueDue(f.ctx, at(now), "system") }},
		{"2026-03-01 06:00", func(now string) (int, error) { return f.store.issueDue(f.ctx, at(now), "system") }}, // without the lock
	} {
		var sum int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				n, err := c.run(c.now)
				mu.Lock()
				defer mu.Unlock()
				sum += n
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if sum != 70 {
			t.Errorf("at %s four runs issued %d, want 70", c.now, sum)
		}
	}
	var doubles, invoices int
	f.must(f.store.Pool.QueryRow(f.ctx, `select count(*) from invoice a join invoice b on a.contract_id = b.contract_id and a.id < b.id and a.period && b.period`).Scan(&doubles))
	f.must(f.store.Pool.QueryRow(f.ctx, `select count(*) from invoice`).Scan(&invoices))
	if doubles != 0 || invoices != 140 {
		t.Errorf("%d invoices, %d pairs charge the same days; want 140 and none", invoices, doubles)
	}
	f.sound()
}

// The constraint, not the code above it, is what refuses to charge days twice.
func TestPeriodIsChargedOnceByTheDatabase(t *testing.T) {
	f := found(t)
	id := f.sign("2026-01-15 10:00", nil)
	draft := billing.Draft{Period: billing.Period{From: day("2026-01-15"), Until: day("2026-02-10")}, Due: day("2026-02-10"),
		Lines: []billing.Line{{Description: "x", Amount: 100}}}
	for i, want := range []bool{true, false} {
		var done bool
		f.must(pgx.BeginFunc(f.ctx, f.store.Pool, func(tx pgx.Tx) (err error) {
			_, done, err = issue(f.ctx, tx, at("2026-01-31 06:00"), "test", id, billing.Monthly, draft, nil)
			return err
		}))
		if done != want {
			t.Fatalf("attempt %d: issued is %v", i, done)
		}
		draft.Period.From++
	}
	if n := len(f.invoices(id)); n != 1 {
		t.Fatalf("%d invoices", n)
	}
	f.sound()
}

func TestRunFollowsTheContractsLife(t *testing.T) {
	f := found(t)
	yes := true
	upgraded := f.sign("2026-01-15 10:00", nil)
	ended := f.sign("2026-01-15 10:00", nil)
	endedLate := f.sign("2026-01-15 10:00", nil)
	pending := f.sign("2026-01-15 10:00", func(c *contracts.Contract) { c.StartsPending = true })
	exempt := f.sign("2026-01-15 10:00", func(c *contracts.Contract) { c.Exempt = true })
	freed := f.sign("2026-01-15 10:00", nil)
	prepaid := f.sign("2026-01-15 10:00", func(c *contracts.Contract) { c.Timing = contracts.Prepaid })
	f.record("2026-01-20 15:00", contracts.Fact{ContractID: freed, Kind: contracts.SettingsChanged, Settings: &contracts.Settings{Exempt: &yes}})
	f.run("2026-02-05 06:00", 6) // freed: five days; prepaid: two cycles
	f.record("2026-02-20 15:00", contracts.Fact{ContractID: pending, Kind: contracts.Activated})
	f.run("2026-03-05 06:00", 5)
	f.record("2026-03-20 15:00", contracts.Fact{ContractID: upgraded, Kind: contracts.PlanChanged, PlanID: f.better})
	f.record("2026-03-25 15:00", contracts.Fact{ContractID: ended, Kind: contracts.Cancelled})
	f.run("2026-04-02 06:00", 5)
	f.record("2026-04-05 15:00", contracts.Fact{ContractID: endedLate, Kind: contracts.Cancelled})
	f.run("2026-04-06 06:00", 1)
	f.run("2026-04-06 07:00", 0)
	f.run("2026-07-20 06:00", 3+3+3) // upgraded, pending and prepaid go on: May, June, July
	f.run("2026-07-20 06:00", 0)
	for name, c := range map[string]struct {
		id   contracts.ContractID
		want string
	}{
		"upgraded":   {upgraded, "[83.87 100.00 133.87 150.00 150.00 150.00]"},
		"ended":      {ended, "[83.87 100.00 48.39]"},
		"ended late": {endedLate, "[83.87 100.00 100.00cancelled 83.87]"},
		"pending":    {pending, "[64.29 100.00 100.00 100.00 100.00]"},
		"exempt":     {exempt, "[]"},
		"freed":      {freed, "[16.13]"},
		"prepaid":    {prepaid, "[83.87 100.00 100.00 100.00 100.00 100.00 100.00]"},
	} {
		amounts := []string{}
		for _, i := range f.invoices(c.id) {
			a := i.Principal.String()
			if i.State() == billing.Cancelled {
				a += "cancelled"
			}
			amounts = append(amounts, a)
		}
		if fmt.Sprint(amounts) != c.want {
			t.Errorf("%s: %v, want %s", name, amounts, c.want)
		}
	}
	f.sound()
}

func TestOneBadContractDoesNotStopTheRun(t *testing.T) {
	f := found(t)
	bad := f.sign("2026-01-15 10:00", nil)
	good := f.sign("2026-01-15 10:00", nil)
	if _, err := f.store.Pool.Exec(f.ctx, `update contract set zone = 'Nowhere/Atall' where id = $1`, bad); err != nil {
		t.Fatal(err)
	}
	n, err := f.store.IssueDue(f.ctx, at("2026-01-31 06:00"), "system")
	if n != 1 || err == nil {
		t.Fatalf("issued %d, error %v; want 1 and the other's error", n, err)
	}
	if len(f.invoices(good)) != 1 {
		t.Error("the good contract has no invoice")
	}
}

func TestNothingToDoIsCheap(t *testing.T) {
	f := found(t)
	f.sign("2026-01-15 10:00", nil)
	_, err := f.store.Pool.Exec(f.ctx, `insert into contract (customer_id, plan_id, zone, created_at, due_day, timing, billing_anchor)
		select customer_id, plan_id, zone, created_at, 1 + n % 28, case when n % 3 = 0 then 'prepaid' else 'postpaid' end, billing_anchor
		from contract, generate_series(1, 1000) n`)
	f.must(err)
	if n, err := f.store.IssueDue(f.ctx, at("2026-01-31 06:00"), "system"); err != nil || n < 300 {
		t.Fatalf("issued %d: %v", n, err)
	}
	for _, now := range []string{"2026-01-31 06:00", "2026-01-31 18:00"} {
		ids, err := candidates(f.ctx, f.store.Pool, at(now), 10)
		f.must(err)
		// The dates are wide by a day, so a contract due tomorrow may be looked at today.
		var near int
		f.must(f.store.Pool.QueryRow(f.ctx, `select count(*) from contract where due_day = 11`).Scan(&near))
		if len(ids) > near {
			t.Errorf("at %s %d contracts are looked at, only %d are near", now, len(ids), near)
		}
	}
	f.sound1()
}

// sound1 is the part of sound that does not look at every contract.
func (f *company) sound1() {
	f.Helper()
	sums, err := f.store.TrialBalance(f.ctx)
	f.must(err)
	var total contracts.Cents
	for _, s := range sums {
		total += s
	}
	if total != 0 {
		f.Fatalf("the trial balance sums to %s", total)
	}
}
