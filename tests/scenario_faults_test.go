package tests

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
)

// TestScenario_LateRoles has Key Vault refuse the pod's reads for a minute, as Azure does after an
// assignment. Azure is sent then what the golden file says and nothing else. That a cluster is refused for want of its
// own identity's role is tried where prod is brought up, objects in one in the scenario of the neighbours, and a
// credential that is late in that of drift.
func TestScenario_LateRoles(t *testing.T) {
	scenario(t, once, func(t *testing.T, _ uint64, _ *rand.Rand) {
		c := newCloud(t)
		record := t.TempDir()
		lastLine := c.upLate(t, lateMountRole, "--node=stand-in", "--record", record)
		wantSent(t, record, "arm-dev.json")
		c.wantComplete(t)
		wantStandIn(t, c, lastLine)
	})
}

// anywhere are faults that any request may meet, one in five; as many are late, and some paths throttle whoever comes
// first.
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

type failure struct{ rule, name string }

// failing are the resources that up can fail at: a fault for each that is not tried again, or lasts longer than
// azure-native tries, which is four times, and what up calls the resource.
var failing = []failure{
	{`{first: 4, method: PUT, path: '/userAssignedIdentities/[^/]+$', status: 503}`, "keyvault-demo-identity"},
	{
		`{first: 4, method: PUT, path: '/managedClusters/[^/]+$', status: 409}`,
		"cluster-cluster",
	}, // AnotherOperationInProgress
	{
		`{rate: 1, method: PUT, path: '/userAssignedIdentities/[^/]+$', status: 409, code: Conflict}`,
		"keyvault-demo-identity",
	},
	{
		`{rate: 1, method: PUT, path: '/federatedIdentityCredentials/', status: 400}`,
		"keyvault-demo-credential-keyvault-ns_keyvault-sa",
	},
	{`{rate: 1, method: PUT, path: '/vaults/[^/]+$', status: 403, code: AuthorizationFailed}`, "vault-vault"},
	{`{rate: 1, method: PUT, path: '/vaults/[^/]+/secrets/[^/]+$', status: 400}`, "vault-secret-my-secret"},
	{`{rate: 1, method: PUT, path: '/vaults/[^/]+/keys/[^/]+$', status: 403}`, "vault-key-my-key"},
	{
		`{rate: 1, method: PUT, path: '/secrets/.+/roleAssignments/', status: 403}`,
		"keyvault-demo-mount-role-secret-my-secret",
	},
	{`{rate: 1, method: PUT, path: '/managedClusters/[^/]+$', status: 409, code: OperationNotAllowed}`, "cluster-cluster"},
	{`{rate: 1, method: POST, path: '/managedClusters/', status: 403}`, "aks-keyvault-cluster"},
	{`{rate: 1, path: '/operations/', status: 400}`, "cluster-cluster"}, // it is being made, and nobody can see it
}

// diagnosed is what up says of an error of a resource: type, name and text.
var diagnosed = regexp.MustCompile(`(?m)^ {2}(\S+) \((\S+)\):\n((?: {4}.*\n)*? {4}error: .*\n(?: {4}.*\n)*)`)

// fault is how an error tells that it is one of the plan's: by the answer, or the connection that ended.
var fault = regexp.MustCompile(`A fault of the local cloud|reset by peer|EOF`)

var inAzure = regexp.MustCompile(`/providers/[^/\s]+/[^/\s]+/([^/\s]+)`)

// failedResources are the names of the resources that the engine says an error of which tells why. What the program
// asks Azure itself is an error of the stack, which has the resource's name in Azure.
func failedResources(printed string, why *regexp.Regexp) (names []string) {
	for _, match := range diagnosed.FindAllStringSubmatch(printed, -1) {
		if !why.MatchString(match[3]) {
			continue
		}
		if asked := inAzure.FindStringSubmatch(match[3]); match[1] != "pulumi:pulumi:Stack" {
			names = append(names, match[2])
		} else if asked != nil {
			names = append(names, asked[1])
		}
	}
	return names
}

// wantUpFails has up fail at a resource, which it has to name.
func (c *cloud) wantUpFails(t *testing.T, one failure) {
	t.Helper()
	printed, _, err := c.tryUp(t, "--node=stand-in", "--faults", "rules: ["+one.rule+"]")
	if err == nil {
		t.Errorf("up succeeds although %s", one.rule)
	}
	if !slices.Contains(failedResources(printed, fault), one.name) {
		t.Errorf("with %s up does not name %s", one.rule, one.name)
	}
}

// TestScenario_UpAmongFailingRequests has a fifth of all requests to Azure fail, with odd seeds after an up that one
// resource made fail, and with even ones from the beginning. With many seeds the first one also tries each other
// resource in a local cloud of its own.
func TestScenario_UpAmongFailingRequests(t *testing.T) {
	scenario(t, every, func(t *testing.T, seed uint64, _ *rand.Rand) {
		c := newCloud(t)
		first := []string{"--node=stand-in", "--faults", anywhere(seed)}
		if seed%2 == 1 {
			c.wantUpFails(t, failing[seed/2%uint64(len(failing))])
			c.setFaults(t, anywhere(seed))
			first = nil
		}
		printed, _, err := c.tryUp(t, first...)
		if err != nil && len(failedResources(printed, fault)) == 0 {
			t.Errorf("up fails and names no resource: %v", err)
		}
		least := 1
		if first != nil {
			least = 3 // more than the two that are throttled for being the first
		}
		if failed := c.failedRequests(t); failed < least {
			t.Errorf("%d requests failed, want %d", failed, least)
		}
		c.setFaults(t, "{}")
		if err != nil {
			c.up(t)
		}
		c.wantComplete(t)
		if long() && seed == 1 {
			for _, one := range failing[1:] {
				t.Run(one.rule, func(t *testing.T) { newCloud(t).wantUpFails(t, one) })
			}
		}
	})
}
