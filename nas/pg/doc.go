// Package pg keeps access servers and the record of what they were told in PostgreSQL. Shared secrets are sealed before
// they reach the database and opened after they have left it; this package never sees the key.
package pg
