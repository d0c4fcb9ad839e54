package arm

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The rules that AKS holds a cluster's body against (learn.microsoft.com/azure/aks).

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

// publicName says whether everybody is told the API server's address, which is Azure's default.
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

// check holds the properties against the rules that need nothing but them.
func (p clusterProperties) check() error {
	if p.DNSPrefix == "" {
		return invalidParameter("dnsPrefix", "it is required")
	}
	if err := p.checkPools(); err != nil {
		return err
	}
	for _, check := range []func() error{p.checkAccess, p.checkUpgrades, p.checkSecurity, p.checkAddons, p.Network.check} {
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
			return invalidParameter(parameter+"name", "two pools have the name %q", pool.Name)
		}
		names[pool.Name] = true
		system = system || pool.system()
	}
	if err := checkPoolTotals(p.Pools); err != nil {
		return err
	}
	if !system {
		return invalidParameter("agentPoolProfiles", "there has to be a pool of mode System with at least one node")
	}
	return nil
}

// checkAccess is who may come in, and from where.
func (p clusterProperties) checkAccess() error {
	if p.Entra != nil {
		switch {
		case !p.Entra.Managed && p.Entra.ClientAppID+p.Entra.ServerAppID+p.Entra.ServerSecret != "":
			return badRequest("AADLegacyNotSupported", "The legacy integration with Azure AD is retired: set aadProfile.managed.")
		case !p.Entra.Managed:
			return invalidParameter("aadProfile.managed", "it has to be true")
		case p.Entra.AzureRBAC && p.RBAC != nil && !*p.RBAC:
			return invalidParameter("aadProfile.enableAzureRBAC", "it needs enableRBAC")
		}
		for _, id := range p.Entra.AdminGroups {
			if !guid.MatchString(id) {
				return invalidParameter("aadProfile.adminGroupObjectIDs", "%q is no object id", id)
			}
		}
	}
	if p.DisableLocal && p.Entra == nil {
		return invalidParameter("disableLocalAccounts", "only clusters with aadProfile can do without local accounts")
	}
	return p.checkAPIServer()
}

func (p clusterProperties) checkAPIServer() error {
	const at = "apiServerAccessProfile."
	api := p.APIServer
	switch {
	case p.FQDNSubdomain != "":
		return notImplemented("subdomains of a private DNS zone")
	case api.Private && len(api.Ranges) > 0:
		return invalidParameter(at+"authorizedIPRanges", "a private cluster cannot have them")
	case !api.Private && api.PrivateZone != "":
		return invalidParameter(at+"privateDNSZone", "only a private cluster can have it")
	case !api.Private && api.PublicFQDN != nil:
		return invalidParameter(at+"enablePrivateClusterPublicFQDN", "only a private cluster can have it")
	case api.Private && strings.EqualFold(p.Network.LoadBalancer, "basic"):
		return badRequest("PrivateClusterNotSupportedWithBasicLoadBalancer", "A private cluster needs loadBalancerSku standard.")
	case api.Private && strings.EqualFold(api.PrivateZone, zoneNone) && !api.publicName():
		return invalidParameter(at+"enablePrivateClusterPublicFQDN", "without a private DNS zone there is no other name")
	case len(api.Ranges) > 200:
		return invalidParameter(at+"authorizedIPRanges", "%d ranges are more than 200", len(api.Ranges))
	}
	for _, given := range api.Ranges {
		if prefix, err := parseIPv4Range(given); err != nil || prefix.Addr().IsPrivate() {
			return invalidParameter(at+"authorizedIPRanges", "%q is no public IPv4 address or range", given)
		}
	}
	return nil
}

// parseIPv4Range reads an address, or a range in CIDR notation.
func parseIPv4Range(given string) (netip.Prefix, error) {
	if !strings.Contains(given, "/") {
		given += "/32"
	}
	prefix, err := netip.ParsePrefix(given)
	if err == nil && !prefix.Addr().Is4() {
		err = errors.New("not IPv4")
	}
	return prefix, err
}

func (p clusterProperties) checkUpgrades() error {
	cluster, nodes := strings.ToLower(p.Upgrades.Cluster), strings.ToLower(p.Upgrades.Nodes)
	switch {
	case !slices.Contains([]string{"", "none", "patch", "stable", "rapid", "node-image"}, cluster):
		return badNotOneOf("autoUpgradeProfile.upgradeChannel", p.Upgrades.Cluster, "none, patch, stable, rapid or node-image")
	case !slices.Contains([]string{"", "none", "unmanaged", "nodeimage", "securitypatch"}, nodes):
		return badNotOneOf("autoUpgradeProfile.nodeOSUpgradeChannel", p.Upgrades.Nodes, "None, Unmanaged, NodeImage or SecurityPatch")
	case cluster == "node-image" && nodes != "" && nodes != "nodeimage":
		return invalidParameter("autoUpgradeProfile.nodeOSUpgradeChannel", "with upgradeChannel node-image it has to be NodeImage")
	}
	return nil
}

func (p clusterProperties) checkSecurity() error {
	s := p.Security
	switch {
	case s.WorkloadIdentity.Enabled && !p.OIDC.Enabled:
		return invalidParameter("securityProfile.workloadIdentity", "it needs oidcIssuerProfile.enabled")
	case s.ImageCleaner.Hours != nil && (*s.ImageCleaner.Hours < 24 || *s.ImageCleaner.Hours > 2160):
		return invalidParameter("securityProfile.imageCleaner.intervalHours", "%d is not between 24 and 2160", *s.ImageCleaner.Hours)
	case s.Defender.Monitoring.Enabled && s.Defender.WorkspaceID == "":
		return invalidParameter("securityProfile.defender.logAnalyticsWorkspaceResourceId", "it is required")
	case s.KMS.Enabled:
		return notImplemented("the encryption of etcd with a key of a vault")
	}
	return nil
}

// workspaceSetting is the setting of the add-on omsagent that names its workspace.
const workspaceSetting = "logAnalyticsWorkspaceResourceID"

func (p clusterProperties) checkAddons() error {
	known := []string{"azurekeyvaultsecretsprovider", "azurepolicy", "omsagent"}
	elsewhere := []string{
		"httpapplicationrouting", "ingressapplicationgateway", "aciconnectorlinux", "kubedashboard", "openservicemesh", "gitops", "extensionmanager",
	}
	for name, addon := range p.Addons {
		switch {
		case slices.Contains(known, strings.ToLower(name)) || !addon.Enabled && slices.Contains(elsewhere, strings.ToLower(name)):
		case slices.Contains(elsewhere, strings.ToLower(name)):
			return notImplemented("the add-on %s", name)
		default:
			return invalidParameter("addonProfiles", "there is no add-on %q", name)
		}
		if strings.EqualFold(name, "omsagent") && addon.Enabled && addon.setting(workspaceSetting) == "" {
			return invalidParameter("addonProfiles.omsagent.config."+workspaceSetting, "it is required")
		}
	}
	return nil
}

func (n networkProfile) check() error {
	at := func(of string) string { return "networkProfile." + of }
	overlay := strings.EqualFold(n.PluginMode, "overlay")
	switch {
	case !slices.Contains([]string{"", "azure", "kubenet", "none"}, n.Plugin):
		return badNotOneOf(at("networkPlugin"), n.Plugin, "azure, kubenet or none")
	case n.PluginMode != "" && !overlay:
		return badNotOneOf(at("networkPluginMode"), n.PluginMode, "overlay")
	case overlay && n.Plugin != "azure":
		return invalidParameter(at("networkPluginMode"), "overlay needs networkPlugin azure")
	case !slices.Contains([]string{"", "azure", "calico", "cilium", "none"}, n.Policy):
		return badNotOneOf(at("networkPolicy"), n.Policy, "azure, calico, cilium or none")
	case !slices.Contains([]string{"", "azure", "cilium"}, n.Dataplane):
		return badNotOneOf(at("networkDataplane"), n.Dataplane, "azure or cilium")
	case n.Policy == "azure" && n.Plugin != "azure":
		return invalidParameter(at("networkPolicy"), "azure needs networkPlugin azure")
	case n.Policy == "cilium" && n.Dataplane != "cilium":
		return invalidParameter(at("networkPolicy"), "cilium needs networkDataplane cilium")
	case n.Dataplane == "cilium" && n.Plugin != "azure":
		return invalidParameter(at("networkDataplane"), "cilium needs networkPlugin azure")
	case n.Dataplane == "cilium" && n.Policy != "" && n.Policy != "cilium" && n.Policy != "none":
		return invalidParameter(at("networkPolicy"), "with networkDataplane cilium it is cilium or none")
	case n.LoadBalancer != "" && !strings.EqualFold(n.LoadBalancer, "standard") && !strings.EqualFold(n.LoadBalancer, "basic"):
		return badNotOneOf(at("loadBalancerSku"), n.LoadBalancer, "standard or basic")
	case n.Outbound != "" && !slices.Contains(outboundTypes, n.Outbound):
		return badNotOneOf(at("outboundType"), n.Outbound, "loadBalancer, managedNATGateway, userAssignedNATGateway, userDefinedRouting or none")
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
			return invalidParameter("networkProfile."+r.name, "%q is no range in CIDR notation", r.given)
		}
		if slices.ContainsFunc(reservedByAKS, prefix.Overlaps) {
			return invalidParameter("networkProfile."+r.name, "%s overlaps with a range that AKS reserves", prefix)
		}
		*r.into = prefix.Masked()
	}
	if pods.IsValid() && services.Overlaps(pods) {
		return badRequest("ServiceCidrOverlapPodCidr", "The service CIDR %s overlaps with the pod CIDR %s.", services, pods)
	}
	if n.DNS == "" {
		if n.ServiceCIDR != "" && services != netip.MustParsePrefix(defaultServiceCIDR) {
			return invalidParameter("networkProfile.dnsServiceIP", "serviceCidr needs it")
		}
		return nil
	}
	dns, err := netip.ParseAddr(n.DNS)
	if err != nil || !services.Contains(dns) || dns == services.Addr() || dns == services.Addr().Next() {
		return invalidParameter("networkProfile.dnsServiceIP", "%q is no address in %s after the first two", n.DNS, services)
	}
	return nil
}

const defaultServiceCIDR = "10.0.0.0/16"

func (n networkProfile) fill(properties object) {
	network := child(properties, "networkProfile")
	setDefault(network, "networkPlugin", "kubenet")
	if network["networkPlugin"] == "kubenet" || network["networkPluginMode"] != nil {
		setDefault(network, "podCidr", "10.244.0.0/16")
	}
	if n.Dataplane == "" && network["networkPlugin"] == "azure" {
		network["networkDataplane"] = "azure"
	}
	setDefault(network, "networkPolicy", "none")
	setDefault(network, "outboundType", balancedOutbound)
	n.fillOutbound(network)
	setDefault(network, "loadBalancerSku", "standard")
	setDefault(network, "serviceCidr", defaultServiceCIDR)
	setDefault(network, "dnsServiceIP", "10.0.0.10")
}

// checkSKU holds a cluster's tier against its support plan.
func (c *call) checkSKU(res object, p clusterProperties) error {
	sku := child(res, "sku")
	setDefault(sku, "name", "Base")
	setDefault(sku, "tier", "Free")
	tier := text(sku, "tier")
	switch {
	case text(sku, "name") != "Base":
		return notImplemented("clusters of the sku %s", text(sku, "name"))
	case !slices.Contains([]string{"Free", "Standard", "Premium"}, tier):
		return badNotOneOf("sku.tier", tier, "Free, Standard or Premium")
	case tier == "Free" && nodesOf(p.Pools) > maxFreeNodes:
		return invalidParameter("sku.tier", "Free is for up to %d nodes, not %d", maxFreeNodes, nodesOf(p.Pools))
	case (tier == "Premium") != (p.SupportPlan == "AKSLongTermSupport"):
		return invalidParameter("sku.tier", "Premium and supportPlan AKSLongTermSupport need each other")
	}
	return nil
}

// checkClusterRefs finds the resources that a cluster's body refers to.
func (c *call) checkClusterRefs(res object, p clusterProperties) error {
	if p.Entra != nil && p.Entra.TenantID != "" && !strings.EqualFold(p.Entra.TenantID, c.TenantID) {
		return invalidParameter("aadProfile.tenantID", "%q is not the subscription's tenant", p.Entra.TenantID)
	}
	workspaces := []string{p.Security.Defender.WorkspaceID}
	for name, addon := range p.Addons {
		if strings.EqualFold(name, "omsagent") && addon.Enabled {
			workspaces = append(workspaces, addon.setting(workspaceSetting))
		}
	}
	for _, id := range workspaces {
		if id != "" {
			if err := c.checkWorkspace(id); err != nil {
				return err
			}
		}
	}
	if tags, _ := res["tags"].(object); p.APIServer.Private && (p.APIServer.PrivateZone == "" || p.APIServer.PrivateZone == "system") {
		if err := checkTags(tags, maxZoneTags); err != nil { // the zone that AKS makes has them too
			return err
		}
	}
	if err := c.checkClusterIdentity(res); err != nil {
		return err
	}
	if err := c.checkEncryptionSet(res, p.DiskEncryptionSetID); err != nil {
		return err
	}
	if err := c.checkPoolSubnets(res, p.Pools); err != nil {
		return err
	}
	if err := c.checkOutbound(p.Network.Outbound, p.Pools); err != nil {
		return err
	}
	if err := c.checkOwnAddresses(res, p.Network); err != nil {
		return err
	}
	return c.checkClusterZone(res, p)
}

// checkClusterIdentity finds the identity that a cluster is to have, and shows who it is.
func (c *call) checkClusterIdentity(res object) error {
	identity := child(res, "identity")
	given, _ := identity["userAssignedIdentities"].(object)
	switch text(identity, "type") {
	case "", "None", "SystemAssigned":
		if len(given) > 0 {
			return invalidParameter("identity.userAssignedIdentities", "they need type UserAssigned")
		}
		return nil
	case "UserAssigned":
	default:
		return badNotOneOf("identity.type", text(identity, "type"), "SystemAssigned, UserAssigned or None")
	}
	if len(given) != 1 {
		return invalidParameter("identity.userAssignedIdentities", "there has to be one, not %d", len(given))
	}
	for id := range given {
		uai, ok, err := load(c.tx, id)
		if err != nil {
			return err
		}
		if !ok || !strings.EqualFold(text(uai, "type"), identitiesType) {
			return badRequest("FailedIdentityOperation", "Identity operation for resource '%s' failed with error 'Failed to perform resource "+
				"identity operation. Status: 'BadRequest'. Response: the identity '%s' was not found.'", c.path, id)
		}
		if err := c.checkLinked("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", id); err != nil {
			return err
		}
		given[id] = object{"clientId": child(uai, "properties")["clientId"], "principalId": child(uai, "properties")["principalId"]}
	}
	return nil
}

// checkClusterMay asks whether a cluster's own identity may do something at what the cluster refers to, such as to put
// nodes into a subnet. A system-assigned one cannot yet: AKS then acts for the caller.
func (c *call) checkClusterMay(cluster object, permission, scope string) error {
	identities, _ := child(cluster, "identity")["userAssignedIdentities"].(object)
	for _, identity := range identities {
		identity, _ := identity.(object)
		if err := c.checkLinkedOf(text(identity, "clientId"), text(identity, "principalId"), permission, scope); err != nil {
			return err
		}
	}
	return nil
}
