package contracts

import "strings"

// Access is one access of a contract: a login, what it is recognised by and bound to, and the addresses that are always
// its own.
type Access struct {
	ID           AccessID
	Login        string // as sent in User-Name; compared byte for byte after trimming surrounding spaces
	SessionLimit int    // how many sessions it may have at once; 0 = as many as the provider allows
	Line         Line
}

// maxSessionLimit bounds what one access may be allowed at once.
const maxSessionLimit = 1000

// Validate names the first field that cannot be accepted.
func (a *Access) Validate() error {
	if err := ValidLogin(a.Login); err != nil {
		return err
	}
	if a.SessionLimit < 0 || a.SessionLimit > maxSessionLimit {
		return Invalidf("session_limit", "a limit of sessions is 0 (the provider's) to 1000")
	}
	return a.Line.Validate()
}

// ValidLogin refuses logins that an access server could not send or a person could not tell apart.
func ValidLogin(s string) error {
	switch {
	case s == "" || len(s) > 200:
		return Invalidf("login", "a login has 1 to 200 bytes")
	case strings.TrimSpace(s) != s:
		return Invalidf("login", "a login neither begins nor ends with a space")
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return Invalidf("login", "a login has no control characters")
		}
	}
	return nil
}
