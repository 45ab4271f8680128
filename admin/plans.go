package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"enlace/contracts"
	"enlace/nas"
)

func planPath(id contracts.PlanID) string { return fmt.Sprintf("/plans/%d", id) }

func (s *server) plansPage(w http.ResponseWriter, r *http.Request, p *page) error {
	list, err := s.Contracts.Plans(r.Context(), p.now)
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, plansList(p, list))
}

func (s *server) newPlanPage(w http.ResponseWriter, r *http.Request, p *page) error {
	f := &form{values: map[string]string{"reduced_percent": "10"}}
	return show(w, r, http.StatusOK, planForm(p, f, 0, planImpact{}))
}

func planOf(f *form, id contracts.PlanID) contracts.Plan {
	pl := contracts.Plan{ID: id, Name: f.get("name"), Price: f.money("price"), ReducedPercent: f.number("reduced_percent", 0),
		Full: contracts.Profile{DownBps: f.rate("down_bps"), UpBps: f.rate("up_bps"), Name: f.get("profile_name")}}
	if f.has("reduced_down") || f.has("reduced_up") {
		pl.Reduced = contracts.Profile{DownBps: f.rate("reduced_down"), UpBps: f.rate("reduced_up")}
	}
	termsOf(f, &pl)
	return pl
}

func formOfPlan(pl *contracts.Plan) *form {
	f := &form{values: map[string]string{"name": pl.Name, "price": pl.Price.String(), "down_bps": nas.Rate(pl.Full.DownBps), "up_bps": nas.Rate(pl.Full.UpBps), "profile_name": pl.Full.Name}}
	if pl.ReducedPercent > 0 {
		f.values["reduced_percent"] = strconv.Itoa(pl.ReducedPercent)
	}
	if pl.Reduced != (contracts.Profile{}) {
		f.values["reduced_down"], f.values["reduced_up"] = nas.Rate(pl.Reduced.DownBps), nas.Rate(pl.Reduced.UpBps)
	}
	fillTerms(pl, f)
	return f
}

func (s *server) createPlan(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	pl := planOf(f, 0)
	if f.err == nil {
		err = s.Contracts.CreatePlan(r.Context(), p.actor(), p.now, &pl)
	}
	if f.wrong(err) {
		return show(w, r, http.StatusUnprocessableEntity, planForm(p, f, 0, planImpact{}))
	}
	return s.saved(w, r, p, err, "/plans")
}

// planAt finds a plan as it is now.
func (s *server) planNow(r *http.Request, p *page, number contracts.PlanID) (contracts.Plan, error) {
	list, err := s.Contracts.Plans(r.Context(), p.now)
	if err != nil {
		return contracts.Plan{}, err
	}
	i := slices.IndexFunc(list, func(pl contracts.Plan) bool { return pl.ID == number })
	if i < 0 {
		return contracts.Plan{}, contracts.NotFoundf("there is no plan %d", number)
	}
	return list[i], nil
}

func (s *server) planPage(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.PlanID](r, "id")
	if err != nil {
		return err
	}
	pl, err := s.planNow(r, p, number)
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, planForm(p, formOfPlan(&pl), number, planImpact{}))
}
