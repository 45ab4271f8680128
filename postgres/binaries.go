package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// MissingBinariesError says that no PostgreSQL server is installed where this process looks for one.
type MissingBinariesError struct {
	Looked []string // the folders searched
}

func (e *MissingBinariesError) Error() string {
	return fmt.Sprintf("PostgreSQL's server programs (initdb, postgres) are not in %s: install them with "+
		"`apt install postgresql`, or name their folder", strings.Join(e.Looked, ", "))
}

// binaries is one installed PostgreSQL server.
type binaries struct {
	dir   string
	major int // 0 when the folder's path does not say
}

// binaryFolders are the places where distributions put one folder per major version.
var binaryFolders = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}

// findBinaries returns the server in dir when one is named; else the installed server of major version `major`, or
// the newest when major is 0; else the one on the PATH.
func findBinaries(dir string, major int, path string) (binaries, error) {
	if dir != "" {
		if b, ok := serverIn(dir); ok {
			return b, nil
		}
		return binaries{}, &MissingBinariesError{Looked: []string{dir}}
	}
	var found []binaries
	for _, pattern := range binaryFolders {
		folders, _ := filepath.Glob(pattern)
		for _, folder := range folders {
			if b, ok := serverIn(folder); ok {
				found = append(found, b)
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].major > found[j].major })
	for _, b := range found {
		if major == 0 || b.major == major {
			return b, nil
		}
	}
	for _, folder := range filepath.SplitList(path) {
		if b, ok := serverIn(folder); ok {
			return b, nil
		}
	}
	if len(found) > 0 { // of another major version: the caller's check of the data directory says which
		return found[0], nil
	}
	return binaries{}, &MissingBinariesError{Looked: append(append([]string{}, binaryFolders...), "the PATH")}
}

// serverIn looks for initdb and postgres in a folder, through symbolic links, because initdb looks for its fellow
// programs beside itself.
func serverIn(folder string) (binaries, bool) {
	if folder == "" {
		return binaries{}, false
	}
	server, err := filepath.EvalSymlinks(filepath.Join(folder, "postgres"))
	if err != nil {
		return binaries{}, false
	}
	real := filepath.Dir(server)
	for _, program := range []string{"postgres", "initdb"} {
		info, err := os.Stat(filepath.Join(real, program))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return binaries{}, false
		}
	}
	version := strings.TrimPrefix(filepath.Base(filepath.Dir(real)), "pgsql-")
	major, _ := strconv.Atoi(version)
	return binaries{dir: real, major: major}, true
}
