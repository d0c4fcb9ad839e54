package managedidentity_test

import (
	"fmt"
	"net/http"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/managedidentity"
)

type m = arm.Object

const version = "?api-version=2023-01-31"

func at(path string) string {
	return armtest.ID("resourceGroups/g/providers", managedidentity.IdentitiesType, path) + version
}

func credential(subject string, audiences ...string) m {
	return m{"properties": m{"issuer": "https://issuer.example.com/", "subject": subject, "audiences": audiences}}
}

func TestIdentity_KeepsItsIDs(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, managedidentity.Provider(0))
	rm.Group("g")
	ids := func() string {
		p := arm.Child(rm.Get(at("one")), "properties")
		return arm.Text(p, "clientId") + " " + arm.Text(p, "principalId")
	}
	rm.Put(at("one"), m{"location": armtest.Location})
	first := ids()
	rm.Put(at("one"), m{"location": armtest.Location, "tags": m{"a": "b"}})
	if ids() != first {
		t.Errorf("the ids were %s and are %s", first, ids())
	}
	rm.Ask(http.MethodDelete, at("one"), nil)
	rm.Put(at("one"), m{"location": armtest.Location})
	if ids() == first {
		t.Error("an identity that was deleted and created again has the old ids")
	}
}

func TestFederatedCredentials_AreLimitedAndDistinct(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, managedidentity.Provider(0))
	rm.Group("g")
	rm.Put(at("one"), m{"location": armtest.Location})
	fic := func(name string) string { return at("one/federatedIdentityCredentials/" + name) }
	for i := range 20 {
		rm.Put(fic(fmt.Sprintf("fic-%d", i)), credential(fmt.Sprint("s", i), "api://AzureADTokenExchange"))
	}
	rm.Refused(http.MethodPut, fic("fic-20"), credential("s20", "a"), 400, "BadRequest")
	rm.Refused(http.MethodPut, fic("fic-0"), credential("s1", "a"), 409, "Conflict")
	rm.Refused(http.MethodPut, fic("fic-0"), credential("", "a"), 400, "BadRequest")
	rm.Refused(http.MethodPut, fic("fic-0"), credential("s0", "a", "b"), 400, "BadRequest")
	rm.Refused(http.MethodPut, fic("fic-0"), credential("s0"), 400, "InvalidRequestContent")
	rm.Refused(http.MethodPut, fic("no"), credential("s0", "a"), 400, "InvalidResourceName")
	rm.Refused(http.MethodPut, at("none/federatedIdentityCredentials/fic"), credential("s0", "a"), 404,
		"ParentResourceNotFound")
}
