package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"enlace/billing"
	"enlace/contracts"
	"enlace/nas"
)

type overviewView struct {
	Counts   []Count // in the order of a contract's life
	Total    int
	Online   int
	Outcomes map[contracts.Outcome]int
	Devices  []deviceLoad
	Refused  []refusal
	Unpaid   []billing.Invoice
	Names    map[contracts.CustomerID]string
	Changes  []Change
	Coming   int
	Age      time.Duration
	Health   Health
	Today    contracts.Date
}

// deviceLoad is an access server with its open sessions.
type deviceLoad struct {
	nas.Device
	Online int
}

func (s *server) overviewPage(w http.ResponseWriter, r *http.Request, p *page) error {
	ctx := r.Context()
	v := overviewView{Outcomes: map[contracts.Outcome]int{}, Age: s.Directory.Age(p.now), Health: s.Health(ctx), Today: contracts.DateOf(p.now, p.zone)}
	if n := v.Health.Unreadable; n > 0 {
		p.warn = append(p.warn, warning{"danger", p.T("Contracts that cannot be read: %s. What was known of them stays in force; the log names them.", p.Number(n))})
	}
	if v.Health.JournalFailed {
		p.warn = append(p.warn, warning{"danger", p.T("The accounting journal cannot be written, as on a full disk: accounting is not answered until it can, and access servers send it again. Logins go on; the log says what is wrong.")})
	}
	counted := s.Directory.Counts(p.now)
	for _, status := range contracts.Statuses {
		for _, c := range counted {
			if c.Status == status && c.N > 0 {
				v.Counts = append(v.Counts, c)
				v.Outcomes[c.Outcome] += c.N
				v.Total += c.N
			}
		}
	}
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return err
	}
	counts, err := s.Sessions.Counts(ctx)
	if err != nil {
		return err
	}
	for _, d := range devices {
		v.Devices = append(v.Devices, deviceLoad{d, counts[d.ID]})
	}
	for _, n := range counts {
		v.Online += n
	}
	v.Refused = s.Refusals.Recent("", 8)
	v.Changes, v.Coming = s.Directory.Changes(p.now, p.now.Add(24*time.Hour), 8)
	return show(w, r, http.StatusOK, overview(p, v))
}

// byStatus joins the counts of a status over its outcomes.
func (v *overviewView) byStatus() []Count {
	var out []Count
	for _, c := range v.Counts {
		if n := len(out); n > 0 && out[n-1].Status == c.Status {
			out[n-1].N += c.N
			continue
		}
		out = append(out, c)
	}
	return out
}

// share of the total in per mille, for a bar; never nothing for something.
func share(n, total int) int {
	if n == 0 || total == 0 {
		return 0
	}
	return max(6, (n*1000+total/2)/total)
}

type searchView struct {
	Query string
	Hits  []Hit
}

func (s *server) searchPage(w http.ResponseWriter, r *http.Request, p *page) error {
	v := searchView{Query: strings.TrimSpace(r.FormValue("q"))}
	if v.Query != "" {
		var err error
		if v.Hits, err = s.Contracts.Search(r.Context(), bounded(v.Query), 50); err != nil {
			return err
		}
	}
	if len(v.Hits) > 0 && !slices.ContainsFunc(v.Hits, func(h Hit) bool { return h.Contract != v.Hits[0].Contract || h.Customer != v.Hits[0].Customer }) {
		to := customerPath(v.Hits[0].Customer)
		if v.Hits[0].Contract != 0 {
			to = contractPath(v.Hits[0].Contract)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	return show(w, r, http.StatusOK, searchResults(p, v))
}

type upcomingView struct {
	Days    int
	Changes []Change
	Total   int
	Tighter int
}

// upcomingLimit is how many changes the page lists.
const upcomingLimit = 300

func (s *server) upcomingPage(w http.ResponseWriter, r *http.Request, p *page) error {
	v := upcomingView{Days: 1}
	if r.FormValue("days") == "7" {
		v.Days = 7
	}
	v.Changes, v.Total = s.Directory.Changes(p.now, p.now.Add(time.Duration(v.Days)*24*time.Hour), upcomingLimit)
	return show(w, r, http.StatusOK, upcoming(p, v))
}

// healthz answers 200 while requests can be answered as they should, else 503.
func (s *server) healthz(w http.ResponseWriter, r *http.Request) {
	h := s.Health(r.Context())
	w.Header().Set("Content-Type", "application/json")
	if !h.OK {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err := json.NewEncoder(w).Encode(h); err != nil {
		s.log.Debug().Err(err).Msg("writing /healthz")
	}
}

// moveClock sets a settable clock forward: by a duration, or to a date and time in the operator's zone.
func (s *server) moveClock(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	to := p.now
	if step := f.get("advance"); step != "" {
		d, err := time.ParseDuration(step)
		if err != nil || d <= 0 || d > 366*24*time.Hour {
			return contracts.Invalidf("advance", "%q is not a step forward", step)
		}
		to = to.Add(d)
	} else if to, err = time.ParseInLocation("2006-01-02T15:04", f.get("to"), p.zone); err != nil {
		return contracts.Invalidf("to", "%q is not a date and time", f.get("to"))
	}
	if err := s.setClock(to); err != nil {
		if done, err := s.sayRefused(r, p, err); !done {
			return err
		}
	} else {
		s.say(r, true, p.T("The clock now says %s.", p.Instant(to, nil)))
	}
	http.Redirect(w, r, localPath(f.get("back")), http.StatusSeeOther)
	return nil
}

// setClock moves the clock; it never goes back, because what was recorded stays recorded.
func (s *server) setClock(to time.Time) error {
	now := s.Now()
	switch {
	case to.Before(now.Add(-time.Minute)):
		return contracts.Invalidf("now", "the clock does not go back")
	case to.After(now.AddDate(5, 0, 0)):
		return contracts.Invalidf("now", "the clock moves five years at most")
	case to.Before(now):
		return nil
	}
	return s.SetClock(to)
}
