package decisions

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// text keeps a scalar as it is written, so that 100.00 is never a float and 2026-03-10 never a timestamp.
type text string

func (t *text) UnmarshalYAML(b []byte) error {
	s := strings.TrimSpace(string(b))
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	*t = text(s)
	return nil
}

// Table is a decision table: parameters, calendars and rows of several kinds.
type Table struct {
	file      tableFile
	policy    contracts.Policy
	zone      *time.Location
	notices   bool
	calendars contracts.Calendars
}

// tableFile is a table as it is written.
type tableFile struct {
	Params           tableParams       `yaml:"params"`
	ContractDefaults tableContract     `yaml:"contract_defaults"`
	RadiusByStatus   map[string]string `yaml:"radius_by_status"`
	Calendars        map[string][]text `yaml:"calendars"`
	Cases            []tableCase       `yaml:"cases"`
	DueDateCases     []dueDateCase     `yaml:"due_date_cases"`
	LateFeeCases     []lateFeeCase     `yaml:"late_fee_cases"`
	ProrationCases   []prorationCase   `yaml:"proration_cases"`
	LoyaltyCases     []loyaltyCase     `yaml:"loyalty_cases"`
}

type tableContract struct {
	Status         string `yaml:"status"`
	TZ             string `yaml:"tz"`
	AutoBlock      *bool  `yaml:"auto_block"`
	Exempt         *bool  `yaml:"exempt"`
	TrustEnabled   *bool  `yaml:"trust_enabled"`
	NoBlockUntil   text   `yaml:"no_block_until"`
	ExtraCalendars []text `yaml:"extra_calendars"`
}

type tableCase struct {
	ID       text          `yaml:"id"`
	Title    string        `yaml:"title"`
	Policy   bool          `yaml:"policy"` // the row shows a parameter, not the default behaviour
	Params   tableParams   `yaml:"params"`
	Contract tableContract `yaml:"contract"`
	Events   []tableEvent  `yaml:"events"`
	Expect   []tableExpect `yaml:"expect"`
}

type tableEvent struct {
	Type         string       `yaml:"type"`
	ID           text         `yaml:"id"`
	Invoice      text         `yaml:"invoice"`
	Invoices     []text       `yaml:"invoices"`
	Installments []tableEvent `yaml:"installments"`
	At           text         `yaml:"at"`
	Due          text         `yaml:"due"`
	Amount       text         `yaml:"amount"`
	PaidOn       text         `yaml:"paid_on"`
	From         text         `yaml:"from"`
	Until        text         `yaml:"until"`
	Channel      string       `yaml:"channel"`
	By           string       `yaml:"by"`
	Reason       string       `yaml:"reason"`
}

type tableExpect struct {
	At     text        `yaml:"at"`
	Status string      `yaml:"status"`
	Denied *[][]string `yaml:"denied"`
}

// Result is what came of a row. Without problems it passed; a problem says what was expected and what came out.
type Result struct {
	ID, Title string
	Problems  []string
}

// Parse reads a decision table (YAML). The error says which key is unknown or which value cannot be, and where.
func Parse(b []byte) (*Table, error) {
	t := &Table{policy: contracts.DefaultPolicy(), notices: true}
	if err := decode(b, &t.file); err != nil {
		return nil, fmt.Errorf("reading the decision table:\n%w", err)
	}
	if err := t.file.Params.apply(&t.policy, &t.zone, &t.notices); err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	if t.zone == nil {
		t.zone, _ = contractspg.Zone("America/Sao_Paulo")
	}
	if len(t.file.Calendars) == 0 {
		t.calendars = contractspg.DefaultRules().Calendars
		return t, nil
	}
	t.calendars = contracts.Calendars{}
	for name, days := range t.file.Calendars {
		t.calendars[name] = map[contracts.Date]bool{}
		for _, s := range days {
			d, err := contracts.ParseDate(string(s))
			if err != nil {
				return nil, fmt.Errorf("calendar %s: %w", name, err)
			}
			t.calendars[name][d] = true
		}
	}
	return t, nil
}

// decode is strict. The library panics on some malformed text, which is an error in the text like any other.
func decode(b []byte, into any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the text is not YAML that can be understood")
		}
	}()
	if err := yaml.UnmarshalWithOptions(b, into, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s", yaml.FormatError(err, false, true))
	}
	return nil
}

// Check runs every row, in the order of the file's sections.
func (t *Table) Check() iter.Seq[Result] {
	return func(yield func(Result) bool) {
		for _, r := range t.rows() {
			if !yield(Result{r.id, r.title, r.check()}) {
				return
			}
		}
	}
}

// row is one row with its work still to do.
type row struct {
	id, title string
	check     func() []string
}

func (t *Table) rows() []row {
	var rows []row
	for _, c := range t.file.Cases {
		rows = append(rows, row{string(c.ID), c.Title, func() []string { return t.checkCase(c) }})
	}
	for _, c := range t.file.DueDateCases {
		rows = append(rows, row{string(c.ID), fmt.Sprintf("due day %d", c.DueDay), func() []string { return c.check(t) }})
	}
	for _, c := range t.file.LateFeeCases {
		rows = append(rows, row{string(c.ID), fmt.Sprintf("late fee, due %s paid %s", c.Due, c.PaidOn), func() []string { return c.check(t) }})
	}
	for _, c := range t.file.ProrationCases {
		rows = append(rows, row{string(c.ID), fmt.Sprintf("pro rata of %s to %s", c.CycleStart, c.CycleEnd), c.check})
	}
	for _, c := range t.file.LoyaltyCases {
		rows = append(rows, row{string(c.ID), fmt.Sprintf("loyalty penalty on %s", c.CancelOn), c.check})
	}
	return rows
}

// checkCase folds the events of a case and compares every expectation.
func (t *Table) checkCase(c tableCase) (problems []string) {
	policy, zone, notices := t.policy, t.zone, t.notices
	if err := c.Params.apply(&policy, &zone, &notices); err != nil {
		return []string{err.Error()}
	}
	contract, err := t.contract(c.Contract, zone)
	if err != nil {
		return []string{err.Error()}
	}
	facts, err := t.facts(c.Events, contract.Zone)
	if err != nil {
		return []string{err.Error()}
	}
	rules := []contracts.Rules{{Policy: policy, Calendars: t.calendars}}
	if len(c.Expect) == 0 {
		return []string{"the row expects nothing"}
	}
	life := contracts.Timeline(contract, facts, rules, contracts.Options{Plan: notices})
	for _, e := range c.Expect {
		at, err := contracts.ParseInstant("at", string(e.At), contract.Zone)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		span := life.Spans.At(at)
		if string(span.Status) != e.Status {
			problems = append(problems, fmt.Sprintf("at %s: expected %s, got %s (rule %s)", e.At, e.Status, span.Status, span.Why.Rule))
		}
		if want := t.file.RadiusByStatus[e.Status]; want != "" && policy.BlockMode == contracts.BlockWalled && span.Outcome.String() != want {
			problems = append(problems, fmt.Sprintf("at %s: %s should answer %s, answers %s", e.At, e.Status, want, span.Outcome))
		}
		if e.Denied == nil {
			continue
		}
		var denied [][]string
		for _, r := range life.Refused {
			if !r.At.After(at) {
				denied = append(denied, []string{string(r.Request), r.Reason})
			}
		}
		if !slices.EqualFunc(denied, *e.Denied, slices.Equal[[]string]) {
			problems = append(problems, fmt.Sprintf("at %s: expected denied %v, got %v", e.At, *e.Denied, denied))
		}
	}
	return problems
}

// contract of a case: the table's defaults, then the case's own.
func (t *Table) contract(own tableContract, zone *time.Location) (*contracts.Contract, error) {
	c := &contracts.Contract{ID: 1, PlanID: 1, Zone: zone, CreatedAt: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		AutoBlock: true, TrustEnabled: true, DueDay: 10, Timing: contracts.Postpaid}
	for _, s := range []tableContract{t.file.ContractDefaults, own} {
		switch s.Status {
		case "":
		case string(contracts.Active):
			c.StartsPending = false
		case string(contracts.Pending):
			c.StartsPending = true
		default:
			return nil, fmt.Errorf("a contract begins as ACTIVE or PENDING, not %s", s.Status)
		}
		if s.TZ != "" {
			z, err := contractspg.Zone(s.TZ)
			if err != nil {
				return nil, err
			}
			c.Zone = z
		}
		for _, b := range []struct {
			to   *bool
			from *bool
		}{{&c.AutoBlock, s.AutoBlock}, {&c.Exempt, s.Exempt}, {&c.TrustEnabled, s.TrustEnabled}} {
			if b.from != nil {
				*b.to = *b.from
			}
		}
		if s.NoBlockUntil != "" {
			d, err := contracts.ParseDate(string(s.NoBlockUntil))
			if err != nil {
				return nil, err
			}
			c.NoBlockUntil = d
		}
		for _, name := range s.ExtraCalendars {
			c.ExtraCalendars = append(c.ExtraCalendars, string(name))
		}
	}
	return c, nil
}
