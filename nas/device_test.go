package nas_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"enlace/nas"
)

func valid() nas.Device {
	return nas.Device{Name: "bras", Source: netip.MustParsePrefix("192.0.2.1/32"), Secret: []byte("s3cret"), Dialect: "mikrotik",
		MessageAuthenticator: nas.LearnMA, LimitProxyState: nas.LearnProxyState, InterimSeconds: 300, CommandsPerSecond: 50}
}

func TestDeviceIsKnownBySomething(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*nas.Device)
		ok     bool
	}{
		"by its source":             {func(*nas.Device) {}, true},
		"by its certificate":        {func(d *nas.Device) { d.Source, d.Secret, d.Certificate = netip.Prefix{}, nil, "bras1.example.net" }, true},
		"by both":                   {func(d *nas.Device) { d.Certificate = "bras1.example.net" }, true},
		"by nothing":                {func(d *nas.Device) { d.Source = netip.Prefix{} }, false},
		"a source without a secret": {func(d *nas.Device) { d.Secret, d.Certificate = nil, "bras1" }, false},
		"commands without a secret": {func(d *nas.Device) {
			d.Source, d.Secret, d.Certificate, d.CoA = netip.Prefix{}, nil, "bras1", netip.MustParseAddrPort("192.0.2.1:3799")
		}, false},
		"a certificate with capital letters":      {func(d *nas.Device) { d.Certificate = "Bras1" }, false},
		"the same secret as older one":            {func(d *nas.Device) { d.OlderSecret = []byte("s3cret") }, false},
		"another secret as older one":             {func(d *nas.Device) { d.OlderSecret = []byte("0lder-secret") }, true},
		"a policy on Proxy-State that is no word": {func(d *nas.Device) { d.LimitProxyState = "perhaps" }, false},
	} {
		d := valid()
		c.change(&d)
		if err := d.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCertificateIdentity(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	colons := strings.ToUpper(strings.TrimSuffix(strings.Repeat("ab:", 32), ":"))
	for in, want := range map[string]string{
		"": "", " Bras1.Example.NET ": "bras1.example.net", "bras_1": "bras_1", sum: "sha256:" + sum, "sha256:" + sum: "sha256:" + sum, "SHA256:" + colons: "sha256:" + sum, colons: "sha256:" + sum,
	} {
		if got, err := nas.CertificateIdentity(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"*.example.net", "a b", "a..b", "sha256:abcd", "sha256:" + sum[2:], "brás", ".", strings.Repeat("g", 64), "cn=bras1"} {
		if got, err := nas.CertificateIdentity(in); err == nil {
			t.Errorf("%q is taken as %q", in, got)
		}
	}
}

func TestChangeSecret(t *testing.T) {
	d := valid()
	d.ChangeSecret(nil, true)
	if string(d.Secret) != "s3cret" || d.OlderSecret != nil {
		t.Errorf("no new secret: %q, %q", d.Secret, d.OlderSecret)
	}
	d.ChangeSecret([]byte("second"), true)
	if string(d.Secret) != "second" || string(d.OlderSecret) != "s3cret" {
		t.Errorf("keeping: %q, %q", d.Secret, d.OlderSecret)
	}
	was := valid()
	if !d.SharesSecret(&was) || !was.SharesSecret(&d) {
		t.Error("a rotation shares no secret with what was")
	}
	d.ChangeSecret([]byte("third!"), false)
	if string(d.Secret) != "third!" || d.OlderSecret != nil || d.SharesSecret(&was) {
		t.Errorf("not keeping: %q, %q", d.Secret, d.OlderSecret)
	}
}

func TestAdvice(t *testing.T) {
	at := time.Unix(1e9, 0)
	for _, c := range []struct {
		o         nas.Observation
		ma, proxy nas.Advice
	}{
		{nas.Observation{}, nas.NothingSeen, nas.NothingSeen},
		{nas.Observation{Signed: 99}, nas.TooFew, nas.TooFew},
		{nas.Observation{Signed: 100}, nas.Safe, nas.Safe},
		{nas.Observation{Signed: 12345, Unsigned: 1, LastUnsigned: at}, nas.NotYet, nas.Safe},
		{nas.Observation{Unsigned: 3, UnsignedProxied: 1}, nas.NotYet, nas.NotYet},
		{nas.Observation{Signed: 60}.Plus(nas.Observation{Signed: 40, LastUnsigned: at}), nas.Safe, nas.Safe},
	} {
		if ma, proxy := c.o.RequireMA(), c.o.ForbidProxyState(); ma != c.ma || proxy != c.proxy {
			t.Errorf("%+v: %s and %s, want %s and %s", c.o, ma, proxy, c.ma, c.proxy)
		}
	}
}
