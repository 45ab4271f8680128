package nas

import (
	"fmt"
	"time"
)

// DeviceFacts is what a device says of itself by its API.
type DeviceFacts struct {
	Identity string
	Version  string // of its system
	Board    string
	Serial   string // none on virtual machines
	Firmware string // of the board, beside the version of the system
	Uptime   time.Duration
	Sessions int // PPP sessions that are open
}

// Level is how much a remark matters.
type Level string

const (
	LevelOK     Level = "ok"
	LevelAdvice Level = "advice"
	LevelWrong  Level = "wrong"
)

// Remark is one thing that was looked at in a device's configuration.
type Remark struct {
	Topic    string // where in the configuration, as the device calls it
	Level    Level
	Text     string // what was found: a format of fmt for Args, so that it can be said in other languages
	Args     []any
	Commands []string // to paste into the device's console, to mend it
}

// String says it in English.
func (f *Remark) String() string {
	if len(f.Args) == 0 {
		return f.Text
	}
	return fmt.Sprintf(f.Text, f.Args...)
}
