package control

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The operator's page has the table that is at work.
func TestTheTableOfErrorCausesIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for number, c := range causes {
		row := fmt.Sprintf("| %d %s | %s |\n", number, c.name, c.remedy)
		if number == 0 {
			row = fmt.Sprintf("| none, or one that no RFC names | %s |\n", c.remedy)
		}
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/operation.md lacks %q", row)
		}
		rows++
	}
	if rows < 18 || remedyOf(4711) != anotherMethod {
		t.Errorf("%d rows; one that no RFC names: %s", rows, remedyOf(4711))
	}
}
