package podmount_test

import (
	"fmt"

	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// A Deployment that mounts nothing. Its variable comes from a Kubernetes Secret that the mount's probe keeps. It
// restarts with the next `pulumi up --refresh` after a new value was written to the vault, even if the secret is not
// the program's.
func ExampleAnnotations() {
	e := &mockengine.Engine{Answers: map[string]map[string]any{"azure-native:keyvault/v20241101:getSecret": {
		"properties": map[string]any{"secretUriWithVersion": "https://kv-payments.vault.azure.net/secrets/db-password/0"},
	}}}
	err := e.Run(func(ctx *pulumi.Context) error {
		aks, err := components.NewAksWithCsi(ctx, "cluster",
			&components.AksWithCsiArgs{ResourceGroupName: pulumi.String("payments")})
		if err != nil {
			return err
		}
		password := keyvault.LookupSecretOutput(ctx, keyvault.LookupSecretOutputArgs{
			ResourceGroupName: pulumi.String("payments"),
			VaultName:         pulumi.String("kv-payments"),
			SecretName:        pulumi.String("db-password"),
		})
		mount, err := components.NewSecretMount(ctx, "api", &components.SecretMountArgs{
			VaultName:          pulumi.String("kv-payments"),
			TenantID:           pulumi.String("tenant"),
			ClientID:           pulumi.String("client"),
			Access:             components.AccessNone,
			Cluster:            aks.Cluster,
			Namespace:          "payments",
			ServiceAccountName: pulumi.String("api"),
			Objects:            []components.ObjectArgs{{Type: components.ObjectSecret, Name: "db-password"}},
			SyncSecrets: []components.SyncSecretArgs{
				{Name: "db", Data: []components.SyncDataArgs{{Key: "password", File: "db-password"}}},
			},
			Versions: pulumi.StringMap{"db-password": password.Properties().SecretUriWithVersion()},
			Probe:    &components.ProbeArgs{},
		})
		if err != nil {
			return err
		}
		env, err := podmount.Env(mount, map[string]podmount.Ref{"DB_PASSWORD": {Secret: "db", Key: "password"}})
		if err != nil {
			return err
		}
		app := pulumi.StringMap{"app": pulumi.String("api")}
		_, err = appsv1.NewDeployment(ctx, "api", &appsv1.DeploymentArgs{
			Metadata: metav1.ObjectMetaArgs{Namespace: pulumi.String("payments")},
			Spec: appsv1.DeploymentSpecArgs{
				Selector: metav1.LabelSelectorArgs{MatchLabels: app},
				Template: corev1.PodTemplateSpecArgs{
					Metadata: metav1.ObjectMetaArgs{Labels: app, Annotations: podmount.Annotations(mount)},
					Spec: corev1.PodSpecArgs{Containers: corev1.ContainerArray{
						corev1.ContainerArgs{Name: pulumi.String("api"), Image: pulumi.String("registry.example/api:1"), Env: env},
					}},
				},
			},
		}, aks.Cluster.Option())
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	for _, one := range e.Resources() {
		if one.Name == "api" && one.Type == "kubernetes:apps/v1:Deployment" {
			for key, value := range one.At("spec.template.metadata.annotations").ObjectValue() {
				fmt.Println(key, len(value.StringValue()))
			}
			fmt.Println(one.At("spec.template.spec.containers[0].env[0].valueFrom.secretKeyRef.name").StringValue())
		}
	}
	// Output:
	// keyvault-aks/checksum 64
	// db
}

// A Deployment whose container has the files of a mount under /mnt/secrets and a variable from one of its Kubernetes
// Secrets, can sign in with Azure's SDKs, and is rolled out again when its mounted objects change.
func ExampleAdd() {
	e := &mockengine.Engine{}
	err := e.Run(func(ctx *pulumi.Context) error {
		aks, err := components.NewAksWithCsi(ctx, "cluster",
			&components.AksWithCsiArgs{ResourceGroupName: pulumi.String("payments")})
		if err != nil {
			return err
		}
		mount, err := components.NewSecretMount(ctx, "api", &components.SecretMountArgs{
			VaultName:          pulumi.String("kv-payments"),
			TenantID:           pulumi.String("tenant"),
			ClientID:           pulumi.String("client"),
			Access:             components.AccessNone,
			Cluster:            aks.Cluster,
			Namespace:          "payments",
			ServiceAccountName: pulumi.String("api"),
			Objects:            []components.ObjectArgs{{Type: components.ObjectSecret, Name: "db-password"}},
			SyncSecrets: []components.SyncSecretArgs{
				{Name: "db", Data: []components.SyncDataArgs{{Key: "password", File: "db-password"}}},
			},
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
