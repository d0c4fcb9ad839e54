package resources

import (
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

func subscriptionBody(c *arm.Call, id, name string) arm.Object {
	return arm.Object{
		"id": "/subscriptions/" + id, "subscriptionId": id, "tenantId": c.TenantID,
		"displayName": name, "state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": []any{},
		"subscriptionPolicies": arm.Object{
			"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
		},
	}
}

// subscriptions returns the subscriptions of the tenant.
func subscriptions(c *arm.Call) []arm.Object {
	all := []arm.Object{subscriptionBody(c, c.SubscriptionID, "Local cloud")}
	if c.HubID != "" {
		all = append(all, subscriptionBody(c, c.HubID, "Local cloud's hub"))
	}
	return all
}

func getSubscription(c *arm.Call) (arm.Reply, error) {
	for _, one := range subscriptions(c) {
		if one["subscriptionId"] == c.CanonicalSubscription() {
			return arm.Reply{Body: one}, nil
		}
	}
	return arm.Reply{}, c.NotFound()
}

// listSubscriptions lists the subscriptions in which the caller has a role.
func listSubscriptions(c *arm.Call) (arm.Reply, error) {
	assignments, err := authorization.Of(c.Tx, c.Principal.ObjectID)
	seen := slices.DeleteFunc(subscriptions(c), func(one arm.Object) bool {
		return !slices.ContainsFunc(assignments, func(a authorization.Assignment) bool {
			return authorization.Covers(arm.Text(one, "id"), a.Scope)
		})
	})
	if err != nil || len(seen) == 0 {
		return arm.Values([]any{}), err
	}
	return arm.Reply{Body: arm.Object{
		"value": seen,
		"count": arm.Object{"type": "Total", "value": len(seen)},
	}}, nil
}

func listTenants(c *arm.Call) (arm.Reply, error) {
	return arm.Values([]any{arm.Object{
		"id": "/tenants/" + c.TenantID, "tenantId": c.TenantID, "displayName": "Local cloud", "tenantCategory": "Home",
		"countryCode": "US", "domains": []any{}, "tenantType": "AAD",
	}}), nil
}

// getProvider describes a resource provider. All providers are registered.
func getProvider(c *arm.Call) (arm.Reply, error) {
	namespace := c.Name()
	var types []any
	for _, kind := range c.Types() {
		owner, short, ok := strings.Cut(kind.Name, "/")
		if !ok || !fold.Equal(owner, namespace) {
			continue
		}
		namespace = owner
		types = append(types,
			arm.Object{"resourceType": short, "apiVersions": c.APIVersions(&kind), "locations": arm.Locations})
	}
	if types == nil {
		return arm.Reply{}, arm.NotImplemented("resource provider %s", namespace)
	}
	return arm.Reply{Body: arm.Object{
		"id": "/subscriptions/" + c.CanonicalSubscription() + "/providers/" + namespace, "namespace": namespace,
		"registrationState": "Registered", "registrationPolicy": "RegistrationRequired", "resourceTypes": types,
	}}, nil
}
