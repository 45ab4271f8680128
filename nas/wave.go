package nas

import "time"

// Wave is a mass change: many sessions of one node that differed at once from what they should have, such as on the day of
// the blocks. It ends when each has what it should have, has ended, or was given up.
type Wave struct {
	ID    int64 // counts from 1 since the node's start
	Began time.Time
	Ended time.Time // zero: under way
	WaveCount
	// ETA is how long what waits and is in flight will take, at the pace of the slowest device and as if nothing were
	// paused; 0 of a wave that has ended.
	ETA     time.Duration
	Devices []DeviceWave // with the longest ETA first, then by total
}

// WaveCount counts a wave's sessions: Total is the sum of the others. A session that is to change again while the wave
// goes on counts once, as what it is now.
type WaveCount struct {
	Total    int
	Done     int // no difference is left: it has what it should have, or has ended
	Failed   int // given up until they are heard of again
	InFlight int // told, and not answered yet or, of those to be disconnected, not seen to end yet
	Waiting  int // to be told
}

// DeviceWave is the part of a wave that is one device's.
type DeviceWave struct {
	Device DeviceID
	WaveCount
	ETA    time.Duration
	Paused bool
}

// Pause holds back the commands that do not restore service, of one device or of all. It holds on every node until it is
// lifted.
type Pause struct {
	Device DeviceID // 0: all devices
	Since  time.Time
	Actor  string // who: "staff:ana", "token:erp"
}
