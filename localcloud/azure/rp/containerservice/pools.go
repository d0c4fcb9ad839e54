package containerservice

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const poolsType = clustersType + "/agentPools"

// mirrorPools copies the pools of a cluster into its body.
func mirrorPools(tx *store.Tx, cluster string) error {
	return arm.Mirror(tx, cluster, poolsType, "agentPoolProfiles", func(pool arm.Object) arm.Object {
		profile := maps.Clone(arm.Child(pool, "properties"))
		profile["name"] = pool["name"]
		return profile
	})
}

// adoptPools creates the pools of a cluster from an older local cloud, which stored them only in the cluster.
func adoptPools(tx *store.Tx, cluster arm.Object) error {
	known, err := arm.Under(tx, arm.Text(cluster, "id"), poolsType)
	if err != nil || len(known) > 0 {
		return err
	}
	profiles, _ := arm.Child(cluster, "properties")["agentPoolProfiles"].([]any)
	for _, profile := range profiles {
		profile, _ := profile.(arm.Object)
		properties := arm.Clone(profile)
		delete(properties, "name")
		var p poolProperties
		if err := arm.Decode(properties, &p); err != nil {
			return err
		}
		fillPool(nil, properties, p)
		if err := fillPoolVersion(nil, properties, arm.Child(cluster, "properties")); err != nil {
			return err
		}
		res := arm.Object{
			"id":         arm.Text(cluster, "id") + "/agentPools/" + arm.Text(profile, "name"),
			"name":       profile["name"],
			"type":       poolsType,
			"properties": properties,
		}
		arm.SetState(res, arm.Succeeded)
		if err := arm.Save(tx, res); err != nil {
			return err
		}
	}
	return nil
}

// clusterOf returns the cluster of a pool.
func clusterOf(c *arm.Call) (arm.Object, clusterProperties, error) {
	var p clusterProperties
	cluster, ok, err := arm.Load(c.Tx, c.Top())
	if err == nil && !ok {
		err = c.NotFound()
	}
	if err != nil {
		return nil, p, err
	}
	return cluster, p, arm.Decode(arm.Child(cluster, "properties"), &p)
}

// clusterIsIdle returns an error if an operation on the cluster or its pools is under way.
func clusterIsIdle(c *arm.Call, cluster arm.Object) error {
	const format = "Operation is not allowed: Another %s is in progress, please wait for it to finish before starting " +
		"a new operation. See https://aka.ms/aks-pending-operation for more details"
	idle := func(state string) bool { return state == arm.Succeeded || state == arm.Failed }
	if state := arm.ProvisioningState(cluster); !idle(state) {
		return arm.Conflict("OperationNotAllowed", format, "operation ("+state+")")
	}
	pools, err := arm.Under(c.Tx, arm.Text(cluster, "id"), poolsType)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		if state := arm.ProvisioningState(pool); !idle(state) {
			operation := "agentpool operation (" + arm.Text(pool, "name") + " - " + state + ")"
			return arm.Conflict("OperationNotAllowed", format, operation)
		}
	}
	return nil
}

func putPool(c *arm.Call) (arm.Reply, error) {
	cluster, parent, err := clusterOf(c)
	if err != nil {
		return arm.Reply{}, err
	}
	old, res, err := c.Begin(poolsType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := clusterIsIdle(c, cluster); err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given, before poolProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	doing := arm.Creating
	var was arm.Object
	if old != nil {
		doing, was = arm.Updating, arm.Child(old, "properties")
		if err := arm.Decode(was, &before); err != nil {
			return arm.Reply{}, err
		}
		if given.VMSize == "" {
			given.VMSize, properties["vmSize"] = before.VMSize, before.VMSize
		}
		if err := given.checkChange(before); err != nil {
			return arm.Reply{}, err
		}
	}
	if err := given.check("properties.", c.Name()); err != nil {
		return arm.Reply{}, err
	}
	others := slices.DeleteFunc(slices.Clone(parent.Pools), func(p poolProperties) bool {
		return fold.Equal(p.Name, c.Name())
	})
	if err := checkPoolTotals(append(others, given)); err != nil {
		return arm.Reply{}, err
	}
	if before.system() && !given.system() {
		if err := lastSystemPool(c, cluster); err != nil {
			return arm.Reply{}, err
		}
	}
	if err := checkPoolSubnets(c, cluster, append(slices.Clone(parent.Pools), given)); err != nil {
		return arm.Reply{}, err
	}
	if err := checkOutbound(c, parent.Network.Outbound, []poolProperties{given}); err != nil {
		return arm.Reply{}, err
	}
	fillPool(was, properties, given)
	if err := fillPoolVersion(was, properties, arm.Child(cluster, "properties")); err != nil {
		return arm.Reply{}, err
	}
	arm.SetState(res, doing)
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := mirrorPools(c.Tx, arm.Text(cluster, "id")); err != nil {
		return arm.Reply{}, err
	}
	return c.Start(answer, arm.Object{"id": res["id"], "location": cluster["location"]}, doing)
}

// settlePool waits for the duration of an operation on a pool. It changes no node, because a cluster has one node
// whatever the counts.
func (p *Service) settlePool(ctx context.Context, _ *arm.Service, _ arm.Operation) error {
	select {
	case <-ctx.Done():
	case <-time.After(p.PoolTime):
	}
	return nil
}

func deletePool(c *arm.Call) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	cluster, _, err := clusterOf(c)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := clusterIsIdle(c, cluster); err != nil {
		return arm.Reply{}, err
	}
	if arm.Text(arm.Child(res, "properties"), "mode") == "System" {
		if err := lastSystemPool(c, cluster); err != nil {
			return arm.Reply{}, err
		}
	}
	arm.SetState(res, arm.Deleting)
	if err := arm.Save(c.Tx, res); err != nil {
		return arm.Reply{}, err
	}
	if err := mirrorPools(c.Tx, arm.Text(cluster, "id")); err != nil {
		return arm.Reply{}, err
	}
	pool := arm.Object{"id": res["id"], "location": cluster["location"]}
	return c.Start(arm.Reply{Status: http.StatusAccepted}, pool, arm.Deleting)
}

// lastSystemPool returns an error if a cluster has only one system pool.
func lastSystemPool(c *arm.Call, cluster arm.Object) error {
	pools, err := arm.Under(c.Tx, arm.Text(cluster, "id"), poolsType)
	if err != nil {
		return err
	}
	system := 0
	for _, pool := range pools {
		if arm.Text(arm.Child(pool, "properties"), "mode") == "System" {
			system++
		}
	}
	if system < 2 {
		return arm.BadRequest("OperationNotAllowed", "There has to be at least one system agent pool in the cluster '%s'.",
			arm.Text(cluster, "name"))
	}
	return nil
}

func (p *Service) removePool(ctx context.Context, s *arm.Service, op arm.Operation) error {
	_ = p.settlePool(ctx, s, op)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Store.Update(func(tx *store.Tx) error {
		res, ok, err := arm.Load(tx, op.Resource)
		if err != nil || !ok {
			return err
		}
		if err := s.Destroy(tx, res); err != nil {
			return err
		}
		return mirrorPools(tx, arm.Cut(op.Resource, 2))
	})
}

// poolEnded copies the result of an operation on a pool into its cluster.
func poolEnded(tx *store.Tx, pool arm.Object) error {
	return mirrorPools(tx, arm.Cut(arm.Text(pool, "id"), 2))
}

// checkPoolSubnets checks the subnets of a cluster's pools. All must be in one network, in the location of the cluster.
func checkPoolSubnets(c *arm.Call, cluster arm.Object, pools []poolProperties) error {
	vnet := ""
	for _, pool := range pools {
		for _, id := range []string{pool.SubnetID, pool.PodSubnetID} {
			if id == "" {
				continue
			}
			if _, err := network.FindSubnet(c, id); err != nil {
				return err
			}
			if err := checkClusterNetwork(c, id); err != nil {
				return err
			}
			own := fold.Lower(arm.Cut(id, 2))
			if vnet != "" && vnet != own {
				return arm.BadRequest("InvalidParameter", "All node pools of a cluster must be in the same virtual network, "+
					"not in %s and %s.", vnet, own)
			}
			vnet = own
			if err := c.CheckLinked(network.JoinSubnet, id); err != nil {
				return err
			}
			if err := checkClusterMay(c, cluster, network.JoinSubnet, id); err != nil {
				return err
			}
		}
	}
	if vnet == "" {
		return nil
	}
	res, _, err := arm.Load(c.Tx, vnet)
	if err == nil && arm.Text(res, "location") != arm.Text(cluster, "location") {
		err = arm.BadRequest("InvalidParameter", "The virtual network %s is in %s, but the cluster is in %s.",
			vnet, arm.Text(res, "location"), arm.Text(cluster, "location"))
	}
	return err
}
