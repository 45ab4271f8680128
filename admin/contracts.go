package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"enlace/billing"
	"enlace/contracts"
	"enlace/nas"
	"enlace/radius"
)

func contractPath(id contracts.ContractID) string { return fmt.Sprintf("/contracts/%d", id) }

func customerPath(id contracts.CustomerID) string { return fmt.Sprintf("/customers/%d", id) }

func asDomain(err error) (*contracts.Error, bool) {
	var e *contracts.Error
	return e, errors.As(err, &e)
}

// loginOf is the login as the contract has it: access servers may send spaces around it.
func (Standing) loginOf(sent string) string { return strings.TrimSpace(sent) }

// accessView is one access of a contract with its open sessions.
type accessView struct {
	contracts.Access
	Disabled bool
	Marks    []lineMark
	Sessions []sessionView
	Last     *radius.Session // the latest closed session, when none is open
}

// contractView is all that a contract's page shows.
type contractView struct {
	Dossier
	Plan     contracts.Plan
	Span     contracts.Span
	Why      contracts.Explanation
	Picture  drawing
	Zoom     string
	Accesses []accessView
	Online   int
	Invoices []billing.Invoice
	Today    contracts.Date
	Open     contracts.Cents // principal of unpaid invoices
	Commands []nas.CommandRecord
	Refused  []radius.Refusal
	Usage    *usageView
	PayID    string // idempotency key of the payment form on this page
}

// Unpaid invoices, oldest first.
func (v *contractView) Unpaid() []billing.Invoice {
	var out []billing.Invoice
	for _, i := range v.Invoices {
		if st := i.State(); st == billing.Open || st == billing.Partial {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b billing.Invoice) int { return cmp.Compare(a.Due, b.Due) })
	return out
}

// Restricted reports whether a release would lift anything.
func (v *contractView) Restricted() bool {
	return v.Span.Status == contracts.BlockedAuto || v.Span.Status == contracts.Reduced
}

func (v *contractView) Is(statuses ...contracts.Status) bool {
	return slices.Contains(statuses, v.Span.Status)
}

// latestFacts, newest first.
func (v *contractView) latestFacts() []contracts.Fact {
	facts := slices.Clone(v.Facts)
	slices.Reverse(facts)
	return facts[:min(len(facts), 100)]
}

func (s *server) contractPage(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.ContractID](r, "id")
	if err != nil {
		return err
	}
	v, err := s.viewContract(r, p, number)
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, contractDetail(p, v))
}

func (s *server) viewContract(r *http.Request, p *page, number contracts.ContractID) (*contractView, error) {
	ctx := r.Context()
	d, err := s.Contracts.Dossier(ctx, number, p.now)
	if err != nil {
		return nil, err
	}
	c := d.Contract
	v := &contractView{Dossier: d, Zoom: r.FormValue("months"), Today: contracts.DateOf(p.now, c.Zone), PayID: newPaymentID()}
	v.Why = contracts.Explain(c, d.Facts, d.Rules, p.now, p.lang)
	v.Span = v.Why.Span
	v.Plan = d.Plans[v.Span.PlanID]
	if v.Usage, err = s.usageOf(ctx, &d, p.now, p.lang); err != nil {
		return nil, err
	}
	from, until := window(c, d.Facts, v.Zoom, p.now)
	v.Picture = draw(p, c, d.Facts, d.Rules, from, until)
	if v.Invoices, err = s.Billing.Invoices(ctx, billing.InvoiceFilter{Contract: number, Limit: 60}); err != nil {
		return nil, err
	}
	for _, i := range v.Unpaid() {
		v.Open += i.Open
	}
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return nil, err
	}
	names := deviceNames(devices)
	for _, a := range c.Accesses {
		av := accessView{Access: a, Disabled: slices.Contains(v.Span.Disabled, a.ID), Marks: p.summary(&a, names)}
		which := SessionFilter{Login: a.Login, Limit: 20}
		if a.Line.NoPassword {
			which.Access = a.ID
		}
		open, err := s.Sessions.OpenSessions(ctx, which)
		if err != nil {
			return nil, err
		}
		for _, o := range open {
			av.Sessions = append(av.Sessions, s.viewSession(p, o, names))
			v.Online++
		}
		if len(open) == 0 {
			past, err := s.Sessions.History(ctx, a.Login, 1)
			if err != nil {
				return nil, err
			}
			if len(past) > 0 {
				av.Last = &past[0]
			}
		}
		commands, err := s.Devices.CommandsOf(ctx, a.Login, 15)
		if err != nil {
			return nil, err
		}
		v.Accesses, v.Commands = append(v.Accesses, av), append(v.Commands, commands...)
		v.Refused = append(v.Refused, s.Refusals.Recent(a.Login, 10)...)
	}
	slices.SortFunc(v.Commands, func(a, b nas.CommandRecord) int { return b.RequestedAt.Compare(a.RequestedAt) })
	v.Commands = v.Commands[:min(len(v.Commands), 15)]
	slices.SortFunc(v.Refused, func(a, b radius.Refusal) int { return b.At.Compare(a.At) })
	return v, nil
}

// window of time that the picture shows: some months around now, or the whole life.
func window(c *contracts.Contract, facts []contracts.Fact, zoom string, now time.Time) (from, until time.Time) {
	const month = 30 * 24 * time.Hour
	begin := c.CreatedAt
	if len(facts) > 0 && facts[0].At.Before(begin) {
		begin = facts[0].At
	}
	switch zoom {
	case "12":
		return now.Add(-12 * month), now.Add(3 * month)
	case "1":
		return now.Add(-month), now.Add(month)
	case "all":
		return begin.Add(-24 * time.Hour), later(now, begin).Add(3 * month)
	}
	return now.Add(-4 * month), now.Add(2 * month)
}

func newPaymentID() string {
	var b [12]byte
	rand.Read(b[:])
	return "panel:" + hex.EncodeToString(b[:])
}

// acts are what the panel and the API can do to a contract, by the name in their addresses.
var acts = map[string]contracts.FactKind{
	"activate": contracts.Activated, "cancel": contracts.Cancelled, "plan-change": contracts.PlanChanged,
	"trust-unblock": contracts.TrustUnblock, "trust-clear": contracts.TrustCleared, "temp-release": contracts.TempRelease,
	"manual-release": contracts.ManualRelease, "manual-block": contracts.ManualBlock, "manual-unblock": contracts.ManualUnblock,
	"suspend": contracts.VoluntarySuspend, "resume": contracts.VoluntaryResume,
	"access-disable": contracts.AccessDisabled, "access-enable": contracts.AccessEnabled, "top-up": contracts.ToppedUp,
}

// act performs what a form on the contract's page asks for, and goes back there with what came of it.
func (s *server) act(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.ContractID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	if r.PathValue("act") == "payment" {
		return s.payFor(w, r, p, f, f.get("invoice"), contractPath(number))
	}
	kind, ok := acts[r.PathValue("act")]
	if !ok {
		return contracts.NotFoundf("there is no such act")
	}
	fact := contracts.Fact{ContractID: number, Kind: kind, Actor: p.actor(), Reason: f.get("reason"),
		From: f.date("from"), Until: f.date("until"), PlanID: contracts.PlanID(f.number("plan", 0)), AccessID: contracts.AccessID(f.number("access", 0)), Bytes: f.gigabytes("gigabytes")}
	if err := checkAct(&fact, p.now); f.wrong(err) {
		s.say(r, false, p.errorText(f.err))
	} else if span, err := s.Contracts.Act(r.Context(), p.now, fact); err != nil {
		if done, err := s.sayRefused(r, p, err); !done {
			return err
		}
	} else {
		s.say(r, true, p.T("%s: done. The contract is now: %s.", p.factLabel(&fact), contracts.StatusName(span.Status, p.lang)))
	}
	http.Redirect(w, r, contractPath(number), http.StatusSeeOther)
	return nil
}

// checkAct refuses what an act cannot be without, before it is tried.
func checkAct(f *contracts.Fact, now time.Time) error {
	switch {
	case len(f.Reason) > 500:
		return contracts.Invalidf("reason", "a reason has at most 500 bytes")
	case f.Kind == contracts.VoluntarySuspend && (f.From.IsZero() || f.Until.IsZero() || f.Until <= f.From):
		return contracts.Invalidf("until", "a suspension has a first day, and an end after it")
	case f.Kind == contracts.VoluntarySuspend && f.From < contracts.DateOf(now, time.UTC)-1:
		return contracts.Invalidf("from", "a suspension does not begin in the past")
	case f.Kind == contracts.PlanChanged && f.PlanID <= 0:
		return contracts.Invalidf("plan_id", "a change of plan names the plan")
	case f.Kind == contracts.ToppedUp && (f.Bytes <= 0 || f.Bytes > contracts.MaxAllowance):
		return contracts.Invalidf("bytes", "a top-up adds something, and at most 1,000,000 GB")
	case (f.Kind == contracts.AccessDisabled || f.Kind == contracts.AccessEnabled) && f.AccessID <= 0:
		return contracts.Invalidf("access_id", "name the access")
	}
	return nil
}

// newContract is the form for a contract, with its first access.
func contractForm(p *page, plans []contracts.Plan) *form {
	f := &form{values: map[string]string{"zone": p.zone.String(), "due_day": "10", "timing": string(contracts.Postpaid),
		"billing_anchor": contracts.DateOf(p.now, p.zone).String(), "auto_block": "yes", "trust_enabled": "yes"}}
	if len(plans) > 0 {
		f.values["plan"] = strconv.FormatInt(int64(plans[0].ID), 10)
	}
	return f
}

// contractOf reads the contract out of a form.
func contractOf(f *form, customer contracts.CustomerID) (*contracts.Contract, []string) {
	c := &contracts.Contract{CustomerID: customer, PlanID: contracts.PlanID(f.number("plan", 0)), DueDay: f.number("due_day", 0),
		Timing: contracts.Timing(f.get("timing")), BillingAnchor: f.date("billing_anchor"), StartsPending: f.get("starts_pending") == "yes",
		AutoBlock: f.get("auto_block") == "yes", TrustEnabled: f.get("trust_enabled") == "yes", Exempt: f.get("exempt") == "yes",
		Accesses: []contracts.Access{{Login: f.get("login")}}}
	zone, err := loadZone(f.get("zone"))
	f.wrong(err)
	c.Zone = zone
	f.wrong(contracts.ValidLogin(f.get("login")))
	if f.get("password") == "" {
		f.wrong(contracts.Invalidf("password", "a password has 1 to 128 bytes and no NUL"))
	}
	return c, []string{f.get("password")}
}

// loadZone reads an IANA zone; Local and the empty name are the server's business and refused.
func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, contracts.Invalidf("zone", "%q is not a time zone: write it as America/Sao_Paulo", name)
	}
	return zone, nil
}

func (s *server) newContractPage(w http.ResponseWriter, r *http.Request, p *page) error {
	customer, err := s.customerOf(r)
	if err != nil {
		return err
	}
	plans, err := s.Contracts.Plans(r.Context(), p.now)
	if err != nil {
		return err
	}
	return show(w, r, http.StatusOK, newContract(p, contractForm(p, plans), &customer, plans))
}

func (s *server) createContract(w http.ResponseWriter, r *http.Request, p *page) error {
	customer, err := s.customerOf(r)
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	c, passwords := contractOf(f, customer.ID)
	if f.err == nil {
		err = s.Contracts.CreateContract(r.Context(), p.actor(), p.now, c, passwords)
	}
	if f.wrong(err) {
		plans, err := s.Contracts.Plans(r.Context(), p.now)
		if err != nil {
			return err
		}
		return show(w, r, http.StatusUnprocessableEntity, newContract(p, f, &customer, plans))
	}
	if err != nil {
		return err
	}
	s.say(r, true, p.T("Contract %s is recorded.", strconv.FormatInt(int64(c.ID), 10)))
	http.Redirect(w, r, contractPath(c.ID), http.StatusSeeOther)
	return nil
}

func (s *server) setPassword(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[contracts.ContractID](r, "id")
	if err != nil {
		return err
	}
	access, err := id[contracts.AccessID](r, "access")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	if err := s.replacePassword(r.Context(), p.actor(), p.now, number, access, f.get("password")); err != nil {
		if done, err := s.sayRefused(r, p, err); !done {
			return err
		}
	} else {
		s.say(r, true, p.T("The password is replaced."))
	}
	http.Redirect(w, r, contractPath(number), http.StatusSeeOther)
	return nil
}

// replacePassword of an access that belongs to the contract named.
func (s *server) replacePassword(ctx context.Context, actor string, now time.Time, number contracts.ContractID, access contracts.AccessID, password string) error {
	c, err := s.Contracts.Contract(ctx, number)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(c.Accesses, func(a contracts.Access) bool { return a.ID == access }) {
		return contracts.NotFoundf("contract %d has no access %d", number, access)
	}
	return s.Contracts.SetPassword(ctx, actor, now, access, password)
}
