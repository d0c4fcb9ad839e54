// An application with a vault and a cluster that somebody else created. Its pods read one secret of the vault, as a
// file and as an environment variable, and nothing else in it.
import * as keyvaultaks from "@keyvault-aks/keyvaultaks";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

const app = "app"; // the Deployment, its service account and its identity
const namespace = "typescript-app";

const config = new pulumi.Config();
const objects: keyvaultaks.types.input.ObjectArgs[] = [
    { type: "secret", name: config.require("secretName"), alias: "password" },
];

// Existing resources, which stay unchanged. If the secret is not in the vault, or the cluster lacks what a mount needs,
// the preview fails and says what to do.
const vault = new keyvaultaks.KeyVaultStack("vault", {
    existingVaultId: config.require("vaultId"),
    apiVersion: "2026-02-01",
    expectedObjects: objects,
});
const cluster = new keyvaultaks.AksWithCsi("cluster", {
    existingCluster: { id: config.require("clusterId") },
});
const provider = new kubernetes.Provider("kubernetes", {
    kubeconfig: cluster.kubeconfig,
    clusterIdentifier: cluster.issuerUrl,
    enableServerSideApply: false,
});

// The application's identity, and what it may read.
const identity = new keyvaultaks.WorkloadIdentity(app, {
    resourceGroupName: config.require("resourceGroupName"),
    issuerUrl: cluster.issuerUrl,
    namespace,
    createNamespace: true,
    serviceAccounts: [{ name: app }],
}, { providers: { kubernetes: provider } });
const mount = new keyvaultaks.SecretMount(`${app}-mount`, {
    vaultId: vault.vaultId,
    vaultName: vault.vaultName,
    tenantId: vault.tenantId,
    clientId: identity.clientId,
    principalId: identity.principalId,
    namespace,
    serviceAccountName: identity.serviceAccounts[0],
    objects,
    // A Kubernetes Secret for environment variables.
    syncSecrets: [{ name: app, data: [{ key: "password", file: "password" }] }],
}, { providers: { kubernetes: provider }, dependsOn: identity });

// Its pods mount the secret as /mnt/secrets/password and have it in PASSWORD.
const labels = { "app.kubernetes.io/name": app };
new kubernetes.apps.v1.Deployment(app, {
    metadata: { name: app, namespace: identity.namespace },
    spec: {
        selector: { matchLabels: labels },
        template: {
            // With the annotations, pods restart when their mounted objects change.
            metadata: { labels, annotations: mount.podAnnotations },
            spec: {
                serviceAccountName: mount.serviceAccountName,
                automountServiceAccountToken: false,
                securityContext: { runAsNonRoot: true, runAsUser: 65534, seccompProfile: { type: "RuntimeDefault" } },
                containers: [{
                    name: app,
                    image: "busybox:1.35.0",
                    command: ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"],
                    env: [{
                        name: "PASSWORD",
                        valueFrom: { secretKeyRef: { name: mount.syncedSecrets[0], key: "password" } },
                    }],
                    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
                    volumeMounts: [{ name: mount.volumeName, mountPath: "/mnt/secrets", readOnly: true }],
                }],
                volumes: [mount.volume],
            },
        },
        // A new role may take up to ten minutes to take effect, and until then the pods wait.
        progressDeadlineSeconds: 15 * 60,
    },
}, { provider, customTimeouts: { create: "15m", update: "15m" } });
