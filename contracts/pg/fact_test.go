package pg

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"enlace/contracts"
)

var allKinds = []contracts.FactKind{contracts.InvoiceIssued, contracts.InstallmentDue, contracts.PaymentReceived, contracts.PaymentReversed,
	contracts.InvoiceCancelled, contracts.DisputeOpened, contracts.DisputeRejected, contracts.Renegotiated, contracts.NoticeSent,
	contracts.TrustUnblock, contracts.TrustCleared, contracts.TempRelease, contracts.ManualRelease, contracts.ManualBlock, contracts.ManualUnblock,
	contracts.VoluntarySuspend, contracts.VoluntaryResume, contracts.AccessDisabled, contracts.AccessEnabled, contracts.Activated,
	contracts.Cancelled, contracts.PlanChanged, contracts.SettingsChanged}

func genDate(t *rapid.T, label string) contracts.Date {
	if rapid.Bool().Draw(t, label+" none") {
		return 0
	}
	first, last := contracts.NewDate(1990, 1, 1), contracts.NewDate(2200, 12, 31)
	return first.AddDays(rapid.IntRange(0, int(last-first)).Draw(t, label))
}

// genText is text with what tends to break storage and JSON.
func genText(t *rapid.T, label string) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'Z', '"', '\\', '\n', '\'', '%', '{', 'ã', '€', '𝄞', ' ', '\uFFFD', '\u2028'}), 0, 30, 200).Draw(t, label)
}

func genSettings(t *rapid.T) *contracts.Settings {
	if rapid.Bool().Draw(t, "no settings") {
		return nil
	}
	flag := func(label string) *bool {
		return rapid.Ptr(rapid.Bool(), true).Draw(t, label)
	}
	s := &contracts.Settings{AutoBlock: flag("auto"), Exempt: flag("exempt"), TrustEnabled: flag("trust")}
	if rapid.Bool().Draw(t, "until given") {
		d := genDate(t, "no block until")
		s.NoBlockUntil = &d
	}
	if rapid.Bool().Draw(t, "calendars given") {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"chapeco", "são paulo", `"x"`}), 0, 3).Draw(t, "calendars")
		s.ExtraCalendars = &names
	}
	return s
}

func TestFactsComeBackAsTheyWere(t *testing.T) {
	h := newHouse(t)
	now := at("2026-02-01 12:00")
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		c := h.draft()
		h.must(h.CreateContract(ctx, "test", now, &c, []string{"x"}))
		var want []contracts.Fact
		when := now
		for i := range rapid.IntRange(1, 5).Draw(t, "facts") {
			f := contracts.Fact{ContractID: c.ID, Kind: rapid.SampledFrom(allKinds).Draw(t, "kind"), InvoiceID: fmt.Sprintf("F%d-%d", n, i),
				AgreementID: genText(t, "agreement"), PaymentID: rapid.Int64().Draw(t, "payment"),
				Amount: contracts.Cents(rapid.Int64().Draw(t, "amount")), Due: genDate(t, "due"), PaidOn: genDate(t, "paid on"),
				From: genDate(t, "from"), Until: genDate(t, "until"), PlanID: contracts.PlanID(rapid.Int64().Draw(t, "plan")),
				AccessID: contracts.AccessID(rapid.Int64().Draw(t, "access")), Settings: genSettings(t), Channel: genText(t, "channel"),
				Proof: genText(t, "proof"), Actor: genText(t, "actor"), Reason: genText(t, "reason")}
			when = when.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "later")))
			if err := pgx.BeginFunc(ctx, h.Pool, func(tx pgx.Tx) error { return Append(ctx, tx, when, &f) }); err != nil {
				t.Fatal(err)
			}
			at := when.Truncate(time.Microsecond)
			if len(want) > 0 && !at.After(want[len(want)-1].At) {
				at = want[len(want)-1].At.Add(time.Microsecond)
			}
			if !f.At.Equal(at) || f.ID == 0 {
				t.Fatalf("recorded as %d at %s, not at %s", f.ID, f.At, at)
			}
			want = append(want, f)
		}
		got, err := Facts(ctx, h.Pool, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("recorded\n%+v\nread\n%+v", want, got)
		}
	})
}

func TestFactsThatCannotBeKept(t *testing.T) {
	h := newHouse(t)
	c := h.sign("2026-01-05 10:00")
	far, names := contracts.NewDate(1985, 1, 1), []string{"a\x00b"}
	for what, f := range map[string]contracts.Fact{
		"kind":            {Kind: "bogus"},
		"reason":          {Kind: contracts.ManualBlock, Reason: "a\x00b"},
		"actor":           {Kind: contracts.ManualBlock, Actor: "\xff"},
		"invoice":         {Kind: contracts.PaymentReceived, InvoiceID: strings.Repeat("9", 3000)},
		"due":             {Kind: contracts.InvoiceIssued, InvoiceID: "F1", Due: far},
		"until":           {Kind: contracts.VoluntarySuspend, Until: contracts.Date(1 << 30)},
		"no_block_until":  {Kind: contracts.SettingsChanged, Settings: &contracts.Settings{NoBlockUntil: &far}},
		"extra_calendars": {Kind: contracts.SettingsChanged, Settings: &contracts.Settings{ExtraCalendars: &names}},
	} {
		f.ContractID = c.ID
		err := pgx.BeginFunc(ctx, h.Pool, func(tx pgx.Tx) error { return Append(ctx, tx, at("2026-02-01 10:00"), &f) })
		refused(t, err, contracts.Invalid, what)
		_, err = h.Act(ctx, at("2026-02-01 10:00"), f)
		refused(t, err, contracts.Invalid, what)
	}
	f := contracts.Fact{ContractID: 987654, Kind: contracts.ManualBlock, Actor: "test"}
	err := pgx.BeginFunc(ctx, h.Pool, func(tx pgx.Tx) error { return Append(ctx, tx, at("2026-02-01 10:00"), &f) })
	refused(t, err, contracts.NotFound, "not_found")
	if n := h.count(`select count(*) from fact`); n != 0 {
		t.Fatalf("%d facts were recorded", n)
	}
}

func TestTimeOfFactsNeverRunsBackwards(t *testing.T) {
	h := newHouse(t)
	c, other := h.sign("2026-01-05 10:00"), h.sign("2026-01-05 10:00")
	h.record(at("2026-04-01 10:00"), contracts.Fact{ContractID: c.ID, Kind: contracts.ManualBlock})
	back := h.record(at("2026-03-01 10:00"), contracts.Fact{ContractID: c.ID, Kind: contracts.ManualUnblock})
	if !back.At.Equal(at("2026-04-01 10:00").Add(time.Microsecond)) {
		t.Fatalf("the fact after the clock went back is dated %s", back.At)
	}
	free := h.record(at("2026-03-01 10:00"), contracts.Fact{ContractID: other.ID, Kind: contracts.ManualBlock})
	if !free.At.Equal(at("2026-03-01 10:00")) {
		t.Fatalf("another contract's fact is dated %s", free.At)
	}
	if _, err := h.Act(ctx, at("2026-02-01 10:00"), contracts.Fact{ContractID: c.ID, Kind: contracts.ManualBlock, Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	list := h.facts(c.ID)
	if last := list[len(list)-1]; !last.At.Equal(at("2026-04-01 10:00").Add(2*time.Microsecond)) || last.Kind != contracts.ManualBlock {
		t.Fatalf("the act after the clock went back: %+v", last)
	}
}

func TestWritersTakeTurns(t *testing.T) {
	h := newHouse(t)
	c := h.sign("2026-01-05 10:00")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				f := contracts.Fact{ContractID: c.ID, Kind: contracts.TrustCleared, Actor: "test"}
				now := at("2026-02-01 10:00").Add(time.Duration((i*7+j*13)%11) * time.Hour)
				if err := pgx.BeginFunc(ctx, h.Pool, func(tx pgx.Tx) error { return Append(ctx, tx, now, &f) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rows, err := h.Pool.Query(ctx, `select at from fact where contract_id = $1 order by id`, c.ID)
	h.must(err)
	times, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	h.must(err)
	if len(times) != 40 {
		t.Fatalf("%d facts, want 40", len(times))
	}
	for i := 1; i < len(times); i++ {
		if !times[i].After(times[i-1]) {
			t.Fatalf("fact %d of %s follows one of %s", i, times[i], times[i-1])
		}
	}
}

func TestNothingIsRewritten(t *testing.T) {
	h := newHouse(t)
	h.debtor()
	h.must(h.SaveRules(ctx, "test", "", at("2026-02-01 10:00"), DefaultRules()))
	for _, statement := range []string{
		`update fact set amount_cents = 1`, `delete from fact`,
		`update rules set brake = true`, `delete from rules`,
		`update plan_version set price_cents = 1`, `delete from plan_version`,
	} {
		_, err := h.Pool.Exec(ctx, statement)
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != "23001" {
			t.Errorf("%s: %v, want a refusal", statement, err)
		}
	}
	// One invoice number is one debt.
	f := h.facts(1)[0]
	err := pgx.BeginFunc(ctx, h.Pool, func(tx pgx.Tx) error { return Append(ctx, tx, at("2026-04-01 10:00"), &f) })
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.ConstraintName != "fact_invoice_once" {
		t.Errorf("the same invoice twice: %v", err)
	}
}
