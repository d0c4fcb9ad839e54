package plugin

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	cloud "github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

// encodedParameter is base64 of {"module":"keyvault","version":"v20260201"}, as programs send it.
const encodedParameter = "eyJtb2R1bGUiOiJrZXl2YXVsdCIsInZlcnNpb24iOiJ2MjAyNjAyMDEifQ=="

func parameterize(
	t *testing.T, engine plugin.Provider, with plugin.ParameterizeParameters,
) (plugin.ParameterizeResponse, error) {
	t.Helper()
	return engine.Parameterize(t.Context(), plugin.ParameterizeRequest{Parameters: with})
}

func TestParameterize_AcceptsKeyVaultOnly(t *testing.T) {
	value := func(text string) *plugin.ParameterizeValue { return &plugin.ParameterizeValue{Value: []byte(text)} }
	args := func(args ...string) *plugin.ParameterizeArgs { return &plugin.ParameterizeArgs{Args: args} }
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, test := range map[string]struct {
		version string
		with    plugin.ParameterizeParameters
		failure string // piece of the error; empty means success
	}{
		"value":             {Version3, value(encodedParameter), ""},
		"arguments":         {Version3, args("keyvault", "v20260201"), ""},
		"v2":                {Version2, value(encodedParameter), "not implemented here: parameterized packages"},
		"not in base64":     {Version3, value(vaultParameter), "want base64 of JSON"},
		"no value":          {Version3, value(""), `the parameter ""`},
		"another module":    {Version3, value(encoded(`{"module":"aad","version":"v20221201"}`)), "v20221201"},
		"another version":   {Version3, args("keyvault", "v20241101"), "v20241101"},
		"too few arguments": {Version3, args("keyvault"), "got 1 arguments"},
		"trailing JSON":     {Version3, value(encoded(vaultParameter + "{}")), "not implemented here"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := parameterize(t, serve(t, newAzureNative(test.version)), test.with)
			switch {
			case test.failure != "":
				if err == nil || !strings.Contains(err.Error(), test.failure) {
					t.Errorf("got %v, %v; want an error with %q", resp, err, test.failure)
				}
			case err != nil || resp.Name != "azure-native_keyvault_v20260201" || resp.Version.String() != "3.28.0":
				t.Errorf("got %v, %v", resp, err)
			}
		})
	}
}

func TestVersions_ServeTheirPackage(t *testing.T) {
	parameterized := newAzureNative(Version3)
	parameterized.pkg = vaultPackage
	for name, test := range map[string]struct {
		p      *azureNative
		served resource.URN // empty means none
	}{
		"v2":               {newAzureNative(Version2), urn("keyvault/v20241101:Vault", "kv")},
		"v3":               {newAzureNative(Version3), ""},
		"v3 parameterized": {parameterized, urn3("Vault", "kv")},
	} {
		for _, urn := range []resource.URN{urn("keyvault/v20241101:Vault", "kv"), urn3("Vault", "kv")} {
			_, diffed := test.p.Diff(t.Context(), &pulumirpc.DiffRequest{Urn: string(urn)})
			getter := strings.Replace(string(urn.Type()), ":Vault", ":getVault", 1)
			_, invoked := test.p.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: getter})
			for token, err := range map[string]error{string(urn.Type()): diffed, getter: invoked} {
				refused := err != nil && strings.Contains(err.Error(), "not implemented here: "+token)
				if refused != (urn != test.served) {
					t.Errorf("%s: %s: %v", name, token, err)
				}
			}
		}
	}
}

func TestLookup_KnowsVaultPackage(t *testing.T) {
	for token, want := range map[string]string{
		"azure-native_keyvault_v20260201:keyvault/v20260201:Vault":  "2026-02-01",
		"azure-native_keyvault_v20260201:keyvault:Secret":           "2026-02-01",
		"azure-native_keyvault_v20260201:keyvault/v20241101:Vault":  "",
		"azure-native_keyvault_v20260201:network:VirtualNetwork":    "",
		"azure-native_keyvault_v20241101:keyvault/v20241101:Vault":  "",
		"azure-native_keyvault_v20260201:keyvault/v20260201:Widget": "",
	} {
		if _, apiVersion, err := lookup(token); apiVersion != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", token, apiVersion, err, want)
		}
	}
}

// vaultResources has inputs of a resource, by kind.
var vaultResources = map[string]map[string]any{
	"Vault": {
		"resourceGroupName": "rg", "vaultName": "kv", "location": "eastus", "tags": map[string]any{"a": "b"},
		"properties": map[string]any{"tenantId": tenant, "sku": map[string]any{"family": "A", "name": "standard"}},
	},
	"Secret": {
		"resourceGroupName": "rg", "vaultName": "kv", "secretName": "s",
		"properties": map[string]any{"value": "top secret", "attributes": map[string]any{"expires": 2.0}},
	},
	"Key": {
		"resourceGroupName": "rg", "vaultName": "kv", "keyName": "k", "tags": map[string]any{"a": "b"},
		"properties": map[string]any{"kty": "RSA", "keySize": 2048.0},
	},
}

func TestVersions_SendSameRequests(t *testing.T) {
	type sent struct {
		bodies, requests []string
	}
	for kind, inputs := range vaultResources {
		send := func(version, apiVersion string, urn resource.URN) (sent, resource.PropertyMap) {
			a := &azure{resources: map[string]map[string]any{}}
			engine := startVersion(t, version, a, nil)
			var all sent
			a.on(func(r *http.Request, body []byte) http.HandlerFunc {
				all.bodies = append(all.bodies, string(body))
				return nil
			})
			properties := resource.NewPropertyMapFromMap(inputs)
			made, err := engine.Create(t.Context(), plugin.CreateRequest{URN: urn, Properties: properties})
			if err != nil {
				t.Fatal(err)
			}
			for _, request := range a.takeRequests() {
				path, version, _ := strings.Cut(request, "?")
				if version != apiVersion {
					t.Errorf("%s: %s has version %q, want %q", kind, path, version, apiVersion)
				}
				all.requests = append(all.requests, path)
			}
			return all, made.Properties
		}
		before, state := send(Version2, "2024-11-01", urn("keyvault/v20241101:"+kind, "x"))
		after, newState := send(Version3, "2026-02-01", urn3(kind, "x"))
		wantJSON(t, kind+"'s requests", after.requests, before.requests)
		wantJSON(t, kind+"'s bodies", after.bodies, before.bodies)
		if !state.HasValue("__inputs") || newState.HasValue("__inputs") {
			t.Errorf("%s: the state with v2 is %v, with v3 %v", kind, state, newState)
		}
		delete(newState, "azureApiVersion")
		delete(state, "azureApiVersion")
		wantJSON(t, kind+"'s state", values(t, newState), values(t, state))
	}
}

const vaultAdministrator = "00482a5a-887f-4fb3-b363-3b7fe8e74483"

// versions has both versions of the plugin in a local cloud with a resource group. They have all permissions in it.
type versions struct {
	*testing.T
	v2, v3 plugin.Provider
}

func newVersions(t *testing.T) versions {
	t.Helper()
	version := startLocalCloud(t)
	v := versions{t, version(Version2), version(Version3)}
	group := object{"resourceGroupName": "rg", "location": "eastus"}
	v.create(v.v2, urn("resources/v20220901:ResourceGroup", "rg"), group)
	me, err := invoke(t, v.v2, "authorization:getClientConfig", nil)
	if err != nil {
		t.Fatal(err)
	}
	v.create(v.v2, urn("authorization/v20220401:RoleAssignment", "me"), object{
		"scope":       "/subscriptions/" + cloud.SubscriptionID + "/resourceGroups/rg",
		"principalId": me["objectId"].StringValue(), "principalType": "ServicePrincipal",
		"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + vaultAdministrator,
	})
	return v
}

// create creates a resource and returns its checked inputs. It fails the test on errors.
func (v versions) create(
	engine plugin.Provider, urn resource.URN, inputs object,
) (resource.PropertyMap, plugin.CreateResponse) {
	v.Helper()
	news := resource.NewPropertyMapFromMap(inputs)
	checked := check(v.T, engine, plugin.CheckRequest{URN: urn, News: news, RandomSeed: []byte(urn)})
	if len(checked.Failures) > 0 {
		v.Fatalf("%s: %v", urn, checked.Failures)
	}
	made, err := engine.Create(v.Context(), plugin.CreateRequest{URN: urn, Properties: checked.Properties})
	if err != nil {
		v.Fatalf("%s: %v", urn, err)
	}
	return checked.Properties, made
}

// inLocalCloud has inputs of a vault, a secret and a key that the local cloud accepts.
var inLocalCloud = []struct {
	kind   string
	inputs object
}{
	{"Vault", object{
		"resourceGroupName": "rg", "vaultName": "kv-moves", "location": "eastus",
		"properties": object{
			"tenantId": cloud.TenantID, "sku": object{"family": "A", "name": "standard"},
			"enableRbacAuthorization": true,
		},
	}},
	{"Secret", object{
		"resourceGroupName": "rg", "vaultName": "kv-moves", "properties": object{"value": "top secret"},
	}},
	{"Key", object{
		"resourceGroupName": "rg", "vaultName": "kv-moves", "properties": object{"kty": "RSA", "keySize": 2048},
	}},
}

// TestVersion3_AdoptsResourcesOfVersion2 moves resources to the parameterized package.
func TestVersion3_AdoptsResourcesOfVersion2(t *testing.T) {
	v := newVersions(t)
	for _, one := range inLocalCloud {
		urn3 := urn3(one.kind, "name")
		inputs, made := v.create(v.v2, urn("keyvault/v20241101:"+one.kind, "name"), one.inputs)
		news := resource.NewPropertyMapFromMap(one.inputs)
		checked := check(t, v.v3, plugin.CheckRequest{URN: urn3, Olds: inputs, News: news})
		diff, err := v.v3.Diff(t.Context(), plugin.DiffRequest{
			URN: urn3, ID: made.ID, OldInputs: inputs, OldOutputs: made.Properties, NewInputs: checked.Properties,
		})
		if err != nil || diff.Changes != plugin.DiffNone || len(diff.DetailedDiff) > 0 {
			t.Errorf("%s: diff: %v, %v", one.kind, diff.DetailedDiff, err)
		}
		read, err := v.v3.Read(t.Context(), plugin.ReadRequest{
			URN: urn3, ID: made.ID, Inputs: inputs, State: made.Properties,
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := inputs.Diff(read.Inputs); diff != nil {
			t.Errorf("%s: a refresh changes the inputs: %v", one.kind, diff)
		}
		if read.Outputs.HasValue("__inputs") || read.Outputs["azureApiVersion"].V != "2026-02-01" {
			t.Errorf("%s: outputs after a refresh: %v", one.kind, read.Outputs)
		}
		changed := inputs.Copy()
		if one.kind != "Key" { // Azure accepts a key's PUT only if it changes nothing
			changed["tags"] = obj(object{"moved": "yes"})
		}
		updated, err := v.v3.Update(t.Context(), plugin.UpdateRequest{
			URN: urn3, ID: made.ID, OldInputs: inputs, OldOutputs: read.Outputs, NewInputs: changed,
		})
		if err != nil || updated.Properties.HasValue("__inputs") {
			t.Errorf("%s: update: %v, %v", one.kind, updated.Properties, err)
		}
	}
	found, err := v.v3.Invoke(t.Context(), plugin.InvokeRequest{
		Tok:  tokens.ModuleMember(urn3("getVault", "").Type()),
		Args: resource.PropertyMap{"resourceGroupName": str("rg"), "vaultName": str("kv-moves")},
	})
	if err != nil || !found.Properties["tags"].IsObject() || found.Properties["azureApiVersion"].V != "2026-02-01" {
		t.Errorf("getVault: %v, %v", found.Properties, err)
	}
}

// TestVersion3_RecoversSecretAndKey deletes a secret and a key and creates them again.
func TestVersion3_RecoversSecretAndKey(t *testing.T) {
	v := newVersions(t)
	for _, one := range inLocalCloud {
		inputs, made := v.create(v.v3, urn3(one.kind, "name"), one.inputs)
		urn3 := urn3(one.kind, "name")
		deleted := plugin.DeleteRequest{URN: urn3, ID: made.ID, Inputs: inputs, Outputs: made.Properties}
		if one.kind == "Vault" {
			defer func() {
				if _, err := v.v3.Delete(t.Context(), deleted); err != nil {
					t.Errorf("%s: %v", one.kind, err)
				}
			}()
			continue
		}
		if _, err := v.v3.Delete(t.Context(), deleted); err != nil {
			t.Fatalf("%s: %v", one.kind, err)
		}
		again := plugin.CreateRequest{URN: urn("keyvault/v20241101:"+one.kind, "name"), Properties: inputs}
		_, err := v.v2.Create(t.Context(), again)
		if err == nil || !strings.Contains(err.Error(), "ObjectIsDeletedButRecoverable") {
			t.Errorf("%s: creating it again with v2: %v", one.kind, err)
		}
		if _, recovered := v.create(v.v3, urn3, one.inputs); recovered.ID != made.ID {
			t.Errorf("%s: creating it again with v3: got %s, want %s", one.kind, recovered.ID, made.ID)
		}
	}
}

// conflicting makes PUTs of a secret conflict with a deleted secret until it has been recovered n times. -1 means
// always.
func conflicting(a *azure, n int) (recovered *int) {
	recovered = new(int)
	a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
		switch {
		case r.Method == http.MethodPut && *recovered != n:
			return failWith(http.StatusConflict, "ObjectIsDeletedButRecoverable", "deleted")
		case strings.HasSuffix(r.URL.Path, "/recover") && r.Header.Get("Authorization") != "":
			*recovered++
		}
		return nil
	})
	return recovered
}

func TestRecovery_FollowsAzureNative(t *testing.T) {
	inputs := resource.NewPropertyMapFromMap(vaultResources["Secret"])
	create := plugin.CreateRequest{URN: urn3("Secret", "s"), Properties: inputs}
	start := func(t *testing.T) (plugin.Provider, *azure) {
		a := &azure{resources: map[string]map[string]any{}}
		return startVersion(t, Version3, a, nil), a
	}
	t.Run("repeats until recovered", func(t *testing.T) {
		engine, a := start(t)
		recovered := conflicting(a, 3)
		if _, err := engine.Create(t.Context(), create); err != nil || *recovered != 3 {
			t.Errorf("recovered %d times: %v", *recovered, err)
		}
	})
	t.Run("fails without a deleted object", func(t *testing.T) {
		engine, a := start(t)
		a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
			switch {
			case r.Method == http.MethodPut:
				return failWith(http.StatusConflict, "ScopeLocked", "locked")
			case strings.Contains(r.URL.Path, "/deletedsecrets/") && r.Header.Get("Authorization") != "":
				return failWith(http.StatusNotFound, "SecretNotFound", "no such secret")
			}
			return nil
		})
		_, err := engine.Create(t.Context(), create)
		puts := strings.Count(strings.Join(a.takeRequests(), "\n"), "PUT ")
		if err == nil || !strings.Contains(err.Error(), "ScopeLocked") || puts != recoveryMisses {
			t.Errorf("%d attempts, want %d: %v", puts, recoveryMisses, err)
		}
	})
	t.Run("fails without a role", func(t *testing.T) {
		engine, a := start(t)
		a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
			switch {
			case r.Method == http.MethodPut:
				return failWith(http.StatusConflict, "ObjectIsDeletedButRecoverable", "deleted")
			case strings.Contains(r.URL.Path, "/deletedsecrets/") && r.Header.Get("Authorization") != "":
				return failWith(http.StatusForbidden, "Forbidden", "no role")
			}
			return nil
		})
		_, err := engine.Create(t.Context(), create)
		for _, want := range []string{"ObjectIsDeletedButRecoverable", "Forbidden"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
	t.Run("does not apply to updates", func(t *testing.T) {
		engine, a := start(t)
		recovered := conflicting(a, -1)
		_, err := engine.Update(t.Context(), plugin.UpdateRequest{
			URN: urn3("Secret", "s"), ID: resource.ID(vaultID + "/secrets/s"),
			OldInputs: inputs, OldOutputs: inputs, NewInputs: inputs,
		})
		if err == nil || *recovered != 0 {
			t.Errorf("recovered %d times: %v", *recovered, err)
		}
	})
	t.Run("ends after three minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // without gRPC, which would block on goroutines outside the bubble
			a := &azure{resources: map[string]map[string]any{}}
			p := &azureNative{version: Version3, pkg: vaultPackage, alive: t.Context(), scale: 1, config: map[string]string{
				"clientId": client, "clientSecret": "hunter2", "tenantId": tenant, "subscriptionId": subscription,
			}}
			p.options.Transport = a
			if _, err := p.Configure(t.Context(), &pulumirpc.ConfigureRequest{}); err != nil {
				t.Fatal(err)
			}
			conflicting(a, -1)
			properties, err := encode(inputs)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			_, err = p.Create(t.Context(), &pulumirpc.CreateRequest{Urn: string(create.URN), Properties: properties})
			if took := time.Since(begin); err == nil || took < recoveryLimit || took > recoveryLimit+lastRecovery {
				t.Errorf("gave up after %s: %v", took, err)
			}
		})
	})
}

// TestVersion2_ReadsStateOfVersion3 checks that a stack can move back.
func TestVersion2_ReadsStateOfVersion3(t *testing.T) {
	for kind, inputs := range vaultResources {
		a := &azure{resources: map[string]map[string]any{}}
		v2, v3 := startVersion(t, Version2, a, nil), startVersion(t, Version3, a, nil)
		given := resource.NewPropertyMapFromMap(inputs)
		made, err := v3.Create(t.Context(), plugin.CreateRequest{URN: urn3(kind, "x"), Properties: given})
		if err != nil {
			t.Fatal(err)
		}
		diff, err := v2.Diff(t.Context(), plugin.DiffRequest{
			URN: urn("keyvault/v20241101:"+kind, "x"), ID: made.ID,
			OldInputs: given, OldOutputs: made.Properties, NewInputs: given,
		})
		if err != nil || diff.Changes != plugin.DiffNone {
			t.Errorf("%s: %v, %v", kind, diff.DetailedDiff, err)
		}
	}
}
