package contracts

// Allowance is how much traffic a plan includes in a billing cycle, and what follows when it is used up.
type Allowance struct {
	Bytes  uint64   `json:"bytes"`
	Counts Counting `json:"counts"`
	Beyond Beyond   `json:"beyond"`
	// Rates once it is used up, where Beyond is BeyondReduce: own rates when set, otherwise Percent of the plan's, and
	// with neither those of a reduced contract.
	Profile Profile `json:"profile,omitzero"`
	Percent int     `json:"percent,omitempty"`
}

// Counting says which traffic an allowance counts.
type Counting string

const (
	CountBoth     Counting = "both"
	CountDownload Counting = "download"
	CountUpload   Counting = "upload"
)

// Beyond says what follows when an allowance is used up.
type Beyond string

const (
	BeyondReduce Beyond = "reduce" // fair use: a reduced profile until the cycle ends
	BeyondWall   Beyond = "wall"   // the walled garden, until the cycle ends or more is added
)

// MaxAllowance bounds an allowance and a top-up: a petabyte.
const MaxAllowance = 1_000_000_000_000_000

// Of is the traffic that the allowance counts.
func (a *Allowance) Of(t Traffic) uint64 {
	switch a.Counts {
	case CountDownload:
		return t.Down
	case CountUpload:
		return t.Up
	}
	return addUpTo(t.Down, t.Up)
}

// Spent reports whether nothing of the allowance and what was added to it is left.
func (a *Allowance) Spent(u Tally) bool { return a.Of(u.Counted) >= addUpTo(a.Bytes, u.Extra) }

// BeyondProfile is the profile once the plan's allowance is used up.
func (p *Plan) BeyondProfile() Profile {
	a := p.Allowance
	switch {
	case a.Profile != (Profile{}):
		return p.named(a.Profile, p.ReducedProfile())
	case a.Percent > 0:
		return p.named(p.Full.percent(a.Percent), p.ReducedProfile())
	}
	return p.ReducedProfile()
}

func (a *Allowance) validate(full Profile) error {
	switch {
	case a.Bytes > MaxAllowance:
		return Invalidf("allowance", "an allowance is at most 1,000,000 GB")
	case a.Counts != CountBoth && a.Counts != CountDownload && a.Counts != CountUpload:
		return Invalidf("allowance_counts", "%q is none of both, download, upload", a.Counts)
	case a.Beyond != BeyondReduce && a.Beyond != BeyondWall:
		return Invalidf("allowance_beyond", "%q is neither reduce nor wall", a.Beyond)
	case a.Percent < 0 || a.Percent > 100:
		return Invalidf("allowance_percent", "a part of the plan is 0 to 100 %%")
	case a.Profile != (Profile{}) && (a.Profile.DownBps < floorBps || a.Profile.UpBps < floorBps ||
		a.Profile.DownBps > full.DownBps || a.Profile.UpBps > full.UpBps):
		return Invalidf("allowance_down", "rates beyond the allowance lie between 64 kbit/s and the plan's own")
	}
	return nil
}
