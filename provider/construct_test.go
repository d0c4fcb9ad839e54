package main

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const (
	inKubernetes = "urn:pulumi:test::keyvault-aks::pulumi:providers:kubernetes::theirs"
	someID       = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/group/providers/Microsoft.KeyVault/vaults/v-1"
)

// request is a request for a component, like the engine's.
type request struct {
	component    string
	inputs       resource.PropertyMap
	dependencies map[string][]string
	// bare omits the Kubernetes provider.
	bare        bool
	deletedWith string
	parent      string
	name        string
}

func (r request) construct(t *testing.T, engine *mockengine.Engine) (resource.PropertyMap, error) {
	t.Helper()
	pkg, err := readSchema(schemaJSON)
	if err != nil {
		t.Fatal(err)
	}
	all := plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true, KeepResources: true, KeepOutputValues: true}
	inputs, err := plugin.MarshalProperties(r.inputs, all)
	if err != nil {
		t.Fatal(err)
	}
	var outputs resource.PropertyMap
	err = engine.Serve(func(address string) error {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		rpc := &pulumirpc.ConstructRequest{
			Project: mockengine.Project, Stack: mockengine.Stack, DryRun: engine.DryRun, MonitorEndpoint: address,
			Type: "keyvaultaks:index:" + r.component, Name: r.name, Parent: r.parent,
			Inputs: inputs, DeletedWith: r.deletedWith,
			InputDependencies: map[string]*pulumirpc.ConstructRequest_PropertyDependencies{},
		}
		if r.name == "" {
			rpc.Name = "it"
		}
		for name, urns := range r.dependencies {
			rpc.InputDependencies[name] = &pulumirpc.ConstructRequest_PropertyDependencies{Urns: urns}
		}
		if !r.bare {
			rpc.Providers = map[string]string{"kubernetes": inKubernetes + "::an-id"}
		}
		response, err := construct(t.Context(), pkg, conn, rpc)
		if err != nil {
			return err
		}
		outputs, err = plugin.UnmarshalProperties(response.GetState(), all)
		return err
	})
	return outputs, err
}

func propertiesOf(of map[string]any) resource.PropertyMap { return resource.NewPropertyMapFromMap(of) }

func mount() map[string]any {
	return map[string]any{
		"vaultId": someID, "vaultName": "v-1", "tenantId": mockengine.TenantID, "clientId": "c", "principalId": "p",
		"namespace": "apps", "objects": []any{map[string]any{"type": "secret", "name": "password"}},
	}
}

// outputOf returns an output of a resource; nil is unknown.
func outputOf(value any) resource.PropertyValue {
	known := value != nil
	element := resource.NewProperty("")
	if known {
		element = resource.NewPropertyValue(value)
	}
	return resource.NewProperty(resource.Output{
		Element: element, Known: known, Dependencies: []resource.URN{"urn:pulumi:test::keyvault-aks::a:b:C::other"},
	})
}

func TestConstruct_ReportsAllViolationsAndRegistersNothing(t *testing.T) {
	for name, one := range map[string]struct {
		request request
		// want maps paths to parts of their messages.
		want map[string]string
	}{
		"an output where a plain value belongs": {
			request{component: "KeyVaultStack", inputs: resource.PropertyMap{
				"resourceGroupName": outputOf("group"), "tenantId": resource.NewProperty(mockengine.TenantID),
				"namePrefix": outputOf("kv"),
				"secrets": resource.NewProperty([]resource.PropertyValue{
					resource.NewProperty(resource.PropertyMap{
						"name": resource.NewProperty("a_b"), "value": outputOf(nil), "rotate": outputOf(nil),
					}),
					resource.NewProperty(resource.PropertyMap{
						"name": resource.MakeSecret(resource.NewProperty("hidden")), "value": resource.NewProperty("v"),
					}),
				}),
			}, dependencies: map[string][]string{
				"namePrefix": {"urn:pulumi:test::keyvault-aks::a:b:C::other"}, "secrets": {"urn:pulumi:test::keyvault-aks::a:b:C::other"},
			}},
			map[string]string{
				"namePrefix": "given an output, allowed: a plain value", "secrets[0].rotate": "given an output, allowed: a " +
					"plain value",
				"secrets[1].name": "given a secret, allowed: a plain value", "secrets[0].name": `given "a_b"`,
			},
		},
		"an output of which a language says only that it depends on something": {
			request{
				component: "KeyVaultStack", inputs: propertiesOf(map[string]any{
					"resourceGroupName": "group", "tenantId": mockengine.TenantID, "namePrefix": "kv",
				}), dependencies: map[string][]string{"namePrefix": {"urn:pulumi:test::keyvault-aks::a:b:C::other"}},
			},
			map[string]string{"namePrefix": "given an output, allowed: a plain value"},
		},
		"no provider": {
			request{component: "SecretMount", bare: true, inputs: func() resource.PropertyMap {
				with := mount()
				with["access"], with["namespace"] = "nowhere", "a_b"
				delete(with, "vaultId")
				return propertiesOf(with)
			}()},
			map[string]string{
				"providers": "given no provider for Kubernetes", "access": "allowed: object, vault, none", "namespace": `given "a_b"`,
				"vaultId": "given nothing",
			},
		},
		"no provider alone": {
			request{component: "SecretMount", bare: true, inputs: propertiesOf(mount())},
			map[string]string{"providers": "given no provider for Kubernetes"},
		},
		"no provider, and what does not fit the schema": {
			request{component: "SecretMount", bare: true, inputs: func() resource.PropertyMap {
				with := mount()
				with["vaultName"] = 5.0
				return propertiesOf(with)
			}()},
			map[string]string{"providers": "given no provider for Kubernetes", "vaultName": "given 5, allowed: a string"},
		},
		"names that are none": {
			request{component: "SecretMount", inputs: func() resource.PropertyMap {
				with := mount()
				delete(with, "vaultName")
				with["vaultname"], with["completely"] = "v-1", true
				with["objects"] = []any{map[string]any{"type": "secret", "nme": "password", "file_permission": "0444"}}
				return propertiesOf(with)
			}()},
			map[string]string{
				"vaultname": "allowed: vaultName", "vaultName": "given nothing", "completely": "access, className",
				"objects[0].nme": "allowed: name", "objects[0].name": "given nothing",
				"objects[0].file_permission": "allowed: filePermission",
			},
		},
		"values of other types": {
			request{component: "SecretMount", inputs: func() resource.PropertyMap {
				with := mount()
				with["vaultName"], with["clientId"], with["namespace"], with["labels"] = 5.0, []any{"c"}, true, "app"
				with["tenantId"] = resource.ResourceReference{URN: "urn:pulumi:test::keyvault-aks::a:b:C::other"}
				with["objects"] = []any{"password", map[string]any{"type": "secret", "name": "n", "versionHistory": 2.5}}
				with["versions"] = map[string]any{"a": 1.0}
				return propertiesOf(with)
			}()},
			map[string]string{
				"vaultName": "given 5, allowed: a string", "clientId": "given a list", "namespace": "given true",
				"tenantId": "given a resource", "labels": `given "app", allowed: a map`, "objects[0]": `given "password", allowed: an object`,
				"objects[1].versionHistory": "given 2.5, allowed: an integer", "versions.a": "given 1",
			},
		},
		"a secret of another type": {
			request{component: "KeyVaultStack", inputs: propertiesOf(map[string]any{
				"resourceGroupName": "group", "tenantId": mockengine.TenantID, "namePrefix": "kv",
				"secrets": []any{map[string]any{"name": "pin", "value": 4711.0}},
			})},
			map[string]string{"secrets[0].value": "not shown"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &mockengine.Engine{DryRun: true}
			_, err := one.request.construct(t, engine)
			if err == nil {
				t.Fatal("it was constructed")
			}
			lines := map[string]string{}
			for _, line := range strings.Split(err.Error(), "\n")[1:] {
				path, said, _ := strings.Cut(strings.TrimSpace(line), ": ")
				lines[path] = said
			}
			for path, want := range one.want {
				if !strings.Contains(lines[path], want) {
					t.Errorf("%s: %q does not say %q", path, lines[path], want)
				}
			}
			if len(lines) != len(one.want) || strings.Contains(err.Error(), "components.") ||
				strings.Contains(err.Error(), "pulumi.") ||
				strings.Contains(err.Error(), "4711") {
				t.Error(err)
			}
			if registered := engine.Resources(); len(registered) > 0 {
				t.Errorf("%s was registered", registered[0].Name)
			}
		})
	}
}

// TestConstruct_ReportsLateViolations checks a value that is known only when another resource exists.
func TestConstruct_ReportsLateViolations(t *testing.T) {
	inputs := propertiesOf(
		map[string]any{"resourceGroupName": "group", "tenantId": mockengine.TenantID, "namePrefix": "kv"},
	)
	inputs["network"] = resource.NewProperty(
		resource.PropertyMap{"allowedIpRanges": resource.NewProperty([]resource.PropertyValue{outputOf("10.0.0.0/8")})},
	)
	_, err := request{component: "KeyVaultStack", inputs: inputs}.construct(t, &mockengine.Engine{})
	if err == nil || !strings.Contains(err.Error(), "\n  network.allowedIpRanges[0]: given") ||
		strings.Contains(err.Error(), "marshaling") {
		t.Errorf("it says %v", err)
	}
}

func TestConstruct_AcceptsOutputsForInputs(t *testing.T) {
	inputs := propertiesOf(mount())
	inputs["clientId"], inputs["principalId"] = outputOf("c"), resource.MakeSecret(resource.NewProperty("p"))
	inputs["versions"] = outputOf(map[string]any{"password": "1"})
	inputs["serviceAccountName"] = outputOf("app")
	engine := &mockengine.Engine{}
	outputs, err := request{component: "SecretMount", inputs: inputs, dependencies: map[string][]string{
		"clientId": {"urn:pulumi:test::keyvault-aks::a:b:C::other"},
		// As sent by a language that does not mark outputs in lists.
		"objects": {"urn:pulumi:test::keyvault-aks::a:b:C::other"},
	}}.construct(t, engine)
	if err != nil {
		t.Fatal(err)
	}
	volume := outputs["volume"].ObjectValue()
	if volume["name"].StringValue() != "secrets-store" || len(volume) != 2 || len(volume["csi"].ObjectValue()) != 3 {
		t.Errorf("the volume is %v", volume)
	}
	for name, want := range map[resource.PropertyKey]string{"volumeName": "secrets-store", "serviceAccountName": "app"} {
		got := outputs[name]
		if got.IsOutput() {
			got = got.OutputValue().Element
		}
		if !got.IsString() || got.StringValue() != want {
			t.Errorf("%s is %v", name, got)
		}
	}
}

func TestConstruct_AppliesDeletedWithToObjectsOnly(t *testing.T) {
	engine := &mockengine.Engine{}
	_, err := (request{component: "SecretMount", inputs: propertiesOf(mount()), deletedWith: inKubernetes}).construct(t,
		engine)
	if err != nil {
		t.Fatal(err)
	}
	hooked := 0
	for _, r := range engine.Resources() {
		want := ""
		if strings.HasPrefix(r.Type, "kubernetes:") {
			want = inKubernetes
			hooked += len(r.RPC.GetHooks().GetOnError())
		}
		if r.RPC.GetDeletedWith() != want {
			t.Errorf("%s is deleted with %q", r.Name, r.RPC.GetDeletedWith())
		}
	}
	if hooked != 1 {
		t.Errorf("the class has %d hooks for errors", hooked)
	}
}

// Different processes may construct components of the same name under different parents.
func TestConstruct_NamesHooksByParentAndName(t *testing.T) {
	names := func(parent string) []string {
		t.Helper()
		engine := &mockengine.Engine{}
		one := request{component: "SecretMount", inputs: propertiesOf(mount()), parent: parent}
		if _, err := one.construct(t, engine); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, r := range engine.Resources() {
			all = append(all, r.RPC.GetHooks().GetOnError()...)
			all = append(all, r.RPC.GetHooks().GetAfterCreate()...)
		}
		return all
	}
	first := names("urn:pulumi:test::keyvault-aks::a:b:C::first")
	again, second := names("urn:pulumi:test::keyvault-aks::a:b:C::first"), names(
		"urn:pulumi:test::keyvault-aks::a:b:C::second",
	)
	if len(first) != 2 || strings.Join(first, " ") != strings.Join(again, " ") {
		t.Errorf("the hooks are %q, and then %q", first, again)
	}
	for i := range first {
		if first[i] == second[i] {
			t.Errorf("two components have the hook %s", first[i])
		}
	}
}

func TestConstruct_RetriesLateRolesInCluster(t *testing.T) {
	engine := &mockengine.Engine{Refusals: map[string][]string{
		"it-class": {
			`User "it" cannot create: User does not have access to the resource in Azure. Update role assignment to allow access.`,
		},
	}}
	if _, err := (request{component: "SecretMount", inputs: propertiesOf(mount())}).construct(t, engine); err != nil {
		t.Error(err)
	}
}

func TestConstruct_RejectsUnknownType(t *testing.T) {
	if _, err := (request{component: "Vault"}).construct(t, &mockengine.Engine{}); err == nil {
		t.Error("it was constructed")
	}
}

// TestLoadConfig_HidesMisplacedSecret passes a secret in place of an object that contains one.
func TestLoadConfig_HidesMisplacedSecret(t *testing.T) {
	for _, secrets := range []any{"hunter2", []any{"hunter2"}} {
		_, err := request{component: "KeyVaultStack", inputs: propertiesOf(map[string]any{"secrets": secrets})}.construct(t,
			&mockengine.Engine{DryRun: true})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", secrets, err)
		}
	}
}
