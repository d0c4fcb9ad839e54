// A value that changes while pods read it. The pods of one Deployment read the file, which follows the vault
// automatically. The pods of the other have an environment variable, which follows through a restart.
package main

import (
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
)

const namespace = "rotation"

// Both Deployments log a digest of each value: a log must not contain the value.
const (
	readFile = `trap 'exit 0' TERM
while :; do
	now=$(sha256sum </mnt/secrets/password)
	[ "$now" = "$last" ] || echo "the file has ${now%% *}"
	last=$now
	sleep 1
done`
	readVariable = `trap 'exit 0' TERM
now=$(printf %s "$PASSWORD" | sha256sum)
echo "the variable has ${now%% *}"
sleep infinity & wait`
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	group := pulumi.String(cfg.Require("resourceGroupName"))
	aks, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{ID: pulumi.String(cfg.Require("clusterId"))},
	})
	if err != nil {
		return err
	}
	identity, err := components.NewWorkloadIdentity(ctx, "reader", &components.WorkloadIdentityArgs{
		ResourceGroupName: group,
		Cluster:           aks.Cluster,
		IssuerURL:         aks.IssuerURL,
		Namespace:         namespace,
		CreateNamespace:   true,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "reader"}},
	})
	if err != nil {
		return err
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ResourceGroupName:       group,
		TenantID:                identity.TenantID,
		APIVersion:              components.VaultAPI20260201,
		NamePrefix:              "kv-rotation",
		SoftDeleteRetentionDays: 7,
		Secrets: []components.SecretArgs{
			{
				Name: "password", Generate: &components.GenerateArgs{},
				RotateEvery: cfg.Require("rotateEvery"), Rotate: cfg.Require("rotate"),
			},
		},
	})
	if err != nil {
		return err
	}
	mount, err := components.NewSecretMount(ctx, "mount", &components.SecretMountArgs{
		VaultID:            vault.VaultID,
		VaultName:          vault.VaultName,
		TenantID:           vault.TenantID,
		ClientID:           identity.ClientID,
		PrincipalID:        identity.PrincipalID,
		Cluster:            identity.Cluster,
		Namespace:          namespace,
		ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		Objects:            []components.ObjectArgs{{Type: components.ObjectSecret, Name: "password"}},
		SyncSecrets: []components.SyncSecretArgs{
			{Name: "synced", Data: []components.SyncDataArgs{{Key: "password", File: "password"}}},
		},
		Versions: vault.SecretVersions,    // another one changes the annotations
		Probe:    &components.ProbeArgs{}, // restarts first, so that the Secret has the value before others ask for it
	})
	if err != nil {
		return err
	}
	ctx.Export("vaultUri", vault.VaultURI)
	ctx.Export("vaultId", vault.VaultID)

	file := pod(readFile, nil)
	if err := podmount.Add(mount, &file, "/mnt/secrets"); err != nil {
		return err
	}
	if err := deploy(ctx, "file", file, nil, identity.Cluster); err != nil {
		return err
	}
	env, err := podmount.Env(mount, map[string]podmount.Ref{"PASSWORD": {Secret: "synced", Key: "password"}})
	if err != nil {
		return err
	}
	return deploy(ctx, "variable", pod(readVariable, env), podmount.Annotations(mount), identity.Cluster)
}

// deploy creates a Deployment, which rolls out when its pods' annotations change.
func deploy(
	ctx *pulumi.Context, name string, pod corev1.PodSpecArgs, annotations pulumi.StringMapInput,
	cluster components.Cluster,
) error {
	labels := pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(name)}
	_, err := appsv1.NewDeployment(ctx, name, &appsv1.DeploymentArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: pulumi.String(namespace)},
		Spec: appsv1.DeploymentSpecArgs{
			Selector: metav1.LabelSelectorArgs{MatchLabels: labels},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: labels, Annotations: annotations},
				Spec:     pod,
			},
			// A new role may take up to ten minutes to take effect, and until then the pods wait.
			ProgressDeadlineSeconds: pulumi.Int(15 * 60),
		},
	}, cluster.Option(), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "15m", Update: "15m"}))
	return err
}

// pod meets the restricted Pod Security Standard.
func pod(script string, env corev1.EnvVarArray) corev1.PodSpecArgs {
	return corev1.PodSpecArgs{
		AutomountServiceAccountToken: pulumi.Bool(false),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot:   pulumi.Bool(true),
			RunAsUser:      pulumi.Int(65534),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		Containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name:    pulumi.String("reader"),
			Image:   pulumi.String("busybox:1.35.0"),
			Command: pulumi.ToStringArray([]string{"sh", "-c", script}),
			Env:     env,
			SecurityContext: corev1.SecurityContextArgs{
				AllowPrivilegeEscalation: pulumi.Bool(false),
				Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
			},
		}},
	}
}
