// Command year has values that rotate every month and every three months, a value that others write, and a certificate
// that they renew. A Deployment has a variable from the second value. The components' clock is the environment variable
// CLOCK.
package main

import (
	"os"
	"time"
	_ "unsafe" // for go:linkname

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
)

const (
	namespace = "year"
	logDigest = `trap 'exit 0' TERM; printf %s "$VALUE" | sha256sum; sleep infinity & wait`
)

// now is the components' clock, which is not exported.
//
//go:linkname now github.com/keyvault-aks/keyvault-aks/components.now
var now func() time.Time

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	clock, err := time.Parse(time.RFC3339, os.Getenv("CLOCK"))
	if err != nil {
		return err
	}
	now = func() time.Time { return clock }
	cfg := config.New(ctx, "")
	cluster, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{ID: pulumi.String(cfg.Require("clusterId"))},
	})
	if err != nil {
		return err
	}
	identity, err := components.NewWorkloadIdentity(ctx, "reader", &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		Cluster:           cluster.Cluster,
		IssuerURL:         cluster.IssuerURL,
		Namespace:         namespace,
		CreateNamespace:   true,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "reader"}},
	})
	if err != nil {
		return err
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ExistingVaultID: pulumi.String(cfg.Require("vaultId")),
		APIVersion:      components.VaultAPI20260201,
		Secrets: []components.SecretArgs{
			{Name: "monthly", Generate: &components.GenerateArgs{}, RotateEvery: "P1M", Expires: "P6W"},
			{Name: "quarterly", Generate: &components.GenerateArgs{Length: 64}, RotateEvery: "P3M"},
			{Name: "theirs", Value: pulumi.String("ours at first"), Once: true},
		},
	})
	if err != nil {
		return err
	}
	mount, err := components.NewSecretMount(ctx, "mount", &components.SecretMountArgs{
		VaultID: vault.VaultID, VaultName: vault.VaultName, TenantID: vault.TenantID,
		ClientID: identity.ClientID, PrincipalID: identity.PrincipalID, Cluster: identity.Cluster, Namespace: namespace,
		ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "monthly", VersionHistory: 2},
			{Type: "secret", Name: "quarterly"},
			{Type: "secret", Name: "theirs"},
			{Type: "secret", Name: "web", Alias: "tls.pem"},
		},
		SyncSecrets: []components.SyncSecretArgs{
			{Name: "quarterly", Data: []components.SyncDataArgs{{Key: "value", File: "quarterly"}}},
			{Name: "web", Type: "kubernetes.io/tls", Data: []components.SyncDataArgs{
				{Key: "tls.crt", File: "tls.pem"}, {Key: "tls.key", File: "tls.pem"},
			}},
		},
		Versions: pulumi.StringMap{"quarterly": vault.SecretVersions.MapIndex(pulumi.String("quarterly"))},
		Probe:    &components.ProbeArgs{},
	})
	if err != nil {
		return err
	}
	ctx.Export("class", mount.SecretProviderClass)
	return variable(ctx, mount, identity.Cluster)
}

// variable creates a Deployment that logs a digest of its variable.
func variable(ctx *pulumi.Context, mount *components.SecretMount, cluster components.Cluster) error {
	env, err := podmount.Env(mount, map[string]podmount.Ref{"VALUE": {Secret: "quarterly", Key: "value"}})
	if err != nil {
		return err
	}
	labels := pulumi.StringMap{"app": pulumi.String("variable")}
	_, err = appsv1.NewDeployment(ctx, "variable", &appsv1.DeploymentArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String("variable"), Namespace: pulumi.String(namespace)},
		Spec: appsv1.DeploymentSpecArgs{
			Selector: metav1.LabelSelectorArgs{MatchLabels: labels},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: labels, Annotations: podmount.Annotations(mount)},
				Spec: corev1.PodSpecArgs{
					AutomountServiceAccountToken: pulumi.Bool(false),
					SecurityContext: corev1.PodSecurityContextArgs{
						RunAsNonRoot: pulumi.Bool(true), RunAsUser: pulumi.Int(65534),
						SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
					},
					Containers: corev1.ContainerArray{corev1.ContainerArgs{
						Name: pulumi.String("c"), Image: pulumi.String("busybox:1.35.0"), Env: env,
						Command: pulumi.ToStringArray([]string{"sh", "-c", logDigest}),
						SecurityContext: corev1.SecurityContextArgs{
							AllowPrivilegeEscalation: pulumi.Bool(false),
							Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
						},
					}},
				},
			},
		},
	}, cluster.Option(), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "2m", Update: "2m"}))
	return err
}
