package tests

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
)

// TestScenario_LateRoles checks that a stack comes up although Key Vault rejects the pod's reads for a minute, as Azure
// may after a role assignment, and that Azure receives the requests in the golden file and no others. Other tests cover
// a late role of the cluster's identity (prod), of the deployer in the cluster (neighbours), and a late credential
// (drift).
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

// anywhere returns a fault plan in which about one in five requests fails, as many are delayed, and the first request
// for some paths is throttled.
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

// failing has a fault for each resource that up can fail at, and up's name of the resource. Each fault is one that
// azure-native does not retry, or lasts for all of its four attempts.
var failing = []failure{
	{`{first: 4, method: PUT, path: '/userAssignedIdentities/[^/]+$', status: 503}`, "keyvault-demo-identity"},
	// AnotherOperationInProgress
	{`{first: 4, method: PUT, path: '/managedClusters/[^/]+$', status: 409}`, "cluster-cluster"},
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
	{`{rate: 1, path: '/operations/', status: 400}`, "cluster-cluster"}, // the cluster's creation cannot be observed
}

// diagnosed matches what up prints about a resource's error: type, name and text.
var diagnosed = regexp.MustCompile(`(?m)^ {2}(\S+) \((\S+)\):\n((?: {4}.*\n)*? {4}error: .*\n(?: {4}.*\n)*)`)

// fault matches errors that come from the fault plan: its response, or a connection that ended.
var fault = regexp.MustCompile(`A fault of the local cloud|reset by peer|EOF`)

var inAzure = regexp.MustCompile(`/providers/[^/\s]+/[^/\s]+/([^/\s]+)`)

// failedResources returns the names of the resources whose errors match why. The engine reports errors of the program's
// own requests to Azure for the stack; for these it returns the resource's name in Azure.
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

// wantUpFails checks that up fails with a fault, and names the resource.
func (c *cloud) wantUpFails(t *testing.T, one failure) {
	t.Helper()
	printed, _, err := c.tryUp(t, "--node=stand-in", "--faults", "rules: ["+one.rule+"]")
	if err == nil {
		t.Errorf("up succeeds with the fault %s", one.rule)
	}
	if !slices.Contains(failedResources(printed, fault), one.name) {
		t.Errorf("with the fault %s, up does not name %s", one.rule, one.name)
	}
}

// TestScenario_UpAmongFailingRequests checks that up recovers while a fifth of all requests to Azure fail. With odd
// seeds an up that fails at one resource comes first. With more than one seed, the first also tries the other
// resources, each in its own local cloud.
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
			t.Errorf("up fails without naming a resource: %v", err)
		}
		least := 1
		if first != nil {
			least = 3 // more than the two first requests that are throttled
		}
		if failed := c.failedRequests(t); failed < least {
			t.Errorf("%d requests failed, want at least %d", failed, least)
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
