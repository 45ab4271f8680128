// Package postgres is the database itself: a private PostgreSQL that this process starts and minds, the connection
// pool, the schema and its migrations, and the feed of changes that nodes with a projection in memory follow.
//
// It owns the server's process, directory and socket, the schema's version and the table `change`. It does not own
// what the other tables mean: each package keeps its SQL in a pg folder of its own.
package postgres
