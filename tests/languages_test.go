package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLanguages_RunOtherPrograms checks that up runs programs in YAML, Go and TypeScript that have no configuration.
func TestLanguages_RunOtherPrograms(t *testing.T) {
	for language, install := range map[string][]string{
		"yaml": nil, "go": nil, "typescript": {"npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.project = filepath.Join(checkout, "tests", "programs", "small", language)
			if language != "go" { // the Go program has no go.mod and only builds in its place
				folder := filepath.Join(t.TempDir(), "small")
				if err := os.CopyFS(folder, os.DirFS(c.project)); err != nil {
					t.Fatal(err)
				}
				c.project = folder
			}
			if len(install) > 0 {
				if _, err := exec.LookPath(install[0]); err != nil {
					t.Skipf("%s, which installs the program's packages, is not here: %v", install[0], err)
				}
				out, err := c.command(t, "up").CombinedOutput()
				if err == nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "npm install") {
					t.Errorf("up without packages: got %v, want one line about npm install\n%s", err, out)
				}
				cmd := exec.CommandContext(untilEnding(t), install[0], install[1:]...)
				cmd.Dir = c.project
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Skipf("the program's packages cannot be installed: %v\n%s", err, out)
				}
			}
			up := func(args ...string) string {
				out, err := c.command(t, append([]string{"up", "--node", "stand-in"}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("up %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			if out := up(); !strings.Contains(out, `"hello"`) || !strings.Contains(out, " created\n") {
				t.Errorf("the first up prints\n%s", out)
			}
			if out := up(); !strings.Contains(out, " unchanged\n") || strings.Contains(out, "created\n") ||
				strings.Contains(out, "updated\n") || strings.Contains(out, "replaced\n") {
				t.Errorf("the second up prints\n%s", out)
			}
			if out := up("--config", "text=set by hand"); !strings.Contains(out, `"set by hand"`) {
				t.Errorf("up with another text prints\n%s", out)
			}
			out, err := c.command(t, "down").CombinedOutput()
			if err != nil || !strings.Contains(string(out), " deleted\n") ||
				strings.Contains(string(out), "could not be destroyed") {
				t.Errorf("down: %v\n%s", err, out)
			}
		})
	}
}

// TestLanguages_ReportMistakes checks that up reports a mistake in another program and its line.
func TestLanguages_ReportMistakes(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.project = t.TempDir()
	const wrong = "name: wrong\nruntime: yaml\noutputs:\n  text: ${nowhere.text}\n"
	if err := os.WriteFile(filepath.Join(c.project, "Pulumi.yaml"), []byte(wrong), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := c.command(t, "up", "--node", "stand-in").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Pulumi.yaml line 4") || !strings.Contains(string(out), `"nowhere"`) {
		t.Errorf("up: got %v, want an error with line 4 and nowhere\n%s", err, out)
	}
}
