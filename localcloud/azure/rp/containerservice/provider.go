// Package containerservice is Microsoft.ContainerService: managed clusters, their node pools and maintenance. It asks
// who implements [Clusters] to run Kubernetes.
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

// Config is what Microsoft.ContainerService stands on.
type Config struct {
	Store    *store.Store
	Clusters Clusters
	// PoolTime is how long an operation on a node pool takes; Azure takes minutes.
	PoolTime time.Duration
}

// Service is Microsoft.ContainerService.
type Service struct{ Config }

// New returns the service.
func New(config Config) *Service { return &Service{config} }

// Provider returns what Resource Manager needs to know of the service.
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
				Rule:  "1 to 63 letters, digits, underscores and hyphens, and a letter or digit first and last",
				Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
				Put: putCluster, PutModel: func() any { return new(armcontainerservice.ManagedCluster) },
				Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(armcontainerservice.TagsObject) },
				Delete: deleteCluster, Public: true,
				Ignored: []string{"properties.networkProfile.dockerBridgeCidr"}, // of Docker, which nodes no longer have
				Finish:  p.startCluster, Remove: p.removeCluster, Poll: pollOperation, Uses: usedByCluster,
				LogCategories: logCategories,
				// More than 3m10s: github.com/Azure/terraform-azurerm-aks/pull/74.
				// learn.microsoft.com/azure/aks/learn/quick-kubernetes-deploy-cli says "a few minutes". Updates and deletion: no
				// measurement; clusters are seen to take minutes for both.
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
				// No measurement that tells a pool from its machines, which come up in minutes.
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

var (
	clusterVersions = []string{
		"2024-07-01", "2024-08-01", "2024-09-01", "2024-10-01", "2025-01-01", "2025-02-01",
	}
)

// pollOperation is where clients are told to ask for an operation.
func pollOperation(s *arm.Service, op arm.Operation) http.Header {
	return arm.Polling(
		"Azure-AsyncOperation",
		"https://"+arm.Host+"/subscriptions/"+s.SubscriptionID+"/providers/Microsoft.ContainerService/locations/"+
			op.Location+"/operations/"+op.ID+"?api-version=2024-09-01",
	)
}

// namespaceExists reports whether roles can be assigned at a namespace of a cluster. What is in a cluster is unknown to
// Resource Manager.
func namespaceExists(tx *store.Tx, at arm.Target) (bool, error) {
	_, ok, err := arm.Load(tx, at.Top())
	return ok, err
}

// resume starts the clusters that ran again, and makes of those that older local clouds wrote what is kept of them now.
// One that Failed is given another try, as what kept it from starting may have been the machine.
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

// usedByCluster returns what a cluster's disks and outbound connections need.
func usedByCluster(res arm.Object) []string {
	var p clusterProperties
	if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
		return nil // it was checked when it was written
	}
	used := []string{p.DiskEncryptionSetID}
	for _, address := range p.Network.outboundAddresses() {
		used = append(used, address.ID)
	}
	return used
}

// usedByPool returns the subnets that a pool is in.
func usedByPool(res arm.Object) []string {
	properties := arm.Child(res, "properties")
	return []string{arm.Text(properties, "vnetSubnetID"), arm.Text(properties, "podSubnetID")}
}

// logCategories: learn.microsoft.com/azure/azure-monitor/reference/logs-index
var logCategories = []string{
	"kube-apiserver", "kube-audit", "kube-audit-admin", "kube-controller-manager", "kube-scheduler", "cluster-autoscaler",
	"cloud-controller-manager", "guard", "csi-azuredisk-controller", "csi-azurefile-controller", "csi-snapshot-controller",
	"fleet-member-agent", "fleet-member-net-controller-manager", "fleet-mcs-controller-manager", "karpenter-events",
}
