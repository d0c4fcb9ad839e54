package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLanguages_RunOtherPrograms has `up --project` run programs that are not this repository's, without a stack's
// configuration.
func TestLanguages_RunOtherPrograms(t *testing.T) {
	for language, install := range map[string][]string{
		"yaml": nil, "go": nil, "typescript": {"npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.project = filepath.Join(checkout, "tests", "programs", "small", language)
			if language != "go" { // which a folder without its go.mod does not have
				folder := filepath.Join(t.TempDir(), "small")
				if err := os.CopyFS(folder, os.DirFS(c.project)); err != nil {
					t.Fatal(err)
				}
				c.project = folder
			}
			if len(install) > 0 {
				if _, err := exec.LookPath(install[0]); err != nil {
					t.Skipf("its packages are installed by %s, which is not here: %v", install[0], err)
				}
				if out, err := c.command(t, "up").
					CombinedOutput(); err == nil || strings.Count(string(out), "\n") != 1 ||
					!strings.Contains(string(out), "npm install") {
					t.Errorf("without its packages: %v\n%s", err, out)
				}
				cmd := exec.CommandContext(untilEnding(t), install[0], install[1:]...)
				cmd.Dir = c.project
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Skipf("its packages cannot be had: %v\n%s", err, out)
				}
			}
			up := func(args ...string) string {
				out, err := c.command(t, append([]string{"up", "--node", "stand-in"}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("up %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			if said := up(); !strings.Contains(said, `"hello"`) || !strings.Contains(said, " created\n") {
				t.Errorf("the first time it says\n%s", said)
			}
			if said := up(); !strings.Contains(said, " unchanged\n") || strings.Contains(said, "created\n") ||
				strings.Contains(said, "updated\n") ||
				strings.Contains(said, "replaced\n") {
				t.Errorf("the second time it says\n%s", said)
			}
			if said := up("--config", "text=set by hand"); !strings.Contains(said, `"set by hand"`) {
				t.Errorf("with another text it says\n%s", said)
			}
			out, err := c.command(t, "down").CombinedOutput()
			if err != nil || !strings.Contains(string(out), " deleted\n") ||
				strings.Contains(string(out), "could not be destroyed") {
				t.Errorf("down: %v\n%s", err, out)
			}
		})
	}
}

// TestLanguages_ReportMistakes: what is wrong in another program, and where.
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
		t.Errorf("up: %v\n%s", err, out)
	}
}
