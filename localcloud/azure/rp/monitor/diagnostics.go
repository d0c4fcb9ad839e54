package monitor

import (
	"slices"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/operationalinsights"
)

const settingsType = "Microsoft.Insights/diagnosticSettings"

// settingProperties are the properties of a diagnostic setting.
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

// name identifies a category or a category group.
func (d dataCategory) name() string { return d.Category + d.Group }

// maxSettings is the maximum number of diagnostic settings of a resource.
const maxSettings = 5

func putSetting(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.BeginExtension(settingsType)
	if err != nil {
		return arm.Reply{}, err
	}
	var given settingProperties
	if err := arm.Decode(arm.Child(res, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if err := checkSetting(c, given); err != nil {
		return arm.Reply{}, err
	}
	if err := checkOtherSettings(c, old, res, given); err != nil {
		return arm.Reply{}, err
	}
	arm.SetDefault(arm.Child(res, "properties"), "logs", []any{})
	arm.SetDefault(arm.Child(res, "properties"), "metrics", []any{})
	_, err = c.Written(old, res)
	return arm.Reply{Body: res}, err
}

func checkSetting(c *arm.Call, given settingProperties) error {
	kind := c.TypeOf(c.Scope)
	switch {
	case kind == nil || kind.LogCategories == nil:
		return arm.NotImplemented("diagnostic settings of %s", c.Scope)
	case given.StorageAccountID+given.EventHubRuleID+given.ServiceBusRuleID+given.PartnerID != "":
		return arm.NotImplemented("diagnostic settings with another destination than a workspace")
	case given.WorkspaceID == "":
		return arm.BadRequest("BadRequest", "At least one data sink needs to be specified.")
	case !slices.Contains([]string{"", "Dedicated", "AzureDiagnostics"}, given.DestinationType):
		return arm.BadRequest("BadRequest", "The logAnalyticsDestinationType '%s' is not valid: it must be Dedicated or "+
			"AzureDiagnostics.", given.DestinationType)
	case len(given.Logs)+len(given.Metrics) == 0:
		return arm.BadRequest("BadRequest", "At least one log or metric category needs to be specified.")
	}
	if err := operationalinsights.CheckWorkspace(c, given.WorkspaceID); err != nil {
		return err
	}
	for _, log := range given.Logs {
		switch {
		case log.Category != "" && log.Group != "":
			return arm.BadRequest("BadRequest", "Category and category group cannot both be specified.")
		case log.Category != "" && !slices.Contains(kind.LogCategories, log.Category):
			return arm.BadRequest("BadRequest", "Category '%s' is not supported.", log.Category)
		case log.Category == "" && log.Group != "allLogs" && log.Group != "audit":
			return arm.BadRequest("BadRequest", "Category group '%s' is not supported.", log.Group)
		}
	}
	for _, metric := range given.Metrics {
		if metric.Category != "AllMetrics" {
			return arm.BadRequest("BadRequest", "Metric category '%s' is not supported.", metric.Category)
		}
	}
	for _, data := range append(slices.Clone(given.Logs), given.Metrics...) {
		if data.Retention.Enabled {
			return arm.BadRequest("BadRequest", "Diagnostic settings does not support retention for new diagnostic settings.")
		}
	}
	return nil
}

// checkOtherSettings refuses more than maxSettings settings, and a category that another setting sends to the same
// workspace.
func checkOtherSettings(c *arm.Call, old, res arm.Object, given settingProperties) error {
	others, err := arm.Under(c.Tx, c.Scope, settingsType)
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(other arm.Object) bool {
		return !fold.Equal(arm.ScopeOf(arm.Text(other, "id")), c.Scope) ||
			fold.Equal(arm.Text(other, "id"), arm.Text(res, "id"))
	})
	if old == nil && len(others) >= maxSettings {
		return arm.BadRequest("BadRequest", "The limit of %d diagnostic settings was reached.", maxSettings)
	}
	for _, other := range others {
		var has settingProperties
		if err := arm.Decode(arm.Child(other, "properties"), &has); err != nil {
			return err
		}
		if !fold.Equal(has.WorkspaceID, given.WorkspaceID) {
			continue
		}
		for _, theirs := range append(has.Logs, has.Metrics...) {
			for _, ours := range append(slices.Clone(given.Logs), given.Metrics...) {
				if theirs.name() == ours.name() && theirs.Enabled && ours.Enabled {
					return arm.Conflict("Conflict", "Data sink '%s' is already used in diagnostic setting '%s' for category "+
						"'%s'. Data sinks can't be reused in different settings on the same category for the same resource.",
						given.WorkspaceID, arm.Text(other, "name"), ours.name())
				}
			}
		}
	}
	return nil
}
