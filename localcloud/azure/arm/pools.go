package arm

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const poolsType = clustersType + "/agentPools"

// mirrorPools shows a cluster's pools in it.
func mirrorPools(tx *store.Tx, cluster string) error {
	return mirror(tx, cluster, poolsType, "agentPoolProfiles", func(pool object) object {
		profile := maps.Clone(child(pool, "properties"))
		profile["name"] = pool["name"]
		return profile
	})
}

// adoptPools makes resources of the pools of a cluster that an older local cloud wrote, which had them in the cluster only.
func adoptPools(tx *store.Tx, cluster object) error {
	known, err := under(tx, text(cluster, "id"), poolsType)
	if err != nil || len(known) > 0 {
		return err
	}
	profiles, _ := child(cluster, "properties")["agentPoolProfiles"].([]any)
	for _, profile := range profiles {
		profile, _ := profile.(object)
		properties := clone(profile)
		delete(properties, "name")
		var p poolProperties
		if err := decode(properties, &p); err != nil {
			return err
		}
		fillPool(nil, properties, p)
		if err := fillPoolVersion(nil, properties, child(cluster, "properties")); err != nil {
			return err
		}
		res := object{
			"id": text(cluster, "id") + "/agentPools/" + text(profile, "name"), "name": profile["name"], "type": poolsType, "properties": properties,
		}
		setState(res, succeeded)
		if err := save(tx, res); err != nil {
			return err
		}
	}
	return nil
}

// clusterOf is the cluster that a pool or maintenance configuration is in.
func (c *call) clusterOf() (object, clusterProperties, error) {
	var p clusterProperties
	cluster, ok, err := load(c.tx, c.top())
	if err == nil && !ok {
		err = c.notFound()
	}
	if err != nil {
		return nil, p, err
	}
	return cluster, p, decode(child(cluster, "properties"), &p)
}

// clusterIsIdle refuses an operation while another one is under way in the cluster.
func (c *call) clusterIsIdle(cluster object) error {
	const format = "Operation is not allowed: Another %s is in progress, please wait for it to finish before starting a new " +
		"operation. See https://aka.ms/aks-pending-operation for more details"
	idle := func(state string) bool { return state == succeeded || state == failed }
	if state := provisioningState(cluster); !idle(state) {
		return conflict("OperationNotAllowed", format, "operation ("+state+")")
	}
	pools, err := under(c.tx, text(cluster, "id"), poolsType)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		if state := provisioningState(pool); !idle(state) {
			return conflict("OperationNotAllowed", format, "agentpool operation ("+text(pool, "name")+" - "+state+")")
		}
	}
	return nil
}

func (c *call) putPool() (reply, error) {
	cluster, parent, err := c.clusterOf()
	if err != nil {
		return reply{}, err
	}
	old, res, err := c.begin(poolsType, false)
	if err != nil {
		return reply{}, err
	}
	if err := c.clusterIsIdle(cluster); err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given, before poolProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	doing := creating
	var was object
	if old != nil {
		doing, was = updating, child(old, "properties")
		if err := decode(was, &before); err != nil {
			return reply{}, err
		}
		if given.VMSize == "" {
			given.VMSize, properties["vmSize"] = before.VMSize, before.VMSize
		}
		if err := given.checkChange(before); err != nil {
			return reply{}, err
		}
	}
	if err := given.check("properties.", c.name()); err != nil {
		return reply{}, err
	}
	others := slices.DeleteFunc(slices.Clone(parent.Pools), func(p poolProperties) bool { return strings.EqualFold(p.Name, c.name()) })
	if err := checkPoolTotals(append(others, given)); err != nil {
		return reply{}, err
	}
	if before.system() && !given.system() {
		if err := c.lastSystemPool(cluster); err != nil {
			return reply{}, err
		}
	}
	if err := c.checkPoolSubnets(cluster, append(slices.Clone(parent.Pools), given)); err != nil {
		return reply{}, err
	}
	if err := c.checkOutbound(parent.Network.Outbound, []poolProperties{given}); err != nil {
		return reply{}, err
	}
	fillPool(was, properties, given)
	if err := fillPoolVersion(was, properties, child(cluster, "properties")); err != nil {
		return reply{}, err
	}
	setState(res, doing)
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	if err := mirrorPools(c.tx, text(cluster, "id")); err != nil {
		return reply{}, err
	}
	return c.startPoolOperation(cluster, res, doing, answer, c.settlePool)
}

func (c *call) startPoolOperation(cluster, res object, doing string, answer reply, work func(context.Context, string) error) (reply, error) {
	op, err := c.startOperation(c.tx, object{"id": res["id"], "location": cluster["location"]}, doing)
	answer.header = polling("Azure-AsyncOperation", c.operationURL(op))
	answer.after = func() { c.run(op, work) }
	return answer, err
}

// settlePool takes the time of an operation on a pool. It changes no node: there is one, whatever the counts.
func (s *Service) settlePool(ctx context.Context, _ string) error {
	select {
	case <-ctx.Done():
	case <-time.After(s.PoolTime):
	}
	return nil
}

func (c *call) deletePool() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	cluster, _, err := c.clusterOf()
	if err != nil {
		return reply{}, err
	}
	if err := c.clusterIsIdle(cluster); err != nil {
		return reply{}, err
	}
	if text(child(res, "properties"), "mode") == "System" {
		if err := c.lastSystemPool(cluster); err != nil {
			return reply{}, err
		}
	}
	setState(res, deleting)
	if err := save(c.tx, res); err != nil {
		return reply{}, err
	}
	if err := mirrorPools(c.tx, text(cluster, "id")); err != nil {
		return reply{}, err
	}
	return c.startPoolOperation(cluster, res, deleting, reply{status: http.StatusAccepted}, c.removePool)
}

// lastSystemPool refuses to leave a cluster without a pool for its own pods.
func (c *call) lastSystemPool(cluster object) error {
	pools, err := under(c.tx, text(cluster, "id"), poolsType)
	if err != nil {
		return err
	}
	system := 0
	for _, pool := range pools {
		if text(child(pool, "properties"), "mode") == "System" {
			system++
		}
	}
	if system < 2 {
		return badRequest("OperationNotAllowed", "There has to be at least one system agent pool in the cluster '%s'.", text(cluster, "name"))
	}
	return nil
}

func (s *Service) removePool(ctx context.Context, id string) error {
	_ = s.settlePool(ctx, id)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Store.Update(func(tx *store.Tx) error {
		res, ok, err := load(tx, id)
		if err != nil || !ok {
			return err
		}
		if err := destroy(tx, res); err != nil {
			return err
		}
		return mirrorPools(tx, cut(id, 2))
	})
}

// checkPoolSubnets finds the subnets of a cluster's pools, which all have to be in one network, where the cluster is.
func (c *call) checkPoolSubnets(cluster object, pools []poolProperties) error {
	network := ""
	for _, pool := range pools {
		for _, id := range []string{pool.SubnetID, pool.PodSubnetID} {
			if id == "" {
				continue
			}
			if _, err := c.findSubnet(id); err != nil {
				return err
			}
			if err := c.checkClusterNetwork(id); err != nil {
				return err
			}
			own := strings.ToLower(cut(id, 2))
			if network != "" && network != own {
				return badRequest("InvalidParameter", "All node pools of a cluster have to be in the same virtual network, not in %s and %s.", network, own)
			}
			network = own
			if err := c.checkLinked(joinSubnet, id); err != nil {
				return err
			}
			if err := c.checkClusterMay(cluster, joinSubnet, id); err != nil {
				return err
			}
		}
	}
	if network == "" {
		return nil
	}
	res, _, err := load(c.tx, network)
	if err == nil && text(res, "location") != text(cluster, "location") {
		err = badRequest("InvalidParameter", "The virtual network %s is in %s, the cluster in %s.", network, text(res, "location"),
			text(cluster, "location"))
	}
	return err
}
