package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// spare is the file that the next segment will be written into. All its blocks have been written before, as zeros or as
// an earlier segment: a commit into it changes neither the file's size nor its blocks, and need not wait for the file
// system's own journal. Without it a segment grows as it is written.
type spare struct {
	dir   string
	bytes int64

	mu     sync.Mutex
	file   *os.File // nil: not ready
	room   int64    // its size
	busy   bool     // one is being made
	ended  bool
	tried  int64 // the segment that was being written when one was made last
	making sync.WaitGroup
}

const (
	spareName  = "next"
	spareChunk = 1 << 20 // zeros written at once
	spareRoom  = 4       // spare files that the file system must have room for, or none is made
	pageBytes  = 4096
)

func (s *spare) path() string { return filepath.Join(s.dir, spareName) }

func (s *spare) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file != nil
}

// take gives the file away, nil when there is none. It has its name, and nobody makes another, until it is begun.
func (s *spare) take() (f *os.File, room int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, room = s.file, s.room
	s.file, s.room = nil, 0
	if f != nil {
		s.busy = true
		s.making.Add(1)
	}
	return f, room
}

// begin makes the file that was taken a segment that survives a crash from here on. It has no name of a segment before
// its header is on the disk.
func (s *spare) begin(f *os.File, number, previousEnd int64) error {
	defer s.provide(nil, 0)
	_, err := f.WriteAt(header(number, previousEnd), 0)
	if err == nil {
		err = fdatasync(f)
	}
	if err == nil {
		err = os.Rename(s.path(), segmentPath(s.dir, number))
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		f.Close()
		_ = os.Remove(s.path())
		_ = os.Remove(segmentPath(s.dir, number))
	}
	return err
}

// claim is the right to make the file; false when there is one or somebody else is at it.
func (s *spare) claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil || s.busy || s.ended {
		return false
	}
	s.busy = true
	s.making.Add(1)
	return true
}

// provide ends what claim or take began; f is nil when there is none for the next segment.
func (s *spare) provide(f *os.File, room int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.room, s.busy = f, room, false
	s.making.Done()
}

// prepare has a file made in the background, once for each segment that is being written. A file system that is nearly
// full is left alone.
func (s *spare) prepare(segment int64, failed func(error)) {
	if s.tried == segment || !s.claim() {
		return
	}
	s.tried = segment
	go func() {
		f, err := s.fill()
		if err != nil {
			failed(err)
		}
		s.provide(f, s.bytes)
	}()
}

// fill makes a file of zeros that are on the disk; nil when there is no room, or no need any more.
func (s *spare) fill() (*os.File, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err == nil && int64(fs.Bavail)*fs.Bsize < spareRoom*s.bytes {
		return nil, nil
	}
	f, err := os.OpenFile(s.path(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, min(spareChunk, s.bytes))
	for at := int64(0); at < s.bytes && err == nil && !s.over(); at += int64(len(zeros)) {
		// One chunk at a time, so that the commits of the journal do not wait behind all of it.
		if _, err = f.WriteAt(zeros[:min(int64(len(zeros)), s.bytes-at)], at); err == nil {
			err = fdatasync(f)
		}
	}
	if err != nil || s.over() {
		f.Close()
		_ = os.Remove(s.path())
		return nil, err
	}
	return f, nil
}

func (s *spare) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// keepOrRemove takes a segment that nobody needs any more for the spare file, if there is none and it has its size, and
// removes it otherwise.
func (s *spare) keepOrRemove(segment string) error {
	if info, err := os.Stat(segment); err == nil && info.Size() >= s.bytes && info.Size() < 2*s.bytes && s.claim() {
		f, err := s.keep(segment)
		s.provide(f, info.Size())
		return err
	}
	if err := os.Remove(segment); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// keep makes a segment the spare file. That it has lost its name is on the disk before anything is written to it: under
// its old name it must never be found with a new content.
func (s *spare) keep(segment string) (*os.File, error) {
	if err := os.Rename(segment, s.path()); err != nil {
		return nil, err
	}
	err := syncDir(s.dir)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(s.path(), os.O_WRONLY, 0); err == nil {
			return f, nil
		}
	}
	_ = os.Remove(s.path())
	return nil, err
}

// discard lets the file go; none is made any more.
func (s *spare) discard() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.making.Wait()
	if s.file != nil {
		s.file.Close()
		s.file = nil
		_ = os.Remove(s.path())
	}
}

var zeros [pageBytes]byte

// padded is frames that end at a place in a file, followed by zeros up to the end of the page where the file has room for
// them: a page that is written whole need not be read first.
func padded(frames []byte, end, room int64) []byte {
	n := -end & (pageBytes - 1)
	if end+n > room {
		return frames
	}
	return append(frames, zeros[:n]...)
}
