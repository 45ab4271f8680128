package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/a-h/templ"

	"enlace/contracts"
	"enlace/nas"
)

// page is what every page knows of its request: who reads it, in which language, and what the clock says.
type page struct {
	lang    contracts.Language
	theme   string // "", "light" or "dark"
	now     time.Time
	zone    *time.Location
	staff   string
	path    string
	back    string // where a preference change returns to
	version string
	warn    []warning
	said    *saying
	clock   bool // the clock can be set

	dialects *nas.Dialects
}

// warning is a banner that stays until what it warns of is gone.
type warning struct {
	level string // "danger", "warn" or "info"
	text  string
}

// saying is the one-time message after an act.
type saying struct {
	Good bool
	Text string
}

// T is the text for an English key in the reader's language.
func (p *page) T(key string, args ...any) string { return translate(p.lang, key, args...) }

func (p *page) actor() string { return "staff:" + p.staff }

// handler answers one request of a signed-in member of staff.
type handler func(w http.ResponseWriter, r *http.Request, p *page) error

const (
	staffKey  = "staff"
	sealKey   = "seal"
	saidText  = "said"
	saidGood  = "good"
	themeName = "enlace_theme"
)

// staffOnly lets members of staff through and sends everybody else to the sign-in page.
func (s *server) staffOnly(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := s.newPage(r)
		p.staff = s.sessions.GetString(r.Context(), staffKey)
		if p.staff == "" {
			to := "/signin"
			if r.Method == http.MethodGet && r.URL.Path != "/" {
				to += "?next=" + url.QueryEscape(r.URL.RequestURI())
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
		account, err := s.Staff.Account(r.Context(), p.staff)
		_, gone := asDomain(err)
		if gone || err == nil && account.seal() != s.sessions.GetString(r.Context(), sealKey) {
			if err = s.sessions.Destroy(r.Context()); err == nil {
				http.Redirect(w, r, "/signin", http.StatusSeeOther)
				return
			}
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		p.warn = s.warnings(p)
		if r.Method == http.MethodGet && r.Header.Get("X-Refresh") == "" && s.sessions.Exists(r.Context(), saidText) {
			p.said = &saying{Good: s.sessions.PopBool(r.Context(), saidGood), Text: s.sessions.PopString(r.Context(), saidText)}
		}
		if err := h(w, r, p); err != nil {
			s.failOn(w, r, p, err)
		}
	})
}

func (s *server) newPage(r *http.Request) *page {
	p := &page{lang: languageOf(r), now: s.Now(), zone: s.Zone, path: r.URL.Path, back: r.URL.RequestURI(), version: s.Version, clock: s.SetClock != nil, dialects: s.Dialects}
	if c, err := r.Cookie(themeName); err == nil && (c.Value == "light" || c.Value == "dark") {
		p.theme = c.Value
	}
	return p
}

// warnings are what an operator must not overlook.
func (s *server) warnings(p *page) []warning {
	var out []warning
	if len(s.NoticeChannels) == 0 {
		out = append(out, warning{"danger", p.T("No notice channel is configured: overdue notices do not go out, and nobody will be restricted.")})
	}
	if age := s.Directory.Age(p.now); s.MaxStaleness > 0 && age > s.MaxStaleness {
		out = append(out, warning{"danger", p.T("The directory is older than its bound: authentication does not answer until the database can be read.")})
	} else if age > 30*time.Second {
		out = append(out, warning{"warn", p.T("The directory has not heard from the database for %s; authentication goes on from memory.", duration(age))})
	}
	return out
}

// say leaves a message for the next page.
func (s *server) say(r *http.Request, good bool, text string) {
	s.sessions.Put(r.Context(), saidText, text)
	s.sessions.Put(r.Context(), saidGood, good)
}

// show renders a page whole before anything is sent, so that an error in it is still an error page.
func show(w http.ResponseWriter, r *http.Request, status int, c templ.Component) error {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader went away: nobody is left to tell
	return nil
}

// fail answers with an error page.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.failOn(w, r, s.newPage(r), err)
}

func (s *server) failOn(w http.ResponseWriter, r *http.Request, p *page, err error) {
	var domain *contracts.Error
	if errors.As(err, &domain) {
		s.refuseOn(w, r, p, statusOf(domain), p.errorText(domain))
		return
	}
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return
	}
	id := s.logFailure(r, err)
	if h := s.Health(r.Context()); h.Database != "ok" {
		s.refuseOn(w, r, p, http.StatusServiceUnavailable, p.away(h))
		return
	}
	s.refuseOn(w, r, p, http.StatusInternalServerError, p.T("Something failed on our side. The log has it under %s.", id))
}

// away says what goes on and what does not while the database cannot be used.
func (p *page) away(h Health) string {
	text := p.T("The database cannot be used. Logins and accounting go on from memory; pages that show or change records wait for it.")
	switch h.Database {
	case "newer than this program":
		text += " " + p.T("Its schema is newer than this program: update the program.")
	case "older than this program":
		text += " " + p.T("Its schema is older than this program: start the program again to migrate it.")
	}
	if !h.AwaySince.IsZero() {
		text += " " + p.T("It has been away since %s.", p.Instant(h.AwaySince, nil))
	}
	if !h.Snapshot.IsZero() {
		text += " " + p.T("What is served is the snapshot of %s.", p.Instant(h.Snapshot, nil))
	}
	return text
}

// logFailure writes an unexpected error to the log under a number that can be shown to strangers.
func (s *server) logFailure(r *http.Request, err error) (id string) {
	var b [6]byte
	rand.Read(b[:])
	id = hex.EncodeToString(b[:])
	s.log.Error().Err(err).Str("id", id).Str("method", r.Method).Str("path", r.URL.Path).Msg("request failed")
	return id
}

func (s *server) refuse(w http.ResponseWriter, r *http.Request, status int, key string) {
	p := s.newPage(r)
	s.refuseOn(w, r, p, status, p.T(key))
}

func (s *server) refuseOn(w http.ResponseWriter, r *http.Request, p *page, status int, text string) {
	if err := show(w, r, status, errorPage(p, status, text)); err != nil {
		http.Error(w, http.StatusText(status), status)
	}
}

// statusOf maps the kinds of domain errors to HTTP, for panel and API alike.
func statusOf(e *contracts.Error) int {
	switch e.Kind {
	case contracts.Invalid:
		return http.StatusUnprocessableEntity
	case contracts.NotFound:
		return http.StatusNotFound
	case contracts.Conflict, contracts.Denied:
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

// conflictTexts say what is in the way without the names in it, which only the English message has.
var conflictTexts = map[string]string{
	"already_cancelled": "It is already cancelled", "already_reversed": "It is already reversed", "cancelled": "The invoice is cancelled",
	"credit_used": "The credit it left has settled another invoice", "has_payments": "It has payments: reverse them first",
	"idempotency": "That payment id belongs to another payment", "duplicate_name": "The name is already taken",
	"duplicate_login": "The login is already taken", "duplicate_document": "The document belongs to another customer",
	"duplicate_source": "The source belongs to another access server with the same NAS-Identifier", "duplicate_certificate": "The certificate belongs to another access server",
	"unreachable":   "The access server has no address for commands",
	"probing":       "The access server is being probed already",
	"address_taken": "The address or network belongs to another access", "mark_taken": "Another access is already recognised by that",
}

// errorText is a domain error in the reader's words.
func (p *page) errorText(e *contracts.Error) string {
	if e.Kind == contracts.Denied {
		return p.T("Refused: %s.", contracts.RefusalText(e.Code, p.lang))
	}
	text := e.Msg
	if p.lang != contracts.English {
		if key, ok := conflictTexts[e.Code]; ok {
			text = key
		}
		if _, ok := portuguese[text]; ok {
			text = p.T(text)
		} else {
			text = p.T("Not accepted: %s", text)
		}
	}
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:] + "."
}

// form is what somebody typed, and what was wrong with it.
type form struct {
	values map[string]string
	err    *contracts.Error
}

// formOf reads a posted form; every field is trimmed but passwords.
func formOf(r *http.Request) (*form, error) {
	if err := r.ParseForm(); err != nil {
		return nil, contracts.Invalidf("", "the form could not be read")
	}
	f := &form{values: map[string]string{}}
	for k, v := range r.PostForm {
		f.values[k] = v[0]
		if !secretField(k) {
			f.values[k] = strings.TrimSpace(v[0])
		}
	}
	return f, nil
}

func secretField(name string) bool {
	return name == "password" || name == "secret" || name == "api_password"
}

func (f *form) get(name string) string { return f.values[name] }

func (f *form) has(name string) bool { return f.values[name] != "" }

// number reads an integer; an empty field is the fallback.
func (f *form) number(name string, fallback int) int {
	if !f.has(name) {
		return fallback
	}
	n, err := strconv.Atoi(f.get(name))
	if err != nil {
		f.wrong(contracts.Invalidf(name, "%q is not a whole number", f.get(name)))
	}
	return n
}

func (f *form) money(name string) contracts.Cents {
	c, err := parseMoney(name, f.get(name))
	f.wrong(err)
	return c
}

func (f *form) rate(name string) uint64 {
	n, err := parseRate(name, f.get(name))
	f.wrong(err)
	return n
}

// date reads 2026-12-31 or 31/12/2026; an empty field is no date.
func (f *form) date(name string) contracts.Date {
	s := f.get(name)
	if s == "" {
		return 0
	}
	if len(s) == 10 && s[2] == '/' && s[5] == '/' {
		s = s[6:] + "-" + s[3:5] + "-" + s[:2]
	}
	d, err := contracts.ParseDate(s)
	if err != nil {
		f.wrong(contracts.Invalidf(name, "%q is not a date", f.get(name)))
	}
	return d
}

// wrong keeps the first thing that was wrong. It reports whether anything is, this error included; errors that are not
// about the form are not taken.
func (f *form) wrong(err error) bool {
	var e *contracts.Error
	if f.err == nil && errors.As(err, &e) && e.Kind != contracts.NotFound {
		f.err = e
	}
	return f.err != nil
}

// field error of one field; an error without a field, or with one the form does not have, is shown above the form.
func (f *form) errorOf(name string) *contracts.Error {
	if f.err != nil && f.err.Field == name {
		return f.err
	}
	return nil
}

// id reads a number out of the path.
func id[T ~int64](r *http.Request, name string) (T, error) {
	n, err := strconv.ParseInt(r.PathValue(name), 10, 64)
	if err != nil || n <= 0 {
		return 0, contracts.NotFoundf("there is no such page")
	}
	return T(n), nil
}

func onceString(f func() string) func() string { return sync.OnceValue(f) }
