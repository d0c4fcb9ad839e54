package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func rotatingVault(every string) resource.PropertyMap {
	return propertiesOf(map[string]any{
		"resourceGroupName": "group",
		"tenantId":          mockengine.TenantID,
		"namePrefix":        "kv",
		"secrets": []any{
			map[string]any{"name": "db", "generate": map[string]any{"length": 20.0}, "rotateEvery": every, "expires": "P45D"},
		},
	})
}

// TestConstruct_RotatesLikeGo checks that the creation time is recorded, that date and value count from it, and that
// the next due date is logged.
func TestConstruct_RotatesLikeGo(t *testing.T) {
	engine := &mockengine.Engine{}
	if _, err := (request{component: "KeyVaultStack", inputs: rotatingVault("P30D")}).construct(t, engine); err != nil {
		t.Fatal(err)
	}
	moment := ""
	for _, one := range engine.Resources() {
		if strings.HasPrefix(one.Name, "it-rotation-db-") {
			moment = one.At("keepers.made").StringValue()
		}
	}
	made, err := time.Parse(time.RFC3339, moment)
	if err != nil {
		t.Fatalf("the moment is %q", moment)
	}
	if got := engine.Get(t, "it-secret-db").At("properties.attributes.expires"); got == nil ||
		int64(got.NumberValue()) != made.AddDate(0, 0, 45).Unix() {
		t.Errorf("it expires at %v, made at %s", got, moment)
	}
	next := made.AddDate(0, 0, 30).Format(time.RFC3339)
	if said := strings.Join(engine.Infos(), "\n"); !strings.Contains(said, next) {
		t.Errorf("that the next is due on %s is not said: %s", next, said)
	}
	again := &mockengine.Engine{Before: engine}
	if _, err := (request{component: "KeyVaultStack", inputs: rotatingVault("P30D")}).construct(t, again); err != nil {
		t.Fatal(err)
	}
	if before, now := engine.Get(t, "it-value-db"), again.Get(t, "it-value-db"); !before.Inputs.DeepEquals(now.Inputs) {
		t.Errorf("the value's inputs were %v, and are %v", before.Inputs, now.Inputs)
	}
	for _, every := range []string{"PT59M", "30", "P45D"} {
		_, err := request{component: "KeyVaultStack", inputs: rotatingVault(every)}.construct(t, &mockengine.Engine{})
		if err == nil || !strings.Contains(err.Error(), "secrets[0].") {
			t.Errorf("%s: %v", every, err)
		}
	}
}

// TestConstruct_HidesWebhooks checks that webhook URLs, which allow sending, are secret however they are given, and
// hidden if invalid.
func TestConstruct_HidesWebhooks(t *testing.T) {
	for name, one := range map[string]struct {
		given resource.PropertyValue
		fine  bool
	}{
		"plain":            {resource.NewProperty("https://hooks.example/hunter2"), true},
		"secret":           {resource.MakeSecret(resource.NewProperty("https://hooks.example/hunter2")), true},
		"an output":        {outputOf("https://hooks.example/hunter2"), true},
		"wrong":            {resource.NewProperty("http://hooks.example/hunter2"), false},
		"wrong, secret":    {resource.MakeSecret(resource.NewProperty("http://hooks.example/hunter2")), false},
		"wrong, an output": {outputOf("http://hooks.example/hunter2"), false},
		"no URL":           {resource.NewProperty("https://hooks.example/%zzhunter2"), false},
	} {
		t.Run(name, func(t *testing.T) {
			inputs := rotatingVault("P30D")
			inputs["expiryEvents"] = resource.NewProperty(resource.PropertyMap{
				"webhooks": resource.NewProperty(resource.PropertyMap{"oncall": one.given}),
			})
			engine := &mockengine.Engine{}
			_, err := request{component: "KeyVaultStack", inputs: inputs}.construct(t, engine)
			if (err == nil) != one.fine ||
				err != nil &&
					(strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "expiryEvents.webhooks.oncall")) {
				t.Errorf("it says %v", err)
			}
			if shown := engine.Plaintext("hunter2"); len(shown) > 0 {
				t.Errorf("it is plain in %q", shown)
			}
			if said := strings.Join(append(engine.Infos(), engine.Errors()...), "\n"); strings.Contains(said, "hunter2") {
				t.Errorf("it says %s", said)
			}
		})
	}
}
