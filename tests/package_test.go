package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// packagePlugin builds the Pulumi package's plugin and returns its folder, or what Go printed.
var packagePlugin = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(checkout, "bin", "package")
	cmd := exec.CommandContext(ending, "go", "build", "-o", filepath.Join(dir, "pulumi-resource-keyvaultaks"),
		"./provider")
	cmd.Dir, cmd.Env = checkout, append(os.Environ(), "GOFLAGS="+programFlags, "GOWORK=off", "GOMAXPROCS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), err
	}
	return dir, nil
})

// yamlHost builds the YAML language host and returns its folder.
var yamlHost = sync.OnceValues(func() (string, error) {
	localcloud := filepath.Join(checkout, "bin", "localcloud")
	out, err := exec.CommandContext(ending, localcloud, "programs", "build", "--path", "pulumi-language-yaml").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
})

// newYAML creates a stack of a YAML program that can use the package.
func newYAML(t *testing.T, c *cloud, source string, configuration map[string]string) *program {
	t.Helper()
	p := &program{cloud: c, dir: filepath.Join(c.home, "programs", "yaml")}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p.write(t, source)
	p.pulumi(t, "stack", "init", "test")
	p.configure(t, configuration)
	return p
}

// write replaces the program.
func (p *program) write(t *testing.T, source string) {
	t.Helper()
	plugin, err := packagePlugin()
	if err != nil {
		t.Fatalf("building the package's plugin: %v\n%s", err, plugin)
	}
	host, err := yamlHost()
	if err != nil {
		t.Fatalf("building the language host: %v\n%s", err, host)
	}
	source += fmt.Sprintf(
		"plugins:\n  providers: [{name: keyvaultaks, path: %q}]\n  languages: [{name: yaml, path: %q}]\n", plugin, host)
	if err := os.WriteFile(filepath.Join(p.dir, "Pulumi.yaml"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
}

func yamlProgram(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(checkout, "tests", "programs", "yaml", "Pulumi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// resources returns the resources in the stack's state by URN.
func (p *program) resources(t *testing.T) map[string]stateResource {
	t.Helper()
	var stack struct {
		Deployment struct{ Resources []stateResource }
	}
	exported := p.pulumi(t, "stack", "export")
	if err := json.Unmarshal([]byte(exported), &stack); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(exported, "given-by-yaml") {
		t.Error("the state has a secret's value in plain text")
	}
	found := map[string]stateResource{}
	for _, r := range stack.Deployment.Resources {
		found[r.URN] = r
	}
	return found
}

type stateResource struct {
	URN, Type, Parent, DeletedWith string
	ResourceHooks                  map[string][]string
}

// wantMistakesRefused checks the errors of previews of YAML programs with mistakes.
func (p *program) wantMistakesRefused(t *testing.T) {
	t.Helper()
	for name, one := range map[string]struct {
		resources string
		want      []string
	}{
		"output instead of a plain value": {`
  other:
    type: keyvaultaks:AksWithCsi
    properties: {existingCluster: {issuerUrl: "https://issuer.example/", kubeconfig: none}}
  it:
    type: keyvaultaks:KeyVaultStack
    properties:
      resourceGroupName: keyvault-demo
      tenantId: ${tenantId}
      namePrefix: ${other.clusterName}
      secrets: [{name: a_b, value: "${other.clusterName}", rotate: "${other.clusterName}"}, {name: c}]
`, []string{
			"KeyVaultStack resource 'it' has a problem", "namePrefix: given an output, allowed: a plain value",
			"secrets[0].rotate: given an output", `secrets[0].name: given "a_b"`, "secrets[1]",
		}},
		"no provider": {`
  it:
    type: keyvaultaks:SecretMount
    properties:
      {vaultName: kv, tenantId: "${tenantId}", clientId: c, access: none, namespace: a_b,
       objects: [{type: secret, name: a}]}
`, []string{"SecretMount resource 'it' has a problem", "providers: given no provider", `namespace: given "a_b"`}},
		"unknown property": {`
  it:
    type: keyvaultaks:SecretMount
    properties:
      {vaultName: kv, tenantId: "${tenantId}", clientId: c, acess: none, namespace: apps,
       objects: [{type: secret, name: a}]}
`, []string{"acess"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.write(t, "name: yaml\nruntime: yaml\nconfig:\n  tenantId: {type: string}\nresources:"+one.resources)
			_, err := p.tryPulumi(t, "preview")
			if err == nil {
				t.Fatal("the preview succeeds with a mistake in the program")
			}
			for _, want := range one.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), " it create") || strings.Contains(err.Error(), "components.") {
				t.Errorf("the component is registered, or the error has names of Go: %v", err)
			}
		})
	}
}

// TestPackage_DeploysComponentsFromYAML brings the components up from a YAML program, and checks their mistakes, hooks
// and what a new name changes.
func TestPackage_DeploysComponentsFromYAML(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--node=stand-in")
	first := c.outputs(t)
	source := yamlProgram(t)
	p := newYAML(t, c, source, map[string]string{
		"tenantId": c.running(t).Credentials.TenantID, "issuerUrl": first.IssuerURL, "kubeconfig!": c.kubeconfig(t),
	})
	p.wantMistakesRefused(t)
	p.write(t, source)
	p.pulumi(t, "preview")
	p.pulumi(t, "up", "--yes", "--skip-preview")
	made := p.resources(t)
	const provider = "urn:pulumi:test::yaml::pulumi:providers:kubernetes::kubernetes"
	objects, hooks := 0, map[string]string{}
	for urn, r := range made {
		switch {
		case strings.HasPrefix(r.Type, "kubernetes:") && r.Parent != "" && !strings.HasSuffix(r.Parent, "::yaml-test"):
			objects++
			if r.DeletedWith != provider {
				t.Errorf("%s is deleted with %q, want %q", urn, r.DeletedWith, provider)
			}
			for _, hook := range slices.Concat(r.ResourceHooks["OnError"], r.ResourceHooks["AfterCreate"]) {
				if by, taken := hooks[hook]; taken && by != r.Parent {
					t.Errorf("the hook %s belongs to both %s and %s", hook, by, r.Parent)
				}
				hooks[hook] = r.Parent
			}
			if len(r.ResourceHooks) != 2 {
				t.Errorf("%s has the hooks %v, want two kinds", urn, r.ResourceHooks)
			}
		case strings.HasPrefix(r.Type, "azure-native:") && r.DeletedWith == provider:
			t.Errorf("%s is deleted with the cluster", urn)
		}
	}
	if objects != 3 {
		t.Errorf("the components have %d objects, want 3", objects)
	}
	mounted := filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", "from-yaml", "app", "*", "password")
	if files, err := filepath.Glob(mounted); err != nil || len(files) != 1 {
		t.Errorf("the pod has the files %q, want one: %v", files, err)
	} else if content, err := os.ReadFile(files[0]); err != nil || string(content) != "given-by-yaml" {
		t.Errorf("the pod reads %q, want given-by-yaml: %v", content, err)
	}

	// Rename the mount in Pulumi.
	renamed := strings.ReplaceAll(strings.Replace(source, "  mount:\n", "  mounted:\n", 1), "${mount.", "${mounted.")
	renamed = strings.Replace(renamed, `      dependsOn: ["${identity}"]`, `      dependsOn: ["${identity}"]
      aliases: [{name: mount}]`, 1)
	p.write(t, renamed)
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
	for urn, r := range p.resources(t) {
		if before, ok := made[urn]; ok && !reflect.DeepEqual(before.ResourceHooks, r.ResourceHooks) {
			t.Errorf("an update without changes renamed the hooks of %s to %v, want %v", urn, r.ResourceHooks,
				before.ResourceHooks)
		}
	}
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
}

// TestPackage_RecoversFromKilledPlugin kills the plugin while components come up whose outputs are inputs of others,
// and checks that the next update completes them. A second component with the same name is the engine's own error.
func TestPackage_RecoversFromKilledPlugin(t *testing.T) {
	t.Parallel()
	project := t.TempDir() // before newCloud, whose clean-up needs it
	c := newCloud(t)
	c.project = project
	if out, err := c.command(t, "start", "--node=stand-in").CombinedOutput(); err != nil {
		t.Fatalf("start: %v\n%s", err, out)
	}
	var secrets strings.Builder
	for i := range 60 {
		fmt.Fprintf(&secrets, "        - {name: s%d, value: \"${suffix.hex}\"}\n", i)
	}
	source := `name: killed
runtime: yaml
config:
  tenantId: {type: string}
resources:
  group:
    type: azure-native:resources/v20220901:ResourceGroup
    properties: {location: eastus}
    options: {version: 2.92.0}
  suffix:
    type: random:RandomId
    properties: {byteLength: 4}
  vault:
    type: keyvaultaks:KeyVaultStack
    properties:
      resourceGroupName: ${group.name}
      tenantId: ${tenantId}
      namePrefix: first
      tags: {made: "${suffix.hex}"}
      secrets:
` + secrets.String() + `  after:
    type: keyvaultaks:KeyVaultStack
    properties:
      resourceGroupName: ${group.name}
      tenantId: ${tenantId}
      namePrefix: second
      tags: {first: "${vault.vaultName}"}
`
	p := newYAML(t, c, source, map[string]string{"tenantId": c.running(t).Credentials.TenantID})
	p.pulumi(t, "preview")

	plugin, err := packagePlugin()
	if err != nil {
		t.Fatal(err)
	}
	ended, killed := make(chan struct{}), make(chan int)
	go func() {
		count := 0
		defer func() { killed <- count }()
		state := filepath.Join(c.home, localcloudtest.StacksDir, ".pulumi", "stacks", "killed", "test.json")
		for content := []byte(nil); bytes.Count(content, []byte("::vault-secret-s")) < 3; content, _ = os.ReadFile(state) {
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		programs, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, of := range programs {
			file, _ := os.Readlink(of)
			environment, _ := os.ReadFile(filepath.Join(filepath.Dir(of), "environ"))
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(of)))
			if err == nil && strings.HasPrefix(file, plugin) && bytes.Contains(environment, []byte(c.home)) &&
				syscall.Kill(pid, syscall.SIGKILL) == nil {
				count++
			}
		}
	}()
	_, err = p.tryPulumi(t, "up", "--yes", "--skip-preview")
	close(ended)
	if count := <-killed; err == nil || count == 0 {
		t.Fatalf("killed %d processes of the plugin, up: %v; want an error after at least one", count, err)
	}
	p.pulumi(t, "up", "--yes", "--skip-preview")
	p.pulumi(t, "up", "--yes", "--skip-preview", "--expect-no-changes")
	made := 0
	for _, r := range p.resources(t) {
		if strings.HasSuffix(r.Type, ":Secret") {
			made++
		}
	}
	if made != 60 {
		t.Errorf("the vault has %d secrets, want 60", made)
	}

	p.write(t, strings.Replace(source, "  after:\n", "  after:\n    name: vault\n", 1))
	_, err = p.tryPulumi(t, "preview")
	if err == nil || !strings.Contains(err.Error(), "Duplicate resource URN") ||
		!strings.Contains(err.Error(), "KeyVaultStack::vault") {
		t.Errorf("preview with two components of a name: got %v, want Duplicate resource URN", err)
	}
	p.write(t, source)
	p.destroy(t)
}
