// Package containerservice implements Microsoft.ContainerService: managed clusters, their node pools and maintenance
// configurations. An implementation of [Clusters] runs Kubernetes.
package containerservice

import (
	"net/http"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Config configures a Service.
type Config struct {
	Store    *store.Store
	Clusters Clusters
	// PoolTime is the duration of operations on node pools, which take minutes in Azure. Defaults to none.
	PoolTime time.Duration
}

// Service implements Microsoft.ContainerService.
type Service struct{ Config }

// New returns a new Service.
func New(config Config) *Service { return &Service{config} }

// Provider returns the provider Microsoft.ContainerService.
func (p *Service) Provider() arm.Provider {
	return arm.Provider{
		Elsewhere: []string{
			"Microsoft.ContainerService/managedClusters", "Microsoft.ContainerService/locations",
			"Microsoft.ContainerService/operations",
		},
		Resume: resume, Scopes: map[string]func(*store.Tx, arm.Target) (bool, error){
			clustersType + "/namespaces": namespaceExists,
		}, Types: []arm.Type{
			{
				Name: clustersType, Versions: clusterVersions, InvalidValue: "InvalidParameter",
				Valid: regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`),
				Rule:  "1 to 63 letters, digits, underscores and hyphens, with a letter or digit first and last",
				Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
				Put: putCluster, PutModel: func() any { return new(armcontainerservice.ManagedCluster) },
				Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(armcontainerservice.TagsObject) },
				Delete: deleteCluster, Public: true,
				Ignored: []string{"properties.networkProfile.dockerBridgeCidr"}, // nodes no longer have Docker
				Finish:  p.startCluster, Remove: p.removeCluster, Poll: pollOperation, Uses: usedByCluster,
				LogCategories: logCategories,
				// Creation takes more than 3m10s in github.com/Azure/terraform-azurerm-aks/pull/74 and "a few minutes" in
				// learn.microsoft.com/azure/aks/learn/quick-kubernetes-deploy-cli. Updates and deletions take minutes; there is
				// no measurement of them.
				Times: map[string]time.Duration{arm.Creating: 5 * time.Minute, arm.Updating: 2 * time.Minute,
					arm.Deleting: 4 * time.Minute},
				Actions: []arm.Action{
					{Name: "listClusterUserCredential", ReadOnly: true, Do: p.userCredential},
					{Name: "listClusterAdminCredential", ReadOnly: true, Do: p.adminCredential},
				},
			},
			{
				Name: poolsType, Versions: clusterVersions, InvalidValue: "InvalidParameter",
				Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
				Put: putPool, PutModel: func() any { return new(armcontainerservice.AgentPool) },
				Delete: deletePool,
				Finish: p.settlePool, Remove: p.removePool, Ended: poolEnded, Poll: pollOperation, Uses: usedByPool,
				// There is no measurement of pools without their machines, which start within minutes.
				Times: map[string]time.Duration{arm.Creating: 3 * time.Minute, arm.Updating: time.Minute,
					arm.Deleting: 2 * time.Minute},
			},
			{
				Name: maintenanceType, Versions: clusterVersions, InvalidValue: "InvalidParameter",
				Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored,
				Put: putMaintenance, PutModel: func() any { return new(armcontainerservice.MaintenanceConfiguration) },
				Delete: (*arm.Call).DeleteStored,
			},
			{
				Name:     "Microsoft.ContainerService/locations/operations",
				Versions: append(specs.Versions(clustersType), clusterVersions...),
				Place:    arm.InSubscription,
				Get:      (*arm.Call).GetOperation,
			},
		}}
}

var clusterVersions = []string{
	"2024-07-01", "2024-08-01", "2024-09-01", "2024-10-01", "2025-01-01", "2025-02-01",
}

// pollOperation returns the headers with which clients poll an operation.
func pollOperation(s *arm.Service, op arm.Operation) http.Header {
	locations := "/subscriptions/" + s.SubscriptionID + "/providers/Microsoft.ContainerService/locations/"
	return arm.Polling("Azure-AsyncOperation",
		"https://"+arm.Host+locations+op.Location+"/operations/"+op.ID+"?api-version=2024-09-01")
}

// namespaceExists reports whether roles can be assigned at a namespace of a cluster. Resource Manager does not know the
// namespaces of a cluster, so it only checks the cluster.
func namespaceExists(tx *store.Tx, at arm.Target) (bool, error) {
	_, ok, err := arm.Load(tx, at.Top())
	return ok, err
}

// resume restarts clusters after a restart of the local cloud. It also retries failed clusters, because the cause may
// have been this machine. It migrates clusters from older local clouds.
func resume(s *arm.Service, tx *store.Tx, underWay func(id string) bool) error {
	clusters, err := arm.Under(tx, "/subscriptions", clustersType)
	if err != nil {
		return err
	}
	for _, cluster := range clusters {
		if err := adoptPools(tx, cluster); err != nil {
			return err
		}
		if err := adoptNodeGroup(s, tx, cluster); err != nil {
			return err
		}
		if id := arm.Text(cluster, "id"); !underWay(id) {
			s.Rerun(id)
		}
	}
	return nil
}

// usedByCluster returns the disk encryption set and the outbound public addresses of a cluster.
func usedByCluster(res arm.Object) []string {
	var p clusterProperties
	if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
		return nil // putCluster has decoded it
	}
	used := []string{p.DiskEncryptionSetID}
	for _, address := range p.Network.outboundAddresses() {
		used = append(used, address.ID)
	}
	return used
}

// usedByPool returns the subnets of a pool.
func usedByPool(res arm.Object) []string {
	properties := arm.Child(res, "properties")
	return []string{arm.Text(properties, "vnetSubnetID"), arm.Text(properties, "podSubnetID")}
}

// logCategories lists the log categories of clusters (learn.microsoft.com/azure/azure-monitor/reference/logs-index).
var logCategories = []string{
	"kube-apiserver", "kube-audit", "kube-audit-admin", "kube-controller-manager", "kube-scheduler", "cluster-autoscaler",
	"cloud-controller-manager", "guard", "csi-azuredisk-controller", "csi-azurefile-controller", "csi-snapshot-controller",
	"fleet-member-agent", "fleet-member-net-controller-manager", "fleet-mcs-controller-manager", "karpenter-events",
}
