package tests

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// The Entra group and the roles that programs/clusters uses.
const (
	ownersGroup        = "7a6b9c8d-0000-4000-8000-00000000e5f6" // its only member is the subscription's owner
	networkContributor = "4d97b98b-1d4f-4787-a291-c67834d212e7"
	zoneContributor    = "b12aa53e-6015-4669-85d0-8515ebb3ae7f"
	encryptionUser     = "e147488a-f6f5-4113-8e2d-b22465e65bf6" // Key Vault Crypto Service Encryption User
	reader             = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
)

// wantPrivateClusters brings programs/clusters up in a platform team's network. The disks are encrypted with the
// stack's key.
func wantPrivateClusters(t *testing.T, c *cloud, first stackOutputs) {
	s := newSurroundings(t, c, first.VaultID+"/keys/my-key")
	p := newProgram(t, c, "tests/programs/clusters", map[string]string{
		"resourceGroupName": "platform", "diskEncryptionSetId": s.disks, "identityId": s.identity, "zoneId": s.zone,
		"routedSubnetId": s.network + "/subnets/routed", "translatedSubnetId": s.network + "/subnets/translated",
		"adminGroupId": ownersGroup, "tenantId": c.running(t).Credentials.TenantID,
	})
	p.up(t)
	p.pulumi(t, "preview", "--expect-no-changes")
	p.pulumi(t, "refresh", "--yes", "--skip-preview", "--expect-no-changes")
	made := p.clusters(t)
	routed, translated := made["routed"].Properties, made["translated"].Properties

	t.Run("properties", func(t *testing.T) {
		api, name := routed.APIServerAccessProfile, *routed.PrivateFQDN
		if !strings.HasPrefix(name, "platform-") || !strings.HasSuffix(name, ".privatelink.eastus.azmk8s.io") ||
			*api.PrivateDNSZone != "system" || *api.EnablePrivateClusterPublicFQDN || !*api.DisableRunCommand ||
			*routed.NodeResourceGroup != "routed-nodes" {
			t.Errorf("cluster routed has the name %s, node group %s and %+v", name, *routed.NodeResourceGroup, *api)
		}
		label, in, _ := strings.Cut(*translated.PrivateFQDN, ".")
		if !strings.HasPrefix(label, "translated-") || in != s.zoneName ||
			*translated.APIServerAccessProfile.PrivateDNSZone != s.zone {
			t.Errorf("cluster translated has the name %s, want translated-* in %s", *translated.PrivateFQDN, s.zoneName)
		}
		for name, cluster := range made {
			if cluster.Properties.Fqdn != nil || *cluster.Properties.DiskEncryptionSetID != s.disks {
				t.Errorf("cluster %s has a public name, or another disk encryption set than %s", name, s.disks)
			}
		}
		if network := routed.NetworkProfile; *network.OutboundType != "userDefinedRouting" ||
			*network.PodCidr != "172.16.0.0/16" || *network.ServiceCidr != "172.17.0.0/16" ||
			*network.DNSServiceIP != "172.17.0.53" {
			t.Errorf("cluster routed has the network %+v", *network)
		}
		if *translated.NetworkProfile.OutboundType != "userAssignedNATGateway" ||
			len(translated.AADProfile.AdminGroupObjectIDs) != 1 {
			t.Errorf("cluster translated is %+v", *translated)
		}
	})
	t.Run("reachable only inside the network", func(t *testing.T) {
		c.wantReachedInside(t, *made["routed"].ID, *routed.PrivateFQDN, *made["translated"].ID)
		c.wantReachedInside(t, *made["translated"].ID, *translated.PrivateFQDN, *made["routed"].ID)
	})
	t.Run("without a private DNS zone", func(t *testing.T) {
		p.configure(t, map[string]string{"routedZone": "none"})
		p.up(t)
		p.pulumi(t, "preview", "--expect-no-changes")
		after := p.clusters(t)["routed"]
		if after.Properties.PrivateFQDN != nil || after.Properties.Fqdn == nil || *after.ID != *made["routed"].ID {
			t.Fatalf("cluster %s has the private name %v and the public name %v, want the same cluster with a public name",
				*after.ID, after.Properties.PrivateFQDN, after.Properties.Fqdn)
		}
		c.wantReachedInside(t, *after.ID, *after.Properties.Fqdn, *made["translated"].ID)
	})
	p.pulumi(t, "destroy", "--yes", "--skip-preview", "--json")
	p.pulumi(t, "stack", "rm", "--yes")
}

// clusters returns the program's clusters as Azure returns them, and checks that each kubeconfig has the cluster's
// name.
func (p *program) clusters(t *testing.T) map[string]armcontainerservice.ManagedCluster {
	t.Helper()
	var outputs map[string]struct{ ID, Kubeconfig string }
	if err := json.Unmarshal([]byte(p.pulumi(t, "stack", "output", "--json", "--show-secrets")), &outputs); err != nil {
		t.Fatal(err)
	}
	owner, options, r := p.azure(t)
	clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]armcontainerservice.ManagedCluster{}
	for name, output := range outputs {
		got, err := clusters.Get(t.Context(), "platform", output.ID[strings.LastIndexByte(output.ID, '/')+1:], nil)
		if err != nil {
			t.Fatal(err)
		}
		host := got.Properties.PrivateFQDN
		if host == nil {
			host = got.Properties.Fqdn
		}
		if !strings.Contains(output.Kubeconfig, "https://"+*host+":443") {
			t.Errorf("the kubeconfig of cluster %s is not for the server %s", name, *host)
		}
		made[name] = got.ManagedCluster
	}
	return made
}

// wantReachedInside checks that the cluster's administrator reaches its API server from the node of another cluster,
// and not from this machine.
func (c *cloud) wantReachedInside(t *testing.T, id, host, neighbour string) {
	t.Helper()
	owner, options, r := c.azure(t)
	clusters, err := armcontainerservice.NewManagedClustersClient(r.Credentials.SubscriptionID, owner, armOptions(options))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := clusters.ListClusterAdminCredentials(t.Context(), "platform", id[strings.LastIndexByte(id, '/')+1:], nil)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				CA []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(admin.Kubeconfigs[0].Value, &config); err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(config.Users[0].User.Certificate, config.Users[0].User.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(config.Clusters[0].Cluster.CA)
	for _, from := range []struct {
		where, network, address string
		reaches                 bool
	}{{"outside", "tcp", r.Proxy, false}, {"inside", "unix", c.edgeOf(neighbour), true}} {
		transport := &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "edge"}),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, from.network, from.address)
			},
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}},
		}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/api/v1/namespaces", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if reached := err == nil && resp.StatusCode == http.StatusOK; reached != from.reaches {
			t.Errorf("request to %s from %s: reached: %t, want %t: %v", host, from.where, reached, from.reaches, err)
		}
	}
}

// edgeOf returns the socket through which a cluster's node reaches the proxy, as the local cloud names it.
func (c *cloud) edgeOf(cluster string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(cluster)))
	return filepath.Join(c.home, localcloudtest.ClustersDir, hex.EncodeToString(sum[:4]), "edge.sock")
}

// surroundings are the resources of a platform team: their ARM ids, and the name of the private DNS zone.
type surroundings struct {
	network, zone, zoneName, identity, disks string
}

func newSurroundings(t *testing.T, c *cloud, key string) *surroundings {
	t.Helper()
	const networkVersion = "2023-06-01"
	s := &surroundings{zoneName: "privatelink.eastus.azmk8s.io"}
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	group := subscription + "/resourceGroups/platform"
	networks := group + "/providers/Microsoft.Network/"
	put := func(id, version, body string) map[string]any {
		t.Helper()
		return c.arm(t, http.MethodPut, id, version, body)
	}
	put(group, "2022-09-01", `{"location": "eastus"}`)
	put(networks+"publicIPAddresses/out", networkVersion,
		`{"location": "eastus", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}`)
	put(networks+"natGateways/out", networkVersion, fmt.Sprintf(
		`{"location": "eastus", "sku": {"name": "Standard"},
			"properties": {"publicIpAddresses": [{"id": "%spublicIPAddresses/out"}]}}`,
		networks,
	))
	put(networks+"routeTables/out", networkVersion, `{"location": "eastus", "properties": {"routes": [
		{"name": "default", "properties": {
			"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.60.3.4"}}]}}`)
	s.network = networks + "virtualNetworks/platform"
	put(s.network, networkVersion, fmt.Sprintf(`{"location": "eastus", "properties": {
		"addressSpace": {"addressPrefixes": ["10.60.0.0/16"]}, "subnets": [
		{"name": "routed", "properties": {"addressPrefix": "10.60.1.0/24", "routeTable": {"id": "%srouteTables/out"}}},
		{"name": "translated", "properties": {
			"addressPrefix": "10.60.2.0/24", "natGateway": {"id": "%[1]snatGateways/out"}}}]}}`, networks))
	s.zone = networks + "privateDnsZones/" + s.zoneName
	put(s.zone, "2020-06-01", `{"location": "global"}`)

	s.disks = group + "/providers/Microsoft.Compute/diskEncryptionSets/disks"
	url, _ := c.arm(t, http.MethodGet, key, "2023-02-01", "")["properties"].(map[string]any)["keyUriWithVersion"].(string)
	set := put(s.disks, "2023-10-02", fmt.Sprintf(
		`{"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {"activeKey": {"keyUrl": %q}}}`, url))
	s.identity = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/platform"
	identity := put(s.identity, "2023-01-31", `{"location": "eastus"}`)
	user, _ := identity["properties"].(map[string]any)["principalId"].(string)
	keeper, _ := set["identity"].(map[string]any)["principalId"].(string)
	for _, grant := range []struct{ scope, role, principal string }{
		{s.network, networkContributor, user},
		{s.zone, zoneContributor, user},
		{s.disks, reader, user},
		{key, encryptionUser, keeper},
	} {
		c.role(t, grant.scope, grant.role, grant.principal)
	}
	return s
}
