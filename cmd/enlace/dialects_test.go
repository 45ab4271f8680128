package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dialectsFile writes a file of dialects.
func dialectsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dialects.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDialectsCommand(t *testing.T) {
	const own = `
huawei:
  up_profile: "{name}-{outcome}"
bng-x:
  like: accel-ppp
  title: Our own
  accept:
    walled: ['Vendor-55999-Attr-2 = "captive"']
`
	file := dialectsFile(t, own)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 0, "bng-x            Our own"},
		{nil, 0, "mikrotik         MikroTik RouterOS          3799      CoA         disconnect     none is given"},
		{[]string{"show", "huawei", "--profile", "Fibra"}, 0, "  from WALLED: CoA-Request\n    Huawei-Qos-Profile-Name = \"fibra-full\"\n    Filter-Id = \"enlace-open\"\n"},
		{[]string{"show", "huawei"}, 0, "cannot be said: profile_name: the plan has no profile name"},
		{[]string{"show", "bng-x"}, 0, "WALLED 1M/1M\n  Access-Accept\n    Filter-Id = \"1000/1000\"\n    Vendor-55999-Attr-2 = \"captive\"\n"},
		{[]string{"show", "juniper", "--down", "10G", "--up", "10G"}, 0, "  from REDUCED: CoA-Request\n    ERX-Service-Deactivate = \"enlace\"\n  from REDUCED, then: CoA-Request\n    ERX-Service-Activate:1 = \"enlace(10000000k,10000000k)\"\n"},
		{[]string{"show", "standard", "--down", "10G", "--up", "10G"}, 0, "cannot be said: rate: 10000000000 does not fit WISPr-Bandwidth-Max-Up"},
		{[]string{"show", "mikrotik"}, 0, "  from WALLED: Disconnect-Request, and the next login"},
		{[]string{"show", "klingon"}, 1, `there is no dialect "klingon"`},
		{[]string{"show", "mikrotik", "--down", "fast"}, 1, `"fast" is not a rate`},
		{[]string{"show", "mikrotik", "--down", "1k"}, 1, "at least 64 kbit/s"},
	} {
		code, out, errOut := command(t, append(append([]string{"dialects"}, c.args...), "--dialects", file)...)
		if code != c.code || !strings.Contains(out+errOut, c.want) {
			t.Errorf("%q: exit %d\n%s%s\nwant %s", c.args, code, out, errOut, c.want)
		}
	}
	for text, want := range map[string]string{
		"huawei:\n  up_profiel: x\n":                           `[2:3] unknown field "up_profiel"`,
		"huawei:\n  accept:\n    allways: []\n":                `[3:5] unknown field "allways"`,
		"huawei:\n  queue: 1\n":                                "dialect huawei: queue: the dialect has no use for queue",
		"x:\n  accept:\n    always: ['Fliter-Id = \"x\"']\n":   "dialect x: accept, always: attribute: \"Fliter-Id = \\\"x\\\"\": there is no attribute Fliter-Id",
		"x:\n  accept: [Filter-Id]\n":                          "[2:11]",
		"- x\n":                                                "[1:1]",
		"huawei: {up_profile: x}\nhuawei: {down_profile: y}\n": "already defined",
	} {
		for _, args := range [][]string{{"dialects"}, {"serve", "--data-dir", t.TempDir()}} {
			code, out, errOut := command(t, append(args, "--dialects", dialectsFile(t, text))...)
			if code != 1 || !strings.Contains(errOut, want) {
				t.Errorf("%q, %s: exit %d\n%s%s\nwant %s", text, args[0], code, out, errOut, want)
			}
		}
	}
	if code, _, errOut := command(t, "dialects", "--dialects", "/nowhere/dialects.yaml"); code != 1 || !strings.Contains(errOut, "no such file") {
		t.Errorf("a file that is not there: exit %d, %s", code, errOut)
	}
}

// The examples of the documentation are files that the program takes.
func TestDocumentedDialects(t *testing.T) {
	text, err := os.ReadFile("../../docs/vendors/own.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatal("there is no example")
	}
	for _, example := range examples {
		if code, out, errOut := command(t, "dialects", "--dialects", dialectsFile(t, string(example[1]))); code != 0 {
			t.Errorf("%s%s\n%s", out, errOut, example[1])
		}
	}
}

// A device is given a dialect of the operator's own, and a login has what it says; the profile name of a plan comes with
// the next version of the plan.
func TestTheStoryOfAnOwnDialect(t *testing.T) {
	p := start(t, local("2026-01-15 10:00:00").Format(time.RFC3339), "--dialects", dialectsFile(t, `
mikrotik:
  accept: {always: ['Idle-Timeout = 777']}
datacom:
  accept:
    always: ['Filter-Id = "{down_mbps}M"', 'Framed-Pool = "{name}.{outcome}"']
`))
	s := provide(t, p, "mikrotik", "127.31.11.1")
	login := `User-Name = "` + storyLogin + `", User-Password = "` + storyPassword + `"`
	s.wants(true, login, `Mikrotik-Rate-Limit = "250M/500M"`, "Idle-Timeout = 777")

	devices := p.api("GET", "/api/v1/devices", nil, 200)["items"].([]any)
	for _, d := range devices {
		if d := d.(map[string]any); d["name"] == "radclient" {
			d := keep(d, "name", "source", "coa", "nas_identifier")
			d["dialect"] = "datacom"
			p.api("PUT", "/api/v1/devices/2", d, 200)
		}
	}
	s.wants(false, login) // the plan has no profile name
	plan := object{"name": "Fibra 500", "price": "100.00", "full": object{"down_bps": 500_000_000, "up_bps": 250_000_000}, "reduced_percent": 10, "profile_name": "fibra-500"}
	if got := p.api("PUT", "/api/v1/plans/1", plan, 200); got["profile_name"] != "fibra-500" {
		t.Errorf("the plan is %v", got)
	}
	s.wants(true, login, `Filter-Id = "500M"`, `Framed-Pool = "fibra-500.full"`)
	plan["profile_name"] = "fibra 500"
	if got := p.api("PUT", "/api/v1/plans/1", plan, 422); !strings.Contains(fmt.Sprint(got), "profile_name") {
		t.Errorf("a profile name with a space: %v", got)
	}
}
