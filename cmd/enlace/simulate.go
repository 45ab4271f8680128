package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"enlace/billing"
	"enlace/contracts"
	contractspg "enlace/contracts/pg"
)

// simulateCmd runs a decision table against the engine. It needs no database.
type simulateCmd struct {
	File string `arg:"" help:"Decision table (YAML); its format is described in docs/decision-tables.md." type:"existingfile"`
}

// errRowsFailed makes the command exit with 1 after the report has been printed.
var errRowsFailed = fmt.Errorf("some rows failed")

func (c *simulateCmd) Run(out io.Writer) error {
	b, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("reading the decision table: %w", err)
	}
	table, err := parseTable(b)
	if err != nil {
		return err
	}
	passed, failed := 0, 0
	for _, row := range table.rows() {
		if problems := row.check(); len(problems) == 0 {
			passed++
			fmt.Fprintf(out, "pass  %-6s %s\n", row.id, row.title)
		} else {
			failed++
			fmt.Fprintf(out, "FAIL  %-6s %s\n", row.id, row.title)
			for _, p := range problems {
				fmt.Fprintf(out, "             %s\n", p)
			}
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return errRowsFailed
	}
	return nil
}

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

// decisionTable is the file: parameters, calendars and rows of several kinds.
type decisionTable struct {
	Params           tableParams       `yaml:"params"`
	ContractDefaults tableContract     `yaml:"contract_defaults"`
	RadiusByStatus   map[string]string `yaml:"radius_by_status"`
	Calendars        map[string][]text `yaml:"calendars"`
	Cases            []tableCase       `yaml:"cases"`
	DueDateCases     []dueDateCase     `yaml:"due_date_cases"`
	LateFeeCases     []lateFeeCase     `yaml:"late_fee_cases"`
	ProrationCases   []prorationCase   `yaml:"proration_cases"`
	LoyaltyCases     []loyaltyCase     `yaml:"loyalty_cases"`

	policy    contracts.Policy
	zone      *time.Location
	notices   bool
	calendars contracts.Calendars
}

// tableParams are policy parameters by name; what is not given stays as it is.
type tableParams map[string]any

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

// tableRow is one line of the report.
type tableRow struct {
	id, title string
	check     func() []string
}

// parseTable reads a decision table and refuses unknown keys.
func parseTable(b []byte) (*decisionTable, error) {
	var t decisionTable
	if err := decodeYAML(b, &t, true); err != nil {
		return nil, fmt.Errorf("reading the decision table:\n%w", err)
	}
	t.policy, t.notices, t.zone = contracts.DefaultPolicy(), true, nil
	if err := t.Params.apply(&t.policy, &t.zone, &t.notices); err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	if t.zone == nil {
		t.zone, _ = contractspg.Zone("America/Sao_Paulo")
	}
	t.calendars = contracts.Calendars{}
	for name, days := range t.Calendars {
		t.calendars[name] = map[contracts.Date]bool{}
		for _, s := range days {
			d, err := contracts.ParseDate(string(s))
			if err != nil {
				return nil, fmt.Errorf("calendar %s: %w", name, err)
			}
			t.calendars[name][d] = true
		}
	}
	if len(t.Calendars) == 0 {
		t.calendars = contractspg.DefaultRules().Calendars
	}
	return &t, nil
}

// apply sets the parameters that are given on a policy, and the two that are the table's own: tz and auto_notice.
func (p tableParams) apply(policy *contracts.Policy, zone **time.Location, notices *bool) error {
	rest := map[string]any{}
	for name, v := range p {
		switch name {
		case "tz":
			z, err := contractspg.Zone(fmt.Sprint(v))
			if err != nil {
				return err
			}
			*zone = z
		case "auto_notice":
			b, ok := v.(bool)
			if !ok {
				return fmt.Errorf("auto_notice is true or false")
			}
			*notices = b
		default:
			rest[name] = v
		}
	}
	params, err := mergeParams(policy, rest)
	if err != nil {
		return err
	}
	b, err := yaml.Marshal(params)
	if err != nil {
		return err
	}
	var merged contracts.Policy
	if err := yaml.UnmarshalWithOptions(b, &merged, yaml.Strict()); err != nil {
		return paramError(b, err)
	}
	merged.Version = policy.Version
	if merged.NoticeMinDays < contracts.LegalNoticeDays {
		merged.NoticeMinOverride = true // a table tries policies out; applying one asks for the override
	}
	*policy = merged
	return merged.Validate()
}

// paramError says which parameter could not be read. The error's place is in the merged text, which nobody sees.
func paramError(merged []byte, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return err
	}
	lines := strings.Split(string(merged), "\n")
	if n := at.GetToken().Position.Line; n >= 1 && n <= len(lines) {
		return fmt.Errorf("%s: %s", strings.TrimSpace(lines[n-1]), at.GetMessage())
	}
	return fmt.Errorf("%s", at.GetMessage())
}

// mergeParams lays the given parameters over the policy's own, nested ones key by key.
func mergeParams(policy *contracts.Policy, given map[string]any) (map[string]any, error) {
	base := map[string]any{}
	b, err := yaml.Marshal(policy)
	if err == nil {
		err = yaml.Unmarshal(b, &base)
	}
	if err != nil {
		panic(fmt.Sprintf("a policy always marshals: %v", err))
	}
	for name, v := range given {
		inner, isMap := v.(map[string]any)
		was, known := base[name]
		if !known {
			return nil, fmt.Errorf("unknown parameter %q", name)
		}
		if was, ok := was.(map[string]any); ok && isMap {
			for k, x := range inner {
				if _, known := was[k]; !known {
					return nil, fmt.Errorf("unknown parameter %q", name+"."+k)
				}
				if f, ok := x.(float64); ok {
					return nil, fmt.Errorf("%s.%s: %v is not a whole number", name, k, f)
				}
				was[k] = x
			}
			continue
		}
		if f, ok := v.(float64); ok {
			if _, money := was.(string); !money {
				return nil, fmt.Errorf("%s: %v is not a whole number", name, f)
			}
			v = strconv.FormatFloat(f, 'f', -1, 64)
		}
		base[name] = v
	}
	return base, nil
}

// rows are all rows of the table, in the order of the file's sections.
func (t *decisionTable) rows() []tableRow {
	var rows []tableRow
	for _, c := range t.Cases {
		rows = append(rows, tableRow{string(c.ID), c.Title, func() []string { return t.checkCase(c) }})
	}
	for _, c := range t.DueDateCases {
		rows = append(rows, tableRow{string(c.ID), fmt.Sprintf("due day %d", c.DueDay), func() []string { return c.check(t) }})
	}
	for _, c := range t.LateFeeCases {
		rows = append(rows, tableRow{string(c.ID), fmt.Sprintf("late fee, due %s paid %s", c.Due, c.PaidOn), func() []string { return c.check(t) }})
	}
	for _, c := range t.ProrationCases {
		rows = append(rows, tableRow{string(c.ID), fmt.Sprintf("pro rata of %s to %s", c.CycleStart, c.CycleEnd), c.check})
	}
	for _, c := range t.LoyaltyCases {
		rows = append(rows, tableRow{string(c.ID), fmt.Sprintf("loyalty penalty on %s", c.CancelOn), c.check})
	}
	return rows
}

// checkCase folds the events of a case and compares every expectation.
func (t *decisionTable) checkCase(c tableCase) (problems []string) {
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
		at, err := parseInstant(string(e.At), contract.Zone)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		span := life.Spans.At(at)
		if string(span.Status) != e.Status {
			problems = append(problems, fmt.Sprintf("at %s: expected %s, got %s (rule %s)", e.At, e.Status, span.Status, span.Why.Rule))
		}
		if want := t.RadiusByStatus[e.Status]; want != "" && policy.BlockMode == contracts.BlockWalled && span.Outcome.String() != want {
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
func (t *decisionTable) contract(own tableContract, zone *time.Location) (*contracts.Contract, error) {
	c := &contracts.Contract{ID: 1, PlanID: 1, Zone: zone, CreatedAt: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		AutoBlock: true, TrustEnabled: true, DueDay: 10, Timing: contracts.Postpaid}
	for _, s := range []tableContract{t.ContractDefaults, own} {
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

// factNames are the event types of a table; several words say the same thing.
var factNames = map[string]contracts.FactKind{
	"invoice": contracts.InvoiceIssued, "notice": contracts.NoticeSent, "payment": contracts.PaymentReceived,
	"reversal": contracts.PaymentReversed, "refund": contracts.PaymentReversed, "chargeback": contracts.PaymentReversed,
	"reverse_payment": contracts.PaymentReversed, "payment_reversal": contracts.PaymentReversed,
	"credit": contracts.PaymentReceived, "cancel_invoice": contracts.InvoiceCancelled,
	"dispute": contracts.DisputeOpened, "dispute_open": contracts.DisputeOpened, "dispute_opened": contracts.DisputeOpened, "open_dispute": contracts.DisputeOpened,
	"dispute_rejected": contracts.DisputeRejected, "dispute_reject": contracts.DisputeRejected, "reject_dispute": contracts.DisputeRejected,
	"trust_unblock": contracts.TrustUnblock, "trust_clear": contracts.TrustCleared, "clear_trust": contracts.TrustCleared, "clear_trust_restriction": contracts.TrustCleared,
	"temp_release": contracts.TempRelease, "manual_release": contracts.ManualRelease,
	"manual_block": contracts.ManualBlock, "manual_unblock": contracts.ManualUnblock,
	"voluntary_suspend": contracts.VoluntarySuspend, "resume": contracts.VoluntaryResume, "voluntary_resume": contracts.VoluntaryResume,
	"activate": contracts.Activated, "cancel_contract": contracts.Cancelled, "withdraw": contracts.Cancelled,
}

// invoiceLead is how long before its due date, and at which time of day, an invoice is known unless a table says.
const (
	invoiceLeadDays = 10
	invoiceLeadTime = contracts.ClockTime(6 * 60)
)

// facts are the events of a case as the engine takes them.
func (t *decisionTable) facts(events []tableEvent, zone *time.Location) ([]contracts.Fact, error) {
	var out []contracts.Fact
	for i, e := range events {
		f := contracts.Fact{ID: int64(i + 1), ContractID: 1, InvoiceID: string(e.Invoice), Actor: "table", Reason: e.Reason}
		var err error
		for _, d := range []struct {
			to   *contracts.Date
			from text
		}{{&f.Due, e.Due}, {&f.PaidOn, e.PaidOn}, {&f.From, e.From}, {&f.Until, e.Until}} {
			if d.from != "" {
				if *d.to, err = contracts.ParseDate(string(d.from)); err != nil {
					return nil, fmt.Errorf("event %d (%s): %w", i+1, e.Type, err)
				}
			}
		}
		if e.Amount != "" {
			if f.Amount, err = contracts.ParseCents(string(e.Amount)); err != nil {
				return nil, fmt.Errorf("event %d (%s): %w", i+1, e.Type, err)
			}
		}
		if (e.Type == "invoice" && e.Due == "") || ((e.Type == "invoice" || e.Type == "payment") && e.Amount == "") {
			return nil, fmt.Errorf("event %d (%s): an invoice has due and amount, a payment has amount", i+1, e.Type)
		}
		if e.At != "" {
			if f.At, err = parseInstant(string(e.At), zone); err != nil {
				return nil, fmt.Errorf("event %d (%s): %w", i+1, e.Type, err)
			}
		} else if e.Type == "invoice" {
			f.At = f.Due.AddDays(-invoiceLeadDays).At(invoiceLeadTime, zone)
		} else {
			return nil, fmt.Errorf("event %d (%s): it has no instant (at)", i+1, e.Type)
		}
		if e.Type == "renegotiate" {
			parts, err := t.agreement(e, f, zone)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", i+1, err)
			}
			out = append(out, parts...)
			continue
		}
		kind, ok := factNames[e.Type]
		if !ok {
			return nil, fmt.Errorf("event %d: unknown type %q", i+1, e.Type)
		}
		f.Kind = kind
		if kind == contracts.InvoiceIssued {
			f.InvoiceID = string(e.ID)
		}
		out = append(out, f)
	}
	return out, nil
}

// agreement turns a renegotiation into its facts: the old invoices leave, the instalments come.
func (t *decisionTable) agreement(e tableEvent, f contracts.Fact, zone *time.Location) ([]contracts.Fact, error) {
	id := fmt.Sprintf("agreement-%d", f.ID)
	var out []contracts.Fact
	for _, inv := range e.Invoices {
		out = append(out, contracts.Fact{ID: f.ID, ContractID: 1, At: f.At, Kind: contracts.Renegotiated, InvoiceID: string(inv), AgreementID: id})
	}
	for _, p := range e.Installments {
		due, err := contracts.ParseDate(string(p.Due))
		if err != nil {
			return nil, err
		}
		amount, err := contracts.ParseCents(string(p.Amount))
		if err != nil {
			return nil, err
		}
		out = append(out, contracts.Fact{ID: f.ID, ContractID: 1, At: f.At, Kind: contracts.InstallmentDue, InvoiceID: string(p.ID), AgreementID: id, Due: due, Amount: amount})
	}
	return out, nil
}

// parseInstant reads an instant; without an offset it is local to the zone.
func parseInstant(s string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, contracts.Invalidf("at", "%q is not an instant: write it as 2026-03-10T14:00 or with an offset", s)
}

type dueDateCase struct {
	ID     text `yaml:"id"`
	DueDay int  `yaml:"due_day"`
	Expect []struct {
		Month     text `yaml:"month"`
		Nominal   text `yaml:"nominal"`
		Effective text `yaml:"effective"`
	} `yaml:"expect"`
}

func (c dueDateCase) check(t *decisionTable) (problems []string) {
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

func (c lateFeeCase) check(t *decisionTable) []string {
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
