package admin_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestPanelInABrowser signs in with a real browser, releases a blocked subscriber through the form, and looks at every
// kind of page in both widths and both themes. Run with -artifacts to keep the pictures.
func TestPanelInABrowser(t *testing.T) {
	h := open(t)
	h.furnish()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(browserPath(t)))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, cancel := chromedp.NewContext(allocator)
	defer cancel()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		// The first call starts the browser and must not carry a deadline of its own, so the test's is enough.
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	do(chromedp.EmulateViewport(1360, 900), chromedp.Navigate(h.server.URL+"/signin"))
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
		"invoices": "/invoices", "invoice": "/invoices/F00000010", "sessions": "/sessions", "devices": "/devices", "new-customer": "/customers/new",
		"plans": "/plans", "upcoming": "/upcoming?days=7", "device": "/devices/1"}
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
				shot(fmt.Sprintf("%s-%s-%d", name, theme, width))
			}
		}
	}

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
