// Package pg keeps sessions in PostgreSQL: open ones in session_live, ended ones in the monthly partitions of
// session_history, and each node's place in its journal in journal_cursor, moved by the transaction that stores what was
// drained.
//
// A batch locks the rows of its sessions in the order of their keys, merges its records into them as package radius
// does, and writes whole sessions back. Counters and times written over a row that another node has made meanwhile only
// grow. So a batch stored twice, or records that reached two nodes, change nothing the second time.
//
// Texts from the wire (Acct-Session-Id, User-Name and the like) are stored as nas.TextOf writes them: bytes that are not
// printable UTF-8 become "\x" and hexadecimal. session_history.stopped_at is an estimate unless closed_by is 'stop'.
package pg
