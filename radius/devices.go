package radius

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"enlace/nas"
)

// DeviceTable finds the access server that a packet comes from. It is read without locks and replaced whole.
type DeviceTable struct {
	set     sync.Mutex // one Set at a time
	current atomic.Pointer[deviceSnapshot]
}

type deviceSnapshot struct {
	exact    map[netip.Addr]*device
	prefixes []*device // longest first
}

// device is a nas.Device with everything that a packet needs worked out ahead.
type device struct {
	nas.Device
	secret  secret
	dialect *nas.Dialect // nil when the name is unknown
	learned *atomic.Bool // has sent a valid Message-Authenticator
	series  atomic.Pointer[deviceSeries]
}

// NewDeviceTable is a table of the given devices.
func NewDeviceTable(devices []nas.Device) *DeviceTable {
	t := &DeviceTable{}
	t.current.Store(&deviceSnapshot{})
	t.Set(devices)
	return t
}

// Set replaces the devices. What a device with the same ID and secret has been seen to send stays learned.
func (t *DeviceTable) Set(devices []nas.Device) {
	t.set.Lock()
	defer t.set.Unlock()
	old := map[nas.DeviceID]*device{}
	for d := range t.current.Load().all {
		old[d.ID] = d
	}
	next := &deviceSnapshot{exact: make(map[netip.Addr]*device, len(devices))}
	for _, n := range devices {
		d := &device{Device: n, secret: newSecret(n.Secret), dialect: nas.DialectByName(n.Dialect), learned: new(atomic.Bool)}
		if o := old[n.ID]; o != nil && slices.Equal(o.Secret, n.Secret) {
			d.learned = o.learned
		}
		source := unmapPrefix(n.Source)
		if source.IsSingleIP() {
			next.exact[source.Addr()] = d
			continue
		}
		d.Source = source
		next.prefixes = append(next.prefixes, d)
	}
	slices.SortStableFunc(next.prefixes, func(a, b *device) int { return cmp.Compare(b.Source.Bits(), a.Source.Bits()) })
	t.current.Store(next)
}

func (s *deviceSnapshot) all(yield func(*device) bool) {
	for _, d := range s.exact {
		if !yield(d) {
			return
		}
	}
	for _, d := range s.prefixes {
		if !yield(d) {
			return
		}
	}
}

// Lookup is the device whose source is this address: an exact address before a prefix, a longer prefix before a
// shorter; nil when there is none. An IPv4 address written as IPv6 counts as IPv4.
func (t *DeviceTable) Lookup(source netip.Addr) *nas.Device {
	if d := t.lookup(source.Unmap()); d != nil {
		return &d.Device
	}
	return nil
}

func (t *DeviceTable) lookup(source netip.Addr) *device {
	s := t.current.Load()
	source = source.WithZone("")
	if d := s.exact[source]; d != nil {
		return d
	}
	for _, d := range s.prefixes {
		if d.Source.Contains(source) {
			return d
		}
	}
	return nil
}

func unmapPrefix(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p
}
