package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"slices"
	"text/tabwriter"
	"time"

	"enlace/contracts"
	contractspg "enlace/contracts/pg"
	"enlace/nas"
	"enlace/nas/routeros"
)

// importCmd brings in subscribers from elsewhere.
type importCmd struct {
	RouterOS importRouterOSCmd `cmd:"" name:"routeros" help:"Bring in a MikroTik router's PPP secrets: for each login that is not known a customer with a contract."`
}

type importRouterOSCmd struct {
	Device      string            `arg:"" help:"Name of the device."`
	DryRun      bool              `help:"Say what would be done, and do nothing."`
	Plan        map[string]string `help:"Plan of a profile, PROFILE=PLAN, where rates do not tell; may be given several times."`
	CreatePlans bool              `help:"Make a plan of each profile with rates that no plan has."`
	PlanPrice   string            `default:"0.00" help:"Monthly price of plans that are made."`
	DueDay      int               `default:"10" help:"Due day of the contracts, 1 to 31."`
	BillingFrom string            `help:"Date from which the contracts are charged, such as 2026-12-01; default: today."`
	Exempt      bool              `help:"The contracts are never charged and never restricted for debt, until that is changed."`
	Disabled    bool              `help:"Bring in secrets that are disabled too."`
}

// imported is what becomes of one secret.
type imported struct {
	secret routeros.Secret
	plan   string // name, for people
	planID contracts.PlanID
	skip   string // why nothing is done; "" where something is
	known  bool
}

func (c *importRouterOSCmd) Run(ctx context.Context, cfg *Config, out io.Writer) error {
	return withRouter(ctx, cfg, c.Device, func(db *database, d *nas.Device, api *routers) error {
		cl, err := newClock(cfg.Clock)
		if err != nil {
			return err
		}
		seal, err := openSealer(cfg)
		if err != nil {
			return err
		}
		secrets, err := api.Secrets(ctx, d.API)
		if err != nil {
			return err
		}
		profiles, err := api.Profiles(ctx, d.API)
		if err != nil {
			return err
		}
		i := &importer{cmd: c, store: &contractspg.Store{Pool: db.pool, Sealer: seal}, now: cl.Now(), actor: "cli", out: out, seen: map[string]bool{}}
		if u, err := user.Current(); err == nil {
			i.actor = "cli:" + u.Username
		}
		if err := i.terms(cfg.Zone); err != nil {
			return err
		}
		if err := i.matchPlans(ctx, profiles, secrets); err != nil {
			return err
		}
		return i.run(ctx, secrets)
	})
}

// importer brings in the secrets of one router.
type importer struct {
	cmd   *importRouterOSCmd
	store *contractspg.Store
	now   time.Time
	actor string
	out   io.Writer

	contract contracts.Contract // as each begins
	plans    map[string]matched // by profile
	seen     map[string]bool    // logins
}

// matched is what a profile comes to.
type matched struct {
	id   contracts.PlanID // 0 where there is none, or not yet
	name string
	why  string // there is none
}

// terms are those that all the contracts have.
func (i *importer) terms(zone string) error {
	z, err := contractspg.Zone(zone)
	if err != nil {
		return err
	}
	i.contract = contracts.Contract{Zone: z, DueDay: i.cmd.DueDay, Timing: contracts.Postpaid, AutoBlock: true, TrustEnabled: true, Exempt: i.cmd.Exempt,
		BillingAnchor: contracts.DateOf(i.now, z), PlanID: 1}
	if i.cmd.BillingFrom != "" {
		if i.contract.BillingAnchor, err = contracts.ParseDate(i.cmd.BillingFrom); err != nil {
			return err
		}
	}
	return i.contract.Validate()
}

// matchPlans finds, for each profile that a secret has, the plan: as it was told, or by the rates; the profile's name
// decides between several of the same rates. Where it may, it makes those that are missing.
func (i *importer) matchPlans(ctx context.Context, profiles []routeros.Profile, secrets []routeros.Secret) error {
	price, err := contracts.ParseCents(i.cmd.PlanPrice)
	if err != nil {
		return err
	}
	plans, err := i.store.Plans(ctx, i.now)
	if err != nil {
		return err
	}
	for profile, plan := range i.cmd.Plan {
		if !slices.ContainsFunc(profiles, func(p routeros.Profile) bool { return p.Name == profile }) {
			return fmt.Errorf("--plan %s=%s: the router has no profile %q", profile, plan, profile)
		}
	}
	i.plans = map[string]matched{}
	for _, p := range profiles {
		if !slices.ContainsFunc(secrets, func(s routeros.Secret) bool { return s.Profile == p.Name }) {
			continue
		}
		m, create, err := i.match(p, plans)
		if err != nil {
			return err
		}
		if create {
			plan := contracts.Plan{Name: newName(p, plans), Price: price, Full: p.Rates, ReducedPercent: 10}
			if err := plan.Validate(); err != nil {
				m = matched{why: fmt.Sprintf("profile %q makes no plan: %v", p.Name, err)}
			} else {
				if !i.cmd.DryRun {
					if err := i.store.CreatePlan(ctx, i.actor, i.now, &plan); err != nil {
						return fmt.Errorf("making a plan of profile %q: %w", p.Name, err)
					}
				}
				plans = append(plans, plan)
				m = matched{id: plan.ID, name: plan.Name}
				fmt.Fprintf(i.out, "%s plan %q, %s, from profile %q\n", i.would("made", "would make"), plan.Name,
					nas.Service{Outcome: contracts.OutcomeFull, Profile: plan.Full}, p.Name)
			}
		}
		i.plans[p.Name] = m
	}
	return nil
}

// match finds the plan of a profile, or says that one is to be made.
func (i *importer) match(p routeros.Profile, plans []contracts.Plan) (m matched, create bool, err error) {
	if name, told := i.cmd.Plan[p.Name]; told {
		at := slices.IndexFunc(plans, func(q contracts.Plan) bool { return q.Name == name })
		if at < 0 {
			return m, false, fmt.Errorf("--plan %s=%s: there is no plan %q", p.Name, name, name)
		}
		return matched{id: plans[at].ID, name: name}, false, nil
	}
	if p.Rates == (contracts.Profile{}) {
		return matched{why: fmt.Sprintf("profile %q has no rate-limit: name its plan with --plan", p.Name)}, false, nil
	}
	var same []contracts.Plan
	for _, q := range plans {
		if q.Full == p.Rates {
			same = append(same, q)
		}
	}
	if len(same) > 1 {
		same = slices.DeleteFunc(same, func(q contracts.Plan) bool { return q.Name != p.Name })
	}
	switch {
	case len(same) == 1:
		return matched{id: same[0].ID, name: same[0].Name}, false, nil
	case slices.ContainsFunc(plans, func(q contracts.Plan) bool { return q.Full == p.Rates }):
		return matched{why: fmt.Sprintf("several plans have the rates of profile %q: name one with --plan", p.Name)}, false, nil
	case i.cmd.CreatePlans:
		return m, true, nil
	}
	return matched{why: fmt.Sprintf("no plan has the rates of profile %q: name one with --plan, or make them with --create-plans", p.Name)}, false, nil
}

// newName is the profile's, with its rates where another plan has that name.
func newName(p routeros.Profile, plans []contracts.Plan) string {
	if slices.ContainsFunc(plans, func(q contracts.Plan) bool { return q.Name == p.Name }) {
		return p.Name + " " + nas.Rate(p.Rates.DownBps) + "/" + nas.Rate(p.Rates.UpBps)
	}
	return p.Name
}

// run does it, secret by secret: one that cannot be brought in keeps no other from it.
func (i *importer) run(ctx context.Context, secrets []routeros.Secret) error {
	var made, known int
	w := tabwriter.NewWriter(i.out, 2, 2, 2, ' ', 0)
	skipped := [][2]string{}
	for n := range secrets {
		s, err := i.one(ctx, &secrets[n])
		switch {
		case err != nil:
			_ = w.Flush()
			return fmt.Errorf("login %q: %w", nas.TextOf(s.secret.Login), err)
		case s.known:
			known++
		case s.skip != "":
			skipped = append(skipped, [2]string{nas.TextOf(s.secret.Login), s.skip})
		default:
			made++
			if i.cmd.DryRun {
				fmt.Fprintf(w, "would make\t%s\t%s\tplan %s\n", s.secret.Login, customerName(&s.secret), s.plan)
			}
		}
	}
	for _, s := range skipped {
		fmt.Fprintf(w, "left out\t%s\t%s\n", s[0], s[1])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(i.out, "%d secrets: %d %s, %d known already, %d left out\n", len(secrets), made, i.would("brought in", "would be brought in"), known, len(skipped))
	return nil
}

// one brings in a secret, unless its login is known or something speaks against it.
func (i *importer) one(ctx context.Context, s *routeros.Secret) (imported, error) {
	r := imported{secret: *s}
	if r.skip = refusal(contracts.ValidLogin(s.Login)); r.skip != "" {
		return r, nil
	}
	_, _, err := i.store.FindLogin(ctx, s.Login)
	var domain *contracts.Error
	switch {
	case i.seen[s.Login]:
		r.skip = "the router has the login twice"
		return r, nil
	case err == nil:
		r.known = true
		return r, nil
	case !errors.As(err, &domain) || domain.Kind != contracts.NotFound:
		return r, err
	}
	m, listed := i.plans[s.Profile]
	r.planID, r.plan = m.id, m.name
	access := contracts.Access{Login: s.Login, Line: contracts.Line{MAC: contracts.Fixed(s.MAC),
		Addresses: contracts.Addresses{IPv4: s.IPv4, FramedIPv6: s.FramedV6}}}
	switch {
	case s.Disabled && !i.cmd.Disabled:
		r.skip = "disabled on the router"
	case s.Service != "any" && s.Service != "pppoe":
		r.skip = "for " + s.Service + ", not PPPoE"
	case !s.Readable:
		r.skip = "its password cannot be read: the API's user needs the policy sensitive"
	case s.Malformed != "":
		r.skip = s.Malformed + " is not an address"
	case !listed:
		r.skip = fmt.Sprintf("the router has no profile %q", s.Profile)
	case m.why != "":
		r.skip = m.why
	default:
		r.skip = refusal(access.Validate(), contractspg.ValidPassword(s.Password))
	}
	i.seen[s.Login] = true
	if r.skip != "" || i.cmd.DryRun {
		return r, nil
	}
	contract := i.contract
	contract.PlanID, contract.Accesses = m.id, []contracts.Access{access}
	who := contracts.Customer{Name: customerName(s)}
	err = i.store.Subscribe(ctx, i.actor, i.now, &who, &contract, []string{s.Password})
	if errors.As(err, &domain) {
		r.known = domain.Code == "duplicate_login" // by somebody else, just now
		r.skip, err = domain.Error(), nil
	}
	return r, err
}

// refusal is the first of the errors in words; "" where there is none.
func refusal(errs ...error) string {
	for _, err := range errs {
		if err != nil {
			return err.Error()
		}
	}
	return ""
}

// customerName is what the router's operator wrote beside a secret, or the login.
func customerName(s *routeros.Secret) string {
	c := contracts.Customer{Name: s.Comment}
	if c.Validate() != nil {
		return s.Login
	}
	return s.Comment
}

func (i *importer) would(did, dry string) string {
	if i.cmd.DryRun {
		return dry
	}
	return did
}
