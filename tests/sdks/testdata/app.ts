// A program on the generated SDK, for the compiler alone: what must not compile is marked.
import * as pulumi from "@pulumi/pulumi";
import * as keyvaultaks from "./index";

const vault = new keyvaultaks.KeyVaultStack("vault", {
    resourceGroupName: pulumi.output("group"),
    tenantId: "11111111-1111-1111-1111-111111111111",
    namePrefix: "kv",
    secrets: [{ name: "password", value: pulumi.secret("p") }, { name: "made", generate: { length: 20 } }],
    keys: [{ name: "key", type: keyvaultaks.types.enums.KeyType.RSA_HSM }],
});
const cluster = new keyvaultaks.AksWithCsi("cluster", { resourceGroupName: "group", tier: "Standard" });
const identity = new keyvaultaks.WorkloadIdentity("identity", {
    resourceGroupName: "group",
    issuerUrl: cluster.issuerUrl,
    namespace: "apps",
    createNamespace: true,
    serviceAccounts: [{ name: "app" }],
});
const mount = new keyvaultaks.SecretMount("mount", {
    vaultId: vault.vaultId,
    vaultName: vault.vaultName,
    tenantId: vault.tenantId,
    clientId: identity.clientId,
    principalId: identity.principalId,
    namespace: "apps",
    serviceAccountName: identity.serviceAccounts[0],
    objects: [{ type: "secret", name: "password" }],
    syncSecrets: [{ name: "synced", data: [{ key: "PASSWORD", file: "password" }] }],
    versions: vault.secretVersions,
});

// A volume as @pulumi/kubernetes has it in a pod's spec.
interface Volume {
    name: pulumi.Input<string>;
    csi?: pulumi.Input<{
        driver: pulumi.Input<string>;
        readOnly?: pulumi.Input<boolean>;
        volumeAttributes?: pulumi.Input<{ [key: string]: pulumi.Input<string> }>;
    }>;
}
export const volumes: pulumi.Input<pulumi.Input<Volume>[]> = [mount.volume];
export const account: pulumi.Output<string> = mount.serviceAccountName;
export const variable: pulumi.Input<string> = mount.syncedSecrets[0];
export const labels: pulumi.Output<{ [key: string]: string }> = mount.podLabels;

new keyvaultaks.KeyVaultStack("late", {
    // @ts-expect-error an output where a plain value belongs
    namePrefix: vault.vaultName,
});
new keyvaultaks.KeyVaultStack("misspelt", {
    // @ts-expect-error a name that is none
    nameprefix: "kv",
});
// @ts-expect-error a value that is not one of those allowed
new keyvaultaks.AksWithCsi("tier", { tier: "standard" });
// @ts-expect-error without what is required
new keyvaultaks.SecretMount("empty", { namespace: "apps" });
