package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"enlace/nas/nastest"
)

const alertFolder = "../../deploy/prometheus"

// Prometheus' own promtool takes the rules, and they fire when they should and not when they should not.
func TestAlertsByPromtool(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "enlace.rules.yaml"}, {"test", "rules", "enlace.rules.test.yaml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = alertFolder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v (make deps brings it)\n%s", strings.Join(args, " "), err, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(alertFolder, "enlace.rules.test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	healthy, sick, found := strings.Cut(string(text), "name: sick")
	for name := range alerts(t) {
		if !found || !strings.Contains(healthy, "alertname: "+name+"}") || !strings.Contains(sick, "alertname: "+name+"\n") {
			t.Errorf("%s is not tried both ways", name)
		}
	}
}

// The operator's page says what to do about each alert, and the documentation names no metric that there is not.
func TestDocumentedAlerts(t *testing.T) {
	page, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	known := alerts(t)
	for name := range known {
		if !strings.Contains(string(page), name) {
			t.Errorf("docs/operation.md does not say what to do about %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`\bEnlace[A-Z]\w+`).FindAllString(string(page), -1) {
		if known[name] == "" {
			t.Errorf("docs/operation.md speaks of %s, which is no alert", name)
		}
	}
	var code []byte
	for _, folder := range []string{".", "../../admin", "../../nas/control", "../../radius", "../../radius/journal"} { // where metrics are
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%v, %v", files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, text...)
		}
	}
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`(enlace_[a-z_]+)").FindAllSubmatch(text, -1) {
			if !bytes.Contains(code, []byte(`"`+string(m[1])+`"`)) {
				t.Errorf("%s speaks of %s, which is no metric", file, m[1])
			}
		}
	}
}

// alerts are the expressions of the rules by their names.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(alertFolder, "enlace.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert string `yaml:"alert"`
				Expr  string `yaml:"expr"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			found[r.Alert] = r.Expr
		}
	}
	if len(found) == 0 {
		t.Fatal("there are no rules")
	}
	return found
}

// TestAlertsNameWhatThereIs has the real program at work and wants every selector of every rule to find a series of its
// /metrics, with the labels that it asks for.
func TestAlertsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	authority, err := nastest.NewAuthority("provider")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue("radius", nil, time.Now().Add(time.Hour))
	if err == nil {
		err = certificate.Write(file("cert"), file("key"))
	}
	if err == nil {
		err = os.WriteFile(file("ca"), authority.PEM, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := policyProvider(t, object{"name": "bras", "source": "127.0.0.1", "secret": "testing123", "dialect": "mikrotik"},
		"--radsec-listen", "127.0.0.1:0", "--radsec-cert", file("cert"), "--radsec-key", file("key"), "--radsec-ca", file("ca"))
	p.api("POST", "/api/v1/pools", object{"name": "pop 1", "ranges": []string{"100.64.0.0/30"}}, 201)
	p.eventually("a login and a session", func() error {
		if ok, out := radclient(t, p.auth, "auth", "testing123", policyLogin); !ok {
			return fmt.Errorf("%s", out)
		}
		if ok, out := radclient(t, p.acct, "acct", "testing123", `User-Name = "ana@isp", Acct-Status-Type = Start, Acct-Session-Id = "a1"`); !ok {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	p.eventually("every rule finds what it asks for", func() error {
		resp, err := http.Get(p.panel + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		series := []labels.Labels{labels.FromStrings("__name__", "up", "job", "enlace")} // Prometheus' own
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if text := lines.Text(); !strings.HasPrefix(text, "#") {
				l, err := parser.NewParser(parser.Options{}).ParseMetric(text[:strings.LastIndexByte(text, ' ')])
				if err != nil {
					return fmt.Errorf("%q: %w", text, err)
				}
				series = append(series, l)
			}
		}
		for name, expr := range alerts(t) {
			parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, selector := range parser.ExtractSelectors(parsed) {
				for _, one := range alternatives(selector) {
					if !slices.ContainsFunc(series, func(l labels.Labels) bool { return selects(one, l) }) {
						return fmt.Errorf("%s: the program has no series %v", name, one)
					}
				}
			}
		}
		return nil
	})
}

// alternatives are the selectors that ask for each of the values that one asks for.
func alternatives(selector []*labels.Matcher) [][]*labels.Matcher {
	for i, m := range selector {
		if m.Type != labels.MatchRegexp {
			continue
		}
		var all [][]*labels.Matcher
		for _, value := range m.SetMatches() {
			one := slices.Clone(selector)
			one[i] = labels.MustNewMatcher(labels.MatchEqual, m.Name, value)
			all = append(all, alternatives(one)...)
		}
		return all
	}
	return [][]*labels.Matcher{selector}
}

func selects(selector []*labels.Matcher, l labels.Labels) bool {
	for _, m := range selector {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}
