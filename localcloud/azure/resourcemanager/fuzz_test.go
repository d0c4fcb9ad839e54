package resourcemanager_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
)

func unescape(path string) (string, error) { return url.PathUnescape(path) }

func codeOf(answer *httptest.ResponseRecorder) string {
	var decoded arm.Object
	_ = json.Unmarshal(answer.Body.Bytes(), &decoded) // some answers have no body
	return armtest.Code(decoded)
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{
		"",
		"/",
		"providers",
		"/providers/",
		"/subscriptions",
		"/subscriptions/s/resourceGroups/g/providers/A.B/c/d/providers/E.F/h/i",
		"/subscriptions/s/resourceGroups/g/providers/A.B/c/open",
		"/providers/providers/providers",
		"//subscriptions//s/./..",
	} {
		f.Add("GET", path)
		f.Add("POST", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		first := arm.Parse(method, path)
		again := arm.Parse(method, first.Path)
		if again.Path != first.Path || again.Kind != first.Kind || len(again.Names) != len(first.Names) {
			t.Errorf("Parse(%q) = %+v; Parse of its Path = %+v", path, first, again)
		}
	})
}

func FuzzServeHTTP(f *testing.F) {
	rm := armtest.New(f, boxProvider(nil))
	rm.Group("g")
	rm.Put(boxAt("one")+version, m{"location": "eastus"})
	group := armtest.ID("resourceGroups/g")
	for _, path := range []string{
		boxAt("one"),
		boxAt("one/lids/top"),
		armtest.ID("providers", boxes),
		group,
		armtest.ID("resourceGroups"),
		"/subscriptions",
		"/",
		"/providers/" + boxes,
		group + "/providers/Microsoft.Authorization/locks/l",
		group + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555",
		group + "/providers/Microsoft.Authorization/roleAssignments",
		armtest.ID("providers/Contoso.Storage/register"),
		group + "/providers/Microsoft.Resources/deployments/d",
		group + "/resources",
		group + "/exportTemplate",
		"/tenants",
	} {
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "POST", "HEAD"} {
			f.Add(method, path, "api-version=2020-01-01", "Content-Type", "application/json",
				`{"location":"eastus","properties":{"level":"ReadOnly"}}`)
			f.Add(method, path, "api-version=2022-09-01&$filter=x", "If-Match", "*", `{"tags":{"a":null}}`)
		}
	}
	f.Fuzz(func(t *testing.T, method, path, query, header, value, body string) {
		unescaped, err := unescape(path)
		if err != nil || strings.ContainsAny(method, " \r\n") {
			return // a server would not accept the request
		}
		req := httptest.NewRequest(http.MethodGet, "https://"+arm.Host+"/", strings.NewReader(body))
		req.Method, req.URL.Path, req.URL.RawPath, req.URL.RawQuery = method, unescaped, path, query
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(header, value)
		answer := rm.Send(rm.Owner(), req)
		if answer.Code == http.StatusInternalServerError ||
			answer.Code >= http.StatusBadRequest && method != http.MethodHead && codeOf(answer) == "" {
			t.Errorf("%s %s?%s with %s: %s and %q: %d %s", method, path, query, header, value, body, answer.Code, answer.Body)
		}
	})
}
