// Command rules breaks every rule of the policy pack, without components. It is only for previews.
package main

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() { pulumi.Run(program) }

type (
	m = map[string]any
	l = []any
)

const (
	tenant       = "11111111-1111-1111-1111-111111111111"
	subscription = "/subscriptions/22222222-2222-2222-2222-222222222222"
	vaultID      = subscription + "/resourceGroups/group/providers/Microsoft.KeyVault/vaults/kv-rules"
	roles        = subscription + "/providers/Microsoft.Authorization/roleDefinitions/"
	exchange     = "api://AzureADTokenExchange"
)

// custom is any resource.
type custom struct {
	pulumi.CustomResourceState

	PrincipalID pulumi.StringOutput `pulumi:"principalId"`
}

// program registers resources by tokens with and without versions, as programs with azure-native v2 and v3 do.
func program(ctx *pulumi.Context) error {
	var failed error
	add := func(typ, name string, properties pulumi.Map, opts ...pulumi.ResourceOption) *custom {
		r := &custom{}
		if strings.HasPrefix(typ, "azure-native:") {
			opts = append(opts, pulumi.Version("2.92.0"))
		}
		if err := ctx.RegisterResource(typ, name, properties, r, opts...); err != nil && failed == nil {
			failed = err
		}
		return r
	}
	vaults(add)
	add("azure-native:containerservice:ManagedCluster", "cluster", in(m{
		"resourceGroupName": "group", "location": "eastus", "dnsPrefix": "rules",
		"networkProfile": m{"networkPlugin": "kubenet", "loadBalancerSku": "basic"},
		"agentPoolProfiles": l{m{
			"name": "system", "mode": "System", "type": "AvailabilitySet", "count": 1, "vmSize": "Standard_D2s_v5",
			"enableNodePublicIP": true,
		}},
	}))
	identities(add)
	if err := inCluster(ctx, add); err != nil {
		return err
	}
	return failed
}

type adder = func(typ, name string, properties pulumi.Map, opts ...pulumi.ResourceOption) *custom

func vaults(add adder) {
	add("azure-native:keyvault/v20241101:Vault", "open", in(m{
		"resourceGroupName": "group", "location": "eastus", "vaultName": "kv-open",
		"properties": m{
			"tenantId":              tenant,
			"sku":                   m{"family": "A", "name": "standard"},
			"enableSoftDelete":      false,
			"enablePurgeProtection": false,
		},
	}))
	add("azure-native:keyvault:Vault", "kept", in(m{
		"resourceGroupName": "group", "location": "eastus", "vaultName": "kv-kept",
		"properties": m{"tenantId": tenant, "sku": m{"family": "A", "name": "standard"}, "enablePurgeProtection": true},
	}))
	add("azure-native:keyvault:Secret", "secret", in(m{
		"resourceGroupName": "group", "vaultName": "kv-open", "secretName": "secret", "properties": m{"value": "hunter2"},
	}))
	add("azure-native:keyvault/v20241101:Key", "key", in(m{
		"resourceGroupName": "group",
		"vaultName":         "kv-open",
		"keyName":           "key",
		"properties":        m{"kty": "RSA", "keySize": 2048},
	}))
}

func identities(add adder) {
	identity := add("azure-native:managedidentity:UserAssignedIdentity", "identity", in(m{
		"resourceGroupName": "group", "location": "eastus", "resourceName": "rules",
	}))
	for name, credential := range map[string]m{
		"audience": {
			"audiences": l{exchange, "https://vault.azure.net"}, "issuer": "https://issuer.example/",
			"subject": "system:serviceaccount:apps:a",
		},
		"issuer": {
			"audiences": l{exchange}, "issuer": "http://issuer.example/", "subject": "system:serviceaccount:apps:b",
		},
		"subject": {
			"audiences": l{exchange}, "issuer": "https://issuer.example/", "subject": "system:serviceaccount:apps:*",
		},
	} {
		credential["resourceGroupName"], credential["resourceName"] = "group", "rules"
		credential["federatedIdentityCredentialResourceName"] = name
		add("azure-native:managedidentity/v20230131:FederatedIdentityCredential", name, in(credential))
	}
	for name, role := range map[string]m{
		"administrator": {"roleDefinitionId": roles + "00482a5a-887f-4fb3-b363-3b7fe8e74483", "principalType": "User"},
		"reader": {
			"roleDefinitionId": roles + "4633458b-17de-408a-b874-0445c86b69e6", "principalType": "ServicePrincipal",
		},
	} {
		properties := in(role)
		properties["scope"], properties["principalId"] = pulumi.String(vaultID), identity.PrincipalID
		add("azure-native:authorization/v20220401:RoleAssignment", name, properties)
	}
}

// inCluster uses a provider for a cluster that cannot be reached, which is enough for a preview.
func inCluster(ctx *pulumi.Context, add adder) error {
	provider := &struct{ pulumi.ProviderResourceState }{}
	inputs := in(m{"kubeconfig": kubeconfig})
	if err := ctx.RegisterResource("pulumi:providers:kubernetes", "kubernetes", inputs, provider); err != nil {
		return err
	}
	by := pulumi.Provider(provider)
	object := func(typ, version, kind, name string, content m) {
		content["apiVersion"], content["kind"] = version, kind
		content["metadata"] = m{"name": name, "namespace": "apps"}
		add(typ, name, in(content), by)
	}
	object("kubernetes:core/v1:Namespace", "v1", "Namespace", "apps", m{})
	object("kubernetes:core/v1:ConfigMap", "v1", "ConfigMap", "settings", m{"data": m{"password": "hunter2"}})
	object(
		"kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass",
		"secrets-store.csi.x-k8s.io/v1",
		"SecretProviderClass",
		"class",
		m{
			"spec": m{"provider": "azure", "parameters": m{
				"useVMManagedIdentity": "true", "keyvaultName": "kv-open", "tenantID": tenant,
				"objects": "array:\n  - objectName: secret\n    objectType: secret\n",
			}},
		},
	)
	object("kubernetes:core/v1:Pod", "v1", "Pod", "pod", m{"spec": m{
		"volumes": l{m{"name": "secrets", "csi": m{
			"driver": "secrets-store.csi.k8s.io", "readOnly": true, "nodePublishSecretRef": m{"name": "credential"},
			"volumeAttributes": m{"secretProviderClass": "class"},
		}}},
		"containers": l{m{
			"name": "app", "image": "busybox:1.35.0", "env": l{m{"name": "DB_PASSWORD", "value": "hunter2"}},
			"volumeMounts": l{m{"name": "secrets", "mountPath": "/etc/password", "subPath": "secret"}},
		}},
	}})
	return nil
}

const kubeconfig = `{apiVersion: v1, kind: Config,
current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {token: none}}]}`

// in returns properties as inputs.
func in(properties m) pulumi.Map { return pulumi.ToMap(properties) }
