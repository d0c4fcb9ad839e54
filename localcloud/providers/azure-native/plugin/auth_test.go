package plugin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/ciissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
)

// noAmbientSignIn hides the machine's own credentials from a test.
func noAmbientSignIn(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID", "ARM_USE_OIDC", "ARM_OIDC_TOKEN",
		"ARM_OIDC_TOKEN_FILE_PATH", "ARM_OIDC_AUDIENCE", "ARM_OIDC_REQUEST_URL", "ARM_OIDC_REQUEST_TOKEN",
		"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
		"ARM_USE_DEFAULT_AZURE_CREDENTIAL", "ARM_CLIENT_CERTIFICATE_PATH",
	} {
		t.Setenv(name, "")
	}
}

// TestOIDC_SignsInAsIdentityOfToken signs in to the local cloud in each of azure-native's ways and reads the identity.
func TestOIDC_SignsInAsIdentityOfToken(t *testing.T) {
	noAmbientSignIn(t)
	client, owner := serveLocalCloud(t)
	engine := configured(t, Version2, client, owner)
	create := func(token, name string, inputs object) resource.PropertyMap {
		t.Helper()
		resp, err := engine.Create(t.Context(), plugin.CreateRequest{
			URN: urn(token, name), Properties: resource.NewPropertyMapFromMap(inputs),
		})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Properties
	}
	create("resources/v20220901:ResourceGroup", "rg", object{"resourceGroupName": "rg", "location": "eastus"})
	identity := create("managedidentity/v20230131:UserAssignedIdentity", "ci", object{
		"resourceGroupName": "rg", "resourceName": "ci-prod", "location": "eastus",
	})
	const prod, change = "repo:octo-org/octo-repo:environment:prod", "repo:octo-org/octo-repo:pull_request"
	create("managedidentity/v20230131:FederatedIdentityCredential", "github", object{
		"resourceGroupName": "rg",
		"resourceName":      "ci-prod",
		"federatedIdentityCredentialResourceName": "github",
		"issuer":    "https://token.actions.githubusercontent.com",
		"subject":   prod,
		"audiences": []any{"api://AzureADTokenExchange"},
	})

	order := func(subject string, job bool, into any) {
		t.Helper()
		body, err := json.Marshal(ciissuer.Order{Ask: ciissuer.Ask{CI: "github", Subject: subject}, Job: job})
		if err != nil {
			t.Fatal(err)
		}
		url := "https://" + faults.Host + "/ci-tokens"
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(owner["clientId"].StringValue(), owner["clientSecret"].StringValue())
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
	}
	var issued, another ciissuer.Issued
	order(prod, false, &issued)
	order(change, false, &another)
	var job ciissuer.Request
	order(prod, true, &job)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(issued.Token), 0o600); err != nil {
		t.Fatal(err)
	}

	oidc := func(pairs ...string) map[string]string {
		env := map[string]string{"ARM_USE_OIDC": "true"}
		for pair := range slices.Chunk(pairs, 2) {
			env[pair[0]] = pair[1]
		}
		return env
	}
	const requestURL, requestToken = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	nowhere := []string{requestURL, "https://nowhere", requestToken, "x"}
	asJob := []string{requestURL, job.URL, requestToken, job.Token}
	asJob2 := []string{"ARM_OIDC_REQUEST_URL", job.URL, "ARM_OIDC_REQUEST_TOKEN", job.Token}
	token := []string{"ARM_OIDC_TOKEN", issued.Token}
	for name, test := range map[string]struct {
		version string
		config  map[string]string
		env     map[string]string
		refused string // piece of the error; empty means success
	}{
		"token in the configuration": {
			Version2, map[string]string{"useOidc": "true", "oidcToken": issued.Token}, nil, "",
		},
		"token in the environment": {Version3, nil, oidc(token...), ""},
		"file":                     {Version2, nil, oidc("ARM_OIDC_TOKEN_FILE_PATH", file), ""},
		"job of GitHub":            {Version2, nil, oidc(asJob...), ""},
		"job of GitHub in v3":      {Version3, nil, oidc(asJob...), ""},
		"own variables of v2":      {Version2, nil, oidc(append(asJob2, nowhere...)...), ""},
		"token before job":         {Version2, nil, oidc(append(token, nowhere...)...), ""},
		"other audience in v3": {
			Version3, nil, oidc(append(asJob, "ARM_OIDC_AUDIENCE", "api://other")...), "AADSTS700212",
		},
		"token of a pull request": {Version2, nil, oidc("ARM_OIDC_TOKEN", another.Token), "AADSTS700213"},
		"job that does not run": {
			Version2, nil, oidc(requestURL, job.URL, requestToken, "x"), "GitHub OIDC: 401",
		},
		"client secret before OIDC": {
			Version2, map[string]string{"clientSecret": "guess"}, oidc(token...), "AADSTS7000215",
		},
		"variables of v2 in v3": {Version3, nil, oidc(asJob2...), requestURL},
		"token without ARM_USE_OIDC": {
			Version2, nil, map[string]string{"ARM_OIDC_TOKEN": issued.Token}, "clientSecret",
		},
		"OIDC without a token": {Version2, nil, oidc(), "ARM_OIDC_TOKEN"},
		"URL without a token":  {Version2, nil, oidc(requestURL, job.URL), requestToken},
		"missing file": {
			Version2, nil, oidc("ARM_OIDC_TOKEN_FILE_PATH", file+"2"), "failed to read OIDC token",
		},
		"certificate": {
			Version2, nil, oidc(append(token, "ARM_CLIENT_CERTIFICATE_PATH", "c.pfx")...), "not implemented here",
		},
		"default Azure credential": {
			Version3, map[string]string{"useDefaultAzureCredential": "true"}, nil, "not implemented here",
		},
		"missing tenant": {Version2, map[string]string{"tenantId": ""}, oidc(), "tenantId"},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range test.env {
				t.Setenv(variable, value)
			}
			inputs := resource.PropertyMap{
				"clientId": identity["clientId"], "tenantId": owner["tenantId"], "subscriptionId": owner["subscriptionId"],
			}
			for name, value := range test.config {
				inputs[resource.PropertyKey(name)] = str(value)
			}
			p := newAzureNative(test.version)
			p.options.Transport = client
			p.options.Retry.MaxRetries = -1
			p.pkg = basePackage
			served := serve(t, p)
			own := tokens.Type("pulumi:providers:azure-native")
			_, err := served.Configure(t.Context(), plugin.ConfigureRequest{Type: &own, Inputs: inputs})
			var who, token plugin.InvokeResponse
			if err == nil {
				who, err = served.Invoke(t.Context(), plugin.InvokeRequest{Tok: "azure-native:authorization:getClientConfig"})
			}
			if err == nil {
				token, err = served.Invoke(t.Context(), plugin.InvokeRequest{
					Tok:  "azure-native:authorization:getClientToken",
					Args: resource.PropertyMap{"endpoint": str("https://vault.azure.net")},
				})
			}
			switch {
			case test.refused != "":
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got %v, want %s", err, test.refused)
				}
			case err != nil:
				t.Error(err)
			case who.Properties["objectId"] != identity["principalId"],
				who.Properties["clientId"] != identity["clientId"],
				!token.Properties["token"].IsString():
				t.Errorf("got %v", who.Properties)
			}
		})
	}
}
