package pg

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// copied is rows on their way into a table by COPY, which costs half of what an insert from arrays does. Rows that may be
// there already cannot go this way.
type copied struct {
	table   string
	columns string
	fields  int
	expect  int // rows, for the first to make room for
	rows    int
	row     array // all rows, one after the other: a field has the form of an array's element
}

// copyHead is the start of PostgreSQL's binary COPY: signature, flags, length of the header's extension.
const copyHead = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// newCopy is a COPY of no rows yet; rows is how many may come.
func newCopy(table, columns string, fields, rows int) *copied {
	return &copied{table: table, columns: columns, fields: fields, expect: rows}
}

// next begins a row; its fields are put into what it returns.
func (c *copied) next() *array {
	if c.rows++; c.rows == 1 {
		c.row.b = append(make([]byte, 0, len(copyHead)+c.expect*400), copyHead...)
	}
	c.row.b = binary.BigEndian.AppendUint16(c.row.b, uint16(c.fields))
	return &c.row
}

func (c *copied) write(ctx context.Context, tx pgx.Tx) error {
	if c.rows == 0 {
		return nil
	}
	c.row.b = binary.BigEndian.AppendUint16(c.row.b, 0xffff)
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(c.row.b), "copy "+c.table+" ("+c.columns+") from stdin (format binary)")
	if err == nil && tag.RowsAffected() != int64(c.rows) {
		err = fmt.Errorf("copying into %s wrote %d rows of %d", c.table, tag.RowsAffected(), c.rows)
	}
	return err
}

// texts appends an array of texts without an element, or with those given.
func (a *array) texts(list []string) {
	inner := newArray(pgtype.TextOID, len(list), 16)
	for _, t := range list {
		inner.raw(t)
	}
	if len(list) == 0 {
		a.raw(string(inner.b[:12])) // no dimension
		return
	}
	a.raw(string(inner.bytes()))
}
