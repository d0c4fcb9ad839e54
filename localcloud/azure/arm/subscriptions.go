package arm

import (
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

// locations are the regions of the public cloud.
var locations = strings.Fields(`australiacentral australiacentral2 australiaeast australiasoutheast austriaeast belgiumcentral
	brazilsouth brazilsoutheast canadacentral canadaeast centralindia centralus chilecentral eastasia eastus eastus2 francecentral
	francesouth germanynorth germanywestcentral indonesiacentral israelcentral italynorth japaneast japanwest jioindiacentral
	jioindiawest koreacentral koreasouth malaysiawest mexicocentral newzealandnorth northcentralus northeurope norwayeast norwaywest
	polandcentral qatarcentral southafricanorth southafricawest southcentralus southindia southeastasia spaincentral swedencentral
	swedensouth switzerlandnorth switzerlandwest uaecentral uaenorth uksouth ukwest westcentralus westeurope westindia westus westus2
	westus3`)

// parseLocation reads a location as Azure does: "East US" is eastus.
func parseLocation(given string) (string, error) {
	if given == "" {
		return "", badRequest("LocationRequired", "The location property is required for this definition.")
	}
	location := strings.ToLower(strings.ReplaceAll(given, " ", ""))
	if !slices.Contains(locations, location) {
		return "", badRequest("LocationNotAvailableForResourceType", "The provided location '%s' is not available. List of available "+
			"regions is '%s'.", given, strings.Join(locations, ","))
	}
	return location, nil
}

func (c *call) subscriptionBody() object {
	return object{
		"id": "/subscriptions/" + c.SubscriptionID, "subscriptionId": c.SubscriptionID, "tenantId": c.TenantID,
		"displayName": "Local cloud", "state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": object{
			"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
		},
	}
}

func (c *call) getSubscription() (reply, error) { return reply{body: c.subscriptionBody()}, nil }

// listSubscriptions shows the subscription to whom has any role in it.
func (c *call) listSubscriptions() (reply, error) {
	assignments, err := authorization.Of(c.tx, c.principal.ObjectID)
	if err != nil || len(assignments) == 0 {
		return values([]any{}), err
	}
	return reply{body: object{
		"value": []any{c.subscriptionBody()},
		"count": object{"type": "Total", "value": 1},
	}}, nil
}

func (c *call) listTenants() (reply, error) {
	return values([]any{object{
		"id": "/tenants/" + c.TenantID, "tenantId": c.TenantID, "displayName": "Local cloud", "tenantCategory": "Home",
		"countryCode": "US", "domains": []any{}, "tenantType": "AAD",
	}}), nil
}

// getProvider describes a namespace. All of them are registered.
func (c *call) getProvider() (reply, error) {
	namespace := c.name()
	var types []any
	for _, kind := range c.types {
		owner, short, ok := strings.Cut(kind.name, "/")
		if !ok || !strings.EqualFold(owner, namespace) {
			continue
		}
		namespace = owner
		types = append(types, object{"resourceType": short, "apiVersions": c.supported(&kind), "locations": locations})
	}
	if types == nil {
		return reply{}, notImplemented("resource provider %s", namespace)
	}
	return reply{body: object{
		"id": "/subscriptions/" + c.SubscriptionID + "/providers/" + namespace, "namespace": namespace,
		"registrationState": "Registered", "registrationPolicy": "RegistrationRequired", "resourceTypes": types,
	}}, nil
}
