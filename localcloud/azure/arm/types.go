package arm

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
)

// resourceType is what Resource Manager needs to know of a type. An operation that is nil is answered with 405.
type resourceType struct {
	name     string
	versions []string
	valid    *regexp.Regexp // of a name; nil: any
	rule     string         // the same in words

	get, list, put, patch, delete func(*call) (reply, error)
	putModel, patchModel          func() any // the model of the body
	partial                       bool       // the model is not the official one, and knows less
	actions                       []action
	// exclusive keeps others out while a put or delete is under way.
	exclusive func(*Service, target) (release, error)
}

// action is a POST.
type action struct {
	name       string
	permission string // default: <type>/<name>/action
	readOnly   bool
	model      func() any
	do         func(*call) (reply, error)
}

// operation is what a method does to a type.
type operation struct {
	do         func(*call) (reply, error)
	permission string
	readOnly   bool
	model      func() any
	exclusive  func(*Service, target) (release, error)
}

// The API versions that are understood. The models are those of newer versions than some of them; they only grew.
var (
	resourceVersions = []string{
		"2016-06-01", "2018-05-01", "2019-10-01", "2019-11-01", "2020-01-01", "2020-06-01", "2020-10-01", "2021-01-01", "2021-04-01", "2022-09-01",
		"2022-12-01", "2023-07-01", "2024-03-01", "2024-11-01", "2025-04-01",
	}
	keyVaultVersions = []string{"2021-10-01", "2022-07-01", "2023-02-01", "2023-07-01", "2024-11-01", vaultRBACVersion}
	identityVersions = []string{"2018-11-30", "2023-01-31", "2024-11-30"}
	federatedVersion = []string{"2022-01-31-preview", "2023-01-31", "2024-11-30"}
	roleVersions     = []string{"2020-04-01-preview", "2022-04-01"}
	clusterVersions  = []string{
		"2023-04-01", "2023-10-01", "2024-01-01", "2024-05-01", "2024-07-01", "2024-08-01", "2024-09-01", "2024-10-01", "2025-01-01", "2025-02-01",
	}
)

// elsewhere are types of the namespaces served here that Azure has and the local cloud has not.
var elsewhere = []string{
	"Microsoft.KeyVault/managedHSMs", "Microsoft.KeyVault/locations", "Microsoft.KeyVault/deletedManagedHSMs",
	"Microsoft.KeyVault/vaults/accessPolicies", "Microsoft.KeyVault/vaults/privateEndpointConnections",
	"Microsoft.KeyVault/vaults/privateLinkResources", "Microsoft.KeyVault/operations", "Microsoft.KeyVault/checkMhsmNameAvailability",
	"Microsoft.ManagedIdentity/identities", "Microsoft.ManagedIdentity/operations",
	"Microsoft.Authorization/policyAssignments", "Microsoft.Authorization/policyDefinitions",
	"Microsoft.Authorization/permissions", "Microsoft.Authorization/denyAssignments", "Microsoft.Authorization/operations",
	"Microsoft.Authorization/classicAdministrators", "Microsoft.Authorization/providerOperations",
	"Microsoft.Authorization/roleEligibilityScheduleRequests", "Microsoft.Authorization/roleAssignmentScheduleRequests",
	"Microsoft.ContainerService/managedClusters", "Microsoft.ContainerService/locations", "Microsoft.ContainerService/fleets",
	"Microsoft.ContainerService/snapshots", "Microsoft.ContainerService/operations",
	"Microsoft.Network", "Microsoft.Compute", "Microsoft.Insights", "Microsoft.OperationalInsights", "Microsoft.ContainerRegistry", "Microsoft.EventGrid", "Microsoft.Storage",
}

// table is every type that is served.
func (s *Service) table() []resourceType {
	return slices.Concat(coreTypes, clusterTypes, deploymentTypes, networkTypes, encryptionSetTypes, registryTypes, extensionTypes, eventTypes, storageTypes)
}

var coreTypes = []resourceType{
	{
		name: "Microsoft.Resources/tenants", versions: resourceVersions,
		list: (*call).listTenants,
	},
	{
		name: subscriptionsType, versions: resourceVersions,
		get: (*call).getSubscription, list: (*call).listSubscriptions,
	},
	{
		name: "Microsoft.Resources/providers", versions: resourceVersions,
		get: (*call).getProvider,
	},
	{
		name: groupsType, versions: resourceVersions,
		valid: regexp.MustCompile(`^[-\w._()]{0,89}[-\w_()]$`),
		rule:  "up to 90 letters, digits, underscores, hyphens, parentheses and periods, and no period at the end",
		get:   (*call).getStored, list: (*call).listGroups,
		put: (*call).putGroup, putModel: func() any { return new(armresources.ResourceGroup) },
		patch: (*call).patchTags, patchModel: func() any { return new(armresources.ResourceGroupPatchable) },
		delete: (*call).deleteGroup,
	},
	{name: subscriptionsType + "/resources", versions: resourceVersions, list: (*call).listResources},
	{name: groupsType + "/resources", versions: resourceVersions, list: (*call).listResources},
	{name: subscriptionsType + "/operationresults", versions: resourceVersions, get: (*call).getOperationResult},
	{
		name: vaultsType, versions: keyVaultVersions,
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putVault, putModel: func() any { return new(armkeyvault.VaultCreateOrUpdateParameters) },
		patch: (*call).patchVault, patchModel: func() any { return new(armkeyvault.VaultPatchParameters) },
		delete: (*call).deleteVault,
	},
	{
		name: "Microsoft.KeyVault", versions: keyVaultVersions,
		actions: []action{{
			name: "checkNameAvailability", permission: "Microsoft.KeyVault/checkNameAvailability/read", readOnly: true,
			model: func() any { return new(armkeyvault.VaultCheckNameAvailabilityParameters) }, do: (*call).checkVaultName,
		}},
	},
	{name: "Microsoft.KeyVault/deletedVaults", versions: keyVaultVersions, list: (*call).listDeletedVaults},
	{
		name: "Microsoft.KeyVault/locations/deletedVaults", versions: keyVaultVersions, get: (*call).getDeletedVault,
		actions: []action{{name: "purge", do: (*call).purgeVault}},
	},
	{
		name: vaultsType + "/secrets", versions: keyVaultVersions, valid: vaultObjectName, rule: vaultObjectRule,
		get: (*call).getSecret, list: (*call).listSecrets,
		put: (*call).putSecret, putModel: func() any { return new(armkeyvault.SecretCreateOrUpdateParameters) },
		patch: (*call).patchSecret, patchModel: func() any { return new(armkeyvault.SecretPatchParameters) },
	},
	{
		name: vaultsType + "/keys", versions: keyVaultVersions, valid: vaultObjectName, rule: vaultObjectRule,
		get: (*call).getKey, list: (*call).listKeys,
		put: (*call).putKey, putModel: func() any { return new(armkeyvault.KeyCreateParameters) },
	},
	{
		name: vaultsType + "/keys/versions", versions: keyVaultVersions,
		get: (*call).getKeyVersion, list: (*call).listKeyVersions,
	},
	{
		name: identitiesType, versions: identityVersions,
		valid: regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$`),
		rule:  "3 to 128 letters, digits, underscores and hyphens, and a letter or digit first",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putIdentity, putModel: func() any { return new(armmsi.Identity) },
		patch: (*call).patchTags, patchModel: func() any { return new(armmsi.IdentityUpdate) },
		delete: (*call).deleteIdentity,
	},
	{
		name: federatedType, versions: federatedVersion,
		valid: regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}$`),
		rule:  "3 to 120 letters, digits, underscores and hyphens, and a letter or digit first",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putFederated, putModel: func() any { return new(armmsi.FederatedIdentityCredential) },
		delete: (*call).deleteFederated, exclusive: lockIdentity,
	},
	{
		name: roleAssignmentsType, versions: roleVersions,
		valid: guid, rule: "a GUID",
		get: (*call).getAssignment, list: (*call).listAssignments,
		put: (*call).putAssignment, putModel: func() any { return new(armauthorization.RoleAssignmentCreateParameters) },
		delete: (*call).deleteAssignment,
	},
	{
		name: roleDefinitionsType, versions: append([]string{"2018-01-01-preview", "2022-05-01-preview"}, roleVersions...),
		valid: guid, rule: "a GUID",
		get: (*call).getDefinition, list: (*call).listDefinitions,
		put: (*call).putDefinition, putModel: func() any { return new(armauthorization.RoleDefinition) },
		delete: (*call).deleteDefinition,
	},
}

// short is the type without its namespace.
func (r *resourceType) short() string {
	_, short, _ := strings.Cut(r.name, "/")
	return short
}

// nested types live inside a resource of the type before the last slash.
func (r *resourceType) nested() bool {
	return strings.Count(r.name, "/") > 1 && !strings.Contains(r.name, "/locations/") &&
		!strings.HasPrefix(r.name, "Microsoft.Resources/")
}

// belongsAt says whether resources of the type are at the scope that a path has. Roles and locks are asked for at the
// path as it was sent, and most resources are kept by their group and names: a path by way of another resource would
// get around both.
func (r *resourceType) belongsAt(t target) bool {
	subscription := strings.EqualFold(t.scope, "/subscriptions/"+t.subscription)
	switch {
	case r.name == "Microsoft.Resources/providers":
		return true
	case strings.HasPrefix(r.name, "Microsoft.Resources/") && !strings.HasPrefix(r.name, deploymentsType):
		return !strings.Contains(strings.ToLower(t.path), "/providers/")
	case slices.Contains([]string{roleAssignmentsType, roleDefinitionsType, locksType, settingsType, associationsType}, r.name):
		return true // at any scope
	case slices.Contains([]string{"Microsoft.KeyVault", "Microsoft.KeyVault/deletedVaults"}, r.name) || strings.Contains(r.name, "/locations/"):
		return t.subscription != "" && subscription
	case t.collection && len(t.names) == 0 && t.subscription != "" && subscription:
		return true // those of all groups
	}
	return t.group != "" && strings.EqualFold(t.scope, t.groupPath())
}

// operation finds what a request does, and refuses a name that the type does not allow.
func (r *resourceType) operation(t target, method string) (operation, error) {
	var op operation
	switch {
	case t.action != "":
		for _, a := range r.actions {
			if strings.EqualFold(a.name, t.action) {
				op = operation{do: a.do, permission: a.permission, readOnly: a.readOnly, model: a.model}
				if op.permission == "" {
					op.permission = r.name + "/" + a.name + "/action"
				}
			}
		}
		if op.do == nil {
			return op, notImplemented("action %s of %s", t.action, r.name)
		}
	case t.collection && method == http.MethodGet:
		op = operation{do: r.list, permission: r.name + "/read", readOnly: true}
	case t.collection:
	case method == http.MethodGet:
		op = operation{do: r.get, permission: r.name + "/read", readOnly: true}
	case method == http.MethodHead && r.name == groupsType:
		op = operation{do: (*call).headGroup, permission: r.name + "/read", readOnly: true}
	case method == http.MethodPut:
		op = operation{do: r.put, permission: r.name + "/write", model: r.putModel, exclusive: r.exclusive}
		if r.put != nil && r.valid != nil && !r.valid.MatchString(t.name()) {
			return op, badRequest("InvalidResourceName", "Resource name %s is invalid. The name has to be %s.", t.name(), r.rule)
		}
		if err := r.checkReserved(t.name()); err != nil {
			return op, err
		}
	case method == http.MethodPatch:
		op = operation{do: r.patch, permission: r.name + "/write", model: r.patchModel}
	case method == http.MethodDelete:
		op = operation{do: r.delete, permission: r.name + "/delete", exclusive: r.exclusive}
	}
	if op.do == nil {
		return op, refuse(http.StatusMethodNotAllowed, "HttpMethodNotSupported",
			"The HTTP method '%s' is not supported for resource type '%s'.", method, r.name)
	}
	if r.name == "Microsoft.Resources/tenants" || r.name == subscriptionsType && t.collection {
		op.permission = "" // everybody sees what he has a role in
	}
	return op, nil
}
