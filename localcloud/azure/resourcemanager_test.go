package azure_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

func vaultParameters(change func(*armkeyvault.VaultProperties)) armkeyvault.VaultCreateOrUpdateParameters {
	p := &armkeyvault.VaultProperties{
		TenantID: to.Ptr(azure.TenantID),
		SKU: &armkeyvault.SKU{
			Family: to.Ptr(armkeyvault.SKUFamilyA),
			Name:   to.Ptr(armkeyvault.SKUNameStandard),
		},
		EnableRbacAuthorization: to.Ptr(true),
	}
	if change != nil {
		change(p)
	}
	return armkeyvault.VaultCreateOrUpdateParameters{Location: to.Ptr(location), Properties: p}
}

func (f *fixture) vaults() *armkeyvault.VaultsClient {
	f.Helper()
	client, err := armkeyvault.NewVaultsClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	return client
}

func (f *fixture) putVault(group, name string, change func(*armkeyvault.VaultProperties)) error {
	f.Helper()
	poller, err := f.vaults().BeginCreateOrUpdate(f.Context(), group, name, vaultParameters(change), nil)
	if err == nil {
		_, err = poller.PollUntilDone(f.Context(), &runtime.PollUntilDoneOptions{Frequency: 1})
	}
	return err
}

func TestVault_DeletedReservesItsName(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.group("other")
	f.must(f.putVault("g", "kv-one", nil))
	f.refused(f.putVault("other", "KV-ONE", nil), http.StatusConflict, "VaultAlreadyExists")

	_, err := f.vaults().Delete(f.Context(), "g", "kv-one", nil)
	f.must(err)
	_, err = f.vaults().Get(f.Context(), "g", "kv-one", nil)
	f.refused(err, http.StatusNotFound, "ResourceNotFound")
	f.refused(f.putVault("g", "kv-one", nil), http.StatusConflict, "ConflictError")
	deleted, err := f.vaults().GetDeleted(f.Context(), "kv-one", location, nil)
	f.must(err)
	if days := deleted.Properties.ScheduledPurgeDate.Sub(*deleted.Properties.DeletionDate).Hours() / 24; days != 90 {
		t.Errorf("retention is %v days, want 90", days)
	}

	f.must(
		f.putVault("g", "kv-one",
			func(p *armkeyvault.VaultProperties) { p.CreateMode = to.Ptr(armkeyvault.CreateModeRecover) }),
	)
	_, err = f.vaults().Get(f.Context(), "g", "kv-one", nil)
	f.must(err)

	_, err = f.vaults().Delete(f.Context(), "g", "kv-one", nil)
	f.must(err)
	purge, err := f.vaults().BeginPurgeDeleted(f.Context(), "kv-one", location, nil)
	f.must(err)
	_, err = purge.PollUntilDone(f.Context(), &runtime.PollUntilDoneOptions{Frequency: 1})
	f.must(err)
	f.must(f.putVault("other", "kv-one", nil))
}

func TestVault_PurgeProtectionCannotBeDisabled(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.refused(f.putVault("g", "kv-two", func(p *armkeyvault.VaultProperties) { p.EnablePurgeProtection = to.Ptr(false) }),
		http.StatusBadRequest, "BadRequest")
	f.must(f.putVault("g", "kv-two", func(p *armkeyvault.VaultProperties) { p.EnablePurgeProtection = to.Ptr(true) }))
	f.must(f.putVault("g", "kv-two", nil))
	got, err := f.vaults().Get(f.Context(), "g", "kv-two", nil)
	f.must(err)
	if got.Properties.EnablePurgeProtection == nil || !*got.Properties.EnablePurgeProtection {
		t.Error("an update that omits it disabled it")
	}
	_, err = f.vaults().Delete(f.Context(), "g", "kv-two", nil)
	f.must(err)
	_, err = f.vaults().BeginPurgeDeleted(f.Context(), "kv-two", location, nil)
	f.refused(err, http.StatusMethodNotAllowed, "MethodNotAllowed")
}

func TestVault_RetentionIsFixedAtCreation(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	days := func(n int32) func(*armkeyvault.VaultProperties) {
		return func(p *armkeyvault.VaultProperties) { p.SoftDeleteRetentionInDays = to.Ptr(n) }
	}
	for _, n := range []int32{6, 91} {
		f.refused(f.putVault("g", "kv-three", days(n)), http.StatusBadRequest, "BadRequest")
	}
	f.must(f.putVault("g", "kv-three", days(7)))
	f.must(f.putVault("g", "kv-three", days(7)))
	f.refused(f.putVault("g", "kv-three", days(8)), http.StatusBadRequest, "BadRequest")
}

func TestVault_AuthorizationDefaultDependsOnVersion(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := func(name, version string) string {
		return path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/" + name + "?api-version=" + version)
	}
	body := func(properties m) m {
		properties["tenantId"], properties["sku"] = azure.TenantID, m{"family": "A", "name": "standard"}
		return m{"location": location, "properties": properties}
	}
	policies := m{"enableRbacAuthorization": false, "accessPolicies": []any{}}
	for _, test := range []struct {
		name, version string
		given         m
		status        int
		want          any
	}{
		{"kv-old", "2024-11-01", m{}, http.StatusBadRequest, nil}, // requires access policies
		{"kv-old", "2024-11-01", m{"accessPolicies": []any{}}, http.StatusOK, false},
		{"kv-old", "2026-02-01", m{"accessPolicies": []any{}}, http.StatusOK, false}, // an update keeps the setting
		{"kv-new", "2026-02-01", m{}, http.StatusOK, true},
		{"kv-new", "2026-02-01", m{}, http.StatusOK, true},
		{"kv-new", "2026-02-01", policies, http.StatusOK, false},
		{"kv-policies", "2026-02-01", policies, http.StatusOK, false},
		{"kv-policies", "2026-02-01", m{"enableRbacAuthorization": true}, http.StatusOK, true},
		{"kv-policies", "2024-11-01", m{"accessPolicies": []any{}}, http.StatusOK, false},
	} {
		status, answer := f.ask(http.MethodPut, at(test.name, test.version), body(test.given))
		properties, _ := answer["properties"].(m)
		if got := properties["enableRbacAuthorization"]; status != test.status || got != test.want {
			t.Errorf("%v: %d %v", test, status, answer)
		}
	}
}

// TestResourceManager_RefusesInvalidRequests sends bodies, versions, types and names with one error each.
func TestResourceManager_RefusesInvalidRequests(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.must(f.putVault("g", "kv-four", nil))
	type m = map[string]any
	vault := path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-four")
	identity := path("resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uai")
	if status, code := f.call(http.MethodPut, identity+"?api-version=2023-01-31", m{
		"location": location,
	}); status != http.StatusCreated {
		t.Fatal(status, code)
	}
	for name, test := range map[string]struct {
		path string
		body m
		code string
	}{
		"group": {
			path("resourceGroups/h?api-version=2022-09-01"), m{"location": location, "colour": "red"}, "InvalidRequestContent",
		},
		"vault": {
			vault + "?api-version=2023-02-01",
			m{
				"location":   location,
				"properties": m{"tenantId": azure.TenantID, "enableRBAC": true, "sku": m{"family": "A", "name": "standard"}},
			},
			"InvalidRequestContent",
		},
		"secret": {
			vault + "/secrets/s?api-version=2023-02-01",
			m{"properties": m{"value": "v", "attributes": m{"expires": 1}}},
			"InvalidRequestContent",
		},
		"key": {
			vault + "/keys/k?api-version=2023-02-01", m{"properties": m{"kty": "RSA", "size": 2048}}, "InvalidRequestContent",
		},
		"identity": {
			identity + "?api-version=2023-01-31", m{"location": location, "kind": "user"}, "InvalidRequestContent",
		},
		"credential": {
			identity + "/federatedIdentityCredentials/fic?api-version=2023-01-31",
			m{"properties": m{"issuer": "https://i/", "subject": "s", "audience": "a"}},
			"InvalidRequestContent",
		},
		"assignment": {
			vault + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString() + "?api-version=2022-04-01",
			m{"properties": m{"principal": "x"}},
			"InvalidRequestContent",
		},
		"cluster": {
			path("resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c?api-version=2024-09-01"),
			m{"location": location, "properties": m{"identityProfile": m{"kubeletidentity": m{"issuer": "x"}}}},
			"InvalidRequestContent",
		},
		"deep in a list": {
			path("resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c?api-version=2024-09-01"),
			m{"location": location, "properties": m{"agentPoolProfiles": []m{{"name": "p", "size": 1}}}},
			"InvalidRequestContent",
		},

		"API version": {vault + "?api-version=2015-01-01", m{"location": location}, "NoRegisteredProviderFound"},
		"API version of a group": {
			path("resourceGroups/h?api-version=1999-01-01"), m{"location": location}, "InvalidApiVersionParameter",
		},
		"no API version": {vault, m{"location": location}, "MissingApiVersionParameter"},
		"type": {
			path("resourceGroups/g/providers/Microsoft.KeyVault/safes/s?api-version=2023-02-01"), m{}, "InvalidResourceType",
		},
		"namespace": {
			path("resourceGroups/g/providers/Contoso.Vaults/vaults/s?api-version=2023-02-01"), m{}, "InvalidResourceNamespace",
		},
		"vault's name": {
			path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/two--dashes?api-version=2023-02-01"),
			m{"location": location, "properties": m{"tenantId": azure.TenantID, "sku": m{"family": "A", "name": "standard"}}},
			"VaultNameNotValid",
		},
		"secret's name": {
			vault + "/secrets/under_score?api-version=2023-02-01", m{"properties": m{"value": "v"}}, "InvalidResourceName",
		},
		"group's name": {
			path("resourceGroups/dot.?api-version=2022-09-01"), m{"location": location}, "InvalidResourceName",
		},
		"location": {
			path("resourceGroups/h?api-version=2022-09-01"), m{"location": "atlantis"}, "LocationNotAvailableForResourceType",
		},
		"missing group": {
			path("resourceGroups/none/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uai") +
				"?api-version=2023-01-31",
			m{"location": location},
			"ResourceGroupNotFound",
		},
		"missing parent": {
			path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/none/secrets/s?api-version=2023-02-01"),
			m{"properties": m{"value": "v"}},
			"ParentResourceNotFound",
		},
	} {
		if status, code := f.call(http.MethodPut, test.path, test.body); status < 400 || code != test.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, test.code)
		}
	}
	if status, _ := f.call(http.MethodDelete, vault+"/secrets/s?api-version=2023-02-01",
		nil); status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE of a secret: %d, want 405", status)
	}
	if status, code := f.call(
		http.MethodPut,
		path("resourceGroups/g/providers/Microsoft.Sql/servers/s?api-version=2023-08-01"),
		m{},
	); status != http.StatusNotImplemented {
		t.Errorf("an unsupported service: %d %s, want 501", status, code)
	}
}

func (f *fixture) identities() *armmsi.ClientFactory {
	f.Helper()
	factory, err := armmsi.NewClientFactory(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	return factory
}

func (f *fixture) identity(group, name string) armmsi.Identity {
	f.Helper()
	made, err := f.identities().
		NewUserAssignedIdentitiesClient().
		CreateOrUpdate(f.Context(), group, name, armmsi.Identity{Location: to.Ptr(location)}, nil)
	f.must(err)
	return made.Identity
}

func (f *fixture) federate(group, identity, name, issuer, subject string) error {
	f.Helper()
	_, err := f.identities().NewFederatedIdentityCredentialsClient().CreateOrUpdate(f.Context(), group, identity, name,
		armmsi.FederatedIdentityCredential{Properties: &armmsi.FederatedIdentityCredentialProperties{
			Issuer: &issuer, Subject: &subject, Audiences: []*string{to.Ptr("api://AzureADTokenExchange")},
		}}, nil)
	return err
}

func TestFederatedCredentials_AreLimitedAndUnique(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.identity("g", "uai")
	for i := range 20 {
		subject := fmt.Sprintf("system:serviceaccount:ns:sa-%d", i)
		f.must(f.federate("g", "uai", fmt.Sprintf("fic-%02d", i), "https://i/", subject))
	}
	f.refused(f.federate("g", "uai", "fic-20", "https://i/", "system:serviceaccount:ns:more"), http.StatusBadRequest,
		"BadRequest")
	f.must(f.federate("g", "uai", "fic-00", "https://i/", "system:serviceaccount:ns:another"))
	f.refused(f.federate("g", "uai", "fic-01", "https://i/", "system:serviceaccount:ns:another"), http.StatusConflict,
		"Conflict")
}

func TestFederatedCredentials_ConcurrentWritesConflict(t *testing.T) {
	f := newFixtureWith(t, time.Second)
	f.group("g")
	f.identity("g", "one")
	f.identity("g", "two")
	write := func(identities ...string) (conflicts int) {
		errs := make([]error, len(identities))
		var all sync.WaitGroup
		for i, identity := range identities {
			all.Go(func() {
				errs[i] = f.federate("g", identity, fmt.Sprintf("fic-%d-%d", len(identities), i), "https://i/",
					fmt.Sprint(len(identities), i))
			})
		}
		all.Wait()
		const concurrent = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"
		for _, err := range errs {
			var refusal *azcore.ResponseError
			switch {
			case errors.As(err, &refusal) && refusal.ErrorCode == concurrent:
				conflicts++
			case err != nil:
				t.Error(err)
			}
		}
		return conflicts
	}
	if n := write("one", "one", "one"); n != 2 {
		t.Errorf("%d of three concurrent writes conflict, want 2", n)
	}
	if n := write("one", "two"); n != 0 {
		t.Errorf("%d writes of two identities conflict", n)
	}
}

func (f *fixture) assignments() *armauthorization.RoleAssignmentsClient {
	f.Helper()
	client, err := armauthorization.NewRoleAssignmentsClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	return client
}

// assign assigns a role to a principal and returns the assignment's name.
func (f *fixture) assign(scope, role, principal string, kind *armauthorization.PrincipalType) (string, error) {
	f.Helper()
	name := uuid.NewString()
	_, err := f.assignments().Create(f.Context(), scope, name, armauthorization.RoleAssignmentCreateParameters{
		Properties: &armauthorization.RoleAssignmentProperties{
			PrincipalID: &principal, PrincipalType: kind,
			RoleDefinitionID: to.Ptr(path("providers/Microsoft.Authorization/roleDefinitions/" + role)),
		},
	}, nil)
	return name, err
}

const (
	secretsUser         = "4633458b-17de-408a-b874-0445c86b69e6"
	secretsOfficer      = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
	certificatesOfficer = "a4417e6f-fecd-4de8-b567-7b0420556985"
	vaultReader         = "21090545-7ca7-4776-b22c-e363652d74d2"
)

func TestRoleAssignment_RequiresPrincipalRoleAndScope(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	uai := f.identity("g", "uai")

	_, err := f.assign(group, secretsUser, *uai.Properties.PrincipalID, servicePrincipal)
	f.must(err)
	_, err = f.assign(group, secretsUser, *uai.Properties.PrincipalID, servicePrincipal)
	f.refused(err, http.StatusConflict, "RoleAssignmentExists")
	_, err = f.assign(group, secretsUser, uuid.NewString(), nil)
	f.refused(err, http.StatusBadRequest, "PrincipalNotFound")
	_, err = f.assign(group, secretsUser, *uai.Properties.PrincipalID, to.Ptr(armauthorization.PrincipalTypeUser))
	f.refused(err, http.StatusBadRequest, "UnmatchedPrincipalType")
	_, err = f.assign(group, uuid.NewString(), *uai.Properties.PrincipalID, servicePrincipal)
	f.refused(err, http.StatusNotFound, "RoleDefinitionDoesNotExist")
	_, err = f.assign(group+"/providers/Microsoft.KeyVault/vaults/none", secretsUser, *uai.Properties.PrincipalID,
		servicePrincipal)
	f.refused(err, http.StatusNotFound, "ResourceNotFound")
	f.must(f.putVault("g", "kv-five", nil))
	_, err = f.assign(group+"/providers/Microsoft.KeyVault/vaults/kv-five/secrets/none", secretsUser,
		*uai.Properties.PrincipalID, servicePrincipal)
	f.refused(err, http.StatusNotFound, "ResourceNotFound")
}

func TestResourceManager_RequiresRoles(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	uai := f.identity("g", "uai")
	f.must(f.federate("g", "uai", "fic", "https://"+location+".oic.prod-aks.azure.com/t/c/", "s"))
	if *uai.Properties.PrincipalID == "" {
		t.Fatal("the identity has no principal")
	}
	req, err := http.NewRequestWithContext(f.Context(), http.MethodGet,
		"https://management.azure.com"+path("resourceGroups/g?api-version=2022-09-01"), nil)
	f.must(err)
	for name, header := range map[string]string{"no token": "", "a forged token": "Bearer aaaa.bbbb.cccc"} {
		req.Header.Set("Authorization", header)
		resp, err := f.client.Do(req)
		f.must(err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s, want 401 with a challenge", name, resp.Status)
		}
	}
}

func clusterParameters(change func(*armcontainerservice.ManagedClusterProperties)) armcontainerservice.ManagedCluster {
	p := &armcontainerservice.ManagedClusterProperties{
		DNSPrefix: to.Ptr("aks"),
		AgentPoolProfiles: []*armcontainerservice.ManagedClusterAgentPoolProfile{
			{
				Name:   to.Ptr("system"),
				Mode:   to.Ptr(armcontainerservice.AgentPoolModeSystem),
				Count:  to.Ptr[int32](1),
				VMSize: to.Ptr("Standard_B2s"),
			},
		},
		OidcIssuerProfile: &armcontainerservice.ManagedClusterOIDCIssuerProfile{Enabled: to.Ptr(true)},
		AddonProfiles: map[string]*armcontainerservice.ManagedClusterAddonProfile{"azureKeyvaultSecretsProvider": {
			Enabled: to.Ptr(true),
			Config:  map[string]*string{"enableSecretRotation": to.Ptr("true"), "rotationPollInterval": to.Ptr("30s")},
		}},
	}
	if change != nil {
		change(p)
	}
	return armcontainerservice.ManagedCluster{
		Location:   to.Ptr(location),
		Properties: p,
		Identity: &armcontainerservice.ManagedClusterIdentity{
			Type: to.Ptr(armcontainerservice.ResourceIdentityTypeSystemAssigned),
		},
	}
}

func (f *fixture) managedClusters() *armcontainerservice.ManagedClustersClient {
	f.Helper()
	client, err := armcontainerservice.NewManagedClustersClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	return client
}

func (f *fixture) putCluster(
	change func(*armcontainerservice.ManagedClusterProperties),
) (armcontainerservice.ManagedCluster, error) {
	f.Helper()
	poller, err := f.managedClusters().BeginCreateOrUpdate(f.Context(), "g", "aks", clusterParameters(change), nil)
	if err != nil {
		return armcontainerservice.ManagedCluster{}, err
	}
	made, err := poller.PollUntilDone(f.Context(), &runtime.PollUntilDoneOptions{Frequency: 1})
	return made.ManagedCluster, err
}

func TestManagedCluster_IsCreatedWithIssuerAndKubeconfig(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	made, err := f.putCluster(nil)
	f.must(err)
	spec := f.clusters.started[0]
	if !spec.SecretsProvider || !spec.Rotation || spec.RotationPollInterval.Seconds() != 30 || spec.PoolName != "system" {
		t.Errorf("the cluster was started as %+v", spec)
	}
	issuer := *made.Properties.OidcIssuerProfile.IssuerURL
	if !strings.HasPrefix(issuer, "https://eastus.oic.prod-aks.azure.com/"+azure.TenantID+"/") ||
		spec.IssuerURL != issuer {
		t.Errorf("issuer %s, started with %s", issuer, spec.IssuerURL)
	}
	credentials, err := f.managedClusters().ListClusterUserCredentials(f.Context(), "g", "aks", nil)
	f.must(err)
	if got := string(credentials.Kubeconfigs[0].Value); got != "server: https://"+*made.Properties.Fqdn {
		t.Errorf("kubeconfig %q", got)
	}

	again, err := f.putCluster(nil)
	f.must(err)
	if *again.Properties.OidcIssuerProfile.IssuerURL != issuer ||
		*again.Identity.PrincipalID != *made.Identity.PrincipalID {
		t.Error("an update changed the issuer or the identity")
	}
	poller, err := f.managedClusters().BeginDelete(f.Context(), "g", "aks", nil)
	f.must(err)
	_, err = poller.PollUntilDone(f.Context(), &runtime.PollUntilDoneOptions{Frequency: 1})
	f.must(err)
	if len(f.clusters.deleted) != 1 {
		t.Errorf("deleted: %v", f.clusters.deleted)
	}
	anew, err := f.putCluster(nil)
	f.must(err)
	if *anew.Properties.OidcIssuerProfile.IssuerURL == issuer {
		t.Error("a new cluster has the issuer of the old one")
	}
}

func TestManagedCluster_FailsIfKubernetesDoesNotStart(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.clusters.fail = errors.New("no room for a node")
	if _, err := f.putCluster(nil); err == nil || !strings.Contains(err.Error(), "no room for a node") {
		t.Errorf("got %v", err)
	}
	got, err := f.managedClusters().Get(f.Context(), "g", "aks", nil)
	f.must(err)
	if *got.Properties.ProvisioningState != "Failed" {
		t.Errorf("it is %s", *got.Properties.ProvisioningState)
	}
}

func TestManagedCluster_IgnoresCaseOfAddOnSettings(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(func(p *armcontainerservice.ManagedClusterProperties) {
		p.AddonProfiles["azureKeyvaultSecretsProvider"].Config = map[string]*string{
			"EnableSecretRotation": to.Ptr("true"), "ROTATIONPOLLINTERVAL": to.Ptr("30s"),
		}
	})
	f.must(err)
	if spec := f.clusters.started[0]; !spec.Rotation || spec.RotationPollInterval != 30*time.Second {
		t.Errorf("the cluster was started as %+v", spec)
	}
}

func TestManagedCluster_FailedIsRetriedAtRestart(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	for _, run := range []struct {
		fail error
		want string
	}{{errors.New("no room for a node"), "Failed"}, {nil, "Succeeded"}} {
		f.stop()
		f.clusters.fail = run.fail
		f.start()
		f.must(f.cloud.Settle(f.Context()))
		got, err := f.managedClusters().Get(f.Context(), "g", "aks", nil)
		f.must(err)
		if state := *got.Properties.ProvisioningState; state != run.want {
			t.Errorf("started with %v the cluster is %s, want %s", run.fail, state, run.want)
		}
	}
}

func TestManagedCluster_RefusesInvalidBodies(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	for name, change := range map[string]func(*armcontainerservice.ManagedClusterProperties){
		"no DNS prefix":  func(p *armcontainerservice.ManagedClusterProperties) { p.DNSPrefix = nil },
		"no system pool": func(p *armcontainerservice.ManagedClusterProperties) { p.AgentPoolProfiles = nil },
		"name of a pool": func(p *armcontainerservice.ManagedClusterProperties) {
			p.AgentPoolProfiles[0].Name = to.Ptr("Has-Dashes")
		},
		"no VM size": func(p *armcontainerservice.ManagedClusterProperties) { p.AgentPoolProfiles[0].VMSize = nil },
		"poll interval": func(p *armcontainerservice.ManagedClusterProperties) {
			p.AddonProfiles["azureKeyvaultSecretsProvider"].Config["rotationPollInterval"] = to.Ptr("soon")
		},
		"workload identity without an issuer": func(p *armcontainerservice.ManagedClusterProperties) {
			p.OidcIssuerProfile = nil
			p.SecurityProfile = &armcontainerservice.ManagedClusterSecurityProfile{
				WorkloadIdentity: &armcontainerservice.ManagedClusterSecurityProfileWorkloadIdentity{Enabled: to.Ptr(true)},
			}
		},
	} {
		_, err := f.putCluster(change)
		t.Log(name)
		f.refused(err, http.StatusBadRequest, "InvalidParameter")
	}
}

func TestResourceGroup_DeletesItsResources(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	f.must(f.putVault("g", "kv-six", nil))
	uai := f.identity("g", "uai")
	_, err := f.assign(group+"/providers/Microsoft.KeyVault/vaults/kv-six", secretsUser, *uai.Properties.PrincipalID,
		servicePrincipal)
	f.must(err)
	_, err = f.putCluster(nil)
	f.must(err)

	groups, err := armresources.NewResourceGroupsClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	poller, err := groups.BeginDelete(f.Context(), "g", nil)
	f.must(err)
	_, err = poller.PollUntilDone(f.Context(), &runtime.PollUntilDoneOptions{Frequency: 1})
	f.must(err)
	if _, err := f.vaults().GetDeleted(f.Context(), "kv-six", location, nil); err != nil {
		t.Errorf("the vault is not soft-deleted: %v", err)
	}
	if len(f.clusters.deleted) != 1 {
		t.Errorf("clusters deleted: %v", f.clusters.deleted)
	}
	for pager := f.assignments().NewListForSubscriptionPager(nil); pager.More(); {
		page, err := pager.NextPage(f.Context())
		f.must(err)
		for _, a := range page.Value {
			if *a.Properties.PrincipalID == *uai.Properties.PrincipalID {
				t.Errorf("left: %s", *a.ID)
			}
		}
	}
}

func TestRestart_KeepsResourcesAndResumesOperations(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	f.must(f.putVault("g", "kv-seven", nil))
	_, err := f.putCluster(nil)
	f.must(err)
	credentials := f.cloud.Credentials()

	// An update of the cluster is in progress when the local cloud stops.
	f.clusters.wait = make(chan struct{})
	_, err = f.managedClusters().
		BeginCreateOrUpdate(f.Context(), "g", "aks", clusterParameters(func(p *armcontainerservice.ManagedClusterProperties) {
			p.AgentPoolProfiles[0].Count = to.Ptr[int32](2)
		}), nil)
	f.must(err)
	_, err = f.putCluster(nil)
	f.refused(err, http.StatusConflict, "OperationNotAllowed")
	f.stop()
	close(f.clusters.wait)
	before := f.clusters.starts()
	f.start()
	if f.cloud.Credentials() != credentials {
		t.Error("the owner changed")
	}
	f.must(f.cloud.Settle(f.Context()))
	if f.clusters.starts() != before+1 {
		t.Errorf("after the restart the cluster was started %d times", f.clusters.starts()-before)
	}
	got, err := f.managedClusters().Get(f.Context(), "g", "aks", nil)
	f.must(err)
	if *got.Properties.ProvisioningState != "Succeeded" {
		t.Errorf("the cluster is %s", *got.Properties.ProvisioningState)
	}
	_, err = f.vaults().Get(f.Context(), "g", "kv-seven", nil)
	f.must(err)
}

// TestHub_IsSeparateSubscription checks that resources of the owner's second subscription are not in the first.
func TestHub_IsSeparateSubscription(t *testing.T) {
	f := newFixture(t)
	hub := "/subscriptions/" + azure.HubID
	f.put(hub+"/resourceGroups/shared?api-version=2022-09-01", m{"location": "eastus"})
	vault := hub + "/resourceGroups/shared/providers/Microsoft.KeyVault/vaults/kv-hub" + objectVersion
	made := f.put(vault, m{"location": "eastus", "properties": m{
		"tenantId": azure.TenantID, "sku": m{"family": "A", "name": "standard"}, "enableRbacAuthorization": true,
	}})
	if id, _ := made["id"].(string); !strings.HasPrefix(id, hub+"/") {
		t.Errorf("the vault's id is %s", id)
	}
	elsewhere := strings.Replace(vault, azure.HubID, azure.SubscriptionID, 1)
	if status, _ := f.call(http.MethodGet, elsewhere, nil); status != http.StatusNotFound {
		t.Errorf("in the other subscription: %d", status)
	}
	_, listed := f.ask(http.MethodGet, "/subscriptions?api-version=2022-09-01", nil)
	if found, _ := listed["value"].([]any); len(found) != 2 {
		t.Errorf("the subscriptions are %v", listed)
	}
	if status, _ := f.ask(http.MethodDelete, vault, nil); status != http.StatusOK {
		t.Errorf("deleting it: %d", status)
	}
	for subscription, want := range map[string]int{azure.HubID: 1, azure.SubscriptionID: 0} {
		_, deleted := f.ask(http.MethodGet,
			"/subscriptions/"+subscription+"/providers/Microsoft.KeyVault/deletedVaults"+objectVersion, nil)
		if found, _ := deleted["value"].([]any); len(found) != want {
			t.Errorf("%s has the deleted vaults %v", subscription, deleted)
		}
	}
}
