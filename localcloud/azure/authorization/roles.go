package authorization

import (
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// Role is a role: a built-in one, as Azure publishes it
// (learn.microsoft.com/azure/role-based-access-control/built-in-roles), or a custom one.
type Role struct {
	ID             string // GUID, the same in every tenant
	Name           string
	Description    string
	Actions        []string // of the control plane; * matches any characters
	NotActions     []string
	DataActions    []string // of the data plane
	NotDataActions []string
	// AssignableScopes are the scopes where a custom role may be assigned. Built-in roles have none and may be assigned
	// anywhere.
	AssignableScopes []string `json:",omitempty"`
}

// keyVaultReads are the control plane actions of Key Vault's officer and reader roles.
var keyVaultReads = []string{
	"Microsoft.Authorization/*/read",
	"Microsoft.Insights/alertRules/*",
	"Microsoft.Resources/deployments/*",
	"Microsoft.Resources/subscriptions/resourceGroups/read",
	"Microsoft.Support/*",
	"Microsoft.KeyVault/checkNameAvailability/read",
	"Microsoft.KeyVault/deletedVaults/read",
	"Microsoft.KeyVault/locations/*/read",
	"Microsoft.KeyVault/vaults/*/read",
	"Microsoft.KeyVault/operations/read",
}

// kubernetesReads are the control plane actions of the AKS roles for Kubernetes objects.
var kubernetesReads = []string{
	"Microsoft.Authorization/*/read",
	"Microsoft.Resources/subscriptions/operationresults/read",
	"Microsoft.Resources/subscriptions/read",
	"Microsoft.Resources/subscriptions/resourceGroups/read",
}

const userCredential = "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"

// inClusters expands data actions of a cluster's API with its groups and resources.
func inClusters(actions string) []string {
	list := strings.Fields(actions)
	for i, action := range list {
		list[i] = "Microsoft.ContainerService/managedClusters/" + action
	}
	return list
}

// Roles lists the supported built-in roles.
var Roles = []Role{
	{
		ID: OwnerID, Name: "Owner",
		Description: "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
		Actions:     []string{"*"},
	},
	{
		ID:   "b24988ac-6180-42a0-ab88-20f7382dd24c",
		Name: "Contributor",
		Description: "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, " +
			"manage assignments in Azure Blueprints, or share image galleries.",
		Actions: []string{"*"},
		NotActions: []string{
			"Microsoft.Authorization/*/Delete",
			"Microsoft.Authorization/*/Write",
			"Microsoft.Authorization/elevateAccess/Action",
			"Microsoft.Blueprint/blueprintAssignments/write",
			"Microsoft.Blueprint/blueprintAssignments/delete",
			"Microsoft.Compute/galleries/share/action",
			"Microsoft.Purview/consents/write",
			"Microsoft.Purview/consents/delete",
			"Microsoft.Resources/deploymentStacks/manageDenySetting/action",
		},
	},
	{
		ID: "acdd72a7-3385-48ef-bd42-f606fba81ae7", Name: "Reader",
		Description: "View all resources, but does not allow you to make any changes.",
		Actions:     []string{"*/read"},
	},
	{
		ID: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", Name: "User Access Administrator",
		Description: "Lets you manage user access to Azure resources.",
		Actions:     []string{"*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"},
	},
	{
		ID: "974c5e8b-45b9-4653-ba55-5f855dd0fb88", Name: "Storage Queue Data Contributor",
		Description: "Allows for read, write, and delete access to Azure Storage queues and queue messages",
		Actions: []string{
			"Microsoft.Storage/storageAccounts/queueServices/queues/delete",
			"Microsoft.Storage/storageAccounts/queueServices/queues/read",
			"Microsoft.Storage/storageAccounts/queueServices/queues/write",
		},
		DataActions: []string{
			"Microsoft.Storage/storageAccounts/queueServices/queues/messages/delete",
			"Microsoft.Storage/storageAccounts/queueServices/queues/messages/read",
			"Microsoft.Storage/storageAccounts/queueServices/queues/messages/write",
			"Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action",
		},
	},
	{
		ID: "8a0f0c08-91a1-4084-bc3d-661d67233fed", Name: "Storage Queue Data Message Processor",
		Description: "Allows for peek, receive, and delete access to Azure Storage queue messages",
		DataActions: []string{
			"Microsoft.Storage/storageAccounts/queueServices/queues/messages/read",
			"Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action",
		},
	},
	{
		ID:   "00482a5a-887f-4fb3-b363-3b7fe8e74483",
		Name: "Key Vault Administrator",
		Description: "Perform all data plane operations on a key vault and all objects in it, including certificates, " +
			"keys, and secrets. Cannot manage key vault resources or manage role assignments. Only works for key vaults that " +
			"use the 'Azure role-based access control' permission model.",
		Actions:     keyVaultReads,
		DataActions: []string{"Microsoft.KeyVault/vaults/*"},
	},
	{
		ID:   "21090545-7ca7-4776-b22c-e363652d74d2",
		Name: "Key Vault Reader",
		Description: "Read metadata of key vaults and its certificates, keys, and secrets. Cannot read sensitive values " +
			"such as secret contents or key material. Only works for key vaults that use the 'Azure role-based access " +
			"control' permission model.",
		Actions:     keyVaultReads,
		DataActions: []string{"Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"},
	},
	{
		ID:   "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
		Name: "Key Vault Secrets Officer",
		Description: "Perform any action on the secrets of a key vault, except manage permissions. Only works for key " +
			"vaults that use the 'Azure role-based access control' permission model.",
		Actions:     keyVaultReads,
		DataActions: []string{"Microsoft.KeyVault/vaults/secrets/*"},
	},
	{
		ID:   "4633458b-17de-408a-b874-0445c86b69e6",
		Name: "Key Vault Secrets User",
		Description: "Read secret contents. Only works for key vaults that use the 'Azure role-based access control' " +
			"permission model.",
		DataActions: []string{
			"Microsoft.KeyVault/vaults/secrets/getSecret/action",
			"Microsoft.KeyVault/vaults/secrets/readMetadata/action",
		},
	},
	{
		ID:   "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
		Name: "Key Vault Crypto Officer",
		Description: "Perform any action on the keys of a key vault, except manage permissions. Only works for key vaults " +
			"that use the 'Azure role-based access control' permission model.",
		Actions:     keyVaultReads,
		DataActions: []string{"Microsoft.KeyVault/vaults/keys/*", "Microsoft.KeyVault/vaults/keyrotationpolicies/*"},
	},
	{
		ID:   "12338af0-0e69-4776-bea7-57ae8d297424",
		Name: "Key Vault Crypto User",
		Description: "Perform cryptographic operations using keys. Only works for key vaults that use the 'Azure " +
			"role-based access control' permission model.",
		DataActions: []string{
			"Microsoft.KeyVault/vaults/keys/read",
			"Microsoft.KeyVault/vaults/keys/update/action",
			"Microsoft.KeyVault/vaults/keys/backup/action",
			"Microsoft.KeyVault/vaults/keys/encrypt/action",
			"Microsoft.KeyVault/vaults/keys/decrypt/action",
			"Microsoft.KeyVault/vaults/keys/wrap/action",
			"Microsoft.KeyVault/vaults/keys/unwrap/action",
			"Microsoft.KeyVault/vaults/keys/sign/action",
			"Microsoft.KeyVault/vaults/keys/verify/action",
		},
	},
	{
		ID:   "e147488a-f6f5-4113-8e2d-b22465e65bf6",
		Name: "Key Vault Crypto Service Encryption User",
		Description: "Read metadata of keys and perform wrap/unwrap operations. Only works for key vaults that use the " +
			"'Azure role-based access control' permission model.",
		Actions: []string{
			"Microsoft.EventGrid/eventSubscriptions/write",
			"Microsoft.EventGrid/eventSubscriptions/read",
			"Microsoft.EventGrid/eventSubscriptions/delete",
		},
		DataActions: []string{
			"Microsoft.KeyVault/vaults/keys/read",
			"Microsoft.KeyVault/vaults/keys/wrap/action",
			"Microsoft.KeyVault/vaults/keys/unwrap/action",
		},
	},
	{
		ID:   "08bbd89e-9f13-488c-ac41-acfcb10c90ab",
		Name: "Key Vault Crypto Service Release User",
		Description: "Release keys. Only works for key vaults that use the 'Azure role-based access control' permission " +
			"model.",
		DataActions: []string{"Microsoft.KeyVault/vaults/keys/release/action"},
	},
	{
		ID:   "a4417e6f-fecd-4de8-b567-7b0420556985",
		Name: "Key Vault Certificates Officer",
		Description: "Perform any action on the certificates of a key vault, except manage permissions. Only works for " +
			"key vaults that use the 'Azure role-based access control' permission model.",
		Actions: keyVaultReads,
		DataActions: []string{
			"Microsoft.KeyVault/vaults/certificatecas/*",
			"Microsoft.KeyVault/vaults/certificates/*",
			"Microsoft.KeyVault/vaults/certificatecontacts/write",
		},
	},
	{
		ID:   "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
		Name: "Key Vault Certificate User",
		Description: "Read certificate contents. Only works for key vaults that use the 'Azure role-based access control' " +
			"permission model.",
		DataActions: []string{
			"Microsoft.KeyVault/vaults/certificates/read",
			"Microsoft.KeyVault/vaults/secrets/getSecret/action",
			"Microsoft.KeyVault/vaults/secrets/readMetadata/action",
			"Microsoft.KeyVault/vaults/keys/read",
		},
	},
	{
		ID:   "f25e0fa2-a7c8-4377-a976-54943a77a395",
		Name: "Key Vault Contributor",
		Description: "Manage key vaults, but does not allow you to assign roles in Azure RBAC, and does not allow you to " +
			"access secrets, keys, or certificates.",
		Actions: []string{
			"Microsoft.Authorization/*/read",
			"Microsoft.Insights/alertRules/*",
			"Microsoft.KeyVault/*",
			"Microsoft.Resources/deployments/*",
			"Microsoft.Resources/subscriptions/resourceGroups/read",
			"Microsoft.Support/*",
		},
		NotActions: []string{
			"Microsoft.KeyVault/locations/deletedVaults/purge/action",
			"Microsoft.KeyVault/hsmPools/*",
			"Microsoft.KeyVault/managedHsms/*",
		},
	},
	{
		ID: "7f951dda-4ed3-4680-a7ca-43fe172d538d", Name: "AcrPull",
		Description: "acr pull",
		Actions:     []string{"Microsoft.ContainerRegistry/registries/pull/read"},
	},
	{
		ID: "4d97b98b-1d4f-4787-a291-c67834d212e7", Name: "Network Contributor",
		Description: "Lets you manage networks, but not access to them.",
		Actions: []string{
			"Microsoft.Authorization/*/read",
			"Microsoft.Insights/alertRules/*",
			"Microsoft.Network/*",
			"Microsoft.ResourceHealth/availabilityStatuses/read",
			"Microsoft.Resources/deployments/*",
			"Microsoft.Resources/subscriptions/resourceGroups/read",
			"Microsoft.Support/*",
		},
	},
	{
		ID: "b12aa53e-6015-4669-85d0-8515ebb3ae7f", Name: "Private DNS Zone Contributor",
		Description: "Lets you manage private DNS zone resources, but not the virtual networks they are linked to.",
		Actions: []string{
			"Microsoft.Insights/alertRules/*",
			"Microsoft.Resources/deployments/*",
			"Microsoft.Resources/subscriptions/resourceGroups/read",
			"Microsoft.Support/*",
			"Microsoft.Authorization/*/read",
			"Microsoft.Network/privateDnsZones/*",
			"Microsoft.Network/privateDnsOperationResults/*",
			"Microsoft.Network/privateDnsOperationStatuses/*",
			"Microsoft.Network/virtualNetworks/read",
			"Microsoft.Network/virtualNetworks/join/action",
		},
	},
	{
		ID: "4abbcc35-e782-43d8-92c5-2d3f1bd2253f", Name: "Azure Kubernetes Service Cluster User Role",
		Description: "List cluster user credential action.",
		Actions:     []string{userCredential, "Microsoft.ContainerService/managedClusters/read"},
	},
	{
		ID: "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b", Name: "Azure Kubernetes Service RBAC Cluster Admin",
		Description: "Lets you manage all resources in the cluster.",
		Actions:     append([]string{userCredential}, kubernetesReads...),
		DataActions: inClusters("*"),
	},
	{
		ID:   "3498e952-d568-435e-9b2c-8d77e338d7f7",
		Name: "Azure Kubernetes Service RBAC Admin",
		Description: "Lets you manage all resources under cluster/namespace, except update or delete resource quotas " +
			"and namespaces.",
		Actions:        append([]string{userCredential}, kubernetesReads...),
		DataActions:    inClusters("*"),
		NotDataActions: inClusters("resourcequotas/write resourcequotas/delete namespaces/write namespaces/delete"),
	},
	{
		ID:   "7f6c6a51-bcf8-42ba-9220-52d62157d7db",
		Name: "Azure Kubernetes Service RBAC Reader",
		Description: "Allows read-only access to see most objects in a namespace. It does not allow viewing roles or role " +
			"bindings. This role does not allow viewing Secrets, since reading the contents of Secrets enables access to " +
			"ServiceAccount credentials in the namespace, which would allow API access as any ServiceAccount in the " +
			"namespace (a form of privilege escalation). Applying this role at cluster scope will give access across all " +
			"namespaces.",
		Actions: kubernetesReads,
		DataActions: inClusters(
			`apps/controllerrevisions/read apps/daemonsets/read apps/deployments/read apps/replicasets/read apps/statefulsets/read
			autoscaling/horizontalpodautoscalers/read batch/cronjobs/read batch/jobs/read configmaps/read
			discovery.k8s.io/endpointslices/read
			endpoints/read events.k8s.io/events/read events/read extensions/daemonsets/read extensions/deployments/read
			extensions/ingresses/read
			extensions/networkpolicies/read extensions/replicasets/read limitranges/read metrics.k8s.io/pods/read
			metrics.k8s.io/nodes/read
			namespaces/read networking.k8s.io/ingresses/read networking.k8s.io/networkpolicies/read
			persistentvolumeclaims/read pods/read
			policy/poddisruptionbudgets/read replicationcontrollers/read resourcequotas/read serviceaccounts/read services/read`,
		),
	},
	{
		ID:   "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
		Name: "Azure Kubernetes Service RBAC Writer",
		Description: "Allows read/write access to most objects in a namespace. This role does not allow viewing or " +
			"modifying roles or role bindings. However, this role allows accessing Secrets and running Pods as any " +
			"ServiceAccount in the namespace, so it can be used to gain the API access levels of any ServiceAccount in the " +
			"namespace. Applying this role at cluster scope will give access across all namespaces.",
		Actions: kubernetesReads,
		DataActions: inClusters(
			`apps/controllerrevisions/read apps/daemonsets/* apps/deployments/* apps/replicasets/* apps/statefulsets/*
			autoscaling/horizontalpodautoscalers/* batch/cronjobs/* coordination.k8s.io/leases/read
			coordination.k8s.io/leases/write
			coordination.k8s.io/leases/delete discovery.k8s.io/endpointslices/read batch/jobs/* configmaps/* endpoints/*
			events.k8s.io/events/read
			events/* extensions/daemonsets/* extensions/deployments/* extensions/ingresses/* extensions/networkpolicies/*
			extensions/replicasets/*
			limitranges/read metrics.k8s.io/pods/read metrics.k8s.io/nodes/read namespaces/read networking.k8s.io/ingresses/*
			networking.k8s.io/networkpolicies/* persistentvolumeclaims/* pods/* policy/poddisruptionbudgets/*
			replicationcontrollers/*
			resourcequotas/read secrets/* serviceaccounts/* services/*`,
		),
	},
}

// OwnerID is the ID of the role Owner.
const OwnerID = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

// builtIn returns the built-in role with a GUID.
func builtIn(id string) (Role, bool) {
	for _, role := range Roles {
		if fold.Equal(role.ID, id) {
			return role, true
		}
	}
	return Role{}, false
}

// allows says whether the role grants an action: one of its patterns matches, and none of those it excludes.
func (r Role) allows(action string, plane Plane) bool {
	granted, excluded := r.patterns(plane)
	return matchesAny(granted, action) && !matchesAny(excluded, action)
}

// patterns returns what the role grants on a plane, and what it excludes from that.
func (r Role) patterns(plane Plane) (granted, excluded []string) {
	if plane == Data {
		return r.DataActions, r.NotDataActions
	}
	return r.Actions, r.NotActions
}

func matchesAny(patterns []string, action string) bool {
	for _, pattern := range patterns {
		if matches(fold.Lower(pattern), fold.Lower(action)) {
			return true
		}
	}
	return false
}

// matches compares with a pattern in which * matches any characters, including slashes.
func matches(pattern, action string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == action
	}
	if !strings.HasPrefix(action, head) {
		return false
	}
	for action = action[len(head):]; ; action = action[1:] {
		if matches(rest, action) {
			return true
		}
		if action == "" {
			return false
		}
	}
}
