package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	adminpg "enlace/admin/pg"
	"enlace/postgres"
	"enlace/postgres/pgtest"
)

func TestTokensAndAccounts(t *testing.T) {
	url, dir := pgtest.URL(t), t.TempDir()
	do := func(want int, args ...string) (string, string) {
		t.Helper()
		code, out, errOut := command(t, append(args, "--database-url", url, "--data-dir", dir, "--clock", "2026-03-01T09:00:00-03:00")...)
		if code != want {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errOut)
		}
		return strings.TrimSpace(out), errOut
	}
	token, _ := do(0, "token", "create", "erp")
	other, _ := do(0, "token", "create", "erp")
	if len(token) < 30 || token == other || strings.ContainsAny(token, " \n") {
		t.Fatalf("tokens %q and %q", token, other)
	}
	list, _ := do(0, "token", "list")
	lines := strings.Split(list, "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[1]), " ") != "erp 2026-03-01T12:00:00Z - -" {
		t.Fatalf("the list:\n%s", list)
	}
	if strings.Contains(list, token) {
		t.Error("the list shows a token")
	}
	if out, _ := do(0, "token", "revoke", "erp"); out != "2 revoked" {
		t.Errorf("revoking says %q", out)
	}
	if out, _ := do(0, "token", "list"); strings.Count(out, "2026-03-01T12:00:00Z") != 4 {
		t.Errorf("after revoking:\n%s", out)
	}
	do(1, "token", "create", "")
	do(1, "token", "create", "a\x00b")

	first, _ := do(0, "staff", "add", "ana")
	second, _ := do(0, "staff", "password", "ana")
	if len(first) < 12 || first == second {
		t.Fatalf("passwords %q and %q", first, second)
	}
	if _, errOut := do(1, "staff", "add", "ana"); !strings.Contains(errOut, "ana") || strings.Contains(errOut, "SQLSTATE") {
		t.Errorf("the same account twice: %s", errOut)
	}
	if _, errOut := do(1, "staff", "password", "bia"); !strings.Contains(errOut, "bia") {
		t.Errorf("an account that is not there: %s", errOut)
	}

	ctx := context.Background()
	pool, err := postgres.Open(ctx, url, postgres.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	account, err := (&adminpg.Store{Pool: pool}).Account(ctx, "ana")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{second: true, first: false, "": false} {
		if ok := hashes(t, account.PasswordHash, password); ok != want {
			t.Errorf("the password %q is accepted: %v", password, ok)
		}
	}
	for _, secret := range []string{token, other, first, second} {
		var n int
		err := pool.QueryRow(ctx, `select (select count(*) from audit where audit::text like '%' || $1 || '%')
			+ (select count(*) from api_token where api_token::text like '%' || $1 || '%') + (select count(*) from staff where staff::text like '%' || $1 || '%')`, secret).Scan(&n)
		if err != nil || n != 0 {
			t.Errorf("a secret is readable in the database (%d, %v)", n, err)
		}
	}
}

// hashes reports whether an argon2id PHC string was made of a password.
func hashes(t *testing.T, phc, password string) bool {
	t.Helper()
	part := strings.Split(phc, "$")
	if len(part) != 6 || part[1] != "argon2id" {
		t.Fatalf("%q is no PHC string of argon2id", phc)
	}
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		t.Fatal(err)
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(part[4])
	key, err2 := base64.RawStdEncoding.DecodeString(part[5])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return bytes.Equal(key, argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(key))))
}

func TestMigrateCommand(t *testing.T) {
	url := pgtest.Empty(t)
	for _, want := range []string{"at version 0 and is at version", "and is at version"} {
		if code, out, errOut := command(t, "migrate", "--database-url", url); code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit %d\n%s%s", code, out, errOut)
		}
	}
	if code, _, errOut := command(t, "migrate", "--database-url", "postgres://user:hunter2@127.0.0.1:1/none"); code != 1 || strings.Contains(errOut, "hunter2") {
		t.Errorf("without a database: exit %d, %s", code, errOut)
	}
	if stamp(time.Time{}) != "-" {
		t.Error("no instant is not written as -")
	}
}
