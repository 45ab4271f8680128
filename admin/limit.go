package admin

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter allows so many attempts for each key, and remembers the keys used most recently.
type limiter struct {
	mu    sync.Mutex
	every time.Duration
	burst int
	size  int
	order *list.List // of *limited, most recent first
	byKey map[string]*list.Element
}

type limited struct {
	key string
	lim *rate.Limiter
}

func newLimiter(every time.Duration, burst, size int) *limiter {
	return &limiter{every: every, burst: burst, size: size, order: list.New(), byKey: map[string]*list.Element{}}
}

// network is what an address is limited by: itself, or the /64 that a host of IPv6 has all addresses of.
func network(host string) string {
	a, err := netip.ParseAddr(host)
	if err != nil || a.Unmap().Is4() {
		return host
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().String()
}

// allow takes one attempt of the key at an instant of the real clock.
func (l *limiter) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key]
	if ok {
		l.order.MoveToFront(e)
	} else {
		e = l.order.PushFront(&limited{key, rate.NewLimiter(rate.Every(l.every), l.burst)})
		l.byKey[key] = e
		if l.order.Len() > l.size {
			last := l.order.Back()
			delete(l.byKey, last.Value.(*limited).key)
			l.order.Remove(last)
		}
	}
	return e.Value.(*limited).lim.AllowN(now, 1)
}
