package nas

import (
	"cmp"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Compare orders keys by device, then by the bytes of the session id.
func (k SessionKey) Compare(o SessionKey) int {
	if c := cmp.Compare(k.Device, o.Device); c != 0 {
		return c
	}
	return strings.Compare(k.ID, o.ID)
}

// hexPrefix marks text that stands for bytes which are not printable.
const hexPrefix = `\x`

// TextOf writes bytes from the wire as text that any database, log or page can hold, and RawOf reads it back: printable
// UTF-8 stays as it is, anything else becomes "\x" and lower-case hexadecimal. Printable text that itself begins with
// "\x" is written as hexadecimal too, so that two different byte strings never have the same text.
func TextOf(raw string) string {
	if printable(raw) && !strings.HasPrefix(raw, hexPrefix) {
		return raw
	}
	return hexPrefix + hex.EncodeToString([]byte(raw))
}

// RawOf gives the bytes that TextOf wrote. Text that TextOf cannot have written stands for itself.
func RawOf(text string) string {
	digits, ok := strings.CutPrefix(text, hexPrefix)
	if !ok {
		return text
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return text
	}
	return string(raw)
}

func printable(s string) bool {
	ascii := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf {
			ascii = false
		} else if c < ' ' || c == 0x7f {
			return false
		}
	}
	if ascii {
		return true
	}
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
