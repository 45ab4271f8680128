package admin

import (
	"reflect"
	"testing"

	"enlace/contracts"
)

// What a plan has is what its form shows, and what saving the form records.
func TestPlanFormKeepsEverything(t *testing.T) {
	rates := contracts.Profile{DownBps: 10e6, UpBps: 5e6}
	for _, want := range []contracts.Plan{
		{ID: 3, Name: "Plain", Price: 9990, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10},
		{ID: 3, Name: "Capped", Price: 9990, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10,
			Allowance: &contracts.Allowance{Bytes: 1_500_000_001, Counts: contracts.CountUpload, Beyond: contracts.BeyondWall, Percent: 3}},
		{ID: 3, Name: "Nothing", Price: 9990, Full: contracts.Profile{DownBps: 500e6, UpBps: 250e6}, ReducedPercent: 10,
			Allowance: &contracts.Allowance{Counts: contracts.CountBoth, Beyond: contracts.BeyondReduce, Profile: rates},
			Hours:     []contracts.Hours{{From: 22 * 60, Until: 6*60 + 30, Percent: 200, Free: true}, {Days: []int{6, 7}, From: 60, Until: 0, Profile: rates}}},
	} {
		f := formOfPlan(&want)
		got := planOf(f, 3)
		if f.err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s came back as %+v, %v", want.Name, got, f.err)
		}
	}
	for name, values := range map[string]map[string]string{
		"allowance": {"allowance": "ten"},
		"hours":     {"hours_from_0": "22:00"},
	} {
		f := &form{values: values}
		termsOf(f, &contracts.Plan{})
		if f.errorOf(name) == nil {
			t.Errorf("%s: %v", name, f.err)
		}
	}
}
