package eventgrid

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/eventgrid"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	keyvaultrp "github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/monitor"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/storage"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Models of the bodies. Other properties are not implemented.
type (
	topicProperties struct {
		Source            string `json:"source"`
		TopicType         string `json:"topicType"`
		ProvisioningState string `json:"provisioningState"`
		MetricResourceID  string `json:"metricResourceId"`
	}
	eventSubscriptionProperties struct {
		Topic             string           `json:"topic"`
		ProvisioningState string           `json:"provisioningState"`
		Destination       eventDestination `json:"destination"`
		Filter            struct {
			Types            []string `json:"includedEventTypes"`
			BeginsWith       string   `json:"subjectBeginsWith"`
			EndsWith         string   `json:"subjectEndsWith"`
			CaseSensitive    bool     `json:"isSubjectCaseSensitive"`
			Advanced         []any    `json:"advancedFilters"`
			AdvancedOnArrays bool     `json:"enableAdvancedFilteringOnArrays"`
		} `json:"filter"`
		Schema string `json:"eventDeliverySchema"`
		Retry  struct {
			Attempts *int `json:"maxDeliveryAttempts"`
			Minutes  *int `json:"eventTimeToLiveInMinutes"`
		} `json:"retryPolicy"`
		Labels []string `json:"labels"`
	}
	eventDestination struct {
		Type       string `json:"endpointType"`
		Properties struct {
			URL         string   `json:"endpointUrl"`
			BaseURL     string   `json:"endpointBaseUrl"`
			Batch       *int     `json:"maxEventsPerBatch"`
			BatchSize   *int     `json:"preferredBatchSizeInKilobytes"`
			Severity    string   `json:"severity"`
			Description string   `json:"description"`
			Groups      []string `json:"actionGroups"`
			ResourceID  string   `json:"resourceId"`
			QueueName   string   `json:"queueName"`
		} `json:"properties"`
	}
)

// invalidRequest returns an error with Event Grid's code for invalid requests.
func invalidRequest(format string, args ...any) *arm.Error {
	return arm.BadRequest("InvalidRequest", format, args...)
}

// putTopic writes the system topic of a vault, which can have only one
// (learn.microsoft.com/azure/event-grid/system-topics).
func putTopic(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(topicsType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	source := arm.Text(properties, "source")
	vault, err := findSource(c, source, arm.Text(properties, "topicType"))
	if err != nil {
		return arm.Reply{}, err
	}
	if arm.Text(vault, "location") != arm.Text(res, "location") {
		return arm.Reply{}, invalidRequest("The location '%s' of the system topic is not that of its source, '%s'.",
			arm.Text(res, "location"), arm.Text(vault, "location"))
	}
	properties["source"], properties["topicType"] = arm.Text(vault, "id"), "microsoft.keyvault.vaults"
	properties["metricResourceId"] = uuid.NewString()
	if old != nil {
		if !fold.Equal(arm.Text(arm.Child(old, "properties"), "source"), source) {
			return arm.Reply{}, invalidRequest("System topic source cannot be modified.")
		}
		properties["metricResourceId"] = arm.Child(old, "properties")["metricResourceId"]
	} else {
		topics, err := arm.Under(c.Tx, "/subscriptions", topicsType)
		if err != nil {
			return arm.Reply{}, err
		}
		for _, other := range topics {
			if fold.Equal(arm.Text(arm.Child(other, "properties"), "source"), source) {
				return arm.Reply{}, invalidRequest("There is an existing tracked system topic for the given source %s. "+
					"Only one system topic is allowed per source.", source)
			}
		}
	}
	arm.SetState(res, arm.Succeeded)
	return c.Written(old, res)
}

// findSource returns the vault that is the source of a topic.
func findSource(c *arm.Call, id, topicType string) (arm.Object, error) {
	source, isVault := arm.ParseID(id, keyvaultrp.VaultsType)
	switch {
	case !fold.Equal(topicType, "Microsoft.KeyVault.vaults") || !isVault:
		return nil, arm.NotImplemented("system topics of the type '%s' for '%s', which is not a vault", topicType, id)
	case !fold.Equal(source.SubscriptionID, c.Subscription):
		return nil, invalidRequest("The source %s is not in the subscription of the system topic.", id)
	}
	vault, ok, err := arm.Load(c.Tx, id)
	if err == nil && !ok {
		err = invalidRequest("The source %s of the system topic was not found.", id)
	}
	return vault, err
}

// putEventSubscription writes a subscription to events of the topic's vault. The subscription is ready once its webhook
// has answered the handshake. Responses never contain the query of the webhook's URL, which may be a token.
func putEventSubscription(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(eventSubscriptionsType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	topic, _, err := arm.Load(c.Tx, c.Top())
	if err != nil {
		return arm.Reply{}, err
	}
	source := arm.Text(arm.Child(topic, "properties"), "source")
	// Subscribing to a resource requires the first permission at the resource
	// (learn.microsoft.com/azure/event-grid/security-authorization). Event Grid then notifies Key Vault, which requires
	// the second one (learn.microsoft.com/azure/role-based-access-control/permissions/security).
	for _, permission := range []string{
		"Microsoft.EventGrid/eventSubscriptions/write",
		"Microsoft.KeyVault/vaults/eventGridFilters/write",
	} {
		if err := c.CheckLinked(permission, source); err != nil {
			return arm.Reply{}, err
		}
	}
	properties := arm.Child(res, "properties")
	var given eventSubscriptionProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	if err := checkEventSubscription(given); err != nil {
		return arm.Reply{}, err
	}
	to, err := destination(c, given.Destination, arm.Child(properties, "destination"))
	if err != nil {
		return arm.Reply{}, err
	}
	to.ID, to.Vault, to.Types, to.Attempts, to.Life = arm.Text(res, "id"), source, given.Filter.Types, 30, 24*time.Hour
	if n := given.Retry.Attempts; n != nil {
		to.Attempts = *n
	}
	if n := given.Retry.Minutes; n != nil {
		to.Life = time.Duration(*n) * time.Minute
	}
	before, _, err := eventgrid.GetSubscription(c.Tx, to.ID)
	if err != nil {
		return arm.Reply{}, err
	}
	to.Created = before.Created
	if err := eventgrid.PutSubscription(c.Tx, to); err != nil {
		return arm.Reply{}, err
	}
	arm.SetDefault(properties, "eventDeliverySchema", eventgrid.EventGridSchema)
	properties["retryPolicy"] = arm.Object{
		"maxDeliveryAttempts":      to.Attempts,
		"eventTimeToLiveInMinutes": int(to.Life / time.Minute),
	}
	properties["topic"] = arm.Text(topic, "id")
	doing := arm.Creating
	if old != nil {
		doing = arm.Updating
	}
	arm.SetState(res, doing)
	if err := arm.Save(c.Tx, res); err != nil {
		return arm.Reply{}, err
	}
	return c.Start(arm.Reply{Status: http.StatusCreated, Body: res},
		arm.Object{"id": res["id"], "location": topic["location"]}, doing)
}

// checkEventSubscription checks the properties that all destinations have in common.
func checkEventSubscription(given eventSubscriptionProperties) error {
	filter := given.Filter
	switch attempts, minutes := given.Retry.Attempts, given.Retry.Minutes; {
	case attempts != nil && (*attempts < 1 || *attempts > 30):
		return invalidRequest("The maxDeliveryAttempts of the retry policy must be between 1 and 30, not %d.", *attempts)
	case minutes != nil && (*minutes < 1 || *minutes > 1440):
		return invalidRequest("The eventTimeToLiveInMinutes of the retry policy must be between 1 and 1440, not %d.",
			*minutes)
	case filter.BeginsWith != "" || filter.EndsWith != "" || len(filter.Advanced) > 0 || filter.AdvancedOnArrays:
		return arm.NotImplemented("filters of events other than includedEventTypes")
	case len(filter.Types) == 0:
		return arm.NotImplemented("subscriptions of all events of a vault, without includedEventTypes")
	}
	for _, one := range filter.Types {
		name := strings.TrimPrefix(one, eventgrid.Namespace)
		switch {
		case strings.HasSuffix(name, "NewVersionCreated"), name == "VaultAccessPolicyChanged":
			return arm.NotImplemented("the event %s", one)
		case !slices.Contains(eventgrid.Types, one):
			return invalidRequest("The event type '%s' is not one of the topic type microsoft.keyvault.vaults.", one)
		}
	}
	return nil
}

// destination returns a subscription with the destination of events. It removes secrets from shown, the destination in
// responses.
func destination(c *arm.Call, given eventDestination, shown arm.Object) (eventgrid.Subscription, error) {
	var to eventgrid.Subscription
	schema := arm.Text(arm.Child(c.Body, "properties"), "eventDeliverySchema")
	properties := arm.Child(shown, "properties")
	switch p := given.Properties; {
	case fold.Equal(given.Type, "WebHook"):
		at, err := url.Parse(p.URL)
		switch {
		case err != nil || at.Scheme != "https" || at.Hostname() == "":
			return to, invalidRequest("The endpoint URL of the webhook is not an absolute URL that begins with https.")
		case !eventgrid.OnThisMachine(at.Hostname()):
			return to, arm.NotImplemented("a webhook at %s. It must be on this machine: localhost, a name below it, or a "+
				"loopback address", at.Hostname())
		case schema != "" && schema != eventgrid.EventGridSchema:
			return to, arm.NotImplemented("webhooks with the schema %s", schema)
		case p.Batch != nil && *p.Batch != 1 || p.BatchSize != nil && *p.BatchSize != 64:
			return to, arm.NotImplemented("events in batches")
		}
		to.Webhook = p.URL
		at.RawQuery, at.Fragment = "", ""
		delete(properties, "endpointUrl")
		properties["endpointBaseUrl"] = at.String()
		properties["maxEventsPerBatch"], properties["preferredBatchSizeInKilobytes"] = 1, 64
	case given.Type == "StorageQueue":
		if schema != "" && schema != eventgrid.EventGridSchema {
			return to, arm.NotImplemented("queues with the schema %s", schema)
		}
		account, ok := arm.ParseID(p.ResourceID, storage.AccountsType)
		if !ok {
			return to, invalidRequest("The resource '%s' of the destination is not a storage account.", p.ResourceID)
		}
		id := p.ResourceID + "/queueServices/default/queues/" + p.QueueName
		if _, ok, err := arm.Load(c.Tx, id); err != nil {
			return to, err
		} else if !ok {
			return to, invalidRequest("The queue '%s' was not found.", id)
		}
		// Sending events to a queue requires write access to it
		// (learn.microsoft.com/azure/event-grid/security-authorization).
		if err := c.CheckLinked(storage.QueuesType+"/write", id); err != nil {
			return to, err
		}
		to.Account, to.Queue = account.Name, p.QueueName
	case given.Type == "MonitorAlert":
		if version := c.Query.Get("api-version"); version < alertVersion {
			return to, invalidRequest("The api-version %s does not have the endpoint type MonitorAlert.", version)
		}
		// learn.microsoft.com/azure/event-grid/handle-key-vault-events-using-azure-monitor-alerts
		if schema != eventgrid.CloudEventSchema {
			return to, invalidRequest("The destination MonitorAlert supports only the delivery schema %s.",
				eventgrid.CloudEventSchema)
		}
		if !slices.Contains([]string{"Sev0", "Sev1", "Sev2", "Sev3", "Sev4"}, p.Severity) {
			return to, invalidRequest("The severity '%s' of the alert is not valid: it must be Sev0 to Sev4.", p.Severity)
		}
		for _, group := range p.Groups {
			_, isGroup := arm.ParseID(group, monitor.ActionGroupsType)
			if _, ok, err := arm.Load(c.Tx, group); err != nil {
				return to, err
			} else if !ok || !isGroup {
				return to, invalidRequest("The action group '%s' was not found.", group)
			}
		}
		to.Severity, to.Groups = p.Severity, p.Groups
	default:
		return to, arm.NotImplemented("event subscriptions that deliver to %s", given.Type)
	}
	return to, nil
}

// handshake validates webhooks before they receive events.
type handshake struct{ webhooks *http.Client }

func (h handshake) validate(ctx context.Context, s *arm.Service, op arm.Operation) error {
	id := op.Resource
	var to eventgrid.Subscription
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		to, _, err = eventgrid.GetSubscription(tx, id)
		return err
	}); err != nil {
		return err
	}
	if to.Webhook != "" {
		if err := eventgrid.Validate(ctx, h.webhooks, to); err != nil {
			base, _, _ := strings.Cut(to.Webhook, "?")
			return arm.BadRequest("Url validation", "Webhook validation handshake failed for %s. %v. For troublehooting, "+
				"visit https://aka.ms/esvalidation. Activity id:%s, timestamp: %s (UTC).",
				base, err, uuid.NewString(), time.Now().UTC().Format("1/2/2006 3:04:05 PM"))
		}
	}
	return s.Store.Update(func(tx *store.Tx) error {
		now, exists, err := eventgrid.GetSubscription(tx, id)
		if err != nil || !exists || now.Webhook != to.Webhook { // another validation is under way
			return err
		}
		if now.Ready = true; now.Created.IsZero() {
			now.Created = time.Now()
		}
		return eventgrid.PutSubscription(tx, now)
	})
}

func deleteEventSubscription(c *arm.Call) (arm.Reply, error) {
	topic, _, err := arm.Load(c.Tx, c.Top())
	if err != nil {
		return arm.Reply{}, err
	}
	source := arm.Text(arm.Child(topic, "properties"), "source")
	if err := c.CheckLinked("Microsoft.KeyVault/vaults/eventGridFilters/delete", source); err != nil {
		return arm.Reply{}, err
	}
	return c.DeleteStored()
}
