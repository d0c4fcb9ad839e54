package tests

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/esc"
	"github.com/pulumi/esc/eval"
	"github.com/pulumi/esc/schema"
)

// TestPipelines_KeepSecretInputsHidden passes secret values to a stack in each way that docs/pipelines.md describes,
// and checks that they are not printed, in files or in processes' arguments.
func TestPipelines_KeepSecretInputsHidden(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(19, 0))
	markers := map[string]string{"from-store": word(random), "from-esc": word(random), "by-others": word(random)}
	r := newCI(t)
	// The changes that docs/pipelines.md asks for.
	r.change(t, workflowsDir+"/pulumi.yml", "          ARM_TENANT_ID:",
		"          SHOP_FROM_STORE: ${{ secrets.SHOP_FROM_STORE }}\n          ARM_TENANT_ID:")
	r.change(t, "Pulumi.dev.yaml", "keyvault-aks:secrets:\n", `keyvault-aks:secrets:
    - name: from-store
      value: {env: SHOP_FROM_STORE}
    - name: from-esc
      value: {env: SHOP_FROM_ESC}
    - name: generated
      generate: {length: 40}
    - name: by-others
      generate: {length: 40}
      once: true
`)
	r.secrets = map[string]string{"SHOP_FROM_STORE": markers["from-store"]}
	r.besides = escVariables(t, markers["from-esc"])

	var printed strings.Builder
	seen := watchCommandLines(t, slices.Collect(maps.Values(markers)))
	run := func(e event, jobs ...string) {
		t.Helper()
		for _, one := range r.succeed(t, e, jobs...) {
			printed.WriteString(one.printed)
			fmt.Fprint(&printed, one.outputs)
		}
	}
	r.git(t, "branch", "change")
	run(event{name: "pull_request", ref: "refs/heads/change", pull: 5}, "preview/preview", "preview/comment")
	run(event{name: "push", ref: "refs/heads/main"}, "deploy/dev")
	vault := r.resource(t, "dev", "vault-vault")
	grant(t, r.cloud, vault.ID, secretsOfficer)
	secrets, _ := vaultClients(t, r.cloud, "https://"+filepath.Base(vault.ID)+".vault.azure.net")
	setSecret(t, secrets, "by-others", markers["by-others"])
	r.change(t, "Pulumi.dev.yaml", "mount:\n",
		"mount:\n        - {type: secret, name: from-store}\n        - {type: secret, name: by-others}\n")
	run(event{name: "push", ref: "refs/heads/main"}, "deploy/dev")
	run(event{name: "schedule", ref: "refs/heads/main", workflow: "drift"}, "drift/drift")
	run(event{name: "schedule", ref: "refs/heads/main", workflow: "rotate"}, "rotate/rotate dev dev")
	printed.WriteString(r.ghCalls(t))
	printed.WriteString(r.asOwner(t, "pulumi", "stack", "export", "--stack", "dev"))
	printed.WriteString(r.asOwner(t, "pulumi", "stack", "output", "--json", "--stack", "dev"))
	for marker, line := range seen() {
		t.Errorf("the value %s was among the arguments of a process: %s", marker, line)
	}
	for name, marker := range markers {
		if getSecret(t, secrets, name) != marker {
			t.Fatalf("the vault does not have the value of %s, so the test proves nothing", name)
		}
	}
	markers["generated"], markers["my-secret"] = getSecret(t, secrets, "generated"), getSecret(t, secrets, "my-secret")
	for name, marker := range markers {
		if containsSecret([]byte(printed.String()), marker) {
			t.Errorf("%s was printed", name)
		}
		inVault := false
		for _, file := range r.filesWith(t, marker) {
			switch {
			case strings.HasPrefix(file, "azure/"):
				inVault = true
			case !strings.Contains(file, "/pods/"):
				t.Errorf("%s is in %s", name, file)
			}
		}
		if !inVault {
			t.Errorf("the value of %s is not found in the vault's files, so the test proves nothing", name)
		}
	}
}

// watchCommandLines searches the arguments of all processes for texts until the returned function is called, which
// returns a command line for each text found.
func watchCommandLines(t *testing.T, texts []string) (seen func() map[string]string) {
	ctx, stop := context.WithCancel(t.Context())
	found := map[string]string{}
	var done sync.WaitGroup
	looks := 0
	done.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(40 * time.Millisecond) {
			looks++
			lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, file := range lines {
				line, _ := os.ReadFile(file)
				for _, text := range texts {
					if strings.Contains(string(line), text) {
						found[text] = strings.ReplaceAll(string(line), "\x00", " ")
					}
				}
			}
		}
	})
	return func() map[string]string {
		stop()
		done.Wait()
		if looks < 10 {
			t.Errorf("the processes were searched %d times, too rarely to prove anything", looks)
		}
		return found
	}
}

// vaultProvider stands in for Pulumi ESC's providers azure-secrets and azure-login.
type vaultProvider struct{ value string }

func (vaultProvider) Schema() (inputs, outputs *schema.Schema) {
	return schema.Always(), schema.Always()
}

func (p vaultProvider) Open(_ context.Context, inputs map[string]esc.Value, _ esc.EnvExecContext) (esc.Value, error) {
	if _, ok := inputs["get"]; !ok {
		return esc.NewValue(inputs), nil
	}
	return esc.NewValue(map[string]esc.Value{"password": esc.NewSecret(p.value)}), nil
}

func (p vaultProvider) LoadProvider(context.Context, string) (esc.Provider, error) { return p, nil }

func (vaultProvider) LoadRotator(context.Context, string) (esc.Rotator, error) {
	return nil, errors.New("no rotators")
}

func (vaultProvider) LoadEnvironment(context.Context, string) ([]byte, eval.Decrypter, error) {
	return nil, nil, errors.New("no other environments")
}

// escVariables returns the environment variables of a Pulumi ESC environment, one of them from a vault.
func escVariables(t *testing.T, value string) (variables []string) {
	t.Helper()
	const environment = `
values:
  azure:
    login:
      fn::open::azure-login: {clientId: a, tenantId: b, subscriptionId: c, oidc: true}
  shop:
    fn::open::azure-secrets:
      login: ${azure.login}
      vault: kv-platform
      get:
        password: {name: shop-db}
  environmentVariables:
    SHOP_FROM_ESC: ${shop.password}
`
	declared, diagnostics, err := eval.LoadYAMLBytes("shop", []byte(environment))
	if err != nil || len(diagnostics) > 0 {
		t.Fatalf("loading the environment: %v, %v", diagnostics, err)
	}
	in, err := esc.NewExecContext(map[string]esc.Value{})
	if err != nil {
		t.Fatal(err)
	}
	provider := vaultProvider{value}
	opened, diagnostics := eval.EvalEnvironment(t.Context(), "shop", declared, nil, provider, provider, in)
	if len(diagnostics) > 0 {
		t.Fatal(diagnostics)
	}
	for name, v := range opened.GetEnvironmentVariables() {
		if !v.Secret {
			t.Errorf("%s is not secret", name)
		}
		variables = append(variables, name+"="+v.Value.(string))
	}
	return variables
}
