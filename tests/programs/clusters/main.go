// Command clusters creates private clusters in a platform team's existing networks, with existing zones and keys. It
// creates nothing in the clusters, because it runs outside their networks.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	group, disks := pulumi.String(cfg.Require("resourceGroupName")), pulumi.String(cfg.Require("diskEncryptionSetId"))
	routed := &components.APIServerArgs{Private: true, DisableRunCommand: true}
	if zone := cfg.Get("routedZone"); zone != "" {
		routed.PrivateDNSZone = pulumi.String(zone)
	}
	for name, args := range map[string]*components.AksWithCsiArgs{
		// Outbound traffic goes through an appliance. The component creates the identity and its roles on the subnet and the
		// disk encryption set.
		"routed": {
			DNSPrefix:           "platform",
			NodeResourceGroup:   "routed-nodes",
			Subnets:             map[string]pulumi.StringInput{"routed": pulumi.String(cfg.Require("routedSubnetId"))},
			OutboundType:        components.OutboundUserDefinedRouting,
			APIServer:           routed,
			DiskEncryptionSetID: disks,
			PodCIDR:             "172.16.0.0/16",
			ServiceCIDR:         "172.17.0.0/16",
			DNSServiceIP:        "172.17.0.53",
		},
		// Outbound traffic goes through a NAT gateway. The team has created the identity and its roles.
		"translated": {
			ClusterName:         "translated",
			Subnets:             map[string]pulumi.StringInput{"translated": pulumi.String(cfg.Require("translatedSubnetId"))},
			OutboundType:        components.OutboundUserAssignedNATGateway,
			IdentityID:          pulumi.String(cfg.Require("identityId")),
			APIServer:           &components.APIServerArgs{Private: true, PrivateDNSZone: pulumi.String(cfg.Require("zoneId"))},
			DiskEncryptionSetID: disks,
			Entra: &components.EntraArgs{
				AdminGroupIDs: pulumi.StringArray{pulumi.String(cfg.Require("adminGroupId"))},
				TenantID:      pulumi.String(cfg.Require("tenantId")),
				Login:         components.LoginServicePrincipal,
			},
		},
	} {
		args.ResourceGroupName, args.Location = group, pulumi.String("eastus")
		cluster, err := components.NewAksWithCsi(ctx, name, args)
		if err != nil {
			return fmt.Errorf("creating the cluster %s: %w", name, err)
		}
		ctx.Export(name, pulumi.Map{"id": cluster.ClusterID, "kubeconfig": cluster.Kubeconfig})
	}
	return nil
}
