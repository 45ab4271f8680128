package radius

import (
	"sync"

	"enlace/radius/journal"
)

// parcel is records as they were read from a journal, without gaps.
type parcel struct {
	from    Cursor // before the first
	records []Record
	after   []Cursor // after[i] is the place after records[i]
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

func newParcel(d *journal.Durable) *parcel {
	p := parcels.Get().(*parcel)
	p.from = d.From
	return p
}

func (p *parcel) add(r Record, after Cursor) {
	p.records, p.after = append(p.records, r), append(p.after, after)
}

func (p *parcel) to() Cursor { return p.after[len(p.after)-1] }

// free gives the parcel's memory back.
func (p *parcel) free() {
	if cap(p.records) > parcelsMost {
		return
	}
	clear(p.records)
	p.records, p.after = p.records[:0], p.after[:0]
	parcels.Put(p)
}

// parcelsMost bounds the records that wait in memory for the drain. Those beyond it are read from the journal.
const parcelsMost = 2 * batchRecords

// letterbox is where parcels wait for the drain, in the order of the journal.
type letterbox struct {
	mu      sync.Mutex
	parcels []*parcel
	records int
}

// put adds a parcel, unless there are too many.
func (l *letterbox) put(p *parcel) {
	l.mu.Lock()
	if full := l.records > 0 && l.records+len(p.records) > parcelsMost; full || len(p.records) == 0 {
		l.mu.Unlock()
		p.free()
		return
	}
	l.parcels = append(l.parcels, p)
	l.records += len(p.records)
	l.mu.Unlock()
}

// take gives the parcel that begins at a place, when it is there and readers may see it, and throws away those before it.
// There must be room for its records.
func (l *letterbox) take(at, end Cursor, room int) *parcel {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.parcels) > 0 {
		p := l.parcels[0]
		if at.Before(p.from) || end.Before(p.to()) || p.from == at && len(p.records) > room {
			return nil
		}
		l.parcels[0] = nil
		l.parcels = l.parcels[1:]
		l.records -= len(p.records)
		if p.from == at {
			return p
		}
		p.free()
	}
	return nil
}
