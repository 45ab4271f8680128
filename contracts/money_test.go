package contracts_test

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"enlace/contracts"
)

func TestParseCents(t *testing.T) {
	for in, want := range map[string]contracts.Cents{"0": 0, "100": 10000, "100.5": 10050, "0.05": 5, "-0.05": -5, "1234567.89": 123456789} {
		if got, err := contracts.ParseCents(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-", ".5", "1.", "1.234", "1,50", "1e3", "NaN", "+1", " 1", "１", "99999999999999999999", "0x10", "--1"} {
		if got, err := contracts.ParseCents(in); err == nil {
			t.Errorf("%q was read as %s", in, got)
		}
	}
}

func TestMulDivRoundsHalfUpOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.Int64Range(-int64(contracts.MaxAmount), int64(contracts.MaxAmount)).Draw(t, "cents")
		num := rapid.Int64Range(0, 1_000_000).Draw(t, "num")
		den := rapid.Int64Range(1, 1_000_000).Draw(t, "den")
		// |c|*num/den + 1/2, rounded down, with the sign of c.
		abs := new(big.Int).Abs(big.NewInt(c))
		twice := abs.Mul(abs, big.NewInt(2*num))
		twice.Add(twice, big.NewInt(den)).Div(twice, big.NewInt(2*den))
		want := twice.Int64()
		if c < 0 {
			want = -want
		}
		if got := contracts.Cents(c).MulDiv(num, den); int64(got) != want {
			t.Fatalf("%d × %d ÷ %d = %d, want %d", c, num, den, got, want)
		}
	})
}

func TestCentsTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := contracts.Cents(rapid.Int64Range(-int64(contracts.MaxAmount), int64(contracts.MaxAmount)).Draw(t, "cents"))
		if back, err := contracts.ParseCents(c.String()); err != nil || back != c {
			t.Fatalf("%d wrote %q and read %d, %v", c, c, back, err)
		}
	})
}

func TestTaxIDs(t *testing.T) {
	for _, ok := range []string{"529.982.247-25", "123.456.789-09", "12.ABC.345/01DE-35", "12.345.678/0001-95", "11.222.333/0001-81", "AB12CD34000184", "1A2B3C4D000179", "ZZZZZZZZ000191"} {
		if !contracts.ValidTaxID(contracts.NormalTaxID(ok)) {
			t.Errorf("%s was refused", ok)
		}
	}
	for _, bad := range []string{"529.982.247-24", "111.111.111-11", "12.ABC.345/01DE-36", "00.000.000/0000-00", "", "123", "ção45678901"} {
		if contracts.ValidTaxID(contracts.NormalTaxID(bad)) {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestBrazilianCalendars(t *testing.T) {
	cal := contracts.BrazilianCalendars(2018, 2028)
	for _, s := range []string{"2018-11-02", "2026-04-03", "2026-11-20", "2027-03-26", "2028-04-14"} {
		if d, _ := contracts.ParseDate(s); !cal.Holiday(d, "national") {
			t.Errorf("%s is no national holiday", s)
		}
	}
	for _, s := range []string{"2026-02-16", "2026-02-17", "2026-06-04", "2027-02-08", "2027-05-27", "2028-02-29"} {
		if d, _ := contracts.ParseDate(s); !cal.Holiday(d, "bank") || cal.Holiday(d, "national") {
			t.Errorf("%s is not a bank-only holiday", s)
		}
	}
	if d := contracts.NewDate(2018, 11, 20); cal.Holiday(d, "national") {
		t.Error("20 November was no national holiday in 2018")
	}
}
