package azure_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
	localarm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// resources are those that the owner is shown, by id, and as text.
func (f *fixture) resources() (map[string]overview.Resource, string) {
	f.Helper()
	var shown struct{ Resources []overview.Resource }
	text := f.shown("/resources", &shown)
	found := map[string]overview.Resource{}
	for _, res := range shown.Resources {
		if _, twice := found[res.ID]; twice {
			f.Errorf("%s is shown twice", res.ID)
		}
		found[res.ID] = res
	}
	return found, text
}

func TestResources_AreATreeOfWhatUsesWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name := w.grant(w.vaultID+"/secrets/my-secret", secretsUser)
	network := w.network()
	w.put(path("resourceGroups/tagged")+"?api-version=2021-04-01", m{"location": location, "tags": m{"stack": "dev"}})
	w.fail(faults.Plan{RolesAfter: faults.Duration(time.Hour)})
	late := w.grant(w.vaultID, secretsUser)
	found, text := w.resources()

	group := path("resourceGroups/g")
	identity := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uai"
	cluster := group + "/providers/Microsoft.ContainerService/managedClusters/aks"
	secret := w.vaultID + "/secrets/my-secret"
	const (
		identityType   = "Microsoft.ManagedIdentity/userAssignedIdentities"
		assignmentType = "Microsoft.Authorization/roleAssignments"
	)
	assignment := func(scope, name string) string {
		return scope + "/providers/Microsoft.Authorization/roleAssignments/" + name
	}
	for id, want := range map[string]overview.Resource{
		"/subscriptions/" + azure.SubscriptionID: {Type: "Microsoft.Resources/subscriptions"},
		group: {
			Type: "Microsoft.Resources/subscriptions/resourceGroups", Parent: "/subscriptions/" + azure.SubscriptionID,
		},
		w.vaultID:                  {Type: "Microsoft.KeyVault/vaults", Parent: group},
		secret:                     {Type: "Microsoft.KeyVault/vaults/secrets", Parent: w.vaultID},
		w.vaultID + "/keys/my-key": {Type: "Microsoft.KeyVault/vaults/keys", Parent: w.vaultID},
		identity:                   {Type: identityType, Parent: group},
		identity + "/federatedIdentityCredentials/fic": {
			Type: identityType + "/federatedIdentityCredentials", Parent: identity, Uses: []string{cluster},
		},
		cluster: {Type: "Microsoft.ContainerService/managedClusters", Parent: group},
		assignment(secret, name): {
			Type: assignmentType, Parent: secret, Uses: []string{identity}, Role: "Key Vault Secrets User",
			Principal: "uai",
		},
		assignment(w.vaultID, late): {
			Type: assignmentType, Parent: w.vaultID, State: "Pending", Uses: []string{identity},
			Role: "Key Vault Secrets User", Principal: "uai",
		},
		network: {Type: "Microsoft.Network/virtualNetworks", Parent: group},
	} {
		got, there := found[id]
		if !there {
			t.Errorf("%s is missing", id)
			continue
		}
		if want.State == "" {
			want.State = "Succeeded"
		}
		if !strings.EqualFold(got.Type, want.Type) || got.Parent != want.Parent || got.State != want.State ||
			got.Role != want.Role || got.Principal != want.Principal || got.Deleted ||
			want.Uses != nil && !slices.Equal(got.Uses, want.Uses) {
			t.Errorf("%s\n got %+v\nwant %+v", id, got, want)
		}
	}
	if got := found[path("resourceGroups/tagged")]; got.Tags["stack"] != "dev" || got.Location != location {
		t.Errorf("%+v", got)
	}
	if got := found[w.vaultID]; got.APIVersion < "2024" || strings.HasSuffix(got.APIVersion, "preview") {
		t.Errorf("API version %s", got.APIVersion)
	}
	for id, res := range found {
		_, there := found[res.Parent]
		if root := strings.HasSuffix(res.Type, "/subscriptions"); there == root {
			t.Errorf("%s is in %q", id, res.Parent)
		}
		for _, used := range res.Uses {
			if _, there := found[used]; !there || used == id {
				t.Errorf("%s uses %s", id, used)
			}
		}
	}
	if strings.Contains(text, "the value") {
		t.Error("the value of a secret is shown")
	}
}

func TestResources_ShowsWhatCanBeRecovered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grant(w.vaultID, secretsOfficer)
	token := "Bearer " + w.accessToken(w.clientID)
	deleted := func(id string) {
		t.Helper()
		found, _ := w.resources()
		if got := found[id]; !got.Deleted || got.State != "Deleted" || got.Parent == "" || got.Name == "" {
			t.Errorf("%s: %+v", id, got)
		}
	}
	w.raw(http.MethodDelete, "kv-data.vault.azure.net", "/secrets/my-secret?api-version=7.4", "", nil,
		"Authorization", token).Body.Close()
	deleted(w.vaultID + "/secrets/my-secret")
	_, err := w.vaults().Delete(t.Context(), "g", "kv-data", nil)
	w.must(err)
	deleted(w.vaultID)
}

// TestOperations_ShowsTheTimeLeft creates a cluster, which takes as long as it takes, and a vault that takes an hour.
func TestOperations_ShowsTheTimeLeft(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.stop()
	f.times = localarm.Times{"Microsoft.KeyVault/vaults": {"Creating": time.Hour}}
	f.clusters.wait = make(chan struct{})
	f.start()
	group := f.group("g")
	_, err := f.managedClusters().BeginCreateOrUpdate(t.Context(), "g", "aks", clusterParameters(nil), nil)
	f.must(err)
	status, answer := f.ask(http.MethodPut, group+"/providers/Microsoft.KeyVault/vaults/kv-slow?api-version=2023-07-01", m{
		"location": location, "properties": m{
			"tenantId": azure.TenantID, "sku": m{"family": "A", "name": "standard"}, "enableRbacAuthorization": true,
		},
	})
	if status >= 400 {
		t.Fatal(status, answer)
	}
	var shown struct{ Operations []overview.Operation }
	f.shown("/operations", &shown)
	if len(shown.Operations) != 2 {
		t.Fatalf("%+v", shown.Operations)
	}
	cluster, vault := shown.Operations[0], shown.Operations[1]
	if !strings.HasSuffix(cluster.Resource, "/managedClusters/aks") || cluster.What != "create" ||
		cluster.Ends != nil || cluster.LeftMs != nil {
		t.Errorf("cluster %+v", cluster)
	}
	if !strings.HasSuffix(vault.Resource, "/vaults/kv-slow") || vault.What != "create" || vault.LeftMs == nil ||
		*vault.LeftMs < 59*60*1000 || *vault.LeftMs > 60*60*1000 || !vault.Ends.Equal(vault.Started.Add(time.Hour)) {
		t.Errorf("vault %+v", vault)
	}
	close(f.clusters.wait)
	for end := time.Now().Add(10 * time.Second); len(shown.Operations) != 1 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		f.shown("/operations", &shown)
	}
	if len(shown.Operations) != 1 {
		t.Errorf("after the cluster started: %+v", shown.Operations)
	}
}

// TestMounts_ShowsRotationsAndClustersThatDoNotAnswer rotates a secret under a pod, and replaces a pod.
func TestMounts_ShowsRotationsAndClustersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	updated := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	have := func(uid, version string) overview.Mounts {
		t.Helper()
		w.clusters.mu.Lock()
		w.clusters.mounts = []overview.Mount{{
			Namespace: "shop", Pod: "web", Volume: "secrets", Mounted: true, PodUID: uid, Updated: updated,
			Objects: []overview.Object{{ID: "secret/my-secret", Version: version}},
		}}
		w.clusters.mu.Unlock()
		var shown overview.Mounts
		w.shown("/mounts", &shown)
		return shown
	}
	have("u1", "v1")
	have("u1", "v1")
	got := have("u1", "v2")
	cluster := path("resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks")
	want := []overview.Rotation{{
		Time: updated, Cluster: cluster, Namespace: "shop", Pod: "web", Object: "secret/my-secret", From: "v1", To: "v2",
	}}
	if !slices.Equal(got.Rotations, want) || got.Unreachable != nil ||
		len(got.Mounts) != 1 || got.Mounts[0].Cluster != cluster {
		t.Errorf("%+v", got)
	}
	if got = have("u2", "v3"); !slices.Equal(got.Rotations, want) {
		t.Errorf("another pod is a rotation: %+v", got.Rotations)
	}
	w.clusters.mu.Lock()
	w.clusters.fail = errors.New("the cluster does not run")
	w.clusters.mu.Unlock()
	if got = have("u2", "v3"); len(got.Mounts) != 0 || len(got.Rotations) != 1 ||
		!slices.Equal(got.Unreachable, []overview.Unreachable{{Cluster: cluster, Message: "the cluster does not run"}}) {
		t.Errorf("%+v", got)
	}
}
