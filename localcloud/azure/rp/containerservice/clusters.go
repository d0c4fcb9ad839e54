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
	// Start starts or updates a cluster and returns when it is ready. It is called when a cluster is created or updated,
	// and after a restart. It leaves a cluster alone that already runs as spec says.
	Start(ctx context.Context, spec ClusterSpec) error
	// Delete stops and removes a cluster. It returns no error if the cluster does not exist.
	Delete(ctx context.Context, id string) error
	// Kubeconfig returns a kubeconfig for clients outside the cluster: one that signs in with Entra ID if spec.Entra is
	// set, else the administrator's.
	Kubeconfig(ctx context.Context, spec ClusterSpec) ([]byte, error)
	// PublicKeys returns the keys that verify the cluster's service account tokens. They are known as soon as Start is
	// called.
	PublicKeys(id string) ([]crypto.PublicKey, error)
}

// ClusterSpec specifies a cluster.
type ClusterSpec struct {
	ID        string // the ARM id
	Name      string
	Location  string
	FQDN      string // name of the API server in the kubeconfig
	AlsoFQDN  string // public name of a private API server with two names; empty if there is none
	IssuerURL string // issuer of service account tokens; ends in a slash
	Version   string // requested version of Kubernetes; empty for the default
	PoolName  string // pool of the only node: the first system pool
	VMSize    string
	// Entra enables the integration with Entra ID. AzureRBAC makes Azure's roles count in the cluster. LocalAccounts
	// enables the administrator's certificate. AdminGroups are the object ids of administrators' groups, joined with
	// commas.
	Entra         bool
	AzureRBAC     bool
	LocalAccounts bool
	AdminGroups   string
	// SecretsProvider enables the Key Vault Secrets Provider add-on. Rotation and RotationPollInterval are its settings.
	SecretsProvider      bool
	Rotation             bool
	RotationPollInterval time.Duration
}

// clusterProperties are the properties that have an effect. Other properties are only stored.
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

// setting returns a setting of the add-on, or "". Like AKS, it ignores the case of names.
func (a addonProfile) setting(name string) string {
	for key, value := range a.Config {
		if fold.Equal(key, name) {
			return value
		}
	}
	return ""
}

// secretsProvider returns the Key Vault Secrets Provider add-on. Like AKS, it ignores the case of the name.
func (p clusterProperties) secretsProvider() addonProfile {
	for name, addon := range p.Addons {
		if fold.Equal(name, "azureKeyvaultSecretsProvider") {
			return addon
		}
	}
	return addonProfile{}
}

// defaultPollInterval is the add-on's default (learn.microsoft.com/azure/aks/csi-secrets-store-configuration-options).
const defaultPollInterval = 2 * time.Minute

func (a addonProfile) pollInterval() (time.Duration, error) {
	const setting = "rotationPollInterval"
	given := a.setting(setting)
	if given == "" {
		return defaultPollInterval, nil
	}
	interval, err := time.ParseDuration(given)
	if err != nil || interval <= 0 {
		return 0, arm.InvalidParameter("addonProfiles.azureKeyvaultSecretsProvider.config."+setting,
			"%q is not a duration such as 2m", given)
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

// managedPrincipal is the client id in the servicePrincipalProfile of clusters with a managed identity.
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

// keepUnmentioned copies properties that an update does not have from the cluster, as AKS does: add-ons (ignoring the
// case of their names), settings for security and upgrades, the restrictions of the API server, network policies,
// outbound connections, the node resource group and the disk encryption set.
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
	for _, kept := range []struct{ profile, property string }{
		{"securityProfile", "defender"},
		{"securityProfile", "imageCleaner"},
		{"autoUpgradeProfile", "upgradeChannel"},
		{"autoUpgradeProfile", "nodeOSUpgradeChannel"},
		{"apiServerAccessProfile", "authorizedIPRanges"},
		{"apiServerAccessProfile", "disableRunCommand"},
		{"apiServerAccessProfile", "enablePrivateCluster"},
		{"apiServerAccessProfile", "privateDNSZone"},
		{"apiServerAccessProfile", "enablePrivateClusterPublicFQDN"},
		{"networkProfile", "outboundType"},
		{"networkProfile", "networkPolicy"},
		{"networkProfile", "networkDataplane"},
	} {
		if had := arm.Child(old, kept.profile)[kept.property]; had != nil {
			arm.SetDefault(arm.Child(properties, kept.profile), kept.property, had)
		}
	}
	keepOutbound(arm.Child(old, "networkProfile"), arm.Child(properties, "networkProfile"))
	for _, property := range []string{"nodeResourceGroup", "diskEncryptionSetID"} {
		if had := old[property]; had != nil {
			arm.SetDefault(properties, property, had)
		}
	}
}

// poolVersions returns the Kubernetes versions of the cluster's pools by name.
func poolVersions(c *arm.Call) (map[string]string, error) {
	pools, err := arm.Under(c.Tx, c.Path, poolsType)
	versions := map[string]string{}
	for _, pool := range pools {
		versions[arm.Text(pool, "name")] = arm.Text(arm.Child(pool, "properties"), "orchestratorVersion")
	}
	return versions, err
}

// writePools creates and updates the pools in a cluster's body. Pools that the body does not have stay.
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

// changeNotAllowed returns the error for a change of a property that cannot change. more may explain it.
func changeNotAllowed(property, more string) error {
	return arm.BadRequest("PropertyChangeNotAllowed",
		"Changing property 'properties.%s' is not allowed%s.", property, more)
}

// checkClusterChange refuses changes that AKS does not support.
func checkClusterChange(given, before clusterProperties) error {
	switch {
	case given.DNSPrefix != before.DNSPrefix:
		return changeNotAllowed("dnsPrefix", "")
	case given.NodeResourceGroup != "" && given.NodeResourceGroup != before.NodeResourceGroup:
		return changeNotAllowed("nodeResourceGroup", "")
	case !fold.Equal(given.DiskEncryptionSetID, before.DiskEncryptionSetID):
		return changeNotAllowed("diskEncryptionSetID", "")
	case given.APIServer.Private != before.APIServer.Private:
		return changeNotAllowed("apiServerAccessProfile.enablePrivateCluster", "")
	case !given.zoneMayFollow(before):
		return changeNotAllowed("apiServerAccessProfile.privateDNSZone", ", except to none")
	case !given.outboundMayFollow(before):
		return arm.BadRequest("PropertyChangeNotAllowed",
			"Changing property 'properties.networkProfile.outboundType' from %s to %s is not allowed.",
			before.Network.Outbound, given.Network.Outbound)
	case before.OIDC.Enabled && !given.OIDC.Enabled:
		return arm.BadRequest("OIDCIssuerFeatureCannotBeDisabled", "OIDC issuer feature cannot be disabled.")
	case before.Entra != nil && given.Entra == nil:
		return changeNotAllowed("aadProfile", ": the integration with Microsoft Entra ID cannot be disabled")
	}
	for _, property := range []struct{ name, was, is string }{
		{"networkPlugin", before.Network.Plugin, given.Network.Plugin},
		{"serviceCidr", before.Network.ServiceCIDR, given.Network.ServiceCIDR},
		{"dnsServiceIP", before.Network.DNS, given.Network.DNS},
		{"loadBalancerSku", before.Network.LoadBalancer, given.Network.LoadBalancer},
	} {
		if property.is != "" && property.was != "" && !fold.Equal(property.is, property.was) {
			return changeNotAllowed("networkProfile."+property.name, "")
		}
	}
	return nil
}

// fillCluster sets what Azure adds to a cluster: names, the issuer, identities and defaults.
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
	// az reads properties of the profile, so it must not be missing.
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

// fillClusterIdentity creates the system-assigned identity of a cluster, if it is to have one. An update keeps it.
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

// specOf returns the spec and the properties of a cluster.
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
	if spec.IssuerURL == "" { // as in AKS without the OIDC issuer: tokens are valid only in the cluster
		spec.IssuerURL = "https://" + spec.FQDN + "/"
	}
	if p.Entra != nil {
		spec.Entra, spec.AzureRBAC = p.Entra.Managed, p.Entra.AzureRBAC
		spec.AdminGroups = strings.Join(p.Entra.AdminGroups, ",")
	}
	for _, pool := range p.Pools {
		if pool.system() && spec.PoolName == "" {
			spec.PoolName, spec.VMSize = pool.Name, pool.VMSize
		}
	}
	return spec, p, nil
}

// startCluster starts or updates a cluster.
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

// clusterNodes is the store's bucket of the pools of clusters' nodes, by the clusters' ids in lower case.
const clusterNodes = "clusterNodes"

type clusterNode struct{ PoolName, VMSize string }

// keepNode sets the pool and size of the cluster's only node to those of the first start. Later changes of pools do not
// change the node.
func (spec *ClusterSpec) keepNode(tx *store.Tx) error {
	id := fold.Lower(spec.ID)
	first, ok, err := store.Get[clusterNode](tx, clusterNodes, id)
	if err != nil {
		return err
	}
	if ok {
		spec.PoolName, spec.VMSize = first.PoolName, first.VMSize
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

// removeCluster removes a cluster and everything that AKS has created for it.
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

// credential answers with a kubeconfig. It refuses the administrator's if local accounts are disabled.
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
			return arm.Reply{}, arm.BadRequest("BadRequest",
				"Getting static credential is not allowed because this cluster is set to disable local accounts.")
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
	encoded := base64.StdEncoding.EncodeToString(config)
	return arm.Reply{Body: arm.Object{"kubeconfigs": []arm.Object{{"name": name, "value": encoded}}}}, nil
}

func (p *Service) userCredential(c *arm.Call) (arm.Reply, error) {
	return p.credential(c, "clusterUser")
}
func (p *Service) adminCredential(c *arm.Call) (arm.Reply, error) {
	return p.credential(c, "clusterAdmin")
}

// IssuerKeys returns the public keys of the cluster with an issuer URL, or nil if there is no such cluster.
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
