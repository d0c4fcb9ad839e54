package arm

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

// Resources that belong to any other one, at whose path they are.

const (
	locksType      = "Microsoft.Authorization/locks"
	settingsType   = "Microsoft.Insights/diagnosticSettings"
	workspacesType = "Microsoft.OperationalInsights/workspaces"
)

// Levels of locks.
const (
	canNotDelete = "CanNotDelete"
	readOnly     = "ReadOnly"
)

// beginExtension is begin for a resource at a scope, which has to be there.
func (c *call) beginExtension(kind string) (old, res object, err error) {
	if err := c.checkScope(); err != nil {
		return nil, nil, err
	}
	old, res, err = c.begin(kind, false)
	if err != nil || old != nil {
		return old, res, err
	}
	scope := c.scope
	if at, ok, err := load(c.tx, c.scope); err != nil {
		return nil, nil, err
	} else if ok {
		scope = text(at, "id")
	}
	res["id"] = scope + "/providers/" + kind + "/" + c.name()
	return nil, res, nil
}

func (c *call) putLock() (reply, error) {
	old, res, err := c.beginExtension(locksType)
	if err != nil {
		return reply{}, err
	}
	if level := text(child(res, "properties"), "level"); level != canNotDelete && level != readOnly {
		return reply{}, badRequest("InvalidLockLevel", "The lock level '%s' is not valid: CanNotDelete or ReadOnly.", level)
	}
	return c.written(old, res)
}

// listAtScope shows those at the scope, and below it.
func (c *call) listAtScope() (reply, error) {
	found, err := under(c.tx, c.scope, c.kind)
	if c.query.Get("$filter") == "atScope()" {
		found = slices.DeleteFunc(found, func(res object) bool { return !strings.EqualFold(scopeOf(text(res, "id")), c.scope) })
	} else if filter := c.query.Get("$filter"); filter != "" {
		return reply{}, notImplemented("the filter %q", filter)
	}
	return values(found), err
}

// scopeOf is the scope of the extension resource with an id.
func scopeOf(id string) string { return parse(http.MethodGet, id).scope }

// checkLocks refuses what a lock forbids (learn.microsoft.com/azure/azure-resource-manager/management/lock-resources): each of them to
// delete what is at its scope or below it, and what its scope is in; one of level ReadOnly also to change and to call actions. Locks
// themselves are free to go.
func (c *call) checkLocks(kind *resourceType) error {
	if c.method == http.MethodGet || c.method == http.MethodHead || kind.name == locksType || len(c.names) == 0 {
		return nil
	}
	scope := c.path
	if c.action != "" {
		scope = cut(scope, 1)
	}
	locks, err := under(c.tx, "/subscriptions", locksType)
	if err != nil {
		return err
	}
	var by []string
	verb := "write"
	for _, lock := range locks {
		at := scopeOf(text(lock, "id"))
		if c.method == http.MethodDelete {
			verb = "delete"
			if authorization.Covers(at, scope) || authorization.Covers(scope, at) {
				by = append(by, at)
			}
		} else if text(child(lock, "properties"), "level") == readOnly && authorization.Covers(at, scope) {
			by = append(by, at)
		}
	}
	if by == nil {
		return nil
	}
	return conflict("ScopeLocked", "The scope '%s' cannot perform %s operation because following scope(s) are locked: '%s'. Please remove "+
		"the lock and try again.", scope, verb, strings.Join(by, "','"))
}

// settingProperties are those of a diagnostic setting.
type settingProperties struct {
	WorkspaceID      string         `json:"workspaceId"`
	StorageAccountID string         `json:"storageAccountId"`
	EventHubRuleID   string         `json:"eventHubAuthorizationRuleId"`
	ServiceBusRuleID string         `json:"serviceBusRuleId"`
	PartnerID        string         `json:"marketplacePartnerId"`
	DestinationType  string         `json:"logAnalyticsDestinationType"`
	Logs             []dataCategory `json:"logs"`
	Metrics          []dataCategory `json:"metrics"`
}

type dataCategory struct {
	Category  string `json:"category"`
	Group     string `json:"categoryGroup"`
	Enabled   bool   `json:"enabled"`
	Retention struct {
		Enabled bool `json:"enabled"`
	} `json:"retentionPolicy"`
}

// name is what a category is told apart by.
func (d dataCategory) name() string { return d.Category + d.Group }

// logCategories are those that Azure Monitor has for a type (learn.microsoft.com/azure/azure-monitor/reference/logs-index), beside the
// groups allLogs and audit. Every type has the metrics AllMetrics.
var logCategories = map[string][]string{
	strings.ToLower(vaultsType): {"AuditEvent", "AzurePolicyEvaluationDetails"},
	strings.ToLower(clustersType): {
		"kube-apiserver", "kube-audit", "kube-audit-admin", "kube-controller-manager", "kube-scheduler", "cluster-autoscaler",
		"cloud-controller-manager", "guard", "csi-azuredisk-controller", "csi-azurefile-controller", "csi-snapshot-controller",
		"fleet-member-agent", "fleet-member-net-controller-manager", "fleet-mcs-controller-manager", "karpenter-events",
	},
	strings.ToLower(networksType): {"VMProtectionAlerts"},
}

// maxSettings is how many diagnostic settings a resource can have.
const maxSettings = 5

func (c *call) putSetting() (reply, error) {
	old, res, err := c.beginExtension(settingsType)
	if err != nil {
		return reply{}, err
	}
	var given settingProperties
	if err := decode(child(res, "properties"), &given); err != nil {
		return reply{}, err
	}
	if err := c.checkSetting(given); err != nil {
		return reply{}, err
	}
	if err := c.checkOtherSettings(old, res, given); err != nil {
		return reply{}, err
	}
	setDefault(child(res, "properties"), "logs", []any{})
	setDefault(child(res, "properties"), "metrics", []any{})
	_, err = c.written(old, res)
	return reply{body: res}, err
}

func (c *call) checkSetting(given settingProperties) error {
	kind := parse(http.MethodGet, c.scope).kind
	known, ok := logCategories[strings.ToLower(kind)]
	switch {
	case !ok:
		return notImplemented("diagnostic settings of %s", kind)
	case given.StorageAccountID+given.EventHubRuleID+given.ServiceBusRuleID+given.PartnerID != "":
		return notImplemented("diagnostic settings that send to anything but a workspace")
	case given.WorkspaceID == "":
		return badRequest("BadRequest", "At least one data sink needs to be specified.")
	case !slices.Contains([]string{"", "Dedicated", "AzureDiagnostics"}, given.DestinationType):
		return badRequest("BadRequest", "The logAnalyticsDestinationType '%s' is not valid: Dedicated or AzureDiagnostics.", given.DestinationType)
	case len(given.Logs)+len(given.Metrics) == 0:
		return badRequest("BadRequest", "At least one log or metric category needs to be specified.")
	}
	if err := c.checkWorkspace(given.WorkspaceID); err != nil {
		return err
	}
	for _, log := range given.Logs {
		switch {
		case log.Category != "" && log.Group != "":
			return badRequest("BadRequest", "Category and category group cannot both be specified.")
		case log.Category != "" && !slices.Contains(known, log.Category):
			return badRequest("BadRequest", "Category '%s' is not supported.", log.Category)
		case log.Category == "" && log.Group != "allLogs" && log.Group != "audit":
			return badRequest("BadRequest", "Category group '%s' is not supported.", log.Group)
		}
	}
	for _, metric := range given.Metrics {
		if metric.Category != "AllMetrics" {
			return badRequest("BadRequest", "Metric category '%s' is not supported.", metric.Category)
		}
	}
	for _, data := range append(slices.Clone(given.Logs), given.Metrics...) {
		if data.Retention.Enabled {
			return badRequest("BadRequest", "Diagnostic settings does not support retention for new diagnostic settings.")
		}
	}
	return nil
}

// checkOtherSettings refuses a sixth setting, and one that sends what another sends to the same place.
func (c *call) checkOtherSettings(old, res object, given settingProperties) error {
	others, err := under(c.tx, c.scope, settingsType)
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(other object) bool {
		return !strings.EqualFold(scopeOf(text(other, "id")), c.scope) || strings.EqualFold(text(other, "id"), text(res, "id"))
	})
	if old == nil && len(others) >= maxSettings {
		return badRequest("BadRequest", "The limit of %d diagnostic settings was reached.", maxSettings)
	}
	for _, other := range others {
		var has settingProperties
		if err := decode(child(other, "properties"), &has); err != nil {
			return err
		}
		if !strings.EqualFold(has.WorkspaceID, given.WorkspaceID) {
			continue
		}
		for _, theirs := range append(has.Logs, has.Metrics...) {
			for _, ours := range append(slices.Clone(given.Logs), given.Metrics...) {
				if theirs.name() == ours.name() && theirs.Enabled && ours.Enabled {
					return conflict("Conflict", "Data sink '%s' is already used in diagnostic setting '%s' for category '%s'. Data sinks can't be "+
						"reused in different settings on the same category for the same resource.", given.WorkspaceID, text(other, "name"), ours.name())
				}
			}
		}
	}
	return nil
}

// checkWorkspace looks up a workspace that another resource sends to.
func (c *call) checkWorkspace(id string) error {
	t := parse(http.MethodGet, id)
	if !strings.EqualFold(t.kind, workspacesType) || t.collection {
		return badRequest("BadRequest", "The workspace '%s' is not the id of a Log Analytics workspace.", id)
	}
	_, ok, err := load(c.tx, id)
	if err == nil && !ok {
		err = refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not found. For more "+
			"details please go to https://aka.ms/ARMResourceNotFoundFix", t.kind, t.name(), t.group)
	}
	return err
}

type workspaceProperties struct {
	SKU struct {
		Name string `json:"name"`
	} `json:"sku"`
	RetentionInDays *int `json:"retentionInDays"`
}

func (c *call) putWorkspace() (reply, error) {
	old, res, err := c.begin(workspacesType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	var given workspaceProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	days := 30
	if given.RetentionInDays != nil {
		days = *given.RetentionInDays
	}
	skus := []string{"", "pergb2018", "pernode", "standalone", "capacityreservation", "lacluster", "free", "standard", "premium"}
	switch sku := strings.ToLower(given.SKU.Name); {
	case !slices.Contains(skus, sku):
		return reply{}, badRequest("InvalidParameter", "The sku '%s' is not valid.", given.SKU.Name)
	case sku != "" && sku != "pergb2018":
		return reply{}, notImplemented("workspaces of the sku %s", given.SKU.Name)
	case days < 30 || days > 730:
		return reply{}, badRequest("InvalidParameter", "'RetentionInDays' property doesn't match the SKU limits: 30 to 730 days, not %d.", days)
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	properties["customerId"], properties["createdDate"] = uuid.NewString(), now
	if old != nil {
		properties["customerId"], properties["createdDate"] = child(old, "properties")["customerId"], child(old, "properties")["createdDate"]
	}
	properties["modifiedDate"], properties["retentionInDays"] = now, days
	properties["sku"] = object{"name": "PerGB2018", "lastSkuUpdate": properties["createdDate"]}
	setDefault(properties, "workspaceCapping", object{"dailyQuotaGb": -1, "dataIngestionStatus": "RespectQuota"})
	setDefault(properties, "publicNetworkAccessForIngestion", "Enabled")
	setDefault(properties, "publicNetworkAccessForQuery", "Enabled")
	setDefault(properties, "features", object{"enableLogAccessUsingOnlyResourcePermissions": true})
	setState(res, succeeded)
	return c.written(old, res)
}

// checkLinked asks for the caller's permission at a resource that the one he writes refers to.
func (c *call) checkLinked(permission, scope string) error {
	return c.checkLinkedOf(c.principal.ClientID, c.principal.ObjectID, permission, scope)
}

func (c *call) checkLinkedOf(clientID, objectID, permission, scope string) error {
	allowed, err := authorization.Allowed(c.tx, objectID, permission, scope, authorization.Control)
	if err != nil || allowed {
		return err
	}
	return refuse(http.StatusForbidden, "LinkedAuthorizationFailed", "The client '%s' with object id '%s' has permission to perform action "+
		"'%s/write' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' "+
		"(respectively) or the linked scope(s) are invalid.", clientID, objectID, c.kind, c.path, permission, scope)
}
