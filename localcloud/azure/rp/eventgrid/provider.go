// Package eventgrid implements Microsoft.EventGrid: system topics of vaults and their event subscriptions. Package
// azure/eventgrid delivers events.
package eventgrid

import (
	"net/http"
	"regexp"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/eventgrid"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	topicsType             = "Microsoft.EventGrid/systemTopics"
	eventSubscriptionsType = topicsType + "/eventSubscriptions"
)

var eventGridVersions = []string{alertVersion}

// alertVersion is the first stable API version whose subscriptions can raise alerts.
const alertVersion = "2025-02-15"

// Provider returns the provider Microsoft.EventGrid. webhooks sends the validation handshake to webhooks.
//
// Names: learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsofteventgrid
func Provider(webhooks *http.Client) arm.Provider {
	return arm.Provider{Elsewhere: []string{"Microsoft.EventGrid"}, Types: []arm.Type{
		{
			Name: topicsType, Versions: eventGridVersions, InvalidValue: "InvalidRequest", Partial: true,
			Valid: regexp.MustCompile(`^[a-zA-Z0-9-]{3,128}$`), Rule: "3 to 128 letters, digits and hyphens",
			Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
			Put: putTopic, PutModel: func() any { return new(arm.TrackedResource[topicProperties]) },
			Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
			Delete: (*arm.Call).DeleteStored,
		},
		{
			Name:         eventSubscriptionsType,
			Versions:     eventGridVersions,
			InvalidValue: "InvalidRequest",
			Partial:      true,
			Valid:        regexp.MustCompile(`^[a-zA-Z0-9-]{3,64}$`),
			Rule:         "3 to 64 letters, digits and hyphens",
			Get:          (*arm.Call).GetStored,
			List:         (*arm.Call).ListStored,
			Put:          putEventSubscription,
			PutModel:     func() any { return new(arm.NestedResource[eventSubscriptionProperties]) },
			Delete:       deleteEventSubscription,
			Finish:       handshake{webhooks}.validate,
			Poll:         pollSubscription,
			Deleted:      deleteSubscription,
		},
		{
			Name:     "Microsoft.EventGrid/locations/operationsStatus",
			Versions: append(specs.Versions(topicsType), alertVersion),
			Place:    arm.InSubscription,
			Get:      (*arm.Call).GetOperation,
		},
	}}
}

// pollSubscription returns the headers with which clients poll an operation on an event subscription.
func pollSubscription(s *arm.Service, op arm.Operation) http.Header {
	subscription := "/subscriptions/" + arm.Parse(http.MethodGet, op.Resource).Subscription
	operation := "/providers/Microsoft.EventGrid/locations/" + op.Location + "/operationsStatus/" + op.ID
	return arm.Polling("Azure-AsyncOperation",
		"https://"+arm.Host+subscription+operation+"?api-version="+alertVersion)
}

// deleteSubscription ends the delivery of events to a deleted subscription.
func deleteSubscription(_ *arm.Service, tx *store.Tx, res arm.Object) error {
	return eventgrid.DeleteSubscription(tx, arm.Text(res, "id"))
}
