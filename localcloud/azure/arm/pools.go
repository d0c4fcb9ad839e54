package arm

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const (
	poolsType       = clustersType + "/agentPools"
	maintenanceType = clustersType + "/maintenanceConfigurations"
)

// poolProperties are what the service acts on. Everything else is kept and shown.
type poolProperties struct {
	Name             string            `json:"name"` // of a pool in a cluster's body
	Mode             string            `json:"mode"`
	Type             string            `json:"type"`
	Count            *int              `json:"count"`
	Autoscaling      bool              `json:"enableAutoScaling"`
	Min              *int              `json:"minCount"`
	Max              *int              `json:"maxCount"`
	VMSize           string            `json:"vmSize"`
	MaxPods          *int              `json:"maxPods"`
	DiskSize         *int              `json:"osDiskSizeGB"`
	DiskType         string            `json:"osDiskType"`
	OSType           string            `json:"osType"`
	OSSKU            string            `json:"osSKU"`
	Zones            []string          `json:"availabilityZones"`
	Labels           map[string]string `json:"nodeLabels"`
	Taints           []string          `json:"nodeTaints"`
	Priority         string            `json:"scaleSetPriority"`
	Eviction         string            `json:"scaleSetEvictionPolicy"`
	SpotMaxPrice     *float64          `json:"spotMaxPrice"`
	SubnetID         string            `json:"vnetSubnetID"`
	PodSubnetID      string            `json:"podSubnetID"`
	HostGroupID      string            `json:"hostGroupID"`
	CapacityGroupID  string            `json:"capacityReservationGroupID"`
	PlacementGroupID string            `json:"proximityPlacementGroupID"`
}

func (p poolProperties) system() bool { return p.Mode == "System" }
func (p poolProperties) spot() bool   { return p.Priority == "Spot" }

var (
	poolName  = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)
	taint     = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?(=[A-Za-z0-9]?([-A-Za-z0-9_.]*[A-Za-z0-9])?)?:(NoSchedule|PreferNoSchedule|NoExecute)$`)
	labelName = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

// systemTaint is the only hard taint that system pools may have (learn.microsoft.com/azure/aks/use-system-pools).
const systemTaint = "CriticalAddonsOnly=true:NoSchedule"

func invalidParameter(parameter, format string, args ...any) error {
	return badRequest("InvalidParameter", "The value of parameter %s is invalid: %s.", parameter, fmt.Sprintf(format, args...))
}

// check holds a pool against AKS's rules. The parameter is the path of the pool in the request, with a dot at its end.
func (p poolProperties) check(parameter, name string) error {
	invalid := func(of, format string, args ...any) error { return invalidParameter(parameter+of, format, args...) }
	count := 1
	if p.Count != nil {
		count = *p.Count
	}
	switch {
	case !poolName.MatchString(name):
		return invalid("name", "%q has to be 1 to 12 lowercase letters and digits, and a letter first", name)
	case !slices.Contains([]string{"", "System", "User"}, p.Mode):
		return badNotOneOf(parameter+"mode", p.Mode, "System or User")
	case p.Mode == "Gateway":
		return notImplemented("gateway pools")
	case p.VMSize == "":
		return invalid("vmSize", "it is required")
	case count < 0 || count > 1000:
		return invalid("count", "%d is not between 0 and 1000", count)
	case p.system() && count < 1:
		return invalid("count", "a pool of mode System has at least one node")
	case p.OSType == "Windows":
		return notImplemented("Windows nodes")
	case p.OSType != "" && p.OSType != "Linux":
		return badNotOneOf(parameter+"osType", p.OSType, "Linux or Windows")
	case p.DiskType != "" && p.DiskType != "Managed" && p.DiskType != "Ephemeral":
		return badNotOneOf(parameter+"osDiskType", p.DiskType, "Managed or Ephemeral")
	case p.DiskSize != nil && (*p.DiskSize < 0 || *p.DiskSize > 2048):
		return invalid("osDiskSizeGB", "%d is not between 0, the size's default, and 2048", *p.DiskSize)
	case p.MaxPods != nil && (*p.MaxPods < 10 || *p.MaxPods > 250):
		return invalid("maxPods", "%d is not between 10 and 250", *p.MaxPods)
	case p.system() && p.MaxPods != nil && *p.MaxPods < 30:
		return invalid("maxPods", "the nodes of a pool of mode System take at least 30 pods, not %d", *p.MaxPods)
	case p.Priority != "" && p.Priority != "Regular" && p.Priority != "Spot":
		return badNotOneOf(parameter+"scaleSetPriority", p.Priority, "Regular or Spot")
	case p.spot() && p.system():
		return invalid("scaleSetPriority", "a pool of mode System cannot be Spot")
	case p.Eviction != "" && p.Eviction != "Delete" && p.Eviction != "Deallocate":
		return badNotOneOf(parameter+"scaleSetEvictionPolicy", p.Eviction, "Delete or Deallocate")
	case p.SpotMaxPrice != nil && *p.SpotMaxPrice != -1 && *p.SpotMaxPrice <= 0:
		return invalid("spotMaxPrice", "%v is neither -1 nor a price", *p.SpotMaxPrice)
	case p.HostGroupID+p.CapacityGroupID+p.PlacementGroupID != "":
		return notImplemented("node pools in host groups, capacity reservations and proximity placement groups")
	}
	if err := p.checkScaling(invalid, count); err != nil {
		return err
	}
	return p.checkPlacing(invalid)
}

func (p poolProperties) checkScaling(invalid func(of, format string, args ...any) error, count int) error {
	if !p.Autoscaling {
		if p.Min != nil || p.Max != nil {
			return invalid("minCount", "minCount and maxCount are only for pools with enableAutoScaling")
		}
		return nil
	}
	least := 0
	if p.system() {
		least = 1
	}
	switch {
	case p.Min == nil || p.Max == nil:
		return invalid("minCount", "enableAutoScaling needs minCount and maxCount")
	case *p.Min < least || *p.Max > 1000 || *p.Min > *p.Max:
		return invalid("minCount", "%d to %d is no range within %d to 1000", *p.Min, *p.Max, least)
	case p.Count != nil && (count < *p.Min || count > *p.Max):
		return invalid("count", "%d is not between minCount %d and maxCount %d", count, *p.Min, *p.Max)
	}
	return nil
}

func (p poolProperties) checkPlacing(invalid func(of, format string, args ...any) error) error {
	for _, zone := range p.Zones {
		if !slices.Contains([]string{"1", "2", "3"}, zone) {
			return badRequest("AvailabilityZoneNotSupported", "The zone '%s' is not supported: 1, 2 or 3.", zone)
		}
	}
	for _, t := range p.Taints {
		switch {
		case !taint.MatchString(t):
			return invalid("nodeTaints", "%q is not key=value:NoSchedule, :PreferNoSchedule or :NoExecute", t)
		case p.system() && t != systemTaint && !strings.HasSuffix(t, ":PreferNoSchedule"):
			return invalid("nodeTaints", "a pool of mode System may have no hard taint but %s, not %q", systemTaint, t)
		}
	}
	for name := range p.Labels {
		prefix, _, prefixed := strings.Cut(name, "/")
		switch {
		case !labelName.MatchString(name):
			return invalid("nodeLabels", "%q is no name of a label", name)
		case prefixed && (prefix == "kubernetes.azure.com" || strings.HasSuffix(prefix, "kubernetes.io") || strings.HasSuffix(prefix, "k8s.io")) && !(p.spot() && name == spotLabel):
			return invalid("nodeLabels", "the prefix of %q is reserved", name)
		}
	}
	return nil
}

func badNotOneOf(parameter, given, allowed string) error {
	return invalidParameter(parameter, "%q is not %s", given, allowed)
}

// checkChange refuses what cannot change of a pool that is there.
func (p poolProperties) checkChange(before poolProperties) error {
	for _, property := range []struct {
		name      string
		was, is   any
		isLeftOut bool
	}{
		{name: "vmSize", was: before.VMSize, is: p.VMSize},
		{name: "osType", was: before.OSType, is: p.OSType, isLeftOut: p.OSType == ""},
		{name: "osDiskType", was: before.DiskType, is: p.DiskType, isLeftOut: p.DiskType == ""},
		{name: "osDiskSizeGB", was: before.DiskSize, is: p.DiskSize, isLeftOut: p.DiskSize == nil},
		{name: "maxPods", was: before.MaxPods, is: p.MaxPods, isLeftOut: p.MaxPods == nil},
		{name: "availabilityZones", was: before.Zones, is: p.Zones, isLeftOut: p.Zones == nil},
		{name: "scaleSetPriority", was: before.Priority, is: p.Priority, isLeftOut: p.Priority == ""},
		{name: "vnetSubnetID", was: strings.ToLower(before.SubnetID), is: strings.ToLower(p.SubnetID), isLeftOut: p.SubnetID == ""},
		{name: "podSubnetID", was: strings.ToLower(before.PodSubnetID), is: strings.ToLower(p.PodSubnetID), isLeftOut: p.PodSubnetID == ""},
	} {
		if !property.isLeftOut && !reflect.DeepEqual(property.was, property.is) {
			return badRequest("PropertyChangeNotAllowed", "Changing property 'properties.%s' is not allowed.", property.name)
		}
	}
	return nil
}

// What AKS puts on the nodes of spot pools (learn.microsoft.com/azure/aks/spot-node-pool).
const (
	spotLabel = "kubernetes.azure.com/scalesetpriority"
	spotTaint = spotLabel + "=spot:NoSchedule"
)

// fillPool writes what Azure adds to a pool, and keeps what an update has left out but cannot change.
func fillPool(old, properties object, p poolProperties) {
	for _, key := range []string{"osType", "osDiskType", "osDiskSizeGB", "maxPods", "availabilityZones", "scaleSetPriority", "vnetSubnetID", "podSubnetID"} {
		if old != nil && old[key] != nil {
			setDefault(properties, key, old[key])
		}
	}
	count := 1
	if p.Min != nil {
		count = *p.Min
	}
	if p.Autoscaling && old != nil && old["count"] != nil {
		setDefault(properties, "count", old["count"])
	}
	setDefault(properties, "count", count)
	setDefault(properties, "mode", "User")
	setDefault(properties, "type", "VirtualMachineScaleSets")
	setDefault(properties, "osType", "Linux")
	setDefault(properties, "osSKU", "Ubuntu")
	setDefault(properties, "osDiskType", "Managed")
	setDefault(properties, "osDiskSizeGB", 128)
	setDefault(properties, "enableFIPS", false)
	setDefault(properties, "enableNodePublicIP", false)
	setDefault(properties, "kubeletDiskType", "OS")
	setDefault(properties, "upgradeSettings", object{"maxSurge": "10%"})
	if p.spot() {
		setDefault(properties, "scaleSetEvictionPolicy", "Delete")
		setDefault(properties, "spotMaxPrice", -1)
		child(properties, "nodeLabels")[spotLabel] = "spot"
		if !slices.Contains(p.Taints, spotTaint) {
			taints, _ := properties["nodeTaints"].([]any)
			properties["nodeTaints"] = append(taints, spotTaint)
		}
	}
	setDefault(properties, "orchestratorVersion", KubernetesVersion[:strings.LastIndexByte(KubernetesVersion, '.')])
	properties["currentOrchestratorVersion"] = KubernetesVersion
	properties["powerState"] = object{"code": "Running"}
	properties["nodeImageVersion"] = "AKSUbuntu-2204gen2containerd-202509.23.0"
}

// mirrorPools shows a cluster's pools in it.
func mirrorPools(tx *store.Tx, cluster string) error {
	return mirror(tx, cluster, poolsType, "agentPoolProfiles", func(pool object) object {
		profile := maps.Clone(child(pool, "properties"))
		profile["name"] = pool["name"]
		return profile
	})
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
	if before.system() && !given.system() {
		if err := c.lastSystemPool(cluster); err != nil {
			return reply{}, err
		}
	}
	if err := c.checkPoolSubnets(cluster, append(slices.Clone(parent.Pools), given)); err != nil {
		return reply{}, err
	}
	fillPool(was, properties, given)
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
	op, err := startOperation(c.tx, object{"id": res["id"], "location": cluster["location"]}, doing)
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
			own := strings.ToLower(cut(id, 2))
			if network != "" && network != own {
				return badRequest("InvalidParameter", "All node pools of a cluster have to be in the same virtual network, not in %s and %s.", network, own)
			}
			network = own
			if err := c.checkLinked("Microsoft.Network/virtualNetworks/subnets/join/action", id); err != nil {
				return err
			}
			if err := c.checkClusterJoins(cluster, id); err != nil {
				return err
			}
		}
	}
	if network == "" {
		return nil
	}
	res, _, err := load(c.tx, network)
	if err == nil && text(res, "location") != text(cluster, "location") {
		err = badRequest("InvalidParameter", "The virtual network %s is in %s, the cluster in %s.", network, text(res, "location"), text(cluster, "location"))
	}
	return err
}

// maintenanceProperties are what the service acts on. Everything else is kept and shown.
type maintenanceProperties struct {
	TimeInWeek []struct {
		Day   string `json:"day"`
		Hours []int  `json:"hourSlots"`
	} `json:"timeInWeek"`
	Window *struct {
		Hours    int    `json:"durationHours"`
		Start    string `json:"startTime"`
		Offset   string `json:"utcOffset"`
		Schedule map[string]struct {
			Days   int    `json:"intervalDays"`
			Weeks  int    `json:"intervalWeeks"`
			Months int    `json:"intervalMonths"`
			Day    string `json:"dayOfWeek"`
			Date   int    `json:"dayOfMonth"`
			Index  string `json:"weekIndex"`
		} `json:"schedule"`
	} `json:"maintenanceWindow"`
}

var (
	clock  = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)
	offset = regexp.MustCompile(`^[+-](0\d|1[0-4]):[0-5]\d$`)
	days   = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
)

// The names of maintenance configurations: AKS's weekly releases, and the upgrades of cluster and node images
// (learn.microsoft.com/azure/aks/planned-maintenance).
var maintenanceNames = []string{"default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"}

func (c *call) putMaintenance() (reply, error) {
	old, res, err := c.begin(maintenanceType, false)
	if err != nil {
		return reply{}, err
	}
	var p maintenanceProperties
	if err := decode(child(res, "properties"), &p); err != nil {
		return reply{}, err
	}
	if !slices.Contains(maintenanceNames, c.name()) {
		return reply{}, badRequest("InvalidParameter", "The maintenance configuration's name '%s' is not one of %s.", c.name(), strings.Join(maintenanceNames, ", "))
	}
	if p.Window == nil {
		if c.name() != "default" {
			return reply{}, invalidParameter("maintenanceWindow", "the configuration %s needs it", c.name())
		}
		if len(p.TimeInWeek) == 0 {
			return reply{}, invalidParameter("timeInWeek", "it is required where there is no maintenanceWindow")
		}
		for _, slot := range p.TimeInWeek {
			if !slices.Contains(days, slot.Day) || slices.ContainsFunc(slot.Hours, func(h int) bool { return h < 0 || h > 23 }) {
				return reply{}, invalidParameter("timeInWeek", "%s %v is no day of the week with hours from 0 to 23", slot.Day, slot.Hours)
			}
		}
	} else if err := p.checkWindow(); err != nil {
		return reply{}, err
	}
	if _, err := c.written(old, res); err != nil {
		return reply{}, err
	}
	return reply{body: res}, nil
}

func (p maintenanceProperties) checkWindow() error {
	w := p.Window
	switch {
	case len(p.TimeInWeek) > 0:
		return invalidParameter("timeInWeek", "it cannot go with maintenanceWindow")
	case w.Hours < 4 || w.Hours > 24:
		return invalidParameter("maintenanceWindow.durationHours", "%d is not between 4 and 24", w.Hours)
	case !clock.MatchString(w.Start):
		return invalidParameter("maintenanceWindow.startTime", "%q is not a time such as 02:00", w.Start)
	case w.Offset != "" && !offset.MatchString(w.Offset):
		return invalidParameter("maintenanceWindow.utcOffset", "%q is not an offset such as +05:30", w.Offset)
	case len(w.Schedule) != 1:
		return invalidParameter("maintenanceWindow.schedule", "it needs one of daily, weekly, absoluteMonthly and relativeMonthly")
	}
	for kind, s := range w.Schedule {
		within := func(name string, n, most int) error {
			if n < 1 || n > most {
				return invalidParameter("maintenanceWindow.schedule."+kind+"."+name, "%d is not between 1 and %d", n, most)
			}
			return nil
		}
		if (kind == "weekly" || kind == "relativeMonthly") && !slices.Contains(days, s.Day) {
			return invalidParameter("maintenanceWindow.schedule."+kind+".dayOfWeek", "%q is no day of the week", s.Day)
		}
		switch kind {
		case "daily":
			return within("intervalDays", s.Days, 7)
		case "weekly":
			return within("intervalWeeks", s.Weeks, 4)
		case "absoluteMonthly":
			if err := within("dayOfMonth", s.Date, 31); err != nil {
				return err
			}
			return within("intervalMonths", s.Months, 6)
		case "relativeMonthly":
			if !slices.Contains([]string{"First", "Second", "Third", "Fourth", "Last"}, s.Index) {
				return invalidParameter("maintenanceWindow.schedule.relativeMonthly.weekIndex", "%q is not First, Second, Third, Fourth or Last", s.Index)
			}
			return within("intervalMonths", s.Months, 6)
		}
	}
	return nil
}
