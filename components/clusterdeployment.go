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

// deployment is a deployment of Azure Resource Manager. The SDK's package would take a tenth of the program's compile
// time.
type deployment struct {
	pulumi.CustomResourceState
}

// deploy has Azure Resource Manager put a part of the cluster again, where azure-native has no way: it creates nothing
// that is there already, and replaces a cluster for a change of its network. That happens once, and again when the
// trigger or the cluster is another one. Deleting a deployment deletes nothing that it put
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

// upgradeSystemPool brings the system pool to the version that the control plane has got, before the other pools follow.
// The cluster's own body cannot, see profile.
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

// setOutbound gives the cluster its way out. It is not in the cluster's own body, since azure-native would make another
// cluster for each change of it; AKS keeps what that body does not mention.
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

// clusterTemplate is the body of a cluster as a template has it, without what others may have changed: AKS keeps what a
// body does not mention (https://github.com/Azure/AKS/issues/2904).
func clusterTemplate(body reflect.Value) map[string]any {
	network, _ := body.FieldByName("NetworkProfile").Interface().(*containerservice.ContainerServiceNetworkProfile)
	security, _ := body.FieldByName("SecurityProfile").Interface().(*containerservice.ManagedClusterSecurityProfile)
	properties := literal(body).(map[string]any)
	// As NewManagedCluster completes them.
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

// literal is a value of the SDK's as a template has it: what is not given is left out, and no string is an expression
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
