package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
	"enlace/nas"
)

// Conformance keeps what was found of access servers and how they are commanded; probes that are asked for are done by
// the nodes.
type Conformance interface {
	AskProbe(ctx context.Context, now time.Time, p *nas.Probe) error
	// LastProbe of a device; ok is false when there was none.
	LastProbe(ctx context.Context, id nas.DeviceID) (p nas.Probe, ok bool, err error)
	SetChoice(ctx context.Context, actor string, now time.Time, id nas.DeviceID, c nas.Choice) error
	AcknowledgeRegression(ctx context.Context, actor string, now time.Time, id nas.DeviceID, check nas.Check) error
}

// ConformanceReport is what is known of a device's behaviour, as the API and the command line give it.
type ConformanceReport struct {
	Device   string         `json:"device"`
	Build    string         `json:"build,omitempty" doc:"Model and firmware, as far as they are known"`
	Findings []FindingJSON  `json:"findings" doc:"One for each check"`
	Strategy []StrategyJSON `json:"strategy" doc:"How it is commanded, and why"`
	Probe    *ProbeJSON     `json:"probe,omitempty" doc:"The latest probe"`
}

// FindingJSON is what one check found.
type FindingJSON struct {
	Check          string     `json:"check" example:"class"`
	Title          string     `json:"title"`
	Result         string     `json:"result" enum:"unseen,good,noted,bad" doc:"noted: not as the standards have it, or not there, and worked around"`
	Says           string     `json:"says" doc:"The evidence in words"`
	Facts          []nas.Fact `json:"facts"`
	At             *time.Time `json:"at,omitempty" doc:"Of the latest evidence"`
	Since          *time.Time `json:"since,omitempty" doc:"The result has been so since"`
	GoodAt         *time.Time `json:"good_at,omitempty" doc:"It was good the last time"`
	GoodBuild      string     `json:"good_build,omitempty" doc:"What the device was by then"`
	RegressedAt    *time.Time `json:"regressed_at,omitempty" doc:"It had been good and was found bad then, and has been so since"`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"`
	AcknowledgedBy string     `json:"acknowledged_by,omitempty"`

	finding nas.Finding
}

// StrategyJSON is a part of how a device is commanded.
type StrategyJSON struct {
	Field string `json:"field" enum:"identify,rates,wall,class"`
	Title string `json:"title"`
	Value string `json:"value" doc:"What is done; empty: not known"`
	Says  string `json:"says"`
	Why   string `json:"why" enum:"default,found,fixed"`
	Check string `json:"check,omitempty" doc:"Whose finding is the reason"`
	Cause string `json:"cause" doc:"The reason in words"`
	Fixed string `json:"fixed" doc:"What an operator has fixed, or auto"`
}

// ProbeJSON is a probe that was asked for.
type ProbeJSON struct {
	ID      int64      `json:"id"`
	Actor   string     `json:"actor"`
	State   string     `json:"state" enum:"waiting,running,done"`
	AskedAt time.Time  `json:"asked_at" doc:"By the database's clock, as the others"`
	EndedAt *time.Time `json:"ended_at,omitempty"`
	Note    string     `json:"note,omitempty" doc:"Why not all of it was done"`
	Says    string     `json:"says,omitempty" doc:"The same in words"`
}

// ReportConformance is what is known of a device. dialect is the one it speaks; nil when that is not known.
func ReportConformance(d *nas.Device, dialect *nas.Dialect, last *nas.Probe, lang contracts.Language) ConformanceReport {
	r := ConformanceReport{Device: d.Name, Build: d.Conformance.Build(d.Site.Model), Findings: []FindingJSON{}, Strategy: []StrategyJSON{}}
	for _, check := range nas.Checks {
		f := d.Conformance.Of(check)
		if check == nas.CheckBuild && f.Result == nas.Unseen {
			continue
		}
		result := string(f.Result)
		if f.Result == nas.Unseen {
			result = "unseen"
		}
		r.Findings = append(r.Findings, FindingJSON{Check: string(check), Title: nas.CheckText(check, lang), Result: result, Says: nas.ConformanceText(&f, lang),
			Facts: append([]nas.Fact{}, f.Facts...), At: unlessZero(f.At), Since: unlessZero(f.Since), GoodAt: unlessZero(f.GoodAt), GoodBuild: f.GoodModel,
			RegressedAt: unlessZero(f.RegressedAt), AcknowledgedAt: unlessZero(f.AcknowledgedAt), AcknowledgedBy: f.AcknowledgedBy, finding: f})
	}
	if dialect != nil {
		c := &d.Conformance.Choice
		fixed := map[string]string{"identify": c.Identify, "rates": c.Rates, "wall": c.Wall, "class": c.Class}
		for _, l := range d.Conformance.Strategy(dialect).Lines(lang) {
			s := StrategyJSON{Field: l.Field, Title: l.Name, Value: l.Part.Value, Says: nas.ValueText(l.Part.Value, lang), Why: string(l.Part.Why),
				Check: string(l.Part.Check), Cause: nas.WhyText(l.Part, lang), Fixed: fixed[l.Field]}
			if s.Fixed == "" {
				s.Fixed = nas.Auto
			}
			r.Strategy = append(r.Strategy, s)
		}
	}
	if last != nil {
		r.Probe = &ProbeJSON{ID: int64(last.ID), Actor: last.Actor, State: "waiting", AskedAt: last.AskedAt, EndedAt: unlessZero(last.EndedAt), Note: last.Note,
			Says: nas.ProbeNoteText(last.Note, lang)}
		switch {
		case !last.EndedAt.IsZero():
			r.Probe.State = "done"
		case !last.TakenAt.IsZero():
			r.Probe.State = "running"
		}
	}
	return r
}

// Regressions are the findings that were good, are bad and wait for somebody to take note.
func (r *ConformanceReport) Regressions() []FindingJSON {
	var out []FindingJSON
	for _, f := range r.Findings {
		if f.finding.Regressed() {
			out = append(out, f)
		}
	}
	return out
}

// conformanceOf reads what is known of a device.
func (s *server) conformanceOf(ctx context.Context, d *nas.Device, lang contracts.Language) (ConformanceReport, error) {
	last, ok, err := s.Conformance.LastProbe(ctx, d.ID)
	if err != nil {
		return ConformanceReport{}, err
	}
	if !ok {
		return ReportConformance(d, s.Dialects.Named(d.Dialect), nil, lang), nil
	}
	return ReportConformance(d, s.Dialects.Named(d.Dialect), &last, lang), nil
}

func (s *server) probeDevice(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	err = s.Conformance.AskProbe(r.Context(), p.now, &nas.Probe{Device: number, Actor: p.actor(), SessionID: nas.RawOf(f.get("session"))})
	return s.thenBack(w, r, p, err, p.T("The access server is being asked."), devicePath(number)+"#conformance")
}

func (s *server) setStrategy(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	c := nas.Choice{Identify: f.get("identify"), Rates: f.get("rates"), Wall: f.get("wall"), Class: f.get("class")}
	return s.thenBack(w, r, p, s.Conformance.SetChoice(r.Context(), p.actor(), p.now, number, c), p.T("How it is commanded is recorded."), devicePath(number)+"#conformance")
}

func (s *server) acknowledgeRegression(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.DeviceID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	err = s.Conformance.AcknowledgeRegression(r.Context(), p.actor(), p.now, number, nas.Check(f.get("check")))
	return s.thenBack(w, r, p, err, p.T("The regression is acknowledged."), devicePath(number)+"#conformance")
}

// regressionText says when and on what firmware a check was good the last time.
func (p *page) regressionText(f *FindingJSON) string {
	text := p.T("It was good until %s and has been so since %s.", p.Instant(f.finding.GoodAt, nil), p.Instant(f.finding.RegressedAt, nil))
	switch was, is := f.finding.GoodModel, f.finding.Model; {
	case was != is && was != "" && is != "":
		text += " " + p.T("Then it was %s, now it is %s.", was, is)
	case is != "":
		text += " " + p.T("It is %s, as it was then.", is)
	}
	return text
}

// probeText says what became of the latest probe.
func (p *page) probeText(probe *ProbeJSON) string {
	switch probe.State {
	case "waiting":
		return p.T("Asked for; a node takes it within seconds.")
	case "running":
		return p.T("It is being asked; silence takes up to a minute.")
	}
	text := p.T("Last asked on %s.", p.Instant(*probe.EndedAt, nil))
	if probe.Says != "" {
		text += " " + probe.Says
	}
	return text
}

// strategyChoices are what an operator may fix of a part.
func (p *page) strategyChoices(field string) (out []choice) {
	may := []string{nas.Auto, string(nas.CoA), string(nas.Disconnect)}
	switch field {
	case "identify":
		may = []string{nas.Auto}
		for _, i := range nas.Identifications {
			may = append(may, string(i))
		}
	case "class":
		may = []string{nas.Auto, "yes", "no"}
	}
	for _, value := range may {
		out = append(out, choice{value, nas.ValueText(value, p.lang)})
	}
	return out
}

func resultClass(f *FindingJSON) string {
	switch f.finding.Result {
	case nas.Good:
		return "s-active"
	case nas.Noted:
		return "s-overdue"
	case nas.Bad:
		return "s-blocked"
	}
	return "s-closed"
}

func (s *server) conformanceAPI(a huma.API) {
	operation(s, a, "GET", "/devices/{id}/conformance", "get-conformance", "What is known of an access server's behaviour, and how it is commanded",
		func(ctx context.Context, in *byID) (*body[ConformanceReport], error) {
			d, err := s.Devices.Device(ctx, nas.DeviceID(in.ID))
			if err != nil {
				return nil, err
			}
			report, err := s.conformanceOf(ctx, &d, contracts.English)
			if err != nil {
				return nil, err
			}
			return reply(report), nil
		})
	type ask struct {
		ID   int64 `path:"id" minimum:"1"`
		Body struct {
			SessionID string `json:"session_id,omitempty" maxLength:"600" doc:"An open session, as listed, to tell what it has already; absent: any that is settled"`
		}
	}
	operation(s, a, "POST", "/devices/{id}/probe", "probe-device", "Ask an access server what it does with commands; what it says is in its conformance",
		func(ctx context.Context, in *ask) (*created[ConformanceReport], error) {
			p := nas.Probe{Device: nas.DeviceID(in.ID), Actor: actorOf(ctx), SessionID: nas.RawOf(in.Body.SessionID)}
			err := s.Conformance.AskProbe(ctx, s.Now(), &p)
			if err != nil {
				return nil, err
			}
			d, err := s.Devices.Device(ctx, p.Device)
			if err != nil {
				return nil, err
			}
			report, err := s.conformanceOf(ctx, &d, contracts.English)
			if err != nil {
				return nil, err
			}
			return recorded(report), nil
		})
	type fix struct {
		ID   int64 `path:"id" minimum:"1"`
		Body struct {
			Identify string `json:"identify,omitempty" enum:"auto,dialect,login_id,session_id,login" default:"auto" doc:"What names a session"`
			Rates    string `json:"rates,omitempty" enum:"auto,coa,disconnect" default:"auto" doc:"How other rates are brought about"`
			Wall     string `json:"wall,omitempty" enum:"auto,coa,disconnect" default:"auto" doc:"How sessions get into the walled garden and out of it"`
			Class    string `json:"class,omitempty" enum:"auto,yes,no" default:"auto" doc:"Whether a CoA-Request carries Class"`
		}
	}
	operation(s, a, "PUT", "/devices/{id}/strategy", "set-strategy", "Fix how an access server is commanded, or leave it to what is found", func(ctx context.Context, in *fix) (*struct{}, error) {
		c := nas.Choice{Identify: in.Body.Identify, Rates: in.Body.Rates, Wall: in.Body.Wall, Class: in.Body.Class}
		return nil, s.Conformance.SetChoice(ctx, actorOf(ctx), s.Now(), nas.DeviceID(in.ID), c)
	})
	type note struct {
		ID    int64  `path:"id" minimum:"1"`
		Check string `path:"check" maxLength:"60"`
	}
	operation(s, a, "POST", "/devices/{id}/regressions/{check}/acknowledge", "acknowledge-regression", "Take note that an access server fails a check that it had passed", func(ctx context.Context, in *note) (*struct{}, error) {
		return nil, s.Conformance.AcknowledgeRegression(ctx, actorOf(ctx), s.Now(), nas.DeviceID(in.ID), nas.Check(in.Check))
	})
}
