// Command fleet creates many workloads on an existing vault and cluster, each with its own identity, service account
// and mount. With the configuration bare it registers the same resources without the components, to measure what they
// cost. With the arguments yaml and a number of workloads it prints the same program in YAML, which uses the Pulumi
// package, as does the one in TypeScript beside it.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

const (
	secretCount = 20   // in the vault, whatever the number of workloads
	maxCount    = 1140 // number of sets of three secrets
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "yaml" {
		workloads, err := strconv.Atoi(os.Args[2])
		if err != nil || workloads > maxCount {
			fmt.Fprintf(os.Stderr, "fleet yaml: invalid number of workloads %q, allowed: up to %d\n", os.Args[2], maxCount)
			os.Exit(2)
		}
		fmt.Print(yamlProgram(workloads))
		return
	}
	pulumi.Run(program)
}

// fleet is the configuration.
type fleet struct {
	workloads int
	pods      bool // each workload has a pod that mounts its secrets; not with bare

	vaultID, vaultName, tenantID        string
	issuerURL, resourceGroup, namespace string

	kubeconfig pulumi.StringOutput
	value      pulumi.StringOutput // prefix of the secrets' values
}

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	f := fleet{
		workloads:     cfg.RequireInt("workloads"),
		pods:          cfg.GetBool("pods"),
		vaultID:       cfg.Require("vaultId"),
		vaultName:     cfg.Require("vaultName"),
		tenantID:      cfg.Require("tenantId"),
		issuerURL:     cfg.Require("issuerUrl"),
		resourceGroup: cfg.Require("resourceGroupName"),
		namespace:     cfg.Require("namespace"),
		kubeconfig:    cfg.RequireSecret("kubeconfig"),
		value:         cfg.RequireSecret("value"),
	}
	if f.workloads > maxCount {
		return fmt.Errorf("workloads: given %d, allowed: up to %d", f.workloads, maxCount)
	}
	secrets := pulumi.Map{}
	for i := range f.workloads {
		set := mounted(i)
		secrets[workloadName(i)] = pulumi.ToStringArray(set[:])
	}
	ctx.Export("secrets", secrets)
	if cfg.GetBool("bare") {
		return f.bare(ctx)
	}
	return f.components(ctx)
}

func workloadName(i int) string { return fmt.Sprintf("app-%04d", i) }
func secretName(i int) string   { return fmt.Sprintf("secret-%02d", i) }

func (f fleet) secretValue(name string) pulumi.StringOutput {
	return pulumi.Sprintf("%s %s", f.value, name)
}

// mounted returns the secrets of a workload. No two workloads have the same three.
func mounted(workload int) (set [3]string) {
	// 37 and the number of sets have no common divisor, so each set is used once, and neighbours differ.
	left := workload * 37 % maxCount
	for a := range secretCount {
		for b := a + 1; b < secretCount; b++ {
			if n := secretCount - b - 1; left >= n {
				left -= n
				continue
			}
			return [3]string{secretName(a), secretName(b), secretName(b + 1 + left)}
		}
	}
	return set
}

func (f fleet) components(ctx *pulumi.Context) error {
	contents := &components.KeyVaultStackArgs{ExistingVaultID: pulumi.String(f.vaultID)}
	for i := range secretCount {
		name := secretName(i)
		contents.Secrets = append(contents.Secrets, components.SecretArgs{Name: name, Value: f.secretValue(name)})
	}
	vault, err := components.NewKeyVaultStack(ctx, "vault", contents)
	if err != nil {
		return err
	}
	cluster, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{IssuerURL: pulumi.String(f.issuerURL), Kubeconfig: f.kubeconfig},
	})
	if err != nil {
		return err
	}
	for i := range f.workloads {
		if err := f.workload(ctx, i, vault, cluster); err != nil {
			return err
		}
	}
	return nil
}

func (f fleet) workload(
	ctx *pulumi.Context, i int, vault *components.KeyVaultStack, cluster *components.AksWithCsi,
) error {
	name := workloadName(i)
	identity, err := components.NewWorkloadIdentity(ctx, name, &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(f.resourceGroup),
		Cluster:           cluster.Cluster,
		IssuerURL:         cluster.IssuerURL,
		Namespace:         f.namespace,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: name}},
	})
	if err != nil {
		return err
	}
	mount := &components.SecretMountArgs{
		VaultID: vault.VaultID, VaultName: vault.VaultName, TenantID: vault.TenantID,
		ClientID: identity.ClientID, PrincipalID: identity.PrincipalID,
		Cluster: identity.Cluster, Namespace: f.namespace, ServiceAccountName: identity.ServiceAccounts.Index(pulumi.Int(0)),
		ClassName: name,
	}
	for _, secret := range mounted(i) {
		mount.Objects = append(mount.Objects, components.ObjectArgs{Type: components.ObjectSecret, Name: secret})
	}
	if f.pods {
		mount.TestPod = &components.TestPodArgs{Name: name}
	}
	_, err = components.NewSecretMount(ctx, name, mount)
	return err
}
