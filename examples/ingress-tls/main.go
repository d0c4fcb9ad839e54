// A certificate of a vault as the TLS Secret of an Ingress. A renewed certificate reaches the Secret automatically, and
// with it the ingress controller.
package main

import (
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	networkingv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/networking/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

const (
	namespace = "ingress-tls"
	web       = "web" // the site: its Deployment, Service and Ingress
	port      = 8080
	serve     = `trap 'exit 0' TERM; mkdir /tmp/site && echo hello >/tmp/site/index.html
httpd -f -p 8080 -h /tmp/site & wait`
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	// The secret with the certificate's name contains the certificate chain and the private key.
	objects := []components.ObjectArgs{
		{Type: components.ObjectSecret, Name: cfg.Require("certificate"), Alias: "tls.pem", FilePermission: "0400"},
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{
		ExistingVaultID: pulumi.String(cfg.Require("vaultId")),
		APIVersion:      components.VaultAPI20260201,
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
	identity, err := components.NewWorkloadIdentity(ctx, "tls", &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		Cluster:           aks.Cluster,
		IssuerURL:         aks.IssuerURL,
		Namespace:         namespace,
		CreateNamespace:   true,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "tls"}},
	})
	if err != nil {
		return err
	}
	mount, err := components.NewSecretMount(ctx, "tls-mount", &components.SecretMountArgs{
		VaultID:            vault.VaultID,
		VaultName:          vault.VaultName,
		TenantID:           vault.TenantID,
		ClientID:           identity.ClientID,
		PrincipalID:        identity.PrincipalID,
		Cluster:            identity.Cluster,
		Namespace:          namespace,
		ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		Objects:            objects,
		SyncSecrets: []components.SyncSecretArgs{{
			Name: "web-tls",
			Type: "kubernetes.io/tls", // for which the certificates and the key are taken apart
			Data: []components.SyncDataArgs{{Key: "tls.crt", File: "tls.pem"}, {Key: "tls.key", File: "tls.pem"}},
		}},
		Probe: &components.ProbeArgs{}, // the Secret is there while a pod mounts it, and an Ingress mounts nothing
	})
	if err != nil {
		return err
	}
	if err := site(ctx, identity.Cluster.Option()); err != nil {
		return err
	}
	return ingress(ctx, cfg, mount.SyncedSecrets.Index(pulumi.Int(0)), identity.Cluster.Option())
}

// ingress creates the Ingress, once its Secret exists.
func ingress(
	ctx *pulumi.Context, cfg *config.Config, secret pulumi.StringOutput, inCluster pulumi.ResourceOption,
) error {
	host := pulumi.String(cfg.Require("host"))
	backend := networkingv1.IngressBackendArgs{Service: networkingv1.IngressServiceBackendArgs{
		Name: pulumi.String(web), Port: networkingv1.ServiceBackendPortArgs{Number: pulumi.Int(port)},
	}}
	_, err := networkingv1.NewIngress(ctx, web, &networkingv1.IngressArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name: pulumi.String(web), Namespace: pulumi.String(namespace),
			// Pulumi waits for the address that a controller gives to the Ingress. If there is a controller, remove this.
			Annotations: pulumi.StringMap{"pulumi.com/skipAwait": pulumi.String("true")},
		},
		Spec: networkingv1.IngressSpecArgs{
			IngressClassName: pulumi.String(cfg.Require("ingressClass")),
			Tls: networkingv1.IngressTLSArray{
				networkingv1.IngressTLSArgs{Hosts: pulumi.StringArray{host}, SecretName: secret},
			},
			Rules: networkingv1.IngressRuleArray{networkingv1.IngressRuleArgs{
				Host: host,
				Http: networkingv1.HTTPIngressRuleValueArgs{Paths: networkingv1.HTTPIngressPathArray{
					networkingv1.HTTPIngressPathArgs{
						Path: pulumi.String("/"), PathType: pulumi.String("Prefix"), Backend: backend,
					},
				}},
			}},
		},
	}, inCluster)
	return err
}

// site is the backend of the Ingress. It needs no certificate.
func site(ctx *pulumi.Context, inCluster pulumi.ResourceOption) error {
	labels := pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(web)}
	metadata := metav1.ObjectMetaArgs{Name: pulumi.String(web), Namespace: pulumi.String(namespace)}
	pod := corev1.PodSpecArgs{
		AutomountServiceAccountToken: pulumi.Bool(false),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot:   pulumi.Bool(true),
			RunAsUser:      pulumi.Int(65534),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		Containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name:    pulumi.String(web),
			Image:   pulumi.String("busybox:1.35.0"),
			Command: pulumi.ToStringArray([]string{"sh", "-c", serve}),
			Ports:   corev1.ContainerPortArray{corev1.ContainerPortArgs{ContainerPort: pulumi.Int(port)}},
			SecurityContext: corev1.SecurityContextArgs{
				AllowPrivilegeEscalation: pulumi.Bool(false),
				Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
			},
		}},
	}
	if _, err := appsv1.NewDeployment(ctx, web, &appsv1.DeploymentArgs{
		Metadata: metadata,
		Spec: appsv1.DeploymentSpecArgs{
			Selector: metav1.LabelSelectorArgs{MatchLabels: labels},
			Template: corev1.PodTemplateSpecArgs{Metadata: metav1.ObjectMetaArgs{Labels: labels}, Spec: pod},
		},
	}, inCluster); err != nil {
		return err
	}
	_, err := corev1.NewService(ctx, web, &corev1.ServiceArgs{
		Metadata: metadata,
		Spec: corev1.ServiceSpecArgs{
			Selector: labels, Ports: corev1.ServicePortArray{corev1.ServicePortArgs{Port: pulumi.Int(port)}},
		},
	}, inCluster)
	return err
}
