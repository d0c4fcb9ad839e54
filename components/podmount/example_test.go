package podmount_test

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// A Deployment whose container has the files of a mount under /mnt/secrets, a variable from one of its Kubernetes
// Secrets, may sign in with Azure's SDKs, and is rolled out again when what it mounts changes.
func ExampleAdd() {
	e := &mockengine.Engine{}
	err := e.Run(func(ctx *pulumi.Context) error {
		aks, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{ResourceGroupName: pulumi.String("payments")})
		if err != nil {
			return err
		}
		mount, err := components.NewSecretMount(ctx, "api", &components.SecretMountArgs{
			VaultName: pulumi.String("kv-payments"), TenantID: pulumi.String("tenant"), ClientID: pulumi.String("client"),
			Access: components.AccessNone, Cluster: aks.Cluster, Namespace: "payments", ServiceAccountName: pulumi.String("api"),
			Objects:     []components.ObjectArgs{{Type: components.ObjectSecret, Name: "db-password"}},
			SyncSecrets: []components.SyncSecretArgs{{Name: "db", Data: []components.SyncDataArgs{{Key: "password", File: "db-password"}}}},
		})
		if err != nil {
			return err
		}
		env, err := podmount.Env(mount, map[string]podmount.Ref{"DB_PASSWORD": {Secret: "db", Key: "password"}})
		if err != nil {
			return err
		}
		spec := corev1.PodSpecArgs{Containers: corev1.ContainerArray{
			corev1.ContainerArgs{Name: pulumi.String("api"), Image: pulumi.String("registry.example/api:1"), Env: env},
		}}
		if err := podmount.Add(mount, &spec, "/mnt/secrets"); err != nil {
			return err
		}
		_, err = appsv1.NewDeployment(ctx, "api", &appsv1.DeploymentArgs{
			Metadata: metav1.ObjectMetaArgs{Namespace: pulumi.String("payments")},
			Spec: appsv1.DeploymentSpecArgs{
				Selector: metav1.LabelSelectorArgs{MatchLabels: pulumi.StringMap{"app": pulumi.String("api")}},
				Template: corev1.PodTemplateSpecArgs{
					Metadata: metav1.ObjectMetaArgs{
						Labels:      podmount.Labels(mount, pulumi.StringMap{"app": pulumi.String("api")}),
						Annotations: podmount.Annotations(mount),
					},
					Spec: spec,
				},
			},
		}, aks.Cluster.Option())
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	for _, one := range e.Resources() {
		if one.Type == "kubernetes:apps/v1:Deployment" {
			fmt.Println(one.At(`spec.template.metadata.labels["azure.workload.identity/use"]`).StringValue())
			fmt.Println(one.At("spec.template.spec.containers[0].volumeMounts[0].mountPath").StringValue())
			fmt.Println(one.At("spec.template.spec.volumes[0].csi.driver").StringValue())
			fmt.Println(one.At("spec.template.spec.serviceAccountName").StringValue())
		}
	}
	// Output:
	// true
	// /mnt/secrets
	// secrets-store.csi.k8s.io
	// api
}
