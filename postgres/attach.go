package postgres

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Attach finds the private PostgreSQL that another process runs in a folder, as Start with the same DataDir and User
// would have, and gives the address of one of its databases.
func Attach(dataDir, user, database string) (string, error) {
	place, err := settle(dataDir, user)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(place.data(), "postmaster.pid"))
	if err != nil {
		return "", fmt.Errorf("finding the running PostgreSQL: %w", err)
	}
	// Line 5 of a running server's lock file is the first directory of its sockets (PostgreSQL manual, "postmaster.pid").
	lines := strings.Split(string(b), "\n")
	if len(lines) < 5 || lines[4] == "" {
		return "", fmt.Errorf("the PostgreSQL in %s is still starting", place.root)
	}
	return socketURL(lines[4], database), nil
}

func socketURL(dir, database string) string {
	query := url.Values{"host": {dir}, "port": {"5432"}, "sslmode": {"disable"}}
	return "postgres://" + superuser + "@/" + url.PathEscape(database) + "?" + query.Encode()
}
