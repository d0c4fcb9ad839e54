package components

import (
	"fmt"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// describe sets the outputs from Azure's description of the cluster, except its id, name and kubeconfig.
func (c *AksWithCsi) describe(ctx *pulumi.Context, found containerservice.LookupManagedClusterResultOutput) {
	c.IssuerURL = found.OidcIssuerProfile().IssuerURL().Elem()
	text := func(of func(containerservice.LookupManagedClusterResult) *string) pulumi.StringOutput {
		return found.ApplyT(func(found containerservice.LookupManagedClusterResult) string {
			if value := of(found); value != nil {
				return *value
			}
			return ""
		}).(pulumi.StringOutput)
	}
	c.FQDN = text(func(found containerservice.LookupManagedClusterResult) *string {
		if found.PrivateFQDN != "" {
			return &found.PrivateFQDN
		}
		return &found.Fqdn
	})
	c.NodeResourceGroup = text(
		func(found containerservice.LookupManagedClusterResult) *string { return found.NodeResourceGroup },
	)
	const kubelet = "kubeletidentity" // https://learn.microsoft.com/azure/aks/use-managed-identity
	c.KubeletIdentityID = text(func(found containerservice.LookupManagedClusterResult) *string {
		return found.IdentityProfile[kubelet].ResourceId
	})
	c.KubeletClientID = text(func(found containerservice.LookupManagedClusterResult) *string {
		return found.IdentityProfile[kubelet].ClientId
	})
	c.KubeletPrincipalID = text(func(found containerservice.LookupManagedClusterResult) *string {
		return found.IdentityProfile[kubelet].ObjectId
	})
	c.OutboundIPs = found.ApplyT(func(found containerservice.LookupManagedClusterResult) ([]string, error) {
		return c.addresses(ctx, outboundAddresses(found))
	}).(pulumi.StringArrayOutput)
}

// undescribed sets the same outputs to empty values for a cluster that is not looked up.
func (c *AksWithCsi) undescribed() {
	nothing := pulumi.String("").ToStringOutput()
	c.FQDN, c.NodeResourceGroup = nothing, nothing
	c.KubeletIdentityID, c.KubeletClientID, c.KubeletPrincipalID = nothing, nothing, nothing
	c.OutboundIPs = pulumi.StringArray{}.ToStringArrayOutput()
}

// outboundAddresses returns the ARM ids of the public addresses that AKS manages for outbound traffic.
func outboundAddresses(found containerservice.LookupManagedClusterResult) []string {
	profile := found.NetworkProfile
	if profile == nil {
		return nil
	}
	var addresses []containerservice.ResourceReferenceResponse
	if profile.LoadBalancerProfile != nil {
		addresses = append(addresses, profile.LoadBalancerProfile.EffectiveOutboundIPs...)
	}
	if profile.NatGatewayProfile != nil {
		addresses = append(addresses, profile.NatGatewayProfile.EffectiveOutboundIPs...)
	}
	var ids []string
	for _, address := range addresses {
		if address.Id != nil {
			ids = append(ids, *address.Id)
		}
	}
	return ids
}

// addresses looks up public addresses. It leaves out those that the program may not read, and logs them.
func (c *AksWithCsi) addresses(ctx *pulumi.Context, ids []string) ([]string, error) {
	addresses := []string{}
	for _, id := range ids {
		match := publicAddressID.FindStringSubmatch(id)
		if match == nil {
			continue
		}
		// The SDK's package for public addresses takes a minute and gigabytes of memory to compile.
		var address struct {
			IPAddress string `pulumi:"ipAddress"`
		}
		err := ctx.Invoke("azure-native:network/v20230601:getPublicIPAddress", &struct {
			ResourceGroupName string `pulumi:"resourceGroupName"`
			Name              string `pulumi:"publicIpAddressName"`
		}{match[2], match[3]}, &address, utilities.PkgInvokeDefaultOpts([]pulumi.InvokeOption{pulumi.Parent(c)})...)
		if err != nil {
			message := fmt.Sprintf("outboundIps omits %s, which cannot be read: %v", id, err)
			if err := ctx.Log.Info(message, &pulumi.LogArgs{Resource: c}); err != nil {
				return nil, fmt.Errorf("logging an unreadable address: %w", err)
			}
			continue
		}
		if address.IPAddress != "" {
			addresses = append(addresses, address.IPAddress)
		}
	}
	return addresses, nil
}
