package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestExamples_InYAML brings up the examples and the template in YAML beside the dev stack, which must not change.
func TestExamples_InYAML(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t)
	c.installPackage(t)
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer, cryptoOfficer)
	before := firstStackSnapshot(t, c, first)
	t.Run("yaml-app", func(t *testing.T) { c.wantApp(t, newExample(t, c, "yaml-app", appIn(first)), first) })
	t.Run("yaml-guide", func(t *testing.T) {
		p := newExample(t, c, "yaml-guide", map[string]string{"location": "westeurope"})
		p.wantGuide(t, "my-secret")
	})
	t.Run("template", func(t *testing.T) {
		p := &program{cloud: c, dir: filepath.Join(c.home, "programs", "from-yaml")}
		p.fromTemplate(t, "yaml")
		p.wantTemplate(t)
	})
	if after := firstStackSnapshot(t, c, first); after != before {
		t.Errorf("the dev stack changed: now\n%s\nbefore\n%s", after, before)
	}
	c.pulumi(t, "preview", "--expect-no-changes")
}

// TestExamples_InTypeScript brings up the example and the template in TypeScript after a strict type check, and checks
// the errors of programs with mistakes.
func TestExamples_InTypeScript(t *testing.T) {
	needsRealNode(t)
	needsNPM(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t)
	c.installPackage(t)
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer, cryptoOfficer)
	app := newExample(t, c, "typescript-app", appIn(first))
	app.getPackages(t)
	t.Run("typescript-app", func(t *testing.T) {
		app.wantTypeChecks(t)
		c.wantApp(t, app, first)
	})
	t.Run("template", func(t *testing.T) {
		p := &program{cloud: c, dir: filepath.Join(c.home, "programs", "from-typescript")}
		if err := os.MkdirAll(p.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		// `pulumi new` configures the project. Then the local cloud's language host, which is older than the engine, cannot
		// link the SDK.
		_, err := p.tryPulumi(t, p.newOf("typescript")...)
		if err != nil && !strings.Contains(err.Error(), "linking package") {
			t.Fatal(err)
		}
		p.sharePackages(t, app)
		p.wantTypeChecks(t)
		p.wantTemplate(t)
	})
	t.Run("mistakes", func(t *testing.T) {
		p := &program{cloud: c, dir: filepath.Join(c.home, "programs", "mistakes")}
		source, err := os.ReadFile(filepath.Join("testdata", "mistakes.ts"))
		if err == nil {
			err = os.CopyFS(p.dir, os.DirFS(filepath.Join(checkout, "templates", "typescript")))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(p.dir, "index.ts"), source, 0o600)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(p.dir, "Pulumi.yaml"), []byte("name: mistakes\nruntime: nodejs\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.sharePackages(t, app)
		p.pulumi(t, "stack", "init", "test")
		p.wantMistakes(t, map[string][]string{
			"output": {
				"keyvaultaks:index:KeyVaultStack resource 'it'", "namePrefix: given an output, allowed: a plain value",
				"secrets[0].rotate: given an output, allowed: a plain value", `secrets[0].name: given "a_b", allowed: 1-127`,
				"secrets[1]: given neither value nor generate, allowed: exactly one",
			},
			"provider": {
				"keyvaultaks:index:SecretMount resource 'it'", "providers: given no provider for Kubernetes",
				`namespace: given "a_b", allowed: 1-63`, `access: given "nowhere", allowed: object, vault, none`,
				"vaultId: given nothing", "principalId: given nothing",
			},
			"name": {
				"keyvaultaks:index:WorkloadIdentity resource 'it'", "serviceAccounts[0].nme: given", "allowed: name",
				"serviceAccounts[0].name: given nothing", `namespace: given "Apps", allowed: 1-63`,
				`serviceAccounts[1].name: given "a_b", allowed: 1-253`, "providers: given no provider for Kubernetes",
			},
			"theirs": {"of their own"},
		})
		p.destroy(t)
	})
}

// TestExamples_InPython compiles the example in Python, checks that the generated SDK has all names it uses, and brings
// the example up where Pulumi's Python SDK is installed.
func TestExamples_InPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	dir := t.TempDir()
	copyExample(t, "python-app", dir)
	generateSDK(t, "python", filepath.Join(dir, "sdks", "keyvaultaks"))
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(untilEnding(t), python, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("python %s: %v\n%s", args[:2], err, out)
		}
	}
	run("-m", "compileall", "-q", ".")
	run("-c", namedInPython)
	if exec.CommandContext(untilEnding(t), python, "-c", "import pulumi, pulumi_kubernetes").Run() != nil {
		t.Skip("the example compiles, but Pulumi's Python SDK, which it needs to run, is not installed")
	}
	needsRealNode(t)
	c := newCloud(t)
	c.up(t)
	c.installPackage(t)
	first := c.outputs(t)
	grant(t, c, first.VaultID, secretsOfficer)
	p := newExample(t, c, "python-app", appIn(first))
	p.besides = []string{"PYTHONPATH=" + filepath.Join(dir, "sdks", "keyvaultaks"), "PYTHONDONTWRITEBYTECODE=1"}
	c.wantApp(t, p, first)
}

// namedInPython is a Python script that fails unless the SDK has each component, type and argument that a program
// names.
const namedInPython = `
import ast, pathlib
known, classes = {}, pathlib.Path("sdks/keyvaultaks/keyvaultaks")
for file in classes.glob("*.py"):
    for c in [n for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef)]:
        names = known.setdefault(c.name, set())
        for f in [n for n in c.body if isinstance(n, ast.FunctionDef) and n.name in ("__init__", "_internal_init")]:
            names.update(a.arg for a in f.args.args + f.args.kwonlyargs)
seen = 0
for call in ast.walk(ast.parse(pathlib.Path("__main__.py").read_text())):
    function = getattr(call, "func", None)
    if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "keyvaultaks":
        for keyword in call.keywords:
            assert keyword.arg in known[call.func.attr], f"{call.func.attr} has no {keyword.arg}"
            seen += 1
assert seen > 10, seen
`

// TestMistakes_InYAML checks the errors of YAML programs with mistakes. Mistakes against the package's schema are
// reported by the YAML language host.
func TestMistakes_InYAML(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in", "--config", "workloads=[]")
	const head = "name: yaml\nruntime: yaml\nresources:\n" +
		"  theirs: {type: \"random:RandomString\", properties: {length: 8}}\n"
	p := newYAML(t, c, head, nil)
	for name, one := range map[string]struct {
		resources string
		want      []string
	}{
		"output instead of a plain value": {`
  it:
    type: keyvaultaks:KeyVaultStack
    properties:
      resourceGroupName: keyvault-demo
      tenantId: ${theirs.result}
      namePrefix: ${theirs.result}
      secrets: [{name: a_b, value: "${theirs.result}", rotate: "${theirs.result}"}, {name: c}]
`, []string{
			"keyvaultaks:index:KeyVaultStack resource 'it'", "namePrefix: given an output, allowed: a plain value",
			"secrets[0].rotate: given an output, allowed: a plain value", `secrets[0].name: given "a_b", allowed: 1-127`,
			"secrets[1]: given neither value nor generate, allowed: exactly one",
		}},
		"no provider": {`
  it:
    type: keyvaultaks:SecretMount
    properties:
      {vaultName: "${theirs.result}", tenantId: a, clientId: c, namespace: a_b, objects: [{type: secret, name: a}]}
`, []string{
			"keyvaultaks:index:SecretMount resource 'it'", "providers: given no provider for Kubernetes",
			`namespace: given "a_b", allowed: 1-63`, "vaultId: given nothing", "principalId: given nothing",
		}},
		"unknown property": {`
  it:
    type: keyvaultaks:SecretMount
    properties:
      {vaultName: kv, tenantId: a, clientId: c, acess: none, namespace: apps, objects: [{type: secret, name: a}]}
`, []string{"keyvaultaks:index:SecretMount", "acess", "Existing properties are: access"}},
		"unknown component": {`
  it: {type: "keyvaultaks:SecretMounts"}
`, []string{"resource it", "keyvaultaks:SecretMounts"}},
		"another package": {`
  other: {type: "random:RandomString", properties: {lenth: 8}}
`, []string{"random:index/randomString:RandomString", "lenth", "Existing properties are: length"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.write(t, head+one.resources)
			p.wantRefused(t, one.want)
		})
	}
	p.destroy(t)
}

// TestMistakes_InGo checks the errors of Go programs with mistakes that the compiler cannot find.
func TestMistakes_InGo(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in", "--config", "workloads=[]")
	p := newProgram(t, c, "tests/programs/mistakes", nil)
	p.wantMistakes(t, map[string][]string{
		"provider": {
			"arguments of it", "no Kubernetes provider: set cluster", `namespace: given "a_b", allowed: 1-63`,
			`access: given "nowhere", allowed: object, vault, none`, "vaultId: given nothing", "principalId: given nothing",
		},
		"name": {
			"arguments of it", `namespace: given "Apps", allowed: 1-63`, `serviceAccounts[1].name: given "a_b", allowed: 1-253`,
			"no Kubernetes provider",
		},
		"theirs": {"of their own"},
	})
	p.destroy(t)
}

// TestMistakes_FailToCompileInGo checks that the compiler rejects an output instead of a plain value, and an unknown
// field.
func TestMistakes_FailToCompileInGo(t *testing.T) {
	t.Parallel()
	source := filepath.Join(checkout, "tests", "programs", "mistakes")
	for name, one := range map[string]struct{ argument, want string }{
		"output instead of a plain value": {"Namespace: late", "late"},
		"unknown field":                   {"Acess: components.AccessNone", "Acess"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
			content, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(source, "main.go"): file}})
			err = errors.Join(err, os.WriteFile(overlay, content, 0o600), os.WriteFile(file, fmt.Appendf(nil, `package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

var late pulumi.StringOutput
var _ = components.SecretMountArgs{%s}

func main() {}
`, one.argument), 0o600))
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(untilEnding(t), "go", "build", "-overlay", overlay, "-o", filepath.Join(dir, "program"),
				".")
			cmd.Dir, cmd.Env = source, append(os.Environ(), "GOFLAGS="+programFlags, "GOWORK=off")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "main.go:10:") || !strings.Contains(string(out), one.want) {
				t.Errorf("go build: got %v, want an error in line 10 about %s\n%s", err, one.want, out)
			}
		})
	}
}

// TestLanguages_UseThisVersion checks that examples, templates and their READMEs use this version of the package.
func TestLanguages_UseThisVersion(t *testing.T) {
	version := packageVersion(t)
	count := 0
	for _, in := range []string{"examples", "templates"} {
		files, _ := filepath.Glob(filepath.Join(checkout, in, "*", "Pulumi.yaml"))
		for _, file := range files {
			var p struct {
				Packages map[string]struct{ Version, PluginDownloadURL string }
			}
			content, err := os.ReadFile(file)
			if err == nil {
				err = yaml.Unmarshal(content, &p)
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if of, ok := p.Packages["keyvaultaks"]; ok {
				count++
				if of.Version != version || of.PluginDownloadURL != "github://api.github.com/keyvault-aks/keyvault-aks" {
					t.Errorf("%s uses %+v, want version %s", file, of, version)
				}
				readme, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "README.md"))
				if _, rest, ok := strings.Cut(string(readme), "plugin install resource keyvaultaks "); ok &&
					!strings.HasPrefix(rest, version+" ") {
					t.Errorf("the README beside %s does not install version %s", file, version)
				}
			}
		}
	}
	if count < 6 {
		t.Errorf("%d programs use the package, want at least 6", count)
	}
}

// installPackage installs the Pulumi package's plugin where the engine looks for released plugins. In the end it stops
// processes of the plugin, which `pulumi new` leaves running for five minutes.
func (c *cloud) installPackage(t *testing.T) {
	t.Helper()
	dir, err := packagePlugin()
	if err != nil {
		t.Fatalf("building the package's plugin: %v\n%s", err, dir)
	}
	c.pulumi(t, "plugin", "install", "resource", "keyvaultaks", packageVersion(t), "--file",
		filepath.Join(dir, "pulumi-resource-keyvaultaks"))
	t.Cleanup(func() {
		programs, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, of := range programs {
			file, _ := os.Readlink(of)
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(of)))
			if err == nil && filepath.Base(file) == "pulumi-resource-keyvaultaks" && strings.HasPrefix(file, c.home+"/") {
				_ = syscall.Kill(pid, syscall.SIGINT)
			}
		}
	})
}

func packageVersion(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(checkout, "provider", "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// newExample creates a stack of a copy of an example in a language that is not compiled.
func newExample(t *testing.T, c *cloud, name string, configuration map[string]string) *program {
	t.Helper()
	p := &program{cloud: c, dir: filepath.Join(c.home, "programs", name)}
	copyExample(t, name, p.dir)
	p.pulumi(t, "stack", "init", "test")
	p.configure(t, configuration)
	return p
}

// copyExample copies an example without files that running it has added.
func copyExample(t *testing.T, name, dir string) {
	t.Helper()
	source := filepath.Join(checkout, "examples", name)
	files, err := os.ReadDir(source)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		stack, _ := filepath.Match("Pulumi.*.yaml", file.Name())
		if file.IsDir() || stack || file.Name() == "package-lock.json" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(source, file.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file.Name()), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// appIn returns the configuration of an application that uses a stack's vault and cluster.
func appIn(first stackOutputs) map[string]string {
	return map[string]string{"vaultId": first.VaultID, "clusterId": first.ClusterID, "resourceGroupName": "keyvault-demo"}
}

// wantApp brings an application up, checks that its pod reads the secret, and destroys it. Its namespace has the name
// of its folder.
func (c *cloud) wantApp(t *testing.T, p *program, in stackOutputs) {
	t.Helper()
	p.upTwice(t)
	secrets, _ := vaultClients(t, c, in.VaultURI)
	namespace := filepath.Base(p.dir)
	c.wantAppReads(t, namespace, getSecret(t, secrets, "my-secret"))
	p.destroy(t)
	if left, err := c.run(t, "", "kubectl", "get", "namespace", namespace); err == nil {
		t.Errorf("destroy left the namespace: %s", left)
	}
}

// needsNPM skips a test where npm is not installed or cannot download packages.
func needsNPM(t *testing.T) {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed")
	}
	cmd := exec.CommandContext(t.Context(), npm, "view", "--prefer-offline", "@pulumi/pulumi@3.259.0", "version")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("npm cannot download packages: %v\n%s", err, out)
	}
}

// getPackages generates the Pulumi package's SDK and installs all other packages with npm.
func (p *program) getPackages(t *testing.T) {
	t.Helper()
	generateSDK(t, "nodejs", filepath.Join(p.dir, "sdks", "keyvaultaks"))
	cmd := exec.CommandContext(untilEnding(t), "npm", "install", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
}

// sharePackages makes a program use another program's packages.
func (p *program) sharePackages(t *testing.T, of *program) {
	t.Helper()
	for _, name := range []string{"node_modules", "sdks"} {
		err := errors.Join(os.RemoveAll(filepath.Join(p.dir, name)),
			os.Symlink(filepath.Join(of.dir, name), filepath.Join(p.dir, name)))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wantTypeChecks checks the program's types strictly with the TypeScript compiler.
func (p *program) wantTypeChecks(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(untilEnding(t), filepath.Join(p.dir, "node_modules", ".bin", "tsc"), "--strict", "--noEmit",
		"--project", p.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tsc: %v\n%s", err, out)
	}
}

// generateSDK writes the package's SDK for a language.
func generateSDK(t *testing.T, language, dir string) {
	t.Helper()
	cmd := exec.CommandContext(untilEnding(t), "go", "run", ".", "-language", language, "-out", dir)
	cmd.Dir = filepath.Join(checkout, "tests", "sdks")
	cmd.Env = append(os.Environ(), "GOFLAGS="+programFlags, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("generating the SDK for %s: %v\n%s", language, err, out)
	}
}

// wantMistakes brings the program up with each mistake, which its configuration names, and checks the error.
func (p *program) wantMistakes(t *testing.T, mistakes map[string][]string) {
	t.Helper()
	for name, want := range mistakes {
		t.Run(name, func(t *testing.T) {
			p.configure(t, map[string]string{"mistake": name})
			p.wantRefused(t, want)
		})
	}
}

// wantRefused checks that up fails with one error that names every mistake, and registers nothing but the program's own
// resources.
func (p *program) wantRefused(t *testing.T, want []string) {
	t.Helper()
	out, err := p.tryPulumi(t, "up", "--yes", "--skip-preview")
	if err == nil {
		t.Fatal("up succeeds with a mistake in the program")
	}
	_, diagnostics, _ := strings.Cut(out, "\nDiagnostics:\n")
	for _, one := range want {
		if !strings.Contains(diagnostics, one) {
			t.Errorf("the error lacks %q:\n%s", one, diagnostics)
		}
	}
	if strings.Count(diagnostics, "invalid value(s)") > 1 || strings.Contains(diagnostics, "components.") {
		t.Errorf("the error appears twice, or has names of Go:\n%s", diagnostics)
	}
	for urn, r := range p.resources(t) {
		if !slices.Contains([]string{"pulumi:pulumi:Stack", "random:index/randomString:RandomString"}, r.Type) &&
			!strings.HasPrefix(r.Type, "pulumi:providers:") {
			t.Errorf("%s is registered in spite of the mistake", urn)
		}
	}
}
