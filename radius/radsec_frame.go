package radius

import (
	"encoding/binary"
	"io"
)

// frames cuts a stream into packets by their length field (RFC 6613, section 2.6.4), however the stream is cut into
// reads.
type frames struct {
	stream     io.Reader
	buf        []byte
	start, end int // buf[start:end] is read and not yet given
}

// frameBuffer holds a TLS record beside the beginning of a packet.
const frameBuffer = 16<<10 + maxPacket

func newFrames(stream io.Reader) *frames {
	return &frames{stream: stream, buf: make([]byte, frameBuffer)}
}

// partial reports whether the beginning of a packet waits for the rest of it.
func (f *frames) partial() bool { return f.end > f.start }

// next is the next packet, valid until the following call. The error is ErrLength when the stream can make no sense
// from here on, io.EOF at its end between packets, io.ErrUnexpectedEOF at its end within one, or what reading failed
// with.
func (f *frames) next() ([]byte, error) {
	for idle := 0; ; {
		have := f.buf[f.start:f.end]
		if len(have) >= 4 {
			n := int(binary.BigEndian.Uint16(have[2:4]))
			if n < headerLen || n > maxPacket {
				return nil, ErrLength
			}
			if len(have) >= n {
				f.start += n
				return have[:n:n], nil
			}
		}
		f.start, f.end = 0, copy(f.buf, have)
		n, err := f.stream.Read(f.buf[f.end:])
		f.end += n
		switch {
		case n > 0:
			idle = 0 // an error that came with bytes comes again
		case err == io.EOF && f.partial():
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		default:
			if idle++; idle == 100 {
				return nil, io.ErrNoProgress
			}
		}
	}
}
