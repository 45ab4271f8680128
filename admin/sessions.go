package admin

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

// sessionView is an open session beside what its login should have.
type sessionView struct {
	radius.Session
	Device   string
	Standing Standing
	Known    bool // the login is known to the directory
	// Applied is the service that the access server applies, if its digest is one that this login can have.
	Applied *nas.Service
}

// Settled reports whether the access server applies what the login should have.
func (v *sessionView) Settled() bool {
	return v.Known && v.Applied != nil && v.Applied.Digest() == v.Standing.Service.Digest()
}

func (s *server) viewSession(p *page, o radius.Session, devices map[nas.DeviceID]string) sessionView {
	v := sessionView{Session: o, Device: nameOf(devices, o.Key.Device)}
	v.Standing, v.Known = s.Directory.Standing(strings.TrimSpace(o.Login), o.Access, p.now)
	if i := slices.IndexFunc(v.Standing.Known, func(k nas.Service) bool { return k.Digest() == o.Applied }); i >= 0 {
		v.Applied = &v.Standing.Known[i]
	}
	return v
}

// closedLabels say how a session's end is known.
var closedLabels = map[radius.ClosedBy]string{
	radius.ClosedByStop: "the access server's Stop", radius.ClosedByOn: "a restart of the access server",
	radius.ClosedByOff: "a shutdown of the access server", radius.ClosedByReuse: "a later session in its place",
	radius.ClosedByStale: "silence: no longer reported", radius.ClosedByGone: "the access server, which does not know it",
}

// closedText says why a session ended, with its Acct-Terminate-Cause where there is one.
func closedText(p *page, o *radius.Session) string {
	text := p.T(closedLabels[o.ClosedBy])
	if cause := radius.CauseName(o.Cause); cause != "" {
		text += " (" + cause + ")"
	}
	return text
}

// deviceNames by number.
func deviceNames(list []nas.Device) map[nas.DeviceID]string {
	names := make(map[nas.DeviceID]string, len(list))
	for _, d := range list {
		names[d.ID] = d.Name
	}
	return names
}

// deviceLabels are what devices are called where there is little room.
func deviceLabels(list []nas.Device) map[nas.DeviceID]string {
	labels := make(map[nas.DeviceID]string, len(list))
	for i := range list {
		labels[list[i].ID] = list[i].Label()
	}
	return labels
}

// sessionsLimit is how many sessions one page shows; a search narrows them.
const sessionsLimit = 200

type sessionsView struct {
	Query    string
	Device   nas.DeviceID
	Devices  []nas.Device
	Counts   map[nas.DeviceID]int
	Total    int
	Sessions []sessionView
	Full     bool // there are more than fit
}

func (s *server) sessionsPage(w http.ResponseWriter, r *http.Request, p *page) error {
	v := sessionsView{Query: strings.TrimSpace(r.FormValue("q"))}
	if n, err := strconv.ParseInt(r.FormValue("device"), 10, 64); err == nil {
		v.Device = nas.DeviceID(n)
	}
	var err error
	if v.Devices, err = s.Devices.Devices(r.Context()); err != nil {
		return err
	}
	if v.Counts, err = s.Sessions.Counts(r.Context()); err != nil {
		return err
	}
	for _, n := range v.Counts {
		v.Total += n
	}
	open, err := s.Sessions.OpenSessions(r.Context(), SessionFilter{Device: v.Device, Query: bounded(v.Query), Limit: sessionsLimit + 1})
	if err != nil {
		return err
	}
	if v.Full = len(open) > sessionsLimit; v.Full {
		open = open[:sessionsLimit]
	}
	names := deviceLabels(v.Devices)
	for _, o := range open {
		v.Sessions = append(v.Sessions, s.viewSession(p, o, names))
	}
	return show(w, r, http.StatusOK, sessionsList(p, v))
}

// disconnect ends one session at an operator's wish.
func (s *server) disconnect(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	device, err := strconv.ParseInt(f.get("device"), 10, 64)
	if err != nil {
		return contracts.Invalidf("device", "%q is not a device", f.get("device"))
	}
	key := nas.SessionKey{Device: nas.DeviceID(device), ID: nas.RawOf(f.get("session"))}
	reason := f.get("reason")
	if reason == "" {
		reason = "disconnected in the panel"
	}
	if err := s.Disconnect(r.Context(), key, p.actor(), reason); err != nil {
		var done bool
		if done, err = s.sayRefused(r, p, err); !done {
			return err
		}
	} else {
		s.say(r, true, p.T("The access server is told to end the session."))
	}
	http.Redirect(w, r, localPath(f.get("back")), http.StatusSeeOther)
	return nil
}

// sayRefused leaves a refusal for the next page; an error that is none comes back.
func (s *server) sayRefused(r *http.Request, p *page, err error) (bool, error) {
	e, ok := asDomain(err)
	if !ok {
		return false, err
	}
	s.say(r, false, p.errorText(e))
	return true, nil
}

// loginPage leads from a login to its contract.
func (s *server) loginPage(w http.ResponseWriter, r *http.Request, p *page) error {
	contract, _, err := s.Contracts.FindLogin(r.Context(), strings.TrimSpace(r.FormValue("login")))
	if err != nil {
		return err
	}
	http.Redirect(w, r, contractPath(contract), http.StatusSeeOther)
	return nil
}
