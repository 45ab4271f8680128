package radius

import (
	"time"

	"enlace/nas"
)

// HeardHere reports whether an open session's device has told this node itself of it within the last interval and a half:
// had it turned to another node before that, it would be that one's by now. asked is the interval that the device was asked
// for; what it keeps to counts where that is known.
func (t *Sessions) HeardHere(key nas.SessionKey, now time.Time, asked time.Duration) bool {
	s, ok := t.Get(key)
	if !ok || s.Hearsay {
		return false
	}
	interval := time.Duration(t.life(key.Device).interval.Load())
	if interval == 0 {
		interval = asked
	}
	return now.Unix()-s.Heard <= seconds(max(interval, leastInterval)*3/2)
}
