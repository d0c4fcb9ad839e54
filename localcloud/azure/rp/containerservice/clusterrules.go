package containerservice

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/managedidentity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/network"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/operationalinsights"
)

// AKS's rules for the body of a cluster (learn.microsoft.com/azure/aks).

type entraProfile struct {
	Managed      bool     `json:"managed"`
	AzureRBAC    bool     `json:"enableAzureRBAC"`
	AdminGroups  []string `json:"adminGroupObjectIDs"`
	TenantID     string   `json:"tenantID"`
	ClientAppID  string   `json:"clientAppID"`
	ServerAppID  string   `json:"serverAppID"`
	ServerSecret string   `json:"serverAppSecret"`
}

type apiServerProfile struct {
	Ranges      []string `json:"authorizedIPRanges"`
	Private     bool     `json:"enablePrivateCluster"`
	PrivateZone string   `json:"privateDNSZone"`
	PublicFQDN  *bool    `json:"enablePrivateClusterPublicFQDN"`
}

// publicName reports whether the API server has a public name, which is Azure's default.
func (a apiServerProfile) publicName() bool { return a.PublicFQDN == nil || *a.PublicFQDN }

type upgradeProfile struct {
	Cluster string `json:"upgradeChannel"`
	Nodes   string `json:"nodeOSUpgradeChannel"`
}

type securityProfile struct {
	WorkloadIdentity struct {
		Enabled bool `json:"enabled"`
	} `json:"workloadIdentity"`
	ImageCleaner struct {
		Enabled bool `json:"enabled"`
		Hours   *int `json:"intervalHours"`
	} `json:"imageCleaner"`
	Defender struct {
		WorkspaceID string `json:"logAnalyticsWorkspaceResourceId"`
		Monitoring  struct {
			Enabled bool `json:"enabled"`
		} `json:"securityMonitoring"`
	} `json:"defender"`
	KMS struct {
		Enabled bool `json:"enabled"`
	} `json:"azureKeyVaultKms"`
}

type networkProfile struct {
	Plugin       string          `json:"networkPlugin"`
	PluginMode   string          `json:"networkPluginMode"`
	Policy       string          `json:"networkPolicy"`
	Dataplane    string          `json:"networkDataplane"`
	Outbound     string          `json:"outboundType"`
	LoadBalancer string          `json:"loadBalancerSku"`
	PodCIDR      string          `json:"podCidr"`
	ServiceCIDR  string          `json:"serviceCidr"`
	DNS          string          `json:"dnsServiceIP"`
	Balancer     balancerProfile `json:"loadBalancerProfile"`
	NAT          natProfile      `json:"natGatewayProfile"`
}

// check checks the rules that depend only on the properties.
func (p clusterProperties) check() error {
	if p.DNSPrefix == "" {
		return arm.InvalidParameter("dnsPrefix", "it is required")
	}
	if err := p.checkPools(); err != nil {
		return err
	}
	for _, check := range []func() error{
		p.checkAccess, p.checkUpgrades, p.checkSecurity, p.checkAddons, p.Network.check,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	_, err := p.secretsProvider().pollInterval()
	return err
}

func (p clusterProperties) checkPools() error {
	system := false
	names := map[string]bool{}
	for i, pool := range p.Pools {
		parameter := fmt.Sprintf("agentPoolProfiles[%d].", i)
		if err := pool.check(parameter, pool.Name); err != nil {
			return err
		}
		if names[pool.Name] {
			return arm.InvalidParameter(parameter+"name", "two pools have the name %q", pool.Name)
		}
		names[pool.Name] = true
		system = system || pool.system()
	}
	if err := checkPoolTotals(p.Pools); err != nil {
		return err
	}
	if !system {
		return arm.InvalidParameter("agentPoolProfiles", "there must be a pool of mode System with at least one node")
	}
	return nil
}

// checkAccess checks who has access to the cluster, and from where.
func (p clusterProperties) checkAccess() error {
	if p.Entra != nil {
		switch {
		case !p.Entra.Managed && p.Entra.ClientAppID+p.Entra.ServerAppID+p.Entra.ServerSecret != "":
			return arm.BadRequest("AADLegacyNotSupported",
				"The legacy integration with Azure AD is retired: set aadProfile.managed.")
		case !p.Entra.Managed:
			return arm.InvalidParameter("aadProfile.managed", "it must be true")
		case p.Entra.AzureRBAC && p.RBAC != nil && !*p.RBAC:
			return arm.InvalidParameter("aadProfile.enableAzureRBAC", "it needs enableRBAC")
		}
		for _, id := range p.Entra.AdminGroups {
			if !authorization.GUID.MatchString(id) {
				return arm.InvalidParameter("aadProfile.adminGroupObjectIDs", "%q is not an object id", id)
			}
		}
	}
	if p.DisableLocal && p.Entra == nil {
		return arm.InvalidParameter("disableLocalAccounts", "it needs aadProfile")
	}
	return p.checkAPIServer()
}

func (p clusterProperties) checkAPIServer() error {
	const at = "apiServerAccessProfile."
	api := p.APIServer
	switch {
	case p.FQDNSubdomain != "":
		return arm.NotImplemented("subdomains of a private DNS zone")
	case api.Private && len(api.Ranges) > 0:
		return arm.InvalidParameter(at+"authorizedIPRanges", "a private cluster cannot have them")
	case !api.Private && api.PrivateZone != "":
		return arm.InvalidParameter(at+"privateDNSZone", "only a private cluster can have it")
	case !api.Private && api.PublicFQDN != nil:
		return arm.InvalidParameter(at+"enablePrivateClusterPublicFQDN", "only a private cluster can have it")
	case api.Private && fold.Equal(p.Network.LoadBalancer, "basic"):
		return arm.BadRequest("PrivateClusterNotSupportedWithBasicLoadBalancer",
			"A private cluster needs loadBalancerSku standard.")
	case api.Private && fold.Equal(api.PrivateZone, zoneNone) && !api.publicName():
		return arm.InvalidParameter(at+"enablePrivateClusterPublicFQDN",
			"it must be true without a private DNS zone, because the API server needs a name")
	case len(api.Ranges) > 200:
		return arm.InvalidParameter(at+"authorizedIPRanges", "%d ranges are more than 200", len(api.Ranges))
	}
	for _, given := range api.Ranges {
		if prefix, err := network.ParseIPv4Range(given); err != nil || prefix.Addr().IsPrivate() {
			return arm.InvalidParameter(at+"authorizedIPRanges", "%q is not a public IPv4 address or range", given)
		}
	}
	return nil
}

func (p clusterProperties) checkUpgrades() error {
	cluster, nodes := fold.Lower(p.Upgrades.Cluster), fold.Lower(p.Upgrades.Nodes)
	switch {
	case !slices.Contains([]string{"", "none", "patch", "stable", "rapid", "node-image"}, cluster):
		return arm.BadNotOneOf("autoUpgradeProfile.upgradeChannel", p.Upgrades.Cluster,
			"none, patch, stable, rapid or node-image")
	case !slices.Contains([]string{"", "none", "unmanaged", "nodeimage", "securitypatch"}, nodes):
		return arm.BadNotOneOf("autoUpgradeProfile.nodeOSUpgradeChannel", p.Upgrades.Nodes,
			"None, Unmanaged, NodeImage or SecurityPatch")
	case cluster == "node-image" && nodes != "" && nodes != "nodeimage":
		return arm.InvalidParameter("autoUpgradeProfile.nodeOSUpgradeChannel",
			"it must be NodeImage with upgradeChannel node-image")
	}
	return nil
}

func (p clusterProperties) checkSecurity() error {
	s := p.Security
	switch {
	case s.WorkloadIdentity.Enabled && !p.OIDC.Enabled:
		return arm.InvalidParameter("securityProfile.workloadIdentity", "it needs oidcIssuerProfile.enabled")
	case s.ImageCleaner.Hours != nil && (*s.ImageCleaner.Hours < 24 || *s.ImageCleaner.Hours > 2160):
		return arm.InvalidParameter("securityProfile.imageCleaner.intervalHours", "%d is not between 24 and 2160",
			*s.ImageCleaner.Hours)
	case s.Defender.Monitoring.Enabled && s.Defender.WorkspaceID == "":
		return arm.InvalidParameter("securityProfile.defender.logAnalyticsWorkspaceResourceId", "it is required")
	case s.KMS.Enabled:
		return arm.NotImplemented("the encryption of etcd with a key in a vault")
	}
	return nil
}

// workspaceSetting is the setting of the add-on omsagent with the id of its workspace.
const workspaceSetting = "logAnalyticsWorkspaceResourceID"

func (p clusterProperties) checkAddons() error {
	known := []string{"azurekeyvaultsecretsprovider", "azurepolicy", "omsagent"}
	unimplemented := []string{
		"httpapplicationrouting",
		"ingressapplicationgateway",
		"aciconnectorlinux",
		"kubedashboard",
		"openservicemesh",
		"gitops",
		"extensionmanager",
	}
	for name, addon := range p.Addons {
		switch {
		case slices.Contains(known, fold.Lower(name)):
		case slices.Contains(unimplemented, fold.Lower(name)):
			if addon.Enabled {
				return arm.NotImplemented("the add-on %s", name)
			}
		default:
			return arm.InvalidParameter("addonProfiles", "there is no add-on %q", name)
		}
		if fold.Equal(name, "omsagent") && addon.Enabled && addon.setting(workspaceSetting) == "" {
			return arm.InvalidParameter("addonProfiles.omsagent.config."+workspaceSetting, "it is required")
		}
	}
	return nil
}

func (n networkProfile) check() error {
	at := func(of string) string { return "networkProfile." + of }
	overlay := fold.Equal(n.PluginMode, "overlay")
	switch {
	case !slices.Contains([]string{"", "azure", "kubenet", "none"}, n.Plugin):
		return arm.BadNotOneOf(at("networkPlugin"), n.Plugin, "azure, kubenet or none")
	case n.PluginMode != "" && !overlay:
		return arm.BadNotOneOf(at("networkPluginMode"), n.PluginMode, "overlay")
	case overlay && n.Plugin != "azure":
		return arm.InvalidParameter(at("networkPluginMode"), "overlay needs networkPlugin azure")
	case !slices.Contains([]string{"", "azure", "calico", "cilium", "none"}, n.Policy):
		return arm.BadNotOneOf(at("networkPolicy"), n.Policy, "azure, calico, cilium or none")
	case !slices.Contains([]string{"", "azure", "cilium"}, n.Dataplane):
		return arm.BadNotOneOf(at("networkDataplane"), n.Dataplane, "azure or cilium")
	case n.Policy == "azure" && n.Plugin != "azure":
		return arm.InvalidParameter(at("networkPolicy"), "azure needs networkPlugin azure")
	case n.Policy == "cilium" && n.Dataplane != "cilium":
		return arm.InvalidParameter(at("networkPolicy"), "cilium needs networkDataplane cilium")
	case n.Dataplane == "cilium" && n.Plugin != "azure":
		return arm.InvalidParameter(at("networkDataplane"), "cilium needs networkPlugin azure")
	case n.Dataplane == "cilium" && n.Policy != "" && n.Policy != "cilium" && n.Policy != "none":
		return arm.InvalidParameter(at("networkPolicy"), "it must be cilium or none with networkDataplane cilium")
	case !slices.Contains([]string{"", "standard", "basic"}, fold.Lower(n.LoadBalancer)):
		return arm.BadNotOneOf(at("loadBalancerSku"), n.LoadBalancer, "standard or basic")
	case n.Outbound != "" && !slices.Contains(outboundTypes, n.Outbound):
		return arm.BadNotOneOf(at("outboundType"), n.Outbound,
			"loadBalancer, managedNATGateway, userAssignedNATGateway, userDefinedRouting or none")
	}
	if err := n.checkAddresses(); err != nil {
		return err
	}
	return n.checkRanges()
}

func (n networkProfile) checkRanges() error {
	services, pods := netip.MustParsePrefix(defaultServiceCIDR), netip.Prefix{}
	for _, r := range []struct {
		name, given string
		into        *netip.Prefix
	}{{"serviceCidr", n.ServiceCIDR, &services}, {"podCidr", n.PodCIDR, &pods}} {
		if r.given == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(r.given)
		if err != nil {
			return arm.InvalidParameter("networkProfile."+r.name, "%q is not a range in CIDR notation", r.given)
		}
		if slices.ContainsFunc(reservedByAKS, prefix.Overlaps) {
			return arm.InvalidParameter("networkProfile."+r.name, "%s overlaps with a range that AKS reserves", prefix)
		}
		*r.into = prefix.Masked()
	}
	if pods.IsValid() && services.Overlaps(pods) {
		return arm.BadRequest("ServiceCidrOverlapPodCidr", "The service CIDR %s overlaps with the pod CIDR %s.",
			services, pods)
	}
	if n.DNS == "" {
		if n.ServiceCIDR != "" && services != netip.MustParsePrefix(defaultServiceCIDR) {
			return arm.InvalidParameter("networkProfile.dnsServiceIP", "serviceCidr needs it")
		}
		return nil
	}
	dns, err := netip.ParseAddr(n.DNS)
	if err != nil || !services.Contains(dns) || dns == services.Addr() || dns == services.Addr().Next() {
		return arm.InvalidParameter("networkProfile.dnsServiceIP",
			"%q is not an address in %s other than the first two", n.DNS, services)
	}
	return nil
}

const defaultServiceCIDR = "10.0.0.0/16"

func (n networkProfile) fill(properties arm.Object) {
	network := arm.Child(properties, "networkProfile")
	arm.SetDefault(network, "networkPlugin", "kubenet")
	if network["networkPlugin"] == "kubenet" || network["networkPluginMode"] != nil {
		arm.SetDefault(network, "podCidr", "10.244.0.0/16")
	}
	if n.Dataplane == "" && network["networkPlugin"] == "azure" {
		network["networkDataplane"] = "azure"
	}
	arm.SetDefault(network, "networkPolicy", "none")
	arm.SetDefault(network, "outboundType", balancedOutbound)
	n.fillOutbound(network)
	arm.SetDefault(network, "loadBalancerSku", "standard")
	arm.SetDefault(network, "serviceCidr", defaultServiceCIDR)
	arm.SetDefault(network, "dnsServiceIP", "10.0.0.10")
}

// checkSKU sets defaults of the SKU and checks it against the nodes and the support plan.
func checkSKU(res arm.Object, p clusterProperties) error {
	sku := arm.Child(res, "sku")
	arm.SetDefault(sku, "name", "Base")
	arm.SetDefault(sku, "tier", "Free")
	tier := arm.Text(sku, "tier")
	switch {
	case arm.Text(sku, "name") != "Base":
		return arm.NotImplemented("clusters of the sku %s", arm.Text(sku, "name"))
	case !slices.Contains([]string{"Free", "Standard", "Premium"}, tier):
		return arm.BadNotOneOf("sku.tier", tier, "Free, Standard or Premium")
	case tier == "Free" && nodesOf(p.Pools) > maxFreeNodes:
		return arm.InvalidParameter("sku.tier", "Free allows at most %d nodes, not %d", maxFreeNodes, nodesOf(p.Pools))
	case (tier == "Premium") != (p.SupportPlan == "AKSLongTermSupport"):
		return arm.InvalidParameter("sku.tier", "Premium and supportPlan AKSLongTermSupport need each other")
	}
	return nil
}

// checkClusterRefs checks that the resources that a cluster refers to exist.
func checkClusterRefs(c *arm.Call, res arm.Object, p clusterProperties) error {
	if p.Entra != nil && p.Entra.TenantID != "" && !fold.Equal(p.Entra.TenantID, c.TenantID) {
		return arm.InvalidParameter("aadProfile.tenantID", "%q is not the subscription's tenant", p.Entra.TenantID)
	}
	workspaces := []string{p.Security.Defender.WorkspaceID}
	for name, addon := range p.Addons {
		if fold.Equal(name, "omsagent") && addon.Enabled {
			workspaces = append(workspaces, addon.setting(workspaceSetting))
		}
	}
	for _, id := range workspaces {
		if id != "" {
			if err := operationalinsights.CheckWorkspace(c, id); err != nil {
				return err
			}
		}
	}
	if p.APIServer.Private && (p.APIServer.PrivateZone == "" || p.APIServer.PrivateZone == zoneSystem) {
		tags, _ := res["tags"].(arm.Object)
		if err := arm.CheckTags(tags, network.MaxZoneTags); err != nil { // AKS copies the tags to the zone
			return err
		}
	}
	if err := checkClusterIdentity(c, res); err != nil {
		return err
	}
	if err := checkEncryptionSet(c, res, p.DiskEncryptionSetID); err != nil {
		return err
	}
	if err := checkPoolSubnets(c, res, p.Pools); err != nil {
		return err
	}
	if err := checkOutbound(c, p.Network.Outbound, p.Pools); err != nil {
		return err
	}
	if err := checkOwnAddresses(c, res, p.Network); err != nil {
		return err
	}
	return checkClusterZone(c, res, p)
}

// checkClusterIdentity checks the identity of a cluster, and adds the ids of a user-assigned one.
func checkClusterIdentity(c *arm.Call, res arm.Object) error {
	identity := arm.Child(res, "identity")
	given, _ := identity["userAssignedIdentities"].(arm.Object)
	switch arm.Text(identity, "type") {
	case "", "None", "SystemAssigned":
		if len(given) > 0 {
			return arm.InvalidParameter("identity.userAssignedIdentities", "it needs identity.type UserAssigned")
		}
		return nil
	case "UserAssigned":
	default:
		return arm.BadNotOneOf("identity.type", arm.Text(identity, "type"), "SystemAssigned, UserAssigned or None")
	}
	if len(given) != 1 {
		return arm.InvalidParameter("identity.userAssignedIdentities", "there must be one identity, not %d", len(given))
	}
	for id := range given {
		uai, ok, err := arm.Load(c.Tx, id)
		if err != nil {
			return err
		}
		if !ok || !fold.Equal(arm.Text(uai, "type"), managedidentity.IdentitiesType) {
			return arm.BadRequest("FailedIdentityOperation", "Identity operation for resource '%s' failed with error "+
				"'Failed to perform resource identity operation. Status: 'BadRequest'. Response: the identity '%s' was not "+
				"found.'", c.Path, id)
		}
		if err := c.CheckLinked("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", id); err != nil {
			return err
		}
		given[id] = arm.Object{
			"clientId":    arm.Child(uai, "properties")["clientId"],
			"principalId": arm.Child(uai, "properties")["principalId"],
		}
	}
	return nil
}

// checkClusterMay checks that the user-assigned identity of a cluster has a permission at a resource that the cluster
// refers to, such as a subnet. A system-assigned identity needs none, because it has no roles yet and AKS acts for the
// caller.
func checkClusterMay(c *arm.Call, cluster arm.Object, permission, scope string) error {
	identities, _ := arm.Child(cluster, "identity")["userAssignedIdentities"].(arm.Object)
	for _, identity := range identities {
		identity, _ := identity.(arm.Object)
		clientID, objectID := arm.Text(identity, "clientId"), arm.Text(identity, "principalId")
		if err := c.CheckLinkedOf(clientID, objectID, permission, scope); err != nil {
			return err
		}
	}
	return nil
}
