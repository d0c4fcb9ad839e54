package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// networkContributor is the role that the control plane's identity needs on a subnet that AKS did not create:
// https://learn.microsoft.com/azure/aks/configure-azure-cni#prerequisites
const networkContributor = "4d97b98b-1d4f-4787-a291-c67834d212e7"

// reader is the role that the control plane's identity needs on a disk encryption set:
// https://learn.microsoft.com/azure/aks/azure-disk-customer-managed-keys
const reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7"

// controlPlane is the control plane's identity, with the options of the cluster and the pools, which Azure refuses
// until the identity's roles take effect.
type controlPlane struct {
	identity containerservice.ManagedClusterIdentityArgs
	opts     []pulumi.ResourceOption
}

// newControlPlane returns the control plane's identity. In existing subnets, and with a disk encryption set, it needs
// roles before the cluster is created. An identity that Azure creates with the cluster cannot have them
// (https://learn.microsoft.com/azure/aks/use-managed-identity).
func (c *AksWithCsi) newControlPlane(ctx *pulumi.Context, name string, args *AksWithCsiArgs) (controlPlane, error) {
	id := args.IdentityID
	var opts []pulumi.ResourceOption
	if roles := args.controlPlaneRoles(name); id == nil && roles != nil {
		var err error
		if id, opts, err = c.newControlPlaneIdentity(ctx, name, args, roles); err != nil {
			return controlPlane{}, err
		}
	}
	if id == nil {
		return controlPlane{
			identity: containerservice.ManagedClusterIdentityArgs{Type: containerservice.ResourceIdentityTypeSystemAssigned},
		}, nil
	}
	return controlPlane{identity: containerservice.ManagedClusterIdentityArgs{
		Type:                   containerservice.ResourceIdentityTypeUserAssigned,
		UserAssignedIdentities: pulumi.StringArray{id},
	}, opts: opts}, nil
}

// acrPull is the role that nodes need to pull images from a registry:
// https://learn.microsoft.com/azure/aks/cluster-container-registry-integration
const acrPull = "7f951dda-4ed3-4680-a7ca-43fe172d538d"

// roleAtScope is a role that the control plane or the nodes need on a resource.
type roleAtScope struct {
	name    string         // the assignment's
	aliases []pulumi.Alias // names that earlier versions gave it
	scope   pulumi.StringInput
	role    string
	// scopeID matches the scope's ARM id; what describes it in messages.
	scopeID    *regexp.Regexp
	path, what string
}

// controlPlaneRoles returns one role for each subnet that a pool uses, and one for the disk encryption set.
func (args *AksWithCsiArgs) controlPlaneRoles(name string) []roleAtScope {
	var roles []roleAtScope
	inSubnet := map[string][]string{}
	for _, pool := range args.pools() {
		if subnet := args.subnetOf(pool); subnet != "" {
			inSubnet[subnet] = append(inSubnet[subnet], pool.Name)
		}
	}
	for _, subnet := range slices.Sorted(maps.Keys(inSubnet)) {
		roles = append(roles, roleAtScope{
			name:  name + "-subnet-role-" + subnet,
			scope: distinctScope(args.Subnets, subnet, (*violations).validateSubnetIDs), role: networkContributor,
			scopeID: subnetID, path: "subnets." + subnet, what: "a subnet",
			aliases: oldSubnetRoles(name, inSubnet[subnet], args.Subnets),
		})
	}
	if args.DiskEncryptionSetID != nil {
		roles = append(roles, roleAtScope{
			name: name + "-disk-encryption-role", scope: args.DiskEncryptionSetID, role: reader,
			scopeID: encryptionSetID, path: "diskEncryptionSetId", what: "a disk encryption set",
		})
	}
	return roles
}

// oldSubnetRoles returns the names of earlier versions, which named roles after pools and not after subnets. Names that
// now belong to a subnet are left out.
func oldSubnetRoles(name string, pools []string, subnets map[string]pulumi.StringInput) []pulumi.Alias {
	var aliases []pulumi.Alias
	for _, pool := range pools {
		if _, taken := subnets[pool]; !taken {
			aliases = append(aliases, pulumi.Alias{Name: pulumi.String(name + "-subnet-role-" + pool)})
		}
	}
	return aliases
}

// newControlPlaneIdentity creates an identity with roles. The id it returns resolves once the roles are assigned.
func (c *AksWithCsi) newControlPlaneIdentity(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, roles []roleAtScope,
) (pulumi.StringInput, []pulumi.ResourceOption, error) {
	identity, err := managedidentity.NewUserAssignedIdentity(ctx, name+"-identity",
		&managedidentity.UserAssignedIdentityArgs{
			ResourceGroupName: args.ResourceGroupName,
			Location:          args.Location,
			Tags:              args.Tags,
		}, pulumi.Parent(c))
	if err != nil {
		return nil, nil, fmt.Errorf("creating the control plane's identity: %w", err)
	}
	principal := readBack(identity.PrincipalId, name+"-identity")
	var assignments []pulumi.Resource
	for _, at := range roles {
		assignment, err := c.assign(ctx, at, principal)
		if err != nil {
			return nil, nil, fmt.Errorf("assigning the control plane's role on %s: %w", at.what, err)
		}
		assignments = append(assignments, assignment)
	}
	var principalID atomic.Pointer[string]
	identity.PrincipalId.ApplyT(func(id string) string {
		principalID.Store(&id)
		return id
	})
	honoured, err := retryUntilRole(ctx, c, name, func(err string) bool {
		// Azure reports the same error for the caller's own missing rights, for which waiting is in vain.
		principal := principalID.Load()
		return principal != nil && strings.Contains(err, "LinkedAuthorizationFailed") &&
			strings.Contains(err, *principal)
	})
	if err != nil {
		return nil, nil, err
	}
	return after(ctx, identity.ID().ToStringOutput(), assignments...), []pulumi.ResourceOption{honoured}, nil
}

// assign assigns a role to a principal.
func (c *AksWithCsi) assign(
	ctx *pulumi.Context, at roleAtScope, principalID pulumi.StringInput,
) (pulumi.Resource, error) {
	return authorization.NewRoleAssignment(ctx, at.name, &authorization.RoleAssignmentArgs{
		Scope:            at.scope,
		RoleDefinitionId: at.definition(),
		PrincipalId:      principalID,
		// Without the type, Azure looks the principal up and may not find a new one.
		PrincipalType: pulumi.String("ServicePrincipal"),
	}, pulumi.Parent(c), pulumi.Aliases(at.aliases))
}

// newRegistryRoles lets the nodes pull images from the registries.
func (c *AksWithCsi) newRegistryRoles(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs,
) ([]pulumi.Resource, error) {
	var assignments []pulumi.Resource
	for _, registry := range slices.Sorted(maps.Keys(args.ContainerRegistryIDs)) {
		assignment, err := c.assign(ctx, roleAtScope{
			name:  name + "-registry-role-" + registry,
			scope: distinctScope(args.ContainerRegistryIDs, registry, (*violations).validateRegistryIDs), role: acrPull,
			scopeID: registryID, path: "containerRegistryIds." + registry, what: "a container registry",
		}, c.KubeletPrincipalID)
		if err != nil {
			return nil, fmt.Errorf("assigning the nodes' role on the registry %s: %w", registry, err)
		}
		assignments = append(assignments, assignment)
	}
	return assignments, nil
}

// validateRegistryIDs checks the registries' ids by name.
func (v *violations) validateRegistryIDs(ids map[string]string) {
	v.distinctIDs("containerRegistryIds", ids, registryID, "a container registry")
}

// definition returns the id of the built-in role in the scope's subscription.
func (r roleAtScope) definition() pulumi.StringOutput {
	return r.scope.ToStringOutput().ApplyT(func(id string) (string, error) {
		match := r.scopeID.FindStringSubmatch(id)
		if match == nil {
			return "", invalid(r.path, quote(id), "the ARM id of "+r.what)
		}
		return roleDefinition(match[1], r.role), nil
	}).(pulumi.StringOutput)
}
