// Package control makes the network agree with what subscribers may have. The Reconciler compares, for every open
// session, the service wanted with the one applied, and closes the difference with CoA- and Disconnect-Requests
// (RFC 5176); then it waits for evidence, because an acknowledgement is not proof.
//
// Owns: sockets, retransmission, pace and order of commands. Does not own: what a session should have (asked of
// Config.Desired), how a dialect says it (nas.Plan), which sessions are open (told by SessionSeen and SessionGone).
//
// Nothing here is a one-shot event: whatever is lost, a later interim, change or boundary finds the difference again.
package control
