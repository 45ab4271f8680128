package decisions

import (
	"os"
	"strings"
	"testing"
)

const goldenTable = "../testdata/decisions.yaml"

func TestGoldenTable(t *testing.T) {
	text, err := os.ReadFile(goldenTable)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for r := range table.Check() {
		rows++
		if len(r.Problems) > 0 {
			t.Errorf("%s %s: %v", r.ID, r.Title, r.Problems)
		}
	}
	if rows != 68 {
		t.Errorf("%d rows were checked", rows)
	}
}

// Every type of event is in the operator's documentation.
func TestEventsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/decision-tables.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range factNames {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("the event %s is not documented", name)
		}
	}
}

func FuzzDecisionTable(f *testing.F) {
	golden, err := os.ReadFile(goldenTable)
	if err != nil {
		f.Fatal(err)
	}
	// Every section by itself, so that a try takes milliseconds.
	for section := range strings.SplitSeq(string(golden), "\n- id: ") {
		f.Add([]byte("cases:\n- id: " + section))
	}
	head, _, _ := strings.Cut(string(golden), "\ncases:")
	f.Add([]byte(head))
	_, arithmetic, _ := strings.Cut(string(golden), "\ndue_date_cases:")
	for section := range strings.SplitSeq("due_date_cases:"+arithmetic, "\n\n") {
		f.Add([]byte(section))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 8<<10 {
			return
		}
		table, err := Parse(b)
		if err != nil {
			return
		}
		for range table.Check() {
		}
	})
}
