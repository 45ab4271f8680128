package pg

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// column is a column of session_live or session_history and how a session goes there and back.
type column struct {
	name string
	oid  uint32 // of its type on the way there
	put  func(*array, *radius.Session)
	// get takes a value in PostgreSQL's binary form. Texts that the record of the same session has too are not made anew.
	get func(*radius.Session, []byte, *radius.Record)
	// merge gives the value when the row is there already: t is that row, excluded the one that comes.
	merge string
}

// keyColumns is how many columns there are by which a session is found; it is the start of liveColumns.
const keyColumns = 2

var liveColumns = []column{
	{"device_id", pgtype.Int8OID,
		func(a *array, s *radius.Session) { a.int8(int64(s.Key.Device)) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Key.Device = nas.DeviceID(int8Of(b)) }, ""},
	{"session_id", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(s.Key.ID) },
		func(s *radius.Session, b []byte, r *radius.Record) { s.Key.ID = textOf(b, r.Key.ID) }, ""},
	{"login", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(s.Login) },
		func(s *radius.Session, b []byte, r *radius.Record) { s.Login = textOf(b, r.Login) },
		"coalesce(nullif(t.login, ''), excluded.login)"},
	{"access_id", pgtype.Int8OID,
		func(a *array, s *radius.Session) { a.int8(int64(s.Access)) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Access = contracts.AccessID(int8Of(b)) },
		"greatest(t.access_id, excluded.access_id)"},
	{"started_at", pgtype.TimestamptzOID,
		func(a *array, s *radius.Session) { a.time(s.StartedAt) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.StartedAt = timeOf(b) },
		"least(t.started_at, excluded.started_at)"},
	{"last_seen_at", pgtype.TimestamptzOID,
		func(a *array, s *radius.Session) { a.time(s.LastSeen) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.LastSeen = timeOf(b) },
		"greatest(t.last_seen_at, excluded.last_seen_at)"},
	{"session_seconds", pgtype.Int8OID,
		func(a *array, s *radius.Session) { a.int8(s.Seconds) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Seconds = int8Of(b) },
		"greatest(t.session_seconds, excluded.session_seconds)"},
	{"input_octets", pgtype.Int8OID,
		func(a *array, s *radius.Session) { a.int8(int64(min(s.Input, math.MaxInt64))) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Input = uint64(int8Of(b)) },
		"greatest(t.input_octets, excluded.input_octets)"},
	{"output_octets", pgtype.Int8OID,
		func(a *array, s *radius.Session) { a.int8(int64(min(s.Output, math.MaxInt64))) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Output = uint64(int8Of(b)) },
		"greatest(t.output_octets, excluded.output_octets)"},
	{"framed_ip", pgtype.InetOID,
		func(a *array, s *radius.Session) { a.inet(s.FramedIP) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.FramedIP = addrOf(b) },
		"coalesce(excluded.framed_ip, t.framed_ip)"},
	{"framed_ipv6", pgtype.TextOID, // separated by blanks: arrays of arrays of different lengths do not exist
		func(a *array, s *radius.Session) { a.text(prefixesText(s.FramedIPv6)) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.FramedIPv6 = prefixesOf(b) },
		"case when cardinality(excluded.framed_ipv6) >= cardinality(t.framed_ipv6) then excluded.framed_ipv6 else t.framed_ipv6 end"},
	{"calling_station", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(s.CallingStation) },
		func(s *radius.Session, b []byte, r *radius.Record) { s.CallingStation = textOf(b, r.CallingStation) },
		"coalesce(nullif(t.calling_station, ''), excluded.calling_station)"},
	{"nas_port", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(s.NASPort) },
		func(s *radius.Session, b []byte, r *radius.Record) { s.NASPort = textOf(b, r.NASPort) },
		"coalesce(nullif(t.nas_port, ''), excluded.nas_port)"},
	{"nas_identifier", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(s.NASIdentifier) },
		func(s *radius.Session, b []byte, r *radius.Record) { s.NASIdentifier = textOf(b, r.NASIdentifier) },
		"coalesce(nullif(t.nas_identifier, ''), excluded.nas_identifier)"},
	{"applied", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(digestText(s.Applied)) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Applied = parseDigest(string(b)) },
		"coalesce(nullif(excluded.applied, ''), t.applied)"},
	{"multi_session_id", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(s.Multi) },
		func(s *radius.Session, b []byte, r *radius.Record) { s.Multi = textOf(b, r.Multi) },
		"coalesce(nullif(t.multi_session_id, ''), excluded.multi_session_id)"},
	{"input_base", pgtype.Int8OID,
		func(a *array, s *radius.Session) { a.int8(int64(min(s.InputBase, math.MaxInt64))) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.InputBase = uint64(int8Of(b)) },
		"greatest(t.input_base, excluded.input_base)"},
	{"output_base", pgtype.Int8OID,
		func(a *array, s *radius.Session) { a.int8(int64(min(s.OutputBase, math.MaxInt64))) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.OutputBase = uint64(int8Of(b)) },
		"greatest(t.output_base, excluded.output_base)"},
}

// Two ends of a session merge so: that of a Stop is known, others are inferred.
const stopStays = "case when t.closed_by = 'stop' and excluded.closed_by <> 'stop' then t.%[1]s else excluded.%[1]s end"

var historyColumns = append(slices.Clone(liveColumns),
	column{"stopped_at", pgtype.TimestamptzOID,
		func(a *array, s *radius.Session) { a.time(s.Stopped) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Stopped = timeOf(b) },
		fmt.Sprintf(stopStays, "stopped_at")},
	column{"terminate_cause", pgtype.Int4OID,
		func(a *array, s *radius.Session) { a.int4(int32(min(s.Cause, math.MaxInt32))) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.Cause = uint32(int4Of(b)) },
		fmt.Sprintf(stopStays, "terminate_cause")},
	column{"closed_by", pgtype.TextOID,
		func(a *array, s *radius.Session) { a.text(string(s.ClosedBy)) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.ClosedBy = closedByOf(b) },
		fmt.Sprintf(stopStays, "closed_by")},
	column{"closed_at", pgtype.TimestamptzOID,
		func(a *array, s *radius.Session) { a.timeOrNull(s.ClosedAt) },
		func(s *radius.Session, b []byte, _ *radius.Record) { s.ClosedAt = timeOf(b) },
		"case when t.closed_by = 'stop' then null else excluded.closed_at end"})

func columnsNamed(names ...string) (found []column) {
	for _, name := range names {
		found = append(found, historyColumns[slices.IndexFunc(historyColumns, func(c column) bool { return c.name == name })])
	}
	return found
}

// onlyCounters reports whether a session differs from what is stored in nothing but counters.
func onlyCounters(before, after *radius.Session) bool {
	b := *before
	b.LastSeen, b.Seconds, b.Input, b.Output = after.LastSeen, after.Seconds, after.Input, after.Output
	return b.Same(after)
}

// listed writes the columns as a list, each with a prefix such as "l.".
func listed(prefix string, columns []column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = prefix + c.name
	}
	return strings.Join(names, ", ")
}

// typeNames are what SQL calls the types of columns.
var typeNames = map[uint32]string{pgtype.Int8OID: "bigint", pgtype.Int4OID: "int", pgtype.TextOID: "text",
	pgtype.TimestamptzOID: "timestamptz", pgtype.InetOID: "inet", pgtype.BoolOID: "boolean", pgtype.DateOID: "date"}

// unnested is a table expression of the columns' arrays, which are the parameters from $first on.
func unnested(first int, columns []column) string {
	arrays := make([]string, len(columns))
	for i, c := range columns {
		arrays[i] = fmt.Sprintf("$%d::%s[]", first+i, typeNames[c.oid])
	}
	return "unnest(" + strings.Join(arrays, ", ") + ")"
}

// upsert inserts sessions into a table, and merges those that are there.
func upsert(table string, key int, columns []column, conflict string) string {
	values := strings.Replace(listed("k.", columns), "k.framed_ipv6", "string_to_array(k.framed_ipv6, ' ')", 1)
	var merges []string
	for _, c := range columns[key:] {
		if c.name != "started_at" || !strings.Contains(conflict, "started_at") {
			merges = append(merges, c.name+" = "+c.merge)
		}
	}
	return fmt.Sprintf("insert into %s as t (%s) select %s from %s as k (%s) on conflict (%s) do update set %s",
		table, listed("", columns), values, unnested(1, columns), listed("", columns), conflict, strings.Join(merges, ", "))
}

// scanned reads a row whose columns are those given, in binary form as PostgreSQL sends it.
func scanned(values [][]byte, columns []column, like *radius.Record) (s radius.Session) {
	for i, c := range columns {
		c.get(&s, values[i], like)
	}
	return s
}

var noRecord radius.Record

func scanLive(row pgx.CollectableRow) (radius.Session, error) {
	return scanned(row.RawValues(), liveColumns, &noRecord), nil
}

func scanHistory(row pgx.CollectableRow) (radius.Session, error) {
	return scanned(row.RawValues(), historyColumns, &noRecord), nil
}

// textOf reads what nas.TextOf wrote. like is returned for equal bytes.
func textOf(b []byte, like string) string {
	if string(b) == like && nas.TextOf(like) == like {
		return like
	}
	return nas.RawOf(string(b))
}

func closedByOf(b []byte) radius.ClosedBy {
	for _, by := range []radius.ClosedBy{radius.ClosedByStop, radius.ClosedByOn, radius.ClosedByOff, radius.ClosedByReuse,
		radius.ClosedByStale, radius.ClosedByGone} {
		if string(b) == string(by) {
			return by
		}
	}
	return radius.ClosedBy(b)
}

func prefixesText(list []netip.Prefix) string {
	if len(list) == 0 {
		return ""
	}
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}

func prefixesOf(b []byte) (list []netip.Prefix) {
	eachText(b, func(text []byte) {
		if p, err := netip.ParsePrefix(string(text)); err == nil {
			list = append(list, p)
		}
	})
	return list
}

func digestText(d nas.Digest) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", uint64(d))
}

func parseDigest(text string) nas.Digest {
	d, _ := strconv.ParseUint(text, 16, 64)
	return nas.Digest(d)
}

// postgresEpoch is where PostgreSQL counts its microseconds from.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
