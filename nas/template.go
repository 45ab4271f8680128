package nas

import (
	"strconv"
	"strings"

	"enlace/contracts"
)

// Template is text with words in braces that stand for a service:
//
//	{name}       the plan's profile name; "walled" in the walled garden when that has none
//	{outcome}    full, reduced or walled
//	{down_bps}   the download rate in bit/s; also {down_kbps} and {down_mbps}, and {up_bps}, {up_kbps}, {up_mbps}
//
// Rates are rounded up to a whole kbit/s; in Mbit/s they have decimals where they are not whole. Two braces stand for
// one. The plan's name as people read it is not among the words: it does not change what an access server applies.
type Template struct {
	text  string
	parts []templatePart
}

// templatePart is a word, or literal text where word is empty.
type templatePart struct{ literal, word string }

var templateWords = []string{"name", "outcome", "down_bps", "down_kbps", "down_mbps", "up_bps", "up_kbps", "up_mbps"}

// ParseTemplate reads a template; the error says what is wrong with it.
func ParseTemplate(text string) (Template, error) {
	t := Template{text: text}
	literal := ""
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		switch {
		case i < 0:
			literal, rest = literal+rest, ""
		case strings.HasPrefix(rest[i:], "{{"), strings.HasPrefix(rest[i:], "}}"):
			literal, rest = literal+rest[:i+1], rest[i+2:]
		case rest[i] == '}':
			return Template{}, contracts.Invalidf("template", "%q has a } without its {", text)
		default:
			word, after, closed := strings.Cut(rest[i+1:], "}")
			if !closed {
				return Template{}, contracts.Invalidf("template", "%q has a { without its }", text)
			}
			if !isTemplateWord(word) {
				return Template{}, contracts.Invalidf("template", "{%s} is none of {%s}", word, strings.Join(templateWords, "}, {"))
			}
			if literal += rest[:i]; literal != "" {
				t.parts = append(t.parts, templatePart{literal: literal})
			}
			t.parts = append(t.parts, templatePart{word: word})
			literal, rest = "", after
		}
	}
	if literal != "" {
		t.parts = append(t.parts, templatePart{literal: literal})
	}
	return t, nil
}

func isTemplateWord(s string) bool {
	for _, w := range templateWords {
		if s == w {
			return true
		}
	}
	return false
}

// IsZero reports whether there is nothing in it.
func (t Template) IsZero() bool { return len(t.parts) == 0 }

// varies reports whether its text tells services of one outcome apart.
func (t Template) varies() bool {
	for _, p := range t.parts {
		if p.word != "" && p.word != "outcome" {
			return true
		}
	}
	return false
}

// Render writes the template for a service. It refuses a service that lacks what a word stands for.
func (t Template) Render(s Service) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.word == "" {
			b.WriteString(p.literal)
			continue
		}
		value, err := templateValue(p.word, s)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

func templateValue(word string, s Service) (string, error) {
	switch word {
	case "name":
		switch {
		case s.Profile.Name != "":
			return s.Profile.Name, nil
		case s.Outcome == contracts.OutcomeWalled:
			return "walled", nil
		}
		return "", contracts.Invalidf("profile_name", "the plan has no profile name, which {name} stands for")
	case "outcome":
		return strings.ToLower(s.Outcome.String()), nil
	}
	direction, unit, _ := strings.Cut(word, "_")
	bps := s.Profile.DownBps
	if direction == "up" {
		bps = s.Profile.UpBps
	}
	if bps == 0 {
		return "", contracts.Invalidf("rate", "the service has no rate, which {%s} stands for", word)
	}
	switch kbps := kbit(bps); unit {
	case "bps":
		return strconv.FormatUint(kbps*1000, 10), nil
	case "kbps":
		return strconv.FormatUint(kbps, 10), nil
	default:
		return strconv.FormatFloat(float64(kbps)/1000, 'f', -1, 64), nil
	}
}

// kbit is a rate in kbit/s, rounded up.
func kbit(bps uint64) uint64 { return (bps + 999) / 1000 }

// before is the part of the template ahead of the first sep in its literal text.
func (t Template) before(sep string) Template {
	for i, p := range t.parts {
		if head, _, found := strings.Cut(p.literal, sep); found {
			short := Template{text: t.text, parts: append([]templatePart{}, t.parts[:i]...)}
			if head != "" {
				short.parts = append(short.parts, templatePart{literal: head})
			}
			return short
		}
	}
	return t
}

// String is the template as it was written.
func (t Template) String() string { return t.text }
