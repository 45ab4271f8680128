package pg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"enlace/contracts"
	"enlace/postgres"
)

// AddAccess gives a contract one more access; a.ID is set. An access without a password may have none.
func (s *Store) AddAccess(ctx context.Context, actor string, now time.Time, id contracts.ContractID, a *contracts.Access, password string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := Lock(ctx, tx, id); err != nil {
			return err
		}
		if err := s.insertAccess(ctx, tx, now, id, a, password); err != nil {
			return err
		}
		return s.accessChanged(ctx, tx, actor, now, id, a.ID, "access.create", lineDetail(a))
	})
}

func (s *Store) insertAccess(ctx context.Context, tx pgx.Tx, now time.Time, id contracts.ContractID, a *contracts.Access, password string) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if password != "" || !a.Line.NoPassword {
		if err := ValidPassword(password); err != nil {
			return err
		}
	}
	err := tx.QueryRow(ctx, `insert into access (contract_id, login, password_sealed, created_at) values ($1, $2, $3, $4) returning id`,
		id, a.Login, s.Sealer.Seal([]byte(password)), now).Scan(&a.ID)
	if err != nil {
		return conflictOn(err, "access_login_key", "duplicate_login", "the login %q is already taken", a.Login)
	}
	return saveLine(ctx, tx, a)
}

// UpdateAccess replaces what an access has beside its login and password. A binding that learns keeps what it learned
// unless a value is given for it.
func (s *Store) UpdateAccess(ctx context.Context, actor string, now time.Time, id contracts.ContractID, a *contracts.Access) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		old, err := lockAccess(ctx, tx, id, a.ID)
		if err != nil {
			return err
		}
		a.Login, a.Line.Version = old.Login, old.Line.Version
		if err := a.Validate(); err != nil {
			return err
		}
		if !a.Line.NoPassword && old.Line.NoPassword {
			if err := s.hasPassword(ctx, tx, a.ID); err != nil {
				return err
			}
		}
		a.Line.Learn(old.Line.Lore())
		if err := saveLine(ctx, tx, a); err != nil {
			return err
		}
		return s.accessChanged(ctx, tx, actor, now, id, a.ID, "access.update", lineDetail(a))
	})
}

// hasPassword refuses that an access which never had a password needs one.
func (s *Store) hasPassword(ctx context.Context, tx pgx.Tx, id contracts.AccessID) error {
	var sealed []byte
	if err := tx.QueryRow(ctx, `select password_sealed from access where id = $1`, id).Scan(&sealed); err != nil {
		return fmt.Errorf("reading the password of access %d: %w", id, err)
	}
	if plain, err := s.Sealer.Open(sealed); err != nil {
		return fmt.Errorf("opening the password of access %d: %w", id, err)
	} else if len(plain) == 0 {
		return contracts.Invalidf("no_password", "the access has no password yet: set one first")
	}
	return nil
}

// ClearBinding forgets what an access learned: the next login is a first one.
func (s *Store) ClearBinding(ctx context.Context, actor string, now time.Time, id contracts.ContractID, access contracts.AccessID) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		a, err := lockAccess(ctx, tx, id, access)
		if err != nil {
			return err
		}
		was := lineDetail(&a)
		a.Line.Forget()
		if err := saveLine(ctx, tx, &a); err != nil {
			return err
		}
		return s.accessChanged(ctx, tx, actor, now, id, access, "access.clear_binding", was)
	})
}

// SaveLearned records what the first login of an access showed. What was learned for an older version of its bindings,
// or is already bound, is left as it is: the first to be recorded counts.
func (s *Store) SaveLearned(ctx context.Context, l contracts.Learned) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var id contracts.ContractID
		err := tx.QueryRow(ctx, `select contract_id from access where id = $1`, l.Access).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading access %d: %w", l.Access, err)
		}
		a, err := lockAccess(ctx, tx, id, l.Access)
		if err != nil {
			return err
		}
		if a.Line.Version != l.Version || !a.Line.Learn(&l) {
			return nil
		}
		_, err = tx.Exec(ctx, `update access_line set mac = $2, device_id = $3, port = $4, learned_at = $5 where access_id = $1`,
			l.Access, sqlMAC(a.Line.MAC.To), orNull(a.Line.Device.To), orNull(a.Line.Port.To.String()), l.At)
		if err != nil {
			return fmt.Errorf("recording what access %d learned: %w", l.Access, err)
		}
		return s.accessChanged(ctx, tx, "system", l.At, id, l.Access, "access.learn", lineDetail(&a))
	})
}

// lockAccess holds a contract's row and reads one of its accesses.
func lockAccess(ctx context.Context, tx pgx.Tx, id contracts.ContractID, access contracts.AccessID) (contracts.Access, error) {
	if err := Lock(ctx, tx, id); err != nil {
		return contracts.Access{}, err
	}
	c, err := contract(ctx, tx, id)
	if err != nil {
		return contracts.Access{}, err
	}
	i := slices.IndexFunc(c.Accesses, func(a contracts.Access) bool { return a.ID == access })
	if i < 0 {
		return contracts.Access{}, contracts.NotFoundf("contract %d has no access %d", id, access)
	}
	return c.Accesses[i], nil
}

// saveLine writes an access's line and addresses, one version on. An access that has nothing has no row.
func saveLine(ctx context.Context, tx pgx.Tx, a *contracts.Access) error {
	if _, err := tx.Exec(ctx, `delete from access_address where access_id = $1`, a.ID); err != nil {
		return fmt.Errorf("replacing the addresses of access %d: %w", a.ID, err)
	}
	l := &a.Line
	if l.IsZero() && a.SessionLimit == 0 && l.Version == 0 {
		return nil
	}
	l.Version++
	var mark *string
	var devices *string
	if text := l.MarkText(); text != "" {
		every := "(,)"
		if l.Device.Mode == contracts.BindFixed {
			every = fmt.Sprintf("[%d,%d]", l.Device.To, l.Device.To)
		}
		mark, devices = &text, &every
	}
	_, err := tx.Exec(ctx, `
		insert into access_line (access_id, session_limit, no_password, mac_mode, mac, device_mode, device_id, port_mode, port,
			circuit_id, remote_id, vlan, netmask_bits, version, mark, devices)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::text::int8range)
		on conflict (access_id) do update set session_limit = excluded.session_limit, no_password = excluded.no_password,
			mac_mode = excluded.mac_mode, mac = excluded.mac, device_mode = excluded.device_mode, device_id = excluded.device_id,
			port_mode = excluded.port_mode, port = excluded.port, circuit_id = excluded.circuit_id, remote_id = excluded.remote_id,
			vlan = excluded.vlan, netmask_bits = excluded.netmask_bits, version = excluded.version, mark = excluded.mark,
			devices = excluded.devices`,
		a.ID, a.SessionLimit, l.NoPassword, l.MAC.Mode.String(), sqlMAC(l.MAC.To), l.Device.Mode.String(), orNull(l.Device.To),
		l.Port.Mode.String(), orNull(l.Port.To.String()), l.CircuitID.String(), l.RemoteID.String(), l.VLAN.String(),
		l.Addresses.NetmaskBits, l.Version, mark, devices)
	if err != nil {
		return lineConflict(err, a)
	}
	return saveAddresses(ctx, tx, a)
}

func saveAddresses(ctx context.Context, tx pgx.Tx, a *contracts.Access) error {
	add := func(kind string, n int, prefix netip.Prefix, gateway netip.Addr, metric int) error {
		if !prefix.IsValid() {
			return nil
		}
		var via *netip.Addr
		if gateway.IsValid() {
			via = &gateway
		}
		_, err := tx.Exec(ctx, `insert into access_address (access_id, kind, n, prefix, gateway, metric) values ($1, $2, $3, $4, $5, $6)`,
			a.ID, kind, n, prefix, via, metric)
		if p := violated(err, "access_address_once"); p != nil {
			return contracts.Conflictf("address_taken", "%s belongs to another access", prefix)
		}
		if err != nil {
			return fmt.Errorf("recording the addresses of access %d: %w", a.ID, err)
		}
		return nil
	}
	own := &a.Line.Addresses
	var host netip.Prefix
	if own.IPv4.IsValid() {
		host = netip.PrefixFrom(own.IPv4, 32)
	}
	err := add("ipv4", 0, host, netip.Addr{}, 0)
	for _, p := range [...]struct {
		kind   string
		prefix netip.Prefix
	}{{"framed_ipv6", own.FramedIPv6}, {"delegated_ipv6", own.DelegatedIPv6}} {
		if err == nil {
			err = add(p.kind, 0, p.prefix, netip.Addr{}, 0)
		}
	}
	for n, r := range own.Routes {
		if err == nil {
			err = add("route", n, r.To, r.Gateway, r.Metric)
		}
	}
	return err
}

func violated(err error, constraint string) *pgconn.PgError {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.ConstraintName == constraint {
		return pe
	}
	return nil
}

// lineConflict says in words what the database refuses about a line.
func lineConflict(err error, a *contracts.Access) error {
	if violated(err, "access_line_mark_once") != nil {
		return contracts.Conflictf("mark_taken", "another access without a password is already recognised by that %s", a.Line.Mark())
	}
	if violated(err, "access_line_device_id_fkey") != nil {
		return contracts.Invalidf("device", "there is no such access server")
	}
	return fmt.Errorf("recording the line of access %d: %w", a.ID, err)
}

// lineDetail is what the audit keeps of an access.
func lineDetail(a *contracts.Access) map[string]any {
	l := &a.Line
	d := map[string]any{"recognised_by": l.MarkText(), "mac": l.MAC.Mode.String() + " " + l.MAC.To.String(),
		"device": fmt.Sprint(l.Device.Mode, " ", l.Device.To), "port": l.Port.Mode.String() + " " + l.Port.To.String(),
		"circuit_id": l.CircuitID.String(), "remote_id": l.RemoteID.String(), "vlan": l.VLAN.String(), "session_limit": a.SessionLimit}
	own := &l.Addresses
	var list []string
	if own.IPv4.IsValid() {
		list = append(list, own.IPv4.String())
	}
	for _, p := range []netip.Prefix{own.FramedIPv6, own.DelegatedIPv6} {
		if p.IsValid() {
			list = append(list, p.String())
		}
	}
	for _, r := range own.Routes {
		list = append(list, r.String())
	}
	d["addresses"] = list
	return d
}

func sqlMAC(m contracts.MAC) net.HardwareAddr {
	if m == (contracts.MAC{}) {
		return nil
	}
	return m[:]
}

func orNull[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// readLines fills in the lines and addresses of accesses; at finds an access by number.
func readLines(ctx context.Context, q Querier, ids []int64, at func(contracts.ContractID, contracts.AccessID) *contracts.Access) error {
	rows, err := q.Query(ctx, `
		select a.contract_id, a.id, l.session_limit, l.no_password, l.mac_mode, l.mac, l.device_mode, coalesce(l.device_id, 0),
			l.port_mode, coalesce(l.port, ''), l.circuit_id, l.remote_id, l.vlan, l.netmask_bits, l.version
		from access_line l join access a on a.id = l.access_id where a.contract_id = any($1)`, ids)
	if err != nil {
		return fmt.Errorf("reading the lines of accesses: %w", err)
	}
	var contract contracts.ContractID
	var access contracts.AccessID
	var limit, netmask int
	var noPassword bool
	var device, version int64
	var macMode, deviceMode, portMode, port, circuit, remote, vlan string
	var mac net.HardwareAddr
	_, err = pgx.ForEachRow(rows, []any{&contract, &access, &limit, &noPassword, &macMode, &mac, &deviceMode, &device, &portMode, &port,
		&circuit, &remote, &vlan, &netmask, &version}, func() error {
		a := at(contract, access)
		if a == nil {
			return nil
		}
		a.SessionLimit = limit
		l := &a.Line
		l.NoPassword, l.Version, l.Addresses.NetmaskBits = noPassword, version, netmask
		var errs [7]error
		l.MAC.Mode, errs[0] = contracts.ParseBindMode(macMode)
		l.Device.Mode, errs[1] = contracts.ParseBindMode(deviceMode)
		l.Port.Mode, errs[2] = contracts.ParseBindMode(portMode)
		copy(l.MAC.To[:], mac)
		l.Device.To = device
		l.Port.To, errs[3] = contracts.ParseOctets(port)
		l.CircuitID, errs[4] = contracts.ParseOctets(circuit)
		l.RemoteID, errs[5] = contracts.ParseOctets(remote)
		l.VLAN, errs[6] = contracts.ParseVLAN(vlan)
		if err := errors.Join(errs[:]...); err != nil {
			return fmt.Errorf("access %d: %w", access, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the lines of accesses: %w", err)
	}
	return readAddresses(ctx, q, ids, at)
}

func readAddresses(ctx context.Context, q Querier, ids []int64, at func(contracts.ContractID, contracts.AccessID) *contracts.Access) error {
	rows, err := q.Query(ctx, `
		select a.contract_id, a.id, d.kind, d.prefix, d.gateway, d.metric from access_address d join access a on a.id = d.access_id
		where a.contract_id = any($1) order by d.access_id, d.kind, d.n`, ids)
	if err != nil {
		return fmt.Errorf("reading the addresses of accesses: %w", err)
	}
	var contract contracts.ContractID
	var access contracts.AccessID
	var kind string
	var prefix netip.Prefix
	var gateway *netip.Addr
	var metric int
	_, err = pgx.ForEachRow(rows, []any{&contract, &access, &kind, &prefix, &gateway, &metric}, func() error {
		a := at(contract, access)
		if a == nil {
			return nil
		}
		switch own := &a.Line.Addresses; kind {
		case "ipv4":
			own.IPv4 = prefix.Addr()
		case "framed_ipv6":
			own.FramedIPv6 = prefix
		case "delegated_ipv6":
			own.DelegatedIPv6 = prefix
		case "route":
			r := contracts.Route{To: prefix, Metric: metric}
			if gateway != nil {
				r.Gateway = *gateway
			}
			own.Routes = append(own.Routes, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the addresses of accesses: %w", err)
	}
	return nil
}

// findMark finds accesses by what people write of a line: a MAC address, an address or prefix within theirs, the
// beginning of a circuit or remote id. The answer is a condition on access a and its argument, or nothing.
func findMark(text string) (condition string, arg any) {
	if m, ok := contracts.ParseMAC(text); ok {
		return `a.id in (select access_id from access_line where mac = $5)`, sqlMAC(m)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return `a.id in (select access_id from access_address where prefix && $5::cidr)`, p.Masked()
	}
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		return `a.id in (select access_id from access_address where prefix >>= $5::inet)`, ip.Unmap()
	}
	if len(text) < 3 {
		return "", nil
	}
	return `a.id in (select access_id from access_line where (circuit_id <> '' and circuit_id like $5) or (remote_id <> '' and remote_id like $5))`,
		likePrefix(text)
}

func (s *Store) accessChanged(ctx context.Context, tx pgx.Tx, actor string, now time.Time, c contracts.ContractID, a contracts.AccessID, act string, detail any) error {
	if err := Audit(ctx, tx, now, actor, act, fmt.Sprintf("access:%d", a), "done", detail); err != nil {
		return err
	}
	if err := postgres.MarkChanged(ctx, tx, "contract", int64(c)); err != nil {
		return err
	}
	return postgres.NotifyChange(ctx, tx)
}

// ValidPassword bounds a password by what User-Password can carry (RFC 2865, section 5.2).
func ValidPassword(p string) error {
	if len(p) < 1 || len(p) > 128 || strings.ContainsRune(p, 0) {
		return contracts.Invalidf("password", "a password has 1 to 128 bytes and no NUL")
	}
	return nil
}
