package contracts

import (
	"fmt"
	"strings"
	"time"
)

// Language of what people read.
type Language string

const (
	English    Language = "en"
	Portuguese Language = "pt"
)

// Explanation says in words what holds at an instant, why, and what comes next.
type Explanation struct {
	At       time.Time
	Span     Span      // with the open amount and the notice as they are at At
	Since    time.Time // when the status began, for the same reason; plan and accesses may have changed since
	Next     *Span     // what follows unless something happens; nil when nothing is foreseen
	Planned  bool      // Next assumes that notices go out as scheduled
	Refused  []Refusal
	Headline string   // one sentence: status and why
	Details  []string // the facts looked at, one sentence each
}

// Explain answers for the state at t, from the facts recorded by t. The outlook assumes that notices go out as
// scheduled after t.
func Explain(c *Contract, facts []Fact, rules []Rules, t time.Time, lang Language) Explanation {
	var known []Fact
	for _, f := range facts {
		if !f.At.After(t) {
			known = append(known, f)
		}
	}
	var ruled []Rules
	for i, r := range rules {
		if i == 0 || !r.Since.After(t) {
			ruled = append(ruled, r)
		}
	}
	life := Timeline(c, known, ruled, Options{})
	e := Explanation{At: t, Span: *life.Spans.At(t), Since: life.Spans.since(t), Refused: life.Refused}
	for _, d := range Debts(c, known, ruled, t) {
		if y := &e.Span.Why; d.InvoiceID == y.InvoiceID {
			y.Open = d.Open
			if !d.NoticeOn.IsZero() || e.Span.Status == Overdue { // what restricts was noticed, even if it was reversed since
				y.NoticeOn = d.NoticeOn
			}
		}
	}
	plan := Timeline(c, known, ruled, Options{Plan: true, From: t})
	if at := plan.Spans.At(t); !at.Until.IsZero() {
		next := *plan.Spans.At(at.Until)
		e.Next = &next
		sure := life.Spans.At(at.Until)
		e.Planned = sure.Status != next.Status || !sure.From.Equal(next.From)
	}
	w := wording{lang: lang, zone: c.Zone}
	e.Headline = w.headline(&e)
	e.Details = w.details(&e)
	return e
}

// wording renders sentences in a language; dates and times are the contract's.
type wording struct {
	lang Language
	zone *time.Location
}

func (w wording) say(en, pt string, args ...any) string {
	if w.lang == Portuguese {
		return fmt.Sprintf(pt, args...)
	}
	return fmt.Sprintf(en, args...)
}

func (w wording) date(d Date) string {
	if w.lang == Portuguese {
		return d.utc().Format("02/01/2006")
	}
	return d.String()
}

func (w wording) instant(t time.Time) string {
	layout := "2006-01-02 15:04:05"
	if w.lang == Portuguese {
		layout = "02/01/2006 15:04:05"
	}
	return t.In(w.zone).Format(layout)
}

func (w wording) money(c Cents) string { return FormatMoney(c, w.lang) }

// FormatMoney writes reais as people read them: R$ 1.234,50 in Portuguese, R$ 1,234.50 in English.
func FormatMoney(c Cents, lang Language) string {
	s := c.String()
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, frac, _ := strings.Cut(s, ".")
	thousands, point := ",", "."
	if lang == Portuguese {
		thousands, point = ".", ","
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + thousands + whole[i:]
	}
	return sign + "R$ " + whole + point + frac
}

// StatusName is a status in words.
func StatusName(s Status, lang Language) string {
	names := map[Status][2]string{
		Pending: {"Awaiting activation", "Aguardando ativação"}, Active: {"Active", "Ativo"}, Overdue: {"Overdue", "Em atraso"},
		Reduced: {"Reduced", "Reduzido"}, BlockedAuto: {"Blocked for debt", "Bloqueado por débito"},
		BlockedManual: {"Blocked by an operator", "Bloqueado manualmente"}, ReleasedTrust: {"Released on trust", "Liberado em confiança"},
		ReleasedTemp: {"Temporarily released", "Liberado temporariamente"}, ReleasedManual: {"Released by an operator", "Liberado manualmente"},
		SuspendedRequest: {"Suspended at own request", "Suspenso a pedido"}, Terminated: {"Terminated", "Encerrado"},
	}
	if lang == Portuguese {
		return names[s][1]
	}
	return names[s][0]
}

func (w wording) headline(e *Explanation) string {
	s, y := &e.Span, e.Span.Why
	name := StatusName(s.Status, w.lang)
	switch s.Status {
	case Pending:
		return w.say("%s: the contract has not been activated yet.", "%s: o contrato ainda não foi ativado.", name)
	case Active:
		return w.say("%s: no invoice is overdue.", "%s: nenhuma fatura em atraso.", name)
	case Overdue:
		return w.say("%s: invoice %s was due on %s.", "%s: a fatura %s venceu em %s.", name, y.InvoiceID, w.date(y.Due))
	case Reduced, BlockedAuto:
		return w.say("%s: invoice %s, due on %s, was %d days overdue on %s.", "%s: a fatura %s, vencida em %s, estava com %d dias de atraso em %s.",
			name, y.InvoiceID, w.date(y.Due), y.DaysOverdue, w.date(y.Due.AddDays(y.DaysOverdue)))
	case SuspendedRequest:
		return w.say("%s: the subscriber asked for it.", "%s: o assinante pediu.", name)
	case Terminated:
		return w.say("%s: the contract has ended.", "%s: o contrato foi encerrado.", name)
	}
	return w.say("%s since %s.", "%s desde %s.", name, w.instant(e.Since))
}

func (w wording) details(e *Explanation) []string {
	var out []string
	y := e.Span.Why
	if y.Open > 0 {
		out = append(out, w.say("Open amount of invoice %s: %s.", "Valor em aberto da fatura %s: %s.", y.InvoiceID, w.money(y.Open)))
	}
	if !y.NoticeOn.IsZero() {
		out = append(out, w.say("The overdue notice went out on %s.", "O aviso de atraso foi enviado em %s.", w.date(y.NoticeOn)))
	} else if e.Span.Status == Overdue {
		out = append(out, w.say("No overdue notice has been recorded; nothing is restricted without one.",
			"Nenhum aviso de atraso foi registrado; sem aviso nada é restringido."))
	}
	if y.Actor != "" {
		line := w.say("Done by %s", "Feito por %s", y.Actor)
		if y.Reason != "" {
			line += ": " + y.Reason
		}
		out = append(out, strings.TrimSuffix(line, ".")+".")
	}
	out = append(out, w.say("In force since %s, under policy version %d (rule %s).", "Em vigor desde %s, pela versão %d da política (regra %s).",
		w.instant(e.Since), y.PolicyVersion, y.Rule))
	switch n := e.Next; {
	case n == nil:
		out = append(out, w.say("Nothing ends this by itself.", "Nada encerra isto por si só."))
	case e.Planned:
		out = append(out, w.say("Expected on %s: %s, if the notice goes out as scheduled and nothing is paid.",
			"Previsto para %s: %s, se o aviso sair como programado e nada for pago.", w.instant(n.From), StatusName(n.Status, w.lang)))
	default:
		out = append(out, w.say("Next, on %s: %s.", "A seguir, em %s: %s.", w.instant(n.From), StatusName(n.Status, w.lang)))
	}
	if n := len(e.Refused); n > 0 {
		r := e.Refused[n-1]
		out = append(out, w.say("Last refused request: %s on %s (%s).", "Último pedido recusado: %s em %s (%s).",
			r.Request, w.instant(r.At), RefusalText(r.Reason, w.lang)))
	}
	return out
}

// RefusalText is a refusal's reason in words.
func RefusalText(reason string, lang Language) string {
	texts := map[string][2]string{
		"min_interval":         {"it was used too recently", "foi usado há pouco tempo"},
		"quota":                {"the allowance of releases is used up", "o limite de liberações foi atingido"},
		"disabled_on_contract": {"trust unblock is switched off on this contract", "o desbloqueio de confiança está desativado neste contrato"},
		"open_debt":            {"there is overdue debt", "há débito em atraso"},
		"length":               {"the length is outside what the policy allows", "a duração está fora do permitido pela política"},
		"no_allowance":         {"the plan's traffic has no bound", "o plano não tem limite de tráfego"},
		"window":               {"there was already a suspension in the period", "já houve uma suspensão no período"},
	}
	if status, ok := strings.CutPrefix(reason, "status_"); ok {
		name := StatusName(Status(status), lang)
		if lang == Portuguese {
			return "o contrato está: " + name
		}
		return "the contract is: " + name
	}
	t, ok := texts[reason]
	switch {
	case !ok:
		return reason
	case lang == Portuguese:
		return t[1]
	}
	return t[0]
}
