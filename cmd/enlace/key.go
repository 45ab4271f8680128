package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sealer encrypts secrets at rest with AES-256-GCM under a key that is not in the database. A sealed value is one byte
// of version, twelve of nonce and the ciphertext.
type sealer struct {
	aead cipher.AEAD
	key  []byte // for what is derived from it
}

const sealVersion = 1

func newSealer(key []byte) (*sealer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("a key has 32 bytes, written as 64 hexadecimal digits")
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return &sealer{aead, slices.Clone(key)}, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// derive gives n bytes for one purpose that tell nothing of the key nor of what is derived for another purpose or salt
// (HKDF, RFC 5869).
func (s *sealer) derive(purpose string, salt []byte, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, s.key, salt, purpose, n)
}

// Seal encrypts under a fresh nonce.
func (s *sealer) Seal(plain []byte) []byte {
	out := make([]byte, 13, 13+len(plain)+s.aead.Overhead())
	out[0] = sealVersion
	rand.Read(out[1:13]) // never fails: crypto/rand ends the process instead
	return s.aead.Seal(out, out[1:13], plain, out[:1])
}

// errSealed says that a value cannot be opened; it does not say more, so that a log holds nothing of it.
var errSealed = errors.New("the secret was sealed with another key, or is damaged")

// Open decrypts what Seal made.
func (s *sealer) Open(sealed []byte) ([]byte, error) {
	if len(sealed) < 13+s.aead.Overhead() || sealed[0] != sealVersion {
		return nil, errSealed
	}
	plain, err := s.aead.Open(nil, sealed[1:13], sealed[13:], sealed[:1])
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// openSealer takes the key from the environment or its file. Where neither is, it makes a file, for the program's first
// start; that the key fits the database is checked when the first secret is opened.
func openSealer(c *Config) (*sealer, error) {
	if c.Key != "" {
		return sealerFromHex(c.Key, "ENLACE_KEY")
	}
	path := c.keyFile()
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if b, err = makeKey(path); err != nil {
			return nil, fmt.Errorf("making the key file %s: %w", path, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	return sealerFromHex(string(b), path)
}

func sealerFromHex(text, where string) (*sealer, error) {
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s does not hold a key: 64 hexadecimal digits", where)
	}
	return newSealer(key)
}

// makeKey writes a new key where only this user reads it. It never replaces a file.
func makeKey(path string) ([]byte, error) {
	key := make([]byte, 32)
	rand.Read(key)
	text := []byte(hex.EncodeToString(key) + "\n")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return nil, err
	}
	return text, f.Sync()
}
