package keyvault

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// AccessPolicy grants permissions on all objects of a vault without RBAC to a principal or the members of a group
// (learn.microsoft.com/azure/key-vault/general/assign-access-policy).
type AccessPolicy struct {
	ObjectID    string
	Permissions map[Kind][]string
}

// Permissions lists the permissions of access policies for each kind of objects, besides "all"
// (learn.microsoft.com/rest/api/keyvault/keyvault/vaults/create-or-update#permissions).
var Permissions = map[Kind][]string{
	Secret: {"get", "list", "set", "delete", "backup", "restore", "recover", "purge"},
	Key: {
		"encrypt",
		"decrypt",
		"wrapKey",
		"unwrapKey",
		"sign",
		"verify",
		"get",
		"list",
		"create",
		"update",
		"import",
		"delete",
		"backup",
		"restore",
		"recover",
		"purge",
		"release",
		"rotate",
		"getrotationpolicy",
		"setrotationpolicy",
	},
	Certificate: {
		"get",
		"list",
		"delete",
		"create",
		"import",
		"update",
		"managecontacts",
		"getissuers",
		"listissuers",
		"setissuers",
		"deleteissuers",
		"manageissuers",
		"recover",
		"purge",
		"backup",
		"restore",
	},
}

// checkPolicies checks the vault's access policies.
func (c *call) checkPolicies(p entra.Principal, r route) error {
	for _, policy := range c.vault.Policies {
		is := func(id string) bool { return fold.Equal(id, policy.ObjectID) }
		gives := func(permission string) bool {
			return strings.EqualFold(permission, r.permission) || strings.EqualFold(permission, "all") && r.permission != "purge"
		}
		if (is(p.ObjectID) || slices.ContainsFunc(p.Groups, is)) && slices.ContainsFunc(policy.Permissions[r.kind], gives) {
			c.decided(authorization.Decision{
				Allowed: true, Action: r.fullAction(), Scope: c.scope(), Plane: authorization.Data.Name(), Because: "access policy",
			})
			return nil
		}
	}
	c.decided(c.refusal(r, fmt.Sprintf("an access policy of the vault that gives the caller the permission %s of %s",
		r.permission, r.kind.plural())))
	return &Error{
		Status: http.StatusForbidden,
		Code:   "Forbidden",
		Inner:  "AccessDenied",
		Message: fmt.Sprintf(
			"The user, group or application 'appid=%s;oid=%s;iss=%s' does not have %s %s permission on key vault "+
				"'%s;location=%s'. "+
				"For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
			p.ClientID,
			p.ObjectID,
			p.Issuer,
			r.kind.plural(),
			strings.ToLower(r.permission),
			c.vault.Name,
			c.vault.Location,
		),
	}
}
