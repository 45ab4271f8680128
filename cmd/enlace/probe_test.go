package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"layeh.com/radius/rfc2866"

	"enlace/admin"
	"enlace/nas/nastest"
)

var (
	instants = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	distance = regexp.MustCompile(`\d{7,} s`) // the program's clock is set, the access server's is not
)

// probed is what the tool says of bras-1, with its instants and its port as they are not the same twice.
func (s *story) probed(args ...string) string {
	s.t.Helper()
	out := s.run(append([]string{"nas", "probe", "bras-1"}, args...)...)
	out = strings.ReplaceAll(out, s.nas.CoAAddr().String(), "127.0.0.1:3799")
	return distance.ReplaceAllString(instants.ReplaceAllString(out, "2026-01-15 10:00:00"), "26922000 s")
}

// conformance is what the API says of bras-1, by check.
func (s *story) conformance() map[string]admin.FindingJSON {
	s.t.Helper()
	status, b := s.call("GET", fmt.Sprint("/api/v1/devices/", s.device, "/conformance"), nil)
	var r admin.ConformanceReport
	if err := json.Unmarshal(b, &r); status != 200 || err != nil {
		s.t.Fatalf("%d %s: %v", status, b, err)
	}
	by := map[string]admin.FindingJSON{}
	for _, f := range r.Findings {
		by[f.Check] = f
	}
	return by
}

// TestProbe: the real program asks an access server through the command line, says what its traffic shows, and sees it
// begin to misbehave and recover.
func TestProbe(t *testing.T) {
	t.Parallel()
	p := start(t, "2026-01-15T10:00:00-03:00")
	s := provide(t, p, "standard", "127.41.0.1")
	ctx := context.Background()
	line := func() *nastest.Session {
		t.Helper()
		var l *nastest.Session
		s.eventually("a login", func() (err error) {
			l, err = s.nas.Login(ctx, storyLogin, storyPassword, nastest.PAP)
			return err
		})
		return l
	}
	first := line()
	s.eventually("the session is known", func() error {
		if n := len(s.api("GET", "/api/v1/sessions", nil, 200)["items"].([]any)); n != 1 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	began := s.probed()
	if !regexp.MustCompile(`CoA that changes nothing +good .* acknowledged\n`).MatchString(began) {
		t.Errorf("it was not tried on the open session:\n%s", began)
	}
	if n := s.nas.Stats(); n.Disconnects != 0 || !first.Online() || first.Rates().DownBps != 500e6 {
		t.Errorf("probing did something to the subscriber: %+v, %+v", n, first.Rates())
	}
	if err := first.Interim(ctx); err != nil {
		t.Fatal(err)
	}
	s.eventually("the changed Class comes back", func() error {
		if f := s.conformance()["coa_class"]; f.Result != "good" {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	for range 12 {
		if err := first.Interim(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Stop(ctx, int(rfc2866.AcctTerminateCause_Value_UserRequest)); err != nil {
		t.Fatal(err)
	}
	if err := s.nas.AccountingOn(ctx); err != nil {
		t.Fatal(err)
	}
	s.eventually("what was seen is judged", func() error {
		if by := s.conformance(); by["class"].Result != "good" || by["accounting_on"].Result != "good" {
			return fmt.Errorf("%+v, %+v", by["class"], by["accounting_on"])
		}
		return nil
	})
	stored := func(evidence string) { // the tool reads what is stored
		t.Helper()
		s.eventually("nothing is left to be stored", func() error {
			if out := s.probed("--show"); !strings.Contains(out, evidence) {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
	}
	stored("as it was sent (15)")
	golden(t, filepath.Join("probe", "good.en.txt"), s.probed("--show"))
	golden(t, filepath.Join("probe", "good.pt.txt"), s.probed("--show", "--lang", "pt"))

	s.nas.SetQuirks(nastest.Quirks{NoClass: true, AckUnknown: true})
	second := line()
	for range 30 {
		if err := second.Interim(ctx); err != nil {
			t.Fatal(err)
		}
	}
	regression := `enlace_device_regression{check="class",device="bras-1"}`
	s.eventually("a regression", func() error {
		if v := s.metric(regression); v != "1" {
			return fmt.Errorf("the metric is %q: %+v", v, s.conformance()["class"])
		}
		return nil
	})
	stored("absent (31 of 46)")
	s.probed()
	golden(t, filepath.Join("probe", "regressed.en.txt"), s.probed("--show"))
	golden(t, filepath.Join("probe", "regressed.pt.txt"), s.probed("--show", "--lang", "pt"))
	s.api("POST", fmt.Sprint("/api/v1/devices/", s.device, "/regressions/class/acknowledge"), nil, 204)
	s.api("POST", fmt.Sprint("/api/v1/devices/", s.device, "/regressions/class/acknowledge"), nil, 404)
	s.eventually("it is acknowledged", func() error {
		if v := s.metric(regression); v != "0" {
			return fmt.Errorf("the metric is %q", v)
		}
		return nil
	})

	s.nas.SetQuirks(nastest.Quirks{})
	for range 20 {
		third := line()
		for range 8 {
			if err := third.Interim(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := third.Stop(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually("it has recovered", func() error {
		if f := s.conformance()["class"]; f.Result != "good" || f.RegressedAt != nil || f.AcknowledgedBy != "" {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
}

// TestProbeWithoutAnswer: a device that is deaf, one that is not known, and a database without a server.
func TestProbeWithoutAnswer(t *testing.T) {
	t.Parallel()
	p := start(t, "2026-01-15T10:00:00-03:00")
	s := provide(t, p, "mikrotik", "127.41.0.2")
	s.nas.SetQuirks(nastest.Quirks{Deaf: true})
	golden(t, filepath.Join("probe", "deaf.en.txt"), s.probed())
	s.api("PUT", fmt.Sprint("/api/v1/devices/", s.device, "/strategy"), object{"rates": "disconnect"}, 204)
	s.api("PUT", fmt.Sprint("/api/v1/devices/", s.device, "/strategy"), object{"rates": "api"}, 422)
	s.api("POST", "/api/v1/devices/99/probe", object{}, 404)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	fails := func(want string, args ...string) {
		t.Helper()
		out, err := exec.Command(path, append(args, "--database-url", p.database, "--data-dir", p.dir)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("enlace %q: %v\n%s", args, err, out)
		}
	}
	fails(`there is no device "bras-9"`, "nas", "probe", "bras-9")
	golden(t, filepath.Join("probe", "fixed.pt.txt"), s.probed("--show", "--lang", "pt"))
	p.kill(15)
	began := time.Now()
	fails("is enlace serve running on this database?", "nas", "probe", "bras-1")
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s to say that nobody is there", took)
	}
}
