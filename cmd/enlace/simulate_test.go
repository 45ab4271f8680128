package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const goldenTable = "../../contracts/testdata/decisions.yaml"

// command runs the program in this process.
func command(t testing.TB, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(context.Background(), args, &o, &e)
	return code, o.String(), e.String()
}

// simulate runs a table that is written down here.
func simulate(t testing.TB, table string) (code int, out, errOut string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table.yaml")
	if err := os.WriteFile(path, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	return command(t, "simulate", path)
}

func TestSimulateTheGoldenTable(t *testing.T) {
	code, out, errOut := command(t, "simulate", goldenTable)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != 0 || errOut != "" || lines[len(lines)-1] != "68 passed, 0 failed" || len(lines) != 69 {
		t.Fatalf("exit %d\n%s%s", code, tail(out, 20), errOut)
	}
	for _, line := range lines[:68] {
		if !strings.HasPrefix(line, "pass  ") {
			t.Error(line)
		}
	}
}

// One row of every section, each with one number that is not right.
const failingTable = `
params: {min_blocking_balance: 5}
radius_by_status: {ACTIVE: WALLED}
cases:
- id: C1
  title: blocked too early
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 100.00}]
  expect:
  - {at: "2026-04-09T08:59:59", status: BLOCKED_AUTO}
- id: C2
  title: another answer
  expect: [{at: 2026-04-09T08:59, status: ACTIVE}]
- id: C3
  title: refused for another reason
  events: [{type: trust_unblock, at: "2026-04-09T20:00:00"}]
  expect: [{at: "2026-04-10T00:00:00Z", status: TERMINATED, denied: [[trust_unblock, quota]]}]
- id: C4
  title: right
  expect: [{at: 2026-04-09, status: OVERDUE}]
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 4.99}]
due_date_cases:
- {id: D1, due_day: 31, expect: [{month: 2026-02, nominal: 2026-02-28, effective: 2026-02-28}]}
late_fee_cases:
- {id: L1, due: 2026-03-10, paid_on: 2026-03-11, amount: 100.00, fine: 2.00, interest: "0.03", total: 102.04}
proration_cases:
- {id: P1, cycle_start: 2026-03-10, cycle_end: 2026-04-10, segments: [{from: 2026-03-10, price: 100.00}], parts: ["100.00", "0.00"], total: "100.00"}
loyalty_cases:
- {id: Y1, start: 2026-01-15, end: 2027-01-15, benefit: 600.00, cancel_on: 2026-06-20, penalty: 343.55}
`

func TestSimulateSaysWhatIsWrong(t *testing.T) {
	code, out, errOut := simulate(t, failingTable)
	want := `FAIL  C1     blocked too early
             at 2026-04-09T08:59:59: expected BLOCKED_AUTO, got REDUCED (rule reduce_after_days)
FAIL  C2     another answer
             at 2026-04-09T08:59: ACTIVE should answer WALLED, answers FULL
FAIL  C3     refused for another reason
             at 2026-04-10T00:00:00Z: expected TERMINATED, got ACTIVE (rule nothing_overdue)
             at 2026-04-10T00:00:00Z: expected denied [[trust_unblock quota]], got [[trust_unblock status_ACTIVE]]
pass  C4     right
FAIL  D1     due day 31
             effective date of 2026-02: expected 2026-02-28, got 2026-03-02
FAIL  L1     late fee, due 2026-03-10 paid 2026-03-11
             total: expected 102.04, got 102.03
FAIL  P1     pro rata of 2026-03-10 to 2026-04-10
             expected 2 parts, got 1
FAIL  Y1     loyalty penalty on 2026-06-20
             penalty: expected 343.55, got 343.56
1 passed, 7 failed
`
	if code != 1 || errOut != "" || out != want {
		t.Fatalf("exit %d, %q\n%s", code, errOut, out)
	}
}

// Parameters of the table hold for every row, those of a row for that row, one by one.
func TestSimulateParameters(t *testing.T) {
	code, out, errOut := simulate(t, `
params: {tz: America/Manaus, trust: {days: 10}, reduce_after_days: null, min_blocking_balance: 50.5, run_at: "10:30"}
calendars: {national: ["2026-04-09"]}
cases:
- id: table
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 50.51}, {type: trust_unblock, at: "2026-04-14T12:00:00"}]
  expect:
  - {at: "2026-04-13T14:29:59Z", status: OVERDUE}
  - {at: "2026-04-13T14:30:00Z", status: BLOCKED_AUTO}
  - {at: "2026-04-24T23:59:59", status: RELEASED_TRUST}
- id: small
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 50.50}]
  expect: [{at: "2026-09-24T23:59:59", status: OVERDUE}]
- id: row
  params: {reduce_after_days: 20, trust: {allow_from: [REDUCED]}, notice_min_days: 0}
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 50.51}, {type: trust_unblock, at: "2026-03-31T12:00:00"}]
  expect:
  - {at: "2026-03-30T10:29:59", status: OVERDUE}
  - {at: "2026-03-30T10:30:00", status: REDUCED}
  - {at: "2026-04-10T23:59:59", status: RELEASED_TRUST, denied: []}
- id: next
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 50.51}]
  expect: [{at: "2026-03-31T12:00:00", status: OVERDUE}]
- id: zone
  contract: {tz: America/Sao_Paulo}
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 50.51}]
  expect: [{at: "2026-04-13T13:30:00Z", status: BLOCKED_AUTO}]
- id: silent
  params: {auto_notice: false}
  events: [{type: invoice, id: F1, due: 2026-03-10, amount: 50.51}]
  expect: [{at: "2026-09-24T23:59:59", status: OVERDUE}]
`)
	if code != 0 || !strings.HasSuffix(out, "\n6 passed, 0 failed\n") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
}

func TestSimulateRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, test := range []struct{ table, want string }{
		{"cases:\n- id: A\n  titel: x\n", `(?s)\[3:3\] unknown field "titel".*> +3 \|   titel: x`},
		{"case: []\n", `(?s)\[1:1\] unknown field "case"`},
		{"cases:\n- id: A\n  events:\n  - {type: invoice, duee: 2026-01-01}\n", `\[4:21\] unknown field "duee"`},
		{"late_fee_cases:\n- {id: L, paid: 2026-01-01}\n", `\[2:11\] unknown field "paid"`},
		{"cases: [\n", `\[1:8\]`},
		{"params: {notice_att: \"08:00\"}\n", `params: unknown parameter "notice_att"`},
		{"params: {trust: {dayz: 3}}\n", `params: unknown parameter "trust.dayz"`},
		{"params: {trust: {days: 1.5}}\n", `params: .*1\.5`},
		{"params: {trust: 3}\n", `params: trust: 3: `},
		{"params: {reduce_after_days: 1.5}\n", `params: reduce_after_days: 1\.5 is not a whole number`},
		{"params: {block_after_days: soon}\n", `params: block_after_days: soon: `},
		{"params: {min_blocking_balance: 100.005}\n", `params: "100\.005" is not an amount of money`},
		{"params: {block_after_days: 99999999999}\n", `params: block_after_days: `},
		{"params: {run_at: \"23:00\"}\n", `params: run_at: 23:00 lies outside`},
		{"params: {auto_notice: maybe}\n", `params: auto_notice is true or false`},
		{"params: {tz: Mars/Olympus}\n", `params: zone: "Mars/Olympus" is not an IANA time zone`},
		{"calendars: {national: [\"2026-13-01\"]}\n", `calendar national: "2026-13-01" is not a date`},
	} {
		code, out, errOut := simulate(t, test.table)
		if code != 1 || out != "" || !regexp.MustCompile(test.want).MatchString(errOut) {
			t.Errorf("%q: exit %d\n%s%s\nwant %s", test.table, code, out, errOut, test.want)
		}
	}
	if code, _, errOut := command(t, "simulate", "absent.yaml"); code != 2 || !strings.Contains(errOut, "absent.yaml") {
		t.Errorf("an absent file: exit %d, %s", code, errOut)
	}
}

// What is wrong with one row is said in that row, and the others are still checked.
func TestSimulateRowsThatCannotBe(t *testing.T) {
	for row, want := range map[string]string{
		`cases: [{id: A}]`:                                                                                `the row expects nothing`,
		`cases: [{id: A, params: {bogus: 1}}]`:                                                            `unknown parameter "bogus"`,
		`cases: [{id: A, params: {no_restrict_weekdays: [8]}}]`:                                           `no_restrict_weekdays: 8 is not an ISO weekday`,
		`cases: [{id: A, contract: {status: OVERDUE}}]`:                                                   `a contract begins as ACTIVE or PENDING, not OVERDUE`,
		`cases: [{id: A, contract: {tz: Local}}]`:                                                         `zone: a time zone has an IANA name`,
		`cases: [{id: A, contract: {no_block_until: soon}}]`:                                              `"soon" is not a date`,
		`cases: [{id: A, events: [{type: pay, at: 2026-01-01}]}]`:                                         `event 1: unknown type "pay"`,
		`cases: [{id: A, events: [{type: manual_block}]}]`:                                                `event 1 (manual_block): it has no instant (at)`,
		`cases: [{id: A, events: [{type: manual_block, at: noon}]}]`:                                      `event 1 (manual_block): at: "noon" is not an instant`,
		`cases: [{id: A, events: [{type: invoice, id: F1}]}]`:                                             `event 1 (invoice): an invoice has due and amount`,
		`cases: [{id: A, events: [{type: payment, at: 2026-01-01}]}]`:                                     `event 1 (payment): an invoice has due and amount, a payment has amount`,
		`cases: [{id: A, events: [{type: invoice, due: x}]}]`:                                             `event 1 (invoice): "x" is not a date`,
		`cases: [{id: A, events: [{type: credit, amount: a lot}]}]`:                                       `event 1 (credit): "a lot" is not an amount of money`,
		`cases: [{id: A, expect: [{at: "25:00", status: ACTIVE}]}]`:                                       `"25:00" is not an instant`,
		`due_date_cases: [{id: A, due_day: 32}]`:                                                          `due_day 32 is not 1 to 31`,
		`due_date_cases: [{id: A, due_day: 1, expect: [{month: May}]}]`:                                   `"May" is not a month`,
		`late_fee_cases: [{id: A, due: 2026-01-01, paid_on: x}]`:                                          `"x" is not a date`,
		`proration_cases: [{id: A, cycle_start: 2026-01-01, cycle_end: 2026-02-01, base: "31"}]`:          `base "31" is neither actual nor 30`,
		`proration_cases: [{id: A, cycle_start: 2026-01-01, cycle_end: 2026-02-01, segments: [{}]}]`:      `"" is not a date`,
		`loyalty_cases: [{id: A, start: 2026-01-01, end: 2026-02-01, cancel_on: 2026-01-05, benefit: x}]`: `"x" is not an amount of money`,
	} {
		if strings.HasPrefix(row, "cases") && !strings.Contains(row, "expect") && !strings.Contains(want, "expects nothing") {
			row = strings.TrimSuffix(row, "}]") + ", expect: [{at: 2026-01-01, status: ACTIVE}]}]"
		}
		code, out, errOut := simulate(t, row)
		if code != 1 || errOut != "" || !strings.Contains(out, want) || !strings.HasSuffix(out, "0 passed, 1 failed\n") {
			t.Errorf("%s: exit %d\n%s%s\nwant %s", row, code, out, errOut, want)
		}
	}
}

// The example of the operator's documentation is a table that passes.
func TestDocumentedDecisionTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/decision-tables.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("the documentation has no example")
	}
	for _, b := range blocks {
		code, out, errOut := simulate(t, string(b[1]))
		if code != 0 || !strings.Contains(out, "pass") {
			t.Errorf("exit %d\n%s%s", code, out, errOut)
		}
	}
}
