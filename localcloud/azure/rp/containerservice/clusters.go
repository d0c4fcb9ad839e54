package containerservice

import (
	"context"
	"crypto"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/oidcissuer"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/managedidentity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const clustersType = "Microsoft.ContainerService/managedClusters"

// Clusters runs Kubernetes behind Microsoft.ContainerService/managedClusters.
type Clusters interface {
	// Start brings the cluster to where it is ready. It is called when a cluster is created, when an update changes what
	// it is to be, and after a restart; a cluster that runs as spec says is left alone.
	Start(ctx context.Context, spec ClusterSpec) error
	// Delete stops a cluster and removes it. One that is not there is no error.
	Delete(ctx context.Context, id string) error
	// Kubeconfig is for clients outside the cluster: that of whoever signs in with Entra ID where spec says so, else the
	// administrator's.
	Kubeconfig(ctx context.Context, spec ClusterSpec) ([]byte, error)
	// PublicKeys are those of the cluster's service-account tokens, known from the moment that Start is called.
	PublicKeys(id string) ([]crypto.PublicKey, error)
}

// ClusterSpec is what a cluster is to be.
type ClusterSpec struct {
	ID        string // the ARM id
	Name      string
	Location  string
	FQDN      string // of the API server, in the kubeconfig
	AlsoFQDN  string // its public name, of a private one that has both; empty: none
	IssuerURL string // of the service-account tokens; it ends in a slash
	Version   string // of Kubernetes, as asked for; empty: the default
	PoolName  string // of the pool that its one node is of, the first system pool
	VMSize    string
	// Entra is the integration with Entra ID, AzureRBAC that Azure's roles count in the cluster, LocalAccounts that there
	// is a certificate of an administrator, and AdminGroups the object ids of administrators' groups, joined with commas.
	Entra         bool
	AzureRBAC     bool
	LocalAccounts bool
	AdminGroups   string
	// SecretsProvider is the Key Vault Secrets Provider add-on.
	SecretsProvider      bool
	Rotation             bool
	RotationPollInterval time.Duration
}

// clusterProperties are what the service acts on. Everything else is kept and shown.
type clusterProperties struct {
	DNSPrefix           string                   `json:"dnsPrefix"`
	FQDN                string                   `json:"fqdn"`
	PrivateFQDN         string                   `json:"privateFQDN"`
	FQDNSubdomain       string                   `json:"fqdnSubdomain"`
	PortalFQDN          string                   `json:"azurePortalFQDN"`
	KubernetesVersion   string                   `json:"kubernetesVersion"`
	SupportPlan         string                   `json:"supportPlan"`
	RBAC                *bool                    `json:"enableRBAC"`
	Entra               *entraProfile            `json:"aadProfile"`
	DisableLocal        bool                     `json:"disableLocalAccounts"`
	APIServer           apiServerProfile         `json:"apiServerAccessProfile"`
	Upgrades            upgradeProfile           `json:"autoUpgradeProfile"`
	NodeResourceGroup   string                   `json:"nodeResourceGroup"`
	DiskEncryptionSetID string                   `json:"diskEncryptionSetID"`
	Pools               []poolProperties         `json:"agentPoolProfiles"`
	Addons              map[string]addonProfile  `json:"addonProfiles"`
	Identities          map[string]shownIdentity `json:"identityProfile"`
	OIDC                struct {
		Enabled   bool   `json:"enabled"`
		IssuerURL string `json:"issuerURL"`
	} `json:"oidcIssuerProfile"`
	Security securityProfile `json:"securityProfile"`
	Network  networkProfile  `json:"networkProfile"`
}

type addonProfile struct {
	Enabled  bool              `json:"enabled"`
	Config   map[string]string `json:"config"`
	Identity shownIdentity     `json:"identity"`
}

// setting reads one of an add-on's; AKS compares their names without case.
func (a addonProfile) setting(name string) string {
	for key, value := range a.Config {
		if fold.Equal(key, name) {
			return value
		}
	}
	return ""
}

// secretsProvider finds the add-on; AKS compares its name without case.
func (p clusterProperties) secretsProvider() addonProfile {
	for name, addon := range p.Addons {
		if fold.Equal(name, "azureKeyvaultSecretsProvider") {
			return addon
		}
	}
	return addonProfile{}
}

// defaultPollInterval is the add-on's (learn.microsoft.com/azure/aks/csi-secrets-store-configuration-options).
const defaultPollInterval = 2 * time.Minute

func (a addonProfile) pollInterval() (time.Duration, error) {
	given := a.setting("rotationPollInterval")
	if given == "" {
		return defaultPollInterval, nil
	}
	interval, err := time.ParseDuration(given)
	if err != nil || interval <= 0 {
		return 0, arm.BadRequest("InvalidParameter", "The value of parameter "+
			"addonProfiles.azureKeyvaultSecretsProvider.config.rotationPollInterval is invalid: %q is not a duration such as "+
			"2m.", given)
	}
	return interval, nil
}

func putCluster(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(clustersType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	if old != nil {
		keepUnmentioned(arm.Child(old, "properties"), properties)
	}
	var given, before clusterProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	if old != nil {
		if err := clusterIsIdle(c, old); err != nil {
			return arm.Reply{}, err
		}
	}
	if err := given.check(); err != nil {
		return arm.Reply{}, err
	}
	if err := checkPrincipal(res); err != nil {
		return arm.Reply{}, err
	}
	doing := arm.Creating
	if old != nil {
		doing = arm.Updating
		if err := arm.Decode(arm.Child(old, "properties"), &before); err != nil {
			return arm.Reply{}, err
		}
		if err := checkClusterChange(given, before); err != nil {
			return arm.Reply{}, err
		}
	}
	versions, err := poolVersions(c)
	if err != nil {
		return arm.Reply{}, err
	}
	if old != nil {
		if err := given.checkPoolNames(versions); err != nil {
			return arm.Reply{}, err
		}
	}
	if err := given.checkPoolVersions(versions); err != nil {
		return arm.Reply{}, err
	}
	if err := checkSKU(res, given); err != nil {
		return arm.Reply{}, err
	}
	if err := checkClusterRefs(c, res, given); err != nil {
		return arm.Reply{}, err
	}
	if err := fillCluster(c, old, res, given, before); err != nil {
		return arm.Reply{}, err
	}
	arm.SetState(res, doing)
	answer, err := c.Written(old, res)
	if err != nil {
		return arm.Reply{}, err
	}
	if err := writePools(c, res); err != nil {
		return arm.Reply{}, err
	}
	if err := linkZone(c.Tx, res); err != nil {
		return arm.Reply{}, err
	}
	if answer.Body, _, err = arm.Load(c.Tx, arm.Text(res, "id")); err != nil {
		return arm.Reply{}, err
	}
	return c.Start(answer, res, doing)
}

// managedPrincipal is the client id of the service principal that AKS shows of a cluster with a managed identity.
const managedPrincipal = "msi"

// checkPrincipal refuses a cluster with neither a managed identity nor a service principal
// (github.com/Azure/AKS/issues/4528 has AKS's answer).
func checkPrincipal(res arm.Object) error {
	if kind := arm.Text(arm.Child(res, "identity"), "type"); kind != "" && !fold.Equal(kind, "None") {
		return nil
	}
	principal, ok := arm.Child(res, "properties")["servicePrincipalProfile"].(arm.Object)
	switch {
	case !ok:
		return arm.BadRequest("InvalidParameter", "Required parameter servicePrincipalProfile is missing (null).")
	case fold.Equal(arm.Text(principal, "clientId"), managedPrincipal):
		return arm.InvalidParameter("servicePrincipalProfile.clientId", "msi needs a managed identity")
	}
	return nil
}

// keepUnmentioned keeps what AKS keeps as it was where a body does not mention it: add-ons, whose names it compares
// without case, what looks after the nodes, the group of the nodes and the key of their disks, what restricts the API
// server, what enforces network policies, and the way out.
func keepUnmentioned(old, properties arm.Object) {
	addons := arm.Child(properties, "addonProfiles")
	for name, addon := range arm.Child(old, "addonProfiles") {
		mentioned := slices.ContainsFunc(slices.Collect(maps.Keys(addons)), func(given string) bool {
			return fold.Equal(given, name)
		})
		if addon, ok := addon.(arm.Object); ok && !mentioned {
			addons[name] = arm.Clone(addon)
		}
	}
	for _, of := range []struct{ profile, property string }{
		{"securityProfile", "defender"}, {"securityProfile", "imageCleaner"}, {"autoUpgradeProfile", "upgradeChannel"},
		{"autoUpgradeProfile", "nodeOSUpgradeChannel"}, {"apiServerAccessProfile", "authorizedIPRanges"},
		{"apiServerAccessProfile", "disableRunCommand"}, {"apiServerAccessProfile", "enablePrivateCluster"},
		{"apiServerAccessProfile", "privateDNSZone"}, {"apiServerAccessProfile", "enablePrivateClusterPublicFQDN"},
		{"networkProfile", "outboundType"}, {"networkProfile", "networkPolicy"}, {"networkProfile", "networkDataplane"},
	} {
		if had := arm.Child(old, of.profile)[of.property]; had != nil {
			arm.SetDefault(arm.Child(properties, of.profile), of.property, had)
		}
	}
	keepOutbound(arm.Child(old, "networkProfile"), arm.Child(properties, "networkProfile"))
	for _, property := range []string{"nodeResourceGroup", "diskEncryptionSetID"} {
		if had := old[property]; had != nil {
			arm.SetDefault(properties, property, had)
		}
	}
}

// poolVersions are those of the pools that a cluster has, by their names.
func poolVersions(c *arm.Call) (map[string]string, error) {
	pools, err := arm.Under(c.Tx, c.Path, poolsType)
	versions := map[string]string{}
	for _, pool := range pools {
		versions[arm.Text(pool, "name")] = arm.Text(arm.Child(pool, "properties"), "orchestratorVersion")
	}
	return versions, err
}

// writePools makes resources of the pools in a cluster's body. Those that it does not have stay.
func writePools(c *arm.Call, cluster arm.Object) error {
	profiles, _ := arm.Child(cluster, "properties")["agentPoolProfiles"].([]any)
	for _, profile := range profiles {
		profile, _ := profile.(arm.Object)
		id := arm.Text(cluster, "id") + "/agentPools/" + arm.Text(profile, "name")
		old, _, err := arm.Load(c.Tx, id)
		if err != nil {
			return err
		}
		properties := arm.Clone(profile)
		delete(properties, "name")
		var given, before poolProperties
		if err := arm.Decode(properties, &given); err != nil {
			return err
		}
		var was arm.Object
		if old != nil {
			was = arm.Child(old, "properties")
			if err := arm.Decode(was, &before); err != nil {
				return err
			}
			if err := given.checkChange(before); err != nil {
				return err
			}
		}
		fillPool(was, properties, given)
		if err := fillPoolVersion(was, properties, arm.Child(cluster, "properties")); err != nil {
			return err
		}
		res := arm.Object{"id": id, "name": profile["name"], "type": poolsType, "properties": properties}
		arm.SetState(res, arm.Succeeded)
		if err := arm.Save(c.Tx, res); err != nil {
			return err
		}
	}
	return mirrorPools(c.Tx, arm.Text(cluster, "id"))
}

// checkClusterChange refuses what an update cannot do.
func checkClusterChange(given, before clusterProperties) error {
	switch {
	case given.DNSPrefix != before.DNSPrefix:
		return arm.BadRequest("PropertyChangeNotAllowed", "Changing property 'properties.dnsPrefix' is not allowed.")
	case given.NodeResourceGroup != "" && given.NodeResourceGroup != before.NodeResourceGroup:
		return arm.BadRequest("PropertyChangeNotAllowed", "Changing property 'properties.nodeResourceGroup' is not allowed.")
	case !fold.Equal(given.DiskEncryptionSetID, before.DiskEncryptionSetID):
		return arm.BadRequest("PropertyChangeNotAllowed", "Changing property 'properties.diskEncryptionSetID' is not "+
			"allowed.")
	case given.APIServer.Private != before.APIServer.Private:
		return arm.BadRequest("PropertyChangeNotAllowed", "Changing property "+
			"'properties.apiServerAccessProfile.enablePrivateCluster' is not allowed.")
	case !given.zoneMayFollow(before):
		return arm.BadRequest("PropertyChangeNotAllowed", "Changing property "+
			"'properties.apiServerAccessProfile.privateDNSZone' is not allowed, but to none.")
	case !given.outboundMayFollow(before):
		return arm.BadRequest("PropertyChangeNotAllowed", "Changing property 'properties.networkProfile.outboundType' from "+
			"%s to %s is not allowed.",
			before.Network.Outbound, given.Network.Outbound)
	case before.OIDC.Enabled && !given.OIDC.Enabled:
		return arm.BadRequest("OIDCIssuerFeatureCannotBeDisabled", "OIDC issuer feature cannot be disabled.")
	case before.Entra != nil && given.Entra == nil:
		return arm.BadRequest("PropertyChangeNotAllowed", "Changing property 'properties.aadProfile' is not allowed: the "+
			"integration with Microsoft Entra ID cannot be disabled.")
	}
	for _, property := range []struct{ name, was, is string }{
		{"networkPlugin", before.Network.Plugin, given.Network.Plugin}, {"serviceCidr", before.Network.ServiceCIDR, given.Network.ServiceCIDR},
		{"dnsServiceIP", before.Network.DNS, given.Network.DNS}, {"loadBalancerSku", before.Network.LoadBalancer, given.Network.LoadBalancer},
	} {
		if property.is != "" && property.was != "" && !fold.Equal(property.is, property.was) {
			return arm.BadRequest("PropertyChangeNotAllowed", "Changing property 'properties.networkProfile.%s' is not "+
				"allowed.", property.name)
		}
	}
	return nil
}

// fillCluster writes what Azure adds: names, the issuer, identities and defaults.
func fillCluster(c *arm.Call, old, res arm.Object, given, before clusterProperties) error {
	properties := arm.Child(res, "properties")
	location := arm.Text(res, "location")
	if old == nil {
		before.FQDN = given.DNSPrefix + "-" + uuid.NewString()[:8]
		before.OIDC.IssuerURL = oidcissuer.URL(location, c.TenantID, uuid.NewString())
	}
	pools, err := arm.Under(c.Tx, c.Path, poolsType)
	if err != nil {
		return err
	}
	had, _ := old["properties"].(arm.Object)
	if err := fillClusterVersion(had, properties, pools); err != nil {
		return err
	}
	given.fillNames(properties, before, location)
	issuer := arm.Child(properties, "oidcIssuerProfile")
	issuer["enabled"] = given.OIDC.Enabled
	if given.OIDC.Enabled {
		issuer["issuerURL"] = before.OIDC.IssuerURL
	}
	arm.SetDefault(properties, "nodeResourceGroup", "MC_"+c.Group+"_"+c.Name()+"_"+location)
	if err := checkNodeGroup(c, old, res, given); err != nil {
		return err
	}
	arm.SetDefault(properties, "enableRBAC", true)
	// As AKS has it of clusters with a managed identity; az reads on below it.
	arm.SetDefault(properties, "servicePrincipalProfile", arm.Object{"clientId": managedPrincipal})
	arm.SetDefault(properties, "maxAgentPools", 100)
	arm.SetDefault(properties, "supportPlan", "KubernetesOfficial")
	properties["powerState"] = arm.Object{"code": "Running"}
	given.Network.fill(properties)
	if given.Entra != nil {
		arm.SetDefault(arm.Child(properties, "aadProfile"), "tenantID", c.TenantID)
		arm.SetDefault(arm.Child(properties, "aadProfile"), "enableAzureRBAC", false)
	}
	arm.SetDefault(properties, "disableLocalAccounts", false)
	if err := fillNodeGroup(c.Service, c.Tx, res, before); err != nil {
		return err
	}
	return fillClusterIdentity(c, old, res)
}

// fillClusterIdentity gives a cluster an identity of its own where it is to have one; an update keeps it.
func fillClusterIdentity(c *arm.Call, old, res arm.Object) error {
	identity := arm.Child(res, "identity")
	if arm.Text(identity, "type") != "SystemAssigned" {
		return nil
	}
	if had, ok := old["identity"].(arm.Object); ok && arm.Text(had, "principalId") != "" {
		identity["principalId"], identity["tenantId"] = had["principalId"], c.TenantID
		return nil
	}
	app, err := managedidentity.NewPrincipal(c.Tx, c.Name())
	identity["principalId"], identity["tenantId"] = app.ObjectID, c.TenantID
	return err
}

// specOf is what a cluster's resource says that it is to be.
func specOf(res arm.Object) (ClusterSpec, clusterProperties, error) {
	var p clusterProperties
	if err := arm.Decode(arm.Child(res, "properties"), &p); err != nil {
		return ClusterSpec{}, p, err
	}
	addon := p.secretsProvider()
	interval, err := addon.pollInterval()
	if err != nil {
		return ClusterSpec{}, p, err
	}
	spec := ClusterSpec{
		ID:                   arm.Text(res, "id"),
		Name:                 arm.Text(res, "name"),
		Location:             arm.Text(res, "location"),
		FQDN:                 p.FQDN,
		IssuerURL:            p.OIDC.IssuerURL,
		Version:              p.KubernetesVersion,
		LocalAccounts:        !p.DisableLocal,
		SecretsProvider:      addon.Enabled,
		Rotation:             addon.setting("enableSecretRotation") == "true",
		RotationPollInterval: interval,
	}
	if p.PrivateFQDN != "" {
		spec.FQDN, spec.AlsoFQDN = p.PrivateFQDN, p.FQDN
	}
	if spec.IssuerURL == "" { // as AKS has it without the OIDC issuer: the tokens are of use in the cluster only
		spec.IssuerURL = "https://" + spec.FQDN + "/"
	}
	if p.Entra != nil {
		spec.Entra, spec.AzureRBAC, spec.AdminGroups = p.Entra.Managed, p.Entra.AzureRBAC, strings.Join(p.Entra.AdminGroups,
			",")
	}
	for _, pool := range p.Pools {
		if pool.system() && spec.PoolName == "" {
			spec.PoolName, spec.VMSize = pool.Name, pool.VMSize
		}
	}
	return spec, p, nil
}

// startCluster brings a cluster to where it is ready.
func (p *Service) startCluster(ctx context.Context, s *arm.Service, op arm.Operation) error {
	var res arm.Object
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		res, _, err = arm.Load(tx, op.Resource)
		return err
	}); err != nil || res == nil {
		return err
	}
	spec, _, err := specOf(res)
	if err != nil {
		return err
	}
	if err := s.Store.Update(func(tx *store.Tx) error { return spec.keepNode(tx) }); err != nil {
		return err
	}
	if err := p.Clusters.Start(ctx, spec); err != nil {
		return arm.Refuse(http.StatusInternalServerError, "CreateOrUpdateFailed", "%v", err)
	}
	return nil
}

// clusterNodes holds which pool the one node of each cluster is of, by the clusters' ids in lower case.
const clusterNodes = "clusterNodes"

type clusterNode struct{ PoolName, VMSize string }

// keepNode has a cluster keep the node that it was made with: the pools that come and go after it have none.
func (spec *ClusterSpec) keepNode(tx *store.Tx) error {
	id := fold.Lower(spec.ID)
	made, ok, err := store.Get[clusterNode](tx, clusterNodes, id)
	if err != nil {
		return err
	}
	if ok {
		spec.PoolName, spec.VMSize = made.PoolName, made.VMSize
		return nil
	}
	return store.Put(tx, clusterNodes, id, clusterNode{spec.PoolName, spec.VMSize})
}

func deleteCluster(c *arm.Call) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, c.Path)
	if err != nil || !ok {
		return arm.Reply{Status: http.StatusNoContent}, err
	}
	arm.SetState(res, arm.Deleting)
	if err := arm.Save(c.Tx, res); err != nil {
		return arm.Reply{}, err
	}
	return c.Start(arm.Reply{Status: http.StatusAccepted}, res, arm.Deleting)
}

// removeCluster ends a cluster and what AKS has made for it.
func (p *Service) removeCluster(ctx context.Context, s *arm.Service, op arm.Operation) error {
	id := op.Resource
	if err := p.Clusters.Delete(ctx, id); err != nil {
		return err
	}
	var cluster arm.Object
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		cluster, _, err = arm.Load(tx, id)
		return err
	}); err != nil || cluster == nil {
		return err
	}
	if err := removeNodeGroup(ctx, s, cluster); err != nil {
		return err
	}
	return s.Store.Update(func(tx *store.Tx) error {
		if err := unlinkZone(s, tx, cluster); err != nil {
			return err
		}
		if err := store.Delete(tx, clusterNodes, fold.Lower(id)); err != nil {
			return err
		}
		return s.Destroy(tx, cluster)
	})
}

// credential answers with a kubeconfig. The one of an administrator is not to be had without local accounts.
func (p *Service) credential(c *arm.Call, name string) (arm.Reply, error) {
	res, ok, err := arm.Load(c.Tx, arm.Cut(c.Path, 1)) // without the action
	if err != nil {
		return arm.Reply{}, err
	}
	if !ok {
		return arm.Reply{}, c.NotFound()
	}
	spec, properties, err := specOf(res)
	if err != nil {
		return arm.Reply{}, err
	}
	if name == "clusterAdmin" {
		if properties.DisableLocal {
			return arm.Reply{}, arm.BadRequest("BadRequest", "Getting static credential is not allowed because this cluster is "+
				"set to disable local accounts.")
		}
		spec.Entra = false // the administrator signs in with a certificate
	}
	if c.Query.Get("server-fqdn") == "public" && spec.AlsoFQDN != "" {
		spec.FQDN = spec.AlsoFQDN
	}
	config, err := p.Clusters.Kubeconfig(c.Context(), spec)
	if err != nil {
		return arm.Reply{}, err
	}
	return arm.Reply{
		Body: arm.Object{"kubeconfigs": []arm.Object{{"name": name, "value": base64.StdEncoding.EncodeToString(config)}}},
	}, nil
}

func (p *Service) userCredential(c *arm.Call) (arm.Reply, error) {
	return p.credential(c, "clusterUser")
}
func (p *Service) adminCredential(c *arm.Call) (arm.Reply, error) {
	return p.credential(c, "clusterAdmin")
}

// IssuerKeys are those of the cluster with an issuer URL, or none where there is no such cluster.
func (p *Service) IssuerKeys(issuer string) ([]crypto.PublicKey, error) {
	var id string
	err := p.Store.View(func(tx *store.Tx) error {
		clusters, err := arm.Under(tx, "/subscriptions", clustersType)
		for _, res := range clusters {
			if spec, _, err := specOf(res); err == nil && spec.IssuerURL == issuer {
				id = spec.ID
			}
		}
		return err
	})
	if err != nil || id == "" {
		return nil, err
	}
	return p.Clusters.PublicKeys(id)
}
