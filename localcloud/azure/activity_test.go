package azure_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/go-jose/go-jose/v4/jwt"
	authentication "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/ciissuer"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
)

// shown reads what the owner is shown at a path of the local cloud's own host, as text and decoded.
func (f *fixture) shown(path string, into any) string {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), http.MethodGet, "https://"+faults.Host+path, nil)
	f.must(err)
	f.asOwner(req)
	resp, err := f.client.Do(req)
	f.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	f.must(err)
	if resp.StatusCode != http.StatusOK {
		f.Fatalf("GET %s: %s %s", path, resp.Status, text)
	}
	f.must(json.Unmarshal(text, into))
	return string(text)
}

// last is the last request on the record to a service.
func (f *fixture) last(service string) activity.Request {
	f.Helper()
	var page activity.Page
	f.shown("/activity", &page)
	for _, q := range slices.Backward(page.Requests) {
		if q.Service == service {
			return q
		}
	}
	f.Fatalf("no request to %s among %d", service, len(page.Requests))
	return activity.Request{}
}

func TestActivity_SaysWhoReadASecretAndByWhichRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scope := w.vaultID + "/secrets/my-secret"
	name := w.grant(scope, secretsUser)
	if got := w.read("Bearer " + w.accessToken(w.clientID)); got.status != http.StatusOK {
		t.Fatal(got)
	}
	got := w.last("Key Vault")
	d := got.Decision
	if got.Caller != (activity.Caller{ObjectID: w.principalID, Name: "uai", Kind: "managed identity", Subject: subject}) {
		t.Errorf("caller %+v", got.Caller)
	}
	if got.Method != http.MethodGet || got.Host != "kv-data.vault.azure.net" || got.Path != "/secrets/my-secret" ||
		got.APIVersion != "7.4" || got.Status != http.StatusOK || got.TookMs <= 0 || time.Since(got.Time) > time.Minute {
		t.Errorf("request %+v", got)
	}
	if d == nil || !d.Allowed || d.Action != "Microsoft.KeyVault/vaults/secrets/getSecret/action" || d.Plane != "data" ||
		d.Scope != scope || d.Role != "Key Vault Secrets User" || d.AssignedAt != scope ||
		!strings.HasSuffix(d.Assignment, "/roleAssignments/"+name) || d.Missing != "" || d.Candidates != nil {
		t.Errorf("decision %+v", d)
	}
	signIn := w.last("Entra ID")
	if signIn.Caller != got.Caller || signIn.Decision == nil || signIn.Decision.Because != "federated credential fic" {
		t.Errorf("sign in %+v %+v", signIn.Caller, signIn.Decision)
	}
	w.get(w.vaultID + "?api-version=2023-07-01")
	owner := w.last("Resource Manager")
	if owner.Caller.Name != "localcloud-owner" || owner.Caller.Kind != "service principal" || owner.Caller.Subject != "" ||
		owner.Decision.Role != "Owner" || owner.Decision.AssignedAt != "/subscriptions/"+azure.SubscriptionID ||
		owner.Decision.Plane != "control" || owner.Decision.Action != "Microsoft.KeyVault/vaults/read" {
		t.Errorf("Resource Manager %+v %+v", owner.Caller, owner.Decision)
	}
}

func TestActivity_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	read := func() activity.Request {
		t.Helper()
		if got := w.read("Bearer " + w.accessToken(w.clientID)); got.status != http.StatusForbidden {
			t.Fatal(got)
		}
		got := w.last("Key Vault")
		if d := got.Decision; d == nil || d.Allowed || d.Role != "" || d.Missing == "" || got.Error != "ForbiddenByRbac" {
			t.Fatalf("%+v %+v", got, d)
		}
		return got
	}
	d := read().Decision
	if want := []string{"Key Vault Secrets User", "Key Vault Certificate User"}; !slices.Equal(d.Candidates[:2], want) ||
		d.Candidates[len(d.Candidates)-1] != "Key Vault Administrator" || d.Pending != nil || d.Others != nil {
		t.Errorf("no role: %+v", d)
	}
	w.putSecret("other", "another value")
	w.grant(w.vaultID+"/secrets/other", secretsUser)
	if d = read().Decision; len(d.Others) != 1 || d.Others[0].Why != "it is assigned at another scope" ||
		d.Others[0].AssignedAt != w.vaultID+"/secrets/other" || d.Others[0].Role != "Key Vault Secrets User" {
		t.Errorf("a role elsewhere: %+v", d)
	}
	w.fail(faults.Plan{RolesAfter: faults.Duration(time.Hour)})
	w.grant(w.vaultID, secretsUser)
	if d = read().Decision; len(d.Pending) != 1 || d.Pending[0].AssignedAt != w.vaultID ||
		time.Until(d.Pending[0].EffectiveOn) < 59*time.Minute {
		t.Errorf("a role that is not honoured yet: %+v", d)
	}
	w.fail(faults.Plan{})

	as, _ := w.principal()
	as.call(http.MethodPut, w.vaultID+"?api-version=2023-07-01", m{"location": location})
	got := w.last("Resource Manager")
	d = got.Decision
	if got.Error != "AuthorizationFailed" || d.Action != "Microsoft.KeyVault/vaults/write" || d.Plane != "control" ||
		!slices.Equal(d.Candidates, []string{"Key Vault Contributor", "Contributor", "Owner"}) {
		t.Errorf("Resource Manager: %+v %+v", got, d)
	}
}

func TestActivity_SaysWhyASignInIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for want, change := range map[string]func(*jwt.Claims){
		"a federated credential with the subject system:serviceaccount:ns:other": func(c *jwt.Claims) {
			c.Subject = "system:serviceaccount:ns:other"
		},
		"a federated credential with the audience elsewhere": func(c *jwt.Claims) {
			c.Audience = jwt.Audience{"elsewhere"}
		},
		"a federated credential with the issuer https://example.com/": func(c *jwt.Claims) {
			c.Issuer = "https://example.com/"
		},
		"a federated token that is valid": func(c *jwt.Claims) {
			c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Minute))
		},
	} {
		w.exchange(w.token(change, nil), nil)
		got := w.last("Entra ID")
		if d := got.Decision; d == nil || d.Allowed || d.Missing != want || d.Because != "" || got.Caller.Name != "uai" ||
			!strings.HasPrefix(got.Error, "AADSTS") {
			t.Errorf("%+v %+v, want %s", got, d, want)
		}
	}
	w.fail(faults.Plan{CredentialsAfter: faults.Duration(time.Hour)})
	w.must(w.federate("g", "uai", "late", w.issuer, "system:serviceaccount:ns:late"))
	w.exchange(w.token(func(c *jwt.Claims) { c.Subject = "system:serviceaccount:ns:late" }, nil), nil)
	const late = "the federated credential late is not honoured before "
	if d := w.last("Entra ID").Decision; !strings.HasPrefix(d.Missing, late) {
		t.Errorf("%+v", d)
	}
}

func TestActivity_ShowsAccessPoliciesFirewallsAndFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	vault := w.vaultID + "?api-version=2023-07-01"
	change := func(properties m) {
		properties["tenantId"], properties["sku"] = azure.TenantID, m{"family": "A", "name": "standard"}
		w.put(vault, m{"location": location, "properties": properties})
	}
	policies := func(permissions ...string) []m {
		return []m{{"tenantId": azure.TenantID, "objectId": w.principalID, "permissions": m{"secrets": permissions}}}
	}
	token := "Bearer " + w.accessToken(w.clientID)
	change(m{"enableRbacAuthorization": false, "accessPolicies": policies("get")})
	w.read(token)
	if got := w.last("Key Vault"); got.Status != http.StatusOK || got.Decision.Because != "access policy" {
		t.Errorf("%+v %+v", got, got.Decision)
	}
	change(m{"enableRbacAuthorization": false, "accessPolicies": policies("list")})
	w.read(token)
	if got := w.last("Key Vault"); got.Error != "AccessDenied" ||
		!strings.Contains(got.Decision.Missing, "permission get of secrets") {
		t.Errorf("%+v %+v", got, got.Decision)
	}
	change(m{"enableRbacAuthorization": true, "networkAcls": m{"defaultAction": "Deny", "bypass": "None"}})
	w.read(token)
	if got := w.last("Key Vault"); got.Error != "ForbiddenByFirewall" || got.Caller.Name != "uai" ||
		!strings.Contains(got.Decision.Missing, "network rules") {
		t.Errorf("%+v %+v", got, got.Decision)
	}
	for want, rule := range map[string]faults.Rule{
		"rule 2: throttled":                                   {Rate: 1, Status: 429},
		"rule 2: refused with 503 ServiceUnavailable":         {Rate: 1, Status: 503},
		"rule 2: delayed by 1ms":                              {Rate: 1, Delay: faults.Duration(time.Millisecond)},
		"rule 2: connection reset after the request was done": {Rate: 1, Reset: "after"},
	} {
		rule.Host = `.*\.vault\.azure\.net`
		w.fail(faults.Plan{Rules: []faults.Rule{{Rate: 1, Host: "nothing", Status: 500}, rule}})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.uri+"secrets/my-secret?api-version=7.4", nil)
		w.must(err)
		if resp, err := w.client.Do(req); err == nil {
			resp.Body.Close()
		}
		if got := w.last("Key Vault"); got.Fault != want || rule.Reset != "" && got.Status != 0 {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	for want, authorization := range map[string]string{
		"an access token: the request has none": "", "an access token that is valid for the service": "Bearer forged",
	} {
		w.fail(faults.Plan{})
		w.read(authorization)
		if got := w.last("Key Vault"); got.Status != http.StatusUnauthorized || got.Decision.Missing != want {
			t.Errorf("%+v %+v, want %s", got, got.Decision, want)
		}
	}
	if got := w.last("Local cloud"); got.Method != http.MethodPut || got.Path != "/faults" ||
		got.Decision.Because != "owner of the local cloud" {
		t.Errorf("%+v %+v", got, got.Decision)
	}
}

// TestActivity_ShowsWhatClustersAndQueuesDecide asks as an API server does, and as the owner, who has no role on
// messages.
func TestActivity_ShowsWhatClustersAndQueuesDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cluster := strings.Split(w.vaultID, "/providers/")[0] + "/providers/Microsoft.ContainerService/managedClusters/aks"
	review := func(url string, body any) {
		t.Helper()
		text, err := json.Marshal(body)
		w.must(err)
		resp, err := w.client.Post(url, "application/json", strings.NewReader(string(text)))
		w.must(err)
		resp.Body.Close()
	}
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: w.principalID, Extra: map[string]authorizationv1.ExtraValue{"oid": {w.principalID}},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "shop", Verb: "get", Resource: "pods"},
	}
	access := authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"}, Spec: spec,
	}
	review(guard.AccessReviewURL(cluster), access)
	got := w.last("AKS guard")
	if d := got.Decision; got.Caller.Name != "uai" || d.Allowed || d.Scope != cluster+"/namespaces/shop" ||
		d.Action != "Microsoft.ContainerService/managedClusters/pods/read" ||
		d.Candidates[0] != "Azure Kubernetes Service RBAC Reader" {
		t.Errorf("%+v %+v", got, d)
	}
	const clusterAdmin = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
	w.grant(cluster, clusterAdmin)
	review(guard.AccessReviewURL(cluster), access)
	if d := w.last("AKS guard").Decision; !d.Allowed || d.Role != "Azure Kubernetes Service RBAC Cluster Admin" ||
		d.AssignedAt != cluster {
		t.Errorf("%+v", d)
	}
	access.Spec.User = "system:node:aks"
	review(guard.AccessReviewURL(cluster), access)
	node := activity.Caller{Kind: "cluster", Name: "system:node:aks"}
	if got := w.last("AKS guard"); got.Caller != node || got.Decision != nil {
		t.Errorf("%+v", got)
	}
	forClusters := policy.TokenRequestOptions{Scopes: []string{entra.KubernetesServer + "/.default"}}
	token, err := w.owner.GetToken(t.Context(), forClusters)
	w.must(err)
	review(guard.TokenReviewURL(cluster), authentication.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"},
		Spec:     authentication.TokenReviewSpec{Token: token.Token},
	})
	if got := w.last("AKS guard"); got.Caller.Name != "localcloud-owner" || !got.Decision.Allowed {
		t.Errorf("%+v %+v", got, got.Decision)
	}
	w.queue()
	w.messages(http.MethodGet, "?peekonly=true")
	roles := []string{"Storage Queue Data Message Processor", "Storage Queue Data Contributor"}
	if got := w.last("Queue Storage"); got.Error != "AuthorizationPermissionMismatch" ||
		got.Caller.Name != "localcloud-owner" || !slices.Equal(got.Decision.Candidates, roles) {
		t.Errorf("%+v %+v", got, got.Decision)
	}
}

// TestActivity_KeepsNoSecret puts secrets, tokens and signatures wherever a client can, and looks for them on the
// record.
func TestActivity_KeepsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grant(w.vaultID, secretsOfficer)
	const marker = "marker0secret"
	secrets := []string{marker, "the value", w.cloud.Credentials().ClientSecret}
	w.putSecret("seeded", marker+"-arm")
	assertion := w.token(nil, nil)
	access := w.accessToken(w.clientID)
	forged := altered(assertion, "", func(c map[string]any) { c["jti"], c["nonce"] = marker, marker })
	secrets = append(secrets, assertion, access, forged, strings.Split(access, ".")[2], strings.Split(assertion, ".")[2])

	w.exchange(forged, nil)
	w.exchange(assertion, url.Values{"client_id": {w.cloud.Credentials().ClientID}, "client_secret": {marker}})
	w.exchange(assertion, url.Values{"scope": {marker}, "client_id": {marker}})
	w.exchange(marker, nil)
	_, job := w.order(ciissuer.Order{Ask: ciissuer.Ask{CI: "github", Subject: "repo:o/r:ref:refs/heads/main"}, Job: true})
	var runner struct{ URL, Token string }
	w.must(json.Unmarshal([]byte(job), &runner))
	w.order(ciissuer.Order{Ask: ciissuer.Ask{CI: "github", Subject: "repo:o/r:ref:refs/heads/main"}}, "user", marker)
	status, made := w.order(ciissuer.Order{Ask: ciissuer.Ask{CI: "github", Subject: "repo:o/r:ref:refs/heads/main"}})
	var issued ciissuer.Issued
	w.must(json.Unmarshal([]byte(made), &issued))
	if status != http.StatusOK || issued.Token == "" {
		t.Fatal(status, made)
	}
	secrets = append(secrets, issued.Token, strings.Split(issued.Token, ".")[2], runner.Token)
	w.raw("GET", "pipelines.actions.githubusercontent.com", "/idtoken?audience="+marker, "", nil,
		"Authorization", "Bearer "+runner.Token).Body.Close()

	basic := base64.StdEncoding.EncodeToString([]byte("owner:" + marker))
	for _, host := range hosts {
		host = strings.Replace(host, "kv.", "kv-data.", 1)
		for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE"} {
			for _, at := range []string{
				"/secrets/my-secret", "/expiry/messages/1", w.vaultID, w.vaultID + "/secrets/my-secret",
				"/" + azure.TenantID + "/oauth2/v2.0/token",
				"/v1.0/groups", "/faults", "/principals", "/ci-tokens", "/idtoken",
			} {
				query := url.Values{
					"sig": {marker}, "api-version": {"7.4"}, "popreceipt": {marker}, "code": {marker}, "$filter": {marker},
					marker: {marker},
				}
				if method == "PATCH" {
					query.Set("api-version", marker)
				}
				for _, authorization := range []string{
					"Bearer " + access, "Bearer " + marker, "Basic " + basic, "SharedKey kv:" + marker,
				} {
					body := fmt.Sprintf(`{"value":%q,"properties":{"value":%[1]q},"token":%[1]q,%[1]q:1,`+
						`"spec":{"token":%[1]q},"error":{"code":%[1]q}}`, marker)
					w.raw(method, host, at+"?"+query.Encode(), "application/json", strings.NewReader(body),
						"Authorization", authorization, "Cookie", marker, "x-ms-error-code", marker, "User-Agent", marker).Body.Close()
				}
			}
		}
	}
	var page activity.Page
	text := w.shown("/activity", &page)
	if len(page.Requests) < 1000 {
		t.Fatalf("%d requests are on the record", len(page.Requests))
	}
	for after := page.Next; ; after = page.Next {
		text += w.shown(fmt.Sprintf("/activity?after=%d", after), &page)
		if page.Next == after {
			break
		}
	}
	for _, secret := range secrets {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%.30s... is on the record: %s", secret, text[max(0, i-300):min(len(text), i+100)])
		}
	}
}

// TestActivity_BeginsAgainWithEachRun keeps who a token was issued to.
func TestActivity_BeginsAgainWithEachRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grant(w.vaultID, secretsUser)
	token := w.accessToken(w.clientID)
	var before, after activity.Page
	w.shown("/activity", &before)
	w.restart()
	w.read("Bearer " + token)
	w.shown("/activity?after="+fmt.Sprint(before.Next), &after)
	if !after.Started.After(before.Started) || after.Requests[0].Number != 1 {
		t.Errorf("began %s and %s, with number %d", before.Started, after.Started, after.Requests[0].Number)
	}
	if got := w.last("Key Vault").Caller; got.Subject != subject || got.Name != "uai" {
		t.Errorf("caller %+v", got)
	}
}

// TestActivity_NamesTheIdentityThatMayNot creates a cluster whose own identity may not read the disk encryption set.
func TestActivity_NamesTheIdentityThatMayNot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.group("g")
	network := f.network()
	f.must(f.putVault("g", "kv-kept", func(p *armkeyvault.VaultProperties) { p.EnablePurgeProtection = to.Ptr(true) }))
	_, url := f.key("kv-kept", "rsa", m{"kty": "RSA"})
	set := path("resourceGroups/g") + encryptionSets + "disks"
	f.put(set+computeVersion, encryptionSet(url, nil))
	body := f.clusterBody(network+"/subnets/nodes", m{"diskEncryptionSetID": set})
	if status, code := f.call(http.MethodPut, path(aksID)+aksVersion, body); code != "LinkedAuthorizationFailed" {
		t.Fatalf("%d %s", status, code)
	}
	got := f.last("Resource Manager")
	d := got.Decision
	if got.Caller.Name != "localcloud-owner" || got.Error != "LinkedAuthorizationFailed" || d.Allowed || d.Scope != set ||
		d.Action != "Microsoft.Compute/diskEncryptionSets/read" ||
		d.Missing != "no role assignment of aks at the scope or above it allows the action" {
		t.Errorf("%+v %+v", got, d)
	}
}
