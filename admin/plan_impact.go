package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// planImpact is what a new version of a plan would change at once.
type planImpact struct {
	Total   int // open sessions that would be brought to another service
	Takes   time.Duration
	Devices []deviceImpact // with the longest time first
}

// deviceImpact is an access server's part of it, at the rate of its settings.
type deviceImpact struct {
	nas.Device
	Sessions int
	Takes    time.Duration
	Mute     bool // it cannot be told: its sessions change when they log in again
	Paused   bool
}

func (s *server) impactOf(ctx context.Context, pl contracts.Plan, now time.Time) (planImpact, error) {
	var v planImpact
	counts := s.Network.WouldChange(pl, now)
	if len(counts) == 0 {
		return v, nil
	}
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return v, err
	}
	pauses, err := s.Devices.Pauses(ctx)
	if err != nil {
		return v, err
	}
	for _, d := range devices {
		n := counts[d.ID]
		if n == 0 {
			continue
		}
		i := deviceImpact{Device: d, Sessions: n, Mute: !d.CoA.IsValid() && !d.API.Known(),
			Paused: slices.ContainsFunc(pauses, func(p nas.Pause) bool { return p.Device == 0 || p.Device == d.ID })}
		if !i.Mute {
			i.Takes = time.Duration(n) * time.Second / time.Duration(max(d.CommandsPerSecond, 1))
		}
		v.Total += n
		v.Takes = max(v.Takes, i.Takes)
		v.Devices = append(v.Devices, i)
	}
	slices.SortStableFunc(v.Devices, func(a, b deviceImpact) int {
		return cmp.Or(cmp.Compare(b.Takes, a.Takes), cmp.Compare(b.Sessions, a.Sessions))
	})
	return v, nil
}

// seal ties a confirmation to the version of a plan that was shown: one that was changed since is shown again.
func planSeal(pl *contracts.Plan) (string, error) {
	b, err := json.Marshal(pl)
	if err != nil {
		return "", fmt.Errorf("sealing a plan: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// updatePlan saves a new version of a plan. One that changes open sessions is first shown with how many they are and how
// long that takes.
func (s *server) updatePlan(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.PlanID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	pl := planOf(f, number)
	var impact planImpact
	if f.err == nil {
		err = pl.Validate()
	}
	if f.err == nil && err == nil {
		if impact, err = s.impactOf(r.Context(), pl, p.now); err != nil {
			return err
		}
		seal, err := planSeal(&pl)
		if err != nil {
			return err
		}
		if impact.Total > 0 && f.get("confirmed") != seal {
			f.values["confirmed"] = seal
			return show(w, r, http.StatusOK, planForm(p, f, number, impact))
		}
	}
	if f.err == nil && err == nil {
		err = s.Contracts.UpdatePlan(r.Context(), p.actor(), p.now, &pl)
	}
	if f.wrong(err) {
		return show(w, r, http.StatusUnprocessableEntity, planForm(p, f, number, planImpact{}))
	}
	if err == nil && impact.Total > 0 {
		return s.thenBack(w, r, p, nil, p.T("Saved. %s open sessions are brought to the new rates: this page shows how far that is.", p.Number(impact.Total)), "/network")
	}
	return s.saved(w, r, p, err, "/plans")
}

type impactJSON struct {
	Sessions    int                `json:"sessions" doc:"Open sessions that would be brought to another service"`
	TakesSecond float64            `json:"takes_seconds" doc:"At the rates of the access servers, as if nothing were paused"`
	Devices     []deviceImpactJSON `json:"devices"`
}

type deviceImpactJSON struct {
	DeviceID    int64   `json:"device_id"`
	Device      string  `json:"device"`
	Sessions    int     `json:"sessions"`
	TakesSecond float64 `json:"takes_seconds"`
	CannotTell  bool    `json:"cannot_be_told,omitempty" doc:"Its sessions change when they log in again"`
	Paused      bool    `json:"paused,omitempty"`
}

func impactJSONOf(v planImpact) impactJSON {
	out := impactJSON{Sessions: v.Total, TakesSecond: v.Takes.Seconds(), Devices: []deviceImpactJSON{}}
	for _, d := range v.Devices {
		out.Devices = append(out.Devices, deviceImpactJSON{int64(d.ID), d.Name, d.Sessions, d.Takes.Seconds(), d.Mute, d.Paused})
	}
	return out
}
