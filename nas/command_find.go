package nas

import "time"

// CommandFilter selects recorded commands; zero values do not filter.
type CommandFilter struct {
	Device DeviceID
	Login  string // exactly
	Method Method
	Answer Answer
	// Waiting selects those that have no answer yet, Confirmed those whose effect was seen, Ignored those that were
	// acknowledged and had none.
	Waiting, Confirmed, Ignored bool
	// Before selects what was requested earlier than that, or at that instant under a lower ID: the last of the page
	// before.
	Before   time.Time
	BeforeID CommandID
	Limit    int // 1 to 1000; 100 when 0
}

// CommandTally counts a device's commands by what became of them.
type CommandTally struct {
	Acked, Naked, TimedOut, Unreachable int
	Waiting                             int // no answer yet
	Confirmed                           int // of all: the effect was seen
	Ignored                             int // of all: acknowledged without effect
}

// Total of the commands counted.
func (t CommandTally) Total() int {
	return t.Acked + t.Naked + t.TimedOut + t.Unreachable + t.Waiting
}

// Plus adds another device's.
func (t CommandTally) Plus(o CommandTally) CommandTally {
	return CommandTally{t.Acked + o.Acked, t.Naked + o.Naked, t.TimedOut + o.TimedOut, t.Unreachable + o.Unreachable, t.Waiting + o.Waiting, t.Confirmed + o.Confirmed, t.Ignored + o.Ignored}
}
