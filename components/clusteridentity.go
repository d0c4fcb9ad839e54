package components

import (
	"fmt"
	"reflect"
	"regexp"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// networkContributor is what AKS asks of the control plane's identity on a subnet that it did not make:
// https://learn.microsoft.com/azure/aks/configure-azure-cni#prerequisites
const networkContributor = "4d97b98b-1d4f-4787-a291-c67834d212e7"

var poolSubnetID = regexp.MustCompile(
	`(?i)^(/subscriptions/[^/]+)/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$`)

// controlPlaneIdentity is who the control plane is in Azure. In subnets of others it needs a role before the cluster is created, which
// an identity that Azure makes with the cluster cannot have (https://learn.microsoft.com/azure/aks/use-managed-identity).
func (c *AksWithCsi) controlPlaneIdentity(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs,
) (containerservice.ManagedClusterIdentityArgs, error) {
	id := args.IdentityID
	if id == nil {
		made, err := c.newControlPlaneIdentity(ctx, name, args)
		if err != nil {
			return containerservice.ManagedClusterIdentityArgs{}, err
		}
		id = made
	}
	if id == nil {
		return containerservice.ManagedClusterIdentityArgs{Type: containerservice.ResourceIdentityTypeSystemAssigned}, nil
	}
	return containerservice.ManagedClusterIdentityArgs{
		Type:                   containerservice.ResourceIdentityTypeUserAssigned,
		UserAssignedIdentities: pulumi.StringArray{id},
	}, nil
}

// newControlPlaneIdentity is nil where no pool has a subnet.
func (c *AksWithCsi) newControlPlaneIdentity(ctx *pulumi.Context, name string, args *AksWithCsiArgs) (pulumi.StringInput, error) {
	var identity *managedidentity.UserAssignedIdentity
	var seen []pulumi.StringInput
	var assignments []pulumi.Resource
	for _, pool := range args.pools() {
		if pool.SubnetID == nil || containsInput(seen, pool.SubnetID) {
			continue
		}
		seen = append(seen, pool.SubnetID)
		if identity == nil {
			var err error
			identity, err = managedidentity.NewUserAssignedIdentity(ctx, name+"-identity", &managedidentity.UserAssignedIdentityArgs{
				ResourceGroupName: args.ResourceGroupName,
				Location:          args.Location,
				Tags:              args.Tags,
			}, pulumi.Parent(c))
			if err != nil {
				return nil, fmt.Errorf("creating the control plane's identity: %w", err)
			}
		}
		assignment, err := authorization.NewRoleAssignment(ctx, name+"-subnet-role-"+pool.Name, &authorization.RoleAssignmentArgs{
			Scope:            pool.SubnetID,
			RoleDefinitionId: roleForSubnet(pool.SubnetID, networkContributor),
			PrincipalId:      identity.PrincipalId,
			// Without the type, Azure looks the principal up and may not find a fresh one.
			PrincipalType: pulumi.String("ServicePrincipal"),
		}, pulumi.Parent(c))
		if err != nil {
			return nil, fmt.Errorf("assigning the role on the subnet of the pool %s: %w", pool.Name, err)
		}
		assignments = append(assignments, assignment)
	}
	if identity == nil {
		return nil, nil
	}
	return after(ctx, identity.ID().ToStringOutput(), assignments...), nil
}

// containsInput finds the same input again; two outputs that resolve to the same value are two.
func containsInput(list []pulumi.StringInput, input pulumi.StringInput) bool {
	if !reflect.ValueOf(input).Comparable() {
		return false
	}
	for _, one := range list {
		if reflect.ValueOf(one).Comparable() && one == input {
			return true
		}
	}
	return false
}

// roleForSubnet is a built-in role's id in the subnet's subscription.
func roleForSubnet(subnet pulumi.StringInput, role string) pulumi.StringOutput {
	return subnet.ToStringOutput().ApplyT(func(id string) (string, error) {
		match := poolSubnetID.FindStringSubmatch(id)
		if match == nil {
			return "", Violations{{Path: "subnetId", Given: quote(id), Allowed: "the ARM id of a subnet"}}
		}
		return match[1] + "/providers/Microsoft.Authorization/roleDefinitions/" + role, nil
	}).(pulumi.StringOutput)
}
