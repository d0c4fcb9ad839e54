package components

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"gopkg.in/yaml.v3"
)

// EntraArgs describe how users of the Kubernetes API sign in with Entra ID. Their permissions come from role
// assignments in Azure. The identity that runs the program needs Azure Kubernetes Service RBAC Cluster Admin on the
// cluster or its resource group, or membership in an admin group
// (https://learn.microsoft.com/azure/aks/manage-azure-rbac). kubelogin must be in the PATH.
type EntraArgs struct {
	// AdminGroupIDs are the object ids (GUIDs) of Entra groups whose members are administrators of the cluster. Outputs
	// are checked once they are known. Defaults to none: only role assignments give permissions.
	AdminGroupIDs pulumi.StringArrayInput `pulumi:"adminGroupIds,optional"`
	// TenantID is the Entra tenant of the users. Defaults to the subscription's tenant.
	TenantID pulumi.StringInput `pulumi:"tenantId,optional"`
	// Login is how kubelogin gets a token without interaction. azurecli uses the login of az login. workloadidentity, spn
	// and msi read AZURE_CLIENT_ID and the other variables that they need (AZURE_FEDERATED_TOKEN_FILE,
	// AZURE_CLIENT_SECRET, AZURE_TENANT_ID) from the environment
	// (https://azure.github.io/kubelogin/concepts/login-modes.html). In a GitHub Actions job with the permission id-token:
	// write, workloadidentity uses the job's token and needs no file. Defaults to azurecli.
	Login Login `pulumi:"login,optional"`
}

// adminGroups are the rules for the ids of administrator groups.
var adminGroups = listRule{item: func(v *violations, path, group string) {
	v.match(guid, path, group, "a group's object id, a GUID")
}}

func (entra *EntraArgs) profile() containerservice.ManagedClusterAADProfilePtrInput {
	if entra == nil {
		return nil
	}
	return containerservice.ManagedClusterAADProfileArgs{
		Managed:         pulumi.Bool(true),
		EnableAzureRBAC: pulumi.Bool(true),
		// An empty list removes groups that were set before.
		AdminGroupObjectIDs: adminGroups.checked("entra.adminGroupIds", entra.AdminGroupIDs),
		TenantID:            optionalInput(entra.TenantID),
	}
}

func (v *violations) validateEntra(entra *EntraArgs) {
	if entra == nil {
		return
	}
	adminGroups.plain(v, "entra.adminGroupIds", entra.AdminGroupIDs)
	oneOf(v, "entra.login", withDefault(entra.Login, LoginAzureCLI),
		LoginAzureCLI, LoginWorkloadIdentity, LoginServicePrincipal, LoginManagedIdentity)
}

// userKubeconfig looks up the kubeconfig once the cluster exists. Azure's answer is not marked as secret.
func userKubeconfig(
	ctx *pulumi.Context, c *AksWithCsi, group, cluster pulumi.StringInput, entra *EntraArgs,
) pulumi.StringOutput {
	args := containerservice.ListManagedClusterUserCredentialsOutputArgs{ResourceGroupName: group, ResourceName: cluster}
	if entra != nil { // kubelogin replaced the other format, which Kubernetes no longer knows
		args.Format = pulumi.String("exec")
	}
	credentials := containerservice.ListManagedClusterUserCredentialsOutput(ctx, args, pulumi.Parent(c))
	kubeconfig := credentials.Kubeconfigs().ApplyT(func(all []containerservice.CredentialResultResponse) (string, error) {
		if len(all) == 0 {
			return "", errors.New("reading the cluster's kubeconfig: Azure returned none")
		}
		decoded, err := base64.StdEncoding.DecodeString(all[0].Value)
		if err != nil {
			return "", errors.New("reading the cluster's kubeconfig: Azure's answer is not base64")
		}
		return string(decoded), nil
	}).(pulumi.StringOutput)
	// A preview that enables Entra ID sees the cluster as it is before.
	return usableKubeconfig(kubeconfig, entra, ctx.DryRun())
}

// usableKubeconfig returns a kubeconfig that needs no interactive login, as a secret. If optional, a kubeconfig without
// Entra users is returned unchanged.
func usableKubeconfig(kubeconfig pulumi.StringOutput, entra *EntraArgs, optional bool) pulumi.StringOutput {
	if entra != nil {
		var tenantID pulumi.StringInput = pulumi.String("")
		if entra.TenantID != nil {
			tenantID = entra.TenantID
		}
		login := withDefault(entra.Login, LoginAzureCLI)
		kubeconfig = pulumi.All(kubeconfig, tenantID).ApplyT(func(all []any) (string, error) {
			given := all[0].(string)
			changed, err := withKubelogin(given, login, all[1].(string))
			if optional && errors.Is(err, errNoEntraUser) {
				return given, nil
			}
			return changed, err
		}).(pulumi.StringOutput)
	}
	return pulumi.ToSecret(kubeconfig).(pulumi.StringOutput)
}

// aksServerID is the Entra application of every AKS API server: https://azure.github.io/kubelogin/concepts/aks.html
const aksServerID = "6dae42f8-4368-4678-94ff-3960e28e3630"

// kubeconfigFile is the part of a kubeconfig that this package reads. Everything else is kept.
type kubeconfigFile struct {
	Users []kubeconfigUser `yaml:"users"`
	Rest  map[string]any   `yaml:",inline"`
}

type kubeconfigUser struct {
	Name string         `yaml:"name"`
	User map[string]any `yaml:"user"`
}

var errNoEntraUser = errors.New(
	"reading the cluster's kubeconfig: none of its users signs in with Entra ID, so omit entra",
)

// withKubelogin changes the Entra users of a kubeconfig to get their token from kubelogin with the given login. Azure's
// own kubeconfig makes kubelogin show a device code instead. Errors do not repeat the file's contents.
func withKubelogin(kubeconfig string, login Login, tenantID string) (string, error) {
	var file kubeconfigFile
	if err := yaml.Unmarshal([]byte(kubeconfig), &file); err != nil {
		return "", errors.New("reading the cluster's kubeconfig: invalid kubeconfig (not shown)")
	}
	found := false
	for i, user := range file.Users {
		if !signsInWithEntra(user.User) {
			continue
		}
		found = true
		file.Users[i].User = map[string]any{"exec": map[string]any{
			"apiVersion":         "client.authentication.k8s.io/v1",
			"command":            "kubelogin",
			"args":               kubeloginArgs(user.User, login, tenantID),
			"interactiveMode":    "Never",
			"provideClusterInfo": false,
			"installHint":        "The cluster's users sign in with kubelogin: https://azure.github.io/kubelogin/install.html",
		}}
	}
	if !found {
		return "", errNoEntraUser
	}
	changed, err := yaml.Marshal(file)
	if err != nil {
		return "", fmt.Errorf("writing the cluster's kubeconfig: %w", err)
	}
	return string(changed), nil
}

// signsInWithEntra recognizes both of AKS' formats, exec and azure.
func signsInWithEntra(user map[string]any) bool {
	exec, _ := user["exec"].(map[string]any)
	command, _ := exec["command"].(string)
	provider, _ := user["auth-provider"].(map[string]any)
	return strings.Contains(strings.ToLower(command), "kubelogin") || provider["name"] == "azure"
}

// kubeloginArgs follows kubelogin's own conversion. The Azure CLI knows its cloud and tenant, and refuses a tenant if
// it signed in with a managed identity, so only a tenant that was explicitly given is passed to it.
func kubeloginArgs(user map[string]any, login Login, tenantID string) []string {
	args := []string{"get-token", "--login", string(login), "--server-id", aksServerID}
	exec, _ := user["exec"].(map[string]any)
	given, _ := exec["args"].([]any)
	if login != LoginAzureCLI {
		args = append(args, "--environment", withDefault(argument(given, "--environment"), "AzurePublicCloud"))
	}
	if login == LoginServicePrincipal || login == LoginWorkloadIdentity {
		tenantID = withDefault(tenantID, argument(given, "--tenant-id"))
	}
	if tenantID != "" {
		args = append(args, "--tenant-id", tenantID)
	}
	return args
}

// argument returns the value after a flag.
func argument(args []any, flag string) string {
	if i := slices.Index(args, any(flag)); i >= 0 && i+1 < len(args) {
		value, _ := args[i+1].(string)
		return value
	}
	return ""
}
