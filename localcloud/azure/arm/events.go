package arm

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/eventgrid"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Event Grid's topics of vaults, their subscriptions, and the action groups that alerts of Azure Monitor go to.

// Models of the bodies; what else Azure knows is not implemented here.
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
	actionGroupProperties struct {
		ShortName string `json:"groupShortName"`
		Enabled   *bool  `json:"enabled"`
		Emails    []struct {
			Name    string `json:"name"`
			Address string `json:"emailAddress"`
			Common  *bool  `json:"useCommonAlertSchema"`
			Status  string `json:"status"`
		} `json:"emailReceivers"`
	}
)

// invalidRequest is how Event Grid refuses.
func invalidRequest(format string, args ...any) *Error {
	return badRequest("InvalidRequest", format, args...)
}

// putTopic makes the one topic that a vault can have (learn.microsoft.com/azure/event-grid/system-topics).
func (c *call) putTopic() (reply, error) {
	old, res, err := c.begin(topicsType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	source := text(properties, "source")
	vault, err := c.findSource(source, text(properties, "topicType"))
	if err != nil {
		return reply{}, err
	}
	if text(vault, "location") != text(res, "location") {
		return reply{}, invalidRequest("The location '%s' of the system topic is not that of its source, '%s'.", text(res, "location"), text(vault, "location"))
	}
	properties["source"], properties["topicType"] = text(vault, "id"), "microsoft.keyvault.vaults"
	properties["metricResourceId"] = uuid.NewString()
	if old != nil {
		if !strings.EqualFold(text(child(old, "properties"), "source"), source) {
			return reply{}, invalidRequest("System topic source cannot be modified.")
		}
		properties["metricResourceId"] = child(old, "properties")["metricResourceId"]
	} else {
		topics, err := under(c.tx, "/subscriptions", topicsType)
		if err != nil {
			return reply{}, err
		}
		for _, other := range topics {
			if strings.EqualFold(text(child(other, "properties"), "source"), source) {
				return reply{}, invalidRequest("There is an existing tracked system topic for the given source %s. Only one system topic is allowed "+
					"per source.", source)
			}
		}
	}
	setState(res, succeeded)
	return c.written(old, res)
}

// findSource looks up the vault that a topic is to tell of.
func (c *call) findSource(id, topicType string) (object, error) {
	t := parse(http.MethodGet, id)
	switch {
	case !strings.EqualFold(topicType, "Microsoft.KeyVault.vaults") || !strings.EqualFold(t.kind, vaultsType) || t.collection:
		return nil, notImplemented("system topics of the type '%s' for '%s', which is no vault", topicType, id)
	case !strings.EqualFold(t.subscription, c.subscription):
		return nil, invalidRequest("The source %s is not in the subscription of the system topic.", id)
	}
	vault, ok, err := load(c.tx, id)
	if err == nil && !ok {
		err = invalidRequest("The source %s of the system topic was not found.", id)
	}
	return vault, err
}

// putEventSubscription keeps where events of the topic's vault go. It is ready once a webhook has answered the handshake. The webhook's
// URL, which may hold a token, is shown to nobody but for its part before the query.
func (c *call) putEventSubscription() (reply, error) {
	old, res, err := c.begin(eventSubscriptionsType, false)
	if err != nil {
		return reply{}, err
	}
	topic, _, err := load(c.tx, c.top())
	if err != nil {
		return reply{}, err
	}
	source := text(child(topic, "properties"), "source")
	// Who subscribes to a resource must have this right at it (learn.microsoft.com/azure/event-grid/security-authorization), and Event
	// Grid tells Key Vault of it (learn.microsoft.com/azure/role-based-access-control/permissions/security).
	for _, permission := range []string{"Microsoft.EventGrid/eventSubscriptions/write", "Microsoft.KeyVault/vaults/eventGridFilters/write"} {
		if err := c.checkLinked(permission, source); err != nil {
			return reply{}, err
		}
	}
	properties := child(res, "properties")
	var given eventSubscriptionProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	if err := c.checkEventSubscription(given); err != nil {
		return reply{}, err
	}
	to, err := c.destination(given.Destination, child(properties, "destination"))
	if err != nil {
		return reply{}, err
	}
	to.ID, to.Vault, to.Types, to.Attempts, to.Life = text(res, "id"), source, given.Filter.Types, 30, 24*time.Hour
	if n := given.Retry.Attempts; n != nil {
		to.Attempts = *n
	}
	if n := given.Retry.Minutes; n != nil {
		to.Life = time.Duration(*n) * time.Minute
	}
	before, _, err := eventgrid.GetSubscription(c.tx, to.ID)
	if err != nil {
		return reply{}, err
	}
	to.Created = before.Created
	if err := eventgrid.PutSubscription(c.tx, to); err != nil {
		return reply{}, err
	}
	setDefault(properties, "eventDeliverySchema", eventgrid.EventGridSchema)
	properties["retryPolicy"] = object{"maxDeliveryAttempts": to.Attempts, "eventTimeToLiveInMinutes": int(to.Life / time.Minute)}
	properties["topic"] = text(topic, "id")
	doing := creating
	if old != nil {
		doing = updating
	}
	setState(res, doing)
	if err := save(c.tx, res); err != nil {
		return reply{}, err
	}
	op, err := c.startOperation(c.tx, object{"id": res["id"], "location": topic["location"]}, doing)
	return reply{
		status: http.StatusCreated, body: res, after: func() { c.run(op, c.validateSubscription) },
		header: polling("Azure-AsyncOperation", "https://"+Host+"/subscriptions/"+c.subscriptionID()+"/providers/Microsoft.EventGrid/locations/"+
			op.Location+"/operationsStatus/"+op.ID+"?api-version="+alertVersion),
	}, err
}

// checkEventSubscription holds what is common to all destinations against Event Grid's rules.
func (c *call) checkEventSubscription(given eventSubscriptionProperties) error {
	filter := given.Filter
	switch attempts, minutes := given.Retry.Attempts, given.Retry.Minutes; {
	case attempts != nil && (*attempts < 1 || *attempts > 30):
		return invalidRequest("The maxDeliveryAttempts of the retry policy has to be between 1 and 30, not %d.", *attempts)
	case minutes != nil && (*minutes < 1 || *minutes > 1440):
		return invalidRequest("The eventTimeToLiveInMinutes of the retry policy has to be between 1 and 1440, not %d.", *minutes)
	case filter.BeginsWith != "" || filter.EndsWith != "" || len(filter.Advanced) > 0 || filter.AdvancedOnArrays:
		return notImplemented("filters of events by anything but includedEventTypes")
	case len(filter.Types) == 0:
		return notImplemented("subscriptions of all events of a vault, without includedEventTypes")
	}
	for _, one := range filter.Types {
		name := strings.TrimPrefix(one, eventgrid.Namespace)
		switch {
		case strings.HasSuffix(name, "NewVersionCreated"), name == "VaultAccessPolicyChanged":
			return notImplemented("the event %s", one)
		case !slices.Contains(eventgrid.Types, one):
			return invalidRequest("The event type '%s' is not one of the topic type microsoft.keyvault.vaults.", one)
		}
	}
	return nil
}

// destination reads where events go, and takes out of what is shown what is secret.
func (c *call) destination(given eventDestination, shown object) (eventgrid.Subscription, error) {
	var to eventgrid.Subscription
	schema := text(child(c.body, "properties"), "eventDeliverySchema")
	properties := child(shown, "properties")
	switch p := given.Properties; {
	case strings.EqualFold(given.Type, "WebHook"):
		at, err := url.Parse(p.URL)
		switch {
		case err != nil || at.Scheme != "https" || at.Hostname() == "":
			return to, invalidRequest("The endpoint URL of the webhook is not an absolute URL that begins with https.")
		case !eventgrid.OnThisMachine(at.Hostname()):
			return to, notImplemented("a webhook at %s, which is not on this machine: localhost, a name below it, or an address of loopback", at.Hostname())
		case schema != "" && schema != eventgrid.EventGridSchema:
			return to, notImplemented("webhooks with the schema %s", schema)
		case p.Batch != nil && *p.Batch != 1 || p.BatchSize != nil && *p.BatchSize != 64:
			return to, notImplemented("events in batches")
		}
		to.Webhook = p.URL
		at.RawQuery, at.Fragment = "", ""
		delete(properties, "endpointUrl")
		properties["endpointBaseUrl"] = at.String()
		properties["maxEventsPerBatch"], properties["preferredBatchSizeInKilobytes"] = 1, 64
	case given.Type == "StorageQueue":
		if schema != "" && schema != eventgrid.EventGridSchema {
			return to, notImplemented("queues with the schema %s", schema)
		}
		if !strings.EqualFold(parse(http.MethodGet, p.ResourceID).kind, accountsType) {
			return to, invalidRequest("The resource '%s' of the destination is no storage account.", p.ResourceID)
		}
		id := p.ResourceID + "/queueServices/default/queues/" + p.QueueName
		if _, ok, err := load(c.tx, id); err != nil {
			return to, err
		} else if !ok {
			return to, invalidRequest("The queue '%s' was not found.", id)
		}
		// Whoever has events sent to a queue needs write access to it (learn.microsoft.com/azure/event-grid/security-authorization).
		if err := c.checkLinked(queuesType+"/write", id); err != nil {
			return to, err
		}
		to.Account, to.Queue = parse(http.MethodGet, p.ResourceID).name(), p.QueueName
	case given.Type == "MonitorAlert":
		if version := c.query.Get("api-version"); version < alertVersion {
			return to, invalidRequest("The endpoint type MonitorAlert is not known to the api-version %s.", version)
		}
		// learn.microsoft.com/azure/event-grid/handle-key-vault-events-using-azure-monitor-alerts
		if schema != eventgrid.CloudEventSchema {
			return to, invalidRequest("The destination MonitorAlert supports the delivery schema %s alone.", eventgrid.CloudEventSchema)
		}
		if !slices.Contains([]string{"Sev0", "Sev1", "Sev2", "Sev3", "Sev4"}, p.Severity) {
			return to, invalidRequest("The severity '%s' of the alert is not valid: Sev0 to Sev4.", p.Severity)
		}
		for _, group := range p.Groups {
			if _, ok, err := load(c.tx, group); err != nil {
				return to, err
			} else if !ok || !strings.EqualFold(parse(http.MethodGet, group).kind, actionGroupsType) {
				return to, invalidRequest("The action group '%s' was not found.", group)
			}
		}
		to.Severity, to.Groups = p.Severity, p.Groups
	default:
		return to, notImplemented("event subscriptions that deliver to %s", given.Type)
	}
	return to, nil
}

// validateSubscription has a webhook answer the handshake, after which there are events.
func (s *Service) validateSubscription(ctx context.Context, id string) error {
	var to eventgrid.Subscription
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		to, _, err = eventgrid.GetSubscription(tx, id)
		return err
	}); err != nil {
		return err
	}
	if to.Webhook != "" {
		if err := eventgrid.Validate(ctx, s.Webhooks, to); err != nil {
			base, _, _ := strings.Cut(to.Webhook, "?")
			return badRequest("Url validation", "Webhook validation handshake failed for %s. %v. For troublehooting, visit "+
				"https://aka.ms/esvalidation. Activity id:%s, timestamp: %s (UTC).", base, err, uuid.NewString(),
				time.Now().UTC().Format("1/2/2006 3:04:05 PM"))
		}
	}
	return s.Store.Update(func(tx *store.Tx) error {
		now, there, err := eventgrid.GetSubscription(tx, id)
		if err != nil || !there || now.Webhook != to.Webhook { // another is being validated
			return err
		}
		if now.Ready = true; now.Created.IsZero() {
			now.Created = time.Now()
		}
		return eventgrid.PutSubscription(tx, now)
	})
}

func (c *call) deleteEventSubscription() (reply, error) {
	topic, _, err := load(c.tx, c.top())
	if err != nil {
		return reply{}, err
	}
	if err := c.checkLinked("Microsoft.KeyVault/vaults/eventGridFilters/delete", text(child(topic, "properties"), "source")); err != nil {
		return reply{}, err
	}
	return c.deleteStored()
}

// putActionGroup keeps whom alerts are sent to (learn.microsoft.com/rest/api/monitor/action-groups/create-or-update).
func (c *call) putActionGroup() (reply, error) {
	old, res, err := c.begin(actionGroupsType, false)
	if err != nil {
		return reply{}, err
	}
	location := text(c.body, "location")
	if !strings.EqualFold(location, "global") {
		return reply{}, notImplemented("action groups in the location '%s', which is not Global", location)
	}
	res["location"] = "Global"
	properties := child(res, "properties")
	var given actionGroupProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	if n := len(given.ShortName); n < 1 || n > 12 {
		return reply{}, badRequest("GroupShortNameInvalid", "The short name '%s' of the action group has to have 1 to 12 characters.", given.ShortName)
	}
	names := map[string]bool{}
	var addresses []string
	for i, one := range given.Emails {
		if one.Name == "" || names[one.Name] {
			return reply{}, badRequest("ReceiverNameInvalid", "The name '%s' of a receiver is empty, or another one's.", one.Name)
		}
		names[one.Name] = true
		if local, domain, ok := strings.Cut(one.Address, "@"); !ok || local == "" || domain == "" {
			return reply{}, badRequest("EmailAddressInvalid", "The e-mail address of the receiver '%s' is not valid.", one.Name)
		}
		addresses = append(addresses, one.Address)
		shown, _ := properties["emailReceivers"].([]any)[i].(object)
		shown["status"] = "Enabled"
		setDefault(shown, "useCommonAlertSchema", false)
	}
	setDefault(properties, "enabled", true)
	if given.Enabled != nil && !*given.Enabled {
		addresses = nil
	}
	if err := eventgrid.PutEmails(c.tx, text(res, "id"), addresses); err != nil {
		return reply{}, err
	}
	return c.written(old, res)
}
