package nas

import "time"

// Wanted is a session that a node wants to command.
type Wanted struct {
	Key       SessionKey
	StartedAt time.Time
	Since     time.Time // real clock: when it was noticed that a command is due
}

// Grant says whether a node may command a session.
type Grant struct {
	Until  time.Time     // real clock: nothing is sent to the session after it; the zero time: refused
	Again  time.Duration // of a refusal: after how long to ask again
	Serial int64         // of the claim; 0: none was needed
	// Told is what another node told the session last; nil: nobody else did.
	Told *Told
	// Stored is what storage knows to be applied; 0: nothing. It may lag behind what this node has done itself.
	Stored Digest
}

// Told is what became of a command, as other nodes are to know it.
type Told struct {
	Key       SessionKey
	StartedAt time.Time
	Applied   Digest // what the session has since; 0: unknown
	Ended     bool   // a Disconnect was acknowledged
}

// Returned is a grant that is given back, once what it was for has become of it.
type Returned struct {
	Key    SessionKey
	Serial int64
	Told   *Told // nil: the session has what it had
}
