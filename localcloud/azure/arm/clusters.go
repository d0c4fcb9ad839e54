package arm

import (
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/oidcissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const clustersType = "Microsoft.ContainerService/managedClusters"

// Clusters runs Kubernetes behind Microsoft.ContainerService/managedClusters.
type Clusters interface {
	// Start brings the cluster to where it is ready. It is called when a cluster is created, when an update changes what it
	// is to be, and after a restart; a cluster that runs as spec says is left alone.
	Start(ctx context.Context, spec ClusterSpec) error
	// Delete stops a cluster and removes it. One that is not there is no error.
	Delete(ctx context.Context, id string) error
	// Kubeconfig is that of the cluster's administrator, for clients outside it.
	Kubeconfig(ctx context.Context, spec ClusterSpec) ([]byte, error)
	// PublicKeys are those of the cluster's service-account tokens, known from the moment that Start is called.
	PublicKeys(id string) ([]crypto.PublicKey, error)
}

// ClusterSpec is what a cluster is to be.
type ClusterSpec struct {
	ID        string // the ARM id
	Name      string
	Location  string
	FQDN      string // of the API server
	IssuerURL string // of the service-account tokens; it ends in a slash
	Version   string // of Kubernetes, as asked for; empty: the default
	PoolName  string
	VMSize    string
	Nodes     int
	// SecretsProvider is the Key Vault Secrets Provider add-on.
	SecretsProvider      bool
	Rotation             bool
	RotationPollInterval time.Duration
	// Entra is AKS-managed Entra ID integration, AzureRBAC Azure RBAC for Kubernetes on top of it. LocalAccounts are certificates.
	Entra         bool
	AzureRBAC     bool
	LocalAccounts bool
	AdminGroups   string // object ids of the groups that may do everything, with commas between
}

// clusterProperties are what the service acts on. Everything else is kept and shown.
type clusterProperties struct {
	DNSPrefix         string                  `json:"dnsPrefix"`
	FQDN              string                  `json:"fqdn"`
	KubernetesVersion string                  `json:"kubernetesVersion"`
	DisableLocal      bool                    `json:"disableLocalAccounts"`
	NodeResourceGroup string                  `json:"nodeResourceGroup"`
	Pools             []poolProperties        `json:"agentPoolProfiles"`
	Addons            map[string]addonProfile `json:"addonProfiles"`
	OIDC              struct {
		Enabled   bool   `json:"enabled"`
		IssuerURL string `json:"issuerURL"`
	} `json:"oidcIssuerProfile"`
	Security struct {
		WorkloadIdentity struct {
			Enabled bool `json:"enabled"`
		} `json:"workloadIdentity"`
	} `json:"securityProfile"`
}

type poolProperties struct {
	Name   string `json:"name"`
	Mode   string `json:"mode"`
	Count  int    `json:"count"`
	VMSize string `json:"vmSize"`
}

type addonProfile struct {
	Enabled bool              `json:"enabled"`
	Config  map[string]string `json:"config"`
}

// secretsProvider finds the add-on; AKS compares its name without case.
func (p clusterProperties) secretsProvider() addonProfile {
	for name, addon := range p.Addons {
		if strings.EqualFold(name, "azureKeyvaultSecretsProvider") {
			return addon
		}
	}
	return addonProfile{}
}

// defaultPollInterval is the add-on's (learn.microsoft.com/azure/aks/csi-secrets-store-configuration-options).
const defaultPollInterval = 2 * time.Minute

func (a addonProfile) pollInterval() (time.Duration, error) {
	given := a.Config["rotationPollInterval"]
	if given == "" {
		return defaultPollInterval, nil
	}
	interval, err := time.ParseDuration(given)
	if err != nil || interval <= 0 {
		return 0, badRequest("InvalidParameter", "The value of parameter addonProfiles.azureKeyvaultSecretsProvider.config.rotationPollInterval "+
			"is invalid: %q is not a duration such as 2m.", given)
	}
	return interval, nil
}

var poolName = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

// check holds the properties against AKS's rules.
func (p clusterProperties) check() error {
	invalid := func(parameter, format string, args ...any) error {
		return badRequest("InvalidParameter", "The value of parameter %s is invalid: %s.", parameter, fmt.Sprintf(format, args...))
	}
	if p.DNSPrefix == "" {
		return invalid("dnsPrefix", "it is required")
	}
	system := false
	for i, pool := range p.Pools {
		parameter := fmt.Sprintf("agentPoolProfiles[%d]", i)
		switch {
		case !poolName.MatchString(pool.Name):
			return invalid(parameter+".name", "%q has to be 1 to 12 lowercase letters and digits, and a letter first", pool.Name)
		case pool.VMSize == "":
			return invalid(parameter+".vmSize", "it is required")
		case pool.Count < 0 || pool.Count > 1000:
			return invalid(parameter+".count", "%d is not between 0 and 1000", pool.Count)
		}
		system = system || pool.Mode == "System" && pool.Count > 0
	}
	if !system {
		return invalid("agentPoolProfiles", "there has to be a pool of mode System with at least one node")
	}
	if p.Security.WorkloadIdentity.Enabled && !p.OIDC.Enabled {
		return invalid("securityProfile.workloadIdentity", "it needs oidcIssuerProfile.enabled")
	}
	_, err := p.secretsProvider().pollInterval()
	return err
}

func (c *call) putCluster() (reply, error) {
	old, res, err := c.begin(clustersType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given, before clusterProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	if err := given.check(); err != nil {
		return reply{}, err
	}
	if text(child(res, "identity"), "type") == "" && properties["servicePrincipalProfile"] == nil {
		return reply{}, badRequest("ServicePrincipalProfileRequired", "The cluster needs an identity or a service principal.")
	}
	doing := creating
	if old != nil {
		doing = updating
		if err := decode(child(old, "properties"), &before); err != nil {
			return reply{}, err
		}
		if err := checkClusterChange(old, given, before); err != nil {
			return reply{}, err
		}
	}
	if err := c.fillCluster(old, res, given, before); err != nil {
		return reply{}, err
	}
	setState(res, doing)
	answer, err := c.written(old, res)
	if err != nil {
		return reply{}, err
	}
	op, err := startOperation(c.tx, res, doing)
	answer.header = polling("Azure-AsyncOperation", c.operationURL(op))
	answer.after = func() { c.run(op, c.startCluster) }
	return answer, err
}

// checkClusterChange refuses what an update cannot do.
func checkClusterChange(old object, given, before clusterProperties) error {
	if state := provisioningState(old); state != succeeded && state != failed {
		return conflict("OperationNotAllowed", "Operation is not allowed: another operation (%s) is in progress on the cluster '%s'.",
			state, text(old, "name"))
	}
	switch {
	case given.DNSPrefix != before.DNSPrefix:
		return badRequest("PropertyChangeNotAllowed", "Changing property 'properties.dnsPrefix' is not allowed.")
	case given.NodeResourceGroup != "" && given.NodeResourceGroup != before.NodeResourceGroup:
		return badRequest("PropertyChangeNotAllowed", "Changing property 'properties.nodeResourceGroup' is not allowed.")
	case before.OIDC.Enabled && !given.OIDC.Enabled:
		return badRequest("OIDCIssuerFeatureCannotBeDisabled", "OIDC issuer feature cannot be disabled.")
	}
	return nil
}

// fillCluster writes what Azure adds: names, the issuer, identities and defaults.
func (c *call) fillCluster(old, res object, given, before clusterProperties) error {
	properties := child(res, "properties")
	location := text(res, "location")
	if old == nil {
		before.FQDN = fmt.Sprintf("%s-%s.hcp.%s.azmk8s.io", given.DNSPrefix, uuid.NewString()[:8], location)
		before.OIDC.IssuerURL = oidcissuer.URL(location, c.TenantID, uuid.NewString())
	}
	properties["fqdn"] = before.FQDN
	properties["azurePortalFQDN"] = before.FQDN
	issuer := child(properties, "oidcIssuerProfile")
	issuer["enabled"] = given.OIDC.Enabled
	if given.OIDC.Enabled {
		issuer["issuerURL"] = before.OIDC.IssuerURL
	}
	setDefault(properties, "nodeResourceGroup", "MC_"+c.group+"_"+c.name()+"_"+location)
	setDefault(properties, "kubernetesVersion", KubernetesVersion[:strings.LastIndexByte(KubernetesVersion, '.')])
	properties["currentKubernetesVersion"] = KubernetesVersion
	setDefault(properties, "enableRBAC", true)
	setDefault(properties, "maxAgentPools", 100)
	setDefault(properties, "supportPlan", "KubernetesOfficial")
	properties["powerState"] = object{"code": "Running"}
	if pools, ok := properties["agentPoolProfiles"].([]any); ok {
		for _, pool := range pools {
			if pool, ok := pool.(object); ok {
				pool["provisioningState"], pool["powerState"] = succeeded, object{"code": "Running"}
				pool["currentOrchestratorVersion"] = KubernetesVersion
			}
		}
	}
	return c.fillClusterIdentities(old, res)
}

// fillClusterIdentities gives a cluster its own identity, that of its nodes and that of the add-on; an update keeps them.
func (c *call) fillClusterIdentities(old, res object) error {
	identityOf := func(name string) (object, error) {
		app, err := newPrincipal(c.tx, name)
		return object{
			"resourceId": fmt.Sprintf("/subscriptions/%s/resourcegroups/%s/providers/%s/%s", c.SubscriptionID,
				text(child(res, "properties"), "nodeResourceGroup"), identitiesType, name),
			"clientId": app.ClientID, "objectId": app.ObjectID,
		}, err
	}
	before := object{}
	if old != nil {
		before = child(old, "properties")
	}
	properties := child(res, "properties")
	kubelet, err := identityOrNew(before, "identityProfile", "kubeletidentity", func() (object, error) { return identityOf(c.name() + "-agentpool") })
	if err != nil {
		return err
	}
	properties["identityProfile"] = object{"kubeletidentity": kubelet}
	for name, addon := range child(properties, "addonProfiles") {
		addon, ok := addon.(object)
		if !ok || addon["enabled"] != true {
			continue
		}
		had, _ := child(before, "addonProfiles")[name].(object)
		if addon["identity"], err = identityOrNew(object{"of": had}, "of", "identity", func() (object, error) {
			return identityOf(strings.ToLower(name) + "-" + c.name())
		}); err != nil {
			return err
		}
	}
	identity := child(res, "identity")
	if text(identity, "type") != "SystemAssigned" {
		return nil
	}
	if had, ok := old["identity"].(object); ok && text(had, "principalId") != "" {
		identity["principalId"], identity["tenantId"] = had["principalId"], c.TenantID
		return nil
	}
	app, err := newPrincipal(c.tx, c.name())
	identity["principalId"], identity["tenantId"] = app.ObjectID, c.TenantID
	return err
}

func identityOrNew(before object, profile, name string, make func() (object, error)) (object, error) {
	in, _ := before[profile].(object)
	if had, ok := in[name].(object); ok {
		return had, nil
	}
	return make()
}

// KubernetesVersion is the one that clusters run, whatever is asked for.
const KubernetesVersion = "1.34.10"

// specOf is what a cluster's resource says that it is to be.
func specOf(res object) (ClusterSpec, clusterProperties, error) {
	var p clusterProperties
	if err := decode(child(res, "properties"), &p); err != nil {
		return ClusterSpec{}, p, err
	}
	addon := p.secretsProvider()
	interval, err := addon.pollInterval()
	if err != nil {
		return ClusterSpec{}, p, err
	}
	spec := ClusterSpec{
		ID: text(res, "id"), Name: text(res, "name"), Location: text(res, "location"), FQDN: p.FQDN,
		IssuerURL: p.OIDC.IssuerURL, Version: p.KubernetesVersion,
		SecretsProvider: addon.Enabled, Rotation: addon.Config["enableSecretRotation"] == "true", RotationPollInterval: interval,
	}
	if spec.IssuerURL == "" { // as AKS has it without the OIDC issuer: the tokens are of use in the cluster only
		spec.IssuerURL = "https://" + p.FQDN + "/"
	}
	for _, pool := range p.Pools {
		if pool.Mode == "System" && spec.PoolName == "" {
			spec.PoolName, spec.VMSize = pool.Name, pool.VMSize
		}
		spec.Nodes += pool.Count
	}
	return spec, p, nil
}

func (s *Service) startCluster(ctx context.Context, id string) error {
	var res object
	if err := s.Store.View(func(tx *store.Tx) (err error) {
		res, _, err = load(tx, id)
		return err
	}); err != nil || res == nil {
		return err
	}
	spec, _, err := specOf(res)
	if err != nil {
		return err
	}
	if err := s.Clusters.Start(ctx, spec); err != nil {
		return refuse(http.StatusInternalServerError, "CreateOrUpdateFailed", "%v", err)
	}
	return nil
}

func (c *call) deleteCluster() (reply, error) {
	res, ok, err := load(c.tx, c.path)
	if err != nil || !ok {
		return reply{status: http.StatusNoContent}, err
	}
	setState(res, deleting)
	if err := save(c.tx, res); err != nil {
		return reply{}, err
	}
	op, err := startOperation(c.tx, res, deleting)
	return reply{
		status: http.StatusAccepted,
		header: polling("Azure-AsyncOperation", c.operationURL(op)),
		after:  func() { c.run(op, c.removeCluster) },
	}, err
}

// removeCluster ends a cluster and its identities.
func (s *Service) removeCluster(ctx context.Context, id string) error {
	if err := s.Clusters.Delete(ctx, id); err != nil {
		return err
	}
	return s.Store.Update(func(tx *store.Tx) error {
		res, ok, err := load(tx, id)
		if err != nil || !ok {
			return err
		}
		properties := child(res, "properties")
		identities := []any{child(properties, "identityProfile")["kubeletidentity"]}
		for _, addon := range child(properties, "addonProfiles") {
			addon, _ := addon.(object)
			identities = append(identities, addon["identity"])
		}
		for _, identity := range identities {
			identity, _ := identity.(object)
			if err := entra.DeleteApplication(tx, text(identity, "clientId")); err != nil {
				return err
			}
		}
		return destroy(tx, res)
	})
}

// credential answers with a kubeconfig. The one of an administrator is not to be had without local accounts.
func (c *call) credential(name string) (reply, error) {
	res, ok, err := load(c.tx, cut(c.path, 1)) // without the action
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return reply{}, c.notFound()
	}
	spec, properties, err := specOf(res)
	if err != nil {
		return reply{}, err
	}
	if properties.DisableLocal {
		if name == "clusterAdmin" {
			return reply{}, badRequest("BadRequest", "Getting static credential is not allowed because this cluster is set to disable local accounts.")
		}
		return reply{}, notImplemented("the kubeconfig of a cluster without local accounts")
	}
	config, err := c.Clusters.Kubeconfig(c.background, spec)
	if err != nil {
		return reply{}, err
	}
	return reply{body: object{"kubeconfigs": []object{{"name": name, "value": base64.StdEncoding.EncodeToString(config)}}}}, nil
}

func (c *call) userCredential() (reply, error)  { return c.credential("clusterUser") }
func (c *call) adminCredential() (reply, error) { return c.credential("clusterAdmin") }

// IssuerKeys are those of the cluster with an issuer URL, or none where there is no such cluster.
func (s *Service) IssuerKeys(issuer string) ([]crypto.PublicKey, error) {
	var id string
	err := s.Store.View(func(tx *store.Tx) error {
		clusters, err := under(tx, "/subscriptions", clustersType)
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
	return s.Clusters.PublicKeys(id)
}

// Settle returns when no operation is under way, or ctx ends.
func (s *Service) Settle(ctx context.Context) error {
	settled := make(chan struct{})
	go func() {
		s.running.Wait()
		close(settled)
	}()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
