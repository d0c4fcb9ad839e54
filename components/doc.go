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
// # Order
//
// Order is data. An output resolves to something that can be used: a service account's name is that of an account whose
// federated credential exists, a mount's volume is one whose roles and class exist. So whoever uses an output comes after
// everything it stands on, and is deleted before it; nobody has to write DependsOn.
//
// # Roles that are late
//
// Azure honours a role up to ten minutes after it was assigned. A pod that mounts waits for that by itself. What Azure refuses at once is tried
// again for that long: a cluster and its pools, where the control plane's identity is one that the component made, and what is in a cluster
// that was made with Entra ID. It is an error hook that does, for which the Pulumi CLI has to be 3.219 or later.
//
// # Arguments
//
// Arguments that decide what is created are plain values and are checked before anything is registered; all violations are
// reported at once, as [violations]. Arguments that are only passed on are Inputs and may be known late. An argument's
// documentation says what leaving it out means. Arguments are never changed by a component.
//
// # Secrets
//
// Values of secrets and the kubeconfig are Pulumi secrets whatever the caller passes: encrypted in state, masked on the
// console.
package components

//go:generate go run ../internal/componentdocs -out ../docs/components.md
