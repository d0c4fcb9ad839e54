package components_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const (
	webhookURL = "https://example.com/hook?code=webhook-marker"
	accountID  = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/payments"
	queueID    = accountID + "/queueServices/default/queues/expiry"
)

func eventArgs() *components.KeyVaultStackArgs {
	args := vaultArgs()
	args.Location, args.Lock = pulumi.String("westeurope"), true
	args.Tags = pulumi.StringMap{"team": pulumi.String("a")}
	args.ExpiryEvents = &components.ExpiryEventsArgs{
		Webhooks: map[string]pulumi.StringInput{"oncall": pulumi.String(webhookURL)},
		Queues:   map[string]pulumi.StringInput{"rotation": pulumi.String(queueID)},
		Emails:   []string{"a@example.com", "b@example.com"},
	}
	return args
}

func TestExpiryEvents_SubscribeAllTargets(t *testing.T) {
	e := runVault(t, eventArgs())
	wantInputs(t, e.Get(t, "vault-events"), map[string]any{
		"resourceGroupName": "group",
		"location":          "westeurope",
		"source":            vaultResourceID,
		"topicType":         "Microsoft.KeyVault.vaults",
		"tags.team":         "a",
	})
	if !slices.Equal(e.Get(t, "vault-events").RPC.GetReplaceOnChanges(), []string{"source"}) {
		t.Error("the topic of another vault is to be another one")
	}
	all := []any{
		"Microsoft.KeyVault.SecretNearExpiry", "Microsoft.KeyVault.SecretExpired", "Microsoft.KeyVault.KeyNearExpiry",
		"Microsoft.KeyVault.KeyExpired", "Microsoft.KeyVault.CertificateNearExpiry", "Microsoft.KeyVault.CertificateExpired",
	}
	for name, want := range map[string]map[string]any{
		"webhook-oncall": {"destination.endpointType": "WebHook", "eventDeliverySchema": "EventGridSchema"},
		"queue-rotation": {
			"destination.endpointType": "StorageQueue", "eventDeliverySchema": "EventGridSchema",
			"destination.resourceId": accountID, "destination.queueName": "expiry",
		},
		"emails": {
			"destination.endpointType": "MonitorAlert", "eventDeliverySchema": "CloudEventSchemaV1_0",
			"destination.severity": "Sev2", "destination.actionGroups[0]": "vault-emails-id",
		},
	} {
		subscription := e.Get(t, "vault-events-"+name)
		want["systemTopicName"], want["eventSubscriptionName"], want["filter.includedEventTypes"] = "vault-events-auto", name, all
		wantInputs(t, subscription, want)
		for _, later := range []string{"vault-secret-given", "vault-key-rsa", "vault-lock"} {
			if !e.Get(t, later).WaitsFor(subscription) {
				t.Errorf("%s does not wait for the subscription %s, and Azure would not tell of it", later, name)
			}
		}
	}
	wantInputs(t, e.Get(t, "vault-emails"), map[string]any{
		"location": "Global", "groupShortName": "keyvault", "enabled": true, "tags.team": "a",
		"emailReceivers[0].emailAddress": "a@example.com", "emailReceivers[1].emailAddress": "b@example.com",
	})
	if url := e.Get(t, "vault-events-webhook-oncall").At("destination.endpointUrl"); url == nil || !url.IsSecret() ||
		url.SecretValue().Element.StringValue() != webhookURL {
		t.Error("the webhook's URL is not passed on, or is no secret")
	}
	if found := e.Plaintext("webhook-marker"); len(found) > 0 {
		t.Errorf("a webhook's URL is in the clear in %v", found)
	}
	wantDistinct(t, e, len(e.Resources()))
}

func TestExpiryEvents_SubscribeToGivenTypes(t *testing.T) {
	args := eventArgs()
	args.ExpiryEvents = &components.ExpiryEventsArgs{
		Types: []components.ExpiryEvent{components.SecretNearExpiry}, Emails: []string{"a@example.com"},
	}
	e := runVault(t, args)
	wantInputs(t, e.Get(t, "vault-events-emails"), map[string]any{
		"filter.includedEventTypes": []any{"Microsoft.KeyVault.SecretNearExpiry"},
	})
	args.ExpiryEvents = nil
	for _, one := range runVault(t, args).Resources() {
		if strings.Contains(one.Type, "eventgrid") || strings.Contains(one.Type, "ActionGroup") {
			t.Errorf("%s is registered, and nobody asked for events", one.Name)
		}
	}
}

func TestExpiryEvents_Validate(t *testing.T) {
	type args = components.KeyVaultStackArgs
	webhook := func(name, url string) func(*args) {
		return func(a *args) { a.ExpiryEvents.Webhooks = map[string]pulumi.StringInput{name: pulumi.String(url)} }
	}
	queue := func(id string) func(*args) {
		return func(a *args) { a.ExpiryEvents.Queues = map[string]pulumi.StringInput{"q": pulumi.String(id)} }
	}
	testRules(t, eventArgs, (*args).Validate, []rule[args]{
		{"somebody is told", "expiryEvents", func(a *args) { a.ExpiryEvents = &components.ExpiryEventsArgs{} }},
		{"a type", "expiryEvents.types[0]", func(a *args) { a.ExpiryEvents.Types = []components.ExpiryEvent{"SecretGone"} }},
		{
			"a type once",
			"expiryEvents.types[1]",
			func(a *args) { a.ExpiryEvents.Types = []components.ExpiryEvent{"KeyExpired", "KeyExpired"} },
		},
		{"a name's characters", "expiryEvents.webhooks.On", webhook("On", webhookURL)},
		{"a long name", "expiryEvents.webhooks." + strings.Repeat("a", 51), webhook(strings.Repeat("a", 51), webhookURL)},
		{"http", "expiryEvents.webhooks.on", webhook("on", "http://example.com")},
		{"no host", "expiryEvents.webhooks.on", webhook("on", "https:///a")},
		{"a user", "expiryEvents.webhooks.on", webhook("on", "https://a:b@example.com")},
		{"a fragment", "expiryEvents.webhooks.on", webhook("on", "https://example.com/#a")},
		{
			"a webhook without URL",
			"expiryEvents.webhooks.on",
			func(a *args) { a.ExpiryEvents.Webhooks = map[string]pulumi.StringInput{"on": nil} },
		},
		{"an account", "expiryEvents.queues.q", queue(accountID)},
		{"a queue's name", "expiryEvents.queues.q", queue(accountID + "/queueServices/default/queues/a--b")},
		{"an address", "expiryEvents.emails[0]", func(a *args) { a.ExpiryEvents.Emails = []string{"example.com"} }},
		{
			"an address with a name",
			"expiryEvents.emails[0]",
			func(a *args) { a.ExpiryEvents.Emails = []string{"A <a@example.com>"} },
		},
		{
			"an address once",
			"expiryEvents.emails[1]",
			func(a *args) { a.ExpiryEvents.Emails = []string{"a@example.com", "A@example.com"} },
		},
		{"too many addresses", "expiryEvents.emails", func(a *args) {
			a.ExpiryEvents.Emails = nil
			for i := range 1001 {
				a.ExpiryEvents.Emails = append(a.ExpiryEvents.Emails,
					strings.Repeat("a", i%50+1)+"@"+strings.Repeat("b", i/50+1)+".example")
			}
		}},
		{"an existing vault", "expiryEvents", func(a *args) {
			*a = args{ExistingVaultID: pulumi.String(vaultResourceID), ExpiryEvents: a.ExpiryEvents}
		}},
	})
}

func TestExpiryEvents_KeepWebhookURLsSecret(t *testing.T) {
	for _, url := range []pulumi.StringInput{pulumi.String("http://webhook-marker"),
		pulumi.String("http://webhook-marker").ToStringOutput()} {
		e := &mockengine.Engine{}
		err := e.Run(func(ctx *pulumi.Context) error {
			args := eventArgs()
			args.ExpiryEvents.Webhooks["oncall"] = url
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "expiryEvents.webhooks.oncall") ||
			strings.Contains(err.Error(), "webhook-marker") {
			t.Errorf("the error is %v", err)
		}
	}
}
