package contracts

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Cents is an amount of money in hundredths of the currency unit. All money is integer cents.
type Cents int64

// MaxAmount bounds a single amount accepted from outside, so that sums of many never overflow: ten billion units.
const MaxAmount Cents = 1_000_000_000_000

// ParseCents reads a decimal with a dot and at most two places ("100", "100.5", "-0.05"). No float is involved.
func ParseCents(s string) (Cents, error) {
	digits, neg := strings.CutPrefix(s, "-")
	whole, frac, hasDot := strings.Cut(digits, ".")
	if whole == "" || (hasDot && frac == "") || len(frac) > 2 {
		return 0, Invalidf("", "%q is not an amount of money: write it as 123.45", s)
	}
	for len(frac) < 2 {
		frac += "0"
	}
	var n int64
	for _, c := range []byte(whole + frac) {
		if c < '0' || c > '9' {
			return 0, Invalidf("", "%q is not an amount of money: write it as 123.45", s)
		}
		if n > int64(MaxAmount) {
			return 0, Invalidf("", "amount %q is too large", s)
		}
		n = n*10 + int64(c-'0')
	}
	if n > int64(MaxAmount) {
		return 0, Invalidf("", "amount %q is too large", s)
	}
	if neg {
		n = -n
	}
	return Cents(n), nil
}

// String gives the amount with a dot and two places: "1234.50".
func (c Cents) String() string {
	n := int64(c)
	sign := ""
	u := uint64(n)
	if n < 0 {
		sign = "-"
		u = -u
	}
	frac := strconv.FormatUint(u%100, 10)
	if len(frac) == 1 {
		frac = "0" + frac
	}
	return sign + strconv.FormatUint(u/100, 10) + "." + frac
}

// MarshalText writes the amount as String does, so that JSON carries money as text and never as a float.
func (c Cents) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what ParseCents reads.
func (c *Cents) UnmarshalText(b []byte) error {
	v, err := ParseCents(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// MulDiv is c × num ÷ den, rounded once, half up (away from zero for negative amounts), with a 128-bit product.
// num must not be negative and den must be positive.
func (c Cents) MulDiv(num, den int64) Cents {
	if num < 0 || den <= 0 {
		panic("contracts: MulDiv of a negative ratio")
	}
	neg := c < 0
	abs := uint64(c)
	if neg {
		abs = -abs
	}
	hi, lo := bits.Mul64(abs, uint64(num))
	lo, carry := bits.Add64(lo, uint64(den)/2, 0)
	hi += carry
	if hi >= uint64(den) {
		return saturate(neg)
	}
	q, _ := bits.Div64(hi, lo, uint64(den))
	if q > math.MaxInt64 {
		return saturate(neg)
	}
	if neg {
		return -Cents(q)
	}
	return Cents(q)
}

func saturate(neg bool) Cents {
	if neg {
		return math.MinInt64
	}
	return math.MaxInt64
}
