package contracts

import "strings"

// CustomerID numbers a customer.
type CustomerID int64

// Customer is a person or company with contracts.
type Customer struct {
	ID       CustomerID
	Name     string
	Document string // CPF or CNPJ, upper case without punctuation; may be empty
	Email    string
	Phone    string
}

// Validate names the first field that cannot be accepted.
func (c *Customer) Validate() error {
	switch {
	case strings.TrimSpace(c.Name) == "":
		return Invalidf("name", "a customer has a name")
	case c.Document != "" && !ValidTaxID(c.Document):
		return Invalidf("document", "%q is neither a CPF nor a CNPJ", c.Document)
	case c.Email != "" && !plausibleEmail(c.Email):
		return Invalidf("email", "%q is not an e-mail address", c.Email)
	}
	if err := ValidText("name", c.Name, 200); err != nil {
		return err
	}
	if err := ValidText("email", c.Email, 254); err != nil {
		return err
	}
	return ValidText("phone", c.Phone, 40)
}

func plausibleEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && strings.Contains(domain, ".") && len(s) <= 254 &&
		!strings.ContainsAny(s, " \t\r\n<>\",;") && !strings.Contains(domain, "@")
}

// NormalTaxID strips punctuation and upper-cases, as tax ids are stored.
func NormalTaxID(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z':
			return r
		case r == '.' || r == '-' || r == '/' || r == ' ':
			return -1
		}
		return r
	}, s)
}

// ValidTaxID reports whether s, normalised, is a CPF or a CNPJ with right check digits. Since July 2026 the first
// twelve places of a CNPJ may be letters; each counts as its ASCII code - 48 (Receita Federal, IN RFB 2.229/2024).
func ValidTaxID(s string) bool {
	switch len(s) {
	case 11:
		return allDigits(s) && strings.Count(s, s[:1]) != 11 &&
			s[9] == checkDigit(s[:9], 11) && s[10] == checkDigit(s[:10], 11)
	case 14:
		for _, c := range []byte(s[:12]) {
			if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
				return false
			}
		}
		return allDigits(s[12:]) && s[:12] != "000000000000" &&
			s[12] == checkDigit(s[:12], 9) && s[13] == checkDigit(s[:13], 9)
	}
	return false
}

func allDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// checkDigit is the modulus-11 digit with weights 2 to top, from right to left and around again.
func checkDigit(s string, top int) byte {
	sum, w := 0, 2
	for i := len(s) - 1; i >= 0; i-- {
		sum += int(s[i]-'0') * w
		if w++; w > top {
			w = 2
		}
	}
	if r := sum % 11; r >= 2 {
		return byte('0' + 11 - r)
	}
	return '0'
}
