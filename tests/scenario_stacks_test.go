package tests

import (
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestScenario_DevToProdAndBack brings one stack up with dev's configuration, then with prod's, and then with dev's
// again. It checks which resources are replaced, and that protected ones are not.
func TestScenario_DevToProdAndBack(t *testing.T) {
	scenario(t, once, func(t *testing.T, _ uint64, _ *rand.Rand) {
		c := newCloud(t)
		c.up(t, "--node=stand-in")
		dev := c.holdings(t)

		t.Run("prod replaces stateful resources", func(t *testing.T) {
			c.useConfiguration(t, "prod", nil)
			c.wantReplaced(t, statefulResources...)
			c.pulumi(t, "up", "--yes", "--skip-preview")
		})
		prod := c.holdings(t)
		dev.wantOther(t, prod)
		for _, refused := range [][]string{{"preview"}, {"up", "--yes", "--skip-preview"}} {
			t.Run(refused[0]+" rejects replacing protected resources", func(t *testing.T) {
				c.useConfiguration(t, "dev", nil)
				printed, err := c.run(t, "", "pulumi", append(refused, "--non-interactive")...)
				if err == nil {
					t.Fatalf("%s with dev's configuration succeeds", refused[0])
				}
				printed += err.Error()
				if !strings.Contains(printed, "protect") ||
					!strings.Contains(printed, "::vault-") && !strings.Contains(printed, "::cluster-cluster") {
					t.Errorf("the error does not name a protected resource: %s", printed)
				}
				c.useConfiguration(t, "prod", nil)
				prod.wantSame(t, c.holdings(t))
				c.pulumi(t, "preview", "--expect-no-changes")
			})
		}
		t.Run("removing the protection replaces nothing", func(t *testing.T) {
			c.useConfiguration(t, "prod", map[string]any{"lock": false, "protect": false})
			c.wantReplaced(t)
			c.pulumi(t, "up", "--yes", "--skip-preview")
			prod.wantSame(t, c.holdings(t))
		})
		t.Run("dev replaces everything and keeps deleted vaults", func(t *testing.T) {
			// The deleted vault keeps its name.
			printed, _, err := c.tryUp(t)
			if err == nil || !strings.Contains(printed, "vault-vault") || !strings.Contains(printed, "recover") {
				t.Errorf("up with a deleted vault's name: got %v, want an error that says how to recover it\n%s", err, printed)
			}
			_, lastLine := c.up(t, "--config", "vaultNamePrefix=kv-back")
			if !strings.Contains(lastLine, "my-secret = ") {
				t.Error("the pod does not read the secret")
			}
			c.pulumi(t, "preview", "--expect-no-changes")
			again := c.holdings(t)
			prod.wantOther(t, again)
			dev.wantOther(t, again)
			for _, of := range []holdings{dev, prod} {
				vault := of["vault-vault"].id
				deleted := "/deletedvaults/" + strings.ToLower(filepath.Base(vault))
				if !slices.ContainsFunc(c.resources(t), func(id string) bool { return strings.HasSuffix(id, deleted) }) {
					t.Errorf("the deleted vault %s cannot be recovered", vault)
				}
			}
		})
	})
}

// useConfiguration gives the dev stack another stack's configuration, with some values changed.
func (c *cloud) useConfiguration(t *testing.T, stack string, over map[string]any) {
	t.Helper()
	config := configured(t, stack)
	for key, value := range over {
		config["keyvault-aks:"+key] = value
	}
	c.changeConfiguration(t, "dev", func(file map[string]any) { file["config"] = config })
}

// replacedOrDeleted matches the resources that a preview replaces or deletes. The preview's JSON would leave out
// resources that are deleted with their parent.
var replacedOrDeleted = regexp.MustCompile(`(?m)^ (?:\+-|--?) +\S+ (\S+) (?:replace|delete)`)

// wantReplaced checks that a preview replaces or deletes exactly these of the stateful resources.
func (c *cloud) wantReplaced(t *testing.T, want ...string) {
	t.Helper()
	gone := map[string]bool{}
	for _, match := range replacedOrDeleted.FindAllStringSubmatch(c.pulumi(t, "preview", "--color=never"), -1) {
		gone[held(match[1])] = true
	}
	for _, name := range statefulResources {
		if replaced := gone[name]; replaced != slices.Contains(want, name) {
			t.Errorf("the preview replaces %s: %t, want %t", name, replaced, !replaced)
		}
	}
}

// statefulResources are the resources whose replacement would lose data.
var statefulResources = []string{
	"resource-group",
	"vault-vault",
	"vault-secret-my-secret",
	"vault-key-my-key",
	"cluster-cluster",
	"identity",
}

// held returns the name of a resource in statefulResources: dev and prod name the identity of the workload in
// keyvault-ns differently.
func held(name string) string {
	if name == "keyvault-demo-identity" || name == "api-identity" {
		return "identity"
	}
	return name
}

// holdings are the stateful resources by name, each with its id in Azure and what distinguishes it from another
// resource with this id.
type holdings map[string]struct{ id, is string }

func (c *cloud) holdings(t *testing.T) holdings {
	t.Helper()
	h := holdings{}
	for _, r := range c.state(t) {
		name := held(r.URN[strings.LastIndex(r.URN, ":")+1:])
		if !slices.Contains(statefulResources, name) {
			continue
		}
		version := map[string]string{
			"vault-vault": "2023-02-01", "vault-secret-my-secret": "2023-02-01", "vault-key-my-key": "2023-02-01",
			"cluster-cluster": "2024-09-01", "identity": "2023-01-31", "resource-group": "2022-09-01",
		}[name]
		properties, _ := c.arm(t, http.MethodGet, r.ID, version, "")["properties"].(map[string]any)
		is := ""
		for _, property := range []string{"secretUriWithVersion", "keyUriWithVersion", "fqdn", "clientId"} {
			if value, ok := properties[property].(string); ok {
				is += value
			}
		}
		h[name] = struct{ id, is string }{strings.ToLower(r.ID), is}
	}
	if len(h) != len(statefulResources) {
		t.Fatalf("the stack has %v, want %v", h, statefulResources)
	}
	return h
}

func (h holdings) wantSame(t *testing.T, now holdings) {
	t.Helper()
	for name, before := range h {
		if now[name] != before {
			t.Errorf("%s is %v, want %v as before", name, now[name], before)
		}
	}
}

func (h holdings) wantOther(t *testing.T, now holdings) {
	t.Helper()
	for name, before := range h {
		if name != "resource-group" && now[name] == before {
			t.Errorf("%s is still %v, want a new one", name, before)
		}
	}
}
