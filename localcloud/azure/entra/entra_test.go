package entra

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

const tenant = "11111111-1111-4111-8111-111111111111"

// reader is an application with a secret that may read the directory. trusting trusts an issuer whose keys cannot be
// fetched.
var (
	reader = Application{
		ClientID: "22222222-2222-4222-8222-222222222222", ObjectID: "33333333-3333-4333-8333-333333333333", Name: "reader",
		Groups: []string{"g"}, GraphRoles: []string{"Directory.Read.All"},
	}
	trusting = Application{
		ClientID: "44444444-4444-4444-8444-444444444444", ObjectID: "55555555-5555-4555-8555-555555555555", Name: "trusting",
		Federated: []FederatedCredential{{Issuer: "https://issuer.example", Subject: "s", Audiences: []string{"a"}}},
	}
)

const secret = "the reader's"

type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, context.DeadlineExceeded }

func newService(t testing.TB) *Service {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "azure.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	withSecret := reader
	withSecret.SetSecret(secret)
	if err := st.Update(func(tx *store.Tx) error {
		if err := PutApplication(tx, trusting); err != nil {
			return err
		}
		return PutApplication(tx, withSecret)
	}); err != nil {
		t.Fatal(err)
	}
	s, err := New(st, tenant, &http.Client{Transport: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answer is a response of the token endpoint.
type answer struct {
	Token       string `json:"access_token"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
}

func (s *Service) ask(t testing.TB, contentType, body string) (int, answer) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "https://"+Host+"/"+tenant+"/oauth2/v2.0/token", strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Errorf("%q is answered with %d %q: %v", body, w.Code, w.Body, err)
	}
	return w.Code, a
}

const formType = "application/x-www-form-urlencoded"

// form returns a valid token request with one parameter changed.
func form(changes ...string) url.Values {
	f := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {reader.ClientID}, "client_secret": {secret},
		"scope": {"https://vault.azure.net/.default"},
	}
	for i := 0; i < len(changes); i += 2 {
		f.Set(changes[i], changes[i+1])
	}
	return f
}

func TestToken_NamesPrincipalAndAudience(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, test := range []struct {
		scope, audience string
		roles           []string
	}{
		{"https://vault.azure.net/.default", "https://vault.azure.net", nil},
		{"https://management.core.windows.net//.default", "https://management.core.windows.net", nil},
		{"https://graph.microsoft.com/.default openid profile", Graph, reader.GraphRoles},
		{"https://graph.microsoft.com//.default", Graph, reader.GraphRoles},
		{GraphAppID + "/.default", GraphAppID, reader.GraphRoles},
	} {
		status, a := s.ask(t, formType, form("scope", test.scope).Encode())
		who, err := s.Verify(a.Token, test.audience)
		if status != http.StatusOK || err != nil {
			t.Errorf("%s: %d %v, %v", test.scope, status, a, err)
			continue
		}
		if who.ClientID != reader.ClientID || who.ObjectID != reader.ObjectID || !slices.Equal(who.Groups, reader.Groups) ||
			!slices.Equal(who.Roles, test.roles) {
			t.Errorf("%s: it is %+v", test.scope, who)
		}
		if _, err := s.Verify(a.Token, "https://another.example"); err == nil {
			t.Errorf("%s: the token is good for everything", test.scope)
		}
	}
}

func TestToken_FailsWithEntrasErrors(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for name, test := range map[string]struct {
		form   url.Values
		status int
		error  string
		code   int
	}{
		"nothing":       {url.Values{}, 400, "invalid_request", 900144},
		"another grant": {form("grant_type", "password"), 400, "unsupported_grant_type", 70003},
		"a scope of a user": {
			form("scope", "https://vault.azure.net/user_impersonation"), 400, "invalid_scope", 1002012,
		},
		"two resources": {
			form("scope", "https://vault.azure.net/.default https://graph.microsoft.com/.default"),
			400,
			"invalid_scope",
			1002012,
		},
		"nobody's resource": {form("scope", "https://nobody.example/.default"), 400, "invalid_resource", 500011},
		"nobody":            {form("client_id", tenant), 400, "unauthorized_client", 700016},
		"another secret":    {form("client_secret", "guess"), 401, "invalid_client", 7000215},
		"no secret":         {form("client_secret", ""), 401, "invalid_client", 7000218},
		"one without a secret": {
			form("client_id", trusting.ClientID, "client_secret", "guess"), 401, "invalid_client", 7000215,
		},
		"an assertion of a kind": {form("client_secret", "", "client_assertion", "x"), 400, "invalid_request", 50027},
		"an assertion that is none": {
			form("client_secret", "", "client_assertion", "x", "client_assertion_type", assertionType),
			400,
			"invalid_request",
			50027,
		},
	} {
		status, a := s.ask(t, formType, test.form.Encode())
		if status != test.status || a.Error != test.error || !slices.Equal(a.Codes, []int{test.code}) || a.Token != "" {
			t.Errorf("%s: %d %+v, want %d %s %d", name, status, a, test.status, test.error, test.code)
		}
	}
}

// TestConfiguration_IsServedForAnyTenant sends az's request at sign-out.
func TestConfiguration_IsServedForAnyTenant(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for of, want := range map[string]struct {
		status int
		issuer string
	}{
		tenant:          {200, "https://" + Host + "/" + tenant + "/v2.0"},
		"organizations": {200, "https://" + Host + "/{tenantid}/v2.0"},
		"common":        {200, "https://" + Host + "/{tenantid}/v2.0"},
		"contoso":       {400, ""},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w,
			httptest.NewRequest(http.MethodGet, "https://"+Host+"/"+of+"/v2.0/.well-known/openid-configuration", nil))
		var got struct {
			Issuer string `json:"issuer"`
			Token  string `json:"token_endpoint"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != want.status || got.Issuer != want.issuer ||
			w.Code == 200 && got.Token != "https://"+Host+"/"+of+"/oauth2/v2.0/token" {
			t.Errorf("%s: %d %s", of, w.Code, w.Body)
		}
	}
}

func TestVerify_RefusesTokensOfOtherTenants(t *testing.T) {
	t.Parallel()
	s, other := newService(t), newService(t)
	theirs, err := other.issue(reader, Graph, "")
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := jwt.Signed(hmacOf(t)).
		Claims(jwt.Claims{Issuer: s.issuer(), Audience: jwt.Audience{Graph}}).
		Serialize()
	if err != nil {
		t.Fatal(err)
	}
	ours := func(change func(*claims)) string {
		now := time.Now()
		c := claims{Claims: jwt.Claims{
			Issuer: s.issuer(), Audience: jwt.Audience{Graph}, Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
		}, ObjectID: reader.ObjectID}
		change(&c)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: s.key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(signer).Claims(c).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if _, err := s.Verify(ours(func(*claims) {}), Graph); err != nil {
		t.Errorf("a token of this tenant: %v", err)
	}
	past := jwt.NewNumericDate(time.Now().Add(-time.Minute))
	future := jwt.NewNumericDate(time.Now().Add(time.Minute))
	for name, token := range map[string]string{
		"nothing": "", "text": "a.b.c", "another key": theirs, "another algorithm": unsigned,
		"another issuer":   ours(func(c *claims) { c.Issuer = "https://" + IssuerHost + "/other/" }),
		"another audience": ours(func(c *claims) { c.Audience = jwt.Audience{"https://vault.azure.net"} }),
		"no expiry":        ours(func(c *claims) { c.Expiry = nil }),
		"a past expiry":    ours(func(c *claims) { c.Expiry = past }),
		"not valid yet":    ours(func(c *claims) { c.NotBefore = future }),
	} {
		if who, err := s.Verify(token, Graph); err == nil {
			t.Errorf("%s: it is %+v", name, who)
		}
	}
}

func hmacOf(t testing.TB) jose.Signer {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: make([]byte, 32)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// TestDirectory_FindsApplications looks up an application by both IDs, before and after its deletion.
func TestDirectory_FindsApplications(t *testing.T) {
	t.Parallel()
	s := newService(t)
	err := s.store.Update(func(tx *store.Tx) error {
		if err := PutGroup(tx, Group{ObjectID: "G", Name: "group"}); err != nil {
			return err
		}
		for id, want := range map[string]string{
			"g":                              "Group",
			strings.ToUpper(reader.ObjectID): "ServicePrincipal",
			trusting.ObjectID:                "ServicePrincipal",
			trusting.ClientID:                "",
		} {
			if kind, err := PrincipalType(tx, id); err != nil || kind != want {
				t.Errorf("%s: %q, %v, want %q", id, kind, err, want)
			}
		}
		if all, err := Applications(tx); err != nil || len(all) != 2 || all[0].ManagedIdentity() ||
			!all[1].ManagedIdentity() {
			t.Errorf("applications: %+v, %v", all, err)
		}
		if err := DeletePrincipal(tx, trusting.ObjectID); err != nil {
			return err
		}
		if _, ok, err := GetApplication(tx, trusting.ClientID); err != nil || ok {
			t.Errorf("deleted: %t, %v", ok, err)
		}
		return DeletePrincipal(tx, trusting.ObjectID)
	})
	if err != nil {
		t.Error(err)
	}
}

// FuzzToken checks that any body is answered with a token, if it has the secret, or with an OAuth error.
func FuzzToken(f *testing.F) {
	s := newService(f)
	f.Add(formType, form().Encode())
	for _, changes := range [][]string{
		{"scope", "openid"}, {"client_id", "\x00"}, {"client_secret", ""}, {"client_id", strings.Repeat("x", 40_000)},
		{"client_secret", "", "client_assertion", "a.b.c", "client_assertion_type", assertionType},
		{
			"client_id",
			trusting.ClientID,
			"client_secret",
			"",
			"client_assertion",
			assertionFor(f),
			"client_assertion_type",
			assertionType,
		},
	} {
		f.Add(formType, form(changes...).Encode())
	}
	f.Add("multipart/form-data; boundary=x", "--x--")
	f.Add("application/json", `{"grant_type": "client_credentials"}`)
	f.Add(formType, "%zz&;=&=")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		status, a := s.ask(t, contentType, body)
		given, err := url.ParseQuery(body)
		switch {
		case status == http.StatusOK:
			if err != nil || given.Get("client_secret") != secret ||
				!strings.EqualFold(given.Get("client_id"), reader.ClientID) {
				t.Errorf("a token for %q", body)
			}
		case status != http.StatusBadRequest && status != http.StatusUnauthorized,
			a.Error == "",
			a.Description == "",
			len(a.Codes) != 1:
			t.Errorf("%q is answered with %d %+v", body, status, a)
		}
	})
}

// assertionFor returns a token of the issuer that trusting trusts, signed with a key that the issuer does not publish.
func assertionFor(t testing.TB) string {
	t.Helper()
	other := newService(t)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: other.key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).
		Claims(jwt.Claims{Issuer: "https://issuer.example", Subject: "s", Audience: jwt.Audience{"a"}}).
		Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// FuzzVerify checks that only the tenant's own tokens are accepted.
func FuzzVerify(f *testing.F) {
	s := newService(f)
	own, err := s.issue(reader, Graph, "")
	if err != nil {
		f.Fatal(err)
	}
	parts := strings.Split(own, ".")
	f.Add(own)
	f.Add(parts[0] + "." + parts[1] + ".")
	f.Add("eyJhbGciOiJub25lIn0." + parts[1] + ".")
	f.Add(assertionFor(f))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		who, err := s.Verify(token, Graph)
		signed := strings.Split(token, ".")
		if err == nil &&
			(who.ObjectID != reader.ObjectID || len(signed) != 3 || signed[0] != parts[0] || signed[1] != parts[1]) {
			t.Errorf("%q is taken: %+v", token, who)
		}
		if refused := new(TokenError); err != nil && !errors.As(err, &refused) {
			t.Errorf("%q is refused with %v", token, err)
		}
	})
}
