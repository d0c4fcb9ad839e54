package operationalinsights

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

const workspacesType = "Microsoft.OperationalInsights/workspaces"

// CheckWorkspace checks that a workspace that another resource refers to exists.
func CheckWorkspace(c *arm.Call, id string) error {
	workspace, ok := arm.ParseID(id, workspacesType)
	if !ok {
		return arm.BadRequest("BadRequest", "The workspace '%s' is not the id of a Log Analytics workspace.", id)
	}
	_, ok, err := arm.Load(c.Tx, id)
	if err == nil && !ok {
		err = arm.Refuse(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was "+
			"not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
			workspacesType, workspace.Name, workspace.ResourceGroupName)
	}
	return err
}

type workspaceProperties struct {
	SKU struct {
		Name string `json:"name"`
	} `json:"sku"`
	RetentionInDays *int `json:"retentionInDays"`
}

func putWorkspace(c *arm.Call) (arm.Reply, error) {
	old, res, err := c.Begin(workspacesType, true)
	if err != nil {
		return arm.Reply{}, err
	}
	properties := arm.Child(res, "properties")
	var given workspaceProperties
	if err := arm.Decode(properties, &given); err != nil {
		return arm.Reply{}, err
	}
	days := 30
	if given.RetentionInDays != nil {
		days = *given.RetentionInDays
	}
	skus := []string{
		"",
		"pergb2018",
		"pernode",
		"standalone",
		"capacityreservation",
		"lacluster",
		"free",
		"standard",
		"premium",
	}
	switch sku := strings.ToLower(given.SKU.Name); {
	case !slices.Contains(skus, sku):
		return arm.Reply{}, arm.BadRequest("InvalidParameter", "The sku '%s' is not valid.", given.SKU.Name)
	case sku != "" && sku != "pergb2018":
		return arm.Reply{}, arm.NotImplemented("workspaces of the sku %s", given.SKU.Name)
	case days < 30 || days > 730:
		return arm.Reply{}, arm.BadRequest("InvalidParameter",
			"'RetentionInDays' property doesn't match the SKU limits: 30 to 730 days, not %d.", days)
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	properties["customerId"], properties["createdDate"] = uuid.NewString(), now
	if old != nil {
		had := arm.Child(old, "properties")
		properties["customerId"], properties["createdDate"] = had["customerId"], had["createdDate"]
	}
	properties["modifiedDate"], properties["retentionInDays"] = now, days
	properties["sku"] = arm.Object{"name": "PerGB2018", "lastSkuUpdate": properties["createdDate"]}
	arm.SetDefault(properties, "workspaceCapping", arm.Object{"dailyQuotaGb": -1, "dataIngestionStatus": "RespectQuota"})
	arm.SetDefault(properties, "publicNetworkAccessForIngestion", "Enabled")
	arm.SetDefault(properties, "publicNetworkAccessForQuery", "Enabled")
	arm.SetDefault(properties, "features", arm.Object{"enableLogAccessUsingOnlyResourcePermissions": true})
	arm.SetState(res, arm.Succeeded)
	return c.Written(old, res)
}
