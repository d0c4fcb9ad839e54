package tests

import (
	"math/rand/v2"
	"testing"
)

// TestScenario_Neighbours has others on the cluster of the dev stack, and in its vault's subscription: twenty accounts with one identity, fifty
// workloads, and those who try to read what is not theirs. They are there one after another, in one cloud, since making it is most of the
// work. With many seeds those who try have each a cloud of their own. The cluster takes its users' roles from Azure, which at first honours
// that of whoever makes it late.
func TestScenario_Neighbours(t *testing.T) {
	scenario(t, every, func(t *testing.T, s uint64, random *rand.Rand) {
		c := newCloud(t)
		c.upLate(t, lateNamespaceRole, "--node=stand-in", "--times", "azure/100", "--config", "entra={login: spn}")
		c.pulumi(t, "preview", "--expect-no-changes")
		if s == 1 {
			t.Run("many service accounts", manyServiceAccounts(c))
			t.Run("fifty workloads", fiftyWorkloads(c, random))
		}
		t.Run("wrong credentials", wrongCredentials(c, random)) // takes from the stack what lets it read
	})
}
