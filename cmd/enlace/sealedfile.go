package main

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	wire "encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// A sealed file is a header and frames. The header is magic, version (32 bytes), salt (16), name of the key (8). Each
// frame is its length (4 bytes, big endian) and its content under AES-256-GCM, with a key derived from the node's key
// and the salt, which are this file's alone: so the nonce may be the frame's number, whose first byte says whether it
// is the last. Frames can therefore be neither altered, left out, moved, taken from another file nor cut off unnoticed,
// nor can the header, which each authenticates.
const (
	sealedMagic  = "enlace-sealed-1\n"
	sealedHeader = len(sealedMagic) + 32 + 16 + 8
	frameMost    = 64 << 20 // bytes: what claims to be longer is damage
)

var (
	errOtherKey     = errors.New("it was sealed with another key")
	errOtherVersion = errors.New("it was written by another version of the program")
	errDamaged      = errors.New("it is damaged")
	errCutShort     = errors.New("its end is missing")
)

// frames seals or opens the frames of one file, in order.
type frames struct {
	aead   cipher.AEAD
	header []byte
	number uint64
	closed bool // the last frame was read
}

func newFrames(s *sealer, header []byte) (*frames, error) {
	salt := header[len(header)-24 : len(header)-8]
	key, err := s.derive("enlace sealed file", salt, 32)
	if err != nil {
		return nil, err
	}
	aead, err := newGCM(key)
	return &frames{aead: aead, header: header}, err
}

func (f *frames) nonce(last bool) []byte {
	nonce := make([]byte, 12)
	if last {
		nonce[0] = 1
	}
	wire.BigEndian.PutUint64(nonce[4:], f.number)
	f.number++
	return nonce
}

// keyName tells a file of another key from a damaged one.
func keyName(s *sealer, salt []byte) ([]byte, error) {
	return s.derive("enlace sealed file: name", salt, 8)
}

// sealedWriter writes a sealed file beside its place; commit puts it there.
type sealedWriter struct {
	*frames
	path string
	file *os.File
	out  *bufio.Writer
	buf  []byte
}

// createSealed begins a file that takes the place of path once it is committed.
func createSealed(path string, s *sealer, version [32]byte) (_ *sealedWriter, err error) {
	var salt [16]byte
	rand.Read(salt[:])
	name, err := keyName(s, salt[:])
	if err != nil {
		return nil, err
	}
	header := bytes.Join([][]byte{[]byte(sealedMagic), version[:], salt[:], name}, nil)
	f, err := newFrames(s, header)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w := &sealedWriter{frames: f, path: path, file: file, out: bufio.NewWriterSize(file, 256<<10)}
	if _, err := w.out.Write(header); err != nil {
		w.abandon()
		return nil, err
	}
	return w, nil
}

// write appends a frame; last ends the file.
func (w *sealedWriter) write(content []byte, last bool) error {
	w.buf = w.aead.Seal(w.buf[:0], w.nonce(last), content, w.header)
	if len(w.buf) > frameMost {
		return fmt.Errorf("a frame of %d bytes is too long", len(w.buf))
	}
	var size [4]byte
	wire.BigEndian.PutUint32(size[:], uint32(len(w.buf)))
	if _, err := w.out.Write(size[:]); err != nil {
		return err
	}
	_, err := w.out.Write(w.buf)
	return err
}

// commit makes the file durable and puts it in its place, all or nothing.
func (w *sealedWriter) commit() error {
	err := w.out.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	if e := w.file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(w.path+".new", w.path)
	}
	if err != nil {
		os.Remove(w.path + ".new")
		return err
	}
	dir, err := os.Open(filepath.Dir(w.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// abandon leaves what is in the file's place as it was.
func (w *sealedWriter) abandon() {
	w.file.Close()
	os.Remove(w.path + ".new")
}

// sealedReader reads a sealed file.
type sealedReader struct {
	*frames
	file *os.File
	in   *bufio.Reader
}

// openSealed checks the header. The error is errOtherKey, errOtherVersion, errDamaged, errCutShort or the system's.
func openSealed(path string, s *sealer, version [32]byte) (_ *sealedReader, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	in := bufio.NewReaderSize(file, 256<<10)
	header := make([]byte, sealedHeader)
	if _, err := io.ReadFull(in, header); err != nil {
		return nil, shortened(err)
	}
	rest, ok := bytes.CutPrefix(header, []byte(sealedMagic))
	if !ok {
		return nil, errDamaged
	}
	salt, name := rest[32:48], rest[48:]
	ours, err := keyName(s, salt)
	switch {
	case err != nil:
		return nil, err
	case !bytes.Equal(name, ours):
		return nil, errOtherKey
	case !bytes.Equal(rest[:32], version[:]):
		return nil, errOtherVersion
	}
	f, err := newFrames(s, header)
	if err != nil {
		return nil, err
	}
	return &sealedReader{frames: f, file: file, in: in}, nil
}

// sealedFrame is a frame as it was read, still sealed: opening it is work that may be shared out.
type sealedFrame struct {
	*frames
	nonce, content []byte
	last           bool
}

// next reads a frame; io.EOF follows the last one. The content is the caller's.
func (r *sealedReader) next() (sealedFrame, error) {
	var size [4]byte
	if _, err := io.ReadFull(r.in, size[:]); err != nil {
		if err == io.EOF && r.closed {
			return sealedFrame{}, io.EOF
		}
		return sealedFrame{}, shortened(err)
	}
	if r.closed {
		return sealedFrame{}, errDamaged
	}
	n := wire.BigEndian.Uint32(size[:])
	if n > frameMost || int(n) < r.aead.Overhead() {
		return sealedFrame{}, errDamaged
	}
	content := make([]byte, n)
	if _, err := io.ReadFull(r.in, content); err != nil {
		return sealedFrame{}, shortened(err)
	}
	_, err := r.in.Peek(1)
	r.closed = err == io.EOF
	return sealedFrame{r.frames, r.nonce(r.closed), content, r.closed}, nil
}

// open gives what was sealed. A frame that was not the last when it was written, and is now, has lost what followed it.
func (f sealedFrame) open() ([]byte, error) {
	plain, err := f.aead.Open(nil, f.nonce, f.content, f.header)
	if err == nil {
		return plain, nil
	}
	if f.last {
		return nil, fmt.Errorf("%w, or %w", errDamaged, errCutShort)
	}
	return nil, errDamaged
}

func (r *sealedReader) close() { r.file.Close() }

// shortened says plainly that a file ends too early.
func shortened(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCutShort
	}
	return err
}
