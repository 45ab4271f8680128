package admin

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/crypto/argon2"

	"enlace/contracts"
)

// Cost of a staff password's hash: argon2id with 19 MiB, two passes and one lane, the lowest of OWASP's equivalents.
const (
	argonMemory  = 19 * 1024 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonKeySize = 32
)

// argonSlots bounds how many hashes are computed at once, so that a flood of sign-ins takes neither all memory nor all
// cores from authentication.
var argonSlots = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

func argonKey(password string, salt []byte, memory, passes uint32, lanes uint8) []byte {
	argonSlots <- struct{}{}
	defer func() { <-argonSlots }()
	return argon2.IDKey([]byte(password), salt, passes, memory, lanes, argonKeySize)
}

// HashPassword gives the PHC string of a staff password.
func HashPassword(password string) (string, error) {
	if len(password) < 10 || len(password) > 200 {
		return "", contracts.Invalidf("password", "a staff password has 10 to 200 bytes")
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	key := argonKey(password, salt, argonMemory, argonPasses, argonLanes)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes, b64(salt), b64(key)), nil
}

// checkPassword reports whether the password is the one that was hashed. It takes as long for a wrong one.
func checkPassword(hash, password string) (bool, error) {
	var version, memory, passes, lanes int
	var rest string
	if n, err := fmt.Sscanf(hash, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &memory, &passes, &lanes, &rest); n != 5 || err != nil || version != argon2.Version {
		return false, errors.New("a stored password hash is not an argon2id PHC string")
	}
	var salt, want []byte
	for i := range rest {
		if rest[i] == '$' {
			salt, _ = base64.RawStdEncoding.DecodeString(rest[:i])
			want, _ = base64.RawStdEncoding.DecodeString(rest[i+1:])
		}
	}
	if len(salt) < 8 || len(want) != argonKeySize || memory < 8 || memory > 1<<20 || passes < 1 || passes > 100 || lanes < 1 || lanes > 64 {
		return false, errors.New("a stored password hash has parameters out of range")
	}
	got := argonKey(password, salt, uint32(memory), uint32(passes), uint8(lanes))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// nobodysHash is compared against when there is no such account, so that the answer takes as long as for one there is.
var nobodysHash = func() string {
	h, err := HashPassword("the password of nobody")
	if err != nil {
		panic(err)
	}
	return h
}

// GeneratePassword makes a password that can be read out and typed: 20 letters and digits without look-alikes, 100 bits.
func GeneratePassword() string {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789" // 32 characters
	b := make([]byte, 20)
	rand.Read(b)
	out := make([]byte, 0, 23)
	for i, c := range b {
		if i > 0 && i%5 == 0 {
			out = append(out, '-')
		}
		out = append(out, alphabet[c%32])
	}
	return string(out)
}
