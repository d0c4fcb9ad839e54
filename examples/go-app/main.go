// An application with a vault and a cluster that somebody else created. Its pods read one secret of the vault, as a
// file and as an environment variable, and nothing else in it.
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

const (
	app       = "app" // the Deployment, its service account and its identity
	namespace = "go-app"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	objects := []components.ObjectArgs{{Type: components.ObjectSecret, Name: cfg.Require("secretName"), Alias: "password"}}

	// Existing resources, which stay unchanged. If the secret is not in the vault, or the cluster lacks what a mount
	// needs, the preview fails and says what to do.
	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ExistingVaultID: pulumi.String(cfg.Require("vaultId")),
		APIVersion:      components.VaultAPI20260201,
		ExpectedObjects: objects,
	})
	if err != nil {
		return err
	}
	aks, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{ID: pulumi.String(cfg.Require("clusterId"))},
	})
	if err != nil {
		return err
	}

	// The application's identity, and what it may read.
	identity, err := components.NewWorkloadIdentity(ctx, app, &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		Cluster:           aks.Cluster,
		IssuerURL:         aks.IssuerURL,
		Namespace:         namespace,
		CreateNamespace:   true,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: app}},
	})
	if err != nil {
		return err
	}
	mount, err := components.NewSecretMount(ctx, app+"-mount", &components.SecretMountArgs{
		VaultID:            vault.VaultID,
		VaultName:          vault.VaultName,
		TenantID:           vault.TenantID,
		ClientID:           identity.ClientID,
		PrincipalID:        identity.PrincipalID,
		Cluster:            identity.Cluster,
		Namespace:          namespace,
		ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		Objects:            objects,
		SyncSecrets: []components.SyncSecretArgs{{ // a Kubernetes Secret, which variables take their values from
			Name: app, Data: []components.SyncDataArgs{{Key: "password", File: "password"}},
		}},
	})
	if err != nil {
		return err
	}
	return deploy(ctx, mount, identity.Cluster.Option())
}

// deploy creates the Deployment. Its pods mount the secret as /mnt/secrets/password and have it in PASSWORD.
func deploy(ctx *pulumi.Context, mount *components.SecretMount, inCluster pulumi.ResourceOption) error {
	env, err := podmount.Env(mount, map[string]podmount.Ref{"PASSWORD": {Secret: app, Key: "password"}})
	if err != nil {
		return err
	}
	pod := corev1.PodSpecArgs{
		AutomountServiceAccountToken: pulumi.Bool(false),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot:   pulumi.Bool(true),
			RunAsUser:      pulumi.Int(65534),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		Containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name:    pulumi.String(app),
			Image:   pulumi.String("busybox:1.35.0"),
			Command: pulumi.ToStringArray([]string{"sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"}),
			Env:     env,
			SecurityContext: corev1.SecurityContextArgs{
				AllowPrivilegeEscalation: pulumi.Bool(false),
				Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
			},
		}},
	}
	if err := podmount.Add(mount, &pod, "/mnt/secrets"); err != nil {
		return err
	}
	labels := pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(app)}
	_, err = appsv1.NewDeployment(ctx, app, &appsv1.DeploymentArgs{
		Metadata: metav1.ObjectMetaArgs{Name: pulumi.String(app), Namespace: pulumi.String(namespace)},
		Spec: appsv1.DeploymentSpecArgs{
			Selector: metav1.LabelSelectorArgs{MatchLabels: labels},
			Template: corev1.PodTemplateSpecArgs{
				// With the annotations, pods restart when their mounted objects change.
				Metadata: metav1.ObjectMetaArgs{Labels: labels, Annotations: podmount.Annotations(mount)},
				Spec:     pod,
			},
			// A new role may take up to ten minutes to take effect, and until then the pods wait.
			ProgressDeadlineSeconds: pulumi.Int(15 * 60),
		},
	}, inCluster, pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "15m", Update: "15m"}))
	return err
}
