package radius

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"enlace/contracts"
	"enlace/nas"
)

// A pool that gets another range while logins go on loses nothing of what was lent, nor that it is to be recorded.
func TestAPoolGrowsWhileItLends(t *testing.T) {
	small := nas.Pool{ID: 1, Name: "p", Bits: 32, Ranges: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/20")}}
	for range 50 {
		l := NewLeases(leaseMargin*10, 0, NewSessions())
		l.SetPools([]nas.Pool{small})
		p := l.pool(1)
		for place := range uint32(400) {
			p.reserve = append(p.reserve, place)
		}
		p.reserveUntil = t0.Add(time.Hour)
		var mu sync.Mutex
		lent := map[contracts.AccessID]netip.Prefix{}
		var lending sync.WaitGroup
		begin := make(chan struct{})
		for g := range contracts.AccessID(4) {
			lending.Go(func() {
				<-begin
				for i := range contracts.AccessID(100) {
					s := &Subscriber{Access: g*1000 + i, Login: "ana"}
					if prefix, verdict := l.Lend(1, s, []byte("mac"), t0); verdict == Lent {
						mu.Lock()
						lent[s.Access] = prefix
						mu.Unlock()
					} else if verdict == PoolExhausted {
						t.Error("the pool is said to be exhausted")
					}
				}
			})
		}
		close(begin)
		large := small
		for n := range byte(100) {
			large.Ranges = append(large.Ranges[:n+1:n+1], netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 65, n, 0}), 24))
			l.SetPools([]nas.Pool{large})
		}
		lending.Wait()
		p = l.pool(1)
		for access, prefix := range lent {
			key := leaseKey{access, 0}
			have, ok := p.shard(access).by[key]
			if _, noted := p.dirty[key]; !ok || p.At(have.place) != prefix || !noted {
				t.Fatalf("access %d was lent %s; it is known %v, as %s, to be recorded %v", access, prefix, ok, p.At(have.place), noted)
			}
		}
		if n := len(p.reserve) + len(lent); n != 400 {
			t.Fatalf("of 400 places %d are in reserve or lent", n)
		}
	}
}

// A walled login is lent nothing that its service does not let it use: an address beside the garden's own pool, a prefix
// where IPv6 cannot be walled.
func TestAWalledLoginTakesNoLeaseThatItCannotUse(t *testing.T) {
	for _, c := range []struct {
		dialect, pool string
		want          string // of what the login that has it all and the walled one are lent
	}{
		{"accel-ppp", "garden", "ana@isp v4, ana@isp v6"},
		{"accel-ppp", "", "ana@isp v4, ana@isp v6, eva v4, eva v6"},
		{"mikrotik", "", "ana@isp v4, ana@isp v6, eva v4"},
	} {
		config := doorConfig()
		device := doorDevice()
		device.Dialect, device.IPv4Pool, device.DelegatedPool = c.dialect, 1, 2
		config.Garden.Pool = c.pool
		config.Devices = NewDeviceTable(nas.NewDialects(config.Garden), []nas.Device{device})
		config.Leases = NewLeases(time.Hour, 0, NewSessions())
		config.Leases.SetPools([]nas.Pool{{ID: 1, Name: "v4", Bits: 32, Ranges: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/24")}},
			{ID: 2, Name: "v6", Bits: 56, Ranges: []netip.Prefix{netip.MustParsePrefix("2001:db8::/48")}}})
		for _, p := range *config.Leases.pools.Load() {
			p.reserve, p.reserveUntil = []uint32{1, 2, 3, 4}, doorNow.Add(time.Hour)
		}
		w := newHandler(t, config)
		for _, login := range []string{"ana@isp", "eva"} {
			if code := layeh.Code(at(w.give(request(t, user(login), pap("secret-"+login))), 0)); code != layeh.CodeAccessAccept {
				t.Fatalf("%s, pool %q: %s gets %v", c.dialect, c.pool, login, code)
			}
		}
		var lent []string
		for l := range config.Leases.All {
			for _, login := range []string{"ana@isp", "eva"} {
				if config.Directory.Lookup([]byte(login)).Access == l.Access {
					lent = append(lent, login+" v"+map[bool]string{true: "4", false: "6"}[l.Prefix.Addr().Is4()])
				}
			}
		}
		slices.Sort(lent)
		if got := strings.Join(lent, ", "); got != c.want {
			t.Errorf("%s, pool of the garden %q: lent are %s; want %s", c.dialect, c.pool, got, c.want)
		}
	}
}
