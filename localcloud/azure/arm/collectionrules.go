package arm

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
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

// putRule keeps a data collection rule, which sends to workspaces.
func (c *call) putRule() (reply, error) {
	old, res, err := c.begin(rulesType, true)
	if err != nil {
		return reply{}, err
	}
	properties := child(res, "properties")
	for kind := range child(properties, "destinations") {
		if kind != "logAnalytics" {
			return reply{}, notImplemented("data collection rules that send to %s", kind)
		}
	}
	var given ruleProperties
	if err := decode(properties, &given); err != nil {
		return reply{}, err
	}
	var destinations []string
	for _, to := range given.Destinations["logAnalytics"] {
		if err := c.checkWorkspace(to.WorkspaceID); err != nil {
			return reply{}, err
		}
		destinations = append(destinations, to.Name)
	}
	for _, flow := range given.Flows {
		for _, name := range flow.Destinations {
			if !slices.Contains(destinations, name) {
				return reply{}, badRequest("InvalidPayload", "Data collection rule is invalid: the destination '%s' of a data flow is not defined.", name)
			}
		}
	}
	properties["immutableId"] = "dcr-" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if old != nil {
		properties["immutableId"] = child(old, "properties")["immutableId"]
	}
	setState(res, succeeded)
	return c.written(old, res)
}

// deleteRule refuses to delete a rule that resources follow.
func (c *call) deleteRule() (reply, error) {
	associations, err := under(c.tx, "/subscriptions", associationsType)
	if err != nil {
		return reply{}, err
	}
	for _, one := range associations {
		if strings.EqualFold(text(child(one, "properties"), "dataCollectionRuleId"), c.path) {
			return reply{}, conflict("Conflict", "The data collection rule '%s' has associations, such as '%s': delete them first.", c.name(), text(one, "id"))
		}
	}
	return c.deleteStored()
}

// putAssociation has a resource follow a data collection rule.
func (c *call) putAssociation() (reply, error) {
	old, res, err := c.beginExtension(associationsType)
	if err != nil {
		return reply{}, err
	}
	var given struct {
		RuleID     string `json:"dataCollectionRuleId"`
		EndpointID string `json:"dataCollectionEndpointId"`
	}
	if err := decode(child(res, "properties"), &given); err != nil {
		return reply{}, err
	}
	if given.EndpointID != "" {
		return reply{}, notImplemented("data collection endpoints")
	}
	rule := parse(http.MethodGet, given.RuleID)
	if _, ok, err := load(c.tx, given.RuleID); err != nil {
		return reply{}, err
	} else if !ok || !strings.EqualFold(rule.kind, rulesType) {
		return reply{}, badRequest("InvalidAssociation", "The data collection rule '%s' was not found.", given.RuleID)
	}
	return c.written(old, res)
}
