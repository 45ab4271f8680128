package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
)

// ClusterConfig says where a private PostgreSQL lives and how it runs.
type ClusterConfig struct {
	// DataDir is the folder of this cluster, made when absent: data/ below it is PostgreSQL's data directory, run/ its
	// socket. It is never deleted.
	DataDir string
	// BinDir holds initdb and postgres; empty finds the installed version that fits the data, else the newest.
	BinDir string
	// User is the system user the server runs as when this process is root; empty: enlace, postgres or nobody, the
	// first that exists. Existing data is always run by its owner.
	User string
	Log  zerolog.Logger
	// Fast gives up safety against a crash of the machine (no fsync), for tests.
	Fast bool
	// Settings are server parameters by name, laid over the defaults of this package.
	Settings map[string]string
}

// Cluster is a running private PostgreSQL, a child of this process that ends with it. When the server dies it is
// started again, with crash recovery, until Stop.
type Cluster struct {
	DataDir string // where it really lives
	Moved   bool   // whether that is not the folder asked for, which the server's user could not reach
	User    string // the system user the server runs as

	cfg    ClusterConfig
	place  place
	bin    binaries
	socket string
	lock   *os.File

	up   chan struct{} // closed when the server is first ready
	stop chan struct{} // closed when Stop is called
	done chan struct{} // closed when the server is gone for good

	mu       sync.Mutex
	server   *server // the process now running, or the last one
	stopping bool
	restarts int
	err      error
}

// contendedLimit is how long a first start waits for an orphan of a killed predecessor to finish its shutdown.
const contendedLimit = 30 * time.Second

// Start makes the cluster when there is none, and returns when it answers. ctx bounds the start, not the life: Stop
// ends that. Errors: *MissingBinariesError, ErrInUse, ErrVersion, and others of the file system.
func Start(ctx context.Context, cfg ClusterConfig) (*Cluster, error) {
	place, err := settle(cfg.DataDir, cfg.User)
	if err != nil {
		return nil, err
	}
	major, err := place.major()
	if err != nil {
		return nil, err
	}
	bin, err := findBinaries(cfg.BinDir, major, os.Getenv("PATH"))
	if err != nil {
		return nil, err
	}
	if major != 0 && bin.major != 0 && major != bin.major {
		return nil, fmt.Errorf("%w: %s was made by PostgreSQL %d, installed is %d in %s: install postgresql-%d, "+
			"or move the data over with pg_upgrade", ErrVersion, place.data(), major, bin.major, bin.dir, major)
	}
	lock, err := place.claim()
	if err != nil {
		return nil, err
	}
	socket, err := place.socketDir()
	if err != nil {
		lock.Close()
		return nil, err
	}
	c := &Cluster{
		DataDir: place.root, Moved: place.moved, User: place.acct.name,
		cfg: cfg, place: place, bin: bin, socket: socket, lock: lock,
		up: make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if c.Moved {
		cfg.Log.Warn().Str("asked", cfg.DataDir).Str("data_dir", c.DataDir).Str("user", c.User).
			Msg("the database's user cannot reach the folder asked for; the database lives elsewhere")
	}
	began := time.Now()
	go c.supervise()
	select {
	case <-c.up:
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("starting PostgreSQL: %w", context.Cause(ctx)), c.Stop())
	}
	if err := c.answer(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	cfg.Log.Info().Str("data_dir", c.DataDir).Str("user", c.User).Int("pid", c.PID()).
		Dur("took", time.Since(began)).Msg("PostgreSQL is up")
	return c, nil
}

// URL is the address of a database of this cluster, over its Unix socket, as its superuser.
func (c *Cluster) URL(database string) string {
	return socketURL(c.socket, database)
}

// EnsureDatabase makes a database unless it exists.
func (c *Cluster) EnsureDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return fmt.Errorf("making database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var there bool
	err = conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, name).Scan(&there)
	if err != nil {
		return fmt.Errorf("making database %s: %w", name, err)
	}
	if there {
		return nil
	}
	// template0, because template1 cannot be copied while anybody is connected to it.
	_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()+" template template0")
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) && (refusal.Code == "42P04" || refusal.Code == "23505") { // another was quicker
		return nil
	}
	if err != nil {
		return fmt.Errorf("making database %s: %w", name, err)
	}
	return nil
}

// Done is closed when the server is gone and stays gone: after Stop, or when it could not be brought back.
func (c *Cluster) Done() <-chan struct{} { return c.done }

// Err says why the server is gone, or, while it is being brought back, why it died; nil when all is well.
func (c *Cluster) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// PID is the server's process id, 0 while there is none.
func (c *Cluster) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil || c.server.gone() {
		return 0
	}
	return c.server.cmd.Process.Pid
}

// Restarts counts how often a dead server was started again.
func (c *Cluster) Restarts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restarts
}

// Stop shuts the server down: sessions are cut, what was committed is checkpointed. It may be called again.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	if !c.stopping {
		c.stopping = true
		close(c.stop)
	}
	s := c.server
	c.mu.Unlock()
	if s != nil {
		if err := s.end(); err != nil {
			<-c.done
			return err
		}
	}
	<-c.done
	return nil
}

// answer proves that the server takes connections.
func (c *Cluster) answer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL runs but takes no connection: %w", err)
		case <-c.done:
			return c.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// arguments are the server's command line. The defaults suit a machine that does other things too.
func (c *Cluster) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "", // the socket in a private folder is the only door
		"port":                    "5432",
		"unix_socket_directories": c.socket,
		"unix_socket_permissions": "0700",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_line_prefix":         "",
		"log_min_messages":        "log",   // a statement's error is its caller's to log
		"log_min_error_statement": "panic", // nor are statements, which may hold secrets, copied to a log
		"log_checkpoints":         "off",
		"max_connections":         "200",
		"shared_buffers":          "256MB",
		"max_wal_size":            "2GB",
		"random_page_cost":        "1.1",
		"jit":                     "off",
	}
	if c.cfg.Fast {
		maps.Copy(settings, map[string]string{
			"fsync":                      "off",
			"full_page_writes":           "off",
			"autovacuum":                 "off",
			"shared_buffers":             "64MB",
			"max_wal_size":               "256MB",
			"min_wal_size":               "32MB",
			"dynamic_shared_memory_type": "mmap", // in the data directory, so that a kill leaves nothing in /dev/shm
		})
	}
	maps.Copy(settings, c.cfg.Settings)
	args := []string{"-D", c.place.data()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}
