package pg

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"enlace/contracts"
)

func TestContractsComeBackAsTheyWere(t *testing.T) {
	h := newHouse(t)
	full := h.sign("2026-01-05 10:00", func(c *contracts.Contract) {
		c.Zone, c.StartsPending, c.AutoBlock, c.Exempt, c.TrustEnabled = mustZone("America/Manaus"), true, false, true, false
		c.NoBlockUntil, c.ExtraCalendars = day("2026-12-31"), []string{"chapeco", "são paulo"}
		c.DueDay, c.Timing, c.BillingAnchor = 31, contracts.Prepaid, day("2026-02-01")
		c.Accesses = []contracts.Access{{Login: "one@isp"}, {Login: "two@isp"}}
	})
	plain := h.sign("2026-01-05 23:30:15") // at home still the 5th, the 6th in UTC
	for _, want := range []*contracts.Contract{full, plain} {
		got, err := h.Contract(ctx, want.ID)
		h.must(err)
		if got.Zone.String() != want.Zone.String() {
			t.Fatalf("zone %s, want %s", got.Zone, want.Zone)
		}
		got.Zone = want.Zone
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("recorded\n%+v\nread\n%+v", want, got)
		}
	}
	if plain.BillingAnchor != day("2026-01-05") {
		t.Errorf("charged from %s, want the contract's own day", plain.BillingAnchor)
	}
	list, err := h.ContractsOf(ctx, h.customer)
	h.must(err)
	if len(list) != 2 || len(list[0].Accesses) != 2 || list[1].ID != plain.ID {
		t.Fatalf("the customer's contracts: %+v", list)
	}
	c, a, err := h.FindLogin(ctx, "two@isp")
	if err != nil || c != full.ID || a != full.Accesses[1].ID {
		t.Fatalf("two@isp is access %d of contract %d (%v)", a, c, err)
	}
	for _, login := range []string{"three@isp", "TWO@isp", "", "a\x00b", "\xff"} {
		_, _, err = h.FindLogin(ctx, login)
		refused(t, err, contracts.NotFound, "not_found")
	}
	_, err = h.Contract(ctx, 4711)
	refused(t, err, contracts.NotFound, "not_found")
	_, err = h.Customer(ctx, 4711)
	refused(t, err, contracts.NotFound, "not_found")
	_, err = h.Dossier(ctx, 4711, at("2026-01-05 10:00"))
	refused(t, err, contracts.NotFound, "not_found")
}

func TestContractsThatCannotBe(t *testing.T) {
	h := newHouse(t)
	taken := h.sign("2026-01-05 10:00")
	cases := []struct {
		what   string
		change func(*contracts.Contract)
		kind   contracts.ErrorKind
		code   string
	}{
		{"a login that is taken", func(c *contracts.Contract) { c.Accesses[0].Login = taken.Accesses[0].Login }, contracts.Conflict, "duplicate_login"},
		{"the same login twice", func(c *contracts.Contract) { c.Accesses = append(c.Accesses, c.Accesses[0]) }, contracts.Conflict, "duplicate_login"},
		{"no login", func(c *contracts.Contract) { c.Accesses = nil }, contracts.Invalid, "accesses"},
		{"a login of spaces", func(c *contracts.Contract) { c.Accesses[0].Login = "   " }, contracts.Invalid, "login"},
		{"a login with NUL", func(c *contracts.Contract) { c.Accesses[0].Login = "a\x00b" }, contracts.Invalid, "login"},
		{"a login that is not UTF-8", func(c *contracts.Contract) { c.Accesses[0].Login = "a\xffb" }, contracts.Invalid, "login"},
		{"a long login", func(c *contracts.Contract) { c.Accesses[0].Login = strings.Repeat("a", 201) }, contracts.Invalid, "login"},
		{"no plan", func(c *contracts.Contract) { c.PlanID = 0 }, contracts.Invalid, "plan_id"},
		{"an unknown plan", func(c *contracts.Contract) { c.PlanID = 4711 }, contracts.Invalid, "plan_id"},
		{"an unknown customer", func(c *contracts.Contract) { c.CustomerID = 4711 }, contracts.NotFound, "not_found"},
		{"no zone", func(c *contracts.Contract) { c.Zone = nil }, contracts.Invalid, "zone"},
		{"the machine's zone", func(c *contracts.Contract) { c.Zone = time.Local }, contracts.Invalid, "zone"},
		{"a zone of its own", func(c *contracts.Contract) { c.Zone = time.FixedZone("here", -3*3600) }, contracts.Invalid, "zone"},
		{"day 32", func(c *contracts.Contract) { c.DueDay = 32 }, contracts.Invalid, "due_day"},
		{"no timing", func(c *contracts.Contract) { c.Timing = "" }, contracts.Invalid, "timing"},
		{"a calendar with NUL", func(c *contracts.Contract) { c.ExtraCalendars = []string{"a\x00"} }, contracts.Invalid, "extra_calendars"},
		{"a calendar without a name", func(c *contracts.Contract) { c.ExtraCalendars = []string{""} }, contracts.Invalid, "extra_calendars"},
		{"a date beyond all dates", func(c *contracts.Contract) { c.NoBlockUntil = 1 << 30 }, contracts.Invalid, "no_block_until"},
		{"an anchor beyond all dates", func(c *contracts.Contract) { c.BillingAnchor = -1 << 30 }, contracts.Invalid, "billing_anchor"},
	}
	for _, test := range cases {
		t.Run(test.what, func(t *testing.T) {
			c := h.draft()
			test.change(&c)
			passwords := slices.Repeat([]string{"x"}, len(c.Accesses))
			refused(t, h.CreateContract(ctx, "test", at("2026-01-05 10:00"), &c, passwords), test.kind, test.code)
		})
	}
	for _, password := range []string{"", strings.Repeat("x", 129), "a\x00b"} {
		c := h.draft()
		refused(t, h.CreateContract(ctx, "test", at("2026-01-05 10:00"), &c, []string{password}), contracts.Invalid, "password")
		refused(t, h.AddAccess(ctx, "test", at("2026-01-05 10:00"), taken.ID, &contracts.Access{Login: "more@isp"}, password), contracts.Invalid, "password")
		refused(t, h.SetPassword(ctx, "test", at("2026-01-05 10:00"), taken.Accesses[0].ID, password), contracts.Invalid, "password")
	}
	c := h.draft()
	refused(t, h.CreateContract(ctx, "test", at("2026-01-05 10:00"), &c, nil), contracts.Invalid, "accesses")
	if n := h.count(`select count(*) from contract`); n != 1 {
		t.Fatalf("%d contracts were recorded, want 1", n)
	}
	for _, name := range []string{"", "Local", "Mars/Olympus", "../etc/passwd", "a\x00"} {
		_, err := Zone(name)
		refused(t, err, contracts.Invalid, "zone")
	}
}

func TestAccessesAndPasswords(t *testing.T) {
	h := newHouse(t)
	c, other := h.sign("2026-01-05 10:00"), h.sign("2026-01-05 10:00")
	now := at("2026-01-06 10:00")
	add := func(id contracts.ContractID, login string) (contracts.AccessID, error) {
		a := contracts.Access{Login: login}
		err := h.AddAccess(ctx, "test", now, id, &a, "first word")
		return a.ID, err
	}
	a, err := add(c.ID, "second@isp")
	h.must(err)
	_, err = add(other.ID, "second@isp")
	refused(t, err, contracts.Conflict, "duplicate_login")
	_, err = add(4711, "third@isp")
	refused(t, err, contracts.NotFound, "not_found")
	_, err = add(c.ID, " third@isp")
	refused(t, err, contracts.Invalid, "login")
	refused(t, h.SetPassword(ctx, "test", now, 4711, "x"), contracts.NotFound, "not_found")
	word := "new \xff word" // PAP carries any bytes
	h.must(h.SetPassword(ctx, "test", now, a, word))
	loaded, err := h.Load(ctx, []int64{int64(c.ID)})
	h.must(err)
	if got := loaded[0]; len(got.Contract.Accesses) != 2 || got.Contract.Accesses[1].Login != "second@isp" || string(got.Passwords[1]) != word ||
		string(got.Passwords[0]) != "secret-"+c.Accesses[0].Login {
		t.Fatalf("loaded %+v with %q", got.Contract.Accesses, got.Passwords)
	}
	if n := h.count(`select count(*) from access where position('word'::bytea in password_sealed) > 0`); n != 0 {
		t.Error("a password is readable in the database")
	}
	if n := h.count(`select count(*) from audit where detail::text like '%word%'`); n != 0 {
		t.Error("a password is in the audit")
	}
}

func TestCustomers(t *testing.T) {
	h := newHouse(t)
	now := at("2026-01-06 10:00")
	c := contracts.Customer{Name: "João", Document: "529.982.247-25", Email: "joao@example.com", Phone: "+55 49 99999-0000"}
	h.must(h.CreateCustomer(ctx, "test", now, &c))
	if got, err := h.Customer(ctx, c.ID); err != nil || got != c || got.Document != "52998224725" {
		t.Fatalf("recorded %+v, read %+v (%v)", c, got, err)
	}
	again := contracts.Customer{Name: "Another", Document: "52998224725"}
	refused(t, h.CreateCustomer(ctx, "test", now, &again), contracts.Conflict, "duplicate_document")
	for field, bad := range map[string]contracts.Customer{
		"name": {Name: "a\x00b"}, "name ": {Name: "a\xff"}, "name  ": {Name: strings.Repeat("a", 201)}, "name   ": {Name: " "},
		"document": {Name: "A", Document: "123"}, "document ": {Name: "A", Document: "529982247\x0025"},
		"email": {Name: "A", Email: "a\x00@b.com"}, "email ": {Name: "A", Email: "a\xff@b.com"}, "email  ": {Name: "A", Email: "a@b"},
		"phone": {Name: "A", Phone: "1\x00"}, "phone ": {Name: "A", Phone: strings.Repeat("1", 41)},
	} {
		refused(t, h.CreateCustomer(ctx, "test", now, &bad), contracts.Invalid, strings.TrimSpace(field))
		bad.ID = c.ID
		refused(t, h.UpdateCustomer(ctx, "test", now, &bad), contracts.Invalid, strings.TrimSpace(field))
	}
	c.Name, c.Email, c.Phone, c.Document = "João Pedro", "", "", ""
	h.must(h.UpdateCustomer(ctx, "test", now, &c))
	if got, err := h.Customer(ctx, c.ID); err != nil || got != c {
		t.Fatalf("changed to %+v, read %+v (%v)", c, got, err)
	}
	h.must(h.CreateCustomer(ctx, "test", now, &again)) // the document is free again
	c.Document = again.Document
	refused(t, h.UpdateCustomer(ctx, "test", now, &c), contracts.Conflict, "duplicate_document")
	refused(t, h.UpdateCustomer(ctx, "test", now, &contracts.Customer{ID: 4711, Name: "Nobody"}), contracts.NotFound, "not_found")
}

func TestSearching(t *testing.T) {
	h := newHouse(t) // Maria Aparecida, without contracts
	now := at("2026-01-06 10:00")
	ids := map[string]contracts.CustomerID{"maria": h.customer}
	add := func(key string, c contracts.Customer, logins ...string) {
		h.must(h.CreateCustomer(ctx, "test", now, &c))
		ids[key] = c.ID
		for _, login := range logins {
			h.sign("2026-01-06 10:00", func(k *contracts.Contract) { k.CustomerID, k.Accesses[0].Login = c.ID, login })
		}
	}
	add("erica", contracts.Customer{Name: "Érica da Silva", Document: "52998224725", Email: "Erica@Example.com"}, "erica_1@isp", "erica2@isp")
	add("percent", contracts.Customer{Name: "100% Conexão"}, "ericaX1@isp")
	add("backslash", contracts.Customer{Name: `C:\Temp Ltda`}, `corp\ana`)
	all := []string{"maria", "erica", "percent", "backslash"}
	for query, want := range map[string][]string{
		"": all, "  ": all, "maria": {"maria"}, "APARECIDA": {"maria"}, "érica": {"erica"}, "ÉRICA D": {"erica"}, "silva": {"erica"},
		"rica": nil, "529.982": {"erica"}, "52998224725": {"erica"}, "erica@ex": {"erica"}, "erica_": {"erica"}, "erica": {"erica", "percent"},
		"ericaX1@isp": {"percent"}, "ERICAx1@isp": nil, "%": nil, "100%": {"percent"}, "100_": nil, "_": nil, `c:\t`: {"backslash"}, `corp\`: {"backslash"},
		`\`: nil, "-": nil, ".": nil, "./-": nil, "'": nil, "a\x00": nil, "\xff": nil, "maria ": {"maria"}, strings.Repeat("m", 5000): nil,
	} {
		list, err := h.Customers(ctx, query, 0, 100)
		h.must(err)
		if got := names(ids, list, func(c contracts.Customer) contracts.CustomerID { return c.ID }); !slices.Equal(got, want) {
			t.Errorf("customers for %q: %v, want %v", query, got, want)
		}
		hits, err := h.Search(ctx, query, 100)
		h.must(err)
		if strings.TrimSpace(query) == "" || query == "erica@ex" { // Search asks for something, and not by e-mail
			want = nil
		}
		if got := slices.Compact(names(ids, hits, func(x contracts.Hit) contracts.CustomerID { return x.Customer })); !slices.Equal(got, want) {
			t.Errorf("hits for %q: %v, want %v", query, got, want)
		}
	}
	hits, err := h.Search(ctx, "erica_1", 100)
	h.must(err)
	if len(hits) != 1 || hits[0].Login != "erica_1@isp" || hits[0].Contract == 0 || hits[0].Name != "Érica da Silva" {
		t.Errorf("the hit of a login: %+v", hits)
	}
	if hits, err = h.Search(ctx, "maria", 100); err != nil || len(hits) != 1 || hits[0].Contract != 0 || hits[0].Login != "" {
		t.Errorf("the hit of a customer without contracts: %+v (%v)", hits, err)
	}
	if hits, err = h.Search(ctx, "silva", 1); err != nil || len(hits) != 1 {
		t.Errorf("one hit was asked for: %+v (%v)", hits, err)
	}
	var paged []contracts.CustomerID
	var after contracts.CustomerID
	for {
		page, err := h.Customers(ctx, "", after, 3)
		h.must(err)
		for _, c := range page {
			paged = append(paged, c.ID)
		}
		if len(page) < 3 {
			break
		}
		after = page[len(page)-1].ID
	}
	if len(paged) != 4 || !slices.IsSorted(paged) {
		t.Errorf("paged through %v", paged)
	}
}

func names[T any](ids map[string]contracts.CustomerID, list []T, id func(T) contracts.CustomerID) []string {
	var out []string
	for _, x := range list {
		found := fmt.Sprint(id(x))
		for key, n := range ids {
			if n == id(x) {
				found = key
			}
		}
		out = append(out, found)
	}
	return out
}

func TestEveryChangeIsMarked(t *testing.T) {
	h := newHouse(t)
	now := at("2026-01-06 10:00")
	c := h.sign("2026-01-05 10:00")
	plan := contracts.Plan{Name: "New", Price: 100, Full: contracts.Profile{DownBps: 1e6, UpBps: 1e6}, ReducedPercent: 50}
	for _, step := range []struct {
		what, table string
		do          func() error
		key         func() int64
	}{
		{"a contract", "contract", func() error { c = h.sign("2026-01-05 10:00"); return nil }, func() int64 { return int64(c.ID) }},
		{"an access", "contract", func() error { return h.AddAccess(ctx, "test", now, c.ID, &contracts.Access{Login: "more@isp"}, "x") }, func() int64 { return int64(c.ID) }},
		{"a password", "contract", func() error { return h.SetPassword(ctx, "test", now, c.Accesses[0].ID, "y") }, func() int64 { return int64(c.ID) }},
		{"an act", "contract", func() error {
			_, err := h.Act(ctx, now, contracts.Fact{ContractID: c.ID, Kind: contracts.ManualBlock, Actor: "test"})
			return err
		}, func() int64 { return int64(c.ID) }},
		{"a fact", "contract", func() error {
			h.record(now, contracts.Fact{ContractID: c.ID, Kind: contracts.TrustCleared})
			return nil
		}, func() int64 { return int64(c.ID) }},
		{"a plan", "plan", func() error { return h.CreatePlan(ctx, "test", now, &plan) }, func() int64 { return int64(plan.ID) }},
		{"a plan's version", "plan", func() error { return h.UpdatePlan(ctx, "test", now.Add(time.Hour), &plan) }, func() int64 { return int64(plan.ID) }},
		{"rules", "rules", func() error { return h.SaveRules(ctx, "test", "", now, DefaultRules()) }, func() int64 { return 2 }},
	} {
		before := h.count(`select coalesce(max(id), 0) from change`)
		audits := h.count(`select count(*) from audit`)
		h.must(step.do())
		if n := h.count(`select count(*) from change where id > $1 and tbl = $2 and key = $3`, before, step.table, step.key()); n != 1 {
			t.Errorf("%s is marked %d times", step.what, n)
		}
		if n := h.count(`select count(*) from change where id > $1`, before); n != 1 {
			t.Errorf("%s marks %d changes", step.what, n)
		}
		if n := h.count(`select count(*) from audit`) - audits; n != 1 && step.what != "a fact" {
			t.Errorf("%s leaves %d lines in the audit", step.what, n)
		}
	}
	before := h.count(`select coalesce(max(id), 0) from change`)
	if _, err := h.Act(ctx, now, contracts.Fact{ContractID: c.ID, Kind: contracts.ManualBlock, Actor: "test"}); err == nil {
		t.Error("the second manual block was accepted")
	}
	if n := h.count(`select count(*) from change where id > $1`, before); n != 0 {
		t.Errorf("a refused act marks %d changes", n)
	}
}
