package plugin

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/unknowntypes"
)

func TestUnknownTypes_AreRefusedWithAlternatives(t *testing.T) {
	for token, instead := range map[string]string{
		"network:NatGateway":            "PrivateEndpoint",
		"storage:StorageAccount":        "keyvault",
		"keyvault/v20200101:Vault":      "v20241101",
		"keyvault/v20241101:ManagedHsm": "Vault",
	} {
		engine, _ := start(t, nil)
		inputs := resource.PropertyMap{"resourceGroupName": str("rg")}
		_, checked := engine.Check(t.Context(), plugin.CheckRequest{URN: urn(token, "x"), News: inputs})
		_, created := engine.Create(t.Context(), plugin.CreateRequest{URN: urn(token, "x"), Properties: inputs})
		module, name, _ := strings.Cut(token, ":")
		function := module + ":get" + name
		_, invoked := invoke(t, engine, function, inputs)
		for of, err := range map[string]error{
			"Check of " + token: checked, "Create of " + token: created, function: invoked,
		} {
			_, asked, _ := strings.Cut("x "+of, " of ")
			if asked == "" {
				asked = of
			}
			if err == nil || !strings.Contains(err.Error(), "azure-native:"+asked) || !strings.Contains(err.Error(), instead) {
				t.Errorf("%s: %v; want its name, and %s", of, err, instead)
			}
		}
	}
}

// TestUnknownTypes_AreNotedInPreview checks that a preview goes on after an unknown type, and that an update fails.
func TestUnknownTypes_AreNotedInPreview(t *testing.T) {
	file := filepath.Join(t.TempDir(), "unknown")
	t.Setenv(unknowntypes.FileVariable, file)
	engine, _ := start(t, nil)
	inputs := resource.PropertyMap{"resourceGroupName": str("rg")}
	unknown := []string{"network:NatGateway", "keyvault/v20200101:Vault"}
	for _, token := range append(slices.Clone(unknown), "keyvault:Vault") {
		checked, err := engine.Check(t.Context(), plugin.CheckRequest{
			URN: urn(token, "x"), News: inputs, RandomSeed: []byte(token),
		})
		if err != nil {
			t.Errorf("%s: %v", token, err)
		}
		made, err := engine.Create(t.Context(), plugin.CreateRequest{
			URN: urn(token, "x"), Properties: checked.Properties, Preview: true,
		})
		if err != nil {
			t.Errorf("%s: %v", token, err)
		}
		if slices.Contains(unknown, token) && len(made.Properties) > 0 {
			t.Errorf("%s: got %v, want no outputs", token, made.Properties)
		}
	}
	if _, err := invoke(t, engine, "network:getNatGateway", nil); err == nil {
		t.Error("an unknown function returned a result")
	}
	noted, err := unknowntypes.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, token := range []string{"keyvault/v20200101:Vault", "network:NatGateway", "network:getNatGateway"} {
		if len(noted) != 3 || !strings.Contains(noted[i], "azure-native:"+token+" ") {
			t.Fatalf("noted: %q", noted)
		}
	}

	_, err = engine.Create(t.Context(), plugin.CreateRequest{URN: urn(unknown[0], "x"), Properties: inputs})
	if err == nil {
		t.Error("an update created an unknown type")
	}
}
