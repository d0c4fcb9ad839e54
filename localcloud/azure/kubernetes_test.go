package azure_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
)

// download decodes the JSON at a URL.
func (f *fixture) download(url string, into any) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), http.MethodGet, url, nil)
	f.must(err)
	resp, err := f.client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		f.Fatalf("GET %s: %s", url, resp.Status)
	}
	f.must(json.NewDecoder(resp.Body).Decode(into))
}

func TestAPIServerToken_IsVerifiedByPublishedKeys(t *testing.T) {
	f := newFixture(t)
	got, err := f.owner.GetToken(f.Context(), policy.TokenRequestOptions{
		Scopes: []string{entra.KubernetesServer + "/.default"},
	})
	f.must(err)
	token, err := jwt.ParseSigned(got.Token, []jose.SignatureAlgorithm{jose.RS256})
	f.must(err)
	var unverified jwt.Claims
	f.must(token.UnsafeClaimsWithoutVerification(&unverified))
	if want := "https://sts.windows.net/" + azure.TenantID + "/"; unverified.Issuer != want {
		t.Errorf("issuer %s, want %s", unverified.Issuer, want)
	}
	// OpenID Connect Discovery: the document is below the issuer and has its name.
	var configuration struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	f.download(unverified.Issuer+".well-known/openid-configuration", &configuration)
	if configuration.Issuer != unverified.Issuer {
		t.Errorf("issuer %s: metadata has issuer %s", unverified.Issuer, configuration.Issuer)
	}
	var keys jose.JSONWebKeySet
	f.download(configuration.JWKS, &keys)
	var claims jwt.Claims
	f.must(token.Claims(keys, &claims))
	if !claims.Audience.Contains(entra.KubernetesServer) {
		t.Errorf("audience %v", claims.Audience)
	}
}

func TestGuard_IsServedByEdge(t *testing.T) {
	f := newFixture(t)
	req, err := http.NewRequestWithContext(f.Context(), http.MethodPost, guard.TokenReviewURL("/subscriptions/s"),
		http.NoBody)
	f.must(err)
	resp, err := f.client.Do(req)
	f.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without a review: %s", resp.Status)
	}
}
