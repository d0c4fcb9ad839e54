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

// TestScenario_DevToProdAndBack brings one stack up with the configuration of dev, then with that of prod, and then with
// dev's again.
func TestScenario_DevToProdAndBack(t *testing.T) {
	scenario(t, once, func(t *testing.T, _ uint64, _ *rand.Rand) {
		c := newCloud(t)
		c.up(t, "--node=stand-in")
		dev := c.holdings(t)

		t.Run("prod replaces what holds data, and the plan says so", func(t *testing.T) {
			c.useConfiguration(t, "prod", nil)
			c.wantReplaced(t, "resource-group", "vault-vault", "vault-secret-my-secret", "vault-key-my-key", "cluster-cluster",
				"identity")
			c.pulumi(t, "up", "--yes", "--skip-preview")
		})
		prod := c.holdings(t)
		dev.wantOther(t, prod)
		for _, refused := range [][]string{{"preview"}, {"up", "--yes", "--skip-preview"}} {
			t.Run(
				refused[0]+" with dev's configuration is refused for what is protected, and nothing is lost",
				func(t *testing.T) {
					c.useConfiguration(t, "dev", nil)
					printed, err := c.run(t, "", "pulumi", append(refused, "--non-interactive")...)
					if err == nil {
						t.Fatal("it succeeds")
					}
					printed += err.Error()
					if !strings.Contains(printed, "protect") ||
						!strings.Contains(printed, "::vault-") && !strings.Contains(printed, "::cluster-cluster") {
						t.Errorf("it does not name what is protected: %s", printed)
					}
					c.useConfiguration(t, "prod", nil)
					prod.wantSame(t, c.holdings(t))
					c.pulumi(t, "preview", "--expect-no-changes")
				},
			)
		}
		t.Run("the protection is taken off in an update of its own, which replaces nothing", func(t *testing.T) {
			c.useConfiguration(t, "prod", map[string]any{"lock": false, "protect": false})
			c.wantReplaced(t)
			c.pulumi(t, "up", "--yes", "--skip-preview")
			prod.wantSame(t, c.holdings(t))
		})
		t.Run(
			"then dev's configuration replaces it all, with another name for the vault, and leaves the deleted vaults alone",
			func(t *testing.T) {
				// Azure keeps the first vault's name with the deleted vault.
				printed, _, err := c.tryUp(t)
				if err == nil || !strings.Contains(printed, "vault-vault") || !strings.Contains(printed, "recover") {
					t.Errorf("up with the name of the deleted vault: %v\n%s", err, printed)
				}
				_, lastLine := c.up(t, "--config", "vaultNamePrefix=kv-back")
				if !strings.Contains(lastLine, "my-secret = ") {
					t.Error("the pod reads no secret")
				}
				c.pulumi(t, "preview", "--expect-no-changes")
				again := c.holdings(t)
				prod.wantOther(t, again)
				dev.wantOther(t, again)
				for _, of := range []holdings{dev, prod} {
					vault := of["vault-vault"].id
					if !slices.ContainsFunc(c.resources(t), func(id string) bool {
						return strings.HasSuffix(id, "/deletedvaults/"+strings.ToLower(filepath.Base(vault)))
					}) {
						t.Errorf("%s cannot be recovered", vault)
					}
				}
			},
		)
	})
}

// useConfiguration gives the dev stack the configuration of a stack, with some values changed.
func (c *cloud) useConfiguration(t *testing.T, stack string, over map[string]any) {
	t.Helper()
	config := configured(t, stack)
	for key, value := range over {
		config["keyvault-aks:"+key] = value
	}
	c.changeConfiguration(t, "dev", func(file map[string]any) { file["config"] = config })
}

// goes finds the resources that a preview replaces or deletes. As JSON it leaves out those that go since what they are
// in does.
var goes = regexp.MustCompile(`(?m)^ (?:\+-|--?) +\S+ (\S+) (?:replace|delete)`)

// wantReplaced looks which of the resources that hold something are planned to be replaced, or deleted, and that no
// other is.
func (c *cloud) wantReplaced(t *testing.T, want ...string) {
	t.Helper()
	gone := map[string]bool{}
	for _, match := range goes.FindAllStringSubmatch(c.pulumi(t, "preview", "--color=never"), -1) {
		gone[held(match[1])] = true
	}
	for _, name := range statefulResources {
		if replaced := gone[name]; replaced != slices.Contains(want, name) {
			t.Errorf("%s is planned to be replaced: %t", name, replaced)
		}
	}
}

// statefulResources are the resources with which something would be lost.
var statefulResources = []string{
	"resource-group",
	"vault-vault",
	"vault-secret-my-secret",
	"vault-key-my-key",
	"cluster-cluster",
	"identity",
}

// held is what statefulResources calls a resource. The identity is that of the workload in keyvault-ns, which dev and prod call
// differently.
func held(name string) string {
	if name == "keyvault-demo-identity" || name == "api-identity" {
		return "identity"
	}
	return name
}

// holdings are they, by name: where each is in Azure, and what tells it from another one at the same place.
type holdings map[string]struct{ id, is string }

func (c *cloud) holdings(t *testing.T) holdings {
	t.Helper()
	h := holdings{}
	for _, r := range c.state(t) {
		name := held(r.URN[strings.LastIndex(r.URN, ":")+1:])
		if !slices.Contains(statefulResources, name) {
			continue
		}
		version := map[string]string{"vault-vault": "2023-02-01", "vault-secret-my-secret": "2023-02-01", "vault-key-my-key": "2023-02-01",
			"cluster-cluster": "2024-09-01", "identity": "2023-01-31", "resource-group": "2022-09-01"}[name]
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
		t.Fatalf("the stack has %v, want all of %v", h, statefulResources)
	}
	return h
}

func (h holdings) wantSame(t *testing.T, now holdings) {
	t.Helper()
	for name, before := range h {
		if now[name] != before {
			t.Errorf("%s is %v, before %v", name, now[name], before)
		}
	}
}

func (h holdings) wantOther(t *testing.T, now holdings) {
	t.Helper()
	for name, before := range h {
		if name != "resource-group" && now[name] == before {
			t.Errorf("%s is still %v", name, before)
		}
	}
}
