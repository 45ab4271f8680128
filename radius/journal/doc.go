// Package journal is a log of records on the local disk that can be trusted: whoever is told that a record is durable
// finds it again after a crash, a kill or a power cut.
//
// A journal is a folder of segments. A segment is a header and records; a record is the length of its payload (4 bytes,
// big endian), a CRC-32C of length and payload (4 bytes) and the payload. A segment's header says where the segment
// before it ends, so that what a failed write left behind there is never read.
//
// A segment is written into a file that has its size already: one of zeros made ready in the background, or that of a
// segment which has been drained. So a commit allocates nothing and changes no size, and fdatasync has only data to write.
// What the file held before is no record of the segment: the checksums begin with the segment's number. While no such
// file is ready (at the start, or on a disk that is nearly full) a segment grows as it is written. Segments of the form
// before, ENLACEJ1, whose checksums begin with nothing, are read.
//
// One goroutine writes: it takes everything that waits, writes it at once, calls fdatasync once, and only then tells the
// waiters. Another hands the records on, to be folded, and lets readers see them; when it falls behind by as much as may
// wait, the writing waits for it. After a write or fdatasync that failed nothing more goes to that file: the journal
// refuses records until a new segment can be made, which it keeps trying.
//
// At opening every segment is read. A bad record in the last segment is where a crash tore it: it is cut there, for
// nothing beyond was acknowledged. A bad record in an earlier segment means that the disk has lost acknowledged records:
// opening is refused. An operator who accepts the loss renames that segment, adding ".bad".
//
// The package knows nothing of RADIUS: payloads are bytes.
package journal
