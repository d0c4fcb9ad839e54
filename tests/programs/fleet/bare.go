package main

import (
	"errors"
	"fmt"
	"strings"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20220401"
	keyvault "github.com/pulumi/pulumi-azure-native-sdk/keyvault/v2/v20241101"
	managedidentity "github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v2/v20230131"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// vaultGroup returns the vault's resource group.
func (f fleet) vaultGroup() string {
	_, group, _ := strings.Cut(f.vaultID, "/resourceGroups/")
	group, _, _ = strings.Cut(group, "/")
	return group
}

// deletedSoon is the timeout of the components' objects.
var deletedSoon = pulumi.Timeouts(&pulumi.CustomTimeouts{Delete: "1m"})

// vault has values that resolve once the vault's secrets exist.
type vault struct{ id, name, tenantID pulumi.StringOutput }

// bare registers the same resources as components, without components.
func (f fleet) bare(ctx *pulumi.Context) error {
	if f.pods {
		return errors.New("bare has no pods")
	}
	var secrets []pulumi.Resource
	for i := range secretCount {
		name := secretName(i)
		secret, err := keyvault.NewSecret(ctx, "vault-secret-"+name, &keyvault.SecretArgs{
			ResourceGroupName: pulumi.String(f.vaultGroup()),
			VaultName:         pulumi.String(f.vaultName),
			SecretName:        pulumi.String(name),
			Properties:        keyvault.SecretPropertiesArgs{Value: f.secretValue(name)},
		}, pulumi.RetainOnDelete(true))
		if err != nil {
			return err
		}
		secrets = append(secrets, secret)
	}
	filled := func(s string) pulumi.StringOutput {
		output := pulumi.String(s).ToStringOutput()
		return pulumi.OutputWithDependencies(ctx.Context(), output, secrets...).(pulumi.StringOutput)
	}
	v := vault{filled(f.vaultID), filled(f.vaultName), filled(f.tenantID)}
	provider, err := kubernetes.NewProvider(ctx, "cluster-kubernetes", &kubernetes.ProviderArgs{
		Kubeconfig:            f.kubeconfig,
		ClusterIdentifier:     pulumi.String(f.issuerURL),
		EnableServerSideApply: pulumi.Bool(false),
	})
	if err != nil {
		return err
	}
	for i := range f.workloads {
		if err := f.bareWorkload(ctx, i, v, pulumi.Provider(provider)); err != nil {
			return err
		}
	}
	return nil
}

func (f fleet) bareWorkload(ctx *pulumi.Context, i int, v vault, inCluster pulumi.ResourceOption) error {
	name := workloadName(i)
	account := f.namespace + "_" + name
	identity, err := managedidentity.NewUserAssignedIdentity(ctx, name+"-identity",
		&managedidentity.UserAssignedIdentityArgs{ResourceGroupName: pulumi.String(f.resourceGroup)})
	if err != nil {
		return err
	}
	credential := &managedidentity.FederatedIdentityCredentialArgs{
		ResourceGroupName:                       pulumi.String(f.resourceGroup),
		ResourceName:                            identity.Name,
		FederatedIdentityCredentialResourceName: pulumi.String(account),
		Issuer:                                  pulumi.String(f.issuerURL),
		Subject:                                 pulumi.Sprintf("system:serviceaccount:%s:%s", f.namespace, name),
		Audiences:                               pulumi.ToStringArray([]string{"api://AzureADTokenExchange"}),
	}
	_, err = managedidentity.NewFederatedIdentityCredential(ctx, name+"-credential-"+account, credential)
	if err != nil {
		return err
	}
	if _, err := corev1.NewServiceAccount(ctx, name+"-account-"+account, &corev1.ServiceAccountArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name: pulumi.String(name), Namespace: pulumi.String(f.namespace),
			Annotations: pulumi.StringMap{"azure.workload.identity/client-id": identity.ClientId},
		},
	}, inCluster, deletedSoon); err != nil {
		return err
	}
	var objects strings.Builder
	objects.WriteString("array:\n")
	for _, secret := range mounted(i) {
		if _, err := authorization.NewRoleAssignment(ctx, name+"-role-secret-"+secret, &authorization.RoleAssignmentArgs{
			Scope: pulumi.Sprintf("%s/secrets/%s", v.id, secret),
			RoleDefinitionId: v.id.ApplyT(func(id string) string {
				subscription, _, _ := strings.Cut(id, "/resourceGroups/")
				return subscription + "/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6"
			}).(pulumi.StringOutput),
			PrincipalId:   identity.PrincipalId,
			PrincipalType: pulumi.String("ServicePrincipal"),
		}); err != nil {
			return err
		}
		fmt.Fprintf(&objects, "    - |\n      objectName: %s\n      objectType: secret\n", secret)
	}
	// The SDK adds its default options only to its own types.
	options := utilities.PkgResourceDefaultOpts([]pulumi.ResourceOption{inCluster, deletedSoon})
	_, err = apiextensions.NewCustomResource(ctx, name+"-class", &apiextensions.CustomResourceArgs{
		ApiVersion: pulumi.String("secrets-store.csi.x-k8s.io/v1"),
		Kind:       pulumi.String("SecretProviderClass"),
		Metadata: metav1.ObjectMetaArgs{
			Name: pulumi.String(name), Namespace: pulumi.String(f.namespace),
		},
		OtherFields: kubernetes.UntypedArgs{"spec": pulumi.Map{
			"provider": pulumi.String("azure"),
			"parameters": pulumi.StringMap{
				"clientID":     identity.ClientId,
				"keyvaultName": v.name,
				"tenantID":     v.tenantID,
				"objects":      pulumi.String(objects.String()),
			},
		}},
	}, options...)
	return err
}
