package admin

import (
	"context"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
)

// Usage keeps the traffic of contracts by civil day.
type Usage interface {
	// Usage of a contract's accesses together, from a day until another, which is not included; days without traffic are
	// left out.
	Usage(ctx context.Context, id contracts.ContractID, from, until contracts.Date) ([]contracts.DayUsage, error)
}

// usageView is what a contract used of its billing cycle, and what follows.
type usageView struct {
	contracts.UsageNow
	Days []contracts.DayUsage
}

func (s *server) usageOf(ctx context.Context, d *Dossier, now time.Time, lang contracts.Language) (*usageView, error) {
	c := d.Contract
	from, until := contracts.CycleOf(contracts.DateOf(now, c.Zone), c.DueDay)
	days, err := s.Usage.Usage(ctx, c.ID, from, until)
	if err != nil {
		return nil, err
	}
	span := *d.Timeline(contracts.Options{}).Spans.At(now)
	return &usageView{contracts.UsageAt(d, span, days, now, lang), days}, nil
}

// Used is what the allowance counts; Allowed what it and its top-ups allow.
func (v *usageView) Used() uint64 {
	if v.Plan.Allowance == nil {
		t := v.Tally.Counted
		return t.Up + t.Down
	}
	return v.Plan.Allowance.Of(v.Tally.Counted)
}

func (v *usageView) Allowed() uint64 { return v.Plan.Allowance.Bytes + v.Tally.Extra }

// Percent of the allowance that is used, 100 where it is used up.
func (v *usageView) Percent() int {
	used, allowed := v.Used(), v.Allowed()
	if used >= allowed {
		return 100
	}
	return int(float64(used) / float64(allowed) * 100)
}

// Total traffic of the cycle, free or not.
func (v *usageView) Total() (t contracts.Traffic) {
	for _, d := range v.Days {
		t = t.Plus(d.Total)
	}
	return t
}

// most is the busiest day's traffic, for the bars.
func (v *usageView) most() (n uint64) {
	for _, d := range v.Days {
		n = max(n, d.Total.Up+d.Total.Down)
	}
	return n
}

// share of the busiest day, 0 to 100.
func (v *usageView) share(n uint64) int {
	most := v.most()
	if most == 0 {
		return 0
	}
	return int(float64(n) / float64(most) * 100)
}

// gigabytes reads "20", "1.5" or "1,5" as octets; an empty field is none.
func (f *form) gigabytes(name string) int64 {
	text := strings.ReplaceAll(f.get(name), ",", ".")
	if text == "" {
		return 0
	}
	whole, frac, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole+(frac + "000000000")[:9], 10, 63)
	if err != nil || len(frac) > 9 || n > contracts.MaxAllowance {
		f.wrong(contracts.Invalidf(name, "%q is not a number of gigabytes: write it as 20 or 1.5", f.get(name)))
		return 0
	}
	return int64(n)
}
