package arm

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const workspacesType = "Microsoft.OperationalInsights/workspaces"

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
