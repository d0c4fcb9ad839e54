package infra_test

import (
	"slices"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// TestHandover_RejectsOwnResources declares each resource in the stack's state as existing.
func TestHandover_RejectsOwnResources(t *testing.T) {
	type object = map[string]any
	const subscription = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/keyvault-demo/providers/"
	made := func(kind, name string, outputs object) (string, any) {
		return "urn:pulumi:dev::keyvault-aks::" + kind + "::" + name, object{"type": kind, "outputs": outputs}
	}
	state := object{}
	for _, one := range []struct {
		kind, name string
		outputs    object
	}{
		{"azure-native:resources/v20220901:ResourceGroup", "resource-group", object{"name": "Keyvault-Demo"}},
		{"azure-native:keyvault/v20241101:Vault", "vault-vault", object{"name": "kv-own"}},
		{"azure-native:containerservice/v20240901:ManagedCluster", "cluster-cluster", object{"name": "own"}},
		{"azure-native:managedidentity/v20230131:UserAssignedIdentity", "a-identity", object{"name": "own"}},
		{"kubernetes:core/v1:Namespace", "a-namespace-a", object{"metadata": object{"name": "a"}}},
		{"kubernetes:core/v1:ServiceAccount", "a-account-a_a", object{"metadata": object{"name": "a", "namespace": "a"}}},
		{"keyvaultaks:index:SecretMount", "a-mount", nil},
	} {
		urn, r := made(one.kind, one.name, one.outputs)
		state[urn] = r
	}
	identity := subscription + "Microsoft.ManagedIdentity/userAssignedIdentities/"
	cluster := subscription + "Microsoft.ContainerService/managedClusters/"
	vault := subscription + "Microsoft.KeyVault/vaults/"
	account := func(name string) []any { return []any{object{"name": name, "existing": true}} }
	for name, tt := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"the group":     {map[string]string{"existingResourceGroup": "true"}, []string{"existingResourceGroup"}},
		"another group": {map[string]string{"existingResourceGroup": "true", "resourceGroupName": "other"}, nil},
		"the vault": {map[string]string{"existingVaultId": vault + "KV-own", "secrets": "", "keys": ""},
			[]string{"existingVaultId"}},
		"another vault":   {map[string]string{"existingVaultId": vault + "kv-other", "secrets": "", "keys": ""}, nil},
		"the cluster":     {map[string]string{"existingClusterId": cluster + "own"}, []string{"existingClusterId"}},
		"another cluster": {map[string]string{"existingClusterId": cluster + "other"}, nil},
		"the identity": {list(t, workload("a", object{"existingIdentityId": identity + "own"})),
			[]string{"workloads[0].existingIdentityId"}},
		"another identity": {list(t, workload("a", object{"existingIdentityId": identity + "other"})), nil},
		"the namespace": {list(t, workload("a", object{"existingNamespace": true})),
			[]string{"workloads[0].existingNamespace"}},
		"another namespace": {list(t, workload("a", object{"existingNamespace": true, "namespace": "b"})), nil},
		"the account": {list(t, workload("a", object{"serviceAccounts": account("a")})),
			[]string{"workloads[0].serviceAccounts[0].existing"}},
		"another account":      {list(t, workload("a", object{"serviceAccounts": account("b")})), nil},
		"adopted":              {adopting(list(t, workload("a", nil))), nil},
		"adopted and renamed":  {adopting(list(t, workload("b", object{"namespace": "a"}))), []string{"workloads[0].name"}},
		"adopted and named so": {adopting(list(t, workload("b", object{"namespace": "a", "formerName": "a"}))), nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{DryRun: true, Answers: map[string]map[string]any{
				"pulumi:pulumi:readStackResourceOutputs": {"outputs": state}, getGroup: {},
			}}
			err := surround(t, e, tt.change)
			var got []string
			if err != nil {
				got = paths(t, err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("violations at %v, want %v: %v", got, tt.want, err)
			}
			if made := e.Resources(); len(tt.want) > 0 && len(made) > 0 {
				t.Errorf("%s is registered before", made[0].Name)
			}
		})
	}
}

func adopting(change map[string]string) map[string]string {
	change["adoptObjects"] = "true"
	return change
}
