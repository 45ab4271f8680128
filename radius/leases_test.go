package radius

import (
	"net/netip"
	"sync"
	"testing"

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
		p.reserveUntil = t0.Add(reserveFor)
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
