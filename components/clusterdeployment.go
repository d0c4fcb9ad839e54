package components

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// deployment is an Azure Resource Manager deployment. Importing its package of the SDK would add a tenth to the
// program's compile time.
type deployment struct {
	pulumi.CustomResourceState
}

// deploy makes Azure Resource Manager write a part of the cluster again, where azure-native cannot: azure-native
// creates nothing that already exists, and replaces a cluster when its network changes. The deployment runs once, and
// again when the trigger or the cluster changes. Deleting a deployment does not delete what it deployed
// (https://learn.microsoft.com/azure/azure-resource-manager/templates/deployment-history).
func (c *AksWithCsi) deploy(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, cluster *containerservice.ManagedCluster, resource pulumi.Map,
	trigger pulumi.Input, previous []pulumi.Resource,
) ([]pulumi.Resource, error) {
	resource = maps.Clone(resource)
	resource["apiVersion"] = pulumi.String("2024-09-01")
	made := &deployment{}
	opts := []pulumi.ResourceOption{
		pulumi.Parent(c), pulumi.DependsOn(previous), pulumi.IgnoreChanges([]string{"properties"}),
		pulumi.ReplacementTrigger(pulumi.Map{"cluster": cluster.ID(), "of": trigger}),
		pulumi.RetainOnDelete(true), // it is a record only, which a lock on the group would keep from being deleted
	}
	err := ctx.RegisterResource("azure-native:resources/v20220901:Deployment", name, pulumi.Map{
		"resourceGroupName": args.ResourceGroupName,
		"properties": pulumi.Map{
			"mode": pulumi.String("Incremental"),
			"template": pulumi.Map{
				"$schema":        pulumi.String("https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"),
				"contentVersion": pulumi.String("1.0.0.0"),
				"resources":      pulumi.Array{resource},
			},
		},
	}, made, append(utilities.PkgResourceDefaultOpts(nil), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("deploying %s: %w", name, err)
	}
	return []pulumi.Resource{made}, nil
}

// upgradeSystemPool upgrades the system pool to the version of the control plane, before the other pools follow. The
// cluster's own body cannot do that, see profile.
func (c *AksWithCsi) upgradeSystemPool(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, cluster *containerservice.ManagedCluster,
	previous []pulumi.Resource,
) ([]pulumi.Resource, error) {
	if args.KubernetesVersion == "" {
		return previous, nil
	}
	system := args.systemPool()
	profile := args.profile(system).ToManagedClusterAgentPoolProfileOutput()
	properties := profile.ApplyT(func(pool containerservice.ManagedClusterAgentPoolProfile) map[string]any {
		pool.OrchestratorVersion = &args.KubernetesVersion
		if system.autoscaled() {
			pool.Count = nil // it stays what the autoscaler made it
		}
		properties := literal(reflect.ValueOf(pool)).(map[string]any)
		delete(properties, "name")
		return properties
	}).(pulumi.MapOutput)
	return c.deploy(ctx, name+"-system-version", args, cluster, pulumi.Map{
		"type":       pulumi.String("Microsoft.ContainerService/managedClusters/agentPools"),
		"name":       pulumi.Sprintf("%s/%s", cluster.Name, system.Name),
		"properties": properties,
	}, pulumi.String(args.KubernetesVersion), previous)
}

// setOutbound configures the cluster's outbound addresses and ports. They are not in the cluster's own body, because
// azure-native would replace the cluster for each change of them. AKS keeps what that body omits.
func (c *AksWithCsi) setOutbound(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs, cluster *containerservice.ManagedCluster,
	body *containerservice.ManagedClusterArgs, previous []pulumi.Resource,
) ([]pulumi.Resource, error) {
	if args.Outbound == nil {
		return previous, nil
	}
	profile := args.Outbound.profile(args.OutboundType)
	resource := pulumi.ToOutput(body).ApplyT(func(body any) map[string]any {
		return clusterTemplate(reflect.ValueOf(body))
	}).(pulumi.MapOutput)
	part := func(key string) pulumi.Output { return resource.MapIndex(pulumi.String(key)) }
	properties := pulumi.All(part("properties"), profile).ApplyT(func(of []any) map[string]any {
		properties := of[0].(map[string]any)
		for key, value := range of[1].(map[string]any) {
			properties["networkProfile"].(map[string]any)[key] = value
		}
		return properties
	}).(pulumi.MapOutput)
	return c.deploy(ctx, name+"-outbound", args, cluster, pulumi.Map{
		"type":     pulumi.String("Microsoft.ContainerService/managedClusters"),
		"name":     cluster.Name,
		"location": cluster.Location,
		"tags":     part("tags"), "sku": part("sku"), "identity": part("identity"),
		"properties": properties,
	}, profile, previous)
}

// clusterTemplate returns the body of a cluster for a template, without the properties that others may have changed:
// AKS keeps what a body omits (https://github.com/Azure/AKS/issues/2904).
func clusterTemplate(body reflect.Value) map[string]any {
	network, _ := body.FieldByName("NetworkProfile").Interface().(*containerservice.ContainerServiceNetworkProfile)
	security, _ := body.FieldByName("SecurityProfile").Interface().(*containerservice.ManagedClusterSecurityProfile)
	properties := literal(body).(map[string]any)
	// NewManagedCluster sets the same defaults.
	profile := literal(reflect.ValueOf(network.Defaults())).(map[string]any)
	for _, path := range changedByOthers {
		delete(profile, strings.TrimPrefix(path, "networkProfile."))
	}
	properties["networkProfile"] = profile
	properties["securityProfile"] = literal(reflect.ValueOf(security.Defaults()))
	pools, _ := properties["agentPoolProfiles"].([]any)
	for _, pool := range pools {
		if pool, ok := pool.(map[string]any); ok && pool["enableAutoScaling"] == true {
			delete(pool, "count") // it stays what the autoscaler made it
		}
	}
	resource := map[string]any{"properties": properties, "tags": map[string]any{}}
	for _, key := range []string{"tags", "sku", "identity"} {
		if value, ok := properties[key]; ok {
			resource[key] = value
		}
		delete(properties, key)
	}
	for _, key := range []string{"resourceGroupName", "resourceName", "location"} {
		delete(properties, key)
	}
	identity, _ := resource["identity"].(map[string]any)
	if ids, ok := identity["userAssignedIdentities"].([]any); ok {
		identities := map[string]any{}
		for _, id := range ids {
			identities[id.(string)] = map[string]any{}
		}
		identity["userAssignedIdentities"] = identities
	}
	return resource
}

// literal returns a value of the SDK as a template literal. Omitted properties stay omitted, and strings are escaped so
// that none is an expression
// (https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions#escape-characters).
func literal(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return literal(v.Elem())
	case reflect.Struct:
		object := map[string]any{}
		for i := range v.NumField() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("pulumi"), ",")
			if value := literal(v.Field(i)); value != nil {
				object[key] = value
			}
		}
		return object
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
		object := map[string]any{}
		for _, key := range v.MapKeys() {
			object[key.String()] = literal(v.MapIndex(key))
		}
		return object
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = literal(v.Index(i))
		}
		return list
	case reflect.String:
		if text := v.String(); strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			return "[" + text
		}
		return v.String()
	default:
		return v.Interface()
	}
}
