package azure

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecord_OmitsSecrets(t *testing.T) {
	for what, body := range map[string]string{
		"a secret's value": `{"properties": {"value": "marker", "contentType": "kept"}}`,
		"one of a template": `{"properties": {"template": {"resources": [` +
			`{"name": "kept", "properties": {"value": "marker"}}]}}}`,
		"a webhook's URL": `{"properties": {"destination": {"endpointType": "kept",` +
			`"properties": {"endpointUrl": "https://localhost/?code=marker"}}}}`,
		"a service principal's secret": `{"properties": {"servicePrincipalProfile": {` +
			`"clientId": "kept", "secret": "marker"}}}`,
		"a password": `{"properties": {"windowsProfile": {"adminUsername": "kept", "adminPassword": "marker"}}}`,
		"a receiver's URL": `{"properties": {"webhookReceivers": [` +
			`{"name": "kept", "serviceUri": "https://localhost/?code=marker"}]}}`,
		"a parameter of a template": `{"properties": {"parameters": {"kept": {"value": "marker"}}}}`,
		"in another case":           `{"properties": {"Value": "marker", "contentType": "kept"}}`,
	} {
		dir := t.TempDir()
		req := httptest.NewRequest(http.MethodPut, "/subscriptions/s?api-version=1", nil)
		if err := record(dir, req, []byte(body)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, "subscriptions_s.json"))
		if err != nil || strings.Contains(string(content), "marker") || !strings.Contains(string(content), "kept") {
			t.Errorf("%s: %v, recorded as %s", what, err, content)
		}
	}
}
