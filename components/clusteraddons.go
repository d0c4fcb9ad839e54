package components

import (
	"fmt"
	"time"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const defaultRotationPollInterval = "2m"

// https://learn.microsoft.com/azure/aks/image-cleaner
const (
	imageCleanerHoursMin = 24
	imageCleanerHoursMax = 2160
)

const secretsProviderAddon = "azureKeyvaultSecretsProvider"

// controlPlaneLogs are the logs that reviewers ask for: who changed what, who signed in, why nodes came and went, and
// what the parts of the control plane report. The remaining category, kube-audit, also logs every read request and is
// by far the largest (https://learn.microsoft.com/azure/aks/monitor-aks-reference#resource-logs,
// https://azure.github.io/PSRule.Rules.Azure/en/rules/Azure.AKS.PlatformLogs/).
var controlPlaneLogs = []string{
	"kube-audit-admin", "guard", "cluster-autoscaler", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
}

func (args *AksWithCsiArgs) addons() containerservice.ManagedClusterAddonProfileMap {
	addons := containerservice.ManagedClusterAddonProfileMap{
		secretsProviderAddon: containerservice.ManagedClusterAddonProfileArgs{
			Enabled: pulumi.Bool(true),
			Config: pulumi.StringMap{
				"enableSecretRotation": pulumi.String("true"),
				"rotationPollInterval": pulumi.String(withDefault(args.RotationPollInterval, defaultRotationPollInterval)),
			},
		},
		"azurepolicy": containerservice.ManagedClusterAddonProfileArgs{Enabled: pulumi.Bool(args.AzurePolicy)},
		"omsagent":    containerservice.ManagedClusterAddonProfileArgs{Enabled: pulumi.Bool(false)},
	}
	if args.ContainerInsights {
		addons["omsagent"] = containerservice.ManagedClusterAddonProfileArgs{
			Enabled: pulumi.Bool(true),
			Config: pulumi.StringMap{
				"logAnalyticsWorkspaceResourceID": args.LogAnalyticsWorkspaceID,
				"useAADAuth":                      pulumi.String("true"),
			},
		}
	}
	return addons
}

func (args *AksWithCsiArgs) securityProfile() containerservice.ManagedClusterSecurityProfileArgs {
	defender := containerservice.ManagedClusterSecurityProfileDefenderArgs{
		SecurityMonitoring: containerservice.ManagedClusterSecurityProfileDefenderSecurityMonitoringArgs{
			Enabled: pulumi.Bool(args.Defender),
		},
	}
	if args.Defender {
		defender.LogAnalyticsWorkspaceResourceId = optionalInput(args.LogAnalyticsWorkspaceID)
	}
	return containerservice.ManagedClusterSecurityProfileArgs{
		WorkloadIdentity: containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs{Enabled: pulumi.Bool(true)},
		Defender:         defender,
		ImageCleaner: containerservice.ManagedClusterSecurityProfileImageCleanerArgs{
			Enabled: pulumi.Bool(args.ImageCleanerHours != 0), IntervalHours: optionalInt(args.ImageCleanerHours),
		},
	}
}

func (v *violations) validateAddons(args *AksWithCsiArgs) {
	interval, err := time.ParseDuration(withDefault(args.RotationPollInterval, defaultRotationPollInterval))
	v.check(err == nil && interval >= time.Second, "rotationPollInterval", args.RotationPollInterval,
		"a duration of at least 1s, such as 30s or 2m")
	hours := withDefault(args.ImageCleanerHours, imageCleanerHoursMin)
	v.check(hours >= imageCleanerHoursMin && hours <= imageCleanerHoursMax, "imageCleanerHours", hours,
		fmt.Sprintf("%d-%d hours", imageCleanerHoursMin, imageCleanerHoursMax))
}
