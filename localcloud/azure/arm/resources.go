package arm

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/eventgrid"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/storage"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// resources holds what Resource Manager shows, by path without case.
const resources = "resources"

// Provisioning states.
const (
	creating  = "Creating"
	updating  = "Updating"
	succeeded = "Succeeded"
	failed    = "Failed"
	deleting  = "Deleting"
)

func load(tx *store.Tx, path string) (object, bool, error) {
	return store.Get[object](tx, resources, strings.ToLower(path))
}

func save(tx *store.Tx, res object) error {
	return store.Put(tx, resources, strings.ToLower(text(res, "id")), res)
}

// under lists the resources of a type below a path; an empty type stands for all.
func under(tx *store.Tx, path, kind string) ([]object, error) {
	within := "" // each path has the last part of its type before its name
	if i := strings.LastIndexByte(kind, '/'); i >= 0 {
		within = strings.ToLower(kind[i:]) + "/"
	}
	all, err := store.ListWith[object](tx, resources, strings.ToLower(path)+"/", within)
	return slices.DeleteFunc(all, func(res object) bool {
		return kind != "" && !strings.EqualFold(text(res, "type"), kind)
	}), err
}

// destroy removes a resource, what is nested in it, and the role assignments there. A vault is only soft-deleted.
func destroy(tx *store.Tx, res object) error {
	id := text(res, "id")
	nested, err := under(tx, id, "")
	if err != nil {
		return err
	}
	for _, one := range append(nested, res) {
		switch text(one, "type") {
		case vaultsType:
			err = softDeleteVault(tx, one)
		case endpointsType:
			err = disconnect(tx, one)
		case identitiesType:
			err = entra.DeleteApplication(tx, text(child(one, "properties"), "clientId"))
		case encryptionSetsType:
			err = entra.DeletePrincipal(tx, text(child(one, "identity"), "principalId"))
		case eventSubscriptionsType:
			err = eventgrid.DeleteSubscription(tx, text(one, "id"))
		case actionGroupsType:
			err = eventgrid.DeleteEmails(tx, text(one, "id"))
		case accountsType:
			err = storage.DeleteAccount(tx, text(one, "name"))
		case queuesType:
			err = storage.DeleteQueue(tx, parse(http.MethodGet, text(one, "id")).names[0], text(one, "name"))
		}
		if err != nil {
			return err
		}
		if err := store.Delete(tx, resources, strings.ToLower(text(one, "id"))); err != nil {
			return err
		}
	}
	return authorization.DeleteUnder(tx, id)
}

func softDeleteVault(tx *store.Tx, res object) error {
	vault, ok, err := keyvault.GetVault(tx, text(res, "name"))
	if err != nil || !ok {
		return err
	}
	return keyvault.SoftDelete(tx, vault, encode(res))
}

func provisioningState(res object) string {
	properties, _ := res["properties"].(object)
	return text(properties, "provisioningState")
}

func setState(res object, state string) { child(res, "properties")["provisioningState"] = state }

// begin makes the resource that a PUT asks for: the body, with the envelope of the resource that is there or of a new one.
// A tracked type needs a location, which never changes.
func (c *call) begin(kind string, tracked bool) (old, res object, err error) {
	old, exists, err := load(c.tx, c.path)
	if err != nil {
		return nil, nil, err
	}
	res = clone(c.body)
	for _, key := range envelope {
		delete(res, key)
	}
	res["id"], res["name"], res["type"] = c.newID(kind), c.name(), kind
	if exists {
		res["id"], res["name"] = old["id"], old["name"]
	}
	if !tracked {
		return old, res, nil
	}
	location, err := parseLocation(text(res, "location"))
	if err != nil {
		return nil, nil, err
	}
	if exists && text(old, "location") != location {
		if kind == groupsType {
			return nil, nil, conflict("InvalidResourceGroupLocation", "Invalid resource group location '%s'. The Resource group already "+
				"exists in location '%s'.", location, text(old, "location"))
		}
		return nil, nil, conflict("InvalidResourceLocation", "The resource '%s' already exists in location '%s' in resource group '%s'. "+
			"A resource with the same name cannot be created in location '%s'. Please select a new resource name.",
			c.name(), text(old, "location"), c.group, location)
	}
	res["location"] = location
	return old, res, nil
}

// newID writes a path with the names as they were given, and the rest as Azure spells it.
func (c *call) newID(kind string) string {
	if kind == groupsType {
		return "/subscriptions/" + c.subscriptionID() + "/resourceGroups/" + c.group
	}
	types := strings.Split(kind, "/")
	id := "/subscriptions/" + c.subscriptionID() + "/resourceGroups/" + c.group + "/providers/" + types[0]
	for i, name := range c.names {
		id += "/" + types[i+1] + "/" + name
	}
	return id
}

// written answers a PUT: 201 for a new resource, 200 for one that was there.
func (c *call) written(old, res object) (reply, error) {
	if err := save(c.tx, res); err != nil {
		return reply{}, err
	}
	if old == nil {
		return reply{status: http.StatusCreated, body: res}, nil
	}
	return reply{body: res}, nil
}

func (c *call) notFound() *Error {
	if c.kind == groupsType || strings.EqualFold(c.kind, groupsType) {
		return refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.group)
	}
	return refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s' under resource group '%s' was not found. For more "+
		"details please go to https://aka.ms/ARMResourceNotFoundFix", c.kind+"/"+strings.Join(c.names, "/"), c.group)
}

func (c *call) getStored() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err == nil && !ok {
		err = c.notFound()
	}
	return reply{body: res}, err
}

func (c *call) listStored() (reply, error) {
	path := c.scope
	if len(c.names) > 0 {
		path = cut(c.path, 1)
	}
	found, err := under(c.tx, path, c.kind)
	return values(found), err
}

// listResources is the list of everything that has a location, where the filter asks for it of one type.
func (c *call) listResources() (reply, error) {
	kind := ""
	if filter := c.query.Get("$filter"); filter != "" {
		var ok bool
		if kind, ok = quoted(filter, "resourceType eq "); !ok {
			return reply{}, notImplemented("the filter %q", filter)
		}
	}
	found, err := under(c.tx, cut(c.path, 1), kind)
	found = slices.DeleteFunc(found, func(res object) bool { return res["location"] == nil || text(res, "type") == groupsType })
	return values(found), err
}

// patchTags replaces the tags, which is all that a PATCH of the simpler types may do.
func (c *call) patchTags() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{}, c.notFound()
	}
	for key := range c.body {
		if key != "tags" && !slices.Contains(envelope, key) && (key != "location" || c.body[key] != res[key]) {
			return reply{}, notImplemented("PATCH of %s of %s", key, c.kind)
		}
	}
	if tags, ok := c.body["tags"]; ok {
		res["tags"] = tags
	}
	return reply{body: res}, save(c.tx, res)
}

// values is the answer of a list.
func values[T any](list []T) reply {
	if list == nil {
		list = []T{}
	}
	return reply{body: object{"value": list}}
}

// quoted reads the 'value' of a simple filter.
func quoted(filter, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(filter, prefix)
	if !ok || len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' {
		return "", false
	}
	return rest[1 : len(rest)-1], !strings.Contains(rest[1:len(rest)-1], "'")
}
