package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// Money is R$ 1.234,50 in Portuguese and R$ 1,234.50 in English.
func (p *page) Money(c contracts.Cents) string { return contracts.FormatMoney(c, p.lang) }

// Date is 31/12/2026 in Portuguese and 2026-12-31 in English; no date is a dash.
func (p *page) Date(d contracts.Date) string {
	if d.IsZero() {
		return "–"
	}
	if p.lang == contracts.Portuguese {
		y, m, day := d.Parts()
		return fmt.Sprintf("%02d/%02d/%04d", day, m, y)
	}
	return d.String()
}

// Instant is date and time, to the minute, on a clock in loc; the zero time is a dash.
func (p *page) Instant(t time.Time, loc *time.Location) string { return p.instant(t, loc, "15:04") }

// Second is Instant with seconds.
func (p *page) Second(t time.Time, loc *time.Location) string { return p.instant(t, loc, "15:04:05") }

func (p *page) instant(t time.Time, loc *time.Location, clock string) string {
	if t.IsZero() {
		return "–"
	}
	if loc == nil {
		loc = p.zone
	}
	if p.lang == contracts.Portuguese {
		return t.In(loc).Format("02/01/2006 " + clock)
	}
	return t.In(loc).Format("2006-01-02 " + clock)
}

// Since is how long ago t was, in its largest units: "3 d 4 h".
func (p *page) Since(t time.Time) string { return duration(p.now.Sub(t)) }

func duration(d time.Duration) string {
	switch s := int64(max(0, d) / time.Second); {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 86400:
		return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
	}
}

// Rates of a profile, download first: "500M / 250M".
func rates(pr contracts.Profile) string {
	if pr == (contracts.Profile{}) {
		return "–"
	}
	return nas.Rate(pr.DownBps) + " / " + nas.Rate(pr.UpBps)
}

// Bytes with a binary prefix and one decimal.
func (p *page) Bytes(n uint64) string {
	s := strconv.FormatUint(n, 10) + " B"
	if n >= 1024 {
		exp := min(int(math.Log2(float64(n)))/10, 6)
		s = fmt.Sprintf("%.1f %ciB", float64(n)/math.Pow(1024, float64(exp)), " KMGTPE"[exp])
	}
	if p.lang == contracts.Portuguese {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

// Number with thousands separated.
func (p *page) Number(n int) string {
	s := strings.TrimPrefix(contracts.FormatMoney(contracts.Cents(n)*100, p.lang), "R$ ")
	return s[:len(s)-3]
}

// ParseMoney reads an amount as people type it: 1.234,50 or 1234.50 or 1,234.50, with or without "R$".
func parseMoney(field, s string) (contracts.Cents, error) {
	s = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(s), "R$"))
	dot, comma := strings.LastIndexByte(s, '.'), strings.LastIndexByte(s, ',')
	whole, frac, point := s, "", max(dot, comma)
	if point >= 0 && len(s)-point-1 <= 2 {
		whole, frac = s[:point], s[point:]
	}
	plain := strings.NewReplacer(".", "", ",", "", " ", "").Replace(whole)
	if plain != whole && (!grouped(whole) || frac != "" && strings.Contains(whole, frac[:1])) {
		return 0, contracts.Invalidf(field, "%q is not an amount of money: write it as 123.45", s)
	}
	if frac != "" {
		plain += "." + frac[1:]
	}
	c, err := contracts.ParseCents(plain)
	if err != nil {
		return 0, contracts.Invalidf(field, "%q is not an amount of money: write it as 123.45", s)
	}
	return c, nil
}

// grouped reports whether digits stand in groups of three behind the first separator, all of one kind.
func grouped(s string) bool {
	sep := strings.IndexAny(s, "., ")
	groups := strings.Split(s, s[sep:sep+1])
	for i, g := range groups {
		if len(g) == 0 || len(g) > 3 || (i > 0 && len(g) != 3) || strings.ContainsAny(g, "., ") {
			return false
		}
	}
	return true
}

// parseRate reads "500M", "64k", "1.5G" or plain bit/s.
func parseRate(field, s string) (uint64, error) {
	bad := contracts.Invalidf(field, "%q is not a rate: write it as 500M, 1G or 640k (bit/s)", s)
	s = strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(s), ",", "."))
	unit := uint64(1)
	for suffix, n := range map[string]uint64{"K": 1e3, "M": 1e6, "G": 1e9} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(rest), n
			break
		}
	}
	whole, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseUint(whole, 10, 40)
	if err != nil || n > contracts.MaxBps/unit || len(frac) > 3 || (frac != "" && unit == 1) {
		return 0, bad
	}
	bps := n * unit
	for part, digit := unit, 0; digit < len(frac); digit++ {
		part /= 10
		if frac[digit] < '0' || frac[digit] > '9' {
			return 0, bad
		}
		bps += uint64(frac[digit]-'0') * part
	}
	return bps, nil
}
