package radius

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
	"time"

	"enlace/contracts"
)

// Lessons is a file that holds what bindings have learned and storage has not recorded yet, so that it outlives the
// program: a line for each, with a checksum. It is empty nearly always.
type Lessons struct {
	mu   sync.Mutex
	file *os.File
	size int64
	end  bool // a write failed: what lies beyond size is cut off first
}

// lessonLine is a line of the file; a port may be any octets.
type lessonLine struct {
	Access  int64
	Version int64
	At      time.Time
	MAC     string
	Device  int64
	Port    []byte
}

// OpenLessons opens the file, or makes it, and gives what is in it. A line that a crash has cut short ends it.
func OpenLessons(path string) (*Lessons, []contracts.Learned, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening what bindings have learned: %w", err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("reading what bindings have learned: %w", err), file.Close())
	}
	l := &Lessons{file: file, end: true}
	learned, good := parseLessons(content)
	l.size = int64(good)
	return l, learned, nil
}

// parseLessons reads lines up to the first that is none, and says where that begins.
func parseLessons(content []byte) (learned []contracts.Learned, good int) {
	for {
		line, _, whole := bytes.Cut(content[good:], []byte("\n"))
		if !whole {
			return learned, good
		}
		one, ok := parseLesson(line)
		if !ok {
			return learned, good
		}
		learned = append(learned, one)
		good += len(line) + 1
	}
}

func parseLesson(line []byte) (one contracts.Learned, ok bool) {
	sum, text, ok := bytes.Cut(line, []byte(" "))
	var of lessonLine
	if !ok || string(sum) != checksum(text) || json.Unmarshal(text, &of) != nil {
		return one, false
	}
	one = contracts.Learned{Access: contracts.AccessID(of.Access), Version: of.Version, At: of.At, Device: of.Device, Port: contracts.Octets(of.Port)}
	n, err := hex.Decode(one.MAC[:], []byte(of.MAC[:min(len(of.MAC), 2*len(one.MAC))]))
	return one, err == nil && n == len(one.MAC)
}

func appendLesson(dst []byte, one *contracts.Learned) []byte {
	text, err := json.Marshal(lessonLine{int64(one.Access), one.Version, one.At, hex.EncodeToString(one.MAC[:]), one.Device, []byte(one.Port)})
	if err != nil {
		panic(err) // numbers, text and a time
	}
	return append(append(append(append(dst, checksum(text)...), ' '), text...), '\n')
}

func checksum(text []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)) }

// keep makes what the lessons say durable.
func (l *Lessons) keep(lessons []*lesson) error {
	var lines []byte
	for _, one := range lessons {
		lines = appendLesson(lines, &one.seen)
	}
	if l.end {
		if err := l.file.Truncate(l.size); err != nil {
			return err
		}
	}
	l.end = true
	if _, err := l.file.WriteAt(lines, l.size); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.size, l.end = l.size+int64(len(lines)), false
	return nil
}

// clear empties the file.
func (l *Lessons) clear() error {
	if l.size == 0 {
		return nil
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	l.size = 0
	return nil
}

// Close closes the file.
func (l *Lessons) Close() error { return l.file.Close() }
