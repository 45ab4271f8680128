package pg

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

var liveNames = []string{
	"device_id", "session_id", "login", "access_id", "started_at", "last_seen_at", "session_seconds", "input_octets",
	"output_octets", "framed_ip", "framed_ipv6", "calling_station", "nas_port", "nas_identifier", "applied",
	"multi_session_id", "input_base", "output_base",
}

var historyNames = strings.Join(liveNames, ", ") + ", stopped_at, terminate_cause, closed_by, closed_at"

// liveColumns lists the columns of an open session, of the table with an alias.
func liveColumns(alias string) string {
	return alias + "." + strings.Join(liveNames, ", "+alias+".")
}

func historyColumns(alias string) string {
	return liveColumns(alias) + fmt.Sprintf(", %[1]s.stopped_at, %[1]s.terminate_cause, %[1]s.closed_by, %[1]s.closed_at", alias)
}

// sessionColumns is sessions turned into arrays, a column each.
type sessionColumns struct {
	device, access, seconds, input, output, inputBase, outputBase []int64
	id, login, ip, ipv6, calling, port, nas, applied, multi       []string
	started, seen, stopped                                        []time.Time
	cause                                                         []int32
	closedBy                                                      []string
	closedAt                                                      []*time.Time
}

func columnsOf(sessions []radius.Session) *sessionColumns {
	c := &sessionColumns{}
	for i := range sessions {
		s := &sessions[i]
		c.device = append(c.device, int64(s.Key.Device))
		c.id = append(c.id, nas.TextOf(s.Key.ID))
		c.login = append(c.login, nas.TextOf(s.Login))
		c.access = append(c.access, int64(s.Access))
		c.started = append(c.started, s.StartedAt)
		c.seen = append(c.seen, s.LastSeen)
		c.seconds = append(c.seconds, s.Seconds)
		c.input = append(c.input, int64(min(s.Input, math.MaxInt64)))
		c.output = append(c.output, int64(min(s.Output, math.MaxInt64)))
		c.ip = append(c.ip, addrText(s.FramedIP))
		c.ipv6 = append(c.ipv6, prefixesText(s.FramedIPv6))
		c.calling = append(c.calling, nas.TextOf(s.CallingStation))
		c.port = append(c.port, nas.TextOf(s.NASPort))
		c.nas = append(c.nas, nas.TextOf(s.NASIdentifier))
		c.applied = append(c.applied, digestText(s.Applied))
		c.multi = append(c.multi, nas.TextOf(s.Multi))
		c.inputBase = append(c.inputBase, int64(min(s.InputBase, math.MaxInt64)))
		c.outputBase = append(c.outputBase, int64(min(s.OutputBase, math.MaxInt64)))
		c.stopped = append(c.stopped, s.Stopped)
		c.cause = append(c.cause, int32(min(s.Cause, math.MaxInt32)))
		c.closedBy = append(c.closedBy, string(s.ClosedBy))
		c.closedAt = append(c.closedAt, instantOf(&s.ClosedAt))
	}
	return c
}

// live is the arguments of unnestLive.
func (c *sessionColumns) live() []any {
	return []any{c.device, c.id, c.login, c.access, c.started, c.seen, c.seconds, c.input, c.output, c.ip, c.ipv6,
		c.calling, c.port, c.nas, c.applied, c.multi, c.inputBase, c.outputBase}
}

// history is the arguments of upsertHistory.
func (c *sessionColumns) history() []any {
	return append(c.live(), c.stopped, c.cause, c.closedBy, c.closedAt)
}

// instantOf is nil for no instant.
func instantOf(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}

const unnestLive = `unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bigint[]),
	unnest($5::timestamptz[]), unnest($6::timestamptz[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]),
	nullif(unnest($10::text[]), '')::inet, string_to_array(unnest($11::text[]), ' '),
	unnest($12::text[]), unnest($13::text[]), unnest($14::text[]), unnest($15::text[]),
	unnest($16::text[]), unnest($17::bigint[]), unnest($18::bigint[])`

// upsertLive merges with a row that another node has inserted since this transaction looked.
var upsertLive = `insert into session_live as l (` + strings.Join(liveNames, ", ") + `) select ` + unnestLive + `
	on conflict (device_id, session_id) do update set
		login = coalesce(nullif(l.login, ''), excluded.login),
		access_id = greatest(l.access_id, excluded.access_id),
		started_at = least(l.started_at, excluded.started_at),
		last_seen_at = greatest(l.last_seen_at, excluded.last_seen_at),
		session_seconds = greatest(l.session_seconds, excluded.session_seconds),
		input_octets = greatest(l.input_octets, excluded.input_octets),
		output_octets = greatest(l.output_octets, excluded.output_octets),
		framed_ip = coalesce(excluded.framed_ip, l.framed_ip),
		framed_ipv6 = case when cardinality(excluded.framed_ipv6) >= cardinality(l.framed_ipv6)
			then excluded.framed_ipv6 else l.framed_ipv6 end,
		calling_station = coalesce(nullif(l.calling_station, ''), excluded.calling_station),
		nas_port = coalesce(nullif(l.nas_port, ''), excluded.nas_port),
		nas_identifier = coalesce(nullif(l.nas_identifier, ''), excluded.nas_identifier),
		applied = coalesce(nullif(excluded.applied, ''), l.applied),
		multi_session_id = coalesce(nullif(l.multi_session_id, ''), excluded.multi_session_id),
		input_base = greatest(l.input_base, excluded.input_base),
		output_base = greatest(l.output_base, excluded.output_base)`

var upsertHistory = `insert into session_history as h (` + historyNames + `) select ` + unnestLive + `,
		unnest($19::timestamptz[]), unnest($20::int[]), unnest($21::text[]), unnest($22::timestamptz[])
	on conflict (device_id, session_id, started_at) do update set ` + strings.ReplaceAll(growHistory, "session_history.", "h.")

// growHistory merges two ends of a session: that of a Stop is known, others are inferred.
const growHistory = `
		last_seen_at = greatest(session_history.last_seen_at, excluded.last_seen_at),
		session_seconds = greatest(session_history.session_seconds, excluded.session_seconds),
		input_octets = greatest(session_history.input_octets, excluded.input_octets),
		output_octets = greatest(session_history.output_octets, excluded.output_octets),
		login = coalesce(nullif(session_history.login, ''), excluded.login),
		access_id = greatest(session_history.access_id, excluded.access_id),
		framed_ip = coalesce(excluded.framed_ip, session_history.framed_ip),
		framed_ipv6 = case when cardinality(excluded.framed_ipv6) >= cardinality(session_history.framed_ipv6)
			then excluded.framed_ipv6 else session_history.framed_ipv6 end,
		calling_station = coalesce(nullif(session_history.calling_station, ''), excluded.calling_station),
		nas_port = coalesce(nullif(session_history.nas_port, ''), excluded.nas_port),
		nas_identifier = coalesce(nullif(session_history.nas_identifier, ''), excluded.nas_identifier),
		multi_session_id = coalesce(nullif(session_history.multi_session_id, ''), excluded.multi_session_id),
		input_base = greatest(session_history.input_base, excluded.input_base),
		output_base = greatest(session_history.output_base, excluded.output_base),
		stopped_at = case when session_history.closed_by = 'stop' and excluded.closed_by <> 'stop'
			then session_history.stopped_at else excluded.stopped_at end,
		terminate_cause = case when session_history.closed_by = 'stop' and excluded.closed_by <> 'stop'
			then session_history.terminate_cause else excluded.terminate_cause end,
		closed_at = case when session_history.closed_by = 'stop' then null else excluded.closed_at end,
		closed_by = case when session_history.closed_by = 'stop' then 'stop' else excluded.closed_by end`

// liveRow takes the columns of liveColumns.
type liveRow struct {
	session             radius.Session
	device, access      int64
	id, login           string
	input, output       int64
	ip                  *netip.Prefix
	ipv6                []string
	calling, port, name string
	applied, multi      string
	inputBase           int64
	outputBase          int64
}

func (r *liveRow) targets() []any {
	s := &r.session
	return []any{&r.device, &r.id, &r.login, &r.access, &s.StartedAt, &s.LastSeen, &s.Seconds, &r.input, &r.output,
		&r.ip, &r.ipv6, &r.calling, &r.port, &r.name, &r.applied, &r.multi, &r.inputBase, &r.outputBase}
}

func (r *liveRow) finish() radius.Session {
	s := r.session
	s.Key = nas.SessionKey{Device: nas.DeviceID(r.device), ID: nas.RawOf(r.id)}
	s.Login = nas.RawOf(r.login)
	s.Access = contracts.AccessID(r.access)
	s.StartedAt, s.LastSeen, s.Stopped = s.StartedAt.UTC(), s.LastSeen.UTC(), s.Stopped.UTC()
	s.Input, s.Output = uint64(r.input), uint64(r.output)
	if r.ip != nil {
		s.FramedIP = r.ip.Addr()
	}
	for _, text := range r.ipv6 {
		if p, err := netip.ParsePrefix(text); err == nil {
			s.FramedIPv6 = append(s.FramedIPv6, p)
		}
	}
	s.CallingStation, s.NASPort, s.NASIdentifier = nas.RawOf(r.calling), nas.RawOf(r.port), nas.RawOf(r.name)
	s.Applied = parseDigest(r.applied)
	s.Multi, s.InputBase, s.OutputBase = nas.RawOf(r.multi), uint64(r.inputBase), uint64(r.outputBase)
	return s
}

func scanLive(row pgx.CollectableRow) (radius.Session, error) {
	var r liveRow
	if err := row.Scan(r.targets()...); err != nil {
		return radius.Session{}, err
	}
	return r.finish(), nil
}

func scanHistory(row pgx.CollectableRow) (radius.Session, error) {
	var r liveRow
	var cause int32
	var by string
	var at *time.Time
	if err := row.Scan(append(r.targets(), &r.session.Stopped, &cause, &by, &at)...); err != nil {
		return radius.Session{}, err
	}
	s := r.finish()
	s.Cause, s.ClosedBy = uint32(cause), radius.ClosedBy(by)
	if at != nil {
		s.ClosedAt = at.UTC()
	}
	return s, nil
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.WithZone("").String()
}

func prefixesText(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
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
