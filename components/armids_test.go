package components

import (
	"regexp"
	"slices"
	"testing"
)

const inGroup = "/subscriptions/0000/resourceGroups/rg/providers/"

func TestARMIDs_CaptureParts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern *regexp.Regexp
		id      string
		want    []string // nil: it is no such id
	}{
		{vaultID, inGroup + "Microsoft.KeyVault/vaults/kv", []string{"/subscriptions/0000", "rg", "kv"}},
		{vaultID, "/SUBSCRIPTIONS/0000/resourcegroups/RG/PROVIDERS/microsoft.keyvault/Vaults/KV",
			[]string{"/SUBSCRIPTIONS/0000", "RG", "KV"}},
		{vaultID, "", nil},
		{vaultID, "kv", nil},
		{vaultID, inGroup + "Microsoft.KeyVault/vaults/", nil},
		{vaultID, inGroup + "Microsoft.KeyVault/vaults/kv/", nil},
		{vaultID, inGroup + "Microsoft.KeyVault/vaults/kv/secrets/s", nil},
		{vaultID, inGroup + "Microsoft.KeyVault/vaults/kv/providers/Microsoft.Authorization/locks/l", nil},
		{vaultID, inGroup + "MicrosoftxKeyVault/vaults/kv", nil},
		{vaultID, inGroup + "Microsoft.KeyVault//vaults/kv", nil},
		{vaultID, "/" + inGroup + "Microsoft.KeyVault/vaults/kv", nil},
		{vaultID, inGroup[1:] + "Microsoft.KeyVault/vaults/kv", nil},
		{vaultID, " " + inGroup + "Microsoft.KeyVault/vaults/kv", nil},
		{vaultID, "https://management.azure.com" + inGroup + "Microsoft.KeyVault/vaults/kv", nil},
		{vaultID, "/subscriptions//resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv", nil},
		{vaultID, "/subscriptions/0000/resourceGroups//providers/Microsoft.KeyVault/vaults/kv", nil},
		{vaultID, "/subscriptions/0000/providers/Microsoft.KeyVault/vaults/kv", nil},
		{clusterID, inGroup + "Microsoft.KeyVault/vaults/kv", nil},
		{clusterID, inGroup + "Microsoft.ContainerService/managedClusters/aks/agentPools/p", nil},
		{subnetID, inGroup + "Microsoft.Network/virtualNetworks/net/subnets/nodes",
			[]string{"/subscriptions/0000", "rg", "net", "nodes"}},
		{subnetID, inGroup + "Microsoft.Network/virtualNetworks/net", nil},
		{subnetID, inGroup + "Microsoft.Network/virtualNetworks/subnets/nodes", nil},
		{queueID, inGroup + "Microsoft.Storage/storageAccounts/acc/queueServices/default/queues/expiry",
			[]string{inGroup + "Microsoft.Storage/storageAccounts/acc", "expiry"}},
		{queueID, inGroup + "Microsoft.Storage/storageAccounts/acc/queueServices/other/queues/expiry", nil},
		{queueID, inGroup + "Microsoft.Storage/storageAccounts/acc", nil},
		{inSubscription, "/subscriptions/0000", []string{"/subscriptions/0000", ""}},
		{inSubscription, "/subscriptions/0000/", nil},
		{inSubscription, "/subscriptions//x", nil},
		{inSubscription, inGroup + "x//y", nil},
		{inSubscription, "/providers/Microsoft.Management/managementGroups/m", nil},
	} {
		got := c.pattern.FindStringSubmatch(c.id)
		if (got == nil) != (c.want == nil) || got != nil && !slices.Equal(got[1:], c.want) {
			t.Errorf("%s of %q: %q, want %q", c.pattern, c.id, got, c.want)
		}
	}
}

func TestRoleDefinition_IsInScopesSubscription(t *testing.T) {
	t.Parallel()
	const want = "/subscriptions/0000/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"
	if got := roleDefinition("/subscriptions/0000", "b24988ac-6180-42a0-ab88-20f7382dd24c"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
