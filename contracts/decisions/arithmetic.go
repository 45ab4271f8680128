package decisions

import (
	"fmt"
	"time"

	"enlace/billing"
	"enlace/contracts"
)

type dueDateCase struct {
	ID     text `yaml:"id"`
	DueDay int  `yaml:"due_day"`
	Expect []struct {
		Month     text `yaml:"month"`
		Nominal   text `yaml:"nominal"`
		Effective text `yaml:"effective"`
	} `yaml:"expect"`
}

func (c dueDateCase) check(t *Table) (problems []string) {
	if c.DueDay < 1 || c.DueDay > 31 {
		return []string{fmt.Sprintf("due_day %d is not 1 to 31", c.DueDay)}
	}
	for _, e := range c.Expect {
		month, err := time.Parse("2006-01", string(e.Month))
		if err != nil {
			problems = append(problems, fmt.Sprintf("%q is not a month", e.Month))
			continue
		}
		nominal := billing.NominalDue(month.Year(), month.Month(), c.DueDay)
		problems = differ(problems, "nominal date of "+string(e.Month), string(e.Nominal), nominal)
		problems = differ(problems, "effective date of "+string(e.Month), string(e.Effective), t.policy.EffectiveDue(nominal, t.calendars))
	}
	return problems
}

// differ adds a problem where what came out is not what was expected.
func differ(problems []string, what, want string, got fmt.Stringer) []string {
	if got.String() == want {
		return problems
	}
	return append(problems, fmt.Sprintf("%s: expected %s, got %s", what, want, got))
}

type lateFeeCase struct {
	ID       text `yaml:"id"`
	Due      text `yaml:"due"`
	PaidOn   text `yaml:"paid_on"`
	Amount   text `yaml:"amount"`
	Fine     text `yaml:"fine"`
	Interest text `yaml:"interest"`
	Total    text `yaml:"total"`
}

func (c lateFeeCase) check(t *Table) []string {
	due, err1 := contracts.ParseDate(string(c.Due))
	paid, err2 := contracts.ParseDate(string(c.PaidOn))
	amount, err3 := contracts.ParseCents(string(c.Amount))
	if err := firstError(err1, err2, err3); err != nil {
		return []string{err.Error()}
	}
	fine, interest := billing.LateFee(amount, t.policy.EffectiveDue(due, t.calendars), paid, &t.policy)
	problems := differ(nil, "fine", string(c.Fine), fine)
	problems = differ(problems, "interest", string(c.Interest), interest)
	return differ(problems, "total", string(c.Total), amount+fine+interest)
}

type prorationCase struct {
	ID         text `yaml:"id"`
	CycleStart text `yaml:"cycle_start"`
	CycleEnd   text `yaml:"cycle_end"`
	Base       text `yaml:"base"`
	Segments   []struct {
		From  text `yaml:"from"`
		To    text `yaml:"to"`
		Price text `yaml:"price"`
	} `yaml:"segments"`
	Parts []text `yaml:"parts"`
	Total text   `yaml:"total"`
}

func (c prorationCase) check() []string {
	start, err1 := contracts.ParseDate(string(c.CycleStart))
	end, err2 := contracts.ParseDate(string(c.CycleEnd))
	if err := firstError(err1, err2); err != nil {
		return []string{err.Error()}
	}
	var segments []billing.Segment
	for _, s := range c.Segments {
		var seg billing.Segment
		var err1, err2, err3 error
		seg.From, err1 = contracts.ParseDate(string(s.From))
		if s.To != "" {
			seg.To, err2 = contracts.ParseDate(string(s.To))
		}
		seg.Price, err3 = contracts.ParseCents(string(s.Price))
		if err := firstError(err1, err2, err3); err != nil {
			return []string{err.Error()}
		}
		segments = append(segments, seg)
	}
	base := billing.Actual
	switch c.Base {
	case "", "actual":
	case "30":
		base = billing.Thirty
	default:
		return []string{fmt.Sprintf("base %q is neither actual nor 30", c.Base)}
	}
	parts, total := billing.Prorate(start, end, base, segments)
	var problems []string
	if len(parts) != len(c.Parts) {
		return []string{fmt.Sprintf("expected %d parts, got %d", len(c.Parts), len(parts))}
	}
	for i, p := range parts {
		problems = differ(problems, fmt.Sprintf("part %d", i+1), string(c.Parts[i]), p)
	}
	return differ(problems, "total", string(c.Total), total)
}

type loyaltyCase struct {
	ID       text `yaml:"id"`
	Start    text `yaml:"start"`
	End      text `yaml:"end"`
	Benefit  text `yaml:"benefit"`
	CancelOn text `yaml:"cancel_on"`
	Penalty  text `yaml:"penalty"`
}

func (c loyaltyCase) check() []string {
	start, err1 := contracts.ParseDate(string(c.Start))
	end, err2 := contracts.ParseDate(string(c.End))
	benefit, err3 := contracts.ParseCents(string(c.Benefit))
	on, err4 := contracts.ParseDate(string(c.CancelOn))
	if err := firstError(err1, err2, err3, err4); err != nil {
		return []string{err.Error()}
	}
	return differ(nil, "penalty", string(c.Penalty), billing.LoyaltyPenalty(start, end, benefit, on))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
