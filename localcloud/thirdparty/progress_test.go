package thirdparty

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// planned returns a progress with two jobs. The second needs a package that the first compiles.
func planned(say func(string, ...any)) *Progress {
	first := &job{name: "first", versions: map[string]string{"a": "", "b": ""}, total: 30}
	second := &job{name: "second", versions: map[string]string{"c": ""}, total: 10}
	return &Progress{Say: say, jobs: []*job{first, second}, total: 40}
}

func TestProgress_ReportsDoneNextAndTimeLeft(t *testing.T) {
	knows(t, map[string]float64{"a": 20, "b": 8, "c": 8})
	synctest.Test(t, func(t *testing.T) {
		var told []string
		p := planned(func(format string, args ...any) {
			told = append(told, strings.TrimSpace(fmt.Sprintf(format, args...)))
		})
		w, done := p.follow("first")
		fmt.Fprint(w, "go: downloading x v1\ngo: down")
		time.Sleep(11 * time.Second)
		fmt.Fprint(w, "loading y v1\na\n")
		time.Sleep(20 * time.Second)
		fmt.Fprint(w, "b\n")
		time.Sleep(10 * time.Second)
		done()
		_, done = p.follow("second")
		time.Sleep(11 * time.Second)
		done()
		want := []string{
			" 0 % of 40 processor seconds: first, 1 modules fetched; then second",
			"50 % of 40 processor seconds: first, 1 of 2 packages; then second",
			"50 % of 40 processor seconds: first, 1 of 2 packages; then second; 19s left",
			"70 % of 40 processor seconds: first, linking; then second; 12s left",
			"75 % of 40 processor seconds: second; 13s left",
		}
		if got := strings.Join(told, "\n"); got != strings.TrimSpace(strings.Join(want, "\n")) {
			t.Errorf("told:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
		}
		if p.done != 40 {
			t.Errorf("%v of 40 processor seconds are done in the end", p.done)
		}
	})
}

func TestProgress_CountsUncompiledPackagesOnce(t *testing.T) {
	t.Setenv("GOCACHE", t.TempDir())
	module := t.TempDir()
	const program = "package main\nimport _ \"x/shared\"\nfunc main() {}\n"
	for name, content := range map[string]string{
		"go.mod": "module x\n", "shared/shared.go": "package shared\n", "one/main.go": program, "two/main.go": program,
	} {
		file := filepath.Join(module, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	knows(t, map[string]float64{"x/shared": 7, "x/one": 2, "x/two": 3, linked + "x/one": 0.5, linked + "x/two": 0.25})
	plan := func() (totals []float64) {
		p := &Progress{Say: t.Logf}
		for _, name := range []string{"one", "two"} {
			if err := p.plan(t.Context(), name, module, noStamp, sameAnywhere, "./"+name); err != nil {
				t.Fatal(err)
			}
			totals = append(totals, p.jobs[len(p.jobs)-1].total)
		}
		return totals
	}
	if got := plan(); got[0] != 9.5 || got[1] != 3.25 {
		t.Errorf("with nothing compiled they take %v, want 9.5 and 3.25", got)
	}
	p := &Progress{Say: t.Logf}
	if err := p.plan(t.Context(), "one", module, noStamp, sameAnywhere, "./one"); err != nil {
		t.Fatal(err)
	}
	if err := p.goBuild(t.Context(), "one", module, noStamp, sameAnywhere, "-o", os.DevNull, "./one"); err != nil {
		t.Fatal(err)
	}
	if p.done != p.total {
		t.Errorf("%v of %v are done after the build", p.done, p.total)
	}
	if got := plan(); got[1] != 3.25 {
		t.Errorf("the second takes %v with the shared package compiled, want 3.25", got[1])
	}
}

// knows sets the known costs until the test ends. Other packages cost nothing.
func knows(t *testing.T, these map[string]float64) {
	before := costs
	costs = func() map[string]float64 { return these }
	t.Cleanup(func() { costs = before })
}
