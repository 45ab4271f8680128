package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"enlace/postgres"
)

// migrateCmd brings the database to this program's schema, which serve does by itself.
type migrateCmd struct{}

func (migrateCmd) Run(ctx context.Context, c *Config, out io.Writer) error {
	log := c.logger(os.Stderr)
	if c.DatabaseURL == "" { // opening the private database migrates it
		db, err := openDatabase(ctx, c, log)
		if err != nil {
			return err
		}
		defer db.close()
		fmt.Fprintln(out, "the private database is at this program's schema")
		return nil
	}
	from, to, err := postgres.Migrate(ctx, c.DatabaseURL, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the schema was at version %d and is at version %d\n", from, to)
	return nil
}
