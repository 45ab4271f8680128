package pgtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// roomNeeded is the free memory that /dev/shm must have to be used: a cluster takes some 60 MB, a database 10 MB.
const roomNeeded = 1 << 30

// room makes the folder of this test binary, once: under /dev/shm when there is space, else in the folder for
// temporary files. A keeper outlives this process by a moment and removes the folder. What a keeper could not remove
// (it was killed too) goes when the next test binary comes by.
var room = sync.OnceValues(func() (home, error) {
	for tries := 0; ; tries++ {
		dir, err := makeRoom()
		// The last binary to leave takes the base away, perhaps just as this one enters.
		if !errors.Is(err, fs.ErrNotExist) || tries == 20 {
			return dir, err
		}
	}
})

// home is a room and what must stay open for as long as this process lives.
type home struct {
	dir   string
	held  *os.File // the room's lock
	leash *os.File // the keeper's standard input
	pid   int      // the keeper's
}

func makeRoom() (home, error) {
	base, err := makeBase()
	if err != nil {
		return home{}, fmt.Errorf("making a folder for test clusters: %w", err)
	}
	// Making a room and locking it is one step to those who sweep.
	gate, err := lock(base, syscall.LOCK_EX)
	if err != nil {
		return home{}, err
	}
	defer gate.Close()
	sweep(base)
	dir, err := os.MkdirTemp(base, strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return home{}, fmt.Errorf("making a folder for test clusters: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return home{}, err
	}
	held, err := lock(dir, syscall.LOCK_EX)
	if err != nil {
		return home{}, err
	}
	leash, pid, err := startKeeper(dir, held)
	return home{dir, held, leash, pid}, err
}

// newDir is a fresh folder in this binary's room.
func newDir() (string, error) {
	room, err := room()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(room.dir, "c")
	if err != nil {
		return "", fmt.Errorf("making a cluster's folder: %w", err)
	}
	return dir, os.Chmod(dir, 0o755)
}

func makeBase() (string, error) {
	name := "enlace-pgtest-" + strconv.Itoa(os.Geteuid())
	var problems error
	for _, parent := range []string{"/dev/shm", os.TempDir(), "/tmp"} {
		var disk syscall.Statfs_t
		if err := syscall.Statfs(parent, &disk); err != nil || disk.Bavail*uint64(disk.Bsize) < roomNeeded {
			problems = errors.Join(problems, fmt.Errorf("%s is absent or has less than 1 GB free", parent))
			continue
		}
		if info, err := os.Stat(parent); err != nil || info.Mode()&0o001 == 0 { // PostgreSQL's user is to walk through
			problems = errors.Join(problems, fmt.Errorf("%s is not open to every user", parent))
			continue
		}
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			problems = errors.Join(problems, err)
			continue
		}
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
			problems = errors.Join(problems, fmt.Errorf("%s is in the way", dir))
			continue
		}
		return dir, os.Chmod(dir, 0o755)
	}
	return "", problems
}

// sweep removes rooms whose binary and keeper are gone: nobody holds their lock.
func sweep(base string) {
	entries, _ := os.ReadDir(base)
	for _, entry := range entries {
		dir := filepath.Join(base, entry.Name())
		if held, err := lock(dir, syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			_ = removeAll(dir)
			held.Close()
		}
	}
}

// keeper waits for the end of this process, which closes its standard input, then for PostgreSQL to leave, and
// removes the room, and the base when no other room is left.
const keeper = `
cat >/dev/null
tries=0
while [ $tries -lt 100 ] && ls "$1"/*/data/postmaster.pid >/dev/null 2>&1; do
	sleep 0.05
	tries=$((tries + 1))
done
rm -rf -- "$1"
rmdir -- "$2" 2>/dev/null
`

// startKeeper starts it in a session of its own, so that what ends this process (a terminal's ^C, go test's time
// limit) does not end the keeper; it holds the room's lock on.
func startKeeper(dir string, held *os.File) (leash *os.File, pid int, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, 0, fmt.Errorf("starting the keeper of test clusters: %w", err)
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", keeper, "enlace-pgtest-keeper", dir, filepath.Dir(dir))
	cmd.Dir = "/"
	cmd.Stdin = read
	cmd.ExtraFiles = []*os.File{held}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("starting the keeper of test clusters: %w", err)
	}
	return write, cmd.Process.Pid, nil
}

func lock(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// removeAll removes a cluster's folder. A server that is just leaving may write a last file into it meanwhile.
func removeAll(dir string) error {
	var err error
	for range 10 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
	}
	return fmt.Errorf("removing %s: %w", dir, err)
}
