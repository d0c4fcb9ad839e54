// What the program beside it in Go registers with the components, through the Pulumi package.
import * as keyvaultaks from "@keyvault-aks/keyvaultaks";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

const secretCount = 20; // in the vault, whatever the number of workloads
const maxCount = 1140; // how many sets of three there are of them

const two = (n: number) => n.toString().padStart(2, "0");

// The secrets of a workload. No other has the same three.
function mounted(workload: number): string[] {
    // Neighbours differ: 37 and the number of sets have no common divisor.
    let left = (workload * 37) % maxCount;
    for (let a = 0; a < secretCount; a++) {
        for (let b = a + 1; b < secretCount; b++) {
            const n = secretCount - b - 1;
            if (left < n) {
                return [a, b, b + 1 + left].map(i => `secret-${two(i)}`);
            }
            left -= n;
        }
    }
    return [];
}

const config = new pulumi.Config();
const [namespace, issuerUrl] = [config.require("namespace"), config.require("issuerUrl")];
const value = config.requireSecret("value");

const vault = new keyvaultaks.KeyVaultStack("vault", {
    existingVaultId: config.require("vaultId"),
    secrets: Array.from({ length: secretCount }, (_, i) => `secret-${two(i)}`).map(name => ({
        name, value: pulumi.interpolate`${value} ${name}`,
    })),
});
const provider = new kubernetes.Provider("cluster-kubernetes", {
    kubeconfig: config.requireSecret("kubeconfig"),
    clusterIdentifier: issuerUrl,
    enableServerSideApply: false,
});
const inCluster = { providers: { kubernetes: provider } };

for (let i = 0; i < config.requireNumber("workloads"); i++) {
    const name = `app-${i.toString().padStart(4, "0")}`;
    const identity = new keyvaultaks.WorkloadIdentity(name, {
        resourceGroupName: config.require("resourceGroupName"),
        issuerUrl,
        namespace,
        serviceAccounts: [{ name }],
    }, inCluster);
    new keyvaultaks.SecretMount(name, {
        vaultId: vault.vaultId,
        vaultName: vault.vaultName,
        tenantId: vault.tenantId,
        clientId: identity.clientId,
        principalId: identity.principalId,
        namespace,
        serviceAccountName: identity.serviceAccounts[0],
        className: name,
        objects: mounted(i).map(secret => ({ type: "secret", name: secret })),
    }, inCluster);
}
