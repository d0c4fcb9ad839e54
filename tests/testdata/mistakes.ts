// Makes the mistake that the configuration names, among those that the TypeScript compiler does not find.
import * as keyvaultaks from "@keyvault-aks/keyvaultaks";
import * as pulumi from "@pulumi/pulumi";

class RandomString extends pulumi.CustomResource {
    declare public readonly result: pulumi.Output<string>;
    constructor(name: string) {
        super("random:index/randomString:RandomString", name, { length: 8, result: undefined });
    }
}

const late: any = new RandomString("theirs").result;
const mistakes: { [name: string]: () => void } = {
    output: () => new keyvaultaks.KeyVaultStack("it", {
        resourceGroupName: "keyvault-demo",
        tenantId: late,
        namePrefix: late,
        secrets: [{ name: "a_b", value: late, rotate: late }, { name: "c" }],
    }),
    provider: () => new keyvaultaks.SecretMount("it", {
        vaultName: late, tenantId: late, clientId: late, access: "nowhere" as any, namespace: "a_b",
        objects: [{ type: "secret", name: "a" }],
    }),
    name: () => new keyvaultaks.WorkloadIdentity("it", {
        resourceGroupName: "keyvault-demo", issuerUrl: late, namespace: "Apps",
        serviceAccounts: [{ nme: "app" } as any, { name: "a_b" }],
    }),
    theirs: () => { throw new Error("of their own"); },
};
mistakes[new pulumi.Config().require("mistake")]();
