package tests

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

const upRefreshed = "pulumi up --yes --skip-preview --refresh --non-interactive --color=never"

// TestScenario_Drift checks what refresh and up do about changes by hand to the stack's resources, and that destroy
// reports objects with a finalizer; with even seeds only the latter. The stack comes up although the credential takes
// effect late, and Azure receives the requests in the golden file.
func TestScenario_Drift(t *testing.T) {
	scenario(t, twice, func(t *testing.T, seed uint64, random *rand.Rand) {
		c := newCloud(t)
		record := t.TempDir()
		c.upLate(t, lateCredential, "--node=stand-in", "--record", record)
		wantSent(t, record, "arm-dev.json")
		outputs := c.outputs(t)
		if seed%2 == 1 {
			drift(t, c, outputs, random)
		}
		if t.Failed() { // the stack may not be in the state that the rest expects
			return
		}
		t.Run("destroy names finalizers", destroyHeld(c, outputs, seed))
	})
}

// drift changes roles, objects, values and the vault, and checks each time that the stack is complete in the end.
func drift(t *testing.T, c *cloud, outputs stackOutputs, random *rand.Rand) {
	grant(t, c, outputs.VaultID, secretsOfficer)
	secrets, _ := vaultClients(t, c, outputs.VaultURI)
	value := "rotated-" + word(random)

	t.Run("refresh restores only what the program declares", func(t *testing.T) {
		role := c.resourceNamed(t, "keyvault-demo-mount-role-secret-my-secret").ID
		c.arm(t, http.MethodDelete, role, "2022-04-01", "")
		c.kubectl(t, "patch", "secretproviderclass", "-n", outputs.Namespace, outputs.SecretProviderClass, "--type=merge",
			`--patch={"spec": {"parameters": {"keyvaultName": "kv-of-somebody-else"}}}`)
		count := c.scale(t, outputs, 2)
		setSecret(t, secrets, "my-secret", value)
		c.kubectl(t, "delete", "pod", "-n", outputs.Namespace, "keyvault-test-pod")
		c.kubectl(t, "annotate", "namespace", outputs.Namespace, "somebody=else")

		plan := c.plan(t, "--refresh")
		drifted := map[string]string{ // and nothing else
			"keyvault-demo-mount-role-secret-my-secret": "create",
			"keyvault-demo-mount-class":                 "update",
			"cluster-cluster":                           "update",
			"keyvault-demo-mount-test-pod":              "create",
		}
		for urn, op := range plan {
			name := urn[strings.LastIndexByte(urn, ':')+1:]
			switch want, ok := drifted[name]; {
			case ok && op != want, !ok && op != "refresh" && op != "same":
				t.Errorf("%s: the plan is to %s, want %s", name, op, cmp.Or(want, "same or refresh"))
			}
			delete(drifted, name)
		}
		if len(drifted) > 0 {
			t.Errorf("the plan lacks %v", drifted)
		}
		c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...)
		known := c.resourceNamed(t, "vault").Outputs["secretVersions"].(map[string]any)["my-secret"]
		newest, err := secrets.GetSecret(t.Context(), "my-secret", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if known != newest.ID.Version() {
			t.Errorf("the state has version %v of the secret, want the vault's %s", known, newest.ID.Version())
		}
		if now := c.pool(t, outputs)["count"]; now != count {
			t.Errorf("the pool has %v nodes, want %v", now, count)
		}
		annotation := c.kubectl(t, "get", "namespace", outputs.Namespace,
			"--output=jsonpath={.metadata.annotations.somebody}")
		if annotation != "else" {
			t.Error("up removed another user's annotation")
		}
		if getSecret(t, secrets, "my-secret") != value {
			t.Error("the vault no longer has the value that was rotated by hand")
		}
		if c.mounted(t, outputs, "my-secret") != value {
			t.Error("the new pod does not read the rotated value")
		}
		c.wantComplete(t)
	})
	t.Run("up recovers a deleted vault", func(t *testing.T) {
		before := c.state(t)
		c.arm(t, http.MethodDelete, outputs.VaultID, "2023-02-01", "")
		for _, command := range []string{"preview", "up --yes --skip-preview"} {
			printed, err := c.run(t, "", "pulumi", append(strings.Fields(command), "--non-interactive")...)
			if err == nil || !strings.Contains(printed+err.Error(), outputs.VaultName) ||
				!strings.Contains(printed+err.Error(), "createMode to recover") {
				t.Errorf("%s: got %v, want an error that names the vault and createMode", command, err)
			}
		}
		if now := c.state(t); len(now) != len(before) {
			t.Errorf("the state has %d resources, want %d as before", len(now), len(before))
		}
		c.up(t, "--config", "vaultCreateMode=recover")
		c.pulumi(t, "config", "set", "vaultCreateMode", "default")
		c.kubectl(t, "delete", "pod", "-n", outputs.Namespace, "keyvault-test-pod")
		c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...) // Azure deleted the vault's role assignments with it
		if c.mounted(t, outputs, "my-secret") != value {
			t.Error("a new pod does not read the value")
		}
		c.wantComplete(t)
	})
	t.Run("after a refresh, the earlier state recovers a deleted vault", func(t *testing.T) {
		history := filepath.Join(c.home, localcloudtest.StacksDir, ".pulumi", "history", "keyvault-aks", "dev",
			"*.checkpoint.json")
		checkpoints, err := filepath.Glob(history)
		if err != nil || len(checkpoints) == 0 {
			t.Fatalf("there is no history: %v", err)
		}
		c.arm(t, http.MethodDelete, outputs.VaultID, "2023-02-01", "")
		printed, err := c.run(t, "", "pulumi", strings.Fields(upRefreshed)[1:]...)
		if err == nil {
			t.Fatal("up succeeds")
		}
		printed += err.Error()
		if !strings.Contains(printed, "vault-vault") || !strings.Contains(printed, "recover") {
			t.Errorf("up fails with %s", printed)
		}
		// The vault comes back with its content, which is no longer in the state.
		if printed, _, err := c.tryUp(t, "--config", "vaultCreateMode=recover"); err == nil ||
			!strings.Contains(printed, "already existing") {
			t.Errorf("up with recover: %v", err)
		}
		var file struct {
			Checkpoint struct{ Latest json.RawMessage }
		}
		content, err := os.ReadFile(slices.Max(checkpoints)) // names begin with the time
		if err == nil {
			err = json.Unmarshal(content, &file)
		}
		if err != nil {
			t.Fatal(err)
		}
		earlier := fmt.Sprintf(`{"version": 3, "deployment": %s}`, file.Checkpoint.Latest)
		if _, err := c.run(t, earlier, "pulumi", "stack", "import"); err != nil {
			t.Fatal(err)
		}
		c.pulumi(t, "config", "set", "vaultCreateMode", "default")
		c.mustRun(t, "pulumi", strings.Fields(upRefreshed)[1:]...)
		c.wantComplete(t)
		grant(t, c, outputs.VaultID, secretsOfficer)
		if getSecret(t, secrets, "my-secret") != value {
			t.Error("the secret has a new value")
		}
	})
}

const heldBy = "example.com/held-by-somebody"

// destroyHeld checks that destroy names an object that a finalizer keeps: in a second stack on the cluster, with odd
// seeds its SecretProviderClass and with even seeds its account. In the stack that owns the cluster a finalizer does
// not matter, because the object goes with the cluster.
func destroyHeld(c *cloud, outputs stackOutputs, seed uint64) func(t *testing.T) {
	return func(t *testing.T) {
		p := newProgram(t, c, ".", map[string]string{
			"resourceGroupName": "second", "existingVaultId": outputs.VaultID, "existingClusterId": outputs.ClusterID,
			"secrets": "[]", "keys": "[]", "workloads": secondWorkload(`"mount":[{"type":"secret","name":"my-secret"}]`),
		})
		p.up(t)
		hold := func(namespace, kind, name, finalizers string) {
			c.kubectl(t, "patch", kind, name, "-n", namespace, "--type=merge",
				`--patch={"metadata": {"finalizers": `+finalizers+`}}`)
		}
		one := []struct{ kind, resource string }{
			{"ServiceAccount", "second-account-second_second"}, {"SecretProviderClass", "second-mount-class"},
		}[seed%2]
		hold("second", one.kind, "second", `["`+heldBy+`"]`)
		printed, err := p.tryPulumi(t, "destroy", "--yes", "--skip-preview")
		if err == nil {
			t.Fatal("destroy succeeds")
		}
		printed += err.Error()
		if !slices.Contains(failedResources(printed, regexp.MustCompile(regexp.QuoteMeta(heldBy))), one.resource) {
			t.Errorf("destroy does not name %s and its finalizer: %s", one.resource, printed)
		}
		hold("second", one.kind, "second", "null")
		p.pulumi(t, "destroy", "--yes", "--skip-preview")
		p.pulumi(t, "stack", "rm", "--yes")

		hold(outputs.Namespace, "ServiceAccount", outputs.ServiceAccounts[0], `["`+heldBy+`"]`)
		c.pulumi(t, "destroy", "--yes", "--skip-preview")
		if left := resourceGroups(t, c); left != 0 {
			t.Errorf("%d resource groups are left, want 0", left)
		}
	}
}

// scale adds nodes to the cluster's first pool, as by hand, and returns how many there were.
func (c *cloud) scale(t *testing.T, outputs stackOutputs, by float64) (before float64) {
	t.Helper()
	pool := outputs.ClusterID + "/agentPools/" + c.pool(t, outputs)["name"].(string)
	properties := c.arm(t, http.MethodGet, pool, "2024-09-01", "")["properties"].(map[string]any)
	before = properties["count"].(float64)
	properties["count"] = before + by
	body, err := json.Marshal(map[string]any{"properties": properties})
	if err != nil {
		t.Fatal(err)
	}
	c.arm(t, http.MethodPut, pool, "2024-09-01", string(body))
	return before
}

// pool returns the cluster's first node pool.
func (c *cloud) pool(t *testing.T, outputs stackOutputs) map[string]any {
	t.Helper()
	cluster := c.arm(t, http.MethodGet, outputs.ClusterID, "2024-09-01", "")
	return cluster["properties"].(map[string]any)["agentPoolProfiles"].([]any)[0].(map[string]any)
}

// word returns a random word, too long to occur anywhere by chance.
func word(random *rand.Rand) string {
	letters := make([]byte, 26)
	for i := range letters {
		letters[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[random.IntN(32)]
	}
	return string(letters)
}

// TestScenario_NoSecretLeaks checks that secret values, which cannot occur by chance, are neither printed nor in any
// file but those of the vault and the pods.
func TestScenario_NoSecretLeaks(t *testing.T) {
	scenario(t, once, func(t *testing.T, _ uint64, random *rand.Rand) {
		c := newCloud(t)
		c.up(t, "--node=stand-in")
		markers := map[string]string{
			"plain":  word(random),
			"quoted": word(random) + `"\<&> ` + word(random),
			"lines":  word(random) + "\n" + word(random),
		}
		var printed strings.Builder
		run := func(stdin string, words ...string) error {
			cmd, err := c.prepare(t, words[0], words[1:]...)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = strings.NewReader(stdin)
			out, err := cmd.CombinedOutput()
			printed.Write(out)
			return err
		}
		must := func(stdin string, words ...string) {
			t.Helper()
			if err := run(stdin, words...); err != nil {
				t.Fatalf("%s: %v", strings.Join(words[:min(3, len(words))], " "), err)
			}
		}
		names := slices.Sorted(maps.Keys(markers))
		set := []string{"pulumi", "config", "set-all", "--path"}
		for i, name := range names {
			set = append(set,
				"--plaintext", fmt.Sprintf("secrets[%d].name=marker-%s", i+1, name),
				"--secret", fmt.Sprintf("secrets[%d].value=%s", i+1, markers[name]),
				"--plaintext", fmt.Sprintf("workloads[0].mount[%d].type=secret", i+2),
				"--plaintext", fmt.Sprintf("workloads[0].mount[%d].name=marker-%s", i+2, name))
		}
		must("", set...)
		// From level 9 on, the engine logs all messages between it and its plugins, with secrets.
		const upVerbose = "pulumi up --yes --skip-preview --non-interactive --diff --logtostderr --logflow --verbose=8"
		for _, words := range []string{
			"pulumi preview --diff --non-interactive", upVerbose,
			"pulumi preview --json --non-interactive", "pulumi refresh --yes --skip-preview --json --non-interactive",
		} {
			must("", strings.Fields(words)...)
		}
		outputs := c.outputs(t)
		grant(t, c, outputs.VaultID, secretsOfficer)
		secrets, _ := vaultClients(t, c, outputs.VaultURI)
		for name, marker := range markers {
			if getSecret(t, secrets, "marker-"+name) != marker {
				t.Fatalf("the vault does not have the marker %s, so the test proves nothing", name)
			}
		}
		words := regexp.MustCompile(`[A-Z2-7]{26}`) // as word makes them; escaping does not change them
		ever := map[string]bool{}
		nowhere := func(after string) (inVault int) {
			t.Helper()
			for _, marker := range markers {
				for _, word := range words.FindAllString(marker, -1) {
					ever[word] = true
				}
			}
			for word := range ever {
				if containsSecret([]byte(printed.String()), word) {
					t.Errorf("after %s: a command printed a secret", after)
				}
				for _, file := range c.filesWith(t, word) {
					switch {
					case strings.HasPrefix(file, "azure/"):
						inVault++
					case !strings.Contains(file, "/pods/"): // the pod's own files
						t.Errorf("after %s: a secret is in %s", after, file)
					}
				}
			}
			return inVault
		}
		if nowhere("up") == 0 {
			t.Error("no secret is found in the vault's files, so the test proves nothing")
		}
		c.setFaults(t, `rules: [{rate: 1, method: PUT, path: '/secrets/', status: 400}]`)
		for i, name := range names {
			markers[name] += word(random)
			must(markers[name], "pulumi", "config", "set", "--secret", "--path", fmt.Sprintf("secrets[%d].value", i+1))
		}
		if run("", strings.Fields(upVerbose)...) == nil {
			t.Error("up succeeds although writing secrets fails")
		}
		nowhere("a failed up")
		c.setFaults(t, "{}")
		must("", "pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive", "--diff")
		nowhere("destroy")
	})
}
