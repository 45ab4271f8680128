package pg

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/nas"
)

// array builds a one-dimensional array in PostgreSQL's binary form: the number of dimensions, whether there are nulls, the
// type of the elements, their number, the first index; then each element's length and bytes.
type array struct {
	b     []byte
	n     int
	nulls bool
}

const arrayHead = 20

func newArray(oid uint32, n, each int) *array {
	a := &array{b: make([]byte, arrayHead, arrayHead+n*(4+each))}
	binary.BigEndian.PutUint32(a.b[8:], oid)
	return a
}

// bytes is the finished array.
func (a *array) bytes() []byte {
	binary.BigEndian.PutUint32(a.b, 1)
	if a.nulls {
		a.b[7] = 1
	}
	binary.BigEndian.PutUint32(a.b[12:], uint32(a.n))
	binary.BigEndian.PutUint32(a.b[16:], 1)
	return a.b
}

// raw appends bytes that are in binary form already.
func (a *array) raw(v string) {
	a.n++
	a.b = append(binary.BigEndian.AppendUint32(a.b, uint32(len(v))), v...)
}

func (a *array) int8(v int64) {
	a.n++
	a.b = binary.BigEndian.AppendUint64(append(a.b, 0, 0, 0, 8), uint64(v))
}

func (a *array) int4(v int32) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(append(a.b, 0, 0, 0, 4), uint32(v))
}

// text appends bytes from the wire as text (nas.TextOf).
func (a *array) text(raw string) {
	text := nas.TextOf(raw)
	a.n++
	a.b = append(binary.BigEndian.AppendUint32(a.b, uint32(len(text))), text...)
}

func (a *array) bool(v bool) {
	a.n++
	a.b = append(a.b, 0, 0, 0, 1, 0)
	if v {
		a.b[len(a.b)-1] = 1
	}
}

func (a *array) time(t time.Time) { a.int8(t.UnixMicro() - postgresEpoch) }

func (a *array) timeOrNull(t time.Time) {
	if t.IsZero() {
		a.null()
		return
	}
	a.time(t)
}

// timeUnless appends null for an instant that is the usual one.
func (a *array) timeUnless(t, usual time.Time) {
	if t.Equal(usual) {
		a.null()
		return
	}
	a.time(t)
}

func (a *array) null() {
	a.n++
	a.nulls = true
	a.b = append(a.b, 255, 255, 255, 255)
}

// inet appends an address, null when there is none: family (PostgreSQL's own numbers), bits, is_cidr, length, bytes.
func (a *array) inet(ip netip.Addr) {
	if !ip.IsValid() {
		a.null()
		return
	}
	a.prefix(netip.PrefixFrom(ip.WithZone(""), ip.BitLen()))
}

// prefix appends a valid prefix as inet.
func (a *array) prefix(p netip.Prefix) {
	a.n++
	bits := byte(p.Bits())
	if ip := p.Addr(); ip.Is4() {
		b := ip.As4()
		a.b = append(append(a.b, 0, 0, 0, 8, inet4, bits, 0, 4), b[:]...)
	} else {
		b := ip.As16()
		a.b = append(append(a.b, 0, 0, 0, 20, inet6, bits, 0, 16), b[:]...)
	}
}

const (
	inet4 = 2
	inet6 = 3
)

func int8Of(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
func int4Of(b []byte) int32 { return int32(binary.BigEndian.Uint32(b)) }

// timeOf is zero for null.
func timeOf(b []byte) time.Time {
	if b == nil {
		return time.Time{}
	}
	return time.UnixMicro(int8Of(b) + postgresEpoch).UTC()
}

func addrOf(b []byte) netip.Addr {
	if len(b) < 4 {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(b[4:])
	return ip
}

func prefixOf(b []byte) netip.Prefix {
	if len(b) < 4 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addrOf(b), int(b[1]))
}

// eachText calls f with the elements of an array of texts.
func eachText(b []byte, f func([]byte)) {
	if len(b) < arrayHead {
		return // no dimension: empty
	}
	n := binary.BigEndian.Uint32(b[12:])
	for b = b[arrayHead:]; n > 0; n-- {
		length := int4Of(b)
		b = b[4:]
		if length >= 0 {
			f(b[:length])
			b = b[length:]
		}
	}
}

// prepared is a statement that each connection knows by its name.
type prepared struct{ name, sql string }

var allBinary = []int16{pgx.BinaryFormatCode}

// run executes a prepared statement with parameters in binary form, and calls each, which may be nil, with the rows, in
// binary form too; their bytes are valid during the call.
func (p prepared) run(ctx context.Context, tx pgx.Tx, parameters [][]byte, each func([][]byte)) error {
	_, err := p.execute(ctx, tx, parameters, each)
	return err
}

// affect is run for a statement that must change n rows; with none there is nothing to do.
func (p prepared) affect(ctx context.Context, tx pgx.Tx, parameters [][]byte, n int) error {
	if n == 0 {
		return nil
	}
	got, err := p.execute(ctx, tx, parameters, nil)
	if err == nil && got != int64(n) {
		err = fmt.Errorf("%s changed %d rows of %d: something else writes them", p.name, got, n)
	}
	return err
}

// place is affect for a statement that returns where the rows lie now.
func (p prepared) place(ctx context.Context, tx pgx.Tx, parameters [][]byte, n int, each func(i int, values [][]byte)) error {
	if n == 0 {
		return nil
	}
	i := 0
	err := p.run(ctx, tx, parameters, func(values [][]byte) {
		each(i, values)
		i++
	})
	if err == nil && i != n {
		err = fmt.Errorf("%s changed %d rows of %d: something else writes them", p.name, i, n)
	}
	return err
}

func (p prepared) execute(ctx context.Context, tx pgx.Tx, parameters [][]byte, each func([][]byte)) (int64, error) {
	if _, err := tx.Conn().Prepare(ctx, p.name, p.sql); err != nil {
		return 0, err
	}
	result := tx.Conn().PgConn().ExecPrepared(ctx, p.name, parameters, allBinary, allBinary)
	for result.NextRow() {
		if each != nil {
			each(result.Values())
		}
	}
	tag, err := result.Close()
	if err != nil {
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return tag.RowsAffected(), err
}
