// A vault, a cluster, and a pod that reads a secret of the vault without a password.
import * as keyvaultaks from "@keyvault-aks/keyvaultaks";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

// ResourceGroup is the class of @pulumi/azure-native, a large package of which the program needs nothing else.
class ResourceGroup extends pulumi.CustomResource {
    declare public readonly name: pulumi.Output<string>;
    constructor(name: string, args: { location: pulumi.Input<string> }) {
        // The version is the one that the components use, so that one plugin is enough.
        super("azure-native:resources:ResourceGroup", name, { name: undefined, ...args }, { version: "2.92.0" });
    }
}

const config = new pulumi.Config();
const location = config.require("location");
const namespace = config.require("namespace");
const group = new ResourceGroup("group", { location });

const cluster = new keyvaultaks.AksWithCsi("cluster", { resourceGroupName: group.name, location });
const provider = new kubernetes.Provider("kubernetes", {
    kubeconfig: cluster.kubeconfig,
    clusterIdentifier: cluster.issuerUrl,
    enableServerSideApply: false,
});
const inCluster = { providers: { kubernetes: provider }, deletedWith: provider };

// Pods of the service account use the identity.
const identity = new keyvaultaks.WorkloadIdentity("app", {
    resourceGroupName: group.name,
    location,
    issuerUrl: cluster.issuerUrl,
    namespace,
    createNamespace: true,
    serviceAccounts: [{ name: "app" }],
}, inCluster);

const vault = new keyvaultaks.KeyVaultStack("vault", {
    resourceGroupName: group.name,
    location,
    tenantId: identity.tenantId,
    apiVersion: "2026-02-01",
    namePrefix: "kv-app",
    softDeleteRetentionDays: 7,
    secrets: [{ name: "password", generate: {} }],
});

// The mounted objects decide the roles. The test pod has them in /mnt/secrets. In your own pods, add mount.volume to
// the volumes, and use mount.serviceAccountName as the account.
new keyvaultaks.SecretMount("app-mount", {
    vaultId: vault.vaultId,
    vaultName: vault.vaultName,
    tenantId: vault.tenantId,
    clientId: identity.clientId,
    principalId: identity.principalId,
    namespace,
    serviceAccountName: identity.serviceAccounts[0],
    objects: [{ type: "secret", name: "password" }],
    testPod: { name: "app" },
}, { ...inCluster, dependsOn: identity });

export const vaultId = vault.vaultId;
export const vaultUri = vault.vaultUri;
export const clusterId = cluster.clusterId;
export const kubeconfig = cluster.kubeconfig;
export const readSecretCommand = `kubectl exec --namespace ${namespace} app -- cat /mnt/secrets/password`;
