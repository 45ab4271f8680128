package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"enlace/contracts/decisions"
)

// simulateCmd runs a decision table against the engine. It needs no database.
type simulateCmd struct {
	File string `arg:"" help:"Decision table (YAML); its format is described in docs/decision-tables.md." type:"existingfile"`
}

// errRowsFailed makes the command exit with 1 after the report has been printed.
var errRowsFailed = errors.New("some rows failed")

func (c *simulateCmd) Run(out io.Writer) error {
	b, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("reading the decision table: %w", err)
	}
	table, err := decisions.Parse(b)
	if err != nil {
		return err
	}
	passed, failed := 0, 0
	for r := range table.Check() {
		if len(r.Problems) == 0 {
			passed++
			fmt.Fprintf(out, "pass  %-6s %s\n", r.ID, r.Title)
			continue
		}
		failed++
		fmt.Fprintf(out, "FAIL  %-6s %s\n", r.ID, r.Title)
		for _, p := range r.Problems {
			fmt.Fprintf(out, "             %s\n", p)
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return errRowsFailed
	}
	return nil
}
