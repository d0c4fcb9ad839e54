package arm

import (
	"net/http"
	"slices"
	"strings"
)

const settingsType = "Microsoft.Insights/diagnosticSettings"

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
