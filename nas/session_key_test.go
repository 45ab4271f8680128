package nas

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTextOf(t *testing.T) {
	for raw, want := range map[string]string{
		"":                "",
		"81500003":        "81500003",
		"%lX6b02d419%hX":  "%lX6b02d419%hX",
		"joão@isp":        "joão@isp",
		"a\x00b":          `\x610062`,
		"\xff\xfe":        `\xfffe`,
		`\x6162`:          `\x5c7836313632`,
		"line\nbreak":     `\x6c696e650a627265616b`,
		"zero\u200bwidth": `\x7a65726fe2808b7769647468`,
		`back\slash`:      `back\slash`,
	} {
		if got := TextOf(raw); got != want {
			t.Errorf("TextOf(%q) = %q, want %q", raw, got, want)
		}
	}
	for _, text := range []string{`\x`, `\xz`, `\x123`, "plain"} {
		_ = RawOf(text) // what TextOf cannot have written must not panic
	}
}

func TestTextOfIsReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.Byte()).Draw(t, "raw"))
		if rapid.Bool().Draw(t, "prefixed") {
			raw = hexPrefix + raw
		}
		text := TextOf(raw)
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			t.Fatalf("TextOf(%q) = %q cannot be stored", raw, text)
		}
		if back := RawOf(text); back != raw {
			t.Fatalf("%q became %q, then %q", raw, text, back)
		}
	})
}
