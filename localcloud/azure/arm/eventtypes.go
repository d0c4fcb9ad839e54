package arm

import "regexp"

const (
	topicsType             = "Microsoft.EventGrid/systemTopics"
	eventSubscriptionsType = topicsType + "/eventSubscriptions"
	actionGroupsType       = "Microsoft.Insights/actionGroups"
)

var (
	eventGridVersions   = []string{"2022-06-15", alertVersion}
	actionGroupVersions = []string{"2022-06-01", "2023-01-01"}
)

// alertVersion is the first one that is not a preview whose subscriptions may raise alerts.
const alertVersion = "2025-02-15"

// Names: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsofteventgrid
var eventTypes = []resourceType{
	{
		name: topicsType, versions: eventGridVersions, partial: true,
		valid: regexp.MustCompile(`^[a-zA-Z0-9-]{3,128}$`), rule: "3 to 128 letters, digits and hyphens",
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putTopic, putModel: func() any { return new(trackedResource[topicProperties]) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: (*call).deleteStored,
	},
	{
		name: eventSubscriptionsType, versions: eventGridVersions, partial: true,
		valid: regexp.MustCompile(`^[a-zA-Z0-9-]{3,64}$`), rule: "3 to 64 letters, digits and hyphens",
		get: (*call).getStored, list: (*call).listStored,
		put: (*call).putEventSubscription, putModel: func() any { return new(nestedResource[eventSubscriptionProperties]) },
		delete: (*call).deleteEventSubscription,
	},
	{name: "Microsoft.EventGrid/locations/operationsStatus", versions: eventGridVersions, get: (*call).getOperation},
	{
		name: actionGroupsType, versions: actionGroupVersions, partial: true,
		valid: regexp.MustCompile(`^[^/&%?+:<>]{0,259}[^/&%?+:<>. ]$`),
		rule:  "1 to 260 characters, none of /&%?+:<>, and no space or period last",
		get:   (*call).getStored, list: (*call).listStored,
		put: (*call).putActionGroup, putModel: func() any { return new(trackedResource[actionGroupProperties]) },
		patch: (*call).patchTags, patchModel: func() any { return new(trackedResource[struct{}]) },
		delete: (*call).deleteStored,
	},
}
