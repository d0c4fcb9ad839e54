package azure_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/oidcissuer"
)

// world has a vault with a secret and a key, a cluster, and an identity federated with a service account.
type world struct {
	*fixture
	vaultID, uri, issuer, clientID, principalID string
}

const (
	subject  = "system:serviceaccount:ns:sa"
	audience = "api://AzureADTokenExchange"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	f := newFixture(t)
	group := f.group("g")
	f.must(f.putVault("g", "kv-data", nil))
	cluster, err := f.putCluster(nil)
	f.must(err)
	uai := f.identity("g", "uai")
	w := &world{
		fixture:     f,
		vaultID:     group + "/providers/Microsoft.KeyVault/vaults/kv-data",
		uri:         "https://kv-data.vault.azure.net/",
		issuer:      *cluster.Properties.OidcIssuerProfile.IssuerURL,
		clientID:    *uai.Properties.ClientID,
		principalID: *uai.Properties.PrincipalID,
	}
	f.must(f.federate("g", "uai", "fic", w.issuer, subject))
	w.putSecret("my-secret", "the value")
	keys, err := armkeyvault.NewKeysClient(azure.SubscriptionID, f.owner, f.arm())
	f.must(err)
	_, err = keys.CreateIfNotExist(f.Context(), "g", "kv-data", "my-key", armkeyvault.KeyCreateParameters{
		Properties: &armkeyvault.KeyProperties{
			Kty:       to.Ptr(armkeyvault.JSONWebKeyTypeEC),
			CurveName: to.Ptr(armkeyvault.JSONWebKeyCurveNameP256),
		},
	}, nil)
	f.must(err)
	return w
}

// putSecret writes a secret through Resource Manager, as Pulumi does.
func (w *world) putSecret(name, value string) {
	w.Helper()
	secrets, err := armkeyvault.NewSecretsClient(azure.SubscriptionID, w.owner, w.arm())
	w.must(err)
	made, err := secrets.CreateOrUpdate(w.Context(), "g", "kv-data", name, armkeyvault.SecretCreateOrUpdateParameters{
		Properties: &armkeyvault.SecretProperties{Value: &value},
	}, nil)
	w.must(err)
	if made.Properties.Value != nil {
		w.Error("Resource Manager returns a secret's value")
	}
}

func (w *world) grant(scope, role string) string {
	w.Helper()
	name, err := w.assign(scope, role, w.principalID, servicePrincipal)
	w.must(err)
	return name
}

// token returns a service account token as the cluster's API server issues it, with a change.
func (w *world) token(change func(*jwt.Claims), with func(jose.SigningKey) jose.SigningKey) string {
	w.Helper()
	now := time.Now()
	claims := jwt.Claims{
		Issuer:    w.issuer,
		Subject:   subject,
		Audience:  jwt.Audience{audience},
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)),
		Expiry:    jwt.NewNumericDate(now.Add(time.Hour)),
	}
	if change != nil {
		change(&claims)
	}
	key := jose.SigningKey{Algorithm: jose.RS256, Key: w.clusters.key}
	if with != nil {
		key = with(key)
	}
	id, err := oidcissuer.KeyID(w.clusters.key.Public())
	w.must(err)
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithHeader("kid", id))
	w.must(err)
	signed, err := jwt.Signed(signer).Claims(claims).Serialize()
	w.must(err)
	return signed
}

// secretsAs returns a client that authenticates with a service account token, as the Azure provider does.
func (w *world) secretsAs(clientID, token string) *azsecrets.Client {
	w.Helper()
	credential, err := azidentity.NewClientAssertionCredential(azure.TenantID, clientID,
		func(context.Context) (string, error) { return token, nil },
		&azidentity.ClientAssertionCredentialOptions{ClientOptions: w.options()})
	w.must(err)
	return w.secretsOf(credential)
}

func (w *world) secretsOf(credential azcore.TokenCredential) *azsecrets.Client {
	w.Helper()
	client, err := azsecrets.NewClient(w.uri, credential, &azsecrets.ClientOptions{ClientOptions: w.options()})
	w.must(err)
	return client
}

func TestServiceAccountToken_ReadsSecretOfIdentity(t *testing.T) {
	w := newWorld(t)
	w.grant(w.vaultID+"/secrets/my-secret", secretsUser)
	got, err := w.secretsAs(w.clientID, w.token(nil, nil)).GetSecret(t.Context(), "my-secret", "", nil)
	w.must(err)
	if *got.Value != "the value" || got.ID.Version() == "" {
		t.Errorf("got another value, or no version in %s", *got.ID)
	}
}

// TestServiceAccountToken_WrongClaimIsRefused checks Entra ID's error for each claim.
func TestServiceAccountToken_WrongClaimIsRefused(t *testing.T) {
	w := newWorld(t)
	w.grant(w.vaultID, secretsUser)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	unsigned := func() string {
		parts := strings.Split(w.token(nil, nil), ".")
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	}
	for name, test := range map[string]struct{ clientID, token, code string }{
		"another namespace": {
			w.clientID, w.token(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:other:sa" }, nil), "AADSTS700213",
		},
		"another service account": {
			w.clientID, w.token(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:ns:other" }, nil), "AADSTS700213",
		},
		"subject in upper case": {
			w.clientID, w.token(func(c *jwt.Claims) { c.Subject = strings.ToUpper(subject) }, nil), "AADSTS700213",
		},
		"another audience": {
			w.clientID,
			w.token(func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://kubernetes.default.svc"} }, nil),
			"AADSTS700212",
		},
		"another issuer": {
			w.clientID, w.token(func(c *jwt.Claims) { c.Issuer = "https://example.com/" }, nil), "AADSTS700211",
		},
		"issuer without a slash": {
			w.clientID, w.token(func(c *jwt.Claims) { c.Issuer = strings.TrimSuffix(c.Issuer, "/") }, nil), "AADSTS700211",
		},
		"expired": {
			w.clientID,
			w.token(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Minute)) }, nil),
			"AADSTS700024",
		},
		"not valid yet": {
			w.clientID,
			w.token(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) }, nil),
			"AADSTS700024",
		},
		"forged": {
			w.clientID, w.token(nil, func(k jose.SigningKey) jose.SigningKey { k.Key = stranger; return k }), "AADSTS700027",
		},
		"alg none":               {w.clientID, unsigned(), "AADSTS50027"},
		"an unknown application": {uuid.NewString(), w.token(nil, nil), "AADSTS700016"},
	} {
		_, err := w.secretsAs(test.clientID, test.token).GetSecret(t.Context(), "my-secret", "", nil)
		var refused *azidentity.AuthenticationFailedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.code+":") {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
}

func TestRole_AppliesAtItsScopeAndBelow(t *testing.T) {
	w := newWorld(t)
	w.putSecret("other", "another value")
	w.must(w.putVault("g", "kv-other", nil))
	secrets := w.secretsAs(w.clientID, w.token(nil, nil))
	read := func() error {
		_, err := secrets.GetSecret(t.Context(), "my-secret", "", nil)
		return err
	}
	w.refused(read(), http.StatusForbidden, "Forbidden")
	for name, scope := range map[string]string{
		"another object": w.vaultID + "/secrets/other", "another vault": strings.Replace(w.vaultID, "kv-data", "kv-other", 1),
		"a key": w.vaultID + "/keys/my-key",
	} {
		w.grant(scope, secretsUser)
		if err := read(); err == nil {
			t.Errorf("a role on %s reads it", name)
		}
	}
	w.grant(w.vaultID, vaultReader)
	w.refused(read(), http.StatusForbidden, "Forbidden")
	for name, scope := range map[string]string{
		"the object":         w.vaultID + "/secrets/my-secret",
		"the vault":          w.vaultID,
		"the resource group": path("resourceGroups/g"),
		"the subscription":   "/subscriptions/" + azure.SubscriptionID,
	} {
		assignment := w.grant(scope, secretsUser)
		if err := read(); err != nil {
			t.Errorf("a role on %s: %v", name, err)
		}
		_, err := w.assignments().Delete(t.Context(), scope, assignment, nil)
		w.must(err)
		if err := read(); err == nil {
			t.Errorf("a role on %s that was removed still reads", name)
		}
	}
}

func TestVault_ChallengesAndChecksAudience(t *testing.T) {
	w := newWorld(t)
	get := func(token string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.uri+"secrets/my-secret/?api-version=7.4", nil)
		w.must(err)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := w.client.Do(req)
		w.must(err)
		resp.Body.Close()
		return resp
	}
	const authority = "https://login.microsoftonline.com/" + azure.TenantID
	want := `Bearer authorization="` + authority + `", resource="https://vault.azure.net"`
	if resp := get(""); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != want {
		t.Errorf("%s with %q", resp.Status, resp.Header.Get("WWW-Authenticate"))
	}
	arm, err := w.owner.GetToken(t.Context(), armScope)
	w.must(err)
	if resp := get(arm.Token); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token for Resource Manager: %s", resp.Status)
	}
}

// officer makes the subscription's owner an officer of the vault's data, which the owner is not by default.
func (w *world) officer() *azsecrets.Client {
	w.Helper()
	secrets := w.secretsOf(w.owner)
	_, err := secrets.GetSecret(w.Context(), "my-secret", "", nil)
	w.refused(err, http.StatusForbidden, "Forbidden")
	for _, role := range []string{secretsOfficer, vaultReader} {
		_, err = w.assign(w.vaultID, role, w.ownerPrincipal(), servicePrincipal)
		w.must(err)
	}
	return secrets
}

// ownerPrincipal returns the owner's object ID, from the owner's token.
func (w *world) ownerPrincipal() string {
	w.Helper()
	token, err := w.owner.GetToken(w.Context(), armScope)
	w.must(err)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token.Token, ".")[1])
	w.must(err)
	var claims struct {
		OID string `json:"oid"`
	}
	w.must(json.Unmarshal(payload, &claims))
	return claims.OID
}

func TestSecret_HasVersionsAttributesAndSoftDelete(t *testing.T) {
	w := newWorld(t)
	secrets := w.officer()
	first, err := secrets.GetSecret(t.Context(), "my-secret", "", nil)
	w.must(err)
	_, err = secrets.SetSecret(t.Context(), "my-secret", azsecrets.SetSecretParameters{Value: to.Ptr("new")}, nil)
	w.must(err)
	for version, want := range map[string]string{"": "new", first.ID.Version(): "the value"} {
		got, err := secrets.GetSecret(t.Context(), "my-secret", version, nil)
		w.must(err)
		if *got.Value != want {
			t.Errorf("version %q is another value", version)
		}
	}
	_, err = secrets.UpdateSecretProperties(t.Context(), "my-secret", "", azsecrets.UpdateSecretPropertiesParameters{
		SecretAttributes: &azsecrets.SecretAttributes{Enabled: to.Ptr(false)},
	}, nil)
	if err == nil {
		_, err = secrets.GetSecret(t.Context(), "my-secret", "", nil)
		w.refused(err, http.StatusForbidden, "Forbidden")
	}
	_, err = secrets.GetSecret(t.Context(), "absent", "", nil)
	w.refused(err, http.StatusNotFound, "SecretNotFound")

	_, err = secrets.DeleteSecret(t.Context(), "my-secret", nil)
	w.must(err)
	_, err = secrets.SetSecret(t.Context(), "my-secret", azsecrets.SetSecretParameters{Value: to.Ptr("x")}, nil)
	w.refused(err, http.StatusConflict, "Conflict")
	_, err = secrets.RecoverDeletedSecret(t.Context(), "my-secret", nil)
	w.must(err)
	got, err := secrets.GetSecret(t.Context(), "my-secret", first.ID.Version(), nil)
	w.must(err)
	if *got.Value != "the value" {
		t.Error("the recovered secret differs")
	}
}

func TestKey_ShowsPublicHalf(t *testing.T) {
	w := newWorld(t)
	w.officer()
	keys, err := azkeys.NewClient(w.uri, w.owner, &azkeys.ClientOptions{ClientOptions: w.options()})
	w.must(err)
	key, err := keys.GetKey(t.Context(), "my-key", "", nil)
	w.must(err)
	if *key.Key.Kty != azkeys.KeyTypeEC || *key.Key.Crv != azkeys.CurveNameP256 || len(key.Key.X) != 32 ||
		key.Key.D != nil {
		t.Errorf("got %v", *key.Key.Kty)
	}
}

func TestCertificate_IsAlsoSecret(t *testing.T) {
	w := newWorld(t)
	secrets := w.officer()
	_, err := w.assign(w.vaultID, certificatesOfficer, w.ownerPrincipal(), servicePrincipal)
	w.must(err)
	certificates, err := azcertificates.NewClient(w.uri, w.owner, &azcertificates.ClientOptions{
		ClientOptions: w.options(),
	})
	w.must(err)
	_, err = certificates.CreateCertificate(
		t.Context(),
		"tls",
		azcertificates.CreateCertificateParameters{CertificatePolicy: &azcertificates.CertificatePolicy{
			IssuerParameters:          &azcertificates.IssuerParameters{Name: to.Ptr("Self")},
			SecretProperties:          &azcertificates.SecretProperties{ContentType: to.Ptr("application/x-pem-file")},
			X509CertificateProperties: &azcertificates.X509CertificateProperties{Subject: to.Ptr("CN=leaf")},
		}},
		nil,
	)
	w.must(err)
	certificate, err := certificates.GetCertificate(t.Context(), "tls", "", nil)
	w.must(err)
	secret, err := secrets.GetSecret(t.Context(), "tls", "", nil)
	w.must(err)
	_, after, _ := strings.Cut(*secret.Value, "-----END PRIVATE KEY-----\n")
	if block, _ := pem.Decode([]byte(after)); block == nil || string(block.Bytes) != string(certificate.CER) {
		t.Error("the certificate is another one")
	}
	// Resource Manager shows the secret, but does not write it.
	if status, _ := w.call(http.MethodGet, w.vaultID+"/secrets/tls"+objectVersion, nil); status != http.StatusOK {
		t.Errorf("read: %d", status)
	}
	if status, code := w.call(http.MethodPut, w.vaultID+"/secrets/tls"+objectVersion, m{
		"properties": m{"value": "v"},
	}); code != "SecretManagedByKeyVault" {
		t.Errorf("written: %d %s", status, code)
	}
}

func TestVault_EnforcesAccessPolicies(t *testing.T) {
	f := newFixture(t)
	group := f.group("g")
	w := &world{
		fixture: f,
		vaultID: group + "/providers/Microsoft.KeyVault/vaults/kv-policies",
		uri:     "https://kv-policies.vault.azure.net/",
	}
	policy := func(change func(*armkeyvault.AccessPolicyEntry)) error {
		entry := &armkeyvault.AccessPolicyEntry{
			TenantID: to.Ptr(azure.TenantID),
			ObjectID: to.Ptr(w.ownerPrincipal()),
			Permissions: &armkeyvault.Permissions{
				Secrets: []*armkeyvault.SecretPermissions{
					to.Ptr(armkeyvault.SecretPermissionsGet),
					to.Ptr(armkeyvault.SecretPermissionsSet),
				},
			},
		}
		if change != nil {
			change(entry)
		}
		return f.putVault("g", "kv-policies", func(p *armkeyvault.VaultProperties) {
			p.EnableRbacAuthorization, p.AccessPolicies = to.Ptr(false), []*armkeyvault.AccessPolicyEntry{entry}
		})
	}
	for name, change := range map[string]func(*armkeyvault.AccessPolicyEntry){
		"another tenant": func(e *armkeyvault.AccessPolicyEntry) { e.TenantID = to.Ptr(uuid.NewString()) },
		"nobody":         func(e *armkeyvault.AccessPolicyEntry) { e.ObjectID = nil },
		"an unknown one": func(e *armkeyvault.AccessPolicyEntry) {
			e.Permissions.Secrets[0] = to.Ptr(armkeyvault.SecretPermissions("read"))
		},
		"one of other kinds": func(e *armkeyvault.AccessPolicyEntry) {
			e.Permissions.Secrets[0] = to.Ptr(armkeyvault.SecretPermissions("sign"))
		},
	} {
		if err := policy(change); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	f.must(policy(nil))
	secrets := w.secretsOf(f.owner)
	_, err := secrets.SetSecret(t.Context(), "s", azsecrets.SetSecretParameters{Value: to.Ptr("v")}, nil)
	f.must(err)
	got, err := secrets.GetSecret(t.Context(), "s", "", nil)
	f.must(err)
	if *got.Value != "v" {
		t.Error("it is another value")
	}
	_, err = secrets.DeleteSecret(t.Context(), "s", nil)
	f.refused(err, http.StatusForbidden, "Forbidden")
	if !strings.Contains(err.Error(), "does not have secrets delete permission on key vault 'kv-policies;location=") {
		t.Error(err)
	}
}

func TestLog_HasNoSecret(t *testing.T) {
	w := newWorld(t)
	secrets := w.officer()
	const marker = "marker-7f3a91"
	_, err := secrets.SetSecret(t.Context(), "my-secret", azsecrets.SetSecretParameters{Value: to.Ptr(marker)}, nil)
	w.must(err)
	w.putSecret("by-arm", marker)
	token := w.token(nil, nil)
	_, _ = w.secretsAs(w.clientID, token).GetSecret(t.Context(), "my-secret", "", nil) // logged in any case
	log := w.log.String()
	if !strings.Contains(log, "/secrets/my-secret") {
		t.Fatal("the log has no requests")
	}
	for name, secret := range map[string]string{
		"value": marker, "token": token, "owner's secret": w.cloud.Credentials().ClientSecret,
	} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has the %s", name)
		}
	}
}

func TestProxy_RefusesOtherHosts(t *testing.T) {
	f := newFixture(t)
	for _, address := range []string{
		"https://example.com/", "https://management.azure.com:8443/", "http://management.azure.com/",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		f.must(err)
		resp, err := f.client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s, want an error", address, resp.Status)
			}
		}
	}
	// A connection to one host does not serve another.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://management.azure.com/", nil)
	f.must(err)
	req.Host = "login.microsoftonline.com"
	resp, err := f.client.Do(req)
	f.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another host on the connection: %s", resp.Status)
	}
	// Clients that do not trust the authority refuse the certificate.
	transport := f.client.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	defer transport.CloseIdleConnections()
	stranger := &http.Client{Transport: transport}
	if resp, err := stranger.Get("https://management.azure.com/"); err == nil {
		resp.Body.Close()
		t.Error("a client without the authority trusts the certificate")
	}
}
