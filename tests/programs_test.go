package tests

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// program is a Pulumi program in a stack of its own, test, beside that of the cloud it runs in.
type program struct {
	*cloud
	dir, configFile string
	besides         []string     // of the environment that the engine runs with
	said            bytes.Buffer // all that the engine has printed
}

// newProgram makes the stack of the program in a folder of the checkout. Values of the configuration whose key ends in "!" are secret.
func newProgram(t *testing.T, c *cloud, dir string, configuration map[string]string) *program {
	t.Helper()
	p := &program{cloud: c, dir: filepath.Join(checkout, dir), configFile: filepath.Join(c.home, "test.yaml")}
	compileAhead(t, p.dir)
	// It writes the salt of the stack's secrets beside the Pulumi.yaml that it finds.
	init := t.TempDir()
	content, err := os.ReadFile(filepath.Join(p.dir, "Pulumi.yaml"))
	if err == nil {
		err = os.WriteFile(filepath.Join(init, "Pulumi.yaml"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.pulumi(t, "stack", "init", "test", "--cwd", init)
	if err := os.Rename(filepath.Join(init, "Pulumi.test.yaml"), p.configFile); err != nil {
		t.Fatal(err)
	}
	p.configure(t, configuration)
	return p
}

// compileAhead compiles a program and links it where its Pulumi.yaml says: as a binary that the engine takes as it is, or as what the engine
// will build, which does it behind the proxy, from where no module can be had.
func compileAhead(t *testing.T, dir string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "Pulumi.yaml"))
	var project struct {
		Runtime struct {
			Options struct{ Binary, BuildTarget string } `json:"options"`
		} `json:"runtime"`
	}
	if err == nil {
		err = yaml.Unmarshal(content, &project)
	}
	if err != nil {
		t.Fatal(err)
	}
	target := cmp.Or(project.Runtime.Options.Binary, project.Runtime.Options.BuildTarget)
	for _, args := range [][]string{{"build", "-o", target, "."}, {"list", "-m", "-json", "all"}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-gcflags=all=-dwarf=false -ldflags=-s -buildvcs=false", "GOWORK=off", "GOMAXPROCS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
}

// configure sets values of the configuration at once: each command of the engine takes most of a second.
func (p *program) configure(t *testing.T, configuration map[string]string) {
	t.Helper()
	args := []string{"config", "set-all"}
	for key, value := range configuration {
		kind := "--plaintext"
		if name, secret := strings.CutSuffix(key, "!"); secret {
			key, kind = name, "--secret"
		}
		args = append(args, kind, key+"="+value)
	}
	p.pulumi(t, args...)
}

func (p *program) tryPulumi(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd, err := p.prepare(t, "pulumi", append([]string{args[0], "--non-interactive"}, args[1:]...)...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir, cmd.Env = p.dir, append(cmd.Env, "PULUMI_STACK=test", "PULUMI_OPTION_CONFIG_FILE="+p.configFile)
	cmd.Env = append(cmd.Env, p.besides...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	p.said.Write(out.Bytes())
	p.said.Write(errs.Bytes())
	if err != nil {
		return out.String(), fmt.Errorf("pulumi %s: %w\n%s%s", args[0], err, lastOf(out.String(), 8000), errs.String())
	}
	return out.String(), nil
}

func lastOf(text string, n int) string { return text[max(0, len(text)-n):] }

func (p *program) pulumi(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.tryPulumi(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// up brings the stack up and has the engine print every event.
func (p *program) up(t *testing.T) {
	t.Helper()
	p.pulumi(t, "up", "--yes", "--skip-preview", "--json")
}

// outputs decodes the stack's outputs.
func (p *program) outputs(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.pulumi(t, "stack", "output", "--json")), into); err != nil {
		t.Fatal(err)
	}
}
