package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"enlace/contracts"
	"enlace/nas"
	"enlace/postgres"
)

// Sealer encrypts what must not be read in the database.
type Sealer interface {
	Seal([]byte) []byte
	Open([]byte) ([]byte, error)
}

// Store keeps devices and commands in the database of Pool.
type Store struct {
	Pool   *pgxpool.Pool
	Sealer Sealer
	// Dialects that a device may be given; nil: any.
	Dialects *nas.Dialects
}

const deviceColumns = `id, name, source, secret_sealed, older_secret_sealed, certificate, dialect, coa_address, nas_identifier,
	message_authenticator, limit_proxy_state, interim_seconds, commands_per_second, swap_octets, coalesce(ipv4_pool, 0), coalesce(delegated_pool, 0), observed_since, coalesce(signed, 0),
	coalesce(unsigned, 0), last_unsigned, coalesce(unsigned_proxied, 0), last_unsigned_proxied, coalesce(signs, false),
	coalesce(proxies_bare, false), short_name, model, pop, zone, latitude, longitude, api_address, api_user, api_password_sealed, api_certificate`

// Devices is all devices that have not been retired, by name, with their secrets opened.
func (s *Store) Devices(ctx context.Context) ([]nas.Device, error) {
	return s.devices(ctx, s.Pool, `where retired_at is null order by name`)
}

// DialectsSpoken are the names of the dialects that devices which have not been retired speak.
func (s *Store) DialectsSpoken(ctx context.Context) ([]string, error) {
	rows, err := s.Pool.Query(ctx, `select distinct dialect from device where retired_at is null order by dialect`)
	if err != nil {
		return nil, fmt.Errorf("reading the dialects of devices: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reading the dialects of devices: %w", err)
	}
	return names, nil
}

// Device is one device, retired or not. The error is a NotFound when there is none.
func (s *Store) Device(ctx context.Context, id nas.DeviceID) (nas.Device, error) {
	return s.device(ctx, s.Pool, id, ``)
}

// DeviceByName is the device of that name that has not been retired. The error is a NotFound when there is none.
func (s *Store) DeviceByName(ctx context.Context, name string) (nas.Device, error) {
	if !storable(name) {
		return nas.Device{}, contracts.NotFoundf("there is no device %q", name)
	}
	found, err := s.devices(ctx, s.Pool, `where name = $1 and retired_at is null`, name)
	if err != nil {
		return nas.Device{}, err
	}
	if len(found) == 0 {
		return nas.Device{}, contracts.NotFoundf("there is no device %q", name)
	}
	return found[0], nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (s *Store) device(ctx context.Context, q querier, id nas.DeviceID, more string) (nas.Device, error) {
	found, err := s.devices(ctx, q, `where id = $1 `+more, int64(id))
	if err != nil {
		return nas.Device{}, err
	}
	if len(found) == 0 {
		return nas.Device{}, contracts.NotFoundf("there is no device %d", id)
	}
	return found[0], nil
}

func (s *Store) devices(ctx context.Context, q querier, where string, args ...any) ([]nas.Device, error) {
	rows, err := q.Query(ctx, `select `+deviceColumns+` from device
		left join device_observation o on o.device_id = device.id and o.since = device.observed_since `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading devices: %w", err)
	}
	devices, err := pgx.CollectRows(rows, s.scan)
	if err != nil {
		return nil, fmt.Errorf("reading devices: %w", err)
	}
	return devices, addConformance(ctx, q, devices)
}

func (s *Store) scan(row pgx.CollectableRow) (nas.Device, error) {
	var d nas.Device
	var sealed, older, apiPassword []byte
	var coa, api string
	var latitude, longitude *float64
	var lastUnsigned, lastProxied *time.Time
	o := &d.Observed
	err := row.Scan(&d.ID, &d.Name, &d.Source, &sealed, &older, &d.Certificate, &d.Dialect, &coa, &d.NASIdentifier,
		&d.MessageAuthenticator, &d.LimitProxyState, &d.InterimSeconds, &d.CommandsPerSecond, &d.SwapOctets, &d.IPv4Pool, &d.DelegatedPool, &o.Since, &o.Signed,
		&o.Unsigned, &lastUnsigned, &o.UnsignedProxied, &lastProxied, &o.Signs, &o.ProxiesBare,
		&d.Site.ShortName, &d.Site.Model, &d.Site.POP, &d.Site.Zone, &latitude, &longitude, &api, &d.API.User, &apiPassword, &d.API.Certificate)
	if err != nil {
		return d, err
	}
	o.Since = o.Since.UTC()
	o.LastUnsigned, o.LastUnsignedProxied = known(lastUnsigned), known(lastProxied)
	if older != nil {
		if d.OlderSecret, err = s.Sealer.Open(older); err != nil {
			return d, fmt.Errorf("opening the older secret of device %q: %w", d.Name, err)
		}
	}
	if d.Secret, err = s.Sealer.Open(sealed); err != nil {
		return d, fmt.Errorf("opening the secret of device %q: %w", d.Name, err)
	}
	if coa != "" {
		if d.CoA, err = netip.ParseAddrPort(coa); err != nil {
			return d, fmt.Errorf("the CoA address of device %q: %w", d.Name, err)
		}
	}
	if latitude != nil && longitude != nil {
		d.Site.Place = &nas.Coordinates{Latitude: *latitude, Longitude: *longitude}
	}
	if api != "" {
		if d.API.Addr, err = netip.ParseAddrPort(api); err != nil {
			return d, fmt.Errorf("the API address of device %q: %w", d.Name, err)
		}
	}
	if apiPassword != nil {
		if d.API.Password, err = s.Sealer.Open(apiPassword); err != nil {
			return d, fmt.Errorf("opening the API password of device %q: %w", d.Name, err)
		}
	}
	return d, nil
}

// CreateDevice adds a device and sets its ID. The error is Invalid, or Conflict when the name or the source is another
// device's.
func (s *Store) CreateDevice(ctx context.Context, actor string, now time.Time, d *nas.Device) error {
	if err := s.validate(d); err != nil {
		return err
	}
	var id nas.DeviceID
	err := s.act(ctx, actor, now, "device.create", d, func(tx pgx.Tx) (nas.DeviceID, error) {
		if err := checkPools(ctx, tx, d); err != nil {
			return 0, err
		}
		err := tx.QueryRow(ctx, `
			insert into device (name, source, secret_sealed, older_secret_sealed, certificate, dialect, coa_address,
				nas_identifier, message_authenticator, limit_proxy_state, interim_seconds, commands_per_second, created_at,
				observed_since, swap_octets, ipv4_pool, delegated_pool)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, nullif($15, 0), nullif($16, 0)) returning id`,
			d.Name, d.Source, s.Sealer.Seal(d.Secret), s.sealOlder(d), d.Certificate, d.Dialect, coaText(d.CoA),
			d.NASIdentifier, string(d.MessageAuthenticator), string(d.LimitProxyState), d.InterimSeconds,
			d.CommandsPerSecond, now, d.SwapOctets, int64(d.IPv4Pool), int64(d.DelegatedPool)).Scan(&id)
		if err != nil {
			return 0, err
		}
		return id, s.saveSite(ctx, tx, id, d)
	})
	if err == nil {
		d.ID = id
	}
	return err
}

// UpdateDevice changes a device that has not been retired. An empty secret leaves the one it has, and so does
// an empty password of its API. A device that is given
// a secret which shares nothing with those it had is observed anew. The error is Invalid, NotFound, or Conflict.
func (s *Store) UpdateDevice(ctx context.Context, actor string, now time.Time, d *nas.Device) error {
	return s.act(ctx, actor, now, "device.update", d, func(tx pgx.Tx) (nas.DeviceID, error) {
		old, err := s.device(ctx, tx, d.ID, `and retired_at is null for update of device`)
		if err != nil {
			return 0, err
		}
		changed := *d
		if len(changed.Secret) == 0 {
			changed.Secret = old.Secret
		}
		if changed.API.Known() && len(changed.API.Password) == 0 {
			changed.API.Password = old.API.Password
		}
		if err := s.validate(&changed); err != nil {
			return 0, err
		}
		if err := checkPools(ctx, tx, d); err != nil {
			return 0, err
		}
		_, err = tx.Exec(ctx, `
			update device set name = $2, source = $3, secret_sealed = $4, older_secret_sealed = $5, certificate = $6,
				dialect = $7, coa_address = $8, nas_identifier = $9, message_authenticator = $10, limit_proxy_state = $11,
				interim_seconds = $12, commands_per_second = $13, swap_octets = $14,
				ipv4_pool = nullif($15, 0), delegated_pool = nullif($16, 0)
			where id = $1`,
			int64(d.ID), d.Name, d.Source, s.Sealer.Seal(changed.Secret), s.sealOlder(&changed), d.Certificate, d.Dialect,
			coaText(d.CoA), d.NASIdentifier, string(d.MessageAuthenticator), string(changed.LimitProxyState),
			d.InterimSeconds, d.CommandsPerSecond, d.SwapOctets, int64(d.IPv4Pool), int64(d.DelegatedPool))
		if err == nil {
			err = s.saveSite(ctx, tx, d.ID, &changed)
		}
		if err == nil && !changed.SharesSecret(&old) {
			err = observeAnew(ctx, tx, d.ID, now)
		}
		return d.ID, err
	})
}

// saveSite stores what a device is, where it stands and how its API is reached.
func (s *Store) saveSite(ctx context.Context, tx pgx.Tx, id nas.DeviceID, d *nas.Device) error {
	var latitude, longitude *float64
	if d.Site.Place != nil {
		latitude, longitude = &d.Site.Place.Latitude, &d.Site.Place.Longitude
	}
	var password []byte
	if len(d.API.Password) > 0 {
		password = s.Sealer.Seal(d.API.Password)
	}
	_, err := tx.Exec(ctx, `
		update device set short_name = $2, model = $3, pop = $4, zone = $5, latitude = $6, longitude = $7,
			api_address = $8, api_user = $9, api_password_sealed = $10, api_certificate = $11
		where id = $1`,
		int64(id), d.Site.ShortName, d.Site.Model, d.Site.POP, d.Site.Zone, latitude, longitude,
		coaText(d.API.Addr), d.API.User, password, d.API.Certificate)
	return err
}

// ObserveAnew forgets what was seen of a device and what was learned from it, as after its replacement by one that does
// not send Message-Authenticator. The error is a NotFound when there is none in service.
func (s *Store) ObserveAnew(ctx context.Context, actor string, now time.Time, id nas.DeviceID) error {
	d, err := s.device(ctx, s.Pool, id, `and retired_at is null`)
	if err != nil {
		return err
	}
	return s.act(ctx, actor, now, "device.observe_anew", &d, func(tx pgx.Tx) (nas.DeviceID, error) {
		return id, observeAnew(ctx, tx, id, now)
	})
}

// RetireDevice takes a device out of service: its packets are those of a stranger from then on. What it did is kept.
// The error is a NotFound when there is none in service.
func (s *Store) RetireDevice(ctx context.Context, actor string, now time.Time, id nas.DeviceID) error {
	d, err := s.Device(ctx, id)
	if err != nil {
		return err
	}
	return s.act(ctx, actor, now, "device.retire", &d, func(tx pgx.Tx) (nas.DeviceID, error) {
		tag, err := tx.Exec(ctx, `update device set retired_at = $2 where id = $1 and retired_at is null`, int64(id), now)
		if err == nil && tag.RowsAffected() == 0 {
			err = contracts.NotFoundf("device %q has been retired already", d.Name)
		}
		return id, err
	})
}

// act does something to a device, with its row of the audit and its mark for the nodes, all or nothing.
func (s *Store) act(ctx context.Context, actor string, now time.Time, act string, d *nas.Device,
	do func(pgx.Tx) (nas.DeviceID, error)) error {
	detail, err := json.Marshal(map[string]any{
		"name": d.Name, "source": d.Source.String(), "dialect": d.Dialect, "coa": coaText(d.CoA),
		"nas_identifier": d.NASIdentifier, "message_authenticator": d.MessageAuthenticator,
		"limit_proxy_state": d.LimitProxyState, "certificate": d.Certificate, "older_secret_accepted": d.OlderSecret != nil,
		"interim_seconds": d.InterimSeconds, "commands_per_second": d.CommandsPerSecond, "swap_octets": d.SwapOctets, "ipv4_pool": d.IPv4Pool, "delegated_pool": d.DelegatedPool,
		"site": d.Site, "api": coaText(d.API.Addr), "api_user": d.API.User, "api_certificate": d.API.Certificate, "api_password_given": len(d.API.Password) > 0,
		"secret_given": (act == "device.create" || act == "device.update") && len(d.Secret) > 0,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", act, err)
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		id, err := do(tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into audit (at, actor, act, subject, result, detail) values ($1, $2, $3, $4, 'done', $5)`,
			now, actor, act, "device:"+strconv.FormatInt(int64(id), 10), detail)
		if err != nil {
			return err
		}
		if err := postgres.MarkChanged(ctx, tx, "device", int64(id)); err != nil {
			return err
		}
		return postgres.NotifyChange(ctx, tx)
	})
	return refused(act, d, err)
}

// refused gives the errors that an operator can do something about their meaning.
func refused(act string, d *nas.Device, err error) error {
	var domain *contracts.Error
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &domain):
		return domain
	case errors.As(err, &pgErr) && pgErr.Code == "23505" && pgErr.ConstraintName == "device_name_key":
		e := contracts.Conflictf("duplicate_name", "there is a device named %q already", d.Name)
		e.Field = "name"
		return e
	case errors.As(err, &pgErr) && pgErr.Code == "23505" && pgErr.ConstraintName == "device_source_key":
		e := contracts.Conflictf("duplicate_source", "another device has the source %s and the same NAS-Identifier", d.Source)
		e.Field = "source"
		return e
	case errors.As(err, &pgErr) && pgErr.Code == "23505" && pgErr.ConstraintName == "device_certificate_key":
		e := contracts.Conflictf("duplicate_certificate", "another device has the certificate %s", d.Certificate)
		e.Field = "certificate"
		return e
	}
	return fmt.Errorf("%s: %w", act, err)
}

// validate adds to the domain's rules what the database cannot hold.
func (s *Store) validate(d *nas.Device) error {
	if d.LimitProxyState == "" {
		d.LimitProxyState = nas.LearnProxyState
	}
	if err := d.Validate(); err != nil {
		return err
	}
	if s.Dialects != nil && s.Dialects.Named(d.Dialect) == nil {
		return contracts.Invalidf("dialect", "%q is not a known dialect", d.Dialect)
	}
	for field, text := range map[string]string{"name": d.Name, "nas_identifier": d.NASIdentifier} {
		if !storable(text) {
			return contracts.Invalidf(field, "%q has characters that are not printable", text)
		}
	}
	if len(d.NASIdentifier) > 253 {
		return contracts.Invalidf("nas_identifier", "an identifier has at most 253 bytes")
	}
	return nil
}

// storable reports whether text is plain printable text.
func storable(text string) bool { return nas.TextOf(text) == text }

func (s *Store) sealOlder(d *nas.Device) []byte {
	if d.OlderSecret == nil {
		return nil
	}
	return s.Sealer.Seal(d.OlderSecret)
}

func coaText(a netip.AddrPort) string {
	if a == (netip.AddrPort{}) {
		return ""
	}
	return a.String()
}
