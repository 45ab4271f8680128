package contracts

import "fmt"

// ErrorKind is the coarse class of a domain error; every edge (HTTP, command line) maps kinds once.
type ErrorKind uint8

const (
	// Invalid: the request itself is wrong (a value out of range, a malformed date).
	Invalid ErrorKind = iota + 1
	// NotFound: the thing named does not exist.
	NotFound
	// Conflict: the request contradicts what is already recorded (duplicate login, same idempotency key, other body).
	Conflict
	// Denied: a rule of the contract or of the policy refuses the act; Code says which.
	Denied
)

// Error is a refusal with a meaning. Code is stable and machine readable; Msg is for people.
type Error struct {
	Kind  ErrorKind
	Code  string
	Field string // the offending input field, if one is
	Msg   string
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Msg
	}
	return e.Msg
}

// Invalidf says that a field's value cannot be accepted.
func Invalidf(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Code: "invalid", Field: field, Msg: fmt.Sprintf(format, args...)}
}

// NotFoundf says that the named thing does not exist.
func NotFoundf(format string, args ...any) *Error {
	return &Error{Kind: NotFound, Code: "not_found", Msg: fmt.Sprintf(format, args...)}
}

// Conflictf says that the request contradicts what is recorded.
func Conflictf(code, format string, args ...any) *Error {
	return &Error{Kind: Conflict, Code: code, Msg: fmt.Sprintf(format, args...)}
}

// Deniedf says that a rule refuses the act; code is the rule's reason, as Timeline reports it.
func Deniedf(code, format string, args ...any) *Error {
	return &Error{Kind: Denied, Code: code, Msg: fmt.Sprintf(format, args...)}
}
