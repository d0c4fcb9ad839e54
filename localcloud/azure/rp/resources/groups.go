package resources

import (
	"context"
	"net/http"
	"slices"
	"strings"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

func putGroup(c *arm.Call) (arm.Reply, error) {
	existing, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil {
		return arm.Reply{}, err
	}
	location, err := arm.ParseLocation(arm.Text(c.Body, "location"))
	if has := arm.Text(existing, "location"); err == nil && ok && has != location {
		return arm.Reply{}, arm.Conflict("InvalidResourceGroupLocation", "Invalid resource group location '%s'. The "+
			"Resource group already exists in location '%s'.", location, has)
	}
	old, res, err := c.Begin(GroupsType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	if old != nil && arm.ProvisioningState(old) == arm.Deleting {
		return arm.Reply{}, arm.Conflict("ResourceGroupBeingDeleted",
			"The resource group '%s' is in deprovisioning state and cannot perform this operation.", c.Group)
	}
	arm.SetState(res, arm.Succeeded)
	return c.Written(old, res)
}

func headGroup(c *arm.Call) (arm.Reply, error) {
	_, ok, err := arm.Load(c.Tx, c.Path)
	if err == nil && !ok {
		return arm.Reply{Status: http.StatusNotFound}, nil
	}
	return arm.Reply{Status: http.StatusNoContent}, err
}

func listGroups(c *arm.Call) (arm.Reply, error) {
	found, err := arm.Under(c.Tx, "/subscriptions/"+c.Subscription, GroupsType)
	return arm.Values(found), err
}

func deleteGroup(c *arm.Call) (arm.Reply, error) {
	group, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil {
		return arm.Reply{}, err
	}
	if !ok {
		return arm.Reply{}, c.NotFound()
	}
	arm.SetState(group, arm.Deleting)
	if err := arm.Save(c.Tx, group); err != nil {
		return arm.Reply{}, err
	}
	return c.Start(arm.Reply{Status: http.StatusAccepted}, group, arm.Deleting)
}

// resultOf returns the headers with which clients poll the deletion of a group or of another resource whose type has no
// operations of its own.
func resultOf(s *arm.Service, op arm.Operation) http.Header {
	return arm.Polling("Location",
		"https://"+arm.Host+"/subscriptions/"+s.SubscriptionID+"/operationresults/"+op.ID+"?api-version=2021-04-01")
}

// removeGroup deletes the resources in a group, then the group. Resources whose types have Remove come first, one after
// another.
func removeGroup(ctx context.Context, s *arm.Service, op arm.Operation) error {
	if err := s.RemoveAll(ctx, op.Resource); err != nil {
		return err
	}
	return s.RemoveStored(ctx, op)
}

// listResources lists the resources that have a location. The filter can select a type and a resource group.
func listResources(c *arm.Call) (arm.Reply, error) {
	kind, within := "", arm.Cut(c.Path, 1)
	if filter := c.Query.Get("$filter"); filter != "" {
		for _, part := range strings.Split(filter, " and ") {
			wanted, byType := arm.Quoted(part, "resourceType eq ")
			group, byGroup := arm.Quoted(part, "resourceGroup eq ")
			switch {
			case byType && kind == "":
				kind = wanted
			case byGroup && within == "/subscriptions/"+c.CanonicalSubscription():
				within += "/resourceGroups/" + group
			default:
				return arm.Reply{}, arm.NotImplemented("the filter %q", filter)
			}
		}
	}
	found, err := arm.Under(c.Tx, within, kind)
	found = slices.DeleteFunc(found, func(res arm.Object) bool {
		return res["location"] == nil || arm.Text(res, "type") == GroupsType
	})
	return arm.Values(found), err
}
