package admin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"enlace/contracts"
)

// commandReasons are the reasons that the record of commands has, with %s where something of the moment stands.
var commandReasons = []string{
	"rates changed", "to be %s, applied service unknown", "restored from %s to %s", "restricted from %s to %s",
	"acknowledged without effect: %s", "acknowledged without effect (%s)", "the end of the session was acknowledged, and it goes on",
	"the Class of the service before came back", "%s down were seen, %s were ordered", "%s up were seen, %s were ordered", "the session goes on",
	"%s down and %s up were seen again and again, as before",
	"coa refused: %s", "disconnect refused: %s", "no answer to the coa", "no answer to the disconnect", "answered after it was given up",
	"the access server has no address for commands", "named as the dialect has it", "named without NAS-Identifier", "named by Acct-Session-Id alone",
	"named by all that is known of it", "another login of the access: is this session still there?", "the subscriber's device is online elsewhere",
	"a later session of the access has begun, and its limit is %s", "disconnected in the panel",
}

// reasonPattern finds a reason's parts.
type reasonPattern struct {
	reason string
	parts  *regexp.Regexp
}

var reasonPatterns = func() (out []reasonPattern) {
	for _, r := range commandReasons {
		out = append(out, reasonPattern{r, regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(r), "%s", "(.+?)") + "$")})
	}
	return out
}()

// reason of a command in the reader's language; what is not known is shown as it is.
func (p *page) reason(text string) string {
	var out []string
	for piece := range strings.SplitSeq(text, "; ") {
		out = append(out, p.reasonPiece(piece))
	}
	return strings.Join(out, "; ")
}

func (p *page) reasonPiece(text string) string {
	if o, ok := outcomeNamed(text); ok {
		return lowerFirst(p.T(outcomeLabels[o]))
	}
	for _, r := range reasonPatterns {
		m := r.parts.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		var args []any
		for _, part := range m[1:] {
			args = append(args, p.reasonPiece(part))
		}
		return p.T(r.reason, args...)
	}
	return text
}

func outcomeNamed(name string) (contracts.Outcome, bool) {
	for o := range outcomeLabels {
		if o.String() == name {
			return o, true
		}
	}
	return 0, false
}

func lowerFirst(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(first)) + s[size:]
}

// wanted is the service of a command in the reader's language: "Reduced speed 50M/25M" for "REDUCED 50M/25M".
func (p *page) wanted(text string) string {
	name, rates, _ := strings.Cut(text, " ")
	if o, ok := outcomeNamed(name); ok {
		return strings.TrimSpace(p.T(outcomeLabels[o]) + " " + rates)
	}
	if text == "no session" {
		return p.T("no session")
	}
	return text
}
