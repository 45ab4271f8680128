package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"enlace/admin"
	adminpg "enlace/admin/pg"
)

// tokenCmd manages the bearer tokens of the API.
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token and print it once."`
	List   tokenListCmd   `cmd:"" help:"List tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"End every token of a name."`
}

type tokenCreateCmd struct {
	Name string `arg:"" help:"Who will use it: an actor in facts and audit, such as erp."`
}

func (c *tokenCreateCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withStaff(ctx, cfg, func(s *adminpg.Store, now time.Time) error {
		token, err := s.CreateToken(ctx, "cli", c.Name, now)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, token)
		return nil
	})
}

type tokenListCmd struct{}

func (c *tokenListCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withStaff(ctx, cfg, func(s *adminpg.Store, now time.Time) error {
		tokens, err := s.Tokens(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(out, 2, 2, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tCREATED\tLAST USED\tREVOKED")
		for _, t := range tokens {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Name, stamp(t.CreatedAt), stamp(t.LastUsed), stamp(t.RevokedAt))
		}
		return w.Flush()
	})
}

type tokenRevokeCmd struct {
	Name string `arg:"" help:"Name of the tokens."`
}

func (c *tokenRevokeCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withStaff(ctx, cfg, func(s *adminpg.Store, now time.Time) error {
		n, err := s.RevokeTokens(ctx, "cli", c.Name, now)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d revoked\n", n)
		return nil
	})
}

// staffCmd manages the panel's accounts.
type staffCmd struct {
	Add      staffAddCmd      `cmd:"" help:"Make an account with a generated password and print it once."`
	Password staffPasswordCmd `cmd:"" help:"Give an account a new generated password and print it once."`
}

type staffAddCmd struct {
	Username string `arg:"" help:"Name to sign in with."`
}

func (c *staffAddCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withStaff(ctx, cfg, func(s *adminpg.Store, now time.Time) error {
		password := admin.GeneratePassword()
		if err := s.CreateAccount(ctx, "cli", c.Username, password, now); err != nil {
			return err
		}
		fmt.Fprintln(out, password)
		return nil
	})
}

type staffPasswordCmd struct {
	Username string `arg:"" help:"Name to sign in with."`
}

func (c *staffPasswordCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withStaff(ctx, cfg, func(s *adminpg.Store, now time.Time) error {
		password := admin.GeneratePassword()
		if err := s.SetPassword(ctx, "cli", c.Username, password, now); err != nil {
			return err
		}
		fmt.Fprintln(out, password)
		return nil
	})
}

// withStaff runs do on the database, beside the server where that is running.
func withStaff(ctx context.Context, cfg *Config, do func(s *adminpg.Store, now time.Time) error) error {
	db, err := openExisting(ctx, cfg, cfg.logger(os.Stderr))
	if err != nil {
		return err
	}
	defer db.close()
	cl, err := newClock(cfg.Clock)
	if err != nil {
		return err
	}
	return do(&adminpg.Store{Pool: db.pool}, cl.Now())
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
