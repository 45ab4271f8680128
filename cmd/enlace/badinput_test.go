package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// datagrams sends malformed packets to both ports and wants silence for each, and a counter for all.
func datagrams(t *testing.T, p *program) {
	t.Helper()
	valid := append([]byte{1, 7, 0, 27}, make([]byte, 16)...)
	valid = append(valid, 1, 7, 'm', 'a', 'r', 'i', 'a')
	random := make([]byte, 1400)
	rand.Read(random)
	bad := map[string][]byte{
		"empty":                 {},
		"one byte":              {1},
		"cut header":            valid[:19],
		"cut attributes":        valid[:23],
		"length beyond":         append([]byte{1, 7, 1, 0}, valid[4:]...),
		"length below":          append([]byte{1, 7, 0, 3}, valid[4:]...),
		"attribute of length 0": append(append([]byte{1, 7, 0, 22}, make([]byte, 16)...), 1, 0),
		"attribute of length 1": append(append([]byte{1, 7, 0, 22}, make([]byte, 16)...), 1, 1),
		"attribute beyond":      append(append([]byte{1, 7, 0, 22}, make([]byte, 16)...), 1, 200),
		"oversized":             append([]byte{1, 7, 0x20, 0}, make([]byte, 8188)...),
		"unknown code":          append([]byte{200, 7, 0, 27}, valid[4:]...),
		"a reply's code":        append([]byte{2, 7, 0, 27}, valid[4:]...),
		"random":                random,
	}
	for _, port := range []string{p.auth, p.acct} {
		for name, b := range bad {
			conn, err := net.Dial("udp", port)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
			if n, err := conn.Read(make([]byte, 4096)); err == nil {
				t.Errorf("%s to %s: answered with %d bytes", name, port, n)
			}
			conn.Close()
		}
	}
	p.eventually("the malformed packets are counted", func() error {
		if n := p.metric(`enlace_radius_dropped_total{device="radclient",reason="malformed"}`); n == "" || n == "0" {
			return fmt.Errorf("%q are counted", n)
		}
		return nil
	})
	// A source that is no device: silence and a counter.
	from, err := net.ResolveUDPAddr("udp", "127.99.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", p.auth)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(valid); err != nil {
		t.Fatal(err)
	}
	p.eventually("the unknown device is counted", func() error {
		if n := p.metric(`enlace_radius_dropped_total{device="",reason="unknown_device"}`); n != "1" {
			return fmt.Errorf("%q are counted", n)
		}
		return nil
	})
}

// requests sends wrong money, dates and bodies to the API; each is a problem that names what is wrong, and nothing is
// recorded.
func requests(t *testing.T, s *story) {
	t.Helper()
	s.now("2026-01-31 07:00:00")
	number := s.invoices(1)[0]["number"].(string)
	payment := func(change object) object {
		o := object{"external_id": "bad-1", "invoice": number, "amount": "10.00", "method": "pix"}
		for k, v := range change {
			o[k] = v
		}
		return o
	}
	for _, c := range []struct {
		name, path string
		body       any
		status     int
		says       string
	}{
		{"float", "/api/v1/payments", payment(object{"amount": 10.5}), 422, "amount"},
		{"three places", "/api/v1/payments", payment(object{"amount": "10.001"}), 422, "amount"},
		{"comma", "/api/v1/payments", payment(object{"amount": "10,00"}), 422, "amount"},
		{"zero", "/api/v1/payments", payment(object{"amount": "0.00"}), 422, "amount"},
		{"negative", "/api/v1/payments", payment(object{"amount": "-5.00"}), 422, "amount"},
		{"huge", "/api/v1/payments", payment(object{"amount": "99999999999999999999.00"}), 422, "amount"},
		{"not a number", "/api/v1/payments", payment(object{"amount": "NaN"}), 422, "amount"},
		{"no such day", "/api/v1/payments", payment(object{"paid_on": "2026-02-30"}), 422, "paid_on"},
		{"the future", "/api/v1/payments", payment(object{"paid_on": "2026-02-01"}), 422, "paid_on"},
		{"another way to write it", "/api/v1/payments", payment(object{"paid_on": "31/01/2026"}), 422, "paid_on"},
		{"unknown field", "/api/v1/payments", payment(object{"ammount": "1.00"}), 422, "ammount"},
		{"unknown invoice", "/api/v1/payments", payment(object{"invoice": "F99999999"}), 404, "F99999999"},
		{"unknown method", "/api/v1/payments", payment(object{"method": "gold"}), 422, "method"},
		{"NUL in the key", "/api/v1/payments", payment(object{"external_id": "a\x00b"}), 422, "external_id"},
		{"no body", "/api/v1/payments", nil, 400, ""},
		{"no JSON", "/api/v1/payments", []byte(`{"external_id":`), 400, ""},
		{"a list", "/api/v1/payments", []byte(`[]`), 422, ""},
		{"a long body", "/api/v1/payments", append([]byte(`{"external_id":"`), bytes.Repeat([]byte("a"), 3<<20)...), 413, ""},
		{"due day 32", "/api/v1/contracts", object{"customer_id": 1, "plan_id": 1, "due_day": 32, "accesses": []object{{"login": "b", "password": "c"}}}, 422, "due_day"},
		{"a zone that is none", "/api/v1/contracts", object{"customer_id": 1, "plan_id": 1, "due_day": 3, "zone": "Mars/Olympus", "accesses": []object{{"login": "b", "password": "c"}}}, 422, "zone"},
		{"a login that is taken", "/api/v1/contracts", object{"customer_id": 1, "plan_id": 1, "due_day": 3, "accesses": []object{{"login": storyLogin, "password": "c"}}}, 409, "login"},
		{"NUL in a name", "/api/v1/customers", object{"name": "a\x00b"}, 422, "name"},
		{"a CPF with wrong digits", "/api/v1/customers", object{"name": "X", "document": "529.982.247-24"}, 422, "document"},
		{"a source with host bits", "/api/v1/devices", object{"name": "d", "source": "10.0.0.1/8", "secret": "secret-1", "dialect": "standard"}, 422, "source"},
		{"a dialect that is none", "/api/v1/devices", object{"name": "d", "source": "10.0.0.1", "secret": "secret-1", "dialect": "klingon"}, 422, "dialect"},
		{"an act that is none", "/api/v1/contracts/1/acts/explode", object{}, 422, ""},
		{"a contract that is none", "/api/v1/contracts/999/acts/manual-block", object{}, 404, "999"},
		{"a plan slower than nothing", "/api/v1/plans", object{"name": "p", "price": "1.00", "full": object{"down_bps": 1, "up_bps": 1}}, 422, "down_bps"},
	} {
		status, b := s.call("POST", c.path, c.body)
		var problem struct {
			Status int    `json:"status"`
			Title  string `json:"title"`
			Code   string `json:"code"`
		}
		if err := json.Unmarshal(b, &problem); err != nil || problem.Status != status || problem.Title == "" || problem.Code == "" {
			t.Errorf("%s: not a problem: %s", c.name, b)
		}
		if status != c.status || !strings.Contains(string(b), c.says) {
			t.Errorf("%s: status %d, want %d and %q: %s", c.name, status, c.status, c.says, b)
		}
	}
	var payments int
	conn := s.connect()
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), `select count(*) from payment`).Scan(&payments); err != nil || payments != 0 {
		t.Errorf("%d payments were recorded, %v", payments, err)
	}
	s.token = "enlace_wrong"
	if status, _ := s.call("GET", "/api/v1/customers", nil); status != 401 {
		t.Errorf("a wrong token got %d", status)
	}
}
