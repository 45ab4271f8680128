package admin

import "testing"

func TestLimitedNetworks(t *testing.T) {
	for host, want := range map[string]string{"203.0.113.9": "203.0.113.9", "::ffff:203.0.113.9": "::ffff:203.0.113.9", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "@": "@"} {
		if got := network(host); got != want {
			t.Errorf("%q is limited as %q, not %q", host, got, want)
		}
	}
}
