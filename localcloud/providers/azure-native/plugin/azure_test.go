package plugin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

const (
	subscription = "00000000-0000-0000-0000-000000000001"
	tenant       = "00000000-0000-0000-0000-000000000002"
	client       = "00000000-0000-0000-0000-000000000003"
	principal    = "00000000-0000-0000-0000-000000000004"

	groupID   = "/subscriptions/" + subscription + "/resourceGroups/rg"
	vaultID   = groupID + "/providers/Microsoft.KeyVault/vaults/kv"
	clusterID = groupID + "/providers/Microsoft.ContainerService/managedClusters/aks"
)

// azure is a fake of Azure and the transport of the plugin's clients. It has a token endpoint, a store of ARM
// resources, and the requests of a vault's data plane that the plugin sends.
type azure struct {
	mu        sync.Mutex
	resources map[string]map[string]any // by lower-case ID
	requests  []string                  // "METHOD host/path?api-version", without those to the token endpoint

	// intercept may answer a request itself. If it returns nil, the request is answered as usual.
	intercept func(r *http.Request, body []byte) http.HandlerFunc
	// decorate adds properties to a resource as Azure does.
	decorate func(id string, body map[string]any)
}

func (a *azure) Do(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	w := httptest.NewRecorder()
	a.serve(w, req, body)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func (a *azure) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.URL.Host == "login.microsoftonline.com" {
		serveEntra(w, r, body)
		return
	}
	a.mu.Lock()
	a.requests = append(a.requests, r.Method+" "+r.URL.Host+r.URL.Path+"?"+r.URL.Query().Get("api-version"))
	intercept := a.intercept
	a.mu.Unlock()
	if intercept != nil {
		if h := intercept(r, body); h != nil {
			h(w, r)
			return
		}
	}
	if strings.HasSuffix(r.URL.Host, ".vault.azure.net") {
		serveVault(w, r)
		return
	}
	if audience(r) != "https://management.core.windows.net//.default" {
		fail(w, http.StatusUnauthorized, "InvalidAuthenticationToken", "wrong audience "+audience(r))
		return
	}
	a.serveARM(w, r, body)
}

func (a *azure) serveARM(w http.ResponseWriter, r *http.Request, body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := strings.ToLower(r.URL.Path)
	switch found, ok := a.resources[key]; {
	case r.Method == http.MethodPut:
		object := map[string]any{}
		if err := json.Unmarshal(body, &object); err != nil {
			fail(w, http.StatusBadRequest, "InvalidRequestContent", err.Error())
			return
		}
		object["id"], object["name"], object["type"] = r.URL.Path, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], "T/t"
		if a.decorate != nil {
			a.decorate(r.URL.Path, object)
		}
		a.resources[key] = object
		answer(w, http.StatusCreated, object)
	case !ok:
		fail(w, http.StatusNotFound, "ResourceNotFound", "no such resource")
	case r.Method == http.MethodGet:
		answer(w, http.StatusOK, found)
	case r.Method == http.MethodDelete:
		delete(a.resources, key)
		w.WriteHeader(http.StatusOK)
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method)
	}
}

func serveVault(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Authorization") == "":
		const authority = "https://login.microsoftonline.com/" + tenant
		w.Header().Set("WWW-Authenticate", `Bearer authorization="`+authority+`", resource="https://vault.azure.net"`)
		w.WriteHeader(http.StatusUnauthorized)
	case audience(r) != "https://vault.azure.net/.default":
		fail(w, http.StatusUnauthorized, "Unauthorized", "wrong audience "+audience(r))
	case strings.HasSuffix(r.URL.Path, "/gone"):
		fail(w, http.StatusNotFound, "SecretNotFound", "no such secret")
	case strings.HasSuffix(r.URL.Path, "/denied"):
		fail(w, http.StatusForbidden, "Forbidden", "no role")
	default:
		answer(w, http.StatusOK, map[string]any{"id": "https://kv.vault.azure.net" + r.URL.Path + "/1"})
	}
}

// serveEntra issues tokens whose audience is the requested scope.
func serveEntra(w http.ResponseWriter, r *http.Request, body []byte) {
	const host = "https://login.microsoftonline.com/"
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		answer(w, http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": host + tenant + "/v2.0/.well-known/openid-configuration",
			"metadata": []any{map[string]any{
				"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net",
				"aliases": []any{"login.microsoftonline.com"},
			}},
		})
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		answer(w, http.StatusOK, map[string]any{
			"authorization_endpoint": host + tenant + "/oauth2/v2.0/authorize",
			"token_endpoint":         host + tenant + "/oauth2/v2.0/token",
			"issuer":                 host + tenant + "/v2.0",
		})
	default:
		query := string(body)
		scope := ""
		for pair := range strings.SplitSeq(query, "&") {
			if v, ok := strings.CutPrefix(pair, "scope="); ok {
				scope = strings.Split(strings.NewReplacer("%3A", ":", "%2F", "/").Replace(v), "+")[0]
			}
		}
		who := "" // only a token for Microsoft Graph has an object ID
		if scope == "https://graph.microsoft.com//.default" {
			who = principal
		}
		claims, _ := json.Marshal(map[string]any{"aud": scope, "oid": who, "appid": client, "tid": tenant})
		token := "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln"
		answer(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": token})
	}
}

func audience(r *http.Request) string {
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	if len(parts) != 3 {
		return ""
	}
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct{ Aud string }
	_ = json.Unmarshal(claims, &c)
	return c.Aud
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func failWith(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fail(w, status, code, message) }
}

// takeRequests returns the requests since the last call.
func (a *azure) takeRequests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.requests
	a.requests = nil
	return taken
}

// on sets intercept.
func (a *azure) on(f func(r *http.Request, body []byte) http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.intercept = f
}

// start returns Version2 of the plugin, configured, behind gRPC and the engine's own client.
func start(t *testing.T, config resource.PropertyMap) (plugin.Provider, *azure) {
	t.Helper()
	a := &azure{resources: map[string]map[string]any{}}
	return startVersion(t, Version2, a, config), a
}

// startVersion returns a version of the plugin for a cloud that may serve several. Version3 is parameterized.
func startVersion(t *testing.T, version string, a *azure, config resource.PropertyMap) plugin.Provider {
	t.Helper()
	inputs := ownConfig()
	maps.Copy(inputs, config)
	return configured(t, version, a, inputs)
}

// ownConfig returns the provider configuration that the fake accepts.
func ownConfig() resource.PropertyMap {
	return resource.PropertyMap{
		"clientId": str(client), "clientSecret": str("hunter2"), "tenantId": str(tenant), "subscriptionId": str(subscription),
	}
}

// configured returns a version of the plugin that uses transport. Version3 is parameterized.
func configured(
	t *testing.T, version string, transport policy.Transporter, inputs resource.PropertyMap,
) plugin.Provider {
	t.Helper()
	return configure(t, newAzureNative(version), transport, inputs)
}

func configure(
	t *testing.T,
	p *azureNative,
	transport policy.Transporter,
	inputs resource.PropertyMap,
) plugin.Provider {
	t.Helper()
	p.options.Transport = transport
	p.scale = 0.00005 // 20 s become 1 ms
	engine, pkg := serve(t, p), basePackage
	if p.version == Version3 {
		pkg = vaultPackage
		resp, err := parameterize(t, engine, &plugin.ParameterizeValue{Value: []byte(encodedParameter)})
		if err != nil || resp.Name != pkg {
			t.Fatalf("Parameterize: %v, %v", resp, err)
		}
	}
	own := tokens.Type("pulumi:providers:" + pkg)
	if _, err := engine.Configure(t.Context(), plugin.ConfigureRequest{Type: &own, Inputs: inputs}); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	return engine
}

func serve(t *testing.T, p *azureNative) plugin.Provider {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	pulumirpc.RegisterResourceProviderServer(server, p)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///plugin",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Errorf("serving the plugin: %v", err)
		}
	})
	return plugin.NewProviderWithClient(nil, pulumirpc.NewResourceProviderClient(conn), false)
}

func urn(token, name string) resource.URN {
	return resource.URN("urn:pulumi:dev::test::azure-native:" + token + "::" + name)
}

// urn3 returns a URN of a type of vaultPackage.
func urn3(kind, name string) resource.URN {
	return resource.URN("urn:pulumi:dev::test::" + vaultPackage + ":keyvault/v20260201:" + kind + "::" + name)
}

func str(s string) resource.PropertyValue { return resource.NewStringProperty(s) }

func obj(m map[string]any) resource.PropertyValue {
	return resource.NewObjectProperty(resource.NewPropertyMapFromMap(m))
}

func unknown() resource.PropertyValue { return resource.MakeComputed(str("")) }

// values returns properties for comparison: without the marks of secrets and without __inputs.
func values(t *testing.T, m resource.PropertyMap) map[string]any {
	t.Helper()
	s, err := plugin.MarshalProperties(m, plugin.MarshalOptions{KeepUnknowns: true})
	if err != nil {
		t.Fatal(err)
	}
	object := s.AsMap()
	delete(object, "__inputs")
	return object
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantJSON(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := asJSON(t, got), asJSON(t, want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func wantRequests(t *testing.T, a *azure, want ...string) {
	t.Helper()
	if got := a.takeRequests(); !slices.Equal(got, want) {
		t.Errorf("requests:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}
