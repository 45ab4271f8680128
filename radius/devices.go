package radius

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"enlace/nas"
)

// DeviceTable finds the access server that a packet comes from. It is read without locks and replaced whole.
type DeviceTable struct {
	dialects *nas.Dialects
	set      sync.Mutex // one Set at a time
	current  atomic.Pointer[deviceSnapshot]
	marks    sync.Map    // nas.SessionKey: sessions that a probe sent another Class
	anyMarks atomic.Bool // there has been one
}

type deviceSnapshot struct {
	exact         map[netip.Addr]*device
	prefixes      []*device // longest first
	byID          map[nas.DeviceID]*device
	byCertificate map[string]*device // as they are over RadSec
}

// device is a nas.Device with everything that a packet needs worked out ahead.
type device struct {
	nas.Device
	secret  secret
	older   *secret // accepted too; nil when there is none
	dialect *nas.Dialect
	watch   *watch
	sharing []*device // all devices of this source, this one included, where there are several
	series  atomic.Pointer[deviceSeries]
}

// NewDeviceTable is a table of the given devices, which speak dialects of that set.
func NewDeviceTable(dialects *nas.Dialects, devices []nas.Device) *DeviceTable {
	t := &DeviceTable{dialects: dialects}
	t.current.Store(&deviceSnapshot{})
	t.Set(devices)
	return t
}

// Set replaces the devices. What was learned of a device stays, unless it is to be observed anew or shares no secret
// with what it was.
func (t *DeviceTable) Set(devices []nas.Device) {
	t.set.Lock()
	defer t.set.Unlock()
	old := t.current.Load()
	next := &deviceSnapshot{exact: make(map[netip.Addr]*device, len(devices)), byID: make(map[nas.DeviceID]*device, len(devices)),
		byCertificate: map[string]*device{}}
	for _, n := range devices {
		d := newDevice(n, t.dialects, old.byID[n.ID])
		next.byID[d.ID] = d
		if d.Certificate != "" {
			next.byCertificate[d.Certificate] = d.overRadSec()
		}
		if d.Source.IsValid() {
			next.place(d)
		}
	}
	slices.SortStableFunc(next.prefixes, func(a, b *device) int { return cmp.Compare(b.Source.Bits(), a.Source.Bits()) })
	t.current.Store(next)
}

// newDevice works out what packets need; was is the same device under its former settings, or nil.
func newDevice(n nas.Device, dialects *nas.Dialects, was *device) *device {
	n.Source = unmapPrefix(n.Source)
	d := &device{Device: n, secret: newSecret(n.Secret), dialect: dialects.Named(n.Dialect)}
	if was != nil && was.Observed.Since.Equal(n.Observed.Since) && n.SharesSecret(&was.Device) {
		d.watch = was.watch
		d.watch.rest(n.Observed)
	} else {
		d.watch = newWatch(n.Observed)
	}
	if n.OlderSecret != nil {
		older := newSecret(n.OlderSecret)
		d.older = &older
		if was != nil && bytes.Equal(was.Secret, n.OlderSecret) && !bytes.Equal(was.Secret, n.Secret) {
			d.watch.proof.Store(uint32(OlderProof)) // the device itself has not been given the new one yet
		}
	}
	return d
}

// radsecSecret is every RadSec connection's shared secret: TLS protects the packets (RFC 6614, section 2.3).
const radsecSecret = "radsec"

// overRadSec is the device as it is on a connection that its certificate made: nothing there is forged or to be learned.
func (d *device) overRadSec() *device {
	s := &device{Device: d.Device, secret: newSecret([]byte(radsecSecret)), dialect: d.dialect, watch: newWatch(nas.Observation{})}
	s.MessageAuthenticator, s.LimitProxyState = nas.OptionalMA, nas.AllowProxyState
	return s
}

// place makes a device known by its source.
func (s *deviceSnapshot) place(d *device) {
	if d.Source.IsSingleIP() {
		if first := s.exact[d.Source.Addr()]; first != nil {
			first.shareWith(d)
			return
		}
		s.exact[d.Source.Addr()] = d
		return
	}
	for _, p := range s.prefixes {
		if p.Source == d.Source {
			p.shareWith(d)
			return
		}
	}
	s.prefixes = append(s.prefixes, d)
}

func (d *device) shareWith(other *device) {
	if d.sharing == nil {
		d.sharing = []*device{d}
	}
	d.sharing = append(d.sharing, other)
}

// named is which of the devices that share a source a packet is from: the one with its NAS-Identifier, else the one
// that has none, else nil. A device that shares its source with no other is the one whatever it calls itself.
func (d *device) named(v View) (found *device) {
	if d.sharing == nil {
		return d
	}
	id, _ := v.Get(attrNASIdentifier)
	for _, s := range d.sharing {
		if s.NASIdentifier == string(id) {
			return s
		}
		if s.NASIdentifier == "" {
			found = s
		}
	}
	return found
}

// inUse is the secret that the device last proved itself with: what a packet is held against first, and what answers one
// that does not show which secret its sender has.
func (d *device) inUse() *secret {
	if d.older != nil && SecretProof(d.watch.proof.Load()) == OlderProof {
		return d.older
	}
	return &d.secret
}

// another is the secret that the device may have instead of s; nil when it has but one.
func (d *device) another(s *secret) *secret {
	if s != d.older {
		return d.older
	}
	return &d.secret
}

// proved notes which secret a packet of the device was made with.
func (d *device) proved(s *secret) {
	if d.older == nil {
		return
	}
	proof := NewerProof
	if s == d.older {
		proof = OlderProof
	}
	if SecretProof(d.watch.proof.Load()) != proof {
		d.watch.proof.Store(uint32(proof))
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

// SecretInUse is which of its secrets a device last proved itself with, where it has two. Commands to it are to be signed
// with the older one while that is the one it uses.
func (t *DeviceTable) SecretInUse(id nas.DeviceID) SecretProof {
	d := t.current.Load().byID[id]
	if d == nil || d.older == nil {
		return NoProof
	}
	return SecretProof(d.watch.proof.Load())
}

func unmapPrefix(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p
}
