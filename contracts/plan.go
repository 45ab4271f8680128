package contracts

import "fmt"

// PlanID numbers a plan.
type PlanID int64

// Profile is a pair of rates in bit/s, seen from the subscriber: Down is towards him.
type Profile struct {
	DownBps uint64 `json:"down_bps"`
	UpBps   uint64 `json:"up_bps"`
	// Name is what access servers that know rates by name are told: the plan's profile name, or what is derived from it;
	// may be empty.
	Name string `json:"name,omitempty"`
}

// Plan is what is sold: a monthly price and a pair of rates.
type Plan struct {
	ID    PlanID
	Name  string
	Price Cents // per month
	Full  Profile
	// Reduced is the profile of a reduced contract: own rates when set, otherwise ReducedPercent of Full.
	Reduced        Profile
	ReducedPercent int

	Allowance *Allowance // traffic included in a cycle; nil: all of it
	Hours     []Hours    // what is different at some times of the day
}

// floorBps and stepBps shape computed reduced rates: never under 64 kbit/s, rounded up to a whole kbit/s, because
// several access servers count in kbit/s.
const (
	floorBps = 64_000
	stepBps  = 1_000
)

// percent of a profile.
func (f Profile) percent(n int) Profile {
	part := func(bps uint64) uint64 {
		n := (bps*uint64(n) + 100*stepBps - 1) / (100 * stepBps) * stepBps
		return min(max(n, floorBps), MaxBps)
	}
	return Profile{DownBps: part(f.DownBps), UpBps: part(f.UpBps), Name: f.Name}
}

// named gives a profile the plan's profile name. Rates that its outcome does not usually have are part of the name, so
// that access servers which know rates by name are not told the usual ones: "fibra500-600000k-300000k".
func (p *Plan) named(f, usual Profile) Profile {
	f.Name = p.Full.Name
	if f.Name != "" && (f.DownBps != usual.DownBps || f.UpBps != usual.UpBps) {
		f.Name = fmt.Sprintf("%s-%dk-%dk", f.Name, (f.DownBps+stepBps-1)/stepBps, (f.UpBps+stepBps-1)/stepBps)
	}
	return f
}

// ReducedProfile is the plan's reduced profile in bit/s.
func (p *Plan) ReducedProfile() Profile {
	if p.Reduced != (Profile{}) {
		return p.named(p.Reduced, p.Reduced)
	}
	return p.Full.percent(p.ReducedPercent)
}

// MaxProfileName bounds the profile name of a plan, in bytes.
const MaxProfileName = 64

func validProfileName(s string) error {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return Invalidf("profile_name", "a profile name has only letters a to z, digits, . _ and -")
		}
	}
	if len(s) > MaxProfileName {
		return Invalidf("profile_name", "a profile name has at most %d bytes", MaxProfileName)
	}
	return nil
}

// MaxBps bounds a rate: ten terabits per second.
const MaxBps = 10_000_000_000_000

// Validate names the first field that cannot be accepted.
func (p *Plan) Validate() error {
	switch {
	case p.Name == "":
		return Invalidf("name", "a plan has a name")
	case p.Price < 0 || p.Price > MaxAmount:
		return Invalidf("price", "a price is not negative")
	case p.Full.DownBps < floorBps || p.Full.UpBps < floorBps:
		return Invalidf("down_bps", "rates are at least 64 kbit/s")
	case p.Full.DownBps > MaxBps || p.Full.UpBps > MaxBps:
		return Invalidf("down_bps", "rates are at most 10 Tbit/s")
	case p.Reduced == (Profile{}) && (p.ReducedPercent < 1 || p.ReducedPercent > 100):
		return Invalidf("reduced_percent", "the reduced profile is 1 to 100 %% of the plan, or rates of its own")
	case p.ReducedPercent < 0 || p.ReducedPercent > 100:
		return Invalidf("reduced_percent", "a part of the plan is 0 to 100 %%")
	case p.Reduced != (Profile{}) && (p.Reduced.DownBps < floorBps || p.Reduced.UpBps < floorBps ||
		p.Reduced.DownBps > p.Full.DownBps || p.Reduced.UpBps > p.Full.UpBps):
		return Invalidf("reduced", "reduced rates lie between 64 kbit/s and the plan's own")
	}
	if err := validProfileName(p.Full.Name); err != nil {
		return err
	}
	if p.Reduced.Name != "" {
		return Invalidf("profile_name", "the profile name is the plan's own; its other rates are named after it")
	}
	if p.Allowance != nil {
		if err := p.Allowance.validate(p.Full); err != nil {
			return err
		}
	}
	if len(p.Hours) > MaxHours {
		return Invalidf("hours", "a plan has at most %d hours", MaxHours)
	}
	for i := range p.Hours {
		if err := p.Hours[i].validate(); err != nil {
			return err
		}
	}
	return ValidText("name", p.Name, 200)
}
