package routeros

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
)

// yes reads a flag, which RouterOS writes as "true" in its API and as "yes" in some menus.
func yes(s string) bool { return s == "true" || s == "yes" }

// span reads a time as RouterOS writes it: "3w4d12h23m12s", "300ms", "1d02:15:30" or "00:05:00".
func span(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var total time.Duration
	if head, clock := s, ""; strings.Contains(s, ":") {
		if i := strings.LastIndexAny(s, "wd"); i >= 0 {
			head, clock = s[:i+1], s[i+1:]
		} else {
			head, clock = "", s
		}
		parts := strings.Split(clock, ":")
		if len(parts) > 3 {
			return 0, false
		}
		for _, p := range parts {
			n, err := strconv.ParseUint(p, 10, 32)
			if err != nil {
				return 0, false
			}
			total = total*60 + time.Duration(n)*time.Second
		}
		s = head
	}
	for s != "" {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseUint(s[:digits], 10, 32)
		if err != nil {
			return 0, false
		}
		unit, rest := s[digits:], ""
		if i := strings.IndexAny(unit, "0123456789"); i >= 0 {
			unit, rest = unit[:i], unit[i:]
		}
		of, ok := units[unit]
		if !ok {
			return 0, false
		}
		total, s = total+time.Duration(n)*of, rest
	}
	return total, true
}

var units = map[string]time.Duration{
	"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond,
}

// rates reads "upload/download" from the router's point of view (rx/tx), or one number for both; what follows a space
// is bursts. k, M and G are powers of ten.
func rates(s string) (contracts.Profile, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	up, down, two := strings.Cut(first, "/")
	if !two {
		down = up
	}
	var p contracts.Profile
	var err error
	if p.UpBps, err = bitrate(up); err != nil {
		return contracts.Profile{}, err
	}
	if p.DownBps, err = bitrate(down); err != nil {
		return contracts.Profile{}, err
	}
	return p, nil
}

func bitrate(s string) (uint64, error) {
	digits, unit := s, uint64(1)
	if n := len(s); n > 0 {
		switch s[n-1] {
		case 'k', 'K':
			digits, unit = s[:n-1], 1e3
		case 'm', 'M':
			digits, unit = s[:n-1], 1e6
		case 'g', 'G':
			digits, unit = s[:n-1], 1e9
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > contracts.MaxBps/unit {
		return 0, fmt.Errorf("%q is not a rate", s)
	}
	return n * unit, nil
}

// limit writes rates as a queue takes them: upload first.
func limit(p contracts.Profile) string {
	return strconv.FormatUint(p.UpBps, 10) + "/" + strconv.FormatUint(p.DownBps, 10)
}

// value writes a value as RouterOS's console reads it.
func value(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" {
		return s
	}
	return quoted(s)
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '$' || c == '?':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, "\\%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
