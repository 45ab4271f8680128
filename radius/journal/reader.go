package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ErrClosed ends a Reader that has read everything of a closed journal.
var ErrClosed = errors.New("the journal is closed")

// Start is where reading begins for a cursor that was kept elsewhere. kept is false when the cursor does not lie in
// this journal (its segment was moved aside, or the folder is not the one that the cursor was kept for): then Start is
// before the oldest record that might not have been read.
func (j *Journal) Start(c Cursor) (start Cursor, kept bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := Cursor{j.segments[0].number, int64(headerBytes)}
	if c == (Cursor{}) {
		return oldest, true
	}
	for _, s := range j.segments {
		switch {
		case s.number == c.Segment && c.Offset >= int64(headerBytes) && c.Offset <= s.end:
			return c, true
		case s.number > c.Segment:
			return Cursor{s.number, int64(headerBytes)}, false
		}
	}
	return oldest, false
}

// End is after the last durable record.
func (j *Journal) End() Cursor {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := j.segments[len(j.segments)-1]
	return Cursor{last.number, last.end}
}

// Drained says that records before c are kept elsewhere and that nobody will read them. Of the segments that hold no
// others one is kept to be written again, and the rest is deleted. A closed journal deletes nothing: its folder may be
// another's.
func (j *Journal) Drained(c Cursor) error {
	j.tidying.Lock()
	defer j.tidying.Unlock()
	j.mu.Lock()
	if j.drained.Before(c) {
		j.drained = c
	}
	var gone []segment
	for j.told != nil && len(j.segments) > 1 && j.segments[0].number < j.drained.Segment {
		gone = append(gone, j.segments[0])
		j.segments = append(j.segments[:0:0], j.segments[1:]...)
	}
	j.mu.Unlock()
	for _, s := range gone {
		if err := j.spare.keepOrRemove(segmentPath(j.cfg.Dir, s.number)); err != nil {
			return fmt.Errorf("deleting a drained segment: %w", err)
		}
	}
	return nil
}

// Backlog is how many durable bytes lie after the last Drained.
func (j *Journal) Backlog() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := int64(j.behind.bytes)
	for _, s := range j.segments {
		switch {
		case s.number > j.drained.Segment:
			n += s.end - int64(headerBytes)
		case s.number == j.drained.Segment:
			n += s.end - j.drained.Offset
		}
	}
	return n
}

// Size is how many durable bytes the journal's files hold.
func (j *Journal) Size() (n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		n += s.end
	}
	return n
}

// Free is how many bytes the journal's file system has left for this process; -1 when it does not say.
func (j *Journal) Free() int64 {
	var fs unix.Statfs_t
	if err := unix.Statfs(j.cfg.Dir, &fs); err != nil {
		return -1
	}
	return int64(fs.Bavail) * fs.Bsize
}

// Reader reads durable records in order, also those still to come. It is for one goroutine.
type Reader struct {
	j    *Journal
	at   Cursor
	file *os.File // of segment at.Segment
	buf  []byte   // bytes of the file from at.Offset on are buf[used:]
	used int
}

const readAhead = 256 << 10

// NewReader reads from a cursor that Start gave.
func (j *Journal) NewReader(from Cursor) *Reader { return &Reader{j: j, at: from} }

// Cursor is after the record that Next returned last.
func (r *Reader) Cursor() Cursor { return r.at }

// Skip goes on to a place that lies further on.
func (r *Reader) Skip(to Cursor) {
	if to.Segment != r.at.Segment {
		r.Close()
	}
	r.buf, r.used, r.at = r.buf[:0], 0, to
}

// Close lets go of the file.
func (r *Reader) Close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Next waits for the next durable record. The payload is valid until the next call. The error is the context's,
// ErrClosed, or wraps ErrCorrupt.
func (r *Reader) Next(ctx context.Context) ([]byte, error) {
	for {
		payload, told, err := r.next()
		if payload != nil || err != nil {
			return payload, err
		}
		select {
		case <-told:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryNext is Next when a record is there, and nil without an error when there is none yet.
func (r *Reader) TryNext() ([]byte, error) {
	payload, _, err := r.next()
	return payload, err
}

// next gives the next record, or what to wait for.
func (r *Reader) next() ([]byte, <-chan struct{}, error) {
	for {
		s, following, told := r.j.reach(r.at.Segment)
		switch {
		case r.at.Offset < s.end:
			payload, err := r.read(s)
			if err != nil {
				r.j.m.errors.WithLabelValues("read").Inc()
			}
			return payload, nil, err
		case following != 0:
			r.Close()
			r.buf, r.used = r.buf[:0], 0
			r.at = Cursor{following, int64(headerBytes)}
		case told == nil:
			return nil, nil, ErrClosed
		default:
			return nil, told, nil
		}
	}
}

// reach tells of a segment how far it is durable, which segment follows (0: none yet), and what to wait for when that is not
// enough (nil: the journal is closed).
func (j *Journal) reach(number int64) (of segment, following int64, told <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, s := range j.segments {
		if s.number > number {
			return of, s.number, j.told
		}
		if s.number == number {
			if i+1 < len(j.segments) {
				following = j.segments[i+1].number
			}
			return s, following, j.told
		}
	}
	return of, 0, j.told
}

// read takes the record at the cursor from its segment.
func (r *Reader) read(s segment) ([]byte, error) {
	for {
		payload, need, err := parseFrame(r.buf[r.used:], s.seed)
		if err == nil && need > 0 && r.at.Offset+int64(need) > s.end {
			err = errors.New("a record that is cut off")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w at byte %d", ErrCorrupt, segmentPath(r.j.cfg.Dir, r.at.Segment), err, r.at.Offset)
		}
		if need == 0 {
			r.used += frameBytes + len(payload)
			r.at.Offset += int64(frameBytes + len(payload))
			return payload, nil
		}
		if err := r.fill(s.end); err != nil {
			return nil, err
		}
	}
}

// fill reads more of the file behind what is buffered.
func (r *Reader) fill(end int64) error {
	if r.file == nil {
		f, err := os.Open(segmentPath(r.j.cfg.Dir, r.at.Segment))
		if err != nil {
			return fmt.Errorf("reading the journal: %w", err)
		}
		r.file = f
	}
	if r.buf == nil {
		r.buf = make([]byte, 0, readAhead)
	}
	have := copy(r.buf, r.buf[r.used:])
	r.buf, r.used = r.buf[:have], 0
	from := r.at.Offset + int64(have)
	want := min(int64(cap(r.buf)-have), end-from)
	n, err := r.file.ReadAt(r.buf[have:have+int(want)], from)
	r.buf = r.buf[:have+n]
	if n == 0 && want > 0 {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: %s: reading byte %d: %w", ErrCorrupt, segmentPath(r.j.cfg.Dir, r.at.Segment), from, err)
	}
	return nil
}
