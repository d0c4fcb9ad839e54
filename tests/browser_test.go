package tests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// chromium returns the path of a browser. Debian's is installed where there is none and this may install packages.
var chromium = sync.OnceValues(func() (string, error) {
	find := func() string {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
			if found, err := exec.LookPath(name); err == nil {
				return found
			}
		}
		return ""
	}
	if found := find(); found != "" {
		return found, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", errors.New("there is no chromium on PATH, and only root can install Debian's")
	}
	ctx, cancel := context.WithTimeout(ending, 10*time.Minute)
	defer cancel()
	for _, args := range [][]string{{"update"}, {"install", "--yes", "--no-install-recommends", "chromium"}} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-qq", "-o=Dpkg::Use-Pty=0"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("there is no chromium on PATH, and apt-get %s fails: %w\n%s", args[0], err, out)
		}
	}
	if found := find(); found != "" {
		return found, nil
	}
	return "", errors.New("Debian's chromium is installed, and not on PATH")
})

// tab is one of a browser without a window, used by its keyboard alone.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu        sync.Mutex
	requested []string // URLs
	wrong     []string // errors on the console, exceptions, and what could not be loaded
}

// newTab starts a browser, which ends with the test. A machine without one skips the test.
func newTab(t *testing.T) *tab {
	t.Helper()
	program, err := chromium()
	if err != nil {
		t.Skip(err)
	}
	temp, err := os.MkdirTemp("", "browser-") // some of it outlives the browser
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program),
		chromedp.Flag("no-proxy-server", true), chromedp.Env("TMPDIR="+temp))
	if os.Geteuid() == 0 { // as whom Chromium has no sandbox
		options = append(options, chromedp.NoSandbox)
	}
	ctx, stop := chromedp.NewExecAllocator(untilEnding(t), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	b := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until the browser's processes and files are gone
		cancel()
	})
	err = chromedp.Do(ctx) // which starts the browser, for as long as ctx
	if err == nil {
		err = chromedp.Listen(ctx, b.note)
	}
	if err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
		return err
	}))
	return b
}

// note keeps what the tests ask for later.
func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requested = append(b.requested, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			text, _ := json.Marshal(e.Args)
			b.wrong = append(b.wrong, string(text))
		}
	case *runtime.EventExceptionThrown:
		text, _ := json.Marshal(e.ExceptionDetails)
		b.wrong = append(b.wrong, string(text))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.wrong = append(b.wrong, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
}

// in is what an expression is in a page.
func in[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait waits until an expression is true in the page.
func (b *tab) wait(expression string) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if in[bool](b, "Boolean("+expression+")") {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("it does not come that %s; the page says\n%s", expression, in[string](b, "document.body.innerText"))
		}
	}
}

// shows waits until an element that a selector selects is to be seen with all of the texts.
func (b *tab) shows(selector string, texts ...string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.checkVisibility() && "+
		"%s.every((text) => e.textContent.includes(text)))", selector, asJSON(b.t, texts)))
}

// count returns how many elements that a selector selects are to be seen.
func (b *tab) count(selector string) int {
	b.t.Helper()
	all := fmt.Sprintf("[...document.querySelectorAll(%q)]", selector)
	return in[int](b, all+".filter((e) => e.checkVisibility()).length")
}

func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}

// tabTo presses Tab until the focus is on what a selector selects, which must be visible.
func (b *tab) tabTo(selector string) {
	b.t.Helper()
	for range 80 {
		b.press(kb.Tab)
		if in[bool](b, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			return
		}
	}
	b.t.Fatalf("Tab does not lead to %s", selector)
}

// look has the page seen in a scheme of colours, with a width.
func (b *tab) look(scheme string, width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

func (b *tab) screenshot() []byte {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}

// errors returns what went wrong on the page since the last call.
func (b *tab) errors() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := strings.Join(b.wrong, "\n")
	b.wrong = nil
	return found
}
