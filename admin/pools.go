package admin

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"enlace/contracts"
	"enlace/nas"
)

func (s *server) poolsPage(w http.ResponseWriter, r *http.Request, p *page) error {
	return s.showPools(w, r, p, http.StatusOK, &form{values: map[string]string{"bits": "56"}})
}

func (s *server) showPools(w http.ResponseWriter, r *http.Request, p *page, status int, f *form) error {
	list, err := s.Devices.Pools(r.Context(), p.now)
	if err != nil {
		return err
	}
	return show(w, r, status, poolsList(p, list, f))
}

// parseRanges reads networks with blanks, commas or new lines between them.
func parseRanges(text string) (list []netip.Prefix, err error) {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t' }) {
		r, err := netip.ParsePrefix(word)
		if err != nil {
			return nil, contracts.Invalidf("ranges", "%q is not a network: write it as 100.64.0.0/20 or 2001:db8::/40", word)
		}
		list = append(list, r)
	}
	return list, nil
}

// poolOf makes a pool of its ranges: IPv4 addresses are handed out one by one, IPv6 in prefixes of the length given.
func poolOf(name, ranges string, bits int) (nas.Pool, error) {
	list, err := parseRanges(ranges)
	if err == nil && len(list) > 0 && list[0].Addr().Is4() {
		bits = 32
	}
	return nas.Pool{Name: strings.TrimSpace(name), Ranges: list, Bits: bits}, err
}

func (s *server) createPool(w http.ResponseWriter, r *http.Request, p *page) error {
	f, err := formOf(r)
	if err != nil {
		return err
	}
	pool, err := poolOf(f.get("name"), f.get("ranges"), f.number("bits", 56))
	f.wrong(err)
	if f.err == nil {
		err = s.Devices.CreatePool(r.Context(), p.actor(), p.now, &pool)
	}
	if f.wrong(err) {
		return s.showPools(w, r, p, http.StatusUnprocessableEntity, f)
	}
	return s.saved(w, r, p, err, "/pools")
}

func (s *server) extendPool(w http.ResponseWriter, r *http.Request, p *page) error {
	number, err := id[nas.PoolID](r, "id")
	if err != nil {
		return err
	}
	f, err := formOf(r)
	if err != nil {
		return err
	}
	more, err := parseRanges(f.get("more"))
	if err == nil && len(more) != 1 {
		err = contracts.Invalidf("ranges", "give one network at a time")
	}
	if err == nil {
		_, err = s.Devices.ExtendPool(r.Context(), p.actor(), p.now, number, more[0])
	}
	return s.thenBack(w, r, p, err, p.T("The pool has grown."), "/pools")
}

// poolChoices are the pools of a kind, to choose from.
func poolChoices(p *page, pools []nas.PoolUse, ipv4 bool) []choice {
	out := []choice{{"", p.T("None: the access server chooses")}}
	for _, u := range pools {
		if u.IPv4() == ipv4 {
			out = append(out, choice{strconv.FormatInt(int64(u.ID), 10), u.Name})
		}
	}
	return out
}

func rangesText(pool *nas.Pool) string {
	texts := make([]string, len(pool.Ranges))
	for i, r := range pool.Ranges {
		texts[i] = r.String()
	}
	return strings.Join(texts, ", ")
}

type poolFieldsJSON struct {
	Name   string   `json:"name" minLength:"1" maxLength:"100"`
	Ranges []string `json:"ranges" minItems:"1" maxItems:"64" doc:"Networks to hand out of" example:"[\"100.64.0.0/20\"]"`
	Bits   int      `json:"bits,omitempty" minimum:"48" maximum:"64" default:"56" doc:"Length of the delegated prefixes; IPv4 addresses are handed out one by one"`
}

type poolJSON struct {
	ID       int64    `json:"id"`
	Name     string   `json:"name"`
	Ranges   []string `json:"ranges"`
	Bits     int      `json:"bits"`
	Places   uint64   `json:"places"`
	Leased   uint64   `json:"leased" doc:"A subscriber's, online or not"`
	Reserved uint64   `json:"reserved" doc:"Held ready by nodes"`
}

func poolJSONOf(u *nas.PoolUse) poolJSON {
	return poolJSON{ID: int64(u.ID), Name: u.Name, Ranges: strings.Split(rangesText(&u.Pool), ", "), Bits: u.Bits, Places: u.Places(), Leased: u.Leased, Reserved: u.Reserved}
}

func (s *server) poolsAPI(a huma.API) {
	operation(s, a, "GET", "/pools", "list-pools", "Address pools", func(ctx context.Context, _ *nothing) (*body[listing[poolJSON]], error) {
		found, err := s.Devices.Pools(ctx, s.Now())
		if err != nil {
			return nil, err
		}
		out := listOf[poolJSON](nil)
		for i := range found {
			out.Items = append(out.Items, poolJSONOf(&found[i]))
		}
		return reply(out), nil
	})
	operation(s, a, "POST", "/pools", "create-pool", "Add an address pool", func(ctx context.Context, in *body[poolFieldsJSON]) (*created[poolJSON], error) {
		pool, err := poolOf(in.Body.Name, strings.Join(in.Body.Ranges, " "), in.Body.Bits)
		if err == nil {
			err = s.Devices.CreatePool(ctx, actorOf(ctx), s.Now(), &pool)
		}
		if err != nil {
			return nil, err
		}
		return recorded(poolJSONOf(&nas.PoolUse{Pool: pool})), nil
	})
	type more struct {
		ID   int64 `path:"id" minimum:"1"`
		Body struct {
			Range string `json:"range" example:"100.64.16.0/20"`
		}
	}
	operation(s, a, "POST", "/pools/{id}/ranges", "extend-pool", "Give a pool one more network", func(ctx context.Context, in *more) (*body[poolJSON], error) {
		list, err := parseRanges(in.Body.Range)
		if err == nil && len(list) != 1 {
			err = contracts.Invalidf("ranges", "give one network at a time")
		}
		if err != nil {
			return nil, err
		}
		pool, err := s.Devices.ExtendPool(ctx, actorOf(ctx), s.Now(), nas.PoolID(in.ID), list[0])
		if err != nil {
			return nil, err
		}
		return reply(poolJSONOf(&nas.PoolUse{Pool: pool})), nil
	})
}
