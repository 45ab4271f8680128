package pg

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"enlace/radius"
)

// connectionColumn is a column of connection_open or connection_record and how a connection goes there and back.
type connectionColumn struct {
	name string
	oid  uint32
	put  func(*array, *connection)
	get  func(*connection, []byte) // in PostgreSQL's binary form
}

// endedKey is by which a row of connection_record is found.
var endedKey = []connectionColumn{
	{"device_id", pgtype.Int8OID,
		func(a *array, c *connection) { a.int8(int64(c.key.Device)) },
		ofFamily},
	{"session_id", pgtype.TextOID,
		func(a *array, c *connection) { a.text(c.key.ID) },
		ofFamily},
	{"kind", pgtype.TextOID,
		func(a *array, c *connection) { a.raw(string(c.claim.Kind)) },
		func(c *connection, b []byte) { c.claim.Kind = radius.AddressKind(b) }},
	{"address", pgtype.InetOID,
		func(a *array, c *connection) { a.prefix(c.claim.Prefix) },
		func(c *connection, b []byte) { c.claim.Prefix = prefixOf(b) }},
	{"port_from", pgtype.Int4OID,
		func(a *array, c *connection) { a.int4(int32(c.claim.PortFrom)) },
		func(c *connection, b []byte) { c.claim.PortFrom = uint16(int4Of(b)) }},
	{"port_to", pgtype.Int4OID,
		func(a *array, c *connection) { a.int4(int32(c.claim.PortTo)) },
		func(c *connection, b []byte) { c.claim.PortTo = uint16(int4Of(b)) }},
	timeColumn("from_at", func(c *connection) *time.Time { return &c.claim.From }),
	timeColumn("until_at", func(c *connection) *time.Time { return &c.claim.Until }),
}

// openKey is by which a row of connection_open is found.
var openKey = endedKey[:6:6]

// connectionColumns are what both tables have.
var connectionColumns = append(endedKey[:len(endedKey)-1:len(endedKey)-1],
	timeColumn("started_at", func(c *connection) *time.Time { return &c.startedAt }),
	connectionColumn{"login", pgtype.TextOID,
		func(a *array, c *connection) { a.raw(c.holder.login) },
		func(c *connection, b []byte) { c.holder.login = string(b) }},
	connectionColumn{"access_id", pgtype.Int8OID,
		func(a *array, c *connection) { a.int8(c.holder.access) },
		func(c *connection, b []byte) { c.holder.access = int8Of(b) }},
	connectionColumn{"calling_station", pgtype.TextOID,
		func(a *array, c *connection) { a.raw(c.holder.calling) },
		func(c *connection, b []byte) { c.holder.calling = string(b) }},
	connectionColumn{"nas_port", pgtype.TextOID,
		func(a *array, c *connection) { a.raw(c.holder.port) },
		func(c *connection, b []byte) { c.holder.port = string(b) }},
	connectionColumn{"listed", pgtype.BoolOID,
		func(a *array, c *connection) { a.bool(c.claim.Listed) },
		func(c *connection, b []byte) { c.claim.Listed = b[0] != 0 }},
	timeColumn("said_at", func(c *connection) *time.Time { return &c.claim.Said }),
	timeColumn("seen_at", func(c *connection) *time.Time { return &c.claim.Seen }))

var (
	openColumns = append(connectionColumns[:len(connectionColumns):len(connectionColumns)],
		connectionColumn{"others", pgtype.BoolOID,
			func(a *array, c *connection) { a.bool(c.others) },
			func(c *connection, b []byte) { c.others = b[0] != 0 }})
	endedColumns = append(connectionColumns[:len(connectionColumns):len(connectionColumns)],
		endedKey[len(endedKey)-1],
		connectionColumn{"closed_by", pgtype.TextOID,
			func(a *array, c *connection) { a.raw(string(c.claim.ClosedBy)) },
			func(c *connection, b []byte) { c.claim.ClosedBy = radius.ClosedBy(b) }})
)

// copiedColumns are endedColumns on the way into the table, where null stands for the usual.
var copiedColumns = func() []connectionColumn {
	columns := slices.Clone(endedColumns)
	for i := range columns {
		switch columns[i].name {
		case "said_at":
			columns[i].put = func(a *array, c *connection) { a.timeUnless(c.claim.Said, c.claim.From) }
		case "seen_at":
			columns[i].put = func(a *array, c *connection) { a.timeUnless(c.claim.Seen, c.claim.Until) }
		}
	}
	return columns
}()

// ofFamily takes nothing: a row is looked for by its key.
func ofFamily(*connection, []byte) {}

func timeColumn(name string, of func(*connection) *time.Time) connectionColumn {
	return connectionColumn{name, pgtype.TimestamptzOID,
		func(a *array, c *connection) { a.time(*of(c)) },
		func(c *connection, b []byte) { *of(c) = timeOf(b) }}
}

// connectionOf reads a row of a family's.
func connectionOf(values [][]byte, columns []connectionColumn, f *family) connection {
	c := connection{key: f.key}
	for i := range columns {
		columns[i].get(&c, values[i])
	}
	if c.claim.ClosedBy == radius.ClaimChanged {
		c.claim.Missed = c.claim.Until
	}
	return c
}

// connectionArrays turns connections into parameters, one for each column.
func connectionArrays(list []connection, columns []connectionColumn) [][]byte {
	parameters := make([][]byte, len(columns))
	for i, c := range columns {
		a := newArray(c.oid, len(list), 16)
		for j := range list {
			c.put(a, &list[j])
		}
		parameters[i] = a.bytes()
	}
	return parameters
}

func namesOf(prefix string, columns []connectionColumn) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = prefix + c.name
	}
	return strings.Join(names, ", ")
}

// unnestedConnections is a table expression, k, of the columns' arrays, which are the parameters.
func unnestedConnections(columns []connectionColumn) string {
	arrays := make([]string, len(columns))
	for i, c := range columns {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, typeNames[c.oid])
	}
	return "unnest(" + strings.Join(arrays, ", ") + ") as k (" + namesOf("", columns) + ")"
}
