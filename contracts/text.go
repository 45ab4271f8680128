package contracts

import (
	"strings"
	"unicode/utf8"
)

// ValidText refuses text that cannot be kept: more than limit bytes, not UTF-8, or with control characters other than
// line breaks and tabs.
func ValidText(field, s string, limit int) error {
	if len(s) > limit {
		return Invalidf(field, "the text has at most %d bytes", limit)
	}
	if !utf8.ValidString(s) {
		return Invalidf(field, "the text is not UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return (r < ' ' && r != '\n' && r != '\r' && r != '\t') || r == 0x7f }) {
		return Invalidf(field, "the text has control characters")
	}
	return nil
}

// ValidDate refuses dates that no agreement is about, outside 1990 to 2200; no date at all is accepted.
func ValidDate(field string, d Date) error {
	if !d.IsZero() && (d < firstDate || d > lastDate) {
		return Invalidf(field, "date %s lies outside 1990 to 2200", d)
	}
	return nil
}

var firstDate, lastDate = NewDate(1990, 1, 1), NewDate(2200, 12, 31)
