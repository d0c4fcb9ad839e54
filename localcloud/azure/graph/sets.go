package graph

import (
	"cmp"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// set is an entity set.
type set struct {
	entity string // type of the entities
	list   func(tx *store.Tx, tenant string) ([]object, error)
	sample object // an entity with all properties
}

// sets has the entity sets. All principals of the tenant are applications, managed identities or groups. There are no
// users, because nobody signs in with a password.
var sets = map[string]set{
	"servicePrincipals": {"servicePrincipal", servicePrincipals, servicePrincipal(entra.Application{}, "")},
	"applications":      {"application", applications, application(entra.Application{})},
	"groups":            {"group", groups, group(entra.Group{})},
	"users":             {"user", users, object{"id": "", "userPrincipalName": "", "displayName": "", "mail": ""}},
	"organization":      {"organization", organization, object{"id": "", "displayName": ""}},
}

func servicePrincipals(tx *store.Tx, tenant string) ([]object, error) {
	all, err := entra.Applications(tx)
	var found []object
	for _, a := range all {
		found = append(found, servicePrincipal(a, tenant))
	}
	return found, err
}

// servicePrincipal returns the service principal of an application. A managed identity has no application or secrets
// (https://learn.microsoft.com/graph/api/resources/serviceprincipal).
func servicePrincipal(a entra.Application, tenant string) object {
	o := object{
		"id": a.ObjectID, "appId": a.ClientID, "displayName": a.Name, "accountEnabled": true, "deletedDateTime": nil,
		"servicePrincipalNames": []string{a.ClientID}, "servicePrincipalType": "ManagedIdentity",
		"appDisplayName": nil, "appOwnerOrganizationId": nil,
	}
	if !a.ManagedIdentity() {
		o["servicePrincipalType"], o["appDisplayName"], o["appOwnerOrganizationId"] = "Application", a.Name, tenant
	}
	return o
}

func applications(tx *store.Tx, _ string) ([]object, error) {
	all, err := entra.Applications(tx)
	var found []object
	for _, a := range all {
		if !a.ManagedIdentity() {
			found = append(found, application(a))
		}
	}
	return found, err
}

// application returns the application of a service principal. It has an object id of its own.
func application(a entra.Application) object {
	url := "https://" + Host + "/v1.0/applications/" + strings.ToLower(a.ClientID)
	return object{
		"id":              uuid.NewSHA1(uuid.NameSpaceURL, []byte(url)).String(),
		"appId":           a.ClientID,
		"displayName":     a.Name,
		"identifierUris":  []string{},
		"signInAudience":  "AzureADMyOrg",
		"deletedDateTime": nil,
	}
}

func groups(tx *store.Tx, _ string) ([]object, error) {
	all, err := entra.Groups(tx)
	var found []object
	for _, g := range all {
		found = append(found, group(g))
	}
	return found, err
}

func group(g entra.Group) object {
	return object{
		"id":              g.ObjectID,
		"displayName":     cmp.Or(g.Name, g.ObjectID),
		"securityEnabled": true,
		"mailEnabled":     false,
		"groupTypes":      []string{},
		"deletedDateTime": nil,
	}
}

func users(*store.Tx, string) ([]object, error) { return nil, nil }

func organization(_ *store.Tx, tenant string) ([]object, error) {
	return []object{{"id": tenant, "displayName": "localcloud", "deletedDateTime": nil}}, nil
}
