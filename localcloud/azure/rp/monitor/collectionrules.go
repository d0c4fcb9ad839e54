package monitor

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/operationalinsights"
)

const (
	rulesType        = "Microsoft.Insights/dataCollectionRules"
	associationsType = "Microsoft.Insights/dataCollectionRuleAssociations"
)

type ruleProperties struct {
	Flows []struct {
		Streams      []string `json:"streams"`
		Destinations []string `json:"destinations"`
	} `json:"dataFlows"`
	Destinations map[string][]struct {
		Name        string `json:"name"`
		WorkspaceID string `json:"workspaceResourceId"`
	} `json:"destinations"`
}

// putRule writes a data collection rule whose destinations are workspaces.
func putRule(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(rulesType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	for kind := range arm.Child(properties, "destinations") {
		if kind != "logAnalytics" {
			return arm.Reply{}, arm.NotImplemented("data collection rules that send to %s", kind)
		}
	}
	var given ruleProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	var destinations []string
	for _, to := range given.Destinations["logAnalytics"] {
		if err := operationalinsights.CheckWorkspace(c, to.WorkspaceID); err != nil {
			return arm.Reply{}, err
		}
		destinations = append(destinations, to.Name)
	}
	for _, flow := range given.Flows {
		for _, name := range flow.Destinations {
			if !slices.Contains(destinations, name) {
				return arm.Reply{}, arm.BadRequest("InvalidPayload",
					"Data collection rule is invalid: the destination '%s' of a data flow is not defined.", name)
			}
		}
	}
	properties["immutableId"] = "dcr-" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if old != nil {
		properties["immutableId"] = arm.Child(old, "properties")["immutableId"]
	}
	arm.SetState(res, arm.Succeeded)
	return c.Written(old, res)
}

// deleteRule refuses to delete a rule that is associated with resources.
func deleteRule(c *arm.Call) (arm.Reply, error) {
	associations, err := arm.Under(c.Tx, "/subscriptions", associationsType)
	if err != nil {
		return arm.Reply{}, err
	}
	for _, one := range associations {
		if fold.Equal(arm.Text(arm.Child(one, "properties"), "dataCollectionRuleId"), c.Path) {
			return arm.Reply{}, arm.Conflict("Conflict", "The data collection rule '%s' has associations, such as '%s'. "+
				"Delete them first.", c.Name(), arm.Text(one, "id"))
		}
	}
	return c.DeleteStored()
}

// putAssociation associates a resource with a data collection rule.
func putAssociation(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.BeginExtension(associationsType)
	if err != nil {
		return arm.Reply{}, err
	}
	var given struct {
		RuleID     string `json:"dataCollectionRuleId"`
		EndpointID string `json:"dataCollectionEndpointId"`
	}
	if err := arm.Decode(arm.Child(res, "properties"), &given); err != nil {
		return arm.Reply{}, err
	}
	if given.EndpointID != "" {
		return arm.Reply{}, arm.NotImplemented("data collection endpoints")
	}
	_, isRule := arm.ParseID(given.RuleID, rulesType)
	if _, ok, err := arm.Load(c.Tx, given.RuleID); err != nil {
		return arm.Reply{}, err
	} else if !ok || !isRule {
		return arm.Reply{}, arm.BadRequest("InvalidAssociation", "The data collection rule '%s' was not found.", given.RuleID)
	}
	return c.Written(old, res)
}
