package components

import (
	"fmt"

	authorization "github.com/pulumi/pulumi-azure-native-sdk/authorization/v2/v20200501"
	insights "github.com/pulumi/pulumi-azure-native-sdk/insights/v2/v20210501preview"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newLock prevents deleting the scope, and everything in it, until the lock is removed. Azure's other lock, ReadOnly,
// would also prevent what the components do: write secrets to a vault, and read a cluster's kubeconfig
// (learn.microsoft.com/azure/azure-resource-manager/management/lock-resources).
func newLock(ctx *pulumi.Context, name string, scope pulumi.StringInput, parent pulumi.Resource) error {
	_, err := authorization.NewManagementLockByScope(ctx, name+"-lock", &authorization.ManagementLockByScopeArgs{
		Scope: scope,
		Level: pulumi.String("CanNotDelete"),
		Notes: pulumi.String("Deleting it has to be meant: take the lock off first."),
	}, pulumi.Parent(parent))
	if err != nil {
		return fmt.Errorf("creating the lock: %w", err)
	}
	return nil
}

// newDiagnostics sends the given categories of a resource's logs, and all its metrics, to a Log Analytics workspace.
// Create a lock on the resource after it, since the lock also prevents deleting the setting.
func newDiagnostics(
	ctx *pulumi.Context,
	name string,
	resourceID, workspaceID pulumi.StringInput,
	categories []string,
	parent pulumi.Resource,
) (pulumi.Resource, error) {
	logs := insights.LogSettingsArray{}
	for _, category := range categories {
		logs = append(logs, insights.LogSettingsArgs{Category: pulumi.String(category), Enabled: pulumi.Bool(true)})
	}
	setting, err := insights.NewDiagnosticSetting(ctx, name+"-diagnostics", &insights.DiagnosticSettingArgs{
		ResourceUri: resourceID,
		WorkspaceId: optionalInput(workspaceID),
		Logs:        logs,
		Metrics: insights.MetricSettingsArray{
			insights.MetricSettingsArgs{Category: pulumi.String("AllMetrics"), Enabled: pulumi.Bool(true)},
		},
	}, pulumi.Parent(parent))
	if err != nil {
		return nil, fmt.Errorf("sending its logs to the workspace: %w", err)
	}
	return setting, nil
}
