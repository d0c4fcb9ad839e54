// Command workloads deploys a second team's workloads with an existing vault, cluster and identity. It uses features of
// the components that the program of this repository does not use.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// The namespaces of the two identities.
const (
	teamNamespace = "team"
	ownNamespace  = "team-own"
)

func main() { pulumi.Run(program) }

func program(ctx *pulumi.Context) error {
	cfg := config.New(ctx, "")
	vault, err := components.NewKeyVaultStack(ctx, "contents", contents(cfg))
	if err != nil {
		return err
	}
	cluster, err := components.NewAksWithCsi(ctx, "cluster", &components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{ID: pulumi.String(cfg.Require("clusterId"))},
	})
	if err != nil {
		return err
	}
	shared, own, err := identities(ctx, cfg, cluster)
	if err != nil {
		return err
	}
	if err := mounts(ctx, cfg, cluster.Cluster, vault, shared, own); err != nil {
		return err
	}
	ctx.Export("clusterName", cluster.ClusterName)
	ctx.Export("vaultUri", vault.VaultURI)
	ctx.Export("sharedClientId", shared.ClientID)
	ctx.Export("ownClientId", own.ClientID)
	return nil
}

func contents(cfg *config.Config) *components.KeyVaultStackArgs {
	yes, no := true, false
	rotate := cfg.Get("rotate")
	return &components.KeyVaultStackArgs{
		ExistingVaultID: pulumi.String(cfg.Require("vaultId")),
		Secrets: []components.SecretArgs{
			{
				Name:        "given",
				Value:       cfg.RequireSecret("given"),
				ContentType: "text/plain",
				Tags:        map[string]string{"owner": "team"},
			},
			{
				Name: "generated", Rotate: rotate, Enabled: &yes, NotBefore: "2026-01-01", Expires: "P90D",
				Generate: &components.GenerateArgs{Length: 48, NoLower: true, NoNumeric: true, SpecialCharacters: "-_"},
			},
			{
				Name:      "disabled",
				Generate:  &components.GenerateArgs{NoSpecial: true},
				Enabled:   &no,
				NotBefore: "2026-01-01T12:00:00Z",
			},
			{Name: "bytes", Value: cfg.RequireSecret("bytes")},
			{Name: "digits", Value: cfg.RequireSecret("digits")},
			{Name: "web", Value: cfg.RequireSecret("certificate"), ContentType: "application/x-pem-file"},
			{Name: "bundle", Value: cfg.RequireSecret("bundle"), ContentType: "application/x-pkcs12"},
		},
		Keys: []components.KeyArgs{
			{
				Name: "signer", Type: "EC", Curve: "P-384", Operations: []string{"sign", "verify"}, Expires: "P2Y", Enabled: &yes,
				Rotation: &components.KeyRotationArgs{BeforeExpiry: "P30D", ExpiresAfter: "P2Y", NotifyBefore: "P60D"},
			},
			{
				Name: "wrapper", Size: 3072, Operations: []string{"wrapKey", "unwrapKey"}, NotBefore: "2026-01-01",
				Tags: map[string]string{"owner": "team"}, Rotation: &components.KeyRotationArgs{After: "P90D"},
			},
		},
	}
}

// identities returns an existing identity, for accounts in a new and an existing namespace, and a new one. The new one
// gets the cluster's provider from its options, like a component that does not know AksWithCsi.
func identities(
	ctx *pulumi.Context, cfg *config.Config, cluster *components.AksWithCsi,
) (shared, own *components.WorkloadIdentity, err error) {
	existing := cfg.Require("namespace")
	shared, err = components.NewWorkloadIdentity(ctx, "shared", &components.WorkloadIdentityArgs{
		ExistingIdentityID: pulumi.String(cfg.Require("identityId")),
		Cluster:            cluster.Cluster,
		IssuerURL:          cluster.IssuerURL,
		AdditionalIssuers:  []components.IssuerArgs{{Name: "other", URL: pulumi.String("https://issuer.example/other/")}},
		Namespace:          teamNamespace,
		CreateNamespace:    true,
		ExistingNamespaces: []string{existing},
		PodSecurity:        components.PodSecurityRestricted,
		NamespaceLabels:    map[string]string{"team": "second"},
		ServiceAccounts: []components.ServiceAccountArgs{
			{
				Name:        "worker",
				Labels:      map[string]string{"role": "worker"},
				Annotations: map[string]string{"example.com/owner": "team"},
			},
			{Name: "default", Namespace: existing, Existing: true},
		},
	})
	if err != nil {
		return nil, nil, err
	}
	own, err = components.NewWorkloadIdentity(ctx, "own", &components.WorkloadIdentityArgs{
		ResourceGroupName: pulumi.String(cfg.Require("resourceGroupName")),
		IdentityName:      "team-own",
		Tags:              pulumi.StringMap{"owner": pulumi.String("team")},
		IssuerURL:         cluster.IssuerURL,
		Namespace:         ownNamespace,
		CreateNamespace:   true,
		PodSecurity:       components.PodSecurityBaseline,
		ServiceAccounts:   []components.ServiceAccountArgs{{Name: "own"}},
		RoleAssignments: []components.RoleAssignmentArgs{
			{
				Name:             "reader",
				RoleDefinitionID: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
				Scope:            pulumi.String(cfg.Require("vaultId")),
			},
		},
	}, pulumi.Provider(cluster.Cluster.Provider))
	return shared, own, err
}

// mounts creates a mount for each kind of access, and another one for a pod that has two.
func mounts(
	ctx *pulumi.Context,
	cfg *config.Config,
	cluster components.Cluster,
	vault *components.KeyVaultStack,
	shared, own *components.WorkloadIdentity,
) error {
	ofOwn := pulumi.Provider(cluster.Provider)
	of := func(
		identity *components.WorkloadIdentity, account int, namespace string, more components.SecretMountArgs,
	) *components.SecretMountArgs {
		more.VaultID, more.VaultName, more.TenantID = vault.VaultID, vault.VaultName, vault.TenantID
		more.ClientID, more.PrincipalID, more.Cluster = identity.ClientID, identity.PrincipalID, identity.Cluster
		more.Namespace = namespace
		more.ServiceAccountName = identity.ServiceAccounts.Index(pulumi.Int(account))
		return &more
	}
	files, err := components.NewSecretMount(ctx, "files", of(shared, 0, teamNamespace, components.SecretMountArgs{
		CloudName: "AzurePublicCloud",
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "given"},
			{Type: "secret", Name: "generated", Alias: "folder/in folder/generated.txt", FilePermission: "0444"},
			{Type: "secret", Name: "bytes", Alias: "folder/bytes", Encoding: "base64"},
			{Type: "secret", Name: "digits", Encoding: "hex", FilePermission: "400"},
			{Type: "secret", Name: "bundle", Alias: "tls/bundle.pfx", Format: "pfx", Encoding: "base64"},
			{Type: "secret", Name: "issued-bundle", Alias: "tls/bundle.pem"},
			{Type: "secret", Name: "web", Alias: "tls/key.pem", Format: "pem"},
			{Type: "cert", Name: "issued", Alias: "tls/cert.pem"},
			{Type: "key", Name: "signer"},
			{Type: "key", Name: "wrapper", Alias: "keys/wrapper"},
		},
		SyncSecrets: []components.SyncSecretArgs{
			{
				Name:        "synced",
				Labels:      map[string]string{"owner": "team"},
				Annotations: map[string]string{"example.com/note": "a copy"},
				Data: []components.SyncDataArgs{
					{Key: "GIVEN", File: "given"},
					{Key: "generated", File: "folder/in folder/generated.txt"},
				},
			},
			{
				Name: "web", Type: "kubernetes.io/tls",
				Data: []components.SyncDataArgs{{Key: "tls.crt", File: "tls/cert.pem"}, {Key: "tls.key", File: "tls/key.pem"}},
			},
		},
		Versions: pulumi.StringMap{"given": pulumi.String(cfg.Get("givenVersion"))},
	}))
	if err != nil {
		return fmt.Errorf("mounting files: %w", err)
	}
	history, err := components.NewSecretMount(ctx, "history", of(own, 0, ownNamespace, components.SecretMountArgs{
		Access: "vault",
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "given", Alias: "versions/given", VersionHistory: 2},
			{Type: "secret", Name: "my-secret", Alias: "pinned", Version: cfg.Require("pinnedVersion")},
		},
	}), ofOwn)
	if err != nil {
		return fmt.Errorf("mounting history: %w", err)
	}
	// The previous mount has access to the whole vault. This one needs no role, and waits for it with DependsOn.
	second, err := components.NewSecretMount(ctx, "second", of(own, 0, ownNamespace, components.SecretMountArgs{
		Access: "none", VolumeName: "second", ClassName: "second",
		Objects: []components.ObjectArgs{{Type: "secret", Name: "my-secret"}},
	}), ofOwn, pulumi.DependsOn([]pulumi.Resource{history}))
	if err != nil {
		return fmt.Errorf("mounting second: %w", err)
	}
	// The first team's stack has already assigned the roles for this mount.
	granted := of(shared, 1, cfg.Require("namespace"), components.SecretMountArgs{
		Access: "none",
		Objects: []components.ObjectArgs{
			{Type: "secret", Name: "my-secret"},
			{Type: "key", Name: "my-key", Alias: "keys/public"},
		},
		Probe: &components.ProbeArgs{Name: "granted"},
	})
	if _, err = components.NewSecretMount(ctx, "granted", granted); err != nil {
		return fmt.Errorf("mounting granted: %w", err)
	}
	return workloads(ctx, cluster.Option(), files, history, second)
}
