package pg

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"enlace/contracts"
)

// act performs an act and checks what came of it: the status that holds from then on, or the code of the refusal; and
// that a refusal leaves a line in the audit and no fact.
func (h *house) act(now string, f contracts.Fact, want contracts.Status, code string) {
	h.Helper()
	f.Actor = "staff:ana"
	if f.Reason == "" {
		f.Reason = "because"
	}
	facts := len(h.facts(f.ContractID))
	audits := h.count(`select count(*) from audit where subject = 'contract:' || $1::bigint::text and act = $2`, f.ContractID, string(f.Kind))
	span, err := h.Act(ctx, at(now), f)
	result := "done"
	if code == "" {
		facts++
		h.must(err)
		if span.Status != want {
			h.Fatalf("%s at %s leads to %s, want %s", f.Kind, now, span.Status, want)
		}
		if s := h.statusAt(f.ContractID, at(now)); s != want {
			h.Fatalf("%s at %s is recorded as leading to %s, want %s", f.Kind, now, s, want)
		}
	} else {
		var e *contracts.Error
		if !errors.As(err, &e) || e.Code != code {
			h.Fatalf("%s at %s: %v, want %s", f.Kind, now, err, code)
		}
		result = code
	}
	if n := len(h.facts(f.ContractID)); n != facts {
		h.Fatalf("%s at %s: %d facts, want %d", f.Kind, now, n, facts)
	}
	var actor, was string
	var detail []byte
	h.must(h.Pool.QueryRow(ctx, `select actor, result, detail from audit where subject = 'contract:' || $1::bigint::text and act = $2
		order by id desc limit 1`, f.ContractID, string(f.Kind)).Scan(&actor, &was, &detail))
	var said map[string]string
	h.must(json.Unmarshal(detail, &said))
	if actor != "staff:ana" || was != result || said["reason"] != f.Reason {
		h.Fatalf("the audit of %s says %s %s %s, want %s", f.Kind, actor, was, detail, result)
	}
	if n := h.count(`select count(*) from audit where subject = 'contract:' || $1::bigint::text and act = $2`, f.ContractID, string(f.Kind)); n != audits+1 {
		h.Fatalf("%s left %d lines in the audit, want 1", f.Kind, n-audits)
	}
}

func TestReleases(t *testing.T) {
	h := newHouse(t)
	c := h.debtor()
	do := func(now string, kind contracts.FactKind, want contracts.Status, code string) {
		t.Helper()
		h.act(now, contracts.Fact{ContractID: c.ID, Kind: kind}, want, code)
	}
	do("2026-03-20 10:00", contracts.TrustUnblock, "", "status_OVERDUE")
	do("2026-03-20 10:00", contracts.TempRelease, "", "status_OVERDUE")
	do("2026-03-20 10:00", contracts.ManualRelease, "", "status_OVERDUE")
	do("2026-03-27 10:00", contracts.TrustUnblock, "", "status_REDUCED")
	do("2026-04-09 10:00", contracts.TrustUnblock, contracts.ReleasedTrust, "")
	do("2026-04-09 10:01", contracts.TrustUnblock, "", "status_RELEASED_TRUST")
	do("2026-04-13 10:00", contracts.TrustUnblock, "", "min_interval")
	do("2026-04-13 11:00", contracts.TrustCleared, contracts.BlockedAuto, "")
	do("2026-04-13 12:00", contracts.TrustUnblock, contracts.ReleasedTrust, "")
	do("2026-04-22 10:00", contracts.TempRelease, contracts.ReleasedTemp, "")
	do("2026-04-28 10:00", contracts.TempRelease, "", "quota")
	do("2026-04-28 11:00", contracts.ManualRelease, contracts.ReleasedManual, "")
	do("2026-04-28 11:30", contracts.ManualRelease, contracts.ReleasedManual, "")
	no := false
	h.act("2026-06-01 10:00", contracts.Fact{ContractID: c.ID, Kind: contracts.SettingsChanged, Settings: &contracts.Settings{TrustEnabled: &no}}, contracts.BlockedAuto, "")
	do("2026-06-01 11:00", contracts.TrustUnblock, "", "disabled_on_contract")
}

func TestLifeOfAContract(t *testing.T) {
	h := newHouse(t)
	better := h.newPlan("Fibra 900", 15000)
	c := h.sign("2026-01-05 10:00", func(c *contracts.Contract) { c.StartsPending = true })
	other := h.sign("2026-01-05 10:00")
	do := func(now string, f contracts.Fact, want contracts.Status, code string) {
		t.Helper()
		f.ContractID = c.ID
		h.act(now, f, want, code)
	}
	do("2026-01-06 10:00", contracts.Fact{Kind: contracts.VoluntarySuspend, Until: day("2026-03-06")}, "", "status_PENDING")
	do("2026-01-06 11:00", contracts.Fact{Kind: contracts.ManualRelease}, "", "status_PENDING")
	do("2026-01-07 10:00", contracts.Fact{Kind: contracts.Activated}, contracts.Active, "")
	do("2026-01-07 10:01", contracts.Fact{Kind: contracts.Activated}, "", "status_ACTIVE")

	do("2026-01-08 10:00", contracts.Fact{Kind: contracts.ManualUnblock}, "", "status_ACTIVE")
	do("2026-01-08 10:01", contracts.Fact{Kind: contracts.ManualBlock}, contracts.BlockedManual, "")
	do("2026-01-08 10:02", contracts.Fact{Kind: contracts.ManualBlock}, "", "status_BLOCKED_MANUAL")
	do("2026-01-08 10:03", contracts.Fact{Kind: contracts.TrustUnblock}, "", "status_BLOCKED_MANUAL")
	do("2026-01-08 10:04", contracts.Fact{Kind: contracts.VoluntarySuspend, Until: day("2026-03-08")}, "", "status_BLOCKED_MANUAL")
	do("2026-01-08 10:05", contracts.Fact{Kind: contracts.ManualUnblock}, contracts.Active, "")

	do("2026-01-09 10:00", contracts.Fact{Kind: contracts.PlanChanged, PlanID: 4711}, "", "invalid")
	do("2026-01-09 10:01", contracts.Fact{Kind: contracts.PlanChanged, PlanID: better}, contracts.Active, "")
	do("2026-01-09 10:02", contracts.Fact{Kind: contracts.AccessDisabled, AccessID: other.Accesses[0].ID}, "", "not_found")
	do("2026-01-09 10:03", contracts.Fact{Kind: contracts.AccessEnabled, AccessID: 4711}, "", "not_found")
	do("2026-01-09 10:04", contracts.Fact{Kind: contracts.AccessDisabled, AccessID: c.Accesses[0].ID}, contracts.Active, "")
	d, err := h.Dossier(ctx, c.ID, at("2026-01-09 11:00"))
	h.must(err)
	life := d.Timeline(contracts.Options{})
	if s := life.Spans.At(at("2026-01-09 11:00")); s.PlanID != better || len(s.Disabled) != 1 || s.Disabled[0] != c.Accesses[0].ID {
		t.Fatalf("after the change of plan and the switched off access: %+v", s)
	}
	do("2026-01-09 10:05", contracts.Fact{Kind: contracts.AccessEnabled, AccessID: c.Accesses[0].ID}, contracts.Active, "")

	do("2026-01-12 10:00", contracts.Fact{Kind: contracts.VoluntaryResume}, "", "status_ACTIVE")
	do("2026-01-12 10:01", contracts.Fact{Kind: contracts.VoluntarySuspend, From: day("2026-01-20"), Until: day("2026-01-25")}, "", "length")
	do("2026-01-12 10:02", contracts.Fact{Kind: contracts.VoluntarySuspend, From: day("2026-01-20"), Until: day("2026-03-20")}, contracts.Active, "")
	do("2026-01-13 10:00", contracts.Fact{Kind: contracts.VoluntaryResume}, contracts.Active, "") // before it began
	do("2026-01-13 10:01", contracts.Fact{Kind: contracts.VoluntaryResume}, "", "status_ACTIVE")
	do("2026-01-13 10:02", contracts.Fact{Kind: contracts.VoluntarySuspend, Until: day("2026-03-13")}, contracts.SuspendedRequest, "")
	do("2026-01-14 10:00", contracts.Fact{Kind: contracts.VoluntarySuspend, Until: day("2026-03-14")}, "", "status_SUSPENDED_REQUEST")
	do("2026-02-14 10:00", contracts.Fact{Kind: contracts.VoluntaryResume}, contracts.Active, "")
	do("2026-06-14 10:00", contracts.Fact{Kind: contracts.VoluntarySuspend, Until: day("2026-08-14")}, "", "window")

	do("2026-07-01 10:00", contracts.Fact{Kind: contracts.Cancelled, From: day("2026-07-31")}, contracts.Active, "")
	if s := h.statusAt(c.ID, at("2026-07-31 00:00")); s != contracts.Terminated {
		t.Fatalf("on the day of the cancellation the contract is %s", s)
	}
	do("2026-08-01 10:00", contracts.Fact{Kind: contracts.Cancelled}, "", "status_TERMINATED")
	do("2026-08-01 10:01", contracts.Fact{Kind: contracts.ManualBlock}, "", "status_TERMINATED")
	do("2026-08-01 10:02", contracts.Fact{Kind: contracts.Activated}, "", "status_TERMINATED")
	do("2026-08-01 10:03", contracts.Fact{Kind: contracts.VoluntarySuspend, Until: day("2026-10-01")}, "", "status_TERMINATED")
	h.act("2026-08-01 10:04", contracts.Fact{ContractID: other.ID, Kind: contracts.Cancelled}, contracts.Terminated, "")

	_, err = h.Act(ctx, at("2026-08-01 10:00"), contracts.Fact{ContractID: 4711, Kind: contracts.ManualBlock})
	refused(t, err, contracts.NotFound, "not_found")
}

func TestSuspensionNeedsGoodStanding(t *testing.T) {
	h := newHouse(t)
	c := h.debtor()
	h.act("2026-03-12 10:00", contracts.Fact{ContractID: c.ID, Kind: contracts.VoluntarySuspend, Until: day("2026-05-12")}, "", "open_debt")
}

// A double click, and a click on every node at once: the subscriber's word is taken once.
func TestTrustIsGivenOnce(t *testing.T) {
	h := newHouse(t)
	for _, spread := range []string{"the same instant", "different instants"} {
		c := h.debtor()
		results := make([]error, 8)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() {
				now := at("2026-04-09 20:00")
				if spread == "different instants" {
					now = now.Add(time.Duration(i) * time.Millisecond)
				}
				_, results[i] = h.Act(ctx, now, contracts.Fact{ContractID: c.ID, Kind: contracts.TrustUnblock, Actor: "subscriber"})
			})
		}
		wg.Wait()
		granted := 0
		for _, err := range results {
			var e *contracts.Error
			switch {
			case err == nil:
				granted++
			case !errors.As(err, &e) || e.Kind != contracts.Denied:
				t.Errorf("%s: %v, want Denied", spread, err)
			}
		}
		if granted != 1 {
			t.Errorf("%s: granted %d times", spread, granted)
		}
		if n := h.count(`select count(*) from fact where contract_id = $1 and kind = 'trust_unblock'`, c.ID); n != 1 {
			t.Errorf("%s: %d facts", spread, n)
		}
		if n := h.count(`select count(*) from audit where act = 'trust_unblock' and result <> 'done' and subject = 'contract:' || $1::bigint::text`, c.ID); n != 7 {
			t.Errorf("%s: %d refusals in the audit, want 7", spread, n)
		}
	}
}
