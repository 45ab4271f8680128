package contracts

import "testing"

// Every profile of a plan has its profile name; rates that an outcome does not usually have are told apart by it.
func TestProfilesAreNamedAfterThePlan(t *testing.T) {
	p := Plan{Name: "Fibra 500", Full: Profile{DownBps: 500e6, UpBps: 250e6, Name: "fibra500"}, ReducedPercent: 10,
		Allowance: &Allowance{Bytes: 1, Counts: CountBoth, Beyond: BeyondReduce, Percent: 20}}
	for _, c := range []struct {
		got  Profile
		want string
	}{
		{p.ReducedProfile(), "fibra500"},
		{p.BeyondProfile(), "fibra500-100000k-50000k"},
		{p.HoursProfile(nil), "fibra500"},
		{p.HoursProfile(&Hours{Free: true}), "fibra500"},
		{p.HoursProfile(&Hours{Percent: 100}), "fibra500"},
		{p.HoursProfile(&Hours{Percent: 200}), "fibra500-1000000k-500000k"},
		{p.HoursProfile(&Hours{Profile: Profile{DownBps: 64_001, UpBps: 64_000}}), "fibra500-65k-64k"},
		{p.HoursProfile(&Hours{Profile: Profile{DownBps: 50e6, UpBps: 25e6}}), "fibra500-50000k-25000k"}, // the reduced rates, and not reduced
	} {
		if c.got.Name != c.want {
			t.Errorf("%+v, want %s", c.got, c.want)
		}
	}
	p.Allowance.Percent = 0
	if got := p.BeyondProfile(); got != p.ReducedProfile() {
		t.Errorf("beyond the allowance %+v, reduced %+v", got, p.ReducedProfile())
	}
	p.Reduced = Profile{DownBps: 1e6, UpBps: 1e6}
	if got := p.ReducedProfile(); got != (Profile{DownBps: 1e6, UpBps: 1e6, Name: "fibra500"}) {
		t.Errorf("reduced rates of their own are %+v", got)
	}
	p.Full.Name = ""
	if got := p.HoursProfile(&Hours{Percent: 200}); got.Name != "" {
		t.Errorf("a plan without a profile name has %+v", got)
	}
}
