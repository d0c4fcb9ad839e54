package plugin

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	cloud "github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
)

// noKubernetes starts no clusters.
type noKubernetes struct{}

func (noKubernetes) Start(context.Context, cloud.ClusterSpec) error                { return nil }
func (noKubernetes) Delete(context.Context, string) error                          { return nil }
func (noKubernetes) Kubeconfig(context.Context, cloud.ClusterSpec) ([]byte, error) { return nil, nil }
func (noKubernetes) PublicKeys(string) ([]crypto.PublicKey, error)                 { return nil, nil }

// startLocalCloud starts a local cloud. It returns a function that returns a version of the plugin, configured for that
// cloud.
func startLocalCloud(t *testing.T) func(version string) plugin.Provider {
	t.Helper()
	transport, owner := serveLocalCloud(t)
	return func(version string) plugin.Provider { return configured(t, version, transport, owner) }
}

// serveLocalCloud starts a local cloud. It returns a client for it and its owner's provider configuration.
func serveLocalCloud(t *testing.T) (*http.Client, resource.PropertyMap) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	way, err := edge.New(filepath.Join(dir, "edge"))
	must(err)
	c, err := cloud.New(cloud.Options{
		Dir:      filepath.Join(dir, "azure"),
		Edge:     way,
		Clusters: noKubernetes{},
		Log:      slog.New(slog.DiscardHandler),
	})
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- way.Serve(ctx, l) }()
	ca, err := os.ReadFile(way.CAFile())
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()}),
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		must(<-served)
		c.Close()
	})

	owner := c.Credentials()
	return &http.Client{Transport: transport}, resource.PropertyMap{
		"clientId": str(owner.ClientID), "clientSecret": str(owner.ClientSecret), "tenantId": str(owner.TenantID),
		"subscriptionId": str(owner.SubscriptionID),
	}
}

type object = map[string]any

// TestLocalCloud_AcceptsProductionStack creates, reads and deletes every resource of a production stack.
func TestLocalCloud_AcceptsProductionStack(t *testing.T) {
	engine := startLocalCloud(t)(Version2)
	type made struct {
		urn    resource.URN
		id     resource.ID
		inputs resource.PropertyMap
		state  resource.PropertyMap
	}
	var all []made
	create := func(token, name string, inputs object) made {
		t.Helper()
		checked := check(t, engine, plugin.CheckRequest{
			URN: urn(token, name), News: resource.NewPropertyMapFromMap(inputs), RandomSeed: []byte(name),
		})
		if len(checked.Failures) > 0 {
			t.Fatalf("%s: %v", token, checked.Failures)
		}
		resp, err := engine.Create(t.Context(), plugin.CreateRequest{URN: urn(token, name), Properties: checked.Properties})
		if err != nil {
			t.Fatalf("%s: %v", token, err)
		}
		read, err := engine.Read(t.Context(), plugin.ReadRequest{
			URN: urn(token, name), ID: resp.ID, Inputs: checked.Properties, State: resp.Properties,
		})
		if err != nil {
			t.Fatalf("%s: %v", token, err)
		}
		if diff := checked.Properties.Diff(read.Inputs); diff != nil {
			t.Errorf("%s: an immediate refresh changes the inputs: %v", token, diff)
		}
		one := made{urn(token, name), resp.ID, checked.Properties, resp.Properties}
		all = append(all, one)
		return one
	}
	output := func(of made, path string) string {
		t.Helper()
		at, err := resource.ParsePropertyPath(path)
		if err != nil {
			t.Fatal(err)
		}
		v, ok := at.Get(resource.NewObjectProperty(of.state))
		if !ok || !v.IsString() {
			t.Fatalf("%s has no %s: %v", of.urn.Type(), path, of.state)
		}
		return v.StringValue()
	}

	create("resources/v20220901:ResourceGroup", "rg", object{"resourceGroupName": "rg", "location": "eastus"})
	workspace := create("operationalinsights/v20201001:Workspace", "logs", object{
		"resourceGroupName": "rg", "location": "East US", "sku": object{"name": "PerGB2018"}, "retentionInDays": 30,
	})
	network := create("network/v20230601:VirtualNetwork", "network", object{
		"resourceGroupName": "rg", "location": "eastus", "addressSpace": object{"addressPrefixes": []any{"10.0.0.0/16"}},
		"subnets": []any{
			object{
				"name":             "nodes",
				"addressPrefix":    "10.0.0.0/20",
				"serviceEndpoints": []any{object{"service": "Microsoft.KeyVault"}},
			},
			object{"name": "endpoints", "addressPrefix": "10.0.16.0/24", "privateEndpointNetworkPolicies": "Disabled"},
		},
	})
	if got := output(network, "subnets[1].addressPrefix"); got != "10.0.16.0/24" {
		t.Errorf("got subnet %s", got)
	}
	nodes := output(network, "subnets[0].id")
	zone := create("network/v20240601:PrivateZone", "zone", object{
		"resourceGroupName": "rg", "privateZoneName": "privatelink.vaultcore.azure.net", "location": "global",
	})
	create("network/v20240601:VirtualNetworkLink", "link", object{
		"resourceGroupName":      "rg",
		"privateZoneName":        output(zone, "name"),
		"virtualNetworkLinkName": "network",
		"location":               "global",
		"registrationEnabled":    false,
		"virtualNetwork":         object{"id": string(network.id)},
	})
	vault := create("keyvault/v20241101:Vault", "kv", object{
		"resourceGroupName": "rg", "vaultName": "kv-plugin", "location": "eastus",
		"properties": object{
			"tenantId":                cloud.TenantID,
			"sku":                     object{"family": "A", "name": "premium"},
			"enableRbacAuthorization": true,
			"publicNetworkAccess":     "Enabled",
			"networkAcls": object{
				"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": []any{object{"value": "203.0.113.0/24"}},
				"virtualNetworkRules": []any{object{"id": nodes}},
			},
		},
	})
	endpoint := create("network/v20210201:PrivateEndpoint", "endpoint", object{
		"resourceGroupName": "rg",
		"location":          "eastus",
		"subnet": object{ // with the SDK's defaults
			"id":                                output(network, "subnets[1].id"),
			"privateEndpointNetworkPolicies":    "Enabled",
			"privateLinkServiceNetworkPolicies": "Enabled",
		},
		"privateLinkServiceConnections": []any{
			object{"name": "vault", "groupIds": []any{"vault"}, "privateLinkServiceId": string(vault.id)},
		},
	})
	const connection = "privateLinkServiceConnections[0].privateLinkServiceConnectionState.status"
	if got := output(endpoint, connection); got != "Approved" {
		t.Errorf("the connection is %s", got)
	}
	create("network/v20210201:PrivateDnsZoneGroup", "default", object{
		"resourceGroupName": "rg", "privateEndpointName": output(endpoint, "name"),
		"privateDnsZoneConfigs": []any{object{"name": "vault", "privateDnsZoneId": string(zone.id)}},
	})
	create("insights/v20210501preview:DiagnosticSetting", "vault-logs", object{
		"resourceUri": string(vault.id),
		"workspaceId": string(workspace.id),
		"logs":        []any{object{"category": "AuditEvent", "enabled": true}},
		"metrics":     []any{object{"category": "AllMetrics", "enabled": true}},
	})
	create("authorization/v20200501:ManagementLockByScope", "vault-lock", object{
		"scope": string(vault.id), "lockName": "vault-lock", "level": "CanNotDelete", "notes": "n",
	})
	identity := create("managedidentity/v20230131:UserAssignedIdentity", "aks", object{
		"resourceGroupName": "rg", "location": "eastus",
	})
	create("authorization/v20220401:RoleAssignment", "join", object{
		"scope": nodes, "principalId": output(identity, "principalId"), "principalType": "ServicePrincipal",
		"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/4d97b98b-1d4f-4787-a291-c67834d212e7",
	})
	create("authorization/v20220401:RoleAssignment", "conditional", object{
		"scope": nodes, "principalId": output(identity, "principalId"), "principalType": "ServicePrincipal",
		"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
		"condition":        "!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})", "conditionVersion": "2.0",
	})
	aks := create("containerservice/v20240901:ManagedCluster", "aks", object{
		"resourceGroupName":    "rg",
		"location":             "eastus",
		"dnsPrefix":            "aks",
		"enableRBAC":           true,
		"disableLocalAccounts": true,
		"sku":                  object{"name": "Base", "tier": "Standard"},
		"identity":             object{"type": "UserAssigned", "userAssignedIdentities": []any{string(identity.id)}},
		"aadProfile":           object{"managed": true, "enableAzureRBAC": true, "tenantID": cloud.TenantID},
		"agentPoolProfiles": []any{
			object{
				"name":         "system",
				"mode":         "System",
				"count":        1,
				"vmSize":       "Standard_D2s_v5",
				"vnetSubnetID": nodes,
				"type":         "VirtualMachineScaleSets",
			},
		},
		"autoUpgradeProfile": object{"upgradeChannel": "patch", "nodeOSUpgradeChannel": "NodeImage"},
		"addonProfiles": object{
			"omsagent": object{"enabled": true, "config": object{"logAnalyticsWorkspaceResourceID": string(workspace.id)}},
		},
		"networkProfile": object{
			"networkPlugin": "azure", "networkPluginMode": "overlay", "networkPolicy": "azure", "outboundType": "loadBalancer",
			"podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10",
		},
	})
	pool := create("containerservice/v20240901:AgentPool", "work", object{
		"resourceGroupName": "rg",
		"resourceName":      output(aks, "name"),
		"vmSize":            "Standard_D2s_v5",
		"mode":              "User",
		"enableAutoScaling": true,
		"minCount":          1,
		"maxCount":          3,
		"availabilityZones": []any{"1"},
		"vnetSubnetID":      nodes,
		"nodeLabels":        object{"a": "b"},
	})
	create("resources/v20220901:Deployment", "upgrade", object{
		"resourceGroupName": "rg", "properties": object{"mode": "Incremental", "template": object{
			"$schema":        "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
			"contentVersion": "1.0.0.0",
			"resources": []any{
				object{
					"type":       "Microsoft.ContainerService/managedClusters/agentPools",
					"apiVersion": "2024-09-01",
					"name":       output(aks, "name") + "/other",
					"properties": object{"vmSize": "Standard_D2s_v5", "mode": "User", "count": 1, "vnetSubnetID": nodes},
				},
			},
		}},
	})
	create("containerservice/v20240901:MaintenanceConfiguration", "aksManagedAutoUpgradeSchedule", object{
		"resourceGroupName": "rg",
		"resourceName":      output(aks, "name"),
		"maintenanceWindow": object{
			"durationHours": 4,
			"startTime":     "02:00",
			"schedule":      object{"weekly": object{"intervalWeeks": 1, "dayOfWeek": "Sunday"}},
		},
	})
	create("insights/v20210501preview:DiagnosticSetting", "aks-logs", object{
		"resourceUri": string(aks.id),
		"workspaceId": string(workspace.id),
		"logs":        []any{object{"category": "kube-audit-admin", "enabled": true}},
	})

	// Updates of the cluster and the network keep their pools and subnets.
	for _, one := range []made{aks, network, vault, pool} {
		if _, err := engine.Update(t.Context(), plugin.UpdateRequest{
			URN: one.urn, ID: one.id, OldInputs: one.inputs, OldOutputs: one.state, NewInputs: one.inputs,
		}); err != nil {
			t.Errorf("%s: %v", one.urn.Type(), err)
		}
	}
	for token, args := range map[string]object{
		"keyvault/v20241101:getVault":                  {"resourceGroupName": "rg", "vaultName": "kv-plugin"},
		"containerservice/v20240901:getManagedCluster": {"resourceGroupName": "rg", "resourceName": output(aks, "name")},
		"managedidentity/v20230131:getUserAssignedIdentity": {
			"resourceGroupName": "rg", "resourceName": output(identity, "name"),
		},
		"containerservice/v20240901:getAgentPool": {
			"resourceGroupName": "rg", "resourceName": output(aks, "name"), "agentPoolName": "work",
		},
		"insights/v20210501preview:getDiagnosticSetting": {
			"resourceUri": string(aks.id), "name": output(all[len(all)-1], "name"),
		},
		"authorization/v20200501:getManagementLockByScope": {"scope": string(vault.id), "lockName": "vault-lock"},
		"network/v20240601:getVirtualNetworkLink": {
			"resourceGroupName": "rg", "privateZoneName": output(zone, "name"), "virtualNetworkLinkName": "network",
		},
	} {
		got, err := invoke(t, engine, token, resource.NewPropertyMapFromMap(args))
		if err != nil {
			t.Errorf("%s: %v", token, err)
		}
		if token == "keyvault/v20241101:getVault" && !got.HasValue("properties") {
			t.Errorf("%s has no properties", token)
		}
		if token == "containerservice/v20240901:getManagedCluster" &&
			(!got.HasValue("oidcIssuerProfile") || got.HasValue("properties")) {
			t.Errorf("%s is not flat: %v", token, got)
		}
	}

	// The lock prevents the deletion of the vault.
	remove := func(one made) error {
		_, err := engine.Delete(t.Context(), plugin.DeleteRequest{
			URN: one.urn, ID: one.id, Inputs: one.inputs, Outputs: one.state,
		})
		return err
	}
	if err := remove(vault); err == nil || !strings.Contains(err.Error(), "ScopeLocked") {
		t.Errorf("deleting the vault: %v", err)
	}
	for _, one := range slices.Backward(all) {
		if err := remove(one); err != nil {
			t.Errorf("deleting %s: %v", one.urn.Type(), err)
		}
	}
}

// TestLocalCloud_RepeatsNoSecret checks the local cloud's errors, because the plugin passes them on. Pulumi's engine
// hides only secrets of the configuration.
func TestLocalCloud_RepeatsNoSecret(t *testing.T) {
	engine := startLocalCloud(t)(Version2)
	const (
		marker      = "correct-horse-battery-staple"
		vaultType   = "keyvault/v20241101:Vault"
		secretType  = "keyvault/v20241101:Secret"
		clusterType = "containerservice/v20240901:ManagedCluster"
	)
	create := func(token string, inputs object) error {
		_, err := engine.Create(t.Context(), plugin.CreateRequest{
			URN: urn(token, "x"), Properties: resource.NewPropertyMapFromMap(inputs),
		})
		return err
	}
	secret := func(name string, properties object) object {
		return object{"resourceGroupName": "rg", "vaultName": "kv-plugin", "secretName": name, "properties": properties}
	}
	cluster := func(name string, properties object) object {
		inputs := object{
			"resourceGroupName": "rg",
			"resourceName":      name,
			"location":          "eastus",
			"dnsPrefix":         "aks",
			"identity":          object{"type": "SystemAssigned"},
			"agentPoolProfiles": []any{object{"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v5"}},
		}
		maps.Copy(inputs, properties)
		return inputs
	}
	for _, one := range []struct {
		token  string
		inputs object
	}{
		{"resources/v20220901:ResourceGroup", object{"resourceGroupName": "rg", "location": "eastus"}},
		{vaultType, object{
			"resourceGroupName": "rg",
			"vaultName":         "kv-plugin",
			"location":          "eastus",
			"properties": object{
				"tenantId":                cloud.TenantID,
				"sku":                     object{"family": "A", "name": "standard"},
				"enableRbacAuthorization": true,
			},
		}},
	} {
		if err := create(one.token, one.inputs); err != nil {
			t.Fatal(err)
		}
	}
	for name, one := range map[string]struct {
		token  string
		inputs object
	}{
		"long secret":                  {secretType, secret("a", object{"value": strings.Repeat(marker, 1000)})},
		"secret that is a list":        {secretType, secret("a", object{"value": []any{marker}})},
		"secret that is an object":     {secretType, secret("a", object{"value": object{marker: marker}})},
		"secret with an invalid name":  {secretType, secret("a_b", object{"value": marker})},
		"secret with unknown property": {secretType, secret("a", object{"value": marker, "nobody": marker})},
		"secret with invalid attributes": {secretType, secret("a", object{
			"value": marker, "attributes": object{"expires": marker},
		})},
		"cluster's Windows password": {clusterType, cluster("a", object{
			"windowsProfile": object{"adminUsername": "me", "adminPassword": []any{marker}},
		})},
		"cluster's principal": {clusterType, cluster("b", object{
			"servicePrincipalProfile": object{"clientId": "c", "secret": object{"a": marker}},
		})},
		"cluster's server application": {clusterType, cluster("c", object{
			"aadProfile": object{"serverAppSecret": []any{marker}},
		})},
	} {
		err := create(one.token, one.inputs)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), marker) {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
}
