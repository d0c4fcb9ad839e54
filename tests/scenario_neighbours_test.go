package tests

import (
	"math/rand/v2"
	"testing"
)

// TestScenario_Neighbours runs others beside the dev stack, in its cluster and subscription: twenty accounts that share
// an identity, fifty workloads, and an intruder with wrong credentials. They run one after another in one cloud,
// because creating it takes longest; further seeds try the intruder in a cloud of their own. The cluster takes roles
// from Azure, and the deployer's role in it takes effect late.
func TestScenario_Neighbours(t *testing.T) {
	scenario(t, every, func(t *testing.T, s uint64, random *rand.Rand) {
		c := newCloud(t)
		c.upLate(t, lateNamespaceRole, "--node=stand-in", "--times", "azure/100", "--config", "entra={login: spn}")
		c.pulumi(t, "preview", "--expect-no-changes")
		if s == 1 {
			t.Run("many service accounts", manyServiceAccounts(c))
			t.Run("fifty workloads", fiftyWorkloads(c, random))
		}
		t.Run("wrong credentials", wrongCredentials(c, random)) // last: it removes the stack's own role and credential
	})
}
