package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"enlace/postgres"
)

// freeRADIUS is a FreeRADIUS 3.2 with a configuration and a folder of its own, which knows the crowd's subscribers: from
// its `files` module, which reads them into memory, or from rlm_sql on a PostgreSQL of its own.
type freeRADIUS struct {
	*process
	dir        string
	auth, acct string
	secret     string
	cluster    *postgres.Cluster // nil without SQL
	pool       *pgxpool.Pool
}

// Where Debian's packages freeradius, freeradius-common, freeradius-config and freeradius-postgresql put things.
const (
	freeRADIUSLibraries    = "/usr/lib/freeradius"
	freeRADIUSDictionaries = "/usr/share/freeradius"
	freeRADIUSQueries      = "/etc/freeradius/3.0/mods-config/sql/main/postgresql/queries.conf"
	freeRADIUSSchema       = "/etc/freeradius/3.0/mods-config/sql/main/postgresql/schema.sql"
)

// freeRADIUSKind is where it has its subscribers.
type freeRADIUSKind int

const (
	inFiles   freeRADIUSKind = iota
	inSQL                    // as Debian ships it: check, reply and groups are read, and the login is logged in radpostauth
	inLeanSQL                // without groups and that log: the fewest statements that a login can do with
)

// freeRADIUSParts are what differs between the kinds: modules, and the one that is called in each section.
type freeRADIUSParts struct{ modules, module, accounting, postAuth string }

// raiseFreeRADIUS fills and starts one.
func raiseFreeRADIUS(ctx context.Context, source string, p *people, how freeRADIUSKind) (_ *freeRADIUS, err error) {
	program, err := freeRADIUSProgram()
	if err != nil {
		return nil, err
	}
	f := &freeRADIUS{secret: hex.EncodeToString(randomBytes(16))}
	if f.dir, err = newFolder(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.end())
		}
	}()
	if f.auth, err = freePort(source); err != nil {
		return nil, err
	}
	if f.acct, err = freePort(source); err != nil {
		return nil, err
	}
	store := f.inMemory
	if how != inFiles {
		store = f.inPostgres
	}
	parts, err := store(ctx, p)
	if err != nil {
		return nil, err
	}
	if how == inSQL {
		parts.postAuth = parts.module
	}
	parts.modules = strings.ReplaceAll(parts.modules, "$GROUPS", map[bool]string{true: "yes", false: "no"}[how == inSQL])
	text, err := f.configuration(source, parts)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(f.dir, "radiusd.conf"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configuring FreeRADIUS: %w", err)
	}
	if f.process, err = start(program, []string{"-f", "-d", f.dir, "-n", "radiusd", "-D", freeRADIUSDictionaries}, func(string) {}); err != nil {
		return nil, err
	}
	return f, f.awaitAnswer(ctx, source)
}

func freeRADIUSProgram() (string, error) {
	for _, name := range []string{"/usr/sbin/freeradius", "/usr/sbin/radiusd"} {
		if _, err := os.Stat(name); err == nil {
			return name, nil
		}
	}
	return "", errors.New("FreeRADIUS is not here: apt-get install --no-install-recommends freeradius freeradius-postgresql")
}

// freeRADIUSVersion is what FreeRADIUS calls itself.
func freeRADIUSVersion() (string, error) {
	program, err := freeRADIUSProgram()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(program, "-v").Output()
	if err != nil {
		return "", fmt.Errorf("asking FreeRADIUS its version: %w", err)
	}
	_, rest, _ := strings.Cut(string(out), "FreeRADIUS Version ")
	name, _, _ := strings.Cut(rest, ",")
	return name, nil
}

// freePort is an address whose port nobody uses just now.
func freePort(source string) (string, error) {
	c, err := net.ListenPacket("udp", net.JoinHostPort(source, "0"))
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().String(), nil
}

// inMemory writes the file of users, with the reply that a provider's would carry.
func (f *freeRADIUS) inMemory(_ context.Context, p *people) (freeRADIUSParts, error) {
	var b strings.Builder
	for i, login := range p.logins {
		fmt.Fprintf(&b, "%s\tCleartext-Password := \"%s\"\n\tMikrotik-Rate-Limit = \"250M/500M\",\n\tAcct-Interim-Interval = 300\n\n", login, p.passwords[i])
	}
	file := filepath.Join(f.dir, "users")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return freeRADIUSParts{}, fmt.Errorf("writing FreeRADIUS its users: %w", err)
	}
	// Accounting is answered and kept nowhere.
	return freeRADIUSParts{fmt.Sprintf("files {\n\tfilename = %q\n}\n", file), "files", "ok", "ok"}, nil
}

// inPostgres makes a cluster with the same settings as the server's own, and fills the tables of FreeRADIUS's schema.
func (f *freeRADIUS) inPostgres(ctx context.Context, p *people) (parts freeRADIUSParts, err error) {
	f.cluster, err = postgres.Start(ctx, postgres.ClusterConfig{DataDir: filepath.Join(f.dir, "postgres"), Log: zerolog.Nop()})
	if err != nil {
		return parts, err
	}
	const database = "radius"
	if err := f.cluster.EnsureDatabase(ctx, database); err != nil {
		return parts, err
	}
	address := f.cluster.URL(database)
	if f.pool, err = postgres.Open(ctx, address, postgres.PoolOptions{MaxConns: 1, Name: "radload"}); err != nil {
		return parts, err
	}
	schema, err := os.ReadFile(freeRADIUSSchema)
	if err != nil {
		return parts, fmt.Errorf("reading FreeRADIUS's schema (package freeradius-config): %w", err)
	}
	if _, err := f.pool.Exec(ctx, string(schema), pgx.QueryExecModeSimpleProtocol); err != nil {
		return parts, fmt.Errorf("making FreeRADIUS's tables: %w", err)
	}
	columns := []string{"username", "attribute", "op", "value"}
	tables := map[string]func(i int) ([]any, error){
		"radcheck": func(i int) ([]any, error) {
			return []any{p.logins[i], "Cleartext-Password", ":=", p.passwords[i]}, nil
		},
		"radreply": func(i int) ([]any, error) {
			login := p.logins[i/2]
			if i%2 == 0 {
				return []any{login, "Mikrotik-Rate-Limit", "=", "250M/500M"}, nil
			}
			return []any{login, "Acct-Interim-Interval", "=", "300"}, nil
		},
	}
	for table, row := range tables {
		rows := len(p.logins)
		if table == "radreply" {
			rows *= 2
		}
		if _, err := f.pool.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromSlice(rows, row)); err != nil {
			return parts, fmt.Errorf("filling %s: %w", table, err)
		}
	}
	for _, statement := range []string{`vacuum (analyze)`, `checkpoint`} {
		if _, err := f.pool.Exec(ctx, statement); err != nil {
			return parts, fmt.Errorf("preparing FreeRADIUS's database: %w", err)
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return parts, errors.New("the address of FreeRADIUS's database cannot be read")
	}
	host := u.Query().Get("host")
	if host == "" {
		return parts, errors.New("the address of FreeRADIUS's database has no socket")
	}
	user := u.User.Username()
	if user == "" {
		user = u.Query().Get("user")
	}
	return freeRADIUSParts{fmt.Sprintf(`sql {
	driver = "rlm_sql_postgresql"
	dialect = "postgresql"
	radius_db = "host=%s user=%s dbname=%s"
	acct_table1 = "radacct"
	acct_table2 = "radacct"
	postauth_table = "radpostauth"
	authcheck_table = "radcheck"
	authreply_table = "radreply"
	groupcheck_table = "radgroupcheck"
	groupreply_table = "radgroupreply"
	usergroup_table = "radusergroup"
	client_table = "nas"
	group_attribute = "SQL-Group"
	read_groups = $GROUPS
	read_profiles = no
	read_clients = no
	delete_stale_sessions = no
	pool {
		start = 32
		min = 32
		max = 32
		spare = 32
		uses = 0
		lifetime = 0
		idle_timeout = 0
		retry_delay = 1
	}
	$INCLUDE %s
}
`, host, user, database, freeRADIUSQueries), "sql", "sql", "ok"}, nil
}

// configuration is one virtual server that does what the load needs and nothing else.
func (f *freeRADIUS) configuration(source string, parts freeRADIUSParts) (string, error) {
	authPort, err := netip.ParseAddrPort(f.auth)
	if err != nil {
		return "", fmt.Errorf("configuring FreeRADIUS: %w", err)
	}
	acctPort, err := netip.ParseAddrPort(f.acct)
	if err != nil {
		return "", fmt.Errorf("configuring FreeRADIUS: %w", err)
	}
	return strings.NewReplacer("$DIR", f.dir, "$LIB", freeRADIUSLibraries, "$SOURCE", source, "$SECRET", f.secret, "$MODULES", parts.modules,
		"$MODULE", parts.module, "$ACCOUNTING", parts.accounting, "$POSTAUTH", parts.postAuth, "$AUTH", strconv.Itoa(int(authPort.Port())), "$ACCT", strconv.Itoa(int(acctPort.Port()))).Replace(`prefix = /usr
name = radiusd
confdir = $DIR
raddbdir = $DIR
logdir = $DIR
run_dir = $DIR
libdir = $LIB
max_request_time = 30
cleanup_delay = 5
max_requests = 131072
hostname_lookups = no
proxy_requests = no
log {
	destination = files
	file = $DIR/radius.log
}
security {
	max_attributes = 200
	reject_delay = 0
	status_server = yes
}
thread pool {
	start_servers = 32
	max_servers = 32
	min_spare_servers = 3
	max_spare_servers = 32
	max_requests_per_server = 0
	auto_limit_acct = no
}
client crowd {
	ipaddr = $SOURCE
	secret = $SECRET
	require_message_authenticator = yes
}
modules {
	pap {
	}
	chap {
	}
	mschap {
		use_mppe = yes
		require_encryption = no
		require_strong = no
	}
	expr {
	}
	always ok {
		rcode = ok
	}
	$MODULES
}
policy {
	acct_unique {
		update request {
			&Acct-Unique-Session-Id := "%{md5:%{User-Name},%{Acct-Session-ID},%{NAS-IP-Address},%{NAS-Port-ID},%{NAS-Port}}"
		}
	}
}
instantiate {
	expr
}
server crowd {
	listen {
		type = auth
		ipaddr = $SOURCE
		port = $AUTH
		recv_buff = 4194304
	}
	listen {
		type = acct
		ipaddr = $SOURCE
		port = $ACCT
		recv_buff = 4194304
	}
	authorize {
		chap
		mschap
		$MODULE
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
		Auth-Type CHAP {
			chap
		}
		Auth-Type MS-CHAP {
			mschap
		}
	}
	preacct {
		acct_unique
	}
	accounting {
		$ACCOUNTING
	}
	post-auth {
		$POSTAUTH
	}
}
`), nil
}

// awaitAnswer waits until FreeRADIUS has read everything and answers a Status-Server.
func (f *freeRADIUS) awaitAnswer(ctx context.Context, source string) error {
	from, err := netip.ParseAddr(source)
	if err != nil {
		return fmt.Errorf("reading the source address: %w", err)
	}
	to, err := netip.ParseAddrPort(f.auth)
	if err != nil {
		return fmt.Errorf("reading FreeRADIUS's address: %w", err)
	}
	codec := crowd{bare: true}.codec(f.secret)
	for end := time.Now().Add(patience); ; {
		ok, err := statusServer(from, to, codec)
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.gone:
			log, _ := os.ReadFile(filepath.Join(f.dir, "radius.log"))
			return errors.Join(f.died(), fmt.Errorf("its log: %s", log[max(0, len(log)-2000):]))
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			return errors.New("FreeRADIUS does not answer")
		}
	}
}

// usage is FreeRADIUS's processor time, and that of its PostgreSQL.
func (f *freeRADIUS) usage() (usage, error) {
	u, err := f.process.usage()
	if err != nil || f.cluster == nil {
		return u, err
	}
	database, err := usageOf(f.cluster.PID())
	u.others += database.own + database.others
	return u, err
}

// end stops FreeRADIUS and its database and removes everything they had.
func (f *freeRADIUS) end() error {
	if f.pool != nil {
		f.pool.Close()
	}
	if f.process != nil {
		f.stop()
	}
	var err error
	if f.cluster != nil {
		err = f.cluster.Stop()
	}
	if gone := os.RemoveAll(f.dir); gone != nil {
		err = errors.Join(err, fmt.Errorf("cleaning up: %w", gone))
	}
	return err
}
