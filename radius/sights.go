package radius

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enlace/nas"
)

// sights counts what is seen in a device's accounting and is not stored yet.
type sights [nas.Sights]struct {
	n         atomic.Uint64
	value, at atomic.Int64 // of the latest; at in Unix microseconds
}

func (s *sights) saw(x nas.Sight, n uint64, value int64, at time.Time) {
	if n == 0 {
		return
	}
	s[x].value.Store(value)
	s[x].at.Store(at.UnixMicro())
	s[x].n.Add(n)
}

// Dialect of that name, nil where there is none.
func (t *DeviceTable) Dialect(name string) *nas.Dialect { return t.dialects.Named(name) }

// Saw counts a sight of a device, n times, the latest at an instant with a value.
func (t *DeviceTable) Saw(id nas.DeviceID, x nas.Sight, n uint64, value int64, at time.Time) {
	if d := t.current.Load().byID[id]; d != nil {
		d.watch.sights.saw(x, n, value, at)
	}
}

// Sightings is what was seen of the devices' accounting and is not stored yet; devices without news are left out.
func (t *DeviceTable) Sightings() map[nas.DeviceID]nas.Sightings {
	news := map[nas.DeviceID]nas.Sightings{}
	for id, d := range t.current.Load().byID {
		for x := range nas.Sight(nas.Sights) {
			c := &d.watch.sights[x]
			n := c.n.Load()
			if n == 0 {
				continue
			}
			if news[id] == nil {
				news[id] = nas.Sightings{}
			}
			news[id][x] = nas.Seen{N: int64(n), Value: c.value.Load(), At: time.UnixMicro(c.at.Load()).UTC()}
		}
	}
	return news
}

// SightingsStored tells the table that sightings of a device have become part of what is stored.
func (t *DeviceTable) SightingsStored(id nas.DeviceID, seen nas.Sightings) {
	if d := t.current.Load().byID[id]; d != nil {
		for x, s := range seen {
			d.watch.sights[x].n.Add(-uint64(s.N))
		}
	}
}

// apply merges a record into the table of sessions, and notes how its device accounts. datagram is the record as it came.
func (t *DeviceTable) apply(datagram []byte, r *Record, sessions *Sessions) {
	d := t.current.Load().byID[r.Key.Device]
	if d == nil {
		sessions.Apply(r)
		return
	}
	s := &d.watch.sights
	saw := func(x nas.Sight, value int64) { s.saw(x, 1, value, r.Received) }
	switch r.Kind {
	case KindOn, KindOff:
		saw(either(r.Kind == KindOn, nas.SawOn, nas.SawOff), 0)
		sessions.Apply(r)
		return
	case KindStart, KindStop:
		before, known := sessions.last(r.Key)
		change := sessions.Apply(r)
		switch {
		case r.Kind == KindStart && change == Opened:
			saw(either(known, nas.SawIDAgain, nas.SawIDNew), 0)
		case r.Kind == KindStop:
			saw(either(known && before.ClosedBy == ClosedByStop && before.age(r) == 0, nas.SawStopAgain, nas.SawStopOnce), 0)
		}
	case KindInterim:
		sessions.Apply(r)
	default:
		sessions.Apply(r)
		return
	}
	if r.Kind != KindStart {
		if after, known := sessions.last(r.Key); known {
			d.sawSession(s, &after, r)
		}
	}
	t.sawRecord(d, datagram, r)
}

func either(yes bool, a, b nas.Sight) nas.Sight {
	if yes {
		return a
	}
	return b
}

// last is the latest session of a key, open or not.
func (t *Sessions) last(key nas.SessionKey) (s Session, known bool) {
	sh := t.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if l := sh.byKey[key]; len(l) > 0 {
		return l[len(l)-1], true
	}
	return s, false
}

// Mark has the next record of a session tell whether its device gives back the Class of a CoA-Request that it was sent,
// which nas.Cookie.AppendMarked wrote.
func (t *DeviceTable) Mark(key nas.SessionKey) {
	t.marks.Store(key, struct{}{})
	t.anyMarks.Store(true)
}

// unmark reports whether a session was marked until now.
func (t *DeviceTable) unmark(key nas.SessionKey) bool {
	if !t.anyMarks.Load() {
		return false
	}
	_, ok := t.marks.LoadAndDelete(key)
	return ok
}

// sawSession notes what only a session's course shows: how far apart its records come, and counters that wrapped.
func (d *device) sawSession(s *sights, after *Session, r *Record) {
	if every := after.interval(); every > 0 && r.Kind == KindInterim && after.Heard == r.sent().Unix() {
		asked := time.Duration(d.InterimSeconds) * time.Second // and up to a tenth more
		kept := every >= asked*8/10 && every <= asked*13/10
		s.saw(either(kept, nas.SawInterimKept, nas.SawInterimOther), 1, int64(every/time.Second), r.Received)
	}
	if r.Input.Wide || r.Output.Wide {
		s.saw(nas.SawGigawords, 1, 0, r.Received)
		return
	}
	wrapped := func(base uint64, o Octets) bool { return base >= wrap && base%wrap == 0 && o.Known }
	if wrapped(after.InputBase, r.Input) || wrapped(after.OutputBase, r.Output) {
		s.saw(nas.SawWrap, 1, 0, r.Received)
	}
}

// sawRecord notes the form of a record.
func (t *DeviceTable) sawRecord(d *device, datagram []byte, r *Record) {
	v, err := ParseView(datagram)
	if err != nil {
		return // it was read before
	}
	s := &d.watch.sights
	saw := func(x nas.Sight, value int64) { s.saw(x, 1, value, r.Received) }
	var class []byte
	classes, delayed, stamped := 0, false, false
	var stamp int64
	v.Each(func(t byte, value []byte) bool {
		switch t {
		case attrClass:
			class = value
			classes++
		case acctDelayTime:
			delayed = true
		case acctEventTimestamp:
			if len(value) == 4 {
				stamped, stamp = true, int64(binary.BigEndian.Uint32(value))
			}
		}
		return true
	})
	saw(idForm(r.Key.ID), int64(len(r.Key.ID)))
	var room [64]byte
	taken := classes > 0 && bytes.Equal(r.Cookie.AppendMarked(room[:0]), class)
	if t.unmark(r.Key) {
		saw(either(taken, nas.SawClassTaken, nas.SawClassKept), 0)
	}
	switch {
	case classes == 1 && taken:
		saw(nas.SawClassEcho, 0)
	case classes == 0:
		saw(nas.SawClassNone, 0)
	case classes > 1:
		saw(nas.SawClassSeveral, 0)
	case r.Cookie != (nas.Cookie{}) && bytes.Equal(r.Cookie.Append(room[:0]), class):
		saw(nas.SawClassEcho, 0)
	default:
		saw(nas.SawClassAltered, 0)
	}
	saw(either(delayed, nas.SawDelay, nas.SawNoDelay), 0)
	if off := stamp - r.sent().Unix(); !stamped {
		saw(nas.SawStampNone, 0)
	} else if away := max(off, -off); away <= 60 {
		saw(nas.SawStampClose, off)
	} else {
		saw(either(away < int64(timestampRange/time.Second), nas.SawStampOff, nas.SawStampWild), off)
	}
	saw(either(len(r.FramedIPv6) > 0, nas.SawIPv6, nas.SawNoIPv6), 0)
	saw(either(len(r.Ports) > 0, nas.SawPorts, nas.SawNoPorts), 0)
}

func idForm(id string) nas.Sight {
	form := nas.SawIDHex
	for _, c := range []byte(id) {
		switch {
		case c < ' ' || c > '~':
			return nas.SawIDBytes
		case (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F'):
			form = nas.SawIDText
		}
	}
	return form
}

var regressionDesc = prometheus.NewDesc("enlace_device_regression",
	"1 while a check that a device had passed is failed and nobody has acknowledged that.", []string{"device", "check"}, nil)

// Regressions exports the checks of every device, so that an alert has a series to look at before something happens.
func (t *DeviceTable) Regressions() prometheus.Collector { return regressions{t} }

type regressions struct{ table *DeviceTable }

func (c regressions) Describe(out chan<- *prometheus.Desc) { out <- regressionDesc }

func (c regressions) Collect(out chan<- prometheus.Metric) {
	for _, d := range c.table.current.Load().byID {
		for _, check := range nas.Checks {
			f := d.Conformance.Of(check)
			value := 0.0
			if f.Regressed() {
				value = 1
			}
			out <- prometheus.MustNewConstMetric(regressionDesc, prometheus.GaugeValue, value, d.Name, string(check))
		}
	}
}
