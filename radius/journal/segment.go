package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	magic        = "ENLACEJ2"
	magicBefore  = "ENLACEJ1"             // the checksums of its records have no seed
	headerBytes  = len(magic) + 8 + 8 + 4 // magic, number, end of the segment before, CRC-32C of these
	frameBytes   = 8                      // length, CRC-32C
	segmentEnd   = ".seg"
	movedAside   = ".seg.bad"
	maxPayload   = 64 << 10
	scanBuffer   = 1 << 20
	segmentNames = "%012d" + segmentEnd
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is wrapped by the error of Open and of a Reader when acknowledged records cannot be read back.
var ErrCorrupt = errors.New("the journal is corrupt")

// segment is a file of the journal and how far it is good.
type segment struct {
	number int64
	end    int64  // durable bytes, with the header
	seed   uint32 // of the records' checksums
}

// seedOf is what the checksums of a segment's records begin with, so that records which its file held as another
// segment are none of this one. It is 0 only in the form before.
func seedOf(number int64) uint32 {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(number))
	return max(1, crc32.Checksum(b[:], castagnoli))
}

// appendFrame appends a record whose payload is the parts one after the other. It is still to be sealed.
func appendFrame(dst []byte, parts ...[]byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, frameBytes)...)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-frameBytes))
	return dst
}

// sealFrame writes a record's checksum.
func sealFrame(frame []byte, seed uint32) {
	binary.BigEndian.PutUint32(frame[4:], frameSum(frame, seed))
}

// frameSum is the checksum of a whole record. With a seed it is never 0, so that bytes never written are no record.
func frameSum(frame []byte, seed uint32) uint32 {
	sum := crc32.Update(crc32.Update(seed, castagnoli, frame[:4]), castagnoli, frame[frameBytes:])
	if sum == 0 && seed != 0 {
		return 1
	}
	return sum
}

// parseFrame finds the payload at the start of b. need is how many bytes are wanted when b is too short.
func parseFrame(b []byte, seed uint32) (payload []byte, need int, err error) {
	if len(b) < frameBytes {
		return nil, frameBytes, nil
	}
	n := binary.BigEndian.Uint32(b)
	if n > maxPayload {
		return nil, 0, fmt.Errorf("a record of %d bytes", n)
	}
	if len(b) < frameBytes+int(n) {
		return nil, frameBytes + int(n), nil
	}
	b = b[:frameBytes+int(n)]
	if frameSum(b, seed) != binary.BigEndian.Uint32(b[4:]) {
		return nil, 0, errors.New("a record whose checksum is wrong")
	}
	return b[frameBytes:], 0, nil
}

func header(number, previousEnd int64) []byte {
	h := make([]byte, 0, headerBytes)
	h = append(h, magic...)
	h = binary.BigEndian.AppendUint64(h, uint64(number))
	h = binary.BigEndian.AppendUint64(h, uint64(previousEnd))
	return binary.BigEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// parseHeader gives the segment's number and seed, and where the segment before it ends, 0 when there was none.
func parseHeader(h []byte) (s segment, previousEnd int64, ok bool) {
	if len(h) < headerBytes || crc32.Checksum(h[:headerBytes-4], castagnoli) != binary.BigEndian.Uint32(h[headerBytes-4:]) {
		return s, 0, false
	}
	s.number, previousEnd = int64(binary.BigEndian.Uint64(h[8:])), int64(binary.BigEndian.Uint64(h[16:]))
	switch string(h[:len(magic)]) {
	case magic:
		s.seed = seedOf(s.number)
	case magicBefore:
	default:
		return s, 0, false
	}
	return s, previousEnd, true
}

func segmentPath(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf(segmentNames, number))
}

// createSegment makes a segment that survives a crash from here on: header, file and folder are on the disk.
// A file that has this number already holds nothing durable.
func createSegment(dir string, number, previousEnd int64) (*os.File, error) {
	if err := os.Remove(segmentPath(dir, number)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(segmentPath(dir, number), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(header(number, previousEnd)); err == nil {
		if err = f.Sync(); err == nil {
			err = syncDir(dir)
		}
	}
	if err != nil {
		f.Close()
		_ = os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// recoverSegments reads every segment and tells how far each is good. cut is how many bytes a crash had left at the end
// of the last one; they are gone from the file afterwards.
func recoverSegments(dir string) (segments []segment, cut int64, err error) {
	numbers, gaps, err := listSegments(dir)
	if err != nil {
		return nil, 0, err
	}
	// A last segment shorter than its header was being made when the machine stopped: it never held a record.
	if n := len(numbers); n > 0 {
		path := segmentPath(dir, numbers[n-1])
		if info, err := os.Stat(path); err != nil {
			return nil, 0, err
		} else if info.Size() < int64(headerBytes) {
			if err := os.Remove(path); err != nil {
				return nil, 0, err
			}
			numbers = numbers[:n-1]
		}
	}
	for i, number := range numbers {
		if i > 0 && number != numbers[i-1]+1 && !gaps[number-1] {
			return nil, 0, fmt.Errorf("%w: segment %d is missing", ErrCorrupt, number-1)
		}
		s, previousEnd, size, bad := scanSegment(dir, number)
		if i > 0 && number == numbers[i-1]+1 && s.end > 0 {
			before := &segments[i-1]
			if previousEnd > before.end {
				return nil, 0, fmt.Errorf("%w: %s can be read up to byte %d, acknowledged records reach to byte %d "+
					"(to go on without its records, add .bad to its name)",
					ErrCorrupt, segmentPath(dir, before.number), before.end, previousEnd)
			}
			before.end = previousEnd
		}
		last := i == len(numbers)-1
		switch {
		case bad != nil && !isTear(bad):
			return nil, 0, fmt.Errorf("%w: %s: %w (to go on without its records, add .bad to its name)",
				ErrCorrupt, segmentPath(dir, number), bad)
		case last && s.end < size:
			cut = size - s.end
			if err := truncate(segmentPath(dir, number), s.end); err != nil {
				return nil, 0, err
			}
		}
		segments = append(segments, s)
	}
	return segments, cut, nil
}

// errTear is what a crash leaves: a record that is not whole.
type errTear struct{ error }

func isTear(err error) bool { return errors.As(err, new(errTear)) }

// scanSegment finds the end of the last good record from the start of the segment on; 0 when not even the header is
// good.
func scanSegment(dir string, number int64) (s segment, previousEnd, size int64, bad error) {
	f, err := os.Open(segmentPath(dir, number))
	if err != nil {
		return s, 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, 0, 0, err
	}
	size = info.Size()
	r := bufio.NewReaderSize(f, scanBuffer)
	h := make([]byte, headerBytes)
	if _, err := io.ReadFull(r, h); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return s, 0, size, err
	}
	s, previousEnd, ok := parseHeader(h)
	if !ok || s.number != number {
		return segment{}, 0, size, errors.New("its header is not that of this segment")
	}
	s.end = int64(headerBytes)
	for {
		frame, err := r.Peek(frameBytes)
		if len(frame) == frameBytes {
			_, need, bad := parseFrame(frame, s.seed)
			if bad == nil && need > 0 {
				frame, err = r.Peek(need)
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return s, previousEnd, size, err
		}
		if len(frame) == 0 {
			return s, previousEnd, size, nil
		}
		payload, need, bad := parseFrame(frame, s.seed)
		if bad == nil && need > 0 {
			bad = errors.New("a record that is cut off")
		}
		if bad != nil {
			return s, previousEnd, size, errTear{fmt.Errorf("%w at byte %d", bad, s.end)}
		}
		n, err := r.Discard(frameBytes + len(payload))
		if err != nil {
			return s, previousEnd, size, err
		}
		s.end += int64(n)
	}
}

// listSegments gives the numbers present, ascending, and those that an operator moved aside.
func listSegments(dir string) (numbers []int64, aside map[int64]bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	aside = map[int64]bool{}
	for _, e := range entries {
		if digits, ok := strings.CutSuffix(e.Name(), movedAside); ok {
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
				aside[n] = true
			}
			continue
		}
		digits, ok := strings.CutSuffix(e.Name(), segmentEnd)
		if n, err := strconv.ParseInt(digits, 10, 64); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, aside, nil
}

func truncate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// claim makes the folder, takes its lock and reads or makes its node name.
func claim(dir string) (lock *os.File, node string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, "", err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, "", fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, "", err
	}
	node, err = nodeName(dir)
	if err != nil {
		lock.Close()
		return nil, "", err
	}
	return lock, node, nil
}

// nodeName is the random name of this folder: a cursor kept elsewhere holds for the folder that it was kept for.
func nodeName(dir string) (string, error) {
	path := filepath.Join(dir, "node")
	name, err := os.ReadFile(path)
	if err == nil && len(bytes.TrimSpace(name)) > 0 {
		return string(bytes.TrimSpace(name)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	fresh := randomName()
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(fresh + "\n")
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return fresh, err
}
