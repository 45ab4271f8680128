// Package contracts is what a subscriber may have: customers, plans, contracts, the facts recorded about them, the
// dunning policy, and the Timeline that follows from all of it.
//
// Owns: the meaning of every fact and the one function that turns facts and time into a status and an outcome.
// Does not own: storage (contracts/pg), money movements (billing), how an access server is told (nas).
//
// What each time means: an instant (time.Time) is UTC and says when a fact became known; a Date is civil, in the
// contract's zone, and says what people agreed on. The state at an instant T uses the facts recorded by T and nothing
// later, so the past never changes when news arrives.
//
// The package is pure: no clock, no socket, no SQL, no goroutine. Time is always an argument.
package contracts
