package infra_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/infra"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const getGroup = "azure-native:resources/v20220901:getResourceGroup"

// surround registers the surroundings of the dev stack with some keys changed.
func surround(t *testing.T, e *mockengine.Engine, change map[string]string) error {
	t.Helper()
	e.Config = mockengine.StackConfig(t, "..", "dev")
	for key, value := range change {
		e.Config[mockengine.Project+":"+key] = value
	}
	return e.Run(func(ctx *pulumi.Context) error {
		cfg, err := infra.LoadConfig(ctx, e.Config)
		if err != nil {
			return err
		}
		_, err = infra.NewSurroundings(ctx, cfg)
		return err
	})
}

func TestExistingResourceGroup_IsLookedUpAndNotRegistered(t *testing.T) {
	e := &mockengine.Engine{
		DryRun:  true,
		Answers: map[string]map[string]any{getGroup: {"tags": map[string]any{"pulumi-project": mockengine.Project}}},
	}
	if err := surround(t, e, map[string]string{"existingResourceGroup": "true"}); err != nil {
		t.Fatal(err)
	}
	if made := e.Resources(); len(made) > 0 {
		t.Errorf("%v is registered", made)
	}
	var asked []string
	for _, invoked := range e.Invoked() {
		if invoked.Token == getGroup {
			asked = append(asked, invoked.Args["resourceGroupName"].StringValue())
		}
	}
	if len(asked) != 1 || asked[0] != "keyvault-demo" {
		t.Errorf("asked for %v", asked)
	}
}

func TestExistingResourceGroup_FailsIfMissing(t *testing.T) {
	e := &mockengine.Engine{DryRun: true, Answers: map[string]map[string]any{getGroup: nil}}
	err := surround(t, e, map[string]string{"existingResourceGroup": "true"})
	if err == nil || !strings.Contains(err.Error(), "existingResourceGroup") {
		t.Errorf("got error %v", err)
	}
}
