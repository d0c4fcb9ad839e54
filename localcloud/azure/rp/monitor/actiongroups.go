package monitor

import (
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/eventgrid"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// putActionGroup writes the receivers of alerts (learn.microsoft.com/rest/api/monitor/action-groups/create-or-update).
func putActionGroup(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(ActionGroupsType, false)
	if err != nil {
		return arm.Reply{}, err
	}
	location := arm.Text(c.Body, "location")
	if !fold.Equal(location, "global") {
		return arm.Reply{}, arm.NotImplemented("action groups in the location '%s', which is not Global", location)
	}
	res["location"] = "Global"
	properties := arm.Child(res, "properties")
	var given actionGroupProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	if n := len(given.ShortName); n < 1 || n > 12 {
		return arm.Reply{}, arm.BadRequest("GroupShortNameInvalid",
			"The short name '%s' of the action group must have 1 to 12 characters.", given.ShortName)
	}
	names := map[string]bool{}
	var addresses []string
	for i, one := range given.Emails {
		if one.Name == "" || names[one.Name] {
			return arm.Reply{}, arm.BadRequest("ReceiverNameInvalid",
				"The name '%s' of a receiver is empty or not unique.", one.Name)
		}
		names[one.Name] = true
		if local, domain, ok := strings.Cut(one.Address, "@"); !ok || local == "" || domain == "" {
			return arm.Reply{}, arm.BadRequest("EmailAddressInvalid",
				"The e-mail address of the receiver '%s' is not valid.", one.Name)
		}
		addresses = append(addresses, one.Address)
		shown, _ := properties["emailReceivers"].([]any)[i].(arm.Object)
		shown["status"] = "Enabled"
		arm.SetDefault(shown, "useCommonAlertSchema", false)
	}
	arm.SetDefault(properties, "enabled", true)
	if given.Enabled != nil && !*given.Enabled {
		addresses = nil
	}
	if err := eventgrid.PutEmails(c.Tx, arm.Text(res, "id"), addresses); err != nil {
		return arm.Reply{}, err
	}
	return c.Written(old, res)
}

type actionGroupProperties struct {
	ShortName string `json:"groupShortName"`
	Enabled   *bool  `json:"enabled"`
	Emails    []struct {
		Name    string `json:"name"`
		Address string `json:"emailAddress"`
		Common  *bool  `json:"useCommonAlertSchema"`
		Status  string `json:"status"`
	} `json:"emailReceivers"`
}

// deleteEmails deletes the receivers of a deleted group.
func deleteEmails(_ *arm.Service, tx *store.Tx, res arm.Object) error {
	return eventgrid.DeleteEmails(tx, arm.Text(res, "id"))
}
