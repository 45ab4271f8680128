package radius

import (
	"slices"
	"sync"
	"time"

	"enlace/nas"
)

// Boots is the newest Accounting-On or -Off of each access server, and of the few that name themselves behind one device.
// The zero value is ready. All methods are safe for concurrent use; Of takes no lock.
type Boots struct {
	noting sync.Mutex
	of     sync.Map // nas.DeviceID -> []NamedBoot, never changed once it is there
}

// NamedBoot is the newest boot of the access server that names itself Identifier (NAS-Identifier; empty: none, which
// stands for the whole device).
type NamedBoot struct {
	Device     nas.DeviceID
	Identifier string
	Boot       Boot
}

// What is remembered of boots.
const (
	BootsMost   = 64             // of one device; beyond them that name which was heard longest ago is forgotten
	BootMatters = 24 * time.Hour // no record from before a boot is expected so long after it
)

// Note takes an Accounting-On or -Off.
func (b *Boots) Note(r *Record) {
	b.Remember(NamedBoot{r.Key.Device, r.NASIdentifier, BootOf(r)})
}

// Remember takes a boot that was known before.
func (b *Boots) Remember(n NamedBoot) {
	b.noting.Lock()
	defer b.noting.Unlock()
	known := slices.Clone(b.listOf(n.Device))
	i := slices.IndexFunc(known, func(o NamedBoot) bool { return o.Identifier == n.Identifier })
	switch {
	case i < 0:
		known = append(known, n)
	case n.Boot.At.After(known[i].Boot.At):
		known[i] = n
	default:
		return
	}
	newest := known[0].Boot.At
	for _, o := range known {
		if o.Boot.At.After(newest) {
			newest = o.Boot.At
		}
	}
	known = slices.DeleteFunc(known, func(o NamedBoot) bool { return newest.Sub(o.Boot.At) > BootMatters })
	if len(known) > BootsMost {
		oldest := -1
		for i, o := range known {
			if o.Identifier != "" && (oldest < 0 || o.Boot.At.Before(known[oldest].Boot.At)) {
				oldest = i
			}
		}
		known = slices.Delete(known, oldest, oldest+1)
	}
	b.of.Store(n.Device, known)
}

func (b *Boots) listOf(d nas.DeviceID) []NamedBoot {
	if l, ok := b.of.Load(d); ok {
		return l.([]NamedBoot)
	}
	return nil
}

// Of is the newest boot of the access server that sent a record; zero when none is known.
func (b *Boots) Of(r *Record) Boot { return b.newest(r.Key.Device, r.NASIdentifier) }

func (b *Boots) newest(d nas.DeviceID, identifier string) (newest Boot) {
	for _, n := range b.listOf(d) {
		if (n.Identifier == "" || n.Identifier == identifier) && n.Boot.At.After(newest.At) {
			newest = n.Boot
		}
	}
	return newest
}

// All yields every boot that is remembered, in no order.
func (b *Boots) All(yield func(NamedBoot) bool) {
	b.of.Range(func(_, l any) bool {
		for _, n := range l.([]NamedBoot) {
			if !yield(n) {
				return false
			}
		}
		return true
	})
}
