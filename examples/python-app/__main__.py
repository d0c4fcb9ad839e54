"""An application whose vault and cluster somebody else has made. Its pods read one secret of the vault, as a file and
as an environment variable, and nothing else in it."""

import keyvaultaks
import pulumi
import pulumi_kubernetes as kubernetes

APP = "app"  # the Deployment, its service account and its identity
NAMESPACE = "python-app"

config = pulumi.Config()
objects = [keyvaultaks.ObjectArgs(type=keyvaultaks.ObjectType.SECRET, name=config.require("secretName"), alias="password")]

# Existing resources, which stay unchanged. If the secret is not in the vault, or the cluster lacks what a mount needs,
# the preview fails and says what to do.
vault = keyvaultaks.KeyVaultStack(
    "vault",
    existing_vault_id=config.require("vaultId"),
    api_version="2026-02-01",
    expected_objects=objects,
)
cluster = keyvaultaks.AksWithCsi(
    "cluster",
    existing_cluster=keyvaultaks.ExistingClusterArgs(id=config.require("clusterId")),
)
provider = kubernetes.Provider(
    "kubernetes",
    kubeconfig=cluster.kubeconfig,
    cluster_identifier=cluster.issuer_url,
    enable_server_side_apply=False,
)

# The application's identity, and what it may read.
identity = keyvaultaks.WorkloadIdentity(
    APP,
    resource_group_name=config.require("resourceGroupName"),
    issuer_url=cluster.issuer_url,
    namespace=NAMESPACE,
    create_namespace=True,
    service_accounts=[keyvaultaks.ServiceAccountArgs(name=APP)],
    opts=pulumi.ResourceOptions(providers={"kubernetes": provider}),
)
mount = keyvaultaks.SecretMount(
    f"{APP}-mount",
    vault_id=vault.vault_id,
    vault_name=vault.vault_name,
    tenant_id=vault.tenant_id,
    client_id=identity.client_id,
    principal_id=identity.principal_id,
    namespace=NAMESPACE,
    service_account_name=identity.service_accounts[0],
    objects=objects,
    # A Kubernetes Secret for environment variables.
    sync_secrets=[
        keyvaultaks.SyncSecretArgs(name=APP, data=[keyvaultaks.SyncDataArgs(key="password", file="password")])
    ],
    opts=pulumi.ResourceOptions(providers={"kubernetes": provider}, depends_on=[identity]),
)

# Its pods mount the secret as /mnt/secrets/password and have it in PASSWORD.
core, meta = kubernetes.core.v1, kubernetes.meta.v1
labels = {"app.kubernetes.io/name": APP}
pod = core.PodSpecArgs(
    service_account_name=mount.service_account_name,
    automount_service_account_token=False,
    security_context=core.PodSecurityContextArgs(
        run_as_non_root=True, run_as_user=65534, seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault")
    ),
    containers=[
        core.ContainerArgs(
            name=APP,
            image="busybox:1.35.0",
            command=["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"],
            env=[
                core.EnvVarArgs(
                    name="PASSWORD",
                    value_from=core.EnvVarSourceArgs(
                        secret_key_ref=core.SecretKeySelectorArgs(name=mount.synced_secrets[0], key="password")
                    ),
                )
            ],
            security_context=core.SecurityContextArgs(
                allow_privilege_escalation=False, capabilities=core.CapabilitiesArgs(drop=["ALL"])
            ),
            volume_mounts=[
                core.VolumeMountArgs(name=mount.volume_name, mount_path="/mnt/secrets", read_only=True)
            ],
        )
    ],
    volumes=[
        core.VolumeArgs(
            name=mount.volume_name,
            csi=core.CSIVolumeSourceArgs(
                driver=mount.volume.csi.driver,
                read_only=mount.volume.csi.read_only,
                volume_attributes=mount.volume.csi.volume_attributes,
            ),
        )
    ],
)
kubernetes.apps.v1.Deployment(
    APP,
    metadata=meta.ObjectMetaArgs(name=APP, namespace=identity.namespace),
    spec=kubernetes.apps.v1.DeploymentSpecArgs(
        selector=meta.LabelSelectorArgs(match_labels=labels),
        template=core.PodTemplateSpecArgs(
            # With the annotations, pods restart when their mounted objects change.
            metadata=meta.ObjectMetaArgs(labels=labels, annotations=mount.pod_annotations),
            spec=pod,
        ),
        # A new role may take up to ten minutes to take effect, and until then the pods wait.
        progress_deadline_seconds=15 * 60,
    ),
    opts=pulumi.ResourceOptions(
        provider=provider, custom_timeouts=pulumi.CustomTimeouts(create="15m", update="15m")
    ),
)
