package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"enlace/contracts"
)

// drawing is a contract's timeline ready to be drawn: positions are in units of the picture, texts in the reader's
// language. It is worked out apart from its SVG so that nothing is decided in the template.
type drawing struct {
	Width, Height int
	Months        []gridLine
	Bars          []bar
	Marks         []factMark
	Now           float64
	NowLabel      string
	Label         string // of the whole picture, for who cannot see it
	Used          []contracts.Status
}

type gridLine struct {
	X     float64
	Label string
	Major bool
}

// bar is a stretch with one status.
type bar struct {
	X, W    float64
	Class   string
	Outcome string // class of the strip below it
	Label   string // "" where there is no room
	Title   string
	When    string // "past", "sure" (foreseen) or "planned" (expected if notices go out and nothing is paid)
}

// factMark is a fact on the line above the bars.
type factMark struct {
	X, Y  float64
	Class string
	Title string
}

// Measures of the picture.
const (
	drawWidth   = 1040
	drawHeight  = 148
	drawLeft    = 8
	drawRight   = 8
	barTop      = 62
	barHeight   = 34
	markLine    = 50
	markStep    = 11
	markSpacing = 12
)

// draw lays out the contract between two instants. What was is drawn from the facts; what will be from the plan, which
// assumes that notices go out as scheduled.
func draw(p *page, c *contracts.Contract, facts []contracts.Fact, rules []contracts.Rules, from, until time.Time) drawing {
	d := drawing{Width: drawWidth, Height: drawHeight, Label: p.T("Timeline of the contract")}
	x := func(t time.Time) float64 {
		w := float64(drawWidth - drawLeft - drawRight)
		return round(drawLeft + w*float64(t.Sub(from))/float64(until.Sub(from)))
	}
	past := contracts.Timeline(c, facts, rules, contracts.Options{}).Spans
	future := contracts.Timeline(c, facts, rules, contracts.Options{Plan: true, From: p.now}).Spans
	add := func(s *contracts.Span, a, b time.Time, when string) {
		if a.Before(from) {
			a = from
		}
		if b.After(until) {
			b = until
		}
		if !a.Before(b) {
			return
		}
		w := x(b) - x(a)
		text := contracts.StatusName(s.Status, p.lang)
		title := fmt.Sprintf("%s · %s\n%s → %s", text, p.T(outcomeLabels[s.Outcome]), p.Instant(s.From, c.Zone), p.untilText(s.Until, c.Zone))
		switch when {
		case "sure":
			title += "\n" + p.T("Foreseen")
		case "planned":
			title += "\n" + p.T("Expected, if notices go out and nothing is paid")
		}
		if s.Why.InvoiceID != "" {
			title += "\n" + p.T("Invoice %s", s.Why.InvoiceID)
		}
		if float64(len([]rune(text)))*6.6+10 > w {
			text = ""
		}
		d.Bars = append(d.Bars, bar{X: x(a), W: round(max(w, 1.5)), Class: statusClass(s.Status), Outcome: outcomeClass(s.Outcome), Label: text, Title: title, When: when})
		if !slices.Contains(d.Used, s.Status) {
			d.Used = append(d.Used, s.Status)
		}
	}
	for _, s := range merged(past) {
		add(&s, s.From, earlier(s.Until, p.now), "past")
	}
	for _, s := range merged(future) {
		if !s.Until.IsZero() && !s.Until.After(p.now) {
			continue
		}
		when := "planned"
		if at := past.At(later(s.From, p.now)); at.Status == s.Status && at.Outcome == s.Outcome {
			when = "sure"
		}
		add(&s, later(s.From, p.now), earlier(s.Until, until), when)
	}
	d.Months = gridLines(p, c.Zone, from, until, x)
	d.Marks = marks(p, c, facts, from, until, x)
	if p.now.After(from) && p.now.Before(until) {
		d.Now, d.NowLabel = x(p.now), p.T("Now")
	}
	slices.SortFunc(d.Used, func(a, b contracts.Status) int {
		return cmp.Compare(slices.Index(contracts.Statuses, a), slices.Index(contracts.Statuses, b))
	})
	return d
}

// merged joins neighbours that look the same: a run that changed nothing is no boundary worth drawing.
func merged(spans contracts.Spans) contracts.Spans {
	var out contracts.Spans
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].Status == s.Status && out[n-1].Outcome == s.Outcome && out[n-1].Why.InvoiceID == s.Why.InvoiceID {
			out[n-1].Until = s.Until
			continue
		}
		out = append(out, s)
	}
	return out
}

func (p *page) untilText(t time.Time, loc *time.Location) string {
	if t.IsZero() {
		return p.T("open end")
	}
	return p.Instant(t, loc)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func round(f float64) float64 { return float64(int64(f*10+0.5)) / 10 }

// num writes a position without needless zeros.
func num(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func gridLines(p *page, loc *time.Location, from, until time.Time, x func(time.Time) float64) []gridLine {
	var out []gridLine
	step := 1
	if until.Sub(from) > 500*24*time.Hour {
		step = 3
	}
	y, m, _ := contracts.DateOf(from, loc).Parts()
	for {
		m++
		day := contracts.NewDate(y, m, 1)
		at := day.Start(loc)
		if !at.Before(until) {
			return out
		}
		yy, mm, _ := day.Parts()
		if (int(mm)-1)%step == 0 {
			label := p.month(mm)
			if mm == time.January || len(out) == 0 {
				label += " " + strconv.Itoa(yy)
			}
			out = append(out, gridLine{X: x(at), Label: label, Major: mm == time.January})
		}
	}
}

// month is its short name.
func (p *page) month(m time.Month) string {
	if p.lang == contracts.Portuguese {
		return [...]string{"jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set", "out", "nov", "dez"}[m-1]
	}
	return m.String()[:3]
}

// marks places facts above the bars; those that would overlap climb.
func marks(p *page, c *contracts.Contract, facts []contracts.Fact, from, until time.Time, x func(time.Time) float64) []factMark {
	var out []factMark
	rows := []float64{-1e9, -1e9, -1e9, -1e9}
	for _, f := range facts {
		if f.At.Before(from) || f.At.After(until) {
			continue
		}
		at := x(f.At)
		row := 0
		for i, last := range rows {
			if at-last >= markSpacing {
				row = i
				break
			}
			row = i
		}
		rows[row] = at
		title := p.factLabel(&f) + " · " + p.Instant(f.At, c.Zone)
		if text := p.factText(c, &f); text != "" {
			title += "\n" + text
		}
		out = append(out, factMark{X: at, Y: float64(markLine - row*markStep), Class: factClass(f.Kind), Title: title})
	}
	return out
}

// factClass groups facts by what they do: owe, warn, settle, act, rule.
func factClass(k contracts.FactKind) string {
	switch k {
	case contracts.InvoiceIssued, contracts.InstallmentDue:
		return "f-owe"
	case contracts.NoticeSent:
		return "f-notice"
	case contracts.PaymentReceived, contracts.InvoiceCancelled:
		return "f-pay"
	case contracts.PaymentReversed, contracts.ManualBlock, contracts.AccessDisabled, contracts.Cancelled:
		return "f-harm"
	case contracts.TrustUnblock, contracts.TempRelease, contracts.ManualRelease, contracts.ManualUnblock, contracts.AccessEnabled:
		return "f-free"
	}
	return "f-other"
}
