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

// subscriptionID is that of the path, as Azure spells it; the first one's where the path has none that is known.
func (c *call) subscriptionID() string {
	if c.HubID != "" && strings.EqualFold(c.subscription, c.HubID) {
		return c.HubID
	}
	return c.SubscriptionID
}

func (c *call) subscriptionBody(id, name string) object {
	return object{
		"id": "/subscriptions/" + id, "subscriptionId": id, "tenantId": c.TenantID,
		"displayName": name, "state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": object{
			"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
		},
	}
}

// subscriptions are those of the tenant.
func (c *call) subscriptions() []object {
	all := []object{c.subscriptionBody(c.SubscriptionID, "Local cloud")}
	if c.HubID != "" {
		all = append(all, c.subscriptionBody(c.HubID, "Local cloud's hub"))
	}
	return all
}

func (c *call) getSubscription() (reply, error) {
	for _, one := range c.subscriptions() {
		if one["subscriptionId"] == c.subscriptionID() {
			return reply{body: one}, nil
		}
	}
	return reply{}, c.notFound()
}

// listSubscriptions shows each subscription to whom has any role in it.
func (c *call) listSubscriptions() (reply, error) {
	assignments, err := authorization.Of(c.tx, c.principal.ObjectID)
	seen := slices.DeleteFunc(c.subscriptions(), func(one object) bool {
		return !slices.ContainsFunc(assignments, func(a authorization.Assignment) bool { return authorization.Covers(text(one, "id"), a.Scope) })
	})
	if err != nil || len(seen) == 0 {
		return values([]any{}), err
	}
	return reply{body: object{
		"value": seen,
		"count": object{"type": "Total", "value": len(seen)},
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
		"id": "/subscriptions/" + c.subscriptionID() + "/providers/" + namespace, "namespace": namespace,
		"registrationState": "Registered", "registrationPolicy": "RegistrationRequired", "resourceTypes": types,
	}}, nil
}
