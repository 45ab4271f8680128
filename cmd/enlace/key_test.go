package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	contractspg "enlace/contracts/pg"
	"enlace/postgres/pgtest"
)

func TestKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "enlace")
	c := &Config{DataDir: dir}
	first, err := openSealer(c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "key")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key file: %v (%v)", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := hex.DecodeString(strings.TrimSpace(string(text))); err != nil || len(key) != 32 {
		t.Fatalf("the key file holds %d bytes (%v)", len(key), err)
	}
	second, err := openSealer(c)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(again, text) {
		t.Fatal("the key was replaced")
	}
	if plain, err := second.Open(first.Seal([]byte("secret"))); err != nil || string(plain) != "secret" {
		t.Fatalf("%q (%v)", plain, err)
	}
	// The key itself, instead of a file.
	third, err := openSealer(&Config{DataDir: filepath.Join(dir, "absent"), Key: " " + strings.ToUpper(strings.TrimSpace(string(text))) + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := third.Open(first.Seal([]byte("secret"))); err != nil || string(plain) != "secret" {
		t.Fatalf("%q (%v)", plain, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "absent")); err == nil {
		t.Error("a folder was made that nobody needs")
	}
}

// Of several that start at once, at most one makes the key, and the others do not replace it.
func TestKeyIsNotMadeTwice(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	made := make([][]byte, 8)
	for i := range made {
		wg.Go(func() { made[i], _ = makeKey(filepath.Join(dir, "key")) })
	}
	wg.Wait()
	kept, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, k := range made {
		if k != nil {
			n++
			if !bytes.Equal(k, kept) {
				t.Error("a key was handed out that is not the one in the file")
			}
		}
	}
	if n != 1 {
		t.Errorf("%d keys were made", n)
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "short": "deadbeef", "words": "the secret passphrase of this provider, which is not in hex", "long": strings.Repeat("ab", 33)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openSealer(&Config{KeyFile: path}); err == nil || !strings.Contains(err.Error(), path) || (text != "" && strings.Contains(err.Error(), text)) {
			t.Errorf("%s: %v", name, err)
		}
		if text == "" {
			continue
		}
		if _, err := openSealer(&Config{Key: text}); err == nil || !strings.Contains(err.Error(), "ENLACE_KEY") || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openSealer(&Config{KeyFile: dir}); err == nil {
		t.Error("a folder was taken for a key")
	}
	if _, err := newSealer(make([]byte, 16)); err == nil {
		t.Error("a key of 16 bytes was accepted")
	}
}

func newTestSealer(t testing.TB, b byte) *sealer {
	t.Helper()
	s, err := newSealer(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealing(t *testing.T) {
	s, other := newTestSealer(t, 1), newTestSealer(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed := s.Seal(plain)
		got, err := s.Open(sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("sealed %x, opened %x (%v)", plain, got, err)
		}
		if bytes.Equal(sealed, s.Seal(plain)) {
			t.Fatal("the same secret is sealed alike twice")
		}
		if len(plain) > 8 && bytes.Contains(sealed, plain) {
			t.Fatal("the secret is readable")
		}
		if _, err := other.Open(sealed); err != errSealed {
			t.Fatalf("opened with another key: %v", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "byte")
		sealed[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := s.Open(sealed); err != errSealed {
			t.Fatalf("byte %d was changed: %v", i, err)
		}
		sealed[i] ^= 0
		if _, err := s.Open(sealed[:rapid.IntRange(0, len(sealed)-1).Draw(t, "length")]); err != errSealed {
			t.Fatalf("cut off: %v", err)
		}
	})
}

// A server that is started with another key than the database's says so, and says nothing of the secrets.
func TestAnotherKeyThanTheDatabases(t *testing.T) {
	h := newShop(t)
	h.sign("ana@isp", "hunter2-secret")
	other := &contractspg.Store{Pool: h.pool, Sealer: newTestSealer(t, 99)}
	_, err := other.Load(context.Background(), []int64{1})
	if err == nil || !strings.Contains(err.Error(), "another key") || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("loaded with another key: %v", err)
	}
	code, out, errOut := command(t, "serve", "--database-url", pgtest.URL(t), "--data-dir", t.TempDir(), "--auth-listen", "127.0.0.1:0",
		"--acct-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(errOut, "sealed with another key") || strings.Contains(out+errOut, "hunter2") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
}
