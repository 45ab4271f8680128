package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"enlace/contracts"
	"enlace/nas"
)

// networkState is what the access servers are being told.
type networkState struct {
	Devices []networkDevice // by label
	All     *nas.Pause      // of every device
	Waves   []nas.Wave      // newest first
	Names   map[nas.DeviceID]string
	Sum     nas.DeviceLoad
	Hour    nas.CommandTally // commands of the last hour
	Open    int              // sessions
}

// networkDevice is what one access server is being told.
type networkDevice struct {
	nas.Device
	Online int
	Load   nas.DeviceLoad
	Hour   nas.CommandTally
	Pause  *nas.Pause // its own
}

func (s *server) networkState(ctx context.Context, now time.Time) (*networkState, error) {
	v := &networkState{Waves: s.Network.Waves()}
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := s.Sessions.Counts(ctx)
	if err != nil {
		return nil, err
	}
	tallies, err := s.Devices.CommandTallies(ctx, now.Add(-time.Hour))
	if err != nil {
		return nil, err
	}
	pauses, err := s.Devices.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	loads := map[nas.DeviceID]nas.DeviceLoad{}
	for _, l := range s.Network.Loads() {
		loads[l.Device] = l
		v.Sum = v.Sum.Plus(l)
	}
	for _, t := range tallies {
		v.Hour = v.Hour.Plus(t)
	}
	for _, n := range counts {
		v.Open += n
	}
	v.Names = deviceLabels(devices)
	for _, d := range devices {
		n := networkDevice{Device: d, Online: counts[d.ID], Load: loads[d.ID], Hour: tallies[d.ID]}
		if i := slices.IndexFunc(pauses, func(p nas.Pause) bool { return p.Device == d.ID }); i >= 0 {
			n.Pause = &pauses[i]
		}
		v.Devices = append(v.Devices, n)
	}
	slices.SortStableFunc(v.Devices, func(a, b networkDevice) int { return cmp.Compare(a.Label(), b.Label()) })
	if i := slices.IndexFunc(pauses, func(p nas.Pause) bool { return p.Device == 0 }); i >= 0 {
		v.All = &pauses[i]
	}
	return v, nil
}

// under is the mass change under way; nil when there is none.
func (v *networkState) under() *nas.Wave {
	if len(v.Waves) > 0 && v.Waves[0].Ended.IsZero() {
		return &v.Waves[0]
	}
	return nil
}

// over are those that have ended, the latest first.
func (v *networkState) over() []nas.Wave {
	if v.under() != nil {
		return v.Waves[1:]
	}
	return v.Waves
}

// commandQuery is what somebody looks for among the commands, as its form has it.
type commandQuery struct {
	Device nas.DeviceID
	Login  string
	Method nas.Method
	Fate   string // an Answer, or one of the further fates
	After  string // place in the list: the last of the page before
}

// Fates that are no answers.
const (
	fateWaiting   = "waiting"
	fateConfirmed = "confirmed"
	fateIgnored   = "ignored"
)

// fates are what may become of a command.
var fates = []choice{{"", "Every answer"}, {string(nas.Acked), "Acknowledged (ACK)"}, {string(nas.Naked), "Refused (NAK)"}, {string(nas.TimedOut), "Without answer"},
	{string(nas.Unreachable), "Could not be sent"}, {fateWaiting, "Waiting"}, {fateConfirmed, "Effect seen"}, {fateIgnored, "Acknowledged without effect"}}

var methodChoices = []choice{{"", "Every command"}, {string(nas.CoA), "CoA"}, {string(nas.Disconnect), "Disconnect"}, {string(nas.ViaAPI), "API"}}

// filter is the question to the store, for one more than fit.
func (q commandQuery) filter(limit int) (nas.CommandFilter, error) {
	f := nas.CommandFilter{Device: q.Device, Login: strings.TrimSpace(q.Login), Method: q.Method, Limit: limit}
	if !slices.ContainsFunc(fates, func(c choice) bool { return c.value == q.Fate }) {
		return f, contracts.Invalidf("answer", "%q is not what may become of a command", q.Fate)
	}
	if !slices.ContainsFunc(methodChoices, func(c choice) bool { return c.value == string(q.Method) }) {
		return f, contracts.Invalidf("method", "%q is not a kind of command", string(q.Method))
	}
	switch q.Fate {
	case fateWaiting:
		f.Waiting = true
	case fateConfirmed:
		f.Confirmed = true
	case fateIgnored:
		f.Ignored = true
	default:
		f.Answer = nas.Answer(q.Fate)
	}
	if q.After != "" {
		at, id, ok := strings.Cut(q.After, "_")
		micros, err1 := strconv.ParseInt(at, 10, 64)
		number, err2 := strconv.ParseInt(id, 10, 64)
		if !ok || err1 != nil || err2 != nil || micros < 0 || micros > 1<<53 {
			return f, contracts.Invalidf("after", "%q is no place in the list", q.After)
		}
		f.Before, f.BeforeID = time.UnixMicro(micros).UTC(), nas.CommandID(number)
	}
	return f, nil
}

// place of a command in the list, for the page after it.
func place(c *nas.CommandRecord) string {
	return strconv.FormatInt(c.RequestedAt.UnixMicro(), 10) + "_" + strconv.FormatInt(int64(c.ID), 10)
}

// address of the network page with this question, after a command.
func (q commandQuery) address(after string) string {
	values := url.Values{}
	for name, value := range map[string]string{"login": q.Login, "method": string(q.Method), "answer": q.Fate, "after": after} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Device != 0 {
		values.Set("device", strconv.FormatInt(int64(q.Device), 10))
	}
	return "/network?" + values.Encode() + "#commands"
}

// commandsShown is how many commands one page shows.
const commandsShown = 50

type networkView struct {
	*networkState
	Query    commandQuery
	Commands []nas.CommandRecord
	Next     string // place of the next page; "" on the last
}

func (s *server) networkPage(w http.ResponseWriter, r *http.Request, p *page) error {
	v := networkView{Query: commandQuery{Login: r.FormValue("login"), Method: nas.Method(r.FormValue("method")), Fate: r.FormValue("answer"), After: r.FormValue("after")}}
	if n, err := strconv.ParseInt(r.FormValue("device"), 10, 64); err == nil {
		v.Query.Device = nas.DeviceID(n)
	}
	f, err := v.Query.filter(commandsShown + 1)
	if err != nil {
		return err
	}
	if v.networkState, err = s.networkState(r.Context(), p.now); err != nil {
		return err
	}
	if v.Commands, err = s.Devices.Commands(r.Context(), f); err != nil {
		return err
	}
	if len(v.Commands) > commandsShown {
		v.Commands = v.Commands[:commandsShown]
		v.Next = place(&v.Commands[commandsShown-1])
	}
	return show(w, r, http.StatusOK, networkDetail(p, &v))
}

func (s *server) pauseNetwork(w http.ResponseWriter, r *http.Request, p *page) error {
	return s.setPause(w, r, p, s.Devices.PauseCommands, "Paused. What restores service goes on.")
}

func (s *server) resumeNetwork(w http.ResponseWriter, r *http.Request, p *page) error {
	return s.setPause(w, r, p, s.Devices.ResumeCommands, "It goes on.")
}

func (s *server) setPause(w http.ResponseWriter, r *http.Request, p *page, set func(context.Context, string, time.Time, nas.DeviceID) error, done string) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	device := f.number("device", 0)
	if f.err != nil || device < 0 {
		return contracts.Invalidf("device", "%q is not a device", f.get("device"))
	}
	back := localPath(f.get("back"))
	if back == "/" {
		back = "/network"
	}
	return s.thenBack(w, r, p, set(r.Context(), p.actor(), p.now, nas.DeviceID(device)), p.T(done), back)
}

// soon is how long something will take, for people.
func (p *page) soon(d time.Duration) string {
	if d < time.Second {
		return p.T("a moment")
	}
	return duration(d)
}

// settledShare is how much of a wave has been settled, in percent.
func settledShare(c nas.WaveCount) string {
	if c.Total == 0 {
		return "100 %"
	}
	return strconv.Itoa((c.Done+c.Failed)*100/c.Total) + " %"
}

// hourText is what became of a device's commands in the last hour, but for those that are well.
func hourText(p *page, t nas.CommandTally) string {
	var parts []string
	for _, part := range []struct {
		n    int
		text string
	}{{t.Naked, "%s refused"}, {t.TimedOut, "%s without answer"}, {t.Unreachable, "%s not sent"}, {t.Ignored, "%s without effect"}} {
		if part.n > 0 {
			parts = append(parts, p.T(part.text, p.Number(part.n)))
		}
	}
	return strings.Join(parts, ", ")
}
