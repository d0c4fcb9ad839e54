package resources_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

type m = arm.Object

const version = "?api-version=2022-09-01"

func TestGroup_KeepsItsLocation(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t)
	at := rm.Group("g") + version
	rm.Refused(http.MethodPut, at, m{"location": "westus"}, 409, "InvalidResourceGroupLocation")
	rm.Refused(http.MethodPut, armtest.ID("resourceGroups/g.")+version, m{"location": armtest.Location}, 400,
		"InvalidResourceName")
	if status, _ := rm.Ask(http.MethodHead, at, nil); status != http.StatusNoContent {
		t.Errorf("HEAD: %d", status)
	}
	if status, answer := rm.Ask(http.MethodDelete, at, nil); status != http.StatusAccepted {
		t.Fatalf("DELETE: %d %v", status, answer)
	}
	rm.Settle()
	rm.Refused(http.MethodGet, at, nil, 404, "ResourceGroupNotFound")
	rm.Refused(http.MethodDelete, at, nil, 404, "ResourceGroupNotFound")
}

// TestDeployment_ForgetsItsTemplate checks that a failed deployment deletes its template, which may contain secrets.
func TestDeployment_ForgetsItsTemplate(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t)
	at := rm.Group("g") + "/providers/Microsoft.Resources/deployments/d?api-version=2022-09-01"
	rm.Put(at, m{"properties": m{"mode": "Incremental", "template": m{
		"$schema": "s", "contentVersion": "1.0.0.0",
		"resources": []m{{"type": "Contoso.Boxes/boxes", "name": "n", "apiVersion": "2020-01-01"}},
	}}})
	if state := arm.ProvisioningState(rm.Get(at)); state != arm.Failed {
		t.Fatalf("the deployment is %s", state)
	}
	if err := rm.Store.View(func(tx *store.Tx) error {
		left, err := store.List[m](tx, "deployedTemplates", "")
		if len(left) > 0 {
			t.Errorf("the store still has %v", left)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestDeployment_RefusesInvalidTemplates(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t)
	at := rm.Group("g") + "/providers/Microsoft.Resources/deployments/d?api-version=2022-09-01"
	with := func(resources any) m {
		return m{
			"properties": m{
				"mode":     "Incremental",
				"template": m{"$schema": "s", "contentVersion": "1.0.0.0", "resources": resources},
			},
		}
	}
	for name, test := range map[string]struct {
		body m
		code string
	}{
		"no resources": {with(nil), "InvalidTemplate"},
		"no type":      {with([]m{{"name": "n", "apiVersion": "2020-01-01"}}), "InvalidTemplate"},
		"number":       {with([]any{1}), "InvalidTemplate"},
		"more names than types": {
			with([]m{{"type": "A.B/c", "name": "n/o", "apiVersion": "2020-01-01"}}), "InvalidTemplate",
		},
		"expression": {
			with([]m{{"type": "A.B/c", "name": "[variables('n')]", "apiVersion": "2020-01-01"}}), "NotImplemented",
		},
		"loop": {
			with([]m{{"type": "A.B/c", "name": "n", "apiVersion": "2020-01-01", "copy": m{}}}), "NotImplemented",
		},
	} {
		if status, answer := rm.Ask(http.MethodPut, at, test.body); status < 400 || armtest.Code(answer) != test.code {
			t.Errorf("%s: %d %v, want %s", name, status, answer, test.code)
		}
	}
	secret := []m{{"type": "A.B/c", "name": "n", "apiVersion": "2020-01-01", "properties": m{"value": `["marker"]`}}}
	_, answer := rm.Ask(http.MethodPut, at, with(secret))
	if armtest.Code(answer) != "NotImplemented" || strings.Contains(fmt.Sprint(answer), "marker") {
		t.Errorf("a secret in brackets: %v", answer)
	}
}
