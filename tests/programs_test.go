package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// program is another Pulumi program in the cloud, with its own stack named test.
type program struct {
	*cloud
	dir     string
	besides []string     // additional environment of the engine
	printed bytes.Buffer // output of all commands
}

// newProgram creates a stack of the program in a folder of the checkout. Values whose key ends in "!" are secret.
func newProgram(t *testing.T, c *cloud, dir string, configuration map[string]string) *program {
	t.Helper()
	source := filepath.Join(checkout, dir)
	p := &program{cloud: c, dir: filepath.Join(c.home, "programs", filepath.Base(source))}
	builtIn(t, source, p.dir)
	p.pulumi(t, "stack", "init", "test")
	p.configure(t, configuration)
	return p
}

// builtIn creates a folder with a built program of the checkout. Next to the source, the engine would run Go at each
// command to list modules and to build, which takes two seconds of processor time.
func builtIn(t *testing.T, source, dir string) {
	t.Helper()
	once, _ := programs.LoadOrStore(source, sync.OnceValues(func() (project, error) { return build(source) }))
	built, err := once.(func() (project, error))()
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	var content []byte
	if err == nil {
		content, err = yaml.Marshal(built)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// project is a Pulumi.yaml.
type project map[string]any

// programs has a function for each source folder, which builds the program once and returns its Pulumi.yaml.
var programs sync.Map

// programFlags are the Makefile's build flags, so that Go's build cache already has most packages.
const programFlags = "-trimpath -gcflags=all=-dwarf=false -ldflags=-s -buildvcs=false"

func build(source string) (project, error) {
	content, err := os.ReadFile(filepath.Join(source, "Pulumi.yaml"))
	var built project
	if err == nil {
		err = yaml.Unmarshal(content, &built)
	}
	if err != nil {
		return nil, err
	}
	file := filepath.Join(checkout, "bin", built["name"].(string))
	built["runtime"] = map[string]any{"name": "go", "options": map[string]any{"binary": file}}
	cmd := exec.CommandContext(ending, "go", "build", "-o", file, ".")
	cmd.Dir, cmd.Env = source, append(os.Environ(), "GOFLAGS="+programFlags, "GOWORK=off", "GOMAXPROCS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return built, nil
}

// configure sets all values in one command, because each command takes most of a second.
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
	cmd.Dir = p.dir
	cmd.Env = append(cmd.Env, "PULUMI_STACK=test", "PULUMI_OPTION_CONFIG_FILE="+filepath.Join(p.dir, "Pulumi.test.yaml"))
	cmd.Env = append(cmd.Env, p.besides...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	p.printed.Write(out.Bytes())
	p.printed.Write(errs.Bytes())
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

// up brings the stack up and makes the engine print every event.
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
