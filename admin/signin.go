package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"enlace/contracts"
)

// localPath is where a form may send its reader afterwards: a path of this site, else the front page.
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\r\n") {
		return "/"
	}
	return s
}

func (s *server) signInPage(w http.ResponseWriter, r *http.Request) {
	if s.sessions.GetString(r.Context(), staffKey) != "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if err := show(w, r, http.StatusOK, signInForm(s.newPage(r), "", localPath(r.FormValue("next")), "")); err != nil {
		s.fail(w, r, err)
	}
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	p := s.newPage(r)
	f, err := formOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	username, password, next := bounded(f.get("username")), f.get("password"), localPath(f.get("next"))
	refuse := func(status int, result, text string) {
		s.signIns.WithLabelValues(result).Inc()
		if err := show(w, r, status, signInForm(p, username, next, text)); err != nil {
			s.fail(w, r, err)
		}
	}
	// Real time: an attacker does not wait for the process's settable clock.
	real := time.Now()
	if !s.byAddr.allow(network(remoteHost(r)), real) || !s.byName.allow(strings.ToLower(username), real) {
		w.Header().Set("Retry-After", "30")
		refuse(http.StatusTooManyRequests, "throttled", p.T("Too many attempts. Wait a moment and try again."))
		return
	}
	account, ok, err := s.verify(r, f.get("username"), password)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !ok {
		if err := s.Staff.Audit(r.Context(), p.now, "staff:"+username, "signin", "address:"+remoteHost(r), "wrong_password"); err != nil {
			s.logFailure(r, err)
		}
		refuse(http.StatusUnauthorized, "refused", p.T("User name or password is wrong."))
		return
	}
	if err := s.sessions.RenewToken(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	s.sessions.Put(r.Context(), staffKey, username)
	s.sessions.Put(r.Context(), sealKey, account.seal())
	if err := s.Staff.Audit(r.Context(), p.now, "staff:"+username, "signin", "address:"+remoteHost(r), "done"); err != nil {
		s.logFailure(r, err)
	}
	s.signIns.WithLabelValues("done").Inc()
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// verify takes as long for an unknown account as for a wrong password.
func (s *server) verify(r *http.Request, username, password string) (Account, bool, error) {
	hash := s.nobody()
	account, err := s.Staff.Account(r.Context(), username)
	var domain *contracts.Error
	switch {
	case err == nil:
		hash = account.PasswordHash
	case !errors.As(err, &domain):
		return account, false, err
	}
	ok, wrong := checkPassword(hash, password)
	if wrong != nil {
		return account, false, wrong
	}
	return account, ok && err == nil, nil
}

// bounded keeps what a stranger typed from growing the audit and the limiters. No account has a name so long.
func bounded(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "")
	}
	return s
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request, _ *page) error {
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
	return nil
}

// preferences stores language and theme in cookies; they are no secrets and mean nothing to the server.
func (s *server) preferences(w http.ResponseWriter, r *http.Request) {
	f, err := formOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	keep := func(name, value string) {
		http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 365 * 86400, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.SecureCookie})
	}
	for _, l := range languages {
		if f.get("lang") == string(l.Code) {
			keep(languageCookie, f.get("lang"))
		}
	}
	switch f.get("theme") {
	case "light", "dark", "auto":
		keep(themeName, f.get("theme"))
	}
	http.Redirect(w, r, localPath(f.get("back")), http.StatusSeeOther)
}
