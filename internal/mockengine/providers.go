package mockengine

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Answers of the providers.
const (
	TenantID   = "11111111-1111-1111-1111-111111111111"
	Group      = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/group"
	Suffix     = "abc123"
	Version    = "0123456789abcdef0123456789abcdef"
	Password   = "generated-by-the-mock"
	IssuerURL  = "https://eastus.oic.prod-aks.azure.com/tenant/cluster/"
	FQDN       = "cluster.hcp.eastus.azmk8s.io"
	OutboundIP = "203.0.113.77"
	Kubeconfig = "apiVersion: v1\nkind: Config\n"
)

// create returns a new resource's id and outputs.
func create(typ, name string, inputs resource.PropertyMap) (id string, outputs resource.PropertyMap) {
	outputs = inputs.Copy()
	named := func(key, path string, more map[string]any) (string, resource.PropertyMap) {
		given := name + "-auto"
		if v := inputs[resource.PropertyKey(key)]; v.IsString() {
			given = v.StringValue()
		}
		more["name"] = given
		for k, v := range resource.NewPropertyMapFromMap(more) {
			outputs[k] = v
		}
		return Group + path + given, outputs
	}
	switch typ {
	case "random:index/randomString:RandomString":
		outputs["result"] = resource.NewProperty(Suffix)
	case "random:index/randomPassword:RandomPassword":
		outputs["result"] = resource.NewProperty(Password)
	case "azure-native:resources/v20220901:ResourceGroup":
		return named("resourceGroupName", "", map[string]any{})
	case "azure-native:network/v20230601:VirtualNetwork":
		return named("virtualNetworkName", "/providers/Microsoft.Network/virtualNetworks/", map[string]any{})
	case "azure-native:keyvault/v20241101:Vault", "azure-native_keyvault_v20260201:keyvault:Vault":
		return named("vaultName", "/providers/Microsoft.KeyVault/vaults/", map[string]any{
			"properties": map[string]any{"vaultUri": "https://vault.example/", "tenantId": TenantID},
		})
	case "azure-native:network/v20240601:PrivateZone":
		return named("privateZoneName", "/providers/Microsoft.Network/privateDnsZones/", map[string]any{})
	case "azure-native:operationalinsights/v20201001:Workspace":
		return named("workspaceName", "/providers/Microsoft.OperationalInsights/workspaces/", map[string]any{})
	case "azure-native:eventgrid/v20250215:SystemTopic":
		return named("systemTopicName", "/providers/Microsoft.EventGrid/systemTopics/", map[string]any{})
	case "azure-native:network/v20210201:PrivateEndpoint":
		return named("privateEndpointName", "/providers/Microsoft.Network/privateEndpoints/", map[string]any{})
	case "azure-native:keyvault/v20241101:Secret", "azure-native_keyvault_v20260201:keyvault:Secret":
		outputs["properties"] = resource.NewPropertyValue(
			map[string]any{"secretUriWithVersion": "https://vault.example/secrets/s/" + Version},
		)
	case "azure-native:managedidentity/v20230131:UserAssignedIdentity":
		return named("resourceName", "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/", map[string]any{
			"clientId": "client-id", "principalId": "principal-id", "tenantId": TenantID,
		})
	case "azure-native:containerservice/v20240901:ManagedCluster":
		return named("resourceName", "/providers/Microsoft.ContainerService/managedClusters/", map[string]any{})
	}
	if metadata := inputs["metadata"]; metadata.IsObject() && metadata.ObjectValue()["name"].IsNull() {
		outputs["metadata"] = resource.NewProperty(metadata.ObjectValue().Copy())
		outputs["metadata"].ObjectValue()["name"] = resource.NewProperty(name + "-auto")
	}
	return name + "-id", outputs
}

// invoke returns the result of a provider's function.
func invoke(token string, args resource.PropertyMap) (resource.PropertyMap, error) {
	switch token {
	case "pulumi:pulumi:readStackResourceOutputs":
		return resource.NewPropertyMapFromMap(map[string]any{"outputs": map[string]any{}}), nil
	case "azure-native:authorization:getClientConfig":
		return resource.NewPropertyMapFromMap(
			map[string]any{
				"tenantId":       TenantID,
				"subscriptionId": path.Base(path.Dir(path.Dir(Group))),
				"objectId":       "object-id",
			},
		), nil
	case "azure-native:network/v20230601:getVirtualNetwork":
		return resource.NewPropertyMapFromMap(map[string]any{"name": args["virtualNetworkName"].StringValue()}), nil
	case "azure-native:resources/v20220901:getResourceGroup":
		name := args["resourceGroupName"].StringValue()
		return resource.NewPropertyMapFromMap(map[string]any{"id": path.Join(path.Dir(Group), name), "name": name}), nil
	case "azure-native:managedidentity/v20230131:getUserAssignedIdentity":
		group, name := args["resourceGroupName"].StringValue(), args["resourceName"].StringValue()
		return resource.NewPropertyMapFromMap(map[string]any{
			"id":       path.Join(path.Dir(Group), group, "providers/Microsoft.ManagedIdentity/userAssignedIdentities", name),
			"clientId": name + "-client-id", "principalId": name + "-principal-id", "tenantId": TenantID,
		}), nil
	case "azure-native:keyvault/v20241101:getVault", "azure-native_keyvault_v20260201:keyvault:getVault":
		group, name := args["resourceGroupName"].StringValue(), args["vaultName"].StringValue()
		return resource.NewPropertyMapFromMap(map[string]any{
			"id":   path.Join(path.Dir(Group), group, "providers/Microsoft.KeyVault/vaults", name),
			"name": name,
			"properties": map[string]any{
				"vaultUri":                fmt.Sprintf("https://%s.%s.example/", name, group),
				"tenantId":                TenantID,
				"enableRbacAuthorization": true,
			},
		}), nil
	case "azure-native:keyvault/v20241101:getSecret", "azure-native_keyvault_v20260201:keyvault:getSecret",
		"azure-native:keyvault/v20241101:getKey", "azure-native_keyvault_v20260201:keyvault:getKey":
		return nil, errors.New("Status=404 Code=\"ResourceNotFound\": the vault has no such object")
	case "azure-native:containerservice/v20240901:getManagedCluster":
		return resource.NewPropertyMapFromMap(map[string]any{
			"oidcIssuerProfile": map[string]any{"issuerURL": IssuerURL},
			"fqdn":              FQDN, "nodeResourceGroup": "nodes",
			"identityProfile": map[string]any{"kubeletidentity": map[string]any{
				"resourceId": "kubelet-id", "clientId": "kubelet-client-id", "objectId": "kubelet-principal-id",
			}},
			"networkProfile": map[string]any{"loadBalancerProfile": map[string]any{"effectiveOutboundIPs": []any{
				map[string]any{"id": path.Join(path.Dir(Group), "nodes/providers/Microsoft.Network/publicIPAddresses/outbound")},
			}}},
		}), nil
	case "azure-native:network/v20230601:getPublicIPAddress":
		return resource.NewPropertyMapFromMap(map[string]any{"ipAddress": OutboundIP}), nil
	case "azure-native:containerservice/v20240901:listManagedClusterUserCredentials":
		return resource.NewPropertyMapFromMap(map[string]any{"kubeconfigs": []any{map[string]any{
			"name": "clusterUser", "value": base64.StdEncoding.EncodeToString([]byte(Kubeconfig)),
		}}}), nil
	}
	return nil, fmt.Errorf("there is no function %s", token)
}
