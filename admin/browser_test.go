package admin_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"enlace/contracts"
	"enlace/nas"
)

// TestPanelInABrowser signs in with a real browser, releases a blocked subscriber through the form, and looks at every
// kind of page in both widths and both themes. Run with -artifacts to keep the pictures.
func TestPanelInABrowser(t *testing.T) {
	h := open(t)
	h.furnish()
	h.share()
	h.site(h.bras)
	h.busy()
	h.must(h.devices.PauseCommands(h.ctx, "staff:bob", h.clock(), 2))
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(browserPath(t)))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	var complaints complaints
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(complaints.hear))
	defer cancel()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		// The first call starts the browser and must not carry a deadline.
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	do(chromedp.EmulateViewport(1360, 900), chromedp.Navigate(h.server.URL+"/signin"))
	ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	shot := func(name string) {
		t.Helper()
		b, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shot("signin")
	do(chromedp.SendKeys("#username", "ana"), chromedp.SendKeys("#password", h.password), chromedp.Click("button.primary"), chromedp.WaitVisible(".tiles"))

	blocked := fmt.Sprintf("/contracts/%d", h.byName["Ana Beatriz Lima"])
	pages := map[string]string{"overview": "/", "customers": "/customers", "contract": blocked, "released": fmt.Sprintf("/contracts/%d", h.byName["Fernanda Rocha Martins"]),
		"invoices": "/invoices", "invoice": "/invoices/F00000010", "sessions": "/sessions", "devices": "/devices", "network": "/network", "new-customer": "/customers/new",
		"plans": "/plans", "new-plan": "/plans/new", "upcoming": "/upcoming?days=7", "connections": "/connections", "device": "/devices/1", "device-edit": "/devices/1/edit", "device-rotating": "/devices/2", "pools": "/pools",
		"access": blocked + "/accesses/" + h.lined(), "access-new": blocked + "/accesses/new"}
	for _, theme := range []string{"light", "dark"} {
		do(emulate(theme))
		for _, width := range []int64{1360, 390} {
			do(chromedp.EmulateViewport(width, 900))
			for name, path := range pages {
				do(chromedp.Navigate(h.server.URL+path), chromedp.WaitVisible("main"))
				wide, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > innerWidth"))
				if err != nil {
					t.Fatal(err)
				}
				if wide {
					t.Errorf("%s is wider than a screen of %d", path, width)
				}
				cut, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.querySelectorAll("details.more").forEach(d => d.open = true);
					[...document.querySelectorAll(".table-wrap")].some(w => w.scrollWidth > w.clientWidth + 1)`))
				if err != nil {
					t.Fatal(err)
				}
				if cut && width == 1360 {
					t.Errorf("%s has a table that is wider than its place on a screen of %d", path, width)
				}
				shot(fmt.Sprintf("%s-%s-%d", name, theme, width))
			}
		}
	}

	// An act folds out of its button; what it does is on the page that follows.
	do(chromedp.EmulateViewport(1360, 900), chromedp.Navigate(h.server.URL+blocked), chromedp.Click("details:has(form[action$='temp-release']) > summary"),
		chromedp.SendKeys("form[action$='temp-release'] input[name=reason]", "visita agendada"))
	shot("act")
	do(chromedp.Click("form[action$='temp-release'] button"), chromedp.WaitVisible(".banner.good"), chromedp.WaitVisible(".badge.s-released"))
	if s := h.status(h.byName["Ana Beatriz Lima"]); s != contracts.ReleasedTemp {
		t.Errorf("after the release Ana is %s", s)
	}
	// What happens elsewhere appears without a click.
	_, err := h.contracts.Act(h.ctx, h.clock(), contracts.Fact{ContractID: h.byName["Ana Beatriz Lima"], Kind: contracts.ManualBlock, Actor: "staff:bob"})
	h.must(err)
	do(chromedp.WaitVisible(".badge.s-manual"))
	// What is dangerous asks first.
	do(chromedp.Navigate(h.server.URL+"/sessions"), chromedp.Click("#sessions tbody tr:first-child button.danger"), chromedp.WaitVisible("dialog[open]"))
	shot("confirm")
	do(chromedp.Click("dialog button:not(.danger)"), chromedp.WaitNotPresent("dialog"))
	if len(h.cut) != 0 {
		t.Error("a session was cut though the operator thought better of it")
	}
	do(chromedp.Click("#sessions tbody tr:first-child button.danger"), chromedp.WaitVisible("dialog[open]"), chromedp.Click("dialog button.danger"), chromedp.WaitVisible(".banner.good"))
	if len(h.cut) != 1 {
		t.Error("the session was not cut")
	}
	// What new rates of a plan change is said before they are saved.
	h.network.would = func(pl contracts.Plan) map[nas.DeviceID]int {
		if pl.Full.DownBps == 500e6 {
			return nil
		}
		return map[nas.DeviceID]int{1: 45_000, 2: 20}
	}
	do(chromedp.Navigate(h.server.URL+"/plans/1"), chromedp.Clear("#f-down_bps"), chromedp.SendKeys("#f-down_bps", "600M"), chromedp.Click(".form-acts button.primary"), chromedp.WaitVisible("#impact"))
	shot("plan-impact")
	do(chromedp.Click(".form-acts button.primary"), chromedp.WaitVisible("#network"), chromedp.WaitVisible(".banner.good"))
	// The network is paused once that is confirmed, and what waits is seen without a click.
	do(chromedp.Click(".heading-acts button"), chromedp.WaitVisible("dialog[open]"), chromedp.Click("dialog button.danger"), chromedp.WaitVisible("#network .banner.warn"))
	shot("network-paused")
	h.network.mu.Lock()
	h.network.waves = nil
	h.network.mu.Unlock()
	do(chromedp.WaitNotPresent("#wave-2"))
	// A public address without its port: all that shared it.
	do(chromedp.Navigate(h.server.URL+"/connections"), chromedp.SendKeys("#f-address", "203.0.113.7"), chromedp.SendKeys("#by-address input[name=reason]", "Oficio 77/2026"))
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("#f-at").value = "2026-03-18T09:30:00"`)); err != nil {
		t.Fatal(err)
	}
	do(chromedp.Click("#by-address button.primary"), chromedp.WaitVisible("#found .banner.warn"))
	shot("connections-found")
	do(chromedp.Click("button[name=lang][value=pt]"), chromedp.WaitVisible("html[lang='pt-BR']"), chromedp.Navigate(h.server.URL+blocked), chromedp.WaitVisible("main"))
	shot("contract-pt")
	for _, c := range complaints.all() {
		t.Errorf("the browser complains: %s", c)
	}
}

// complaints are what a browser says went wrong: scripts that throw, and what the content security policy refuses.
type complaints struct {
	mu   sync.Mutex
	said []string
}

func (c *complaints) hear(event any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		c.said = append(c.said, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" {
			c.said = append(c.said, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said
}

func emulate(theme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
		return err
	})
}

// browserPath finds a Chromium, of whatever packaging.
func browserPath(t *testing.T) string {
	names := []string{"chromium-headless-shell", "chromium", "google-chrome", "chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("this test needs a browser, and there is none of %q: make deps installs one", names)
	return ""
}
