// Command daytwo deploys Deployments with variables from a mount's Secrets, which a probe keeps in place: one that
// restarts with new versions, one that does not, and one that also mounts the volume. One secret in the vault belongs
// to the program, and another to somebody else.
package main

import (
	"fmt"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
)

const namespace = "daytwo"

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	cluster, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{ID: pulumi.String(cfg.Require("clusterId"))},
	})
	if err != nil {
		return err
	}
	identity, err := components.NewWorkloadIdentity(ctx, "daytwo", &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		Cluster:           cluster.Cluster,
		IssuerURL:         cluster.IssuerURL,
		Namespace:         namespace,
		CreateNamespace:   true,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "daytwo"}},
	})
	if err != nil {
		return err
	}
	mount, err := mount(ctx, cfg, identity)
	if err != nil {
		return err
	}
	env, err := podmount.Env(mount, map[string]podmount.Ref{
		"OWN": {Secret: "both", Key: "own"}, "THEIRS": {Secret: "both", Key: "theirs"},
	})
	if err != nil {
		return err
	}
	in := identity.Cluster.Option()
	if err := deploy(ctx, "restarts", nil, podmount.Annotations(mount), pod(env), in); err != nil {
		return err
	}
	if err := deploy(ctx, "stays", nil, nil, pod(env), in); err != nil {
		return err
	}
	if !cfg.GetBool("mounts") {
		return nil
	}
	mounts := pod(env)
	if err := podmount.Add(mount, &mounts, "/mnt/secrets"); err != nil {
		return fmt.Errorf("adding the mount: %w", err)
	}
	return deploy(ctx, "mounts", mount, nil, mounts, in)
}

// mount mounts both secrets. It looks up the version of the other's secret, without its value.
func mount(
	ctx *pulumi.Context, cfg *config.Config, identity *components.WorkloadIdentity,
) (*components.SecretMount, error) {
	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ExistingVaultID: pulumi.String(cfg.Require("vaultId")),
		Secrets:         []components.SecretArgs{{Name: "own", Generate: &components.GenerateArgs{NoSpecial: true}}},
	})
	if err != nil {
		return nil, err
	}
	theirs := keyvault.LookupSecretOutput(ctx, keyvault.LookupSecretOutputArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		VaultName:         vault.VaultName,
		SecretName:        pulumi.String("theirs"),
	})
	return components.NewSecretMount(ctx, "daytwo", &components.SecretMountArgs{
		VaultID: vault.VaultID, VaultName: vault.VaultName, TenantID: vault.TenantID,
		ClientID: identity.ClientID, PrincipalID: identity.PrincipalID, Cluster: identity.Cluster, Namespace: namespace,
		ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "own"},
			{Type: "secret", Name: "theirs", FilePermission: "0400"}, // the probe need not read it
		},
		SyncSecrets: []components.SyncSecretArgs{{
			Name: "both", Data: []components.SyncDataArgs{{Key: "own", File: "own"}, {Key: "theirs", File: "theirs"}},
		}},
		Versions: pulumi.StringMap{
			"own":    vault.SecretVersions.MapIndex(pulumi.String("own")),
			"theirs": theirs.Properties().SecretUriWithVersion(),
		},
		Probe: &components.ProbeArgs{},
	})
}

// deploy creates a Deployment, whose pods have the labels of the mount if there is one.
func deploy(
	ctx *pulumi.Context,
	name string,
	mount *components.SecretMount,
	annotations pulumi.StringMapInput,
	spec corev1.PodSpecArgs,
	in pulumi.ResourceOption,
) error {
	selector := pulumi.StringMap{"app": pulumi.String(name)}
	labels := pulumi.StringMapInput(selector)
	if mount != nil {
		labels = podmount.Labels(mount, selector)
	}
	_, err := appsv1.NewDeployment(ctx, name, &appsv1.DeploymentArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: pulumi.String(namespace)},
		Spec: appsv1.DeploymentSpecArgs{
			Selector: metav1.LabelSelectorArgs{MatchLabels: selector},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: labels, Annotations: annotations},
				Spec:     spec,
			},
		},
	}, in, pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "2m", Update: "2m"}))
	if err != nil {
		return fmt.Errorf("creating the Deployment %s: %w", name, err)
	}
	return nil
}

// pod returns a pod with the variables, which meets the restricted Pod Security Standard.
func pod(env corev1.EnvVarArray) corev1.PodSpecArgs {
	return corev1.PodSpecArgs{
		AutomountServiceAccountToken: pulumi.Bool(false),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot: pulumi.Bool(true), RunAsUser: pulumi.Int(65534),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		Containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name:    pulumi.String("app"),
			Image:   pulumi.String("busybox:1.35.0"),
			Command: pulumi.ToStringArray([]string{"sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"}),
			Env:     env,
			SecurityContext: corev1.SecurityContextArgs{
				AllowPrivilegeEscalation: pulumi.Bool(false),
				Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
			},
		}},
	}
}
