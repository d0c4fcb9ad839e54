package tests

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
)

// TestScenarioRolesAreHonouredLate has Key Vault refuse the pod's reads for a minute, as Azure does after an assignment. Azure is sent then
// what the golden file says and nothing else. That a cluster is refused for want of its own identity's role is tried where prod is brought
// up, objects in one in the scenario of the neighbours, and a credential that is late in that of drift.
func TestScenarioRolesAreHonouredLate(t *testing.T) {
	scenario(t, once, func(t *testing.T, _ uint64, _ *rand.Rand) {
		c := newCloud(t)
		record := t.TempDir()
		lastLine := c.upLate(t, lateRoleOfTheMount, "--node=stand-in", "--record", record)
		wantSent(t, record, "arm-dev.json")
		c.isWhole(t)
		wantStandIn(t, c, lastLine)
	})
}

// anywhere are faults that any request may meet, one in five; as many are late, and some paths throttle whoever comes first.
func anywhere(seed uint64) string {
	return fmt.Sprintf(`
seed: %d
rules:
  - {first: 1, path: '/(vaults|userAssignedIdentities)/[^/]+$', method: PUT, status: 429, retryAfter: 300ms}
  - {rate: 0.05, status: 429, retryAfter: 200ms}
  - {rate: 0.05, status: 503}
  - {rate: 0.03, status: 500}
  - {rate: 0.03, reset: before}
  - {rate: 0.03, reset: after}
  - {rate: 0.05, method: PUT|DELETE, host: management\.azure\.com, status: 409}
  - {rate: 0.2, delay: 200ms}
`, seed)
}

// failing are the resources that up can fail at: a fault for each that is not tried again, and the resource's name.
var failing = []struct{ rule, name string }{
	{`{rate: 1, method: PUT, path: '/userAssignedIdentities/[^/]+$', status: 409, code: Conflict}`, "workload-identity"},
	{`{rate: 1, method: PUT, path: '/federatedIdentityCredentials/', status: 400}`, "workload-credential-keyvault-sa"},
	{`{rate: 1, method: PUT, path: '/vaults/[^/]+$', status: 403, code: AuthorizationFailed}`, "vault-vault"},
	{`{rate: 1, method: PUT, path: '/vaults/[^/]+/secrets/[^/]+$', status: 400}`, "vault-secret-my-secret"},
	{`{rate: 1, method: PUT, path: '/vaults/[^/]+/keys/[^/]+$', status: 403}`, "vault-key-my-key"},
	{`{rate: 1, method: PUT, path: '/roleAssignments/', status: 403}`, "mount-role-secret-my-secret"},
	{`{rate: 1, method: PUT, path: '/managedClusters/[^/]+$', status: 409, code: OperationNotAllowed}`, "cluster-cluster"},
	{`{rate: 1, method: POST, path: '/managedClusters/', status: 403}`, "cluster"},
	{`{rate: 1, path: '/operations/', status: 400}`, "cluster-cluster"}, // it is being made, and nobody can see it
}

var diagnosed = regexp.MustCompile(`(?m)^ {2}(\S+) \((\S+)\):\n(?: {4}.*\n)*? {4}error: `)

// failedResources are the names of the resources that the engine says an error of. The stack's own says that something has failed.
func failedResources(printed string) (names []string) {
	for _, match := range diagnosed.FindAllStringSubmatch(printed, -1) {
		if match[1] != "pulumi:pulumi:Stack" {
			names = append(names, match[2])
		}
	}
	return names
}

// TestScenarioUpAmongFailingRequests has a fifth of all requests fail, with odd seeds after an up that one resource made fail, and with even
// ones from the beginning.
func TestScenarioUpAmongFailingRequests(t *testing.T) {
	scenario(t, every, func(t *testing.T, seed uint64, random *rand.Rand) {
		c := newCloud(t)
		first := []string{"--node=stand-in", "--faults", anywhere(seed)}
		if seed%2 == 1 {
			one := failing[random.IntN(len(failing))]
			printed, _, err := c.tryUp(t, "--node=stand-in", "--faults", "rules: ["+one.rule+"]")
			if err == nil {
				t.Errorf("up succeeds although %s", one.rule)
			}
			if !slices.Contains(failedResources(printed), one.name) {
				t.Errorf("with %s up does not name %s", one.rule, one.name)
			}
			c.fail(t, anywhere(seed))
			first = nil
		}
		printed, _, err := c.tryUp(t, first...)
		if err != nil && len(failedResources(printed)) == 0 {
			t.Errorf("up fails and names no resource: %v", err)
		}
		if met := c.faults(t); met < 2 {
			t.Errorf("%d requests met a fault", met)
		}
		c.fail(t, "{}")
		if err != nil {
			c.up(t)
		}
		c.isWhole(t)
	})
}
