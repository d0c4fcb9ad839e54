package main

import (
	"fmt"
	"strings"
)

// yamlProgram returns a YAML program that registers the same resources with the Pulumi package. YAML has no loops.
func yamlProgram(workloads int) string {
	var b strings.Builder
	b.WriteString(`name: fleet-yaml
runtime: yaml
config:
  workloads: {type: integer}
  bare: {type: boolean}
  tenantId: {type: string}
  vaultName: {type: string}
  vaultId: {type: string}
  issuerUrl: {type: string}
  resourceGroupName: {type: string}
  namespace: {type: string}
  kubeconfig: {type: string, secret: true}
  value: {type: string, secret: true}
resources:
  cluster-kubernetes:
    type: pulumi:providers:kubernetes
    properties:
      kubeconfig: ${kubeconfig}
      clusterIdentifier: ${issuerUrl}
      enableServerSideApply: false
  vault:
    type: keyvaultaks:KeyVaultStack
    properties:
      existingVaultId: ${vaultId}
      secrets:
`)
	for i := range secretCount {
		fmt.Fprintf(&b, "        - {name: %[1]s, value: \"${value} %[1]s\"}\n", secretName(i))
	}
	for i := range workloads {
		set := mounted(i)
		fmt.Fprintf(&b, `  identity-%[1]d:
    type: keyvaultaks:WorkloadIdentity
    name: %[2]s
    properties:
      resourceGroupName: ${resourceGroupName}
      issuerUrl: ${issuerUrl}
      namespace: ${namespace}
      serviceAccounts: [{name: %[2]s}]
    options:
      providers: ["${cluster-kubernetes}"]
  mount-%[1]d:
    type: keyvaultaks:SecretMount
    name: %[2]s
    properties:
      vaultId: ${vault.vaultId}
      vaultName: ${vault.vaultName}
      tenantId: ${vault.tenantId}
      clientId: ${identity-%[1]d.clientId}
      principalId: ${identity-%[1]d.principalId}
      namespace: ${namespace}
      serviceAccountName: ${identity-%[1]d.serviceAccounts[0]}
      className: %[2]s
      objects: [{type: secret, name: %[3]s}, {type: secret, name: %[4]s}, {type: secret, name: %[5]s}]
    options:
      providers: ["${cluster-kubernetes}"]
`, i, workloadName(i), set[0], set[1], set[2])
	}
	return b.String()
}
