// Command mounts creates random mounts that the component accepts, each with a pod, and outputs what they must contain.
package main

import (
	"fmt"
	"strconv"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
)

const namespace = "mounts"

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	var vault pool
	cfg.RequireObject("vault", &vault)
	vaultID := pulumi.String(cfg.Require("vaultId"))
	cluster, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{
			IssuerURL: pulumi.String(cfg.Require("issuerUrl")), Kubeconfig: cfg.RequireSecret("kubeconfig"),
		},
	})
	if err != nil {
		return err
	}
	identity, err := components.NewWorkloadIdentity(ctx, "mounts", &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		Cluster:           cluster.Cluster,
		IssuerURL:         cluster.IssuerURL,
		Namespace:         namespace,
		CreateNamespace:   true,
		PodSecurity:       components.PodSecurityBaseline, // keeps the pods short
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "mounts"}},
		RoleAssignments: []components.RoleAssignmentArgs{
			{Name: "secrets-user", RoleDefinitionID: "4633458b-17de-408a-b874-0445c86b69e6", Scope: vaultID},
			{Name: "reader", RoleDefinitionID: "21090545-7ca7-4776-b22c-e363652d74d2", Scope: vaultID},
		},
	})
	if err != nil {
		return err
	}
	made := pulumi.Map{}
	for i, args := range draw(vault, cfg.RequireInt("seed"), cfg.RequireInt("count")) {
		name := "mount-" + strconv.Itoa(i)
		made[name] = shown(args)
		args.VaultName, args.TenantID = pulumi.String(cfg.Require("vaultName")), identity.TenantID
		args.ClientID, args.Cluster = identity.ClientID, identity.Cluster
		args.ServiceAccountName = identity.ServiceAccounts.Index(pulumi.Int(0))
		mount, err := components.NewSecretMount(ctx, name, args)
		if err != nil {
			return err
		}
		spec := corev1.PodSpecArgs{Containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name: pulumi.String("c"), Image: pulumi.String("busybox:1.35.0"),
		}}}
		if err := podmount.Add(mount, &spec, "/mnt/secrets"); err != nil {
			return fmt.Errorf("adding the mount %s: %w", name, err)
		}
		if _, err := corev1.NewPod(ctx, name, &corev1.PodArgs{
			Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: pulumi.String(namespace)},
			Spec:     spec,
		}, identity.Cluster.Option(), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "1m"})); err != nil {
			return fmt.Errorf("creating the pod %s: %w", name, err)
		}
	}
	ctx.Export("mounts", made)
	return nil
}

// shown returns what the test compares with the pod's files.
func shown(args *components.SecretMountArgs) pulumi.Map {
	var objects pulumi.Array
	for _, o := range args.Objects {
		objects = append(objects, pulumi.Map{
			"type": pulumi.String(o.Type), "name": pulumi.String(o.Name), "file": pulumi.String(o.FileName()),
			"version": pulumi.String(o.Version), "versionHistory": pulumi.Int(o.VersionHistory),
			"encoding": pulumi.String(o.Encoding), "filePermission": pulumi.String(o.FilePermission),
		})
	}
	return pulumi.Map{"objects": objects, "files": pulumi.ToStringArray(args.Files())}
}
