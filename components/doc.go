// Package components mounts the secrets, keys and certificates of an Azure Key Vault into pods on Azure Kubernetes
// Service.
//
// Each of the four components stands alone. It takes ids and strings, never another component, so it also works with a
// vault, a cluster or an identity that was created elsewhere:
//
//   - [KeyVaultStack]: a vault with its secrets and keys.
//   - [AksWithCsi]: a cluster with the Key Vault add-on, an OIDC issuer and workload identity.
//   - [WorkloadIdentity]: a managed identity for service accounts of the cluster.
//   - [SecretMount]: what a workload mounts, and the roles that this requires.
//
// Package podmount adds a mount to the pod specs of the Kubernetes SDK.
//
// # The cluster
//
// Components that create Kubernetes objects take a [Cluster], which [AksWithCsi] provides. Only the objects then wait
// for the cluster: an identity and its roles are created in parallel. Without a Cluster, a component uses the
// Kubernetes provider in its options, as usual in Pulumi, and waits for it as a whole.
//
// # Order
//
// Outputs carry the order. An output resolves when the thing it names is ready for use: a service account's name once
// its federated credential exists, a mount's volume once its roles and class exist. A resource that uses an output is
// created after everything behind that output, and deleted before it, without DependsOn. A namespace is a plain value,
// so it cannot carry the order: use [WorkloadIdentity.Cluster] for objects in the identity's namespaces, and
// [Cluster.After] for other namespaces.
//
// # Late role assignments
//
// Azure may take up to ten minutes before a new role assignment takes effect. A pod that mounts simply waits. Where
// Azure refuses a request at once, Pulumi retries it for ten minutes: for a cluster and its pools if the component
// created the control plane's identity, and for objects in a cluster whose users sign in with Entra ID. This uses an
// error hook and requires version 3.219 or later of the Pulumi CLI.
//
// # Arguments
//
// Arguments that decide which resources are created are plain values. Validate checks them, and so does the constructor
// before it registers anything. All violations are reported at once, as a [ValidationError]. Arguments that are only
// passed on are Inputs and may be known later. If such a value breaks a rule, the resource that uses it fails, during
// the preview if the value is known there. The documentation of an argument states its default, and whether that
// default is for development only. Components never change their arguments.
//
// # Options
//
// pulumi.Protect, pulumi.Aliases, pulumi.Provider for azure-native, pulumi.Transforms and pulumi.DependsOn apply to
// everything in a component. pulumi.IgnoreChanges, pulumi.Timeouts, pulumi.DeleteBeforeReplace and other options for
// single resources do not apply to its parts. pulumi.DeletedWith on a component applies to all of its parts, including
// its roles in Azure; [Cluster.DeletedWith] applies to the Kubernetes objects only.
//
// A transform (pulumi.Transforms) can change any property of any part before it is registered, such as a property
// without an argument. It gets the part's type and name: see the example of [NewAksWithCsi]. The rules of this package
// do not check what a transform sets.
//
// # Compatibility
//
// Versions are semantic. From 1.0 on, a minor version may add arguments, outputs, constants and parts, and a patch
// version only fixes bugs. A stack of one version can be updated with a later one of the same major version without
// replacements: renamed parts and parts of a new type have aliases. The exported names here and in podmount, the names
// of arguments and outputs, the types of components, and the ids of resources in Azure and Kubernetes are stable. The
// names of parts, the texts of errors and warnings, and the types of the fields [KeyVaultStack.Vault],
// [AksWithCsi.ManagedCluster] and [WorkloadIdentity.Identity], which belong to azure-native, are not.
//
// When you rename a component or give it another parent, add the old name as an alias. Its parts follow, since their
// names begin with the component's. Without the alias, Pulumi creates everything under the new name, which Azure and
// Kubernetes refuse for names that are in use, and deletes the old resources.
//
// If a cluster has neither ClusterName nor DNSPrefix, also set DNSPrefix to the component's old name, from which its
// default came.
//
// # Secrets
//
// Values of secrets and the kubeconfig are always Pulumi secrets, whatever the caller passes: encrypted in the state
// and masked on the console.
package components

//go:generate go run ../internal/componentdocs -out ../docs/components.md -schema ../provider/schema.json
