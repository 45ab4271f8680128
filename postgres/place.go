package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

var (
	// ErrInUse: another process holds the data directory.
	ErrInUse = errors.New("data directory is in use")
	// ErrVersion: the data directory was made by another major version of PostgreSQL than the one installed.
	ErrVersion = errors.New("data directory is of another PostgreSQL version")
)

// socketPathLimit is the room for a socket's path in sockaddr_un on Linux, the closing NUL included.
const socketPathLimit = 107

const socketName = ".s.PGSQL.5432"

// place is where a cluster lives: root/data is PGDATA, root/run holds the socket when its path is short enough.
type place struct {
	root  string
	moved bool
	acct  account
}

func (p place) data() string { return filepath.Join(p.root, "data") }

// initialised tells whether a finished data directory is there: initdb works beside it and a rename finishes.
func (p place) initialised() bool { return exists(p.data()) }

// settle decides where the cluster lives and which user runs it. Existing data decides over everything else; a new
// cluster goes where it was asked for, or, when root asks for a folder that the server's unprivileged user cannot
// walk to, to a folder under /var/lib whose name follows from the one asked for.
func settle(asked, wantedUser string) (place, error) {
	asked, err := realPath(asked)
	if err != nil {
		return place{}, err
	}
	if exists(filepath.Join(asked, "PG_VERSION")) {
		return place{}, fmt.Errorf("%s is a bare PostgreSQL data directory: name a folder for this program's own use", asked)
	}
	acct, err := chooseAccount(wantedUser)
	if err != nil {
		return place{}, err
	}
	here := place{root: asked, acct: acct}
	there := place{root: "/var/lib/enlace-" + shortHash(asked), moved: true, acct: acct}
	if here.initialised() {
		if here.acct, err = ownerAccount(here.data()); err != nil {
			return place{}, err
		}
		if !here.acct.reaches(asked) {
			return place{}, fmt.Errorf("the user %s, whose database is in %s, can no longer reach it: some folder above "+
				"forbids it (chmod o+x)", here.acct.name, asked)
		}
		return here, nil
	}
	if there.initialised() && acct.drop {
		there.acct, err = ownerAccount(there.data())
		return there, err
	}
	if acct.reaches(asked) {
		return here, nil
	}
	return there, nil
}

// claim makes the place's folder and takes its lock, held until the returned file is closed.
func (p place) claim() (*os.File, error) {
	if err := makeWalkable(p.root); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	dir, err := os.Open(p.root)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: another process runs the database in %s", ErrInUse, p.root)
		}
		return nil, fmt.Errorf("locking the data directory %s: %w", p.root, err)
	}
	return dir, nil
}

// socketDir makes the folder of the server's socket: below the root, or a short folder when that path is too long, or
// holds a character that PostgreSQL takes for the end of a list's member.
func (p place) socketDir() (string, error) {
	dir := filepath.Join(p.root, "run")
	if len(dir)+len("/")+len(socketName) >= socketPathLimit || strings.ContainsAny(dir, ",\"'") {
		base := "/tmp"
		if p.acct.drop && p.acct.reaches("/run") {
			base = "/run"
		}
		dir = filepath.Join(base, "enlace-"+shortHash(p.root))
	}
	if err := p.acct.makePrivate(dir); err != nil {
		return "", fmt.Errorf("making the socket's directory: %w", err)
	}
	return dir, nil
}

// major reads which PostgreSQL made the data; 0 when there is none yet.
func (p place) major() (int, error) {
	if !p.initialised() {
		return 0, nil
	}
	text, err := os.ReadFile(filepath.Join(p.data(), "PG_VERSION"))
	if err != nil {
		return 0, fmt.Errorf("reading the data directory's version: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%w: %s says %q", ErrVersion, p.data(), strings.TrimSpace(string(text)))
	}
	return major, nil
}

// makeWalkable makes dir and its missing parents, each open to walk through whatever the umask is: a private parent
// would shut the server's user out.
func makeWalkable(dir string) error {
	if exists(dir) {
		return nil
	}
	if err := makeWalkable(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return os.Chmod(dir, 0o755)
}

// realPath is the absolute path with every existing symbolic link resolved, so that one folder has one name.
func realPath(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no data directory named")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	missing := ""
	for at := dir; ; at = filepath.Dir(at) {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, missing), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return "", fmt.Errorf("data directory: %w", err)
		}
		missing = filepath.Join(filepath.Base(at), missing)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:5])
}
