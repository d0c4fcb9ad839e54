package components_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const subnetID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/nodes"

const vaultZone = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net"

func TestVaultNetwork_DeniesByDefault(t *testing.T) {
	args := vaultArgs()
	wantInputs(t, runVault(t, args).Get(t, "vault-vault"), map[string]any{"properties.networkAcls": nil})
	args.Network = &components.VaultNetworkArgs{}
	args.PrivateEndpoint = &components.PrivateEndpointArgs{External: true}
	wantInputs(t, runVault(t, args).Get(t, "vault-vault"), map[string]any{
		"properties.networkAcls.defaultAction": "Deny",
		"properties.networkAcls.bypass":        "AzureServices",
		// Empty rather than absent, so that removed rules are deleted.
		"properties.networkAcls.ipRules":             []any{},
		"properties.networkAcls.virtualNetworkRules": []any{},
	})
	args.Network = &components.VaultNetworkArgs{
		DefaultAction: "Allow", Bypass: "None",
		AllowedIPRanges: pulumi.ToStringArray([]string{"203.0.113.7", "203.0.113.0/24"}),
		SubnetIDs:       pulumi.ToStringArray([]string{subnetID}),
	}
	wantInputs(t, runVault(t, args).Get(t, "vault-vault"), map[string]any{
		"properties.networkAcls.defaultAction":             "Allow",
		"properties.networkAcls.bypass":                    "None",
		"properties.networkAcls.ipRules[0].value":          "203.0.113.7",
		"properties.networkAcls.ipRules[1].value":          "203.0.113.0/24",
		"properties.networkAcls.virtualNetworkRules[0].id": subnetID,
	})
}

func endpointArgs() *components.KeyVaultStackArgs {
	args := vaultArgs()
	args.Location = pulumi.String("eastus")
	args.PrivateEndpoint = &components.PrivateEndpointArgs{
		SubnetID:         pulumi.String(subnetID),
		PrivateDNSZoneID: pulumi.String(vaultZone),
	}
	return args
}

func TestPrivateEndpoint_ConnectsToVault(t *testing.T) {
	e := runVault(t, endpointArgs())
	endpoint := e.Get(t, "vault-private-endpoint")
	wantInputs(t, endpoint, map[string]any{
		"resourceGroupName": "group",
		"location":          "eastus",
		"subnet.id":         subnetID,
		"privateLinkServiceConnections[0].privateLinkServiceId": mockengine.Group + "/providers/Microsoft.KeyVault/vaults/kv-demo-" + mockengine.Suffix,
		"privateLinkServiceConnections[0].groupIds":             []any{"vault"},
	})
	wantInputs(t, e.Get(t, "vault-dns-zone-group"), map[string]any{
		"resourceGroupName":                         "group",
		"privateEndpointName":                       "vault-private-endpoint-auto",
		"privateDnsZoneConfigs[0].privateDnsZoneId": vaultZone,
	})
}

func TestKeyVaultStack_OutputsWaitForPrivateEndpoint(t *testing.T) {
	for want, change := range map[string]func(*components.PrivateEndpointArgs){
		"vault-dns-zone-group":   func(*components.PrivateEndpointArgs) {},
		"vault-private-endpoint": func(a *components.PrivateEndpointArgs) { a.PrivateDNSZoneID = nil },
	} {
		args := endpointArgs()
		change(args.PrivateEndpoint)
		run(t, &mockengine.Engine{DryRun: true}, func(ctx *pulumi.Context) error {
			c, err := components.NewKeyVaultStack(ctx, "vault", args)
			if err != nil {
				return err
			}
			for name, output := range map[string]pulumi.StringOutput{
				"VaultID": c.VaultID, "VaultName": c.VaultName, "VaultURI": c.VaultURI, "TenantID": c.TenantID,
			} {
				if !slices.Contains(resourceNames(mockengine.Await(t, ctx, output).Dependencies), want) {
					t.Errorf("%s does not wait for %s", name, want)
				}
			}
			return nil
		})
	}
}

func TestVaultNetwork_Validates(t *testing.T) {
	valid := func() *components.KeyVaultStackArgs {
		args := endpointArgs()
		args.Network = &components.VaultNetworkArgs{
			AllowedIPRanges: pulumi.ToStringArray([]string{"203.0.113.7"}), SubnetIDs: pulumi.ToStringArray([]string{subnetID}),
		}
		return args
	}
	network := func(n components.VaultNetworkArgs) func(*components.KeyVaultStackArgs) {
		return func(a *components.KeyVaultStackArgs) { a.Network = &n }
	}
	ranges := func(ranges ...string) func(*components.KeyVaultStackArgs) {
		return network(components.VaultNetworkArgs{AllowedIPRanges: pulumi.ToStringArray(ranges)})
	}
	testRules(t, valid, (*components.KeyVaultStackArgs).Validate, []rule[components.KeyVaultStackArgs]{
		{"an action", "network.defaultAction", network(components.VaultNetworkArgs{DefaultAction: "deny"})},
		{"a bypass", "network.bypass", network(components.VaultNetworkArgs{Bypass: "All"})},
		{"a name", "network.allowedIpRanges[1]", ranges("203.0.113.7", "example.com")},
		{"a subnet's name", "network.subnetIds[1]", network(components.VaultNetworkArgs{
			SubnetIDs: pulumi.ToStringArray([]string{subnetID, "nodes"}),
		})},
		{"1001 ranges", "network.allowedIpRanges", ranges(slices.Repeat([]string{"203.0.113.7"}, 1001)...)},
		{"201 subnets", "network.subnetIds", network(components.VaultNetworkArgs{
			SubnetIDs: pulumi.ToStringArray(slices.Repeat([]string{subnetID}, 201)),
		})},
		{"ranges without public access", "network.allowedIpRanges", func(a *components.KeyVaultStackArgs) {
			a.PublicNetworkAccess, a.Network.SubnetIDs = "Disabled", nil
		}},
		{"subnets without public access", "network.subnetIds", func(a *components.KeyVaultStackArgs) {
			a.PublicNetworkAccess, a.Network.AllowedIPRanges = "Disabled", nil
		}},
	})
}

// TestVaultNetwork_MustAdmitNodes rejects vaults that pods could never read from, and no others.
func TestVaultNetwork_MustAdmitNodes(t *testing.T) {
	endpoint, external := &components.PrivateEndpointArgs{
		SubnetID: pulumi.String(subnetID),
	}, &components.PrivateEndpointArgs{External: true}
	ranges, subnets := pulumi.ToStringArray([]string{"203.0.113.7"}), pulumi.ToStringArray([]string{subnetID})
	late := pulumi.ToStringArray([]string{subnetID}).ToStringArrayOutput()
	for name, test := range map[string]struct {
		access   components.PublicNetworkAccess
		network  *components.VaultNetworkArgs
		endpoint *components.PrivateEndpointArgs
		refused  string
	}{
		"no public access": {"Disabled", nil, nil, "publicNetworkAccess"},
		"no public access and no rule": {"Disabled", &components.VaultNetworkArgs{}, nil,
			"publicNetworkAccess"},
		"a firewall without rules": {"", &components.VaultNetworkArgs{}, nil, "network"},
		"a firewall for trusted services": {"Enabled",
			&components.VaultNetworkArgs{DefaultAction: "Deny", Bypass: "AzureServices"}, nil, "network"},
		"an empty list": {"", &components.VaultNetworkArgs{SubnetIDs: pulumi.StringArray{}},
			nil, "network"},
		"no public access, an endpoint":               {"Disabled", &components.VaultNetworkArgs{}, endpoint, ""},
		"no public access, an endpoint of others'":    {"Disabled", nil, external, ""},
		"a firewall, an endpoint of others'":          {"", &components.VaultNetworkArgs{}, external, ""},
		"a firewall with a range":                     {"", &components.VaultNetworkArgs{AllowedIPRanges: ranges}, nil, ""},
		"a firewall with a subnet":                    {"", &components.VaultNetworkArgs{SubnetIDs: subnets}, nil, ""},
		"a firewall with subnets that are known late": {"", &components.VaultNetworkArgs{SubnetIDs: late}, nil, ""},
		"a firewall that lets everybody in":           {"", &components.VaultNetworkArgs{DefaultAction: "Allow"}, nil, ""},
		"no firewall":                                 {"", nil, nil, ""},
	} {
		a := vaultArgs()
		a.PublicNetworkAccess, a.Network, a.PrivateEndpoint = test.access, test.network, test.endpoint
		var want []string
		if test.refused != "" {
			want = []string{test.refused}
		}
		t.Run(name, func(t *testing.T) { wantViolations(t, a.Validate(), want...) })
	}
	a := vaultArgs()
	a.PublicNetworkAccess, a.PrivateEndpoint = "Disabled", external
	e := runVault(t, a)
	for _, one := range e.Resources() {
		if strings.Contains(one.Type, "PrivateEndpoint") {
			t.Errorf("%s is made, which others make", one.Name)
		}
	}
	a.PrivateEndpoint = &components.PrivateEndpointArgs{
		External:         true,
		SubnetID:         pulumi.String(subnetID),
		PrivateDNSZoneID: pulumi.String(vaultZone),
	}
	wantViolations(t, a.Validate(), "privateEndpoint.subnetId", "privateEndpoint.privateDnsZoneId")
}

func TestVaultNetwork_AllowsPublicIPv4Only(t *testing.T) {
	for text, want := range map[string]bool{
		"203.0.113.7": true, "203.0.113.0/24": true, "203.0.113.7/32": true, "11.0.0.0/8": true, "172.32.0.0/16": true, "100.128.0.1": true,
		"": false, "203.0.113": false, "203.0.113.7/33": false, "203.0.113.7/24": false, "203.0.113.7/": false, "203.0.113.07": false,
		"10.0.0.1": false, "10.1.0.0/16": false, "8.0.0.0/6": false, "172.16.0.0/12": false, "172.31.255.255": false, "192.168.1.0/24": false,
		"100.64.0.1": false, "127.0.0.1": false, "169.254.169.254": false, "224.0.0.1": false, "255.255.255.255": false,
		"0.0.0.0": false, "0.0.0.0/0": false, "2001:db8::1": false, "::ffff:203.0.113.7": false, "2001:db8::/32": false,
	} {
		if got := components.PublicRange(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestVaultNetwork_RequiresSubnets(t *testing.T) {
	args := vaultArgs()
	args.PrivateEndpoint = &components.PrivateEndpointArgs{}
	args.Network = &components.VaultNetworkArgs{SubnetIDs: pulumi.StringArray{pulumi.String(subnetID), nil}}
	wantViolations(t, args.Validate(), "network.subnetIds[1]")
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewKeyVaultStack(ctx, "vault", args)
		return err
	}, "network.subnetIds[1]", "privateEndpoint.subnetId")
}
