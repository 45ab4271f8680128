package nas

import "time"

// ProbeID numbers a probe that was asked for.
type ProbeID int64

// Probe is a request to ask a device what it does with commands.
type Probe struct {
	ID     ProbeID
	Device DeviceID
	Actor  string // who asked: "staff:ana", "token:erp", "cli:root"
	// SessionID names an open session on which a CoA that changes nothing is tried; empty: any that is settled.
	SessionID string
	// TryLogin is a login for trials whose rate may be changed for a while; empty: no rate is changed.
	TryLogin string

	AskedAt time.Time
	TakenAt time.Time // a node has begun; zero: none yet
	EndedAt time.Time
	Note    string // why it could not be done, or not all of it: a Note
}

// Notes of a probe that was not done whole; ProbeNoteText has each in words.
const (
	NoteNoSession   = "no_session"    // no open session that has what it should have
	NoteNotOpen     = "not_open"      // the session asked for is not open, or has not what it should have
	NoteNoTrial     = "no_trial"      // the login for trials has no such session
	NoteUnknown     = "unknown"       // the device is not known to the node
	NoteInterrupted = "interrupted"   // the node ended meanwhile
	NoteUnanswered  = "unanswered"    // the device is silent: nothing was tried on a session
	NoteOneTry      = "one_at_a_time" // the rate is being tried already
)
