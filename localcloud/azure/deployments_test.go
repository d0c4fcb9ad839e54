package azure_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

const (
	deploymentVersion = "?api-version=2022-09-01"
	deploymentID      = "resourceGroups/g/providers/Microsoft.Resources/deployments/d"
)

func template(resources ...m) m {
	return m{
		"$schema":        "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
		"contentVersion": "1.0.0.0", "resources": resources,
	}
}

func poolResource(name string, properties m) m {
	return m{
		"type":       "Microsoft.ContainerService/managedClusters/agentPools",
		"apiVersion": "2024-09-01",
		"name":       "aks/" + name,
		"properties": properties,
	}
}

func (f *fixture) deploy(template m) error {
	f.Helper()
	client, err := armresources.NewDeploymentsClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	poller, err := client.BeginCreateOrUpdate(
		f.Context(),
		"g",
		"d",
		armresources.Deployment{Properties: &armresources.DeploymentProperties{
			Mode: to.Ptr(armresources.DeploymentModeIncremental), Template: template,
		}},
		nil,
	)
	if err != nil {
		return err
	}
	_, err = poller.PollUntilDone(f.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Millisecond})
	return err
}

func TestDeployment_CreatesResourcesOfTemplate(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(func(p *armcontainerservice.ManagedClusterProperties) { p.KubernetesVersion = to.Ptr("1.33") })
	f.must(err)
	_, err = f.putCluster(func(p *armcontainerservice.ManagedClusterProperties) { p.KubernetesVersion = to.Ptr("1.34") })
	f.must(err)
	system := m{"mode": "System", "vmSize": "Standard_B2s", "orchestratorVersion": "1.34", "tags": m{"odd": "[[one]"}}
	f.must(f.deploy(template(poolResource("system", system), poolResource("apps", m{"vmSize": "Standard_B2s"}))))
	if got := f.versions(); got != "1.34.10 system 1.34.10 apps 1.34.10" {
		t.Errorf("the versions are %s", got)
	}
	if tags := f.get(path(aksID) + "/agentPools/system" + aksVersion)["tags"].(m); tags["odd"] != "[one]" {
		t.Errorf("the tags are %v", tags)
	}
	f.must(f.deploy(template(poolResource("system", system))))
	deployment := f.get(path(deploymentID) + deploymentVersion)
	if deployment["provisioningState"] != "Succeeded" || deployment["template"] != nil {
		t.Errorf("the deployment is %v", deployment)
	}
	if status, code := f.call(http.MethodDelete, path(deploymentID)+deploymentVersion,
		nil); status != http.StatusAccepted {
		t.Errorf("deleting it: %d %s", status, code)
	}
	f.must(f.cloud.Settle(t.Context()))
	if status, _ := f.call(http.MethodGet, path(deploymentID)+deploymentVersion, nil); status != http.StatusNotFound {
		t.Errorf("it is still there: %d", status)
	}
	if got := f.poolNames(); got != "system apps" {
		t.Errorf("got pools %s", got)
	}
}

func TestDeployment_FailsWithErrorsOfResources(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	err = f.deploy(template(poolResource("apps", m{"vmSize": "Standard_B2s", "orchestratorVersion": "1.35"})))
	if err == nil || !strings.Contains(err.Error(), "DeploymentFailed") ||
		!strings.Contains(err.Error(), "NodePoolMcVersionIncompatible") {
		t.Errorf("invalid pool: %v", err)
	}
	for _, given := range []m{
		template(poolResource("apps", m{"vmSize": "[parameters('size')]"})),
		template(m{"type": "x", "apiVersion": "x", "name": "x", "condition": false}),
		{"$schema": "x", "contentVersion": "x", "resources": []m{}, "parameters": m{"size": m{"type": "string"}}},
	} {
		f.refused(f.deploy(given), http.StatusNotImplemented, "NotImplemented")
	}
	f.refused(f.deploy(m{"resources": []m{}}), http.StatusBadRequest, "InvalidTemplate")
	if got := f.poolNames(); got != "system" {
		t.Errorf("the cluster has %s", got)
	}
}

func TestDeployment_FinishesAfterRestart(t *testing.T) {
	f := newFixture(t)
	f.slowPool = time.Hour
	f.stop()
	f.start()
	f.group("g")
	_, err := f.putCluster(nil)
	f.must(err)
	body := m{
		"properties": m{"mode": "Incremental", "template": template(poolResource("apps", m{"vmSize": "Standard_B2s"}))},
	}
	if status, code := f.call(http.MethodPut, path(deploymentID)+deploymentVersion, body); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	if status, code := f.call(http.MethodPut, path(deploymentID)+deploymentVersion, body); status != http.StatusConflict ||
		code != "DeploymentActive" {
		t.Errorf("another one: %d %s", status, code)
	}
	f.slowPool = 0
	f.stop()
	f.start()
	f.must(f.cloud.Settle(t.Context()))
	if got := f.poolNames(); got != "system apps" {
		t.Errorf("the cluster has %s", got)
	}
}

func TestRegistry_IsScopeOfRoles(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	at := path("resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/images")
	f.put(at+"?api-version=2023-07-01", m{"location": location, "sku": m{"name": "Basic"}})
	identity := f.identity("g", "nodes")
	_, err := f.assign(at, "7f951dda-4ed3-4680-a7ca-43fe172d538d", *identity.Properties.PrincipalID, nil)
	f.must(err)
	if status, code := f.call(http.MethodPut, at+"?api-version=2023-07-01", m{
		"location": location, "sku": m{"name": "Gold"},
	}); code != "InvalidParameter" {
		t.Errorf("an unknown sku: %d %s", status, code)
	}
}
