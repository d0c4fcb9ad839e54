package tests

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTemplates_StandAlone checks that each template has what it needs on its own.
func TestTemplates_StandAlone(t *testing.T) { standAlone(t, "templates") }

// TestTemplates_ComeUp creates a project from the Go template with `pulumi new` and brings it up.
func TestTemplates_ComeUp(t *testing.T) {
	needsRealNode(t)
	t.Parallel()
	c := newCloud(t)
	c.up(t, "--config", "workloads=[]")
	t.Run("go", func(t *testing.T) {
		p := &program{cloud: c, dir: filepath.Join(c.home, "programs", "from-go")}
		p.fromTemplate(t, "go", c.asReleased(t, "templates/go"))
		p.wantTemplate(t)
	})
}

// fromTemplate creates a project from a template, with one given value and one default.
func (p *program) fromTemplate(t *testing.T, template string, besides ...string) {
	t.Helper()
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p.besides = besides
	p.pulumi(t, p.newOf(template)...)
}

// newOf returns the arguments of pulumi that create a project from a template.
func (p *program) newOf(template string) []string {
	return []string{
		"new", filepath.Join(checkout, "templates", template), "--yes", "--dir", p.dir, "--stack", "test",
		"--name", filepath.Base(p.dir), "--description", "made of a template", "--config", "namespace=made",
	}
}

// wantTemplate checks the configuration of a project from a template, brings it up and destroys it.
func (p *program) wantTemplate(t *testing.T) {
	t.Helper()
	var configured map[string]struct{ Value string }
	if err := json.Unmarshal([]byte(p.pulumi(t, "config", "--json")), &configured); err != nil {
		t.Fatal(err)
	}
	project := filepath.Base(p.dir)
	if configured[project+":location"].Value != "eastus" || configured[project+":namespace"].Value != "made" {
		t.Errorf("the configuration is %v, want location eastus and namespace made", configured)
	}
	p.wantGuide(t, "password")
}

// wantGuide brings up a program with its own vault and cluster, checks that its pod reads a secret, and destroys it.
func (p *program) wantGuide(t *testing.T, secret string) {
	t.Helper()
	groups := resourceGroups(t, p.cloud)
	p.upTwice(t)
	var outputs struct{ VaultID, VaultURI, Kubeconfig, ReadSecretCommand string }
	if err := json.Unmarshal([]byte(p.pulumi(t, "stack", "output", "--json", "--show-secrets")), &outputs); err != nil {
		t.Fatal(err)
	}
	grant(t, p.cloud, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, p.cloud, outputs.VaultURI)
	in := p.inCluster(t, filepath.Join(p.dir, "kubeconfig"), outputs.Kubeconfig)
	read := strings.Fields(outputs.ReadSecretCommand)
	if in.mustRun(t, read[0], read[1:]...) != getSecret(t, secrets, secret) {
		t.Error("the pod does not read the vault's value")
	}
	p.destroyIn(t, groups)
}

// asReleased returns an environment variable that makes Go use this checkout for the components that a template
// requires, whether or not they are released. It gets all other modules first, because the local cloud has no network.
func (c *cloud) asReleased(t *testing.T, template string) string {
	t.Helper()
	file := filepath.Join(c.home, "programs", "released.mod")
	source := filepath.Join(checkout, template)
	content := goMod(t, source)
	content = append(content, "\nreplace github.com/keyvault-aks/keyvault-aks => "+checkout+"\n"...)
	sums, err := os.ReadFile(filepath.Join(checkout, "examples", "go-platform", "go.sum")) // the same modules
	if err := errors.Join(
		err, os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, content, 0o600),
		os.WriteFile(strings.TrimSuffix(file, ".mod")+".sum", sums, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(untilEnding(t), "go", "mod", "tidy", "-modfile="+file)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go mod tidy: %v\n%s", err, out)
	}
	return "GOFLAGS=" + programFlags + " -modfile=" + file
}
