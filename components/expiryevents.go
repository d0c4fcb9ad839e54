package components

import (
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-azure-native-sdk/v2/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ExpiryEventsArgs say who is notified of secrets, keys and certificates that are about to expire or have expired. Give
// at least one of Webhooks, Queues and Emails. An event has the object's name and version, and never its value
// (https://learn.microsoft.com/azure/event-grid/event-schema-key-vault).
//
// Azure raises each event once, and only for versions that are created after the subscriptions. It raises the
// near-expiry event 30 days before the date, or for a key at the time that the notify action of its rotation policy
// sets, and at once if that time has passed (https://learn.microsoft.com/azure/key-vault/general/event-grid-overview).
// The component therefore creates secrets and keys after the subscriptions. Objects that exist already raise events
// after their next rotation.
type ExpiryEventsArgs struct {
	// Types are the events to subscribe to: SecretNearExpiry, SecretExpired, KeyNearExpiry, KeyExpired,
	// CertificateNearExpiry and CertificateExpired. Defaults to all of them.
	Types []ExpiryEvent `pulumi:"types,optional"`
	// Webhooks are URLs that begin with https, by names that you choose: 1-50 lower-case letters, digits and dashes. Each
	// must answer Event Grid's validation handshake, or creating its event subscription fails
	// (https://learn.microsoft.com/azure/event-grid/webhook-event-delivery). A URL is always treated as a Pulumi secret.
	// Put a token into its query: Azure shows the rest of the URL to everybody who may read the subscription. Events use
	// Event Grid's own schema and are delivered up to 30 times within 24 hours. Defaults to none.
	Webhooks map[string]pulumi.StringInput `pulumi:"webhooks,optional"`
	// Queues are the ARM ids of storage queues, by names like those of Webhooks:
	// .../storageAccounts/<account>/queueServices/default/queues/<queue>. The deployer needs write access to them.
	// Defaults to none.
	Queues map[string]pulumi.StringInput `pulumi:"queues,optional"`
	// Emails are addresses that receive an Azure Monitor alert of severity Sev2 for each event, through an action group
	// (https://learn.microsoft.com/azure/event-grid/handle-key-vault-events-using-azure-monitor-alerts). Up to 1000.
	// Defaults to none.
	Emails []string `pulumi:"emails,optional"`
}

const (
	emailsMax      = 1000 // https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#action-groups
	keyVaultEvents = "Microsoft.KeyVault."
)

var targetName = regexp.MustCompile(`^[a-z0-9-]{1,50}$`)

const (
	webhookRule = "an absolute https URL without user and fragment"
	queueRule   = "the ARM id of a storage queue"
)

var expiryEvents = []ExpiryEvent{
	SecretNearExpiry, SecretExpired, KeyNearExpiry, KeyExpired, CertificateNearExpiry, CertificateExpired,
}

// systemTopic is the topic to which Azure publishes a vault's events. Its package of the SDK would take longer to
// compile than the one for vaults.
type systemTopic struct {
	pulumi.CustomResourceState

	Name pulumi.StringOutput `pulumi:"name"`
}

// eventResource is a resource of which only the id matters: a subscription, or an action group.
type eventResource struct {
	pulumi.CustomResourceState
}

// newExpiryEvents creates the subscriptions to the vault's events and returns them. Secrets and keys wait for them.
func (c *KeyVaultStack) newExpiryEvents(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs, vault *vaultRef,
) ([]pulumi.Resource, error) {
	if args.ExpiryEvents == nil {
		return nil, nil
	}
	// A vault has only one topic. A new vault has its own, so both can exist at the same time.
	opts := []pulumi.ResourceOption{pulumi.Parent(c), pulumi.ReplaceOnChanges([]string{"source"})}
	topic := &systemTopic{}
	err := ctx.RegisterResource("azure-native:eventgrid/v20250215:SystemTopic", name+"-events", pulumi.Map{
		"resourceGroupName": args.ResourceGroupName,
		"location":          c.Vault.Location,
		"tags":              args.Tags,
		"source":            vault.id,
		"topicType":         pulumi.String("Microsoft.KeyVault.vaults"),
	}, topic, append(utilities.PkgResourceDefaultOpts(nil), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("creating the topic of the vault's events: %w", err)
	}
	targets, err := c.eventTargets(ctx, name, args)
	if err != nil {
		return nil, err
	}
	types := pulumi.StringArray{}
	for _, one := range args.ExpiryEvents.types() {
		types = append(types, pulumi.String(keyVaultEvents+string(one)))
	}
	var subscriptions []pulumi.Resource
	for _, target := range slices.Sorted(maps.Keys(targets)) {
		subscription := &eventResource{}
		schema := "EventGridSchema"
		if target == emailTarget {
			schema = "CloudEventSchemaV1_0" // alerts take no other
		}
		opts := []pulumi.ResourceOption{
			pulumi.Parent(c), pulumi.AdditionalSecretOutputs([]string{"destination"}),
		}
		err := ctx.RegisterResource("azure-native:eventgrid/v20250215:SystemTopicEventSubscription", name+"-events-"+target,
			pulumi.Map{
				"resourceGroupName":     args.ResourceGroupName,
				"systemTopicName":       topic.Name,
				"eventSubscriptionName": pulumi.String(target),
				"destination":           targets[target],
				"eventDeliverySchema":   pulumi.String(schema),
				"filter":                pulumi.Map{"includedEventTypes": types},
			}, subscription, append(utilities.PkgResourceDefaultOpts(nil), opts...)...)
		if err != nil {
			return nil, fmt.Errorf("subscribing %s to the vault's events: %w", target, err)
		}
		subscriptions = append(subscriptions, subscription)
	}
	vault.objectOptions = append(slices.Clip(vault.objectOptions), pulumi.DependsOn(subscriptions))
	return subscriptions, nil
}

// emailTarget is the name of the subscription that sends e-mails.
const emailTarget = "emails"

// eventTargets returns the destinations by the names of their subscriptions.
func (c *KeyVaultStack) eventTargets(
	ctx *pulumi.Context, name string, args *KeyVaultStackArgs,
) (map[string]pulumi.Map, error) {
	targets := map[string]pulumi.Map{}
	for key, given := range args.ExpiryEvents.Webhooks {
		path := "expiryEvents.webhooks." + key
		checked := given.ToStringOutput().ApplyT(func(text string) (string, error) {
			if !isWebhook(text) {
				return "", invalid(path, notShown, webhookRule)
			}
			return text, nil
		})
		targets["webhook-"+key] = pulumi.Map{
			"endpointType": pulumi.String("WebHook"), "endpointUrl": pulumi.ToSecret(checked),
		}
	}
	for key, given := range args.ExpiryEvents.Queues {
		parts := checked(given, "expiryEvents.queues."+key, queueID, queueRule).ApplyT(func(id string) []string {
			return queueID.FindStringSubmatch(id)[1:]
		}).(pulumi.StringArrayOutput)
		targets["queue-"+key] = pulumi.Map{
			"endpointType": pulumi.String("StorageQueue"), "resourceId": parts.Index(pulumi.Int(0)),
			"queueName": parts.Index(pulumi.Int(1)),
		}
	}
	if len(args.ExpiryEvents.Emails) == 0 {
		return targets, nil
	}
	receivers := pulumi.Array{}
	for i, address := range args.ExpiryEvents.Emails {
		receivers = append(receivers, pulumi.Map{
			"name": pulumi.Sprintf("email-%d", i), "emailAddress": pulumi.String(address),
			"useCommonAlertSchema": pulumi.Bool(true),
		})
	}
	group := &eventResource{}
	err := ctx.RegisterResource("azure-native:insights/v20230101:ActionGroup", name+"-emails", pulumi.Map{
		"resourceGroupName": args.ResourceGroupName,
		"location":          pulumi.String("Global"),
		"tags":              args.Tags,
		"groupShortName":    pulumi.String("keyvault"),
		"enabled":           pulumi.Bool(true),
		"emailReceivers":    receivers,
	}, group, append(utilities.PkgResourceDefaultOpts(nil), pulumi.Parent(c))...)
	if err != nil {
		return nil, fmt.Errorf("creating the action group: %w", err)
	}
	targets[emailTarget] = pulumi.Map{
		"endpointType": pulumi.String("MonitorAlert"), "severity": pulumi.String("Sev2"),
		"description":  pulumi.String("A secret, key or certificate of a vault expires."),
		"actionGroups": pulumi.Array{group.ID().ToStringOutput()},
	}
	return targets, nil
}

// types returns the events to subscribe to.
func (args *ExpiryEventsArgs) types() []ExpiryEvent {
	if len(args.Types) == 0 {
		return expiryEvents
	}
	return args.Types
}

func isWebhook(text string) bool {
	at, err := url.Parse(text)
	return err == nil && strings.EqualFold(at.Scheme, "https") && at.Hostname() != "" && at.User == nil &&
		at.Fragment == ""
}

func (v *violations) validateExpiryEvents(args *ExpiryEventsArgs) {
	if args == nil {
		return
	}
	v.check(len(args.Webhooks)+len(args.Queues)+len(args.Emails) > 0, "expiryEvents", "nobody",
		"at least one of webhooks, queues and emails")
	seen := map[string]bool{}
	for i, one := range args.Types {
		path := fmt.Sprintf("expiryEvents.types[%d]", i)
		oneOf(v, path, one, expiryEvents...)
		v.check(!seen[string(one)], path, one, "a type used once in the list")
		seen[string(one)] = true
	}
	v.validateTargets("expiryEvents.webhooks", args.Webhooks, isWebhook, webhookRule)
	v.validateTargets("expiryEvents.queues", args.Queues, queueID.MatchString, queueRule)
	v.most("expiryEvents.emails", len(args.Emails), emailsMax, "addresses")
	seen = map[string]bool{}
	for i, address := range args.Emails {
		path := fmt.Sprintf("expiryEvents.emails[%d]", i)
		parsed, err := mail.ParseAddress(address)
		v.check(err == nil && parsed.Address == address, path, address, "an e-mail address without a display name")
		v.check(!seen[strings.ToLower(address)], path, address, "an address used once in the list, without regard to case")
		seen[strings.ToLower(address)] = true
	}
}

// validateTargets checks the names of targets that are Inputs, and the Inputs that are plain values. Their values may
// be secret.
func (v *violations) validateTargets(
	path string, targets map[string]pulumi.StringInput, valid func(string) bool, rule string,
) {
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		v.match(targetName, path+"."+name, name, "1-50 lower-case letters, digits and dashes")
		v.required(path+"."+name, targets[name])
		if text, plain := targets[name].(pulumi.String); plain && !valid(string(text)) {
			v.state(path+"."+name, notShown, rule)
		}
	}
}
