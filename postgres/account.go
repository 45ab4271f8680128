package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the system user that the server runs as. PostgreSQL refuses to run as root, so a root process drops to
// an unprivileged user for the server and for nothing else.
type account struct {
	name string
	uid  uint32
	gid  uint32
	drop bool // this process is root and becomes the user for the child
}

// serverAccounts are tried in this order when root names none: a user of our own, Debian's, and the one every system has.
var serverAccounts = []string{"enlace", "postgres", "nobody"}

// ownAccount is the user this process runs as already.
func ownAccount() account {
	a := account{name: strconv.Itoa(os.Geteuid()), uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	if u, err := user.LookupId(a.name); err == nil {
		a.name = u.Username
	}
	return a
}

// chooseAccount picks who runs a new cluster's server; wanted may be empty.
func chooseAccount(wanted string) (account, error) {
	if os.Geteuid() != 0 {
		return ownAccount(), nil
	}
	names := serverAccounts
	if wanted != "" {
		names = []string{wanted}
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		if u.Uid == "0" {
			return account{}, fmt.Errorf("PostgreSQL does not run as root: name another system user than %q", name)
		}
		return accountOf(u)
	}
	return account{}, fmt.Errorf("no system user to run PostgreSQL as: none of %q exists", names)
}

// ownerAccount is the user that an existing data directory belongs to: the one its server must run as.
func ownerAccount(dir string) (account, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return account{}, err
	}
	owner := info.Sys().(*syscall.Stat_t)
	name := strconv.Itoa(int(owner.Uid))
	u, err := user.LookupId(name)
	if err == nil {
		name = u.Username
	}
	switch {
	case os.Geteuid() == int(owner.Uid) && owner.Uid != 0:
		return ownAccount(), nil
	case os.Geteuid() != 0:
		return account{}, fmt.Errorf("%s belongs to the user %s: start this program as that user or as root", dir, name)
	case owner.Uid == 0:
		return account{}, fmt.Errorf("%s belongs to root, whom PostgreSQL does not run as: give it to an unprivileged user", dir)
	}
	return account{name: name, uid: owner.Uid, gid: owner.Gid, drop: true}, nil
}

func accountOf(u *user.User) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("reading user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("reading user %s: %w", u.Username, err)
	}
	return account{name: u.Username, uid: uint32(uid), gid: uint32(gid), drop: true}, nil
}

// attributes makes a child process this user's, in a process group of its own (a terminal's ^C is for us alone, who
// then stop the server in order), and dying with the thread that started it.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// makePrivate makes a directory that only this user may enter.
func (a account) makePrivate(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Lstat, because under a shared folder such as /tmp somebody else may have put a link or a folder of theirs there.
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if !info.IsDir() || (owner != a.uid && owner != uint32(os.Geteuid())) {
		return fmt.Errorf("%s is in the way: it is not a directory of the user %s", dir, a.name)
	}
	if a.drop {
		if err := os.Lchown(dir, int(a.uid), int(a.gid)); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o700)
}

// reaches tells whether the user can walk down to dir. dir is absolute and free of symbolic links; the part of it
// that does not exist yet will be made walkable and does not count.
func (a account) reaches(dir string) bool {
	if !a.drop {
		return true
	}
	for {
		if info, err := os.Stat(dir); err == nil {
			st := info.Sys().(*syscall.Stat_t)
			walk := info.Mode()&0o001 != 0
			if st.Uid == a.uid {
				walk = info.Mode()&0o100 != 0
			} else if st.Gid == a.gid {
				walk = info.Mode()&0o010 != 0
			}
			if !walk {
				return false
			}
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
