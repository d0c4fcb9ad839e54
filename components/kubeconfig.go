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

// EntraArgs have users of the cluster's API sign in with Entra ID, and take their rights from role assignments in
// Azure. Whoever runs the program needs one: Azure Kubernetes Service RBAC Cluster Admin on the cluster or its resource
// group, or membership in an admin group (https://learn.microsoft.com/azure/aks/manage-azure-rbac). kubelogin must be
// in the PATH.
type EntraArgs struct {
	// AdminGroupIDs are the object ids of Entra groups whose members may do everything in the cluster, GUIDs. What is
	// known late is checked then. Defaults to none: only roles count.
	AdminGroupIDs pulumi.StringArrayInput `pulumi:"adminGroupIds,optional"`
	// TenantID is the Entra tenant of the users. Defaults to the subscription's.
	TenantID pulumi.StringInput `pulumi:"tenantId,optional"`
	// Login is how kubelogin gets a token, without asking anybody: azurecli takes that of az login; workloadidentity, spn
	// and msi read AZURE_CLIENT_ID and what else they need (AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_SECRET,
	// AZURE_TENANT_ID) from the environment (https://azure.github.io/kubelogin/concepts/login-modes.html). In a job of
	// GitHub Actions with the permission id-token: write, workloadidentity takes the job's token and no file. Defaults to
	// azurecli.
	Login Login `pulumi:"login,optional"`
}

// adminGroups is what the groups of administrators have to keep to.
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
		// An empty list takes away those from before.
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

// userKubeconfig asks for the kubeconfig once the cluster exists. Azure's answer is not marked secret.
func userKubeconfig(
	ctx *pulumi.Context,
	c *AksWithCsi,
	group, cluster pulumi.StringInput,
	entra *EntraArgs,
) pulumi.StringOutput {
	args := containerservice.ListManagedClusterUserCredentialsOutputArgs{ResourceGroupName: group, ResourceName: cluster}
	if entra != nil { // Kubernetes no longer knows the other format.
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
	// A preview that switches Entra ID on sees the cluster as it is.
	return usableKubeconfig(kubeconfig, entra, ctx.DryRun())
}

// usableKubeconfig is a kubeconfig that asks nobody to sign in; a secret. One without users of Entra ID may be let be.
func usableKubeconfig(kubeconfig pulumi.StringOutput, entra *EntraArgs, letBe bool) pulumi.StringOutput {
	if entra != nil {
		var tenantID pulumi.StringInput = pulumi.String("")
		if entra.TenantID != nil {
			tenantID = entra.TenantID
		}
		login := withDefault(entra.Login, LoginAzureCLI)
		kubeconfig = pulumi.All(kubeconfig, tenantID).ApplyT(func(all []any) (string, error) {
			given := all[0].(string)
			changed, err := withKubelogin(given, login, all[1].(string))
			if letBe && errors.Is(err, errNoEntraUser) {
				return given, nil
			}
			return changed, err
		}).(pulumi.StringOutput)
	}
	return pulumi.ToSecret(kubeconfig).(pulumi.StringOutput)
}

// aksServerID is the Entra application of every AKS API server: https://azure.github.io/kubelogin/concepts/aks.html
const aksServerID = "6dae42f8-4368-4678-94ff-3960e28e3630"

// kubeconfigFile is what this package has to know of a kubeconfig; the rest it keeps.
type kubeconfigFile struct {
	Users []kubeconfigUser `yaml:"users"`
	Rest  map[string]any   `yaml:",inline"`
}

type kubeconfigUser struct {
	Name string         `yaml:"name"`
	User map[string]any `yaml:"user"`
}

var errNoEntraUser = errors.New(
	"reading the cluster's kubeconfig: none of its users signs in with Entra ID, so leave entra out",
)

// withKubelogin has the Entra users of a kubeconfig get their token from kubelogin with the given login. Azure's own
// kubeconfig has kubelogin show a code to type in somewhere else. No error repeats what is in the file.
func withKubelogin(kubeconfig string, login Login, tenantID string) (string, error) {
	var file kubeconfigFile
	if err := yaml.Unmarshal([]byte(kubeconfig), &file); err != nil {
		return "", errors.New("reading the cluster's kubeconfig: it is not one")
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

// signsInWithEntra knows both of AKS' formats, exec and azure.
func signsInWithEntra(user map[string]any) bool {
	exec, _ := user["exec"].(map[string]any)
	command, _ := exec["command"].(string)
	provider, _ := user["auth-provider"].(map[string]any)
	return strings.Contains(strings.ToLower(command), "kubelogin") || provider["name"] == "azure"
}

// kubeloginArgs follow kubelogin's own conversion: the Azure CLI knows its cloud and tenant, and refuses a tenant where
// it signed in as a managed identity, so only a tenant that was asked for is passed on to it.
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

// argument is what follows a flag.
func argument(args []any, flag string) string {
	if i := slices.Index(args, any(flag)); i >= 0 && i+1 < len(args) {
		value, _ := args[i+1].(string)
		return value
	}
	return ""
}
