// Package nas knows access servers: which there are, how each dialect says a service in RADIUS attributes, and what it
// takes to turn the service a session has into the one it should have.
//
// Owns: devices, dialects (one file per vendor) and Plan(want, have). Does not own: sockets and timers (nas/control),
// who may have what (contracts).
//
// The package is pure: no clock, no socket, no SQL, no goroutine.
package nas
