// Package decisions runs decision tables against the engine that the server uses: what happened to a contract, and which
// status must hold at which instant. docs/decision-tables.md describes the format.
package decisions
