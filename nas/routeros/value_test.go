package routeros

import (
	"testing"
	"time"

	"enlace/contracts"
)

func TestSpan(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"300ms": 300 * time.Millisecond, "3s": 3 * time.Second, "1s100ms": 1100 * time.Millisecond, "5m": 5 * time.Minute, "0s": 0,
		"3w4d12h23m12s": 25*24*time.Hour + 12*time.Hour + 23*time.Minute + 12*time.Second,
		"00:05:00":      5 * time.Minute, "1d02:15:30": 26*time.Hour + 15*time.Minute + 30*time.Second,
	} {
		if got, ok := span(s); !ok || got != want {
			t.Errorf("%q: %s, %t; want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "x", "5", "5y", "1:2:3:4", "-1s", "s", "1::2"} {
		if got, ok := span(s); ok {
			t.Errorf("%q is taken for %s", s, got)
		}
	}
}

func TestRates(t *testing.T) {
	for s, want := range map[string]contracts.Profile{
		"10M/50M":                         {UpBps: 10e6, DownBps: 50e6},
		"10000000/50000000":               {UpBps: 10e6, DownBps: 50e6},
		"512K/2m":                         {UpBps: 512e3, DownBps: 2e6},
		"20M":                             {UpBps: 20e6, DownBps: 20e6},
		"1G/1G":                           {UpBps: 1e9, DownBps: 1e9},
		"10M/50M 20M/100M 8M/40M 10/10 8": {UpBps: 10e6, DownBps: 50e6},
	} {
		if got, err := rates(s); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "/", "x/1M", "1M/", "-1M/1M", "99999999G", "1.5M/1M"} {
		if got, err := rates(s); err == nil {
			t.Errorf("%q is taken for %+v", s, got)
		}
	}
}

func TestValue(t *testing.T) {
	if got := value("enlace-walled"); got != "enlace-walled" {
		t.Error(got)
	}
	if got, want := value("a\"b$c\\d?\x01é"), `"a\"b\$c\\d\?\01\C3\A9"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
