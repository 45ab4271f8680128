package contracts_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"enlace/contracts"
)

var saoPaulo = mustZone("America/Sao_Paulo")

func mustZone(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return l
}

// world is a contract with random facts and random versions of the rules.
type world struct {
	contract *contracts.Contract
	facts    []contracts.Fact
	rules    []contracts.Rules
}

var origin = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// instants that facts are drawn from: a coarse grid, so that ties with each other and with the runs do occur.
func genInstant(t *rapid.T, label string) time.Time {
	day := rapid.IntRange(0, 300).Draw(t, label+" day")
	minute := rapid.SampledFrom([]int{0, 3 * 60, 11 * 60, 12 * 60, 12*60 + 1, 20*60 + 30}).Draw(t, label+" minute")
	return origin.Truncate(24 * time.Hour).Add(time.Duration(day)*24*time.Hour + time.Duration(minute)*time.Minute)
}

var requests = []contracts.FactKind{contracts.TrustUnblock, contracts.TempRelease, contracts.ManualRelease, contracts.VoluntarySuspend}

func genWorld(t *rapid.T, withRequests bool) world {
	w := world{contract: &contracts.Contract{ID: 1, PlanID: 1, Zone: saoPaulo, CreatedAt: origin,
		AutoBlock: rapid.Bool().Draw(t, "auto block") || rapid.Bool().Draw(t, "auto block again"), TrustEnabled: true,
		StartsPending: rapid.IntRange(0, 9).Draw(t, "pending") == 0, DueDay: 10, Timing: contracts.Postpaid}}
	w.rules = []contracts.Rules{{Policy: contracts.DefaultPolicy(), Calendars: contracts.BrazilianCalendars(2025, 2028)}}
	if rapid.Bool().Draw(t, "second policy") {
		r := w.rules[0]
		r.Since = genInstant(t, "policy")
		r.Policy.Version = 2
		r.Policy.BlockAfterDays = days(rapid.IntRange(1, 60).Draw(t, "block after"))
		r.Policy.ReduceAfterDays = nil
		r.Policy.UnblockPolicy = rapid.SampledFrom([]contracts.UnblockPolicy{contracts.UnblockThreshold, contracts.UnblockAllOverdue}).Draw(t, "unblock policy")
		r.Brake = rapid.Bool().Draw(t, "brake")
		w.rules = append(w.rules, r)
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "invoices") {
		id := fmt.Sprintf("F%d", i+1)
		issued := genInstant(t, id)
		due := contracts.DateOf(issued, saoPaulo).AddDays(10)
		w.add(contracts.Fact{At: issued, Kind: contracts.InvoiceIssued, InvoiceID: id, Due: due, Amount: 10000})
		for range rapid.IntRange(0, 4).Draw(t, "events of "+id) {
			f := contracts.Fact{At: genInstant(t, "event"), InvoiceID: id}
			f.Kind = rapid.SampledFrom([]contracts.FactKind{contracts.NoticeSent, contracts.NoticeSent, contracts.NoticeSent, contracts.PaymentReceived,
				contracts.PaymentReceived, contracts.PaymentReversed, contracts.DisputeOpened, contracts.DisputeRejected, contracts.InvoiceCancelled}).Draw(t, "kind")
			if f.Kind == contracts.PaymentReceived {
				f.Amount = contracts.Cents(rapid.SampledFrom([]int{100, 5000, 9600, 10000}).Draw(t, "amount"))
			}
			w.add(f)
		}
	}
	for range rapid.IntRange(0, 5).Draw(t, "acts") {
		kinds := []contracts.FactKind{contracts.ManualBlock, contracts.ManualUnblock, contracts.Activated, contracts.AccessDisabled, contracts.AccessEnabled}
		if withRequests {
			kinds = append(kinds, requests...)
		}
		f := contracts.Fact{At: genInstant(t, "act"), Kind: rapid.SampledFrom(kinds).Draw(t, "act kind"), AccessID: contracts.AccessID(rapid.IntRange(1, 2).Draw(t, "access"))}
		if f.Kind == contracts.VoluntarySuspend {
			f.From = contracts.DateOf(f.At, saoPaulo).AddDays(1)
			f.Until = f.From.AddDays(rapid.IntRange(20, 130).Draw(t, "length"))
		}
		w.add(f)
	}
	return w
}

func (w *world) add(f contracts.Fact) {
	f.ID, f.ContractID = int64(len(w.facts)+1), 1
	w.facts = append(w.facts, f)
}

func days(n int) *int { return &n }

func (w *world) life(opt contracts.Options) contracts.Life {
	return contracts.Timeline(w.contract, w.facts, w.rules, opt)
}

// probes are instants worth asking about: all edges of the spans, a moment before and after, and some in between.
func probes(life contracts.Life) []time.Time {
	var out []time.Time
	for _, s := range life.Spans {
		out = append(out, s.From, s.From.Add(-time.Second), s.From.Add(time.Second), s.From.Add(37*time.Hour))
	}
	return append(out, origin.AddDate(3, 0, 0))
}

func same(a, b *contracts.Span) bool {
	return a.Status == b.Status && a.Outcome == b.Outcome && a.PlanID == b.PlanID && slices.Equal(a.Disabled, b.Disabled)
}

func TestSpansAreGaplessAndOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		for _, opt := range []contracts.Options{{}, {Plan: true}, {Plan: true, From: genInstant(t, "from")}} {
			spans := w.life(opt).Spans
			for i, s := range spans {
				switch last := i == len(spans)-1; {
				case last && !s.Until.IsZero():
					t.Fatalf("the last span ends at %s", s.Until)
				case !last && !s.Until.Equal(spans[i+1].From):
					t.Fatalf("span %d ends at %s, the next begins at %s", i, s.Until, spans[i+1].From)
				case !last && !s.From.Before(s.Until):
					t.Fatalf("span %d from %s to %s is empty", i, s.From, s.Until)
				}
			}
		}
	})
}

func TestOrderOfFactsOfOneInstantDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		a := w.life(contracts.Options{Plan: true})
		seed := rapid.Uint64().Draw(t, "shuffle")
		r := rand.New(rand.NewPCG(seed, 1))
		r.Shuffle(len(w.facts), func(i, j int) { w.facts[i], w.facts[j] = w.facts[j], w.facts[i] })
		for i := range w.facts { // nor does the order of recording within the instant
			w.facts[i].ID = int64(r.IntN(1000))
		}
		b := w.life(contracts.Options{Plan: true})
		if len(a.Spans) != len(b.Spans) || len(a.Refused) != len(b.Refused) {
			t.Fatalf("%d spans and %d refusals became %d and %d", len(a.Spans), len(a.Refused), len(b.Spans), len(b.Refused))
		}
		for i := range a.Spans {
			if !same(&a.Spans[i], &b.Spans[i]) || !a.Spans[i].From.Equal(b.Spans[i].From) {
				t.Fatalf("span %d: %+v became %+v", i, a.Spans[i], b.Spans[i])
			}
		}
	})
}

func TestAskingAtAnInstantEqualsFoldingToIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		whole := w.life(contracts.Options{})
		for _, at := range append(probes(whole), genInstant(t, "at")) {
			if at.Before(whole.Spans[0].From) {
				continue // before the contract there is nothing to ask about
			}
			known := world{contract: w.contract}
			for _, f := range w.facts {
				if !f.At.After(at) {
					known.facts = append(known.facts, f)
				}
			}
			for i, r := range w.rules {
				if i == 0 || !r.Since.After(at) {
					known.rules = append(known.rules, r)
				}
			}
			if a, b := whole.Spans.At(at), known.life(contracts.Options{}).Spans.At(at); !same(a, b) {
				t.Fatalf("at %s: %s with all facts, %s with those known by then", at, a.Status, b.Status)
			}
		}
	})
}

// A payment may make a later request for a release pointless, so the promise is about what the debts alone do.
func TestPaymentNeverTightens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, false)
		before := w.life(contracts.Options{Plan: true})
		paid := world{contract: w.contract, rules: w.rules, facts: slices.Clone(w.facts)}
		paid.add(contracts.Fact{At: genInstant(t, "payment"), Kind: contracts.PaymentReceived, InvoiceID: fmt.Sprintf("F%d", rapid.IntRange(1, 4).Draw(t, "which")),
			Amount: contracts.Cents(rapid.SampledFrom([]int{1, 5000, 10000}).Draw(t, "paid"))})
		after := paid.life(contracts.Options{Plan: true})
		for _, at := range append(probes(before), probes(after)...) {
			if at.Before(before.Spans[0].From) {
				continue
			}
			if a, b := before.Spans.At(at), after.Spans.At(at); b.Outcome > a.Outcome {
				t.Fatalf("at %s a payment turned %s (%s) into %s (%s)", at, a.Outcome, a.Status, b.Outcome, b.Status)
			}
		}
	})
}

// The same with requests in play: whatever held a moment before a payment, the payment itself does not make it worse.
func TestPaymentItselfNeverTightens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		life := w.life(contracts.Options{Plan: true})
		for _, f := range w.facts {
			if f.Kind != contracts.PaymentReceived || slices.ContainsFunc(w.facts, func(o contracts.Fact) bool { return o.At.Equal(f.At) && o.ID != f.ID }) ||
				slices.ContainsFunc(w.rules, func(r contracts.Rules) bool { return r.Since.Equal(f.At) }) {
				continue
			}
			a, b := life.Spans.At(f.At.Add(-time.Nanosecond)), life.Spans.At(f.At)
			if b.Outcome > a.Outcome && !isRun(f.At) && contracts.DateOf(f.At, saoPaulo).Start(saoPaulo) != f.At {
				t.Fatalf("at %s a payment turned %s into %s", f.At, a.Outcome, b.Outcome)
			}
		}
	})
}

func isRun(t time.Time) bool { l := t.In(saoPaulo); return l.Hour() == 9 && l.Minute() == 0 }

func TestRestrictionsBeginOnlyAtPermittedRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWorld(t, true)
		spans := w.life(contracts.Options{Plan: true}).Spans
		for i := 1; i < len(spans); i++ {
			a, b := &spans[i-1], &spans[i]
			auto := b.Status == contracts.BlockedAuto || b.Status == contracts.Reduced
			if !auto || b.Outcome <= a.Outcome || a.Status == contracts.BlockedManual || a.Status == contracts.SuspendedRequest {
				continue
			}
			if l := b.From.In(saoPaulo); !isRun(b.From) || l.Weekday() == time.Friday || l.Weekday() == time.Saturday || l.Weekday() == time.Sunday {
				t.Fatalf("%s became %s at %s", a.Status, b.Status, l)
			}
		}
	})
}

func TestMidnightThatDidNotExist(t *testing.T) {
	d := contracts.NewDate(2018, 11, 4)
	if got, want := d.Start(saoPaulo), time.Date(2018, 11, 4, 3, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("the day begins at %s, want %s", got, want)
	}
	if got := contracts.DateOf(d.Start(saoPaulo).Add(-time.Nanosecond), saoPaulo); got != d-1 {
		t.Errorf("a nanosecond before its start it is %s", got)
	}
}

func TestEveryDayOfEveryZoneBeginsOnItself(t *testing.T) {
	for _, name := range []string{"America/Sao_Paulo", "America/Manaus", "America/Noronha", "Europe/Lisbon", "Asia/Beirut", "America/Havana", "UTC"} {
		loc := mustZone(name)
		for d := contracts.NewDate(2000, 1, 1); d < contracts.NewDate(2030, 1, 1); d++ {
			start := d.Start(loc)
			if contracts.DateOf(start, loc) != d || contracts.DateOf(start.Add(-time.Nanosecond), loc) != d-1 {
				t.Fatalf("%s in %s begins at %s", d, name, start)
			}
		}
	}
}

func TestExplainNamesTheInvoiceAndWhatFollows(t *testing.T) {
	w := world{contract: &contracts.Contract{ID: 1, PlanID: 1, Zone: saoPaulo, CreatedAt: origin, AutoBlock: true, TrustEnabled: true, DueDay: 10, Timing: contracts.Postpaid},
		rules: []contracts.Rules{{Policy: contracts.DefaultPolicy(), Calendars: contracts.BrazilianCalendars(2025, 2028)}}}
	w.add(contracts.Fact{At: time.Date(2026, 2, 28, 9, 0, 0, 0, time.UTC), Kind: contracts.InvoiceIssued, InvoiceID: "F1", Due: contracts.NewDate(2026, 3, 10), Amount: 123450})
	w.add(contracts.Fact{At: time.Date(2026, 3, 11, 11, 0, 0, 0, time.UTC), Kind: contracts.NoticeSent, InvoiceID: "F1"})
	for lang, want := range map[contracts.Language][]string{
		contracts.English: {
			"Reduced: invoice F1, due on 2026-03-10, was 16 days overdue on 2026-03-26.",
			"Open amount of invoice F1: R$ 1,234.50.",
			"The overdue notice went out on 2026-03-11.",
			"In force since 2026-03-26 09:00:00, under policy version 1 (rule reduce_after_days).",
			"Next, on 2026-04-09 09:00:00: Blocked for debt.",
		},
		contracts.Portuguese: {
			"Reduzido: a fatura F1, vencida em 10/03/2026, estava com 16 dias de atraso em 26/03/2026.",
			"Valor em aberto da fatura F1: R$ 1.234,50.",
			"O aviso de atraso foi enviado em 11/03/2026.",
			"Em vigor desde 26/03/2026 09:00:00, pela versão 1 da política (regra reduce_after_days).",
			"A seguir, em 09/04/2026 09:00:00: Bloqueado por débito.",
		},
	} {
		e := contracts.Explain(w.contract, w.facts, w.rules, time.Date(2026, 3, 28, 15, 0, 0, 0, time.UTC), lang)
		if got := append([]string{e.Headline}, e.Details...); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", lang, got, want)
		}
	}
}

func BenchmarkTimeline(b *testing.B) {
	c := &contracts.Contract{ID: 1, PlanID: 1, Zone: saoPaulo, CreatedAt: origin, AutoBlock: true, TrustEnabled: true, DueDay: 10, Timing: contracts.Postpaid}
	rules := []contracts.Rules{{Policy: contracts.DefaultPolicy(), Calendars: contracts.BrazilianCalendars(2015, 2060)}}
	facts := []contracts.Fact{
		{ID: 1, At: origin, Kind: contracts.InvoiceIssued, InvoiceID: "F1", Due: contracts.NewDate(2026, 1, 10), Amount: 10000},
		{ID: 2, At: origin.AddDate(0, 0, 7), Kind: contracts.NoticeSent, InvoiceID: "F1"},
		{ID: 3, At: origin.AddDate(0, 1, 7), Kind: contracts.PaymentReceived, InvoiceID: "F1", Amount: 10000},
	}
	b.ReportAllocs()
	for b.Loop() {
		contracts.Timeline(c, facts, rules, contracts.Options{})
	}
}
