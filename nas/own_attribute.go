package nas

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"

	"enlace/contracts"
)

// ownAttribute is an attribute of an operator's own, read from text such as
//
//	Filter-Id = "{down_kbps}/{up_kbps}"
//	Huawei-Input-Peak-Rate = {up_bps}
//	ERX-Service-Activate:2 = "video({outcome})"
//	Vendor-14988-Attr-8 = "{up_kbps}k/{down_kbps}k"
//	Attr-200 = 0x00ff
//
// Text is in double quotes, with Go's escapes (\" and \x0b among them), and numbers, IPv4 addresses and 0x with
// hexadecimal bytes are without. Text, numbers and addresses are templates. Of an attribute that is known by number only
// the form decides: a number has 32 bits.
type ownAttribute struct {
	attribute
	tag   byte
	value Template
	bytes []byte // in place of value
}

// given are attributes that an operator's own may not say: the program says them itself, or they are of other packets.
var given = []byte{1, 2, 3, 4, 5, 8, 9, 24, 25, 26, 27, 32, 33, 40, 44, 60, 79, 80, 85, 97, 101, 123}

// parseOwnAttribute reads one; the error says what is wrong with it.
func parseOwnAttribute(line string) (ownAttribute, error) {
	wrong := func(format string, args ...any) (ownAttribute, error) {
		return ownAttribute{}, contracts.Invalidf("attribute", "%s: "+format, append([]any{strconv.Quote(shorten(line))}, args...)...)
	}
	name, value, found := strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !found || name == "" || value == "" {
		return wrong("write an attribute as Name = \"text\" or Name = 1000")
	}
	name, tag, isTagged := strings.Cut(name, ":")
	own := ownAttribute{tag: 1}
	if isTagged {
		n, err := strconv.ParseUint(tag, 10, 8)
		if err != nil || n > maxTag {
			return wrong("a tag is a number from 0 to %d", maxTag)
		}
		own.tag = byte(n)
	}
	quoted := value[0] == '"'
	digits, hexadecimal := strings.CutPrefix(value, "0x")
	kindSeen := number
	switch {
	case quoted:
		kindSeen = textual
	case hexadecimal:
		kindSeen = octets
	}
	if known := attributesByName[name]; known != nil {
		own.attribute = *known
	} else if vendor, n, ok := attributeNumber(name); ok {
		own.attribute = attributeAt(vendor, n, kindSeen)
	} else {
		return wrong("there is no attribute %s; one can be written by number, such as Vendor-14988-Attr-8", name)
	}
	switch {
	case own.Vendor == 0 && slices.Contains(given, own.Number):
		return wrong("%s is not for dialects to say", own.Name)
	case isTagged && own.Kind != tagged:
		return wrong("%s has no tag", own.Name)
	case hexadecimal:
		b, err := hex.DecodeString(digits)
		if err != nil || len(b) == 0 {
			return wrong("0x is followed by hexadecimal digits, two for a byte")
		}
		own.bytes = b
		return own, nil
	case quoted:
		text, err := strconv.Unquote(value)
		if err != nil {
			return wrong("text is between double quotes, with \\\" for one of them inside")
		}
		value = text
	case own.Kind == textual || own.Kind == tagged || own.Kind == octets:
		return wrong("%s is text: write it in double quotes", own.Name)
	}
	t, err := ParseTemplate(value)
	if err != nil {
		return wrong("%s", err)
	}
	own.value = t
	return own, nil
}

// shorten keeps what is quoted in an error readable.
func shorten(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// attributeNumber reads Attr-11 and Vendor-14988-Attr-8.
func attributeNumber(name string) (vendor uint32, n byte, ok bool) {
	if rest, is := strings.CutPrefix(name, "Vendor-"); is {
		number, rest, is := strings.Cut(rest, "-")
		v, err := strconv.ParseUint(number, 10, 32)
		if !is || err != nil || v == 0 {
			return 0, 0, false
		}
		vendor, name = uint32(v), rest
	}
	digits, is := strings.CutPrefix(name, "Attr-")
	v, err := strconv.ParseUint(digits, 10, 8)
	return vendor, byte(v), is && err == nil && v > 0
}

// own says an operator's own attribute for a service.
func (s *saying) own(a *ownAttribute, service Service) {
	if a.bytes != nil {
		s.value(a.attribute, a.bytes)
		return
	}
	text, err := a.value.Render(service)
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return
	}
	switch a.Kind {
	case number, number64:
		v, err := strconv.ParseUint(text, 10, 64)
		switch {
		case s.err != nil:
		case err != nil || a.Kind == number && v > math.MaxUint32:
			s.err = contracts.Invalidf("attribute", "%q does not fit %s, a number of %d bits", text, a.Name, map[kind]int{number: 32, number64: 64}[a.Kind])
		case a.Kind == number:
			s.value(a.attribute, binary.BigEndian.AppendUint32(nil, uint32(v)))
		default:
			s.value(a.attribute, binary.BigEndian.AppendUint64(nil, v))
		}
	case address:
		b, err := addressOf(text)
		if err != nil && s.err == nil {
			s.err = err
		}
		s.value(a.attribute, b)
	case tagged:
		s.value(a.attribute, append([]byte{a.tag}, text...))
	default:
		s.value(a.attribute, []byte(text))
	}
}
