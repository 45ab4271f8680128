// Package radius is the door: it receives Access-, Accounting- and Status-Server packets, decides in memory, and answers.
//
// Owns: listeners, the wire format, authenticators and Message-Authenticator, credentials (PAP, CHAP, MS-CHAP), the
// in-memory directory of subscribers, the reply cache, accounting records and live sessions.
// Does not own: who may have what (contracts), how an access server is told (nas dialects), storage (radius/pg).
//
// The path of an Access-Request touches no disk, no database and no allocator. A packet that cannot be trusted gets
// silence and a counter. A refusal's reason is kept for the operator and never sent.
//
// What each time means: Config.Now is the clock of decisions (which span of a contract holds, when a record was
// received). Retransmission windows, delays and latencies use the machine's monotonic clock.
//
// RFC 2865, 2866, 2869, 2548, 2759, 3079, 3579, 5080, 5997.
package radius
