package azure_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
)

// answer is a response of a service.
type answer struct {
	status int
	text   string
}

func (w *world) send(req *http.Request) answer {
	w.Helper()
	resp, err := w.client.Do(req)
	w.must(err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	w.must(err)
	return answer{resp.StatusCode, string(content)}
}

// exchange requests a token for Key Vault from Entra ID, with a valid form apart from changes.
func (w *world) exchange(assertion string, changes url.Values) answer {
	w.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {w.clientID}, "scope": {"https://vault.azure.net/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
	}
	tenant := azure.TenantID
	for name, values := range changes {
		if name == "tenant" {
			tenant = values[0]
			continue
		}
		form[name] = values
	}
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPost,
		"https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	w.must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.send(req)
}

// read reads the secret from Key Vault.
func (w *world) read(authorization string) answer {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.uri+"secrets/my-secret?api-version=7.4", nil)
	w.must(err)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return w.send(req)
}

// accessToken returns an access token of the identity with a client ID.
func (w *world) accessToken(clientID string) string {
	w.Helper()
	given := w.exchange(w.token(nil, nil), url.Values{"client_id": {clientID}})
	var token struct {
		AccessToken string `json:"access_token"`
	}
	w.must(json.Unmarshal([]byte(given.text), &token))
	if token.AccessToken == "" {
		w.Fatalf("no token: %d %s", given.status, given.text)
	}
	return token.AccessToken
}

func part(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }

// altered returns a token with changed claims, or with another header if one is given, and the old signature.
func altered(token, header string, change func(claims map[string]any)) string {
	parts := strings.Split(token, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	claims := map[string]any{}
	_ = json.Unmarshal(payload, &claims)
	if change != nil {
		change(claims)
	}
	changed, _ := json.Marshal(claims)
	if header != "" {
		parts[0] = part(header)
	}
	return parts[0] + "." + part(string(changed)) + "." + parts[2]
}

// withoutSignature returns a token with the algorithm none.
func withoutSignature(token string) string {
	parts := strings.Split(altered(token, `{"alg":"none","typ":"JWT"}`, nil), ".")
	return parts[0] + "." + parts[1] + "."
}

// TestCredentials_WrongOnesReadNoSecret checks that Entra ID and Key Vault refuse them with Azure's errors.
func TestCredentials_WrongOnesReadNoSecret(t *testing.T) {
	w := newWorld(t)
	w.grant(w.vaultID+"/secrets/my-secret", secretsUser)
	good := w.token(nil, nil)
	if got := w.read("Bearer " + w.accessToken(w.clientID)); got.status != http.StatusOK ||
		!strings.Contains(got.text, "the value") {
		t.Fatalf("the valid credential reads nothing: %d %s", got.status, got.text)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	public, err := x509.MarshalPKIXPublicKey(w.clusters.key.Public())
	w.must(err)
	claims := func(change func(*jwt.Claims)) string { return w.token(change, nil) }
	signed := func(algorithm jose.SignatureAlgorithm, key any) string {
		return w.token(nil, func(jose.SigningKey) jose.SigningKey { return jose.SigningKey{Algorithm: algorithm, Key: key} })
	}
	withHeader := func(header string) string { return altered(good, header, nil) }
	const other = "other"
	w.identity("g", other) // has no federated credential
	otherID := *w.identity("g", other).Properties.ClientID
	gone := *w.identity("g", "gone").Properties.ClientID
	w.must(w.federate("g", "gone", "fic", w.issuer, subject))
	w.must(w.remove("gone"))

	for name, test := range map[string]struct {
		assertion string
		form      url.Values
		status    int
		code      string
	}{
		"another namespace": {
			claims(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:other:sa" }), nil, 401, "AADSTS700213:",
		},
		"another service account": {
			claims(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:ns:other" }), nil, 401, "AADSTS700213:",
		},
		"a longer service account": {
			claims(func(c *jwt.Claims) { c.Subject += "2" }), nil, 401, "AADSTS700213:",
		},
		"a wildcard service account": {
			claims(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:ns:*" }), nil, 401, "AADSTS700213:",
		},
		"no subject": {
			claims(func(c *jwt.Claims) { c.Subject = "" }), nil, 401, "AADSTS700213:",
		},
		"the API server's audience": {
			claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://kubernetes.default.svc"} }),
			nil,
			401,
			"AADSTS700212:",
		},
		"no audience": {
			claims(func(c *jwt.Claims) { c.Audience = nil }), nil, 401, "AADSTS700212:",
		},
		"the audience in upper case": {
			claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{strings.ToUpper(audience)} }), nil, 401, "AADSTS700212:",
		},
		"expired": {
			claims(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Second)) }),
			nil,
			401,
			"AADSTS700024:",
		},
		"no expiry": {
			claims(func(c *jwt.Claims) { c.Expiry = nil }), nil, 401, "AADSTS700024:",
		},
		"not valid yet": {
			claims(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) }),
			nil,
			401,
			"AADSTS700024:",
		},
		"another issuer": {
			claims(func(c *jwt.Claims) { c.Issuer = "https://example.com/" }), nil, 401, "AADSTS700211:",
		},
		"another cluster's issuer": {
			claims(func(c *jwt.Claims) { c.Issuer = strings.Replace(c.Issuer, "eastus", "westus", 1) }),
			nil,
			401,
			"AADSTS700211:",
		},
		"Entra ID as the issuer": {
			claims(func(c *jwt.Claims) { c.Issuer = "https://sts.windows.net/" + azure.TenantID + "/" }),
			nil,
			401,
			"AADSTS700211:",
		},
		"signed with another key": {signed(jose.RS256, stranger), nil, 401, "AADSTS700027:"},
		"an unknown key": {
			withHeader(`{"alg":"RS256","kid":"unknown"}`), nil, 401, "AADSTS700027:",
		},
		"no key ID": {withHeader(`{"alg":"RS256"}`), nil, 401, "AADSTS700027:"},
		"a key in the token": {
			withHeader(`{"alg":"RS256","jku":"https://example.com/keys"}`), nil, 401, "AADSTS700027:",
		},
		"changed after signing": {
			altered(good, "", func(c map[string]any) { c["exp"] = time.Now().Add(24 * time.Hour).Unix() }),
			nil,
			401,
			"AADSTS700027:",
		},
		"alg none":                     {withoutSignature(good), nil, 400, "AADSTS50027:"},
		"the public key as a password": {signed(jose.HS256, public), nil, 400, "AADSTS50027:"},
		"another algorithm":            {signed(jose.RS512, w.clusters.key), nil, 400, "AADSTS50027:"},
		"half a token":                 {good[:len(good)/2], nil, 400, "AADSTS50027:"},
		"no token":                     {"", nil, 401, "AADSTS7000218:"},
		"another kind of assertion": {
			good,
			url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}},
			400,
			"AADSTS50027:",
		},
		"an identity without a credential": {good, url.Values{"client_id": {otherID}}, 401, "AADSTS700211:"},
		"a deleted identity":               {good, url.Values{"client_id": {gone}}, 400, "AADSTS700016:"},
		"an unknown identity": {
			good, url.Values{"client_id": {uuid.NewString()}}, 400, "AADSTS700016:",
		},
		"an object ID as client ID": {good, url.Values{"client_id": {w.principalID}}, 400, "AADSTS700016:"},
		"another tenant":            {good, url.Values{"tenant": {uuid.NewString()}}, 400, "AADSTS90002:"},
		"another grant": {
			good, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}}, 400, "AADSTS70003:",
		},
		"an unknown resource": {
			good, url.Values{"scope": {"https://example.com/.default"}}, 400, "AADSTS500011:",
		},
		"a client secret of an identity": {"", url.Values{"client_secret": {"guess"}}, 401, "AADSTS7000215:"},
		"an empty client secret":         {"", url.Values{"client_secret": {" "}}, 401, "AADSTS7000215:"},
	} {
		got := w.exchange(test.assertion, test.form)
		if got.status != test.status || !strings.Contains(got.text, test.code) || strings.Contains(got.text, "access_token") {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.text, test.status, test.code)
		}
	}

	// Access tokens, real and forged.
	own := w.accessToken(w.clientID)
	owner, err := w.owner.GetToken(t.Context(), vaultScope)
	w.must(err)
	manager, err := w.owner.GetToken(t.Context(), armScope)
	w.must(err)
	as := func(identity string, scopes ...string) string { // a new identity with Secrets User at the scopes
		made := w.identity("g", identity)
		w.must(w.federate("g", identity, "fic", w.issuer, subject))
		for _, scope := range scopes {
			_, err := w.assign(scope, secretsUser, *made.Properties.PrincipalID, servicePrincipal)
			w.must(err)
		}
		return "Bearer " + w.accessToken(*made.Properties.ClientID)
	}
	w.putSecret("other", "another value")
	w.must(w.putVault("g", "kv-other", nil))
	elsewhere := strings.Replace(w.vaultID, "kv-data", "kv-other", 1)
	reader := w.identity("g", "reader")
	w.must(w.federate("g", "reader", "fic", w.issuer, subject))
	_, err = w.assign(w.vaultID, vaultReader, *reader.Properties.PrincipalID, servicePrincipal)
	w.must(err)
	w.fail(faults.Plan{RolesAfter: faults.Duration(time.Hour)})
	late := as("late", w.vaultID)
	w.fail(faults.Plan{})
	for name, test := range map[string]struct {
		authorization string
		status        int
		code          string
	}{
		"nothing":                   {"", 401, "Unauthorized"},
		"no scheme":                 {own, 401, "Unauthorized"},
		"another scheme":            {"Basic " + own, 401, "Unauthorized"},
		"the service account's own": {"Bearer " + good, 401, "Unauthorized"},
		"one for Resource Manager":  {"Bearer " + manager.Token, 401, "AKV10022"},
		"one with another object ID": {
			"Bearer " + altered(own, "", func(c map[string]any) { c["oid"] = w.ownerPrincipal() }), 401, "Unauthorized",
		},
		"one without a signature":          {"Bearer " + withoutSignature(own), 401, "Unauthorized"},
		"half of one":                      {"Bearer " + own[:len(own)/2], 401, "Unauthorized"},
		"the subscription's owner":         {"Bearer " + owner.Token, 403, "ForbiddenByRbac"},
		"an identity without a role":       {as("roleless"), 403, "ForbiddenByRbac"},
		"a role on another secret":         {as("neighbour", w.vaultID+"/secrets/other"), 403, "ForbiddenByRbac"},
		"a role on a key":                  {as("keys", w.vaultID+"/keys/my-key"), 403, "ForbiddenByRbac"},
		"a role on another vault":          {as("elsewhere", elsewhere), 403, "ForbiddenByRbac"},
		"a role that reads no values":      {"Bearer " + w.accessToken(*reader.Properties.ClientID), 403, "ForbiddenByRbac"},
		"a role that is not in effect yet": {late, 403, "ForbiddenByRbac"},
	} {
		got := w.read(test.authorization)
		if got.status != test.status || !strings.Contains(got.text, test.code) || strings.Contains(got.text, "the value") {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.text, test.status, test.code)
		}
	}

	// Revoking access also affects tokens that were issued before.
	assignments, err := w.assignmentsAt(w.vaultID + "/secrets/my-secret")
	w.must(err)
	for _, name := range assignments {
		_, err := w.assignments().Delete(t.Context(), w.vaultID+"/secrets/my-secret", name, nil)
		w.must(err)
	}
	if got := w.read("Bearer " + own); got.status != http.StatusForbidden {
		t.Errorf("after the role's removal: %d %s", got.status, got.text)
	}
	credentials, err := armmsi.NewFederatedIdentityCredentialsClient(azure.SubscriptionID, w.fixture.owner, w.arm())
	w.must(err)
	_, err = credentials.Delete(t.Context(), "g", "uai", "fic", nil)
	w.must(err)
	if got := w.exchange(good, nil); got.status != http.StatusUnauthorized ||
		!strings.Contains(got.text, "AADSTS700211:") {
		t.Errorf("after the credential's removal: %d %s", got.status, got.text)
	}
}

// remove deletes an identity of the group g.
func (w *world) remove(name string) error {
	identities, err := armmsi.NewUserAssignedIdentitiesClient(azure.SubscriptionID, w.fixture.owner, w.arm())
	w.must(err)
	_, err = identities.Delete(w.Context(), "g", name, nil)
	return err
}

// assignmentsAt returns the names of the assignments at exactly a scope.
func (w *world) assignmentsAt(scope string) (names []string, err error) {
	for pager := w.assignments().NewListForScopePager(scope, nil); pager.More(); {
		page, err := pager.NextPage(w.Context())
		if err != nil {
			return nil, err
		}
		for _, a := range page.Value {
			if strings.EqualFold(*a.Properties.Scope, scope) {
				names = append(names, *a.Name)
			}
		}
	}
	return names, nil
}

// TestToken_ForGraphNamesItsPrincipal checks the claims that azure-native reads in getClientConfig, and that other
// services refuse the token.
func TestToken_ForGraphNamesItsPrincipal(t *testing.T) {
	f := newFixture(t)
	for _, scope := range []string{"https://graph.microsoft.com/.default", "https://graph.microsoft.com//.default"} {
		token, err := f.owner.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := jwt.ParseSigned(token.Token, []jose.SignatureAlgorithm{jose.RS256})
		f.must(err)
		var claims struct {
			AppID    string `json:"appid"`
			ObjectID string `json:"oid"`
			TenantID string `json:"tid"`
		}
		f.must(signed.UnsafeClaimsWithoutVerification(&claims))
		if claims.AppID != f.cloud.Credentials().ClientID || claims.TenantID != azure.TenantID ||
			uuid.Validate(claims.ObjectID) != nil {
			t.Errorf("%s: the token says %+v", scope, claims)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"https://management.azure.com/subscriptions/"+azure.SubscriptionID+"?api-version=2022-12-01", nil)
		f.must(err)
		req.Header.Set("Authorization", "Bearer "+token.Token)
		resp, err := f.client.Do(req)
		f.must(err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: Resource Manager accepts the token: %s", scope, resp.Status)
		}
	}
}
