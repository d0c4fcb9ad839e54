package components

import (
	"fmt"

	insights "github.com/pulumi/pulumi-azure-native-sdk/insights/v2/v20220601"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Names that Container Insights requires
// (https://learn.microsoft.com/azure/azure-monitor/containers/kubernetes-monitoring-enable).
const (
	insightsStream      = "Microsoft-ContainerInsights-Group-Default"
	insightsExtension   = "ContainerInsights"
	insightsAssociation = "ContainerInsightsExtension"
	insightsDestination = "workspace"
)

// newContainerInsights creates and returns the data collection rule and its association with the cluster. Without them
// the add-on sends nothing.
func (c *AksWithCsi) newContainerInsights(
	ctx *pulumi.Context, name string, args *AksWithCsiArgs,
) ([]pulumi.Resource, error) {
	rule, err := insights.NewDataCollectionRule(ctx, name+"-insights", &insights.DataCollectionRuleArgs{
		ResourceGroupName: args.ResourceGroupName,
		Location:          args.Location,
		Tags:              args.Tags,
		Kind:              pulumi.String("Linux"),
		DataSources: insights.DataCollectionRuleDataSourcesArgs{
			Extensions: insights.ExtensionDataSourceArray{insights.ExtensionDataSourceArgs{
				Name:          pulumi.String(insightsAssociation),
				ExtensionName: pulumi.String(insightsExtension),
				Streams:       pulumi.ToStringArray([]string{insightsStream}),
			}},
		},
		Destinations: insights.DataCollectionRuleDestinationsArgs{
			LogAnalytics: insights.LogAnalyticsDestinationArray{insights.LogAnalyticsDestinationArgs{
				Name:                pulumi.String(insightsDestination),
				WorkspaceResourceId: optionalInput(args.LogAnalyticsWorkspaceID),
			}},
		},
		DataFlows: insights.DataFlowArray{insights.DataFlowArgs{
			Streams:      pulumi.ToStringArray([]string{insightsStream}),
			Destinations: pulumi.ToStringArray([]string{insightsDestination}),
		}},
	}, pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("creating the data collection rule: %w", err)
	}
	follow := &insights.DataCollectionRuleAssociationArgs{
		AssociationName:      pulumi.String(insightsAssociation),
		DataCollectionRuleId: rule.ID(),
		ResourceUri:          c.ClusterID,
	}
	association, err := insights.NewDataCollectionRuleAssociation(ctx, name+"-insights-association", follow,
		pulumi.Parent(c))
	if err != nil {
		return nil, fmt.Errorf("associating the data collection rule: %w", err)
	}
	return []pulumi.Resource{rule, association}, nil
}
