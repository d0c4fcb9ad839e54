package arm

import (
	"context"
	"net/http"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

func (c *call) putGroup() (reply, error) {
	old, res, err := c.begin(groupsType, true)
	if err != nil {
		return reply{}, err
	}
	if old != nil && provisioningState(old) == deleting {
		return reply{}, conflict("ResourceGroupBeingDeleted",
			"The resource group '%s' is in deprovisioning state and cannot perform this operation.", c.group)
	}
	setState(res, succeeded)
	return c.written(old, res)
}

func (c *call) headGroup() (reply, error) {
	_, ok, err := load(c.tx, c.path)
	if err == nil && !ok {
		return reply{status: http.StatusNotFound}, nil
	}
	return reply{status: http.StatusNoContent}, err
}

func (c *call) listGroups() (reply, error) {
	found, err := under(c.tx, "/subscriptions/"+c.subscription, groupsType)
	return values(found), err
}

func (c *call) deleteGroup() (reply, error) {
	group, ok, err := load(c.tx, c.path)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{}, c.notFound()
	}
	setState(group, deleting)
	if err := save(c.tx, group); err != nil {
		return reply{}, err
	}
	op, err := c.startOperation(c.tx, group, deleting)
	if err != nil {
		return reply{}, err
	}
	return reply{
		status: http.StatusAccepted,
		header: polling("Location", c.groupResultURL(op)),
		after:  func() { c.run(op, c.removeGroup) },
	}, nil
}

func (s *Service) groupResultURL(op operationRecord) string {
	return "https://" + Host + "/subscriptions/" + s.SubscriptionID + "/operationresults/" + op.ID + "?api-version=2021-04-01"
}

// removeGroup deletes what is in a group, then the group. Clusters take their time, so they come first and one by one.
func (s *Service) removeGroup(ctx context.Context, id string) error {
	var clusters []object
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		clusters, err = under(tx, id, clustersType)
		return err
	}); err != nil {
		return err
	}
	for _, cluster := range clusters {
		if err := s.removeCluster(ctx, text(cluster, "id")); err != nil {
			return err
		}
	}
	return s.Store.Update(func(tx *store.Tx) error {
		group, ok, err := load(tx, id)
		if err != nil || !ok {
			return err
		}
		return destroy(tx, group)
	})
}
