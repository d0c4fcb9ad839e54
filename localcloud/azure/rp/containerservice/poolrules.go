package containerservice

import (
	"cmp"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// poolProperties are the properties that have an effect or are checked. Other properties are only stored.
type poolProperties struct {
	Name             string            `json:"name"` // only in the body of a cluster
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
	Version          string            `json:"orchestratorVersion"`
	Zones            []string          `json:"availabilityZones"`
	Labels           map[string]string `json:"nodeLabels"`
	Taints           []string          `json:"nodeTaints"`
	Tags             arm.Object        `json:"tags"`
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

// Patterns for the keys and values of Kubernetes' labels and taints.
const (
	namePart  = `[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?`
	labelPart = `([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?` + namePart
)

var (
	poolName = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

	taint = regexp.MustCompile(
		`^` + labelPart + `(=(` + namePart + `)?)?:(NoSchedule|PreferNoSchedule|NoExecute)$`,
	)
	labelName     = regexp.MustCompile(`^` + labelPart + `$`)
	labelValue    = regexp.MustCompile(`^(` + namePart + `)?$`)
	reservedLabel = regexp.MustCompile(`^([^/]*\.)?(kubernetes\.azure\.com|kubernetes\.io|k8s\.io)/`)
)

// systemTaint is the only hard taint that system pools can have (learn.microsoft.com/azure/aks/use-system-pools).
const systemTaint = "CriticalAddonsOnly=true:NoSchedule"

// check checks a pool against AKS's rules. parameter is the path of the pool in the request and ends in a dot.
func (p poolProperties) check(parameter, name string) error {
	invalid := func(of, format string, args ...any) error { return arm.InvalidParameter(parameter+of, format, args...) }
	count := 1
	if p.Count != nil {
		count = *p.Count
	}
	switch {
	case !poolName.MatchString(name):
		return invalid("name", "%q must be 1 to 12 lowercase letters and digits, starting with a letter", name)
	case p.Mode == "Gateway":
		return arm.NotImplemented("gateway pools")
	case !slices.Contains([]string{"", "System", "User"}, p.Mode):
		return arm.BadNotOneOf(parameter+"mode", p.Mode, "System or User")
	case p.VMSize == "":
		return invalid("vmSize", "it is required")
	case count < 0 || count > 1000:
		return invalid("count", "%d is not between 0 and 1000", count)
	case p.system() && count < 1:
		return invalid("count", "a pool of mode System needs at least one node")
	case p.OSType != "" && p.OSType != "Linux" && p.OSType != "Windows":
		return arm.BadNotOneOf(parameter+"osType", p.OSType, "Linux or Windows")
	case !slices.Contains([]string{"", "Ubuntu", "AzureLinux", "CBLMariner", "Windows2019", "Windows2022"}, p.OSSKU):
		return arm.BadNotOneOf(parameter+"osSKU", p.OSSKU, "Ubuntu, AzureLinux, CBLMariner, Windows2019 or Windows2022")
	case p.OSSKU != "" && (p.OSType == "Windows") != strings.HasPrefix(p.OSSKU, "Windows"):
		return invalid("osSKU", "%q does not have osType %s", p.OSSKU, cmp.Or(p.OSType, "Linux"))
	case p.OSType == "Windows" && p.system():
		return invalid("osType", "a pool of mode System must have Linux nodes")
	case p.OSType == "Windows" && len(name) > 6: // learn.microsoft.com/azure/aks/windows-vs-linux-containers
		return invalid("name", "%q must be at most 6 characters for Windows nodes", name)
	case p.DiskType != "" && p.DiskType != "Managed" && p.DiskType != "Ephemeral":
		return arm.BadNotOneOf(parameter+"osDiskType", p.DiskType, "Managed or Ephemeral")
	case p.DiskSize != nil && (*p.DiskSize < 0 || *p.DiskSize > 2048):
		return invalid("osDiskSizeGB", "%d is not between 0 (the default of the VM size) and 2048", *p.DiskSize)
	case p.MaxPods != nil && (*p.MaxPods < 10 || *p.MaxPods > 250):
		return invalid("maxPods", "%d is not between 10 and 250", *p.MaxPods)
	case p.system() && p.MaxPods != nil && *p.MaxPods < 30:
		return invalid("maxPods", "a pool of mode System needs at least 30, not %d", *p.MaxPods)
	case p.Priority != "" && p.Priority != "Regular" && p.Priority != "Spot":
		return arm.BadNotOneOf(parameter+"scaleSetPriority", p.Priority, "Regular or Spot")
	case p.spot() && p.system():
		return invalid("scaleSetPriority", "a pool of mode System cannot be Spot")
	case p.Eviction != "" && p.Eviction != "Delete" && p.Eviction != "Deallocate":
		return arm.BadNotOneOf(parameter+"scaleSetEvictionPolicy", p.Eviction, "Delete or Deallocate")
	case p.SpotMaxPrice != nil && *p.SpotMaxPrice != -1 && *p.SpotMaxPrice <= 0:
		return invalid("spotMaxPrice", "%v is neither -1 nor a price", *p.SpotMaxPrice)
	case p.HostGroupID+p.CapacityGroupID+p.PlacementGroupID != "":
		return arm.NotImplemented("node pools in host groups, capacity reservations and proximity placement groups")
	}
	if err := arm.CheckTags(p.Tags, arm.MaxTags); err != nil {
		return err
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
		return invalid("minCount", "%d to %d is not a range within %d to 1000", *p.Min, *p.Max, least)
	case p.Count != nil && (count < *p.Min || count > *p.Max):
		return invalid("count", "%d is not between minCount %d and maxCount %d", count, *p.Min, *p.Max)
	}
	return nil
}

func (p poolProperties) checkPlacing(invalid func(of, format string, args ...any) error) error {
	for _, zone := range p.Zones {
		if !slices.Contains([]string{"1", "2", "3"}, zone) {
			return arm.BadRequest("AvailabilityZoneNotSupported",
				"The zone '%s' is not supported: it must be 1, 2 or 3.", zone)
		}
	}
	for _, t := range p.Taints {
		switch {
		case !taint.MatchString(t):
			return invalid("nodeTaints", "%q is not key=value:NoSchedule, :PreferNoSchedule or :NoExecute", t)
		case p.system() && t != systemTaint && !strings.HasSuffix(t, ":PreferNoSchedule"):
			return invalid("nodeTaints", "a pool of mode System can have only the hard taint %s, not %q", systemTaint, t)
		}
	}
	for name, value := range p.Labels {
		switch {
		case !labelName.MatchString(name):
			return invalid("nodeLabels", "%q is not a valid name of a label", name)
		case !labelValue.MatchString(value):
			return invalid("nodeLabels", "%q is not a valid value of a label", value)
		case reservedLabel.MatchString(name) && !(p.spot() && name == spotLabel):
			return invalid("nodeLabels", "the prefix of %q is reserved", name)
		}
	}
	return nil
}

// checkChange refuses changes that AKS does not support.
func (p poolProperties) checkChange(before poolProperties) error {
	subnetWas, subnetIs := fold.Lower(before.SubnetID), fold.Lower(p.SubnetID)
	podsWas, podsAre := fold.Lower(before.PodSubnetID), fold.Lower(p.PodSubnetID)
	for _, property := range []struct {
		name      string
		was, is   any
		isLeftOut bool
	}{
		{name: "vmSize", was: before.VMSize, is: p.VMSize},
		{name: "osType", was: before.OSType, is: p.OSType, isLeftOut: p.OSType == ""},
		{name: "osSKU", was: before.OSSKU, is: p.OSSKU, isLeftOut: p.OSSKU == "" || before.OSType != "Windows"},
		{name: "osDiskType", was: before.DiskType, is: p.DiskType, isLeftOut: p.DiskType == ""},
		{name: "osDiskSizeGB", was: before.DiskSize, is: p.DiskSize, isLeftOut: p.DiskSize == nil},
		{name: "maxPods", was: before.MaxPods, is: p.MaxPods, isLeftOut: p.MaxPods == nil},
		{name: "availabilityZones", was: before.Zones, is: p.Zones, isLeftOut: p.Zones == nil},
		{name: "scaleSetPriority", was: before.Priority, is: p.Priority, isLeftOut: p.Priority == ""},
		{name: "vnetSubnetID", was: subnetWas, is: subnetIs, isLeftOut: subnetIs == ""},
		{name: "podSubnetID", was: podsWas, is: podsAre, isLeftOut: podsAre == ""},
	} {
		if !property.isLeftOut && !reflect.DeepEqual(property.was, property.is) {
			return changeNotAllowed(property.name, "")
		}
	}
	return nil
}

// checkPoolNames refuses new pools in the body of an update. known has the cluster's pools by name. It is empty for a
// cluster of an older local cloud.
func (p clusterProperties) checkPoolNames(known map[string]string) error {
	for _, pool := range p.Pools {
		if _, ok := known[pool.Name]; !ok && len(known) > 0 {
			return arm.BadRequest("InvalidParameter", "The value of parameter agentPoolProfiles has an error: A new agent "+
				"pool was introduced. Adding agent pools to an existing cluster is not allowed through managed cluster "+
				"operations. For agent pool specific change, please use per agent pool operations: "+
				"https://aka.ms/agent-pool-rest-api.")
		}
	}
	return nil
}

// checkPoolVersions checks the versions of the pools in the body of an update. known has the versions of the cluster's
// pools by name.
func (p clusterProperties) checkPoolVersions(known map[string]string) error {
	unspecified := maps.Clone(known)
	specified, changed := false, false
	for _, pool := range p.Pools {
		delete(unspecified, pool.Name)
		if pool.Version == "" {
			unspecified[pool.Name] = ""
			continue
		}
		specified = true
		was, ok := known[pool.Name]
		changed = changed || ok && pool.Version != was && pool.Version != p.KubernetesVersion
	}
	if specified && (len(unspecified) > 0 || changed) {
		return arm.BadRequest("NotAllAgentPoolOrchestratorVersionSpecifiedAndUnchanged", "Using managed cluster api, all "+
			"Agent pools' OrchestratorVersion must be all specified or all unspecified. If all specified, they must be "+
			"stay unchanged or the same with control plane. For agent pool specific change, please use per agent pool "+
			"operations: https://aka.ms/agent-pool-rest-api")
	}
	return nil
}

// The label and the taint of the nodes of spot pools (learn.microsoft.com/azure/aks/spot-node-pool).
const (
	spotLabel = "kubernetes.azure.com/scalesetpriority"
	spotTaint = spotLabel + "=spot:NoSchedule"
)

// fillPool sets the defaults of a pool. It copies properties that cannot change and that an update does not have from
// the existing pool.
func fillPool(old, properties arm.Object, p poolProperties) {
	for _, key := range []string{
		"osType",
		"osSKU",
		"osDiskType",
		"osDiskSizeGB",
		"maxPods",
		"availabilityZones",
		"scaleSetPriority",
		"vnetSubnetID",
		"podSubnetID",
	} {
		if old != nil && old[key] != nil {
			arm.SetDefault(properties, key, old[key])
		}
	}
	count := 1
	if p.Min != nil {
		count = *p.Min
	}
	if p.Autoscaling && old != nil && old["count"] != nil {
		arm.SetDefault(properties, "count", old["count"])
	}
	arm.SetDefault(properties, "count", count)
	arm.SetDefault(properties, "mode", "User")
	arm.SetDefault(properties, "type", "VirtualMachineScaleSets")
	arm.SetDefault(properties, "osType", "Linux")
	if properties["osType"] == "Windows" {
		arm.SetDefault(properties, "osSKU", "Windows2022")
	}
	arm.SetDefault(properties, "osSKU", "Ubuntu")
	arm.SetDefault(properties, "osDiskType", "Managed")
	arm.SetDefault(properties, "osDiskSizeGB", 128)
	arm.SetDefault(properties, "enableFIPS", false)
	arm.SetDefault(properties, "enableNodePublicIP", false)
	arm.SetDefault(properties, "kubeletDiskType", "OS")
	arm.SetDefault(properties, "upgradeSettings", arm.Object{"maxSurge": "10%"})
	if p.spot() {
		arm.SetDefault(properties, "scaleSetEvictionPolicy", "Delete")
		arm.SetDefault(properties, "spotMaxPrice", -1)
		arm.Child(properties, "nodeLabels")[spotLabel] = "spot"
		if !slices.Contains(p.Taints, spotTaint) {
			taints, _ := properties["nodeTaints"].([]any)
			properties["nodeTaints"] = append(taints, spotTaint)
		}
	}
	properties["powerState"] = arm.Object{"code": "Running"}
	properties["nodeImageVersion"] = "AKSUbuntu-2204gen2containerd-202509.23.0"
}
