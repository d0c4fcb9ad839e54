package plugin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// resourceType describes a resource type. The rest of the plugin is the same for all types. Names are those of the
// Pulumi SDK, which for these types are ARM's own. Paths into values are dotted, with * for every element of an array
// or map.
type resourceType struct {
	// token is module:Type, as in azure-native:<module>[/v<date>]:<Type>.
	token string
	// version is the API version of the token without a date. A dated token uses its own version.
	version string
	// path is the pattern of the resource's ID. Its {parameters} are names of inputs. Changing one replaces the resource.
	path string
	// name is the parameter of path that auto-naming fills as naming says. ARM accepts names that match nameRule.
	name     string
	naming   naming
	nameRule *regexp.Regexp
	// required are required inputs besides the parameters of path.
	required []string
	// top are the inputs beside "properties" in ARM's body. All others are inside "properties".
	top []string
	// flat means that the outputs hold the content of ARM's "properties" instead of "properties" itself.
	flat bool
	// replace are inputs whose change replaces the resource, besides the parameters of path.
	replace []string
	// nested are objects in ARM's body, or arrays of objects, with "properties" of their own, which the SDK does not have.
	nested []string
	// sets are inputs that are lists of keys in the SDK and objects with these keys in ARM's body.
	sets []string
	// spellings are the objects in ARM's body whose properties have other names than in the SDK.
	spellings []spelling
	// keep are parts of ARM's body that may also be resources of their own. If the inputs omit them, they are empty on
	// create and unchanged on update.
	keep []string
	// keyed maps arrays in the inputs that are sets to the properties that identify their elements: the specifications'
	// x-ms-identifiers.
	keyed map[string][]string
	// waits are the requests that the specifications mark as long-running (x-ms-long-running-operation). The plugin waits
	// for these operations, and for any PUT with status 202.
	waits waits
	// placeless means that the input location has no default.
	placeless bool
	// dataPlane has the operations that ARM does not offer. Nil means that ARM offers all.
	dataPlane *dataPlane
}

// naming says how the plugin names a resource whose name the program omits.
type naming int

const (
	nameRandom naming = iota // the Pulumi name and 8 hex digits
	nameCopy                 // the Pulumi name
	nameUUID                 // a UUID
)

// waits is a set of HTTP methods.
type waits int

const (
	waitPut waits = 1 << iota
	waitDelete
)

const (
	group   = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
	vault   = group + "/providers/Microsoft.KeyVault/vaults/{vaultName}"
	uai     = group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}"
	cluster = group + "/providers/Microsoft.ContainerService/managedClusters/{resourceName}"

	network  = group + "/providers/Microsoft.Network/virtualNetworks/{virtualNetworkName}"
	endpoint = group + "/providers/Microsoft.Network/privateEndpoints/{privateEndpointName}"
	zone     = group + "/providers/Microsoft.Network/privateDnsZones/{privateZoneName}"
	topic    = group + "/providers/Microsoft.EventGrid/systemTopics/{systemTopicName}"
	address  = group + "/providers/Microsoft.Network/publicIPAddresses/{publicIpAddressName}"
)

// attributes has the names of a secret's or key's attributes, which differ in the SDK.
var attributes = named("properties.attributes", "expires", "exp", "notBefore", "nbf")

// catalog lists all resource types. Paths, bodies and rules for names come from the specifications in
// Azure/azure-rest-api-specs. Replacement and naming come from pulumi-azure-native v2: forceNewMap in
// provider/pkg/gen/replacement.go with the specifications' x-ms-mutability, and AutoName in
// provider/pkg/resources/resources.go.
var catalog = []*resourceType{
	{
		token: "resources:ResourceGroup", version: "2022-09-01", path: group,
		name: "resourceGroupName", naming: nameRandom, nameRule: regexp.MustCompile(`^.{1,90}$`),
		required: []string{"location"},
		top:      []string{"location", "managedBy", "tags"},
		replace:  []string{"location"},
		waits:    waitDelete,
	},
	{
		token:     "resources:Deployment",
		version:   "2022-09-01",
		path:      group + "/providers/Microsoft.Resources/deployments/{deploymentName}",
		name:      "deploymentName",
		naming:    nameRandom,
		nameRule:  regexp.MustCompile(`^[-\w\._\(\)]{1,64}$`),
		required:  []string{"properties", "properties.mode"},
		top:       []string{"location", "properties", "tags"},
		waits:     waitPut | waitDelete,
		placeless: true,
	},
	{
		token:    "keyvault:Vault",
		version:  "2023-02-01",
		path:     vault,
		name:     "vaultName",
		naming:   nameRandom,
		nameRule: regexp.MustCompile(`^[a-zA-Z0-9-]{3,24}$`),
		required: []string{
			"location",
			"properties",
			"properties.sku",
			"properties.sku.family",
			"properties.sku.name",
			"properties.tenantId",
		},
		top:    []string{"location", "properties", "tags"},
		nested: []string{"properties.privateEndpointConnections"},
		keep:   []string{"properties.accessPolicies"},
		waits:  waitPut,
		keyed: map[string][]string{
			"properties.accessPolicies":                  {"tenantId", "objectId", "permissions"},
			"properties.networkAcls.virtualNetworkRules": {"id"},
		},
	},
	{
		token: "keyvault:Secret", version: "2023-02-01", path: vault + "/secrets/{secretName}",
		name: "secretName", naming: nameCopy, nameRule: regexp.MustCompile(`^[a-zA-Z0-9-]{1,127}$`),
		required:  []string{"properties"},
		top:       []string{"properties", "tags"},
		spellings: []spelling{attributes},
		dataPlane: &dataPlane{delete: deleteSecret, recover: recoverSecret},
	},
	{
		token: "keyvault:Key", version: "2023-02-01", path: vault + "/keys/{keyName}",
		name: "keyName", naming: nameCopy, nameRule: regexp.MustCompile(`^[a-zA-Z0-9-]{1,127}$`),
		required:  []string{"properties"},
		top:       []string{"properties", "tags"},
		flat:      true,
		spellings: []spelling{attributes, named("properties", "releasePolicy", "release_policy")},
		dataPlane: &dataPlane{delete: deleteKey, recover: recoverKey},
	},
	{
		token: "managedidentity:UserAssignedIdentity", version: "2023-01-31", path: uai,
		name: "resourceName", naming: nameRandom,
		required: []string{"location"},
		top:      []string{"location", "tags"},
		flat:     true,
		replace:  []string{"location"},
	},
	{
		token: "managedidentity:FederatedIdentityCredential", version: "2023-01-31",
		path: uai + "/federatedIdentityCredentials/{federatedIdentityCredentialResourceName}",
		name: "federatedIdentityCredentialResourceName", naming: nameCopy,
		nameRule: regexp.MustCompile(`^[a-zA-Z0-9]{1}[a-zA-Z0-9-_]{2,119}$`),
		required: []string{"audiences", "issuer", "subject"},
		flat:     true,
	},
	{
		token: "authorization:RoleAssignment", version: "2022-04-01",
		path: "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
		name: "roleAssignmentName", naming: nameUUID,
		required: []string{"principalId", "roleDefinitionId"},
		flat:     true,
		replace:  []string{"principalId"},
	},
	{
		token: "authorization:RoleDefinition", version: "2022-05-01-preview",
		path: "/{scope}/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}",
		name: "roleDefinitionId", naming: nameUUID,
		flat:      true,
		spellings: []spelling{named("properties", "roleType", "type")},
	},
	{
		token: "containerservice:ManagedCluster", version: "2023-04-01", path: cluster,
		name: "resourceName", naming: nameRandom,
		nameRule: regexp.MustCompile(`^[a-zA-Z0-9]$|^[a-zA-Z0-9][-_a-zA-Z0-9]{0,61}[a-zA-Z0-9]$`),
		required: []string{"location"},
		top:      []string{"extendedLocation", "identity", "location", "sku", "tags"},
		flat:     true,
		replace: []string{
			"diskEncryptionSetID",
			"dnsPrefix",
			"fqdnSubdomain",
			"linuxProfile",
			"location",
			"networkProfile",
			"nodeResourceGroup",
			"windowsProfile",
			"agentPoolProfiles.*.networkProfile",
			"agentPoolProfiles.*.windowsProfile", // same names as above, and azure-native matches by name
		},
		sets:      []string{"identity.userAssignedIdentities"},
		spellings: []spelling{{at: "properties.autoScalerProfile", toARM: camelToKebab, toSDK: kebabToCamel}},
		waits:     waitPut | waitDelete,
	},
	{
		token: "containerservice:AgentPool", version: "2023-04-01", path: cluster + "/agentPools/{agentPoolName}",
		name: "agentPoolName", naming: nameCopy, nameRule: regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`),
		flat: true,
		// AKS refuses to change more properties. azure-native replaces for these only, and changing the others fails.
		replace: []string{"gpuInstanceProfile", "vmSize"},
		waits:   waitPut | waitDelete,
	},
	{
		token:   "containerservice:MaintenanceConfiguration",
		version: "2023-04-01",
		path:    cluster + "/maintenanceConfigurations/{configName}",
		name:    "configName",
		naming:  nameCopy,
		flat:    true,
	},
	{
		token: "network:VirtualNetwork", version: "2023-02-01", path: network,
		name: "virtualNetworkName", naming: nameRandom,
		top:     []string{"extendedLocation", "location", "tags"},
		flat:    true,
		replace: []string{"location"},
		nested:  []string{"properties.subnets", "properties.virtualNetworkPeerings"},
		keep:    []string{"properties.subnets", "properties.virtualNetworkPeerings"},
		waits:   waitPut | waitDelete,
	},
	{
		token: "network:Subnet", version: "2023-02-01", path: network + "/subnets/{subnetName}",
		name: "subnetName", naming: nameCopy,
		flat:  true,
		waits: waitPut | waitDelete,
	},
	{
		token: "network:PublicIPAddress", version: "2023-02-01", path: address,
		name: "publicIpAddressName", naming: nameRandom,
		top:     []string{"extendedLocation", "location", "sku", "tags", "zones"},
		flat:    true,
		replace: []string{"location", "publicIPAddressVersion", "publicIPPrefix", "sku"},
		waits:   waitPut | waitDelete,
	},
	{
		token:   "network:PrivateEndpoint",
		version: "2023-02-01",
		path:    endpoint,
		name:    "privateEndpointName",
		naming:  nameRandom,
		top:     []string{"extendedLocation", "location", "tags"},
		flat:    true,
		replace: []string{"subnet"},
		nested: []string{
			"properties.subnet",
			"properties.privateLinkServiceConnections",
			"properties.manualPrivateLinkServiceConnections",
			"properties.networkInterfaces",
		},
		waits: waitPut | waitDelete,
	},
	{
		token:   "network:PrivateDnsZoneGroup",
		version: "2023-02-01",
		path:    endpoint + "/privateDnsZoneGroups/{privateDnsZoneGroupName}",
		name:    "privateDnsZoneGroupName",
		naming:  nameCopy,
		flat:    true,
		nested:  []string{"properties.privateDnsZoneConfigs"},
		waits:   waitPut | waitDelete,
	},
	{
		token: "network:PrivateZone", version: "2020-06-01", path: zone,
		name: "privateZoneName", naming: nameRandom,
		top:     []string{"etag", "location", "tags"},
		flat:    true,
		waits:   waitPut | waitDelete,
		replace: []string{"location"},
	},
	{
		token:   "network:VirtualNetworkLink",
		version: "2020-06-01",
		path:    zone + "/virtualNetworkLinks/{virtualNetworkLinkName}",
		name:    "virtualNetworkLinkName",
		naming:  nameCopy,
		top:     []string{"etag", "location", "tags"},
		flat:    true,
		waits:   waitPut | waitDelete,
		replace: []string{"location"},
	},
	{
		token: "insights:DiagnosticSetting", version: "2021-05-01-preview",
		path: "/{resourceUri}/providers/Microsoft.Insights/diagnosticSettings/{name}",
		name: "name", naming: nameRandom,
		flat: true,
	},
	{
		token: "insights:DataCollectionRule", version: "2022-06-01",
		path: group + "/providers/Microsoft.Insights/dataCollectionRules/{dataCollectionRuleName}",
		name: "dataCollectionRuleName", naming: nameRandom,
		required: []string{"location"},
		top:      []string{"identity", "kind", "location", "tags"},
		flat:     true,
		replace:  []string{"location"},
	},
	{
		token: "insights:DataCollectionRuleAssociation", version: "2022-06-01",
		path: "/{resourceUri}/providers/Microsoft.Insights/dataCollectionRuleAssociations/{associationName}",
		name: "associationName", naming: nameRandom,
		flat: true,
	},
	{
		token:    "insights:ActionGroup",
		version:  "2023-01-01",
		path:     group + "/providers/Microsoft.Insights/actionGroups/{actionGroupName}",
		name:     "actionGroupName",
		naming:   nameRandom,
		required: []string{"groupShortName", "location"},
		top:      []string{"location", "tags"},
		flat:     true,
		replace:  []string{"location"},
	},
	{
		token: "eventgrid:SystemTopic", version: "2022-06-15", path: topic,
		name: "systemTopicName", naming: nameRandom,
		required: []string{"location"},
		top:      []string{"identity", "location", "tags"},
		flat:     true,
		replace:  []string{"location", "source", "topicType"},
		waits:    waitPut | waitDelete,
	},
	{
		token:   "eventgrid:SystemTopicEventSubscription",
		version: "2022-06-15",
		path:    topic + "/eventSubscriptions/{eventSubscriptionName}",
		name:    "eventSubscriptionName",
		naming:  nameCopy,
		flat:    true,
		nested:  []string{"properties.destination"},
		waits:   waitPut | waitDelete,
	},
	{
		token:    "operationalinsights:Workspace",
		version:  "2022-10-01",
		path:     group + "/providers/Microsoft.OperationalInsights/workspaces/{workspaceName}",
		name:     "workspaceName",
		naming:   nameRandom,
		nameRule: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]+[A-Za-z0-9]$`),
		required: []string{"location"},
		top:      []string{"eTag", "identity", "location", "tags"},
		flat:     true,
		replace:  []string{"location"},
		waits:    waitPut | waitDelete,
	},
	{
		token: "authorization:ManagementLockByScope", version: "2020-05-01",
		path: "/{scope}/providers/Microsoft.Authorization/locks/{lockName}",
		name: "lockName", naming: nameRandom,
		required: []string{"level"},
		flat:     true,
	},
}

// notImplemented returns the error for a token that Azure has and this plugin does not.
func notImplemented(token string) error {
	return fmt.Errorf("not implemented here: %s", token)
}

// unknownType is notImplemented for a type or function that is not in the catalog. It lists the types of its module.
func unknownType(token, member string) error {
	module, _, _ := strings.Cut(member, ":")
	var beside, modules []string
	for _, rt := range catalog {
		its, name, _ := strings.Cut(rt.token, ":")
		if !slices.Contains(modules, its) {
			modules = append(modules, its)
		}
		if its == module {
			beside = append(beside, name)
		}
	}
	if beside == nil {
		return fmt.Errorf("%w (modules with implemented types: %s)", notImplemented(token), strings.Join(modules, ", "))
	}
	return fmt.Errorf("%w (implemented types of %s: %s)", notImplemented(token), module, strings.Join(beside, ", "))
}

// understood returns an error if the local cloud does not implement an API version of a type. The error lists the
// versions that it implements.
func (rt *resourceType) understood(token, apiVersion string) error {
	all, err := readSchemas()
	if err != nil {
		return err
	}
	versions := all.APIVersions[rt.token]
	if slices.Contains(versions, apiVersion) {
		return nil
	}
	dates := strings.Join(datesOf(versions), ", ")
	return fmt.Errorf("%w (implemented versions of %s: %s)", notImplemented(token), rt.token, dates)
}

var tokenPattern = regexp.MustCompile(`^azure-native:([a-z]+)(?:/v(\d{4})(\d{2})(\d{2})(preview)?)?:(\w+)$`)

// parseToken splits a token of a resource type or function into module:member and the API version. The version is empty
// if the token has no date.
func parseToken(token string) (member, apiVersion string, err error) {
	m := tokenPattern.FindStringSubmatch(plainToken.Replace(token))
	if m == nil {
		return "", "", notImplemented(token)
	}
	if m[2] != "" {
		apiVersion = strings.Join(m[2:5], "-")
		if m[5] != "" {
			apiVersion += "-preview"
		}
	}
	return m[1] + ":" + m[6], apiVersion, nil
}

// lookup returns the resource type with a token, and its API version.
func lookup(token string) (rt *resourceType, apiVersion string, err error) {
	return lookupFor(token, token)
}

// lookupFor is lookup for a function. Errors name the function.
func lookupFor(function, token string) (rt *resourceType, apiVersion string, err error) {
	member, apiVersion, err := parseToken(token)
	if err != nil {
		return nil, "", err
	}
	i := slices.IndexFunc(catalog, func(rt *resourceType) bool { return rt.token == member })
	if i < 0 {
		return nil, "", unknownType(function, member)
	}
	if apiVersion == "" {
		apiVersion = catalog[i].version
	}
	if err := catalog[i].understood(function, apiVersion); err != nil {
		return nil, "", err
	}
	return catalog[i], apiVersion, nil
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// parameters lists the inputs in the resource's ID. The subscription is not an input, it comes from the configuration.
func (rt *resourceType) parameters() []string {
	var names []string
	for _, m := range pathParameter.FindAllStringSubmatch(rt.path, -1) {
		if m[1] != "subscriptionId" {
			names = append(names, m[1])
		}
	}
	return names
}

// hasLocation reports whether the type has a location with a default.
func (rt *resourceType) hasLocation() bool {
	return slices.Contains(rt.top, "location") && !rt.placeless
}
