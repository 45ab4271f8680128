package admin_test

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"enlace/contracts"
)

// lined gives a contract that the browser looks at an access with everything, and says its number.
func (h *house) lined() string {
	h.Helper()
	id := h.byName["Ana Beatriz Lima"]
	c, err := h.contracts.Contract(h.ctx, id)
	if err != nil {
		h.Fatal(err)
	}
	a := c.Accesses[0]
	route, _ := contracts.ParseRoute("198.51.100.8/29")
	a.Line = contracts.Line{NoPassword: true, CircuitID: "olt1 eth 1/0/3:100.200", RemoteID: "\x00\x06onu", VLAN: contracts.VLAN{Outer: 100, Inner: 200},
		MAC: contracts.Binding[contracts.MAC]{Mode: contracts.BindLearn, To: contracts.MAC{2, 0, 0, 0, 0, 1}}, Device: contracts.Fixed(int64(1)),
		Port: contracts.Binding[contracts.Octets]{Mode: contracts.BindLearn},
		Addresses: contracts.Addresses{IPv4: netip.MustParseAddr("203.0.113.9"), NetmaskBits: 29, FramedIPv6: netip.MustParsePrefix("2001:db8:1:2::/64"),
			DelegatedIPv6: netip.MustParsePrefix("2001:db8:ab00::/56"), Routes: []contracts.Route{route}}}
	a.SessionLimit = 2
	if err := h.contracts.UpdateAccess(h.ctx, "test", h.clock(), id, &a); err != nil {
		h.Fatal(err)
	}
	return strconv.FormatInt(int64(a.ID), 10)
}

func TestLinesInThePanel(t *testing.T) {
	h := open(t)
	h.furnish()
	h.signIn()
	access := h.lined()
	contract := "/contracts/" + strconv.Itoa(int(h.byName["Ana Beatriz Lima"]))
	_, page, _ := h.get(contract)
	for _, want := range []string{"olt1 eth 1/0/3:100.200", "0x00066f6e75", "02:00:00:00:00:01", "learned at the next login", "203.0.113.9/29",
		"2001:db8:ab00::/56", "198.51.100.8/29 0.0.0.0 1", "circuit id, without a password", "clear-binding"} {
		if !strings.Contains(page, want) {
			t.Errorf("the contract's page does not show %q", want)
		}
	}
	_, page, _ = h.get(contract + "/accesses/" + access)
	for _, want := range []string{`value="olt1 eth 1/0/3:100.200"`, `value="02:00:00:00:00:01"`, `value="100:200"`, ">198.51.100.8/29 0.0.0.0 1</textarea>", `value="29"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the form does not show %q", want)
		}
	}
	form := url.Values{"mac_mode": {"fixed"}, "mac": {"AA-BB-CC-DD-EE-0F"}, "ipv4": {"203.0.113.77"}, "routes": {" 198.51.100.16/29 \n\n2001:db8:7::/48 :: 5\n"}}
	if status, _, _ := h.post(contract+"/accesses/"+access, form); status != 303 {
		t.Fatalf("saving gives %d", status)
	}
	_, page, _ = h.get(contract)
	for _, want := range []string{"aa:bb:cc:dd:ee:0f", "203.0.113.77", "198.51.100.16/29 0.0.0.0 1", "2001:db8:7::/48 :: 5"} {
		if !strings.Contains(page, want) {
			t.Errorf("after saving the page does not show %q", want)
		}
	}
	for field, wrong := range map[string]url.Values{
		"mac":         {"mac_mode": {"fixed"}, "mac": {"aa:bb"}},
		"ipv4":        {"ipv4": {"203.0.113"}},
		"routes":      {"routes": {"everywhere"}},
		"vlan":        {"vlan": {"1:2:3"}},
		"circuit_id":  {"circuit_id": {"0xabc"}},
		"framed_ipv6": {"framed_ipv6": {"2001:db8::1/64"}},
	} {
		status, page, _ := h.post(contract+"/accesses/"+access, wrong)
		if status != 422 || !strings.Contains(page, `field-error`) {
			t.Errorf("a wrong %s gives %d", field, status)
		}
	}
	if status, _, _ := h.post(contract+"/accesses", url.Values{"login": {"ipoe-1"}, "no_password": {"yes"}, "circuit_id": {"olt9"}}); status != 303 {
		t.Errorf("an access without a password gives %d", status)
	}
	if status, page, _ := h.post(contract+"/accesses", url.Values{"login": {"ipoe-2"}, "no_password": {"yes"}, "circuit_id": {"olt9"}}); status != 422 || !strings.Contains(page, "already recognised") {
		t.Errorf("the same circuit id twice gives %d", status)
	}
	if status, _, _ := h.post(contract+"/accesses/"+access+"/clear-binding", nil); status != 303 {
		t.Errorf("clearing gives %d", status)
	}
	if status, _, _ := h.get(contract + "/accesses/4711"); status != 404 {
		t.Errorf("an access that is not there gives %d", status)
	}
}
