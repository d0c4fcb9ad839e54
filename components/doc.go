// Package components gives pods on Azure Kubernetes Service the secrets, keys and certificates of an Azure Key Vault.
//
// Each of the four components stands alone and takes ids and strings, never another component, so it also works with a
// vault, a cluster or an identity that something else made:
//
//   - [KeyVaultStack]: a vault with its secrets and keys.
//   - [AksWithCsi]: a cluster with the Key Vault add-on, an OIDC issuer and workload identity.
//   - [WorkloadIdentity]: a managed identity that service accounts of the cluster may act as.
//   - [SecretMount]: what a workload mounts; the roles it needs follow from that.
//
// Package podmount puts a mount into the pod specs of the Kubernetes SDK.
//
// # The cluster
//
// What creates Kubernetes objects takes a [Cluster], which [AksWithCsi] hands out. Only the objects then wait for the
// cluster: an identity and its roles are created beside it. Without one, a component takes the Kubernetes provider in
// its options, as everywhere in Pulumi, and waits for it as a whole.
//
// # Order
//
// Order is data. An output resolves to something that can be used: a service account's name is that of an account whose
// federated credential exists, a mount's volume is one whose roles and class exist. What uses an output is created
// after everything that the output stands for, and deleted before it; nobody has to write DependsOn. A namespace is a
// plain value, so [WorkloadIdentity.Cluster] is the cluster in which the identity's namespaces exist, and
// [Cluster.After] does the same for others.
//
// # Roles that are late
//
// Azure honours a role up to ten minutes after it was assigned. A pod that mounts waits for that by itself. What Azure
// refuses at once is tried again for that long: a cluster and its pools, where the control plane's identity is one that
// the component made, and what is in a cluster whose users sign in with Entra ID. An error hook does that, for which
// the Pulumi CLI must be 3.219 or later.
//
// # Arguments
//
// Arguments that decide what is created are plain values. Validate checks them, and so does the constructor before
// anything is registered; all violations are reported at once, as a [ValidationError]. Arguments that are only passed
// on are Inputs and may be known late; what breaks a rule then fails what uses it, at preview if it is known there. An
// argument's documentation says what its default is, and whether that is for development. Arguments are never changed
// by a component.
//
// # Options
//
// pulumi.Protect, pulumi.Aliases, pulumi.Provider for azure-native, pulumi.Transforms and pulumi.DependsOn reach
// everything in a component. pulumi.IgnoreChanges, pulumi.Timeouts, pulumi.DeleteBeforeReplace and other options of
// single resources reach none of its parts. pulumi.DeletedWith on a component reaches all of its parts, its roles in
// Azure too; [Cluster.DeletedWith] reaches the Kubernetes objects alone.
//
// A transform (pulumi.Transforms) changes any property of any part before it is registered, such as one that no
// argument sets. It is given the part's type and name: see the example of [NewAksWithCsi]. What it sets, no rule of
// this package checks.
//
// # What is promised
//
// Versions are semantic. From 1.0 on a minor version may add arguments, outputs, constants and parts, and a patch
// changes nothing but faults. A stack that was brought up with one version goes on with a later one of the same major
// version without a replacement: where a part gets another name or type, it has an alias. Stable are the exported names
// here and in podmount, the names of arguments and outputs, the types of components, and the ids of what is in Azure
// and Kubernetes. Not promised are the names of parts, the texts of errors and warnings, and the types of the fields
// [KeyVaultStack.Vault], [AksWithCsi.ManagedCluster] and [WorkloadIdentity.Identity], which are azure-native's own.
//
// A component that gets another name, or another parent, takes the earlier one as an alias; its parts follow, since
// their names begin with the component's. Without the alias Pulumi creates everything under the new name, which Azure
// and Kubernetes refuse where the name is taken, and deletes what was there.
//
// A cluster with neither ClusterName nor DNSPrefix also sets DNSPrefix to the component's earlier name, since its default came
// from there.
//
// # Secrets
//
// Values of secrets and the kubeconfig are Pulumi secrets whatever the caller passes: encrypted in state, masked on the
// console.
package components

//go:generate go run ../internal/componentdocs -out ../docs/components.md -schema ../provider/schema.json
