package tests

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

const tokenExchange = "api://AzureADTokenExchange"

// wrongCredentials tries the cluster's tokens and forgeries of them on Entra ID, which must issue no token, and on Key
// Vault, which must reveal nothing of the secret. Each must reject them with Azure's own error.
func wrongCredentials(c *cloud, random *mrand.Rand) func(t *testing.T) {
	return func(t *testing.T) {
		i := newIntruder(t, c)
		good := i.token(t, i.outputs.Namespace, i.outputs.ServiceAccounts[0], tokenExchange)
		right := i.accessToken(t, good, i.outputs.ClientID)
		i.canRead(t, right)
		entra := i.wrongAtEntra(t, good, random)
		for name, wrong := range entra {
			i.wantNoToken(t, name, wrong)
		}
		vault := i.wrongAtVault(t, good, right)
		for name, wrong := range vault {
			i.wantNothingRead(t, name, wrong)
		}

		// Removing a role or credential takes effect at once, also for a token that was issued before.
		i.canRead(t, right)
		c.arm(t, http.MethodDelete, c.resourceNamed(t, "keyvault-demo-mount-role-secret-my-secret").ID, "2022-04-01", "")
		i.wantNothingRead(t, "a role that was removed",
			refusal{token: right, status: http.StatusForbidden, code: "ForbiddenByRbac"})
		credential := c.resourceNamed(t, "keyvault-demo-credential-keyvault-ns_keyvault-sa")
		c.arm(t, http.MethodDelete, credential.ID, "2023-01-31", "")
		i.wantNoToken(t, "a credential that was removed", exchange{assertion: good, refused: "AADSTS700211:"})
		t.Logf("Entra ID rejected %d tokens, and Key Vault %d", len(entra)+1, len(vault)+1)
	}
}

// intruder has more than an attacker may get: the cluster's tokens, the key that signs them, and other identities.
type intruder struct {
	*cloud
	outputs stackOutputs
	client  policy.Transporter
	key     *rsa.PrivateKey // of the cluster's issuer
	secret  string          // what must not be read
	version string
}

func newIntruder(t *testing.T, c *cloud) *intruder {
	t.Helper()
	_, options, _ := c.azure(t)
	i := &intruder{cloud: c, outputs: c.outputs(t), client: options.Transport}
	files, err := filepath.Glob(filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pki", "service-account.key"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the service account keys are %q, want one: %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	key, err := parseKey(block)
	if err != nil {
		t.Fatal(err)
	}
	i.key = key.(*rsa.PrivateKey)
	grant(t, c, i.outputs.VaultID+"/secrets/my-secret", secretsOfficer)
	secrets, _ := vaultClients(t, c, i.outputs.VaultURI)
	i.secret, i.version = getSecret(t, secrets, "my-secret"), latest(t, secrets, "my-secret")
	return i
}

// token returns a token of a service account from the API server.
func (i *intruder) token(t *testing.T, namespace, account, audience string) string {
	t.Helper()
	return strings.TrimSpace(i.kubectl(t, "create", "token", "--namespace", namespace, account, "--audience", audience))
}

// signed returns a copy of a token with changed claims and header, signed with another method or key.
func signed(
	t *testing.T, of string, method jwt.SigningMethod, key any, change func(claims jwt.MapClaims, header map[string]any),
) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(of, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	made := jwt.NewWithClaims(method, parsed.Claims)
	made.Header["kid"] = parsed.Header["kid"]
	if change != nil {
		change(parsed.Claims.(jwt.MapClaims), made.Header)
	}
	token, err := made.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// exchange is a request to Entra ID to exchange a token, and the error that it must return.
type exchange struct {
	assertion, clientID, tenant string // clientID and tenant default to the workload's
	refused                     string
}

func (i *intruder) wrongAtEntra(t *testing.T, good string, random *mrand.Rand) map[string]exchange {
	t.Helper()
	namespace, account := i.outputs.Namespace, i.outputs.ServiceAccounts[0]
	i.kubectl(t, "create", "namespace", "elsewhere")
	i.kubectl(t, "create", "serviceaccount", "--namespace", "elsewhere", account)
	i.kubectl(t, "create", "serviceaccount", "--namespace", namespace, account+"2")
	elsewhere, other := i.token(t, "elsewhere", account, tokenExchange), i.token(t, namespace, account+"2", tokenExchange)
	issued := func(change func(claims jwt.MapClaims, header map[string]any)) string { // by the cluster's own key
		return signed(t, good, jwt.SigningMethodRS256, i.key, change)
	}
	claim := func(name string, value any) string {
		return issued(func(claims jwt.MapClaims, _ map[string]any) {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		})
	}
	if got := i.exchange(t, exchange{assertion: issued(nil)}); !strings.Contains(got.text, "access_token") {
		t.Fatalf("Entra ID rejects a token that is signed as the cluster signs, so the test proves nothing: %s", got.text)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(i.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	parts, otherParts := strings.Split(good, "."), strings.Split(other, ".")
	flipped := []byte(parts[2])
	for at := random.IntN(len(flipped) - 1); string(flipped) == parts[2]; { // the last letter has unused bits
		flipped[at] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[random.IntN(26)]
	}
	gone := i.identity(t, "gone", namespace, account)
	i.arm(t, http.MethodDelete, gone.id, "2023-01-31", "")
	issuer := i.outputs.IssuerURL
	return map[string]exchange{
		"the account of this name in another namespace": {assertion: elsewhere, refused: "AADSTS700213:"},
		"another account of the namespace":              {assertion: other, refused: "AADSTS700213:"},
		"an account with a wildcard": {
			assertion: claim("sub", "system:serviceaccount:"+namespace+":*"),
			refused:   "AADSTS700213:",
		},
		"no account": {assertion: claim("sub", nil), refused: "AADSTS700213:"},
		"the API server's audience": {
			assertion: i.token(t, namespace, account, issuer),
			refused:   "AADSTS700212:",
		},
		"the audience in lower case": {
			assertion: i.token(t, namespace, account, strings.ToLower(tokenExchange)),
			refused:   "AADSTS700212:",
		},
		"no audience": {assertion: claim("aud", nil), refused: "AADSTS700212:"},
		"expired": {
			assertion: claim("exp", time.Now().Add(-time.Minute).Unix()),
			refused:   "AADSTS700024:",
		},
		"without an end": {assertion: claim("exp", nil), refused: "AADSTS700024:"},
		"not valid yet": {
			assertion: claim("nbf", time.Now().Add(time.Hour).Unix()),
			refused:   "AADSTS700024:",
		},
		"another issuer": {
			assertion: claim("iss", "https://example.com/"),
			refused:   "AADSTS700211:",
		},
		"the issuer of another cluster": {
			assertion: claim("iss", strings.TrimSuffix(issuer, "/")+"0/"),
			refused:   "AADSTS700211:",
		},
		"signed with another key": {
			assertion: signed(t, good, jwt.SigningMethodRS256, stranger, nil),
			refused:   "AADSTS700027:",
		},
		"a signature that was changed": {
			assertion: parts[0] + "." + parts[1] + "." + string(flipped),
			refused:   "AADSTS700027:",
		},
		"the signature of another account's token": {
			assertion: parts[0] + "." + parts[1] + "." + otherParts[2],
			refused:   "AADSTS700027:",
		},
		"the account's claims in another account's token": {
			assertion: otherParts[0] + "." + parts[1] + "." + otherParts[2],
			refused:   "AADSTS700027:",
		},
		"a key that the issuer does not have": {
			assertion: issued(func(_ jwt.MapClaims, header map[string]any) { header["kid"] = "unknown" }),
			refused:   "AADSTS700027:",
		},
		"no key id": {
			assertion: issued(func(_ jwt.MapClaims, header map[string]any) { delete(header, "kid") }),
			refused:   "AADSTS700027:",
		},
		"alg none": {
			assertion: signed(t, good, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
			refused:   "AADSTS50027:",
		},
		"the public key as a password": {
			assertion: signed(t, good, jwt.SigningMethodHS256, public, nil),
			refused:   "AADSTS50027:",
		},
		"another algorithm": {
			assertion: signed(t, good, jwt.SigningMethodRS512, i.key, nil),
			refused:   "AADSTS50027:",
		},
		"a part of a token": {
			assertion: good[:random.IntN(len(parts[0])+len(parts[1]))+1],
			refused:   "AADSTS50027:",
		},
		"no token": {refused: "AADSTS7000218:"},
		"an identity without credentials": {
			assertion: good,
			clientID:  i.identity(t, "alone", "", "").clientID,
			refused:   "AADSTS700211:",
		},
		"an identity that trusts another account": {
			assertion: good,
			clientID:  i.identity(t, "others", namespace, "another").clientID,
			refused:   "AADSTS700213:",
		},
		"an identity that was deleted": {assertion: good, clientID: gone.clientID, refused: "AADSTS700016:"},
		"an identity that never was":   {assertion: good, clientID: uuid.NewString(), refused: "AADSTS700016:"},
		"another tenant":               {assertion: good, tenant: uuid.NewString(), refused: "AADSTS90002:"},
	}
}

// refusal is a token that Key Vault must reject, and the error that it must return.
type refusal struct {
	token  string
	status int
	code   string
	lists  bool // requests that list are allowed
}

const theValue = "GET secrets/my-secret"

func (i *intruder) wrongAtVault(t *testing.T, good, right string) map[string]refusal {
	t.Helper()
	namespace, account := i.outputs.Namespace, i.outputs.ServiceAccounts[0]
	vault := i.outputs.VaultID
	_, otherVault, _ := strings.Cut(i.outputs.VaultName, "-")
	otherVault = vault[:strings.LastIndexByte(vault, '/')+1] + "kv2-" + otherVault
	i.arm(t, http.MethodPut, otherVault, "2023-02-01", fmt.Sprintf(
		`{"location": "eastus", "properties": {"tenantId": %q, "sku": {"family": "A", "name": "standard"},
			"enableRbacAuthorization": true}}`,
		i.running(t).Credentials.TenantID,
	))
	for _, name := range []string{"other", "my-secret-2"} {
		i.arm(t, http.MethodPut, vault+"/secrets/"+name, "2023-02-01", `{"properties": {"value": "another"}}`)
	}
	// with returns the token of a new identity that trusts the account and has a role.
	with := func(name, scope, role string) string {
		identity := i.identity(t, name, namespace, account)
		if scope != "" {
			i.role(t, scope, role, identity.principalID)
		}
		return i.accessToken(t, good, identity.clientID)
	}
	forbidden := func(token string) refusal {
		return refusal{token: token, status: http.StatusForbidden, code: "ForbiddenByRbac"}
	}
	unauthorized := func(token, code string) refusal {
		return refusal{token: token, status: http.StatusUnauthorized, code: code}
	}
	i.setFaults(t, "rolesAfter: 1h")
	late := with("late", vault, secretsUser)
	i.setFaults(t, "{}")
	parts := strings.Split(right, ".")
	asAdmin := signed(t, right, jwt.SigningMethodRS256, i.key,
		func(claims jwt.MapClaims, _ map[string]any) { claims["oid"] = uuid.NewString() })
	return map[string]refusal{
		"no token":                            unauthorized("", "Unauthorized"),
		"the service account's token":         unauthorized(good, "Unauthorized"),
		"a token for Resource Manager":        unauthorized(i.ownersToken(t), "AKV10022"),
		"a token that the cluster has signed": unauthorized(asAdmin, "Unauthorized"),
		"a token with another's signature": unauthorized(
			strings.Join([]string{parts[0], parts[1], strings.Split(good, ".")[2]}, "."), "Unauthorized"),
		"a token without a signature": unauthorized(
			signed(t, right, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), "Unauthorized"),
		"an identity without a role":              forbidden(with("roleless", "", "")),
		"a role on another vault":                 forbidden(with("elsewhere", otherVault, secretsUser)),
		"a role on another secret":                forbidden(with("neighbour", vault+"/secrets/other", secretsUser)),
		"a role on a key":                         forbidden(with("keys", vault+"/keys/my-key", cryptoUser)),
		"a role that reads the vault's settings":  forbidden(with("reader", i.resourceGroup(), reader)),
		"a role that is not honoured yet":         forbidden(late),
		"a role on a secret that begins the same": forbidden(with("similar", vault+"/secrets/my-secret-2", secretsUser)),
		"a role that reads no values": {
			with("values", vault, vaultReader),
			http.StatusForbidden,
			"ForbiddenByRbac",
			true,
		},
	}
}

func (i *intruder) resourceGroup() string {
	group, _, _ := strings.Cut(i.outputs.VaultID, "/providers/")
	return group
}

// identity creates a user-assigned identity that trusts a service account, or none if account is empty.
func (i *intruder) identity(
	t *testing.T, name, namespace, account string,
) (made struct{ id, clientID, principalID string }) {
	t.Helper()
	made.id = i.resourceGroup() + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
	properties := i.arm(t, http.MethodPut, made.id, "2023-01-31", `{"location": "eastus"}`)["properties"].(map[string]any)
	made.clientID, made.principalID = properties["clientId"].(string), properties["principalId"].(string)
	if account != "" {
		i.arm(t, http.MethodPut, made.id+"/federatedIdentityCredentials/theirs", "2023-01-31", fmt.Sprintf(
			`{"properties": {"issuer": %q, "subject": "system:serviceaccount:%s:%s", "audiences": [%q]}}`, i.outputs.IssuerURL,
			namespace, account, tokenExchange))
	}
	return made
}

type answered struct {
	status int
	text   string
}

func (i *intruder) ask(t *testing.T, req *http.Request, err error) answered {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	status, content := send(t, i.client, req)
	return answered{status, string(content)}
}

func (i *intruder) exchange(t *testing.T, e exchange) answered {
	t.Helper()
	if e.clientID == "" {
		e.clientID = i.outputs.ClientID
	}
	if e.tenant == "" {
		e.tenant = i.running(t).Credentials.TenantID
	}
	form := url.Values{
		"grant_type": {"client_credentials"},
		"client_id":  {e.clientID},
		"scope":      {"https://vault.azure.net/.default"},
		"client_assertion_type": {
			"urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		},
		"client_assertion": {e.assertion},
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://login.microsoftonline.com/"+e.tenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return i.ask(t, req, err)
}

func (i *intruder) accessToken(t *testing.T, assertion, clientID string) string {
	t.Helper()
	got := i.exchange(t, exchange{assertion: assertion, clientID: clientID})
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(got.text), &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("Entra ID issues no token: %d %v", got.status, err)
	}
	return answer.AccessToken
}

func (i *intruder) wantNoToken(t *testing.T, name string, wrong exchange) {
	t.Helper()
	got := i.exchange(t, wrong)
	status := http.StatusUnauthorized
	for _, bad := range []string{"AADSTS50027:", "AADSTS700016:", "AADSTS90002:"} {
		if wrong.refused == bad {
			status = http.StatusBadRequest
		}
	}
	if got.status != status || !strings.Contains(got.text, wrong.refused) || strings.Contains(got.text, "access_token") {
		t.Errorf("%s: Entra ID returns %d, with error %s: %t; want %d with this error and no token", name, got.status,
			wrong.refused, strings.Contains(got.text, wrong.refused), status)
	}
}

// vaultRequests returns the requests that reveal something of the secret or change it, and their bodies.
func (i *intruder) vaultRequests() map[string]string {
	return map[string]string{
		theValue: "", "GET secrets/my-secret/" + i.version: "", "GET secrets": "", "GET secrets/my-secret/versions": "",
		"PUT secrets/my-secret": `{"value": "mine"}`, "DELETE secrets/my-secret": "",
		"PATCH secrets/my-secret/" + i.version: `{"attributes": {"enabled": false}}`,
	}
}

func (i *intruder) vault(t *testing.T, request, body, token string) answered {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, i.outputs.VaultURI+path+"?api-version=7.4",
		strings.NewReader(body))
	if err == nil && token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return i.ask(t, req, err)
}

func (i *intruder) canRead(t *testing.T, token string) {
	t.Helper()
	got := i.vault(t, theValue, "", token)
	var read struct{ Value string }
	if err := json.Unmarshal([]byte(got.text), &read); err != nil || read.Value != i.secret {
		t.Fatalf("the right token does not read the secret's value, so the test proves nothing: %d", got.status)
	}
}

func (i *intruder) wantNothingRead(t *testing.T, name string, wrong refusal) {
	t.Helper()
	for request, body := range i.vaultRequests() {
		if wrong.lists && (request == "GET secrets" || request == "GET secrets/my-secret/versions") {
			continue
		}
		got := i.vault(t, request, body, wrong.token)
		if got.status != wrong.status || !strings.Contains(got.text, wrong.code) ||
			containsSecret([]byte(got.text), i.secret) {
			t.Errorf("%s: Key Vault returns %d for %s, with error %s: %t; want %d with this error and no secret", name,
				got.status, request, wrong.code, strings.Contains(got.text, wrong.code), wrong.status)
		}
	}
}
