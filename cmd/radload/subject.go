package main

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"enlace/nas"
	naspg "enlace/nas/pg"
	"enlace/postgres"
)

// subject is the server that bench measures: bin/enlace with a database, a journal and a key of its own in a folder that
// goes when it has been measured.
type subject struct {
	*process
	dir              string
	auth, acct, http string
	pool             *pgxpool.Pool
	seeded           time.Duration // to fill the database
	loaded           time.Duration // of that start, to read the directory into memory
	ready            time.Duration // from the start of the process to /healthz answering
	secret           string
}

// logLine is what bench reads of the server's log.
type logLine struct {
	Message    string  `json:"message"`
	Auth       string  `json:"auth"`
	Accounting string  `json:"accounting"`
	Panel      string  `json:"panel"`
	Logins     int     `json:"logins"`
	Took       float64 `json:"took_ms"`
}

// patience bounds every wait for the server to do something.
const patience = 2 * time.Minute

// raise seeds subscribers, starts the server and makes this machine an access server of it.
func raise(ctx context.Context, enlace string, p *crowdFlags) (_ *subject, err error) {
	s := &subject{secret: hex.EncodeToString(randomBytes(16))}
	if s.dir, err = newFolder(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if err := s.seed(ctx, enlace, p); err != nil {
		return nil, err
	}
	if err := s.serve(ctx, enlace); err != nil {
		return nil, err
	}
	url, err := postgres.Attach(s.clusterDir(), "", database)
	if err != nil {
		return nil, err
	}
	if s.pool, err = postgres.Open(ctx, url, postgres.PoolOptions{MaxConns: 2, Name: "radload"}); err != nil {
		return nil, err
	}
	return s, s.addDevice(ctx, p.Source, "radload")
}

// newFolder is a folder that PostgreSQL's user can walk to: of the usual places the first that every user may enter.
func newFolder() (string, error) {
	for _, parent := range []string{os.TempDir(), "/var/tmp", "/tmp"} {
		open := true
		for dir := filepath.Clean(parent); open && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			info, err := os.Stat(dir)
			open = err == nil && info.Mode()&0o001 != 0
		}
		if !open {
			continue
		}
		dir, err := os.MkdirTemp(parent, "radload-")
		if err != nil {
			return "", fmt.Errorf("making a folder for the server: %w", err)
		}
		return dir, os.Chmod(dir, 0o755)
	}
	return "", errors.New("no folder for temporary files is open to every user: set TMPDIR to one that is")
}

func (s *subject) seed(ctx context.Context, enlace string, p *crowdFlags) error {
	began := time.Now()
	child, err := start(enlace, []string{"seed", "--data-dir", s.dir, "--subscribers", strconv.Itoa(p.Subscribers),
		"--login", p.Login, "--password", p.Password}, func(string) {})
	if err != nil {
		return err
	}
	select {
	case <-child.gone:
		if child.err != nil {
			return child.died()
		}
	case <-ctx.Done():
		child.stop()
		return ctx.Err()
	}
	s.seeded = time.Since(began)
	return s.quiet(ctx)
}

// quiet puts the contracts' due days where no invoice is to be issued for some weeks: what is measured is the network's
// side, and a first invoice for each of a hundred thousand contracts would take minutes of it.
func (s *subject) quiet(ctx context.Context) (err error) {
	cluster, err := postgres.Start(ctx, postgres.ClusterConfig{DataDir: s.clusterDir(), Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	pool, err := postgres.Open(ctx, cluster.URL(database), postgres.PoolOptions{MaxConns: 1, Name: "radload"})
	if err != nil {
		return err
	}
	defer pool.Close()
	// One statement after the other, because a transaction cannot hold a vacuum. That is done here, lest the server's
	// PostgreSQL begin it by itself while something is measured.
	for _, statement := range []string{
		`update contract set due_day = least(28, extract(day from current_date + 20)::int)`,
		`vacuum (analyze)`,
		`checkpoint`,
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("preparing the database: %w", err)
		}
	}
	return nil
}

// database is the name of the server's database in its private cluster.
const database = "enlace"

func (s *subject) clusterDir() string { return filepath.Join(s.dir, "postgres") }

func (s *subject) serve(ctx context.Context, enlace string) error {
	began := time.Now()
	serving := make(chan logLine, 1)
	var err error
	s.process, err = start(enlace, []string{"serve", "--data-dir", s.dir, "--auth-listen", "127.0.0.1:0", "--acct-listen", "127.0.0.1:0",
		"--http-listen", "127.0.0.1:0", "--log-format", "json"}, func(text string) {
		var line logLine
		if json.Unmarshal([]byte(text), &line) != nil {
			return
		}
		switch line.Message {
		case "the directory is loaded":
			s.loaded = time.Duration(line.Took * float64(time.Millisecond))
		case "serving":
			select {
			case serving <- line:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	select {
	case line := <-serving:
		s.auth, s.acct, s.http = strings.Trim(line.Auth, "[]"), strings.Trim(line.Accounting, "[]"), line.Panel
	case <-s.gone:
		return s.died()
	case <-time.After(patience):
		return errors.New("the server does not say that it is serving")
	case <-ctx.Done():
		return ctx.Err()
	}
	err = s.until(ctx, "/healthz answers", func() (bool, error) {
		reply, err := http.Get(s.http + "/healthz")
		if err != nil {
			return false, nil
		}
		defer reply.Body.Close()
		return reply.StatusCode == http.StatusOK, nil
	})
	s.ready = time.Since(began)
	return err
}

// askEvery is seldom enough for the asking, which renders all metrics, to cost nothing beside what is measured.
const askEvery = 50 * time.Millisecond

// until looks again and again whether something is so.
func (s *subject) until(ctx context.Context, what string, so func() (bool, error)) error {
	for end := time.Now().Add(patience); ; {
		if ok, err := so(); ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain until %s", what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.gone:
			return s.died()
		case <-time.After(askEvery):
		}
	}
}

// addDevice makes a source address an access server, and waits until the server knows.
func (s *subject) addDevice(ctx context.Context, source, name string) error {
	key, err := newSealer(filepath.Join(s.dir, "key"))
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(source)
	if err != nil {
		return fmt.Errorf("reading the source address: %w", err)
	}
	device := nas.Device{Name: name, Source: netip.PrefixFrom(address, address.BitLen()), Secret: []byte(s.secret), Dialect: "mikrotik",
		MessageAuthenticator: nas.RequireMA, InterimSeconds: 300, CommandsPerSecond: 50}
	store := naspg.Store{Pool: s.pool, Sealer: key}
	if err := store.CreateDevice(ctx, "radload", time.Now(), &device); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(s.auth)
	if err != nil {
		return fmt.Errorf("reading the server's address: %w", err)
	}
	return s.until(ctx, "the server answers its new device", func() (bool, error) { return statusServer(address, to, newCodec([]byte(s.secret))) })
}

// sealer encrypts like the server does, under the key file it made: one byte of version, the nonce, the ciphertext.
type sealer struct{ cipher.AEAD }

func newSealer(file string) (*sealer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the server's key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("reading the server's key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("reading the server's key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	return &sealer{aead}, err
}

// Seal implements nas/pg.Sealer.
func (s *sealer) Seal(plain []byte) []byte {
	head := append([]byte{1}, randomBytes(s.NonceSize())...)
	return s.AEAD.Seal(head, head[1:], plain, head[:1])
}

// Open implements nas/pg.Sealer.
func (s *sealer) Open(sealed []byte) ([]byte, error) {
	if len(sealed) < 1+s.NonceSize() {
		return nil, errors.New("a sealed secret is cut short")
	}
	return s.AEAD.Open(nil, sealed[1:1+s.NonceSize()], sealed[1+s.NonceSize():], sealed[:1])
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return b
}

// metric is the sum of a metric's series at /metrics.
func (s *subject) metric(name string) (float64, error) {
	request, err := http.NewRequest(http.MethodGet, s.http+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("reading the metrics: %w", err)
	}
	request.Header.Set("Accept-Encoding", "identity") // the server's time is being measured
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("reading the metrics: %w", err)
	}
	defer reply.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("reading the metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("the server has no metric %s", name)
	}
	return sum, nil
}

// end stops the server and removes everything it had.
func (s *subject) end() error {
	if s.pool != nil {
		s.pool.Close()
	}
	if s.process != nil {
		s.stop()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("cleaning up: %w", err)
	}
	return nil
}
