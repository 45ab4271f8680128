package nas

import "time"

// Answer is what became of a command that was sent.
type Answer string

const (
	Unanswered Answer = ""
	Acked      Answer = "ack"
	Naked      Answer = "nak"
	TimedOut   Answer = "timeout"
)

// Evidence is what showed, after the answer, that a command had its effect: an ACK is not proof.
type Evidence string

const (
	NoEvidence      Evidence = ""
	EvidenceInterim Evidence = "interim" // accounting went on after it: the weakest
	EvidenceTraffic Evidence = "traffic" // faster than the service before allowed
	EvidenceClass   Evidence = "class"   // the Class that it carried came back
	EvidenceStop    Evidence = "stop"
	EvidenceLogin   Evidence = "login"
	// EvidenceIgnored says the contrary: it was acknowledged and had no effect.
	EvidenceIgnored Evidence = "ignored"
)

// CommandID names a command in the record of commands. Whoever makes the record draws it, so that what is learned
// later finds the same row: it is positive and unique over nodes and restarts (a random number of 63 bits will do).
type CommandID int64

// CommandRecord is what the network was told, what it answered and what was seen afterwards. It is recorded when the
// command is requested and again, under the same ID, as more is known; the zero time means "not yet".
type CommandRecord struct {
	ID      CommandID
	Session SessionKey
	Login   string
	Method  Method
	Want    string // the service wanted, as Service.String writes it
	Reason  string // why, for people
	Actor   string // who: "system", "staff:ana", "token:erp"

	RequestedAt time.Time
	SentAt      time.Time // of the first attempt
	Attempts    int       // datagrams sent, with retransmissions
	AnsweredAt  time.Time
	Answer      Answer
	ErrorCause  int // Error-Cause of a NAK (RFC 5176, section 3.5); 0 when absent
	ConfirmedAt time.Time
	Evidence    Evidence
}
