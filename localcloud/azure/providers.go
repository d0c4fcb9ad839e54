package azure

import (
	"net/http"
	"time"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/compute"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/containerregistry"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/containerservice"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/eventgrid"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/keyvault"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/managedidentity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/monitor"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/operationalinsights"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/resources"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/storage"
)

// providers returns the resource providers that Resource Manager serves.
func providers(
	clusters *containerservice.Service,
	federatedWriteTime time.Duration,
	webhooks *http.Client,
) []arm.Provider {
	return []arm.Provider{
		resources.Provider(), keyvault.Provider(), managedidentity.Provider(federatedWriteTime), authorization.Provider(),
		clusters.Provider(), network.Provider(), compute.Provider(), containerregistry.Provider(), monitor.Provider(),
		operationalinsights.Provider(), eventgrid.Provider(webhooks), storage.Provider(),
	}
}

// ParseTimes parses a profile of operation times: "instant", "azure", or "azure/" and a divisor of Azure's times.
func ParseTimes(profile string) (arm.Times, error) {
	var types []arm.Type
	for _, provider := range providers(containerservice.New(containerservice.Config{}), 0, nil) {
		types = append(types, provider.Types...)
	}
	return arm.ParseTimes(profile, types)
}
