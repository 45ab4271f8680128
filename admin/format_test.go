package admin

import (
	"testing"
	"time"

	"enlace/contracts"
)

func TestMoneyAsTyped(t *testing.T) {
	for s, want := range map[string]contracts.Cents{
		"100": 100_00, "100,5": 100_50, "99.90": 99_90, "1.234,50": 1234_50, "1,234.50": 1234_50, "R$ 1.234.567,00": 1234567_00, "1.234": 1234_00,
		" 0,05 ": 5,
	} {
		if got, err := parseMoney("amount", s); err != nil || got != want {
			t.Errorf("parseMoney(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "abc", "1.23.4", "12,345,6", "1..2", "1,2345", "99999999999999999", "1e3", "--1", "R$"} {
		if got, err := parseMoney("amount", s); err == nil {
			t.Errorf("parseMoney(%q) = %d, want an error", s, got)
		}
	}
}

func TestRateAsTyped(t *testing.T) {
	for s, want := range map[string]uint64{"500M": 500e6, "1G": 1e9, "1.5G": 1.5e9, "640k": 640e3, "64000": 64000, "2,5 m": 2.5e6} {
		if got, err := parseRate("down", s); err != nil || got != want {
			t.Errorf("parseRate(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "M", "-1M", "1.5", "99999999999G", "1.x5M", "1e9"} {
		if got, err := parseRate("down", s); err == nil {
			t.Errorf("parseRate(%q) = %d, want an error", s, got)
		}
	}
}

func TestFormats(t *testing.T) {
	sp, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 12, 31, 2, 30, 15, 0, time.UTC)
	en, pt := &page{lang: contracts.English, zone: sp}, &page{lang: contracts.Portuguese, zone: sp}
	for _, c := range [][2]string{
		{en.Money(1234_50), "R$ 1,234.50"}, {pt.Money(1234_50), "R$ 1.234,50"},
		{en.Date(contracts.NewDate(2026, 3, 1)), "2026-03-01"}, {pt.Date(contracts.NewDate(2026, 3, 1)), "01/03/2026"}, {pt.Date(0), "–"},
		{en.Second(at, nil), "2026-12-30 23:30:15"}, {pt.Instant(at, time.UTC), "31/12/2026 02:30"},
		{en.Bytes(1536), "1.5 KiB"}, {pt.Bytes(3 << 30), "3,0 GiB"}, {en.Bytes(12), "12 B"}, {en.Bytes(1 << 63), "8.0 EiB"},
		{en.Number(1234567), "1,234,567"}, {pt.Number(1234567), "1.234.567"}, {pt.Number(0), "0"},
		{duration(59 * time.Second), "59 s"}, {duration(26 * time.Hour), "1 d 2 h"}, {duration(61 * time.Minute), "1 h 01 min"}, {duration(200 * time.Second), "3 min"}, {duration(-time.Second), "0 s"},
		{rates(contracts.Profile{DownBps: 500e6, UpBps: 250e6}), "500M / 250M"},
	} {
		if c[0] != c[1] {
			t.Errorf("got %q, want %q", c[0], c[1])
		}
	}
}
