package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/esc"
	"github.com/pulumi/esc/eval"
	"github.com/pulumi/esc/schema"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const project = "keyvault-aks-deployments"

// try runs the program with a change of the example's configuration.
func try(t *testing.T, change map[string]string) (*mockengine.Engine, error) {
	t.Helper()
	e := &mockengine.Engine{Project: project, Config: mockengine.Config(t, ".", "Pulumi.example.yaml")}
	for key, value := range change {
		e.Config[project+":"+key] = value
	}
	return e, e.Run(func(ctx *pulumi.Context) error { return program(ctx, e.Config) })
}

func run(t *testing.T) *mockengine.Engine {
	t.Helper()
	e, err := try(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func get(t *testing.T, e *mockengine.Engine, kind, name string) mockengine.Registered {
	t.Helper()
	for _, one := range e.Resources() {
		if one.Type == "pulumiservice:index:"+kind && one.Name == name {
			return one
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return mockengine.Registered{}
}

func text(t *testing.T, one mockengine.Registered, at string) string {
	t.Helper()
	value := one.At(at)
	switch {
	case value == nil || value.IsNull():
		return ""
	case value.IsAsset():
		return value.AssetValue().Text
	}
	return fmt.Sprint(value.Mappable())
}

func TestDeployments_FollowStackSettings(t *testing.T) {
	e := run(t)
	for stack, want := range map[string]map[string]string{
		"dev": {
			"sourceContext.git.branch": "refs/heads/main", "sourceContext.git.commit": "", "vcs.deployCommits": "true",
			"operationContext.preRunCommands[1]": "pulumi config env add --yes --stack acme/keyvault-aks/dev azure/dev",
		},
		"prod": {
			"sourceContext.git.branch": "", "sourceContext.git.commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "vcs.deployCommits": "false",
			"operationContext.preRunCommands[1]": "pulumi config env add --yes --stack acme/keyvault-aks/prod azure/prod",
		},
	} {
		settings := get(t, e, "DeploymentSettings", stack)
		maps.Copy(want, map[string]string{
			"organization":                          "acme",
			"project":                               "keyvault-aks",
			"stack":                                 stack,
			"vcs.repository":                        "acme/shop",
			"vcs.provider":                          "github",
			"vcs.previewPullRequests":               "false",
			"vcs.pullRequestTemplate":               "false",
			"operationContext.oidc":                 "",
			"operationContext.environmentVariables": "",
		})
		for at, value := range want {
			if got := text(t, settings, at); got != value {
				t.Errorf("%s of %s is %q, want %q", at, stack, got, value)
			}
		}
		if !settings.WaitsFor(get(t, e, "Environment", stack)) {
			t.Errorf("the settings of %s do not wait for the environment", stack)
		}
	}
}

func TestSchedules_DetectDriftAndRotate(t *testing.T) {
	e := run(t)
	drift, rotation := get(t, e, "DriftSchedule", "prod"), get(t, e, "DeploymentSchedule", "prod-rotation")
	if text(t, drift, "scheduleCron") != "27 4 * * *" || text(t, drift, "autoRemediate") != "false" ||
		text(t, drift, "stack") != "prod" {
		t.Errorf("drift is looked for by %v", drift.Inputs)
	}
	if text(t, rotation, "scheduleCron") != "57 2 * * *" || text(t, rotation, "pulumiOperation") != "update" ||
		text(t, rotation, "stack") != "prod" {
		t.Errorf("secrets are rotated by %v", rotation.Inputs)
	}
	settings := get(t, e, "DeploymentSettings", "prod")
	if !drift.WaitsFor(settings) || !rotation.WaitsFor(settings) {
		t.Error("a schedule does not wait for the settings, which Pulumi Cloud wants first")
	}
	e, err := try(
		t,
		map[string]string{
			"stacks": `[{"name": "dev", "clientId": "bbbbbbbb-1111-2222-3333-444444444444", "branch": "main"}]`,
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range e.Resources() {
		if strings.HasSuffix(one.Type, "Schedule") {
			t.Errorf("%s is there, and nothing says when", one.URN)
		}
	}
}

// azureLogin replaces Pulumi Cloud's provider of this name, with its documented inputs and outputs:
// https://www.pulumi.com/docs/esc/integrations/dynamic-login-credentials/azure-login/
type azureLogin struct{ opened map[string]esc.Value }

func (*azureLogin) Schema() (inputs, outputs *schema.Schema) {
	inputs = schema.Record(schema.SchemaMap{
		"clientId":          schema.String().Schema(),
		"tenantId":          schema.String().Schema(),
		"subscriptionId":    schema.String().Schema(),
		"oidc":              schema.Boolean().Schema(),
		"subjectAttributes": schema.Array().Items(schema.String().Schema()).Schema(),
	}).Schema()
	outputs = schema.Record(schema.SchemaMap{
		"clientId":       schema.String().Schema(),
		"tenantId":       schema.String().Schema(),
		"subscriptionId": schema.String().Schema(),
		"oidc":           schema.Record(schema.SchemaMap{"token": schema.String().Schema()}).Schema(),
	}).Schema()
	return inputs, outputs
}

func (a *azureLogin) Open(_ context.Context, inputs map[string]esc.Value, _ esc.EnvExecContext) (esc.Value, error) {
	a.opened = inputs
	return esc.NewValue(map[string]esc.Value{
		"clientId": inputs["clientId"], "tenantId": inputs["tenantId"], "subscriptionId": inputs["subscriptionId"],
		"oidc": esc.NewValue(map[string]esc.Value{"token": esc.NewSecret("the token")}),
	}), nil
}

func (a *azureLogin) LoadProvider(_ context.Context, name string) (esc.Provider, error) {
	if name != "azure-login" {
		return nil, fmt.Errorf("there is no provider %s", name)
	}
	return a, nil
}

func (*azureLogin) LoadRotator(context.Context, string) (esc.Rotator, error) {
	return nil, errors.New("there are no rotators")
}

func (*azureLogin) LoadEnvironment(context.Context, string) ([]byte, eval.Decrypter, error) {
	return nil, nil, errors.New("there are no other environments")
}

// TestEnvironments_SignInToAzure evaluates the environments like Pulumi Cloud.
func TestEnvironments_SignInToAzure(t *testing.T) {
	e := run(t)
	for stack, clientID := range map[string]string{"dev": "bbbbbbbb-1111-2222-3333-444444444444",
		"prod": "cccccccc-1111-2222-3333-444444444444"} {
		made := get(t, e, "Environment", stack)
		if text(t, made, "organization") != "acme" || text(t, made, "project") != "azure" || text(t, made, "name") != stack {
			t.Errorf("the environment of %s is %v", stack, made.Inputs)
		}
		declared, diagnostics, err := eval.LoadYAMLBytes(stack, []byte(text(t, made, "yaml")))
		if err != nil || len(diagnostics) > 0 {
			t.Fatalf("the environment of %s: %v, %v", stack, diagnostics, err)
		}
		login := &azureLogin{}
		in, err := esc.NewExecContext(map[string]esc.Value{})
		if err != nil {
			t.Fatal(err)
		}
		opened, diagnostics := eval.EvalEnvironment(t.Context(), stack, declared, nil, login, login, in)
		if len(diagnostics) > 0 {
			t.Fatalf("the environment of %s: %v", stack, diagnostics)
		}
		attributes := login.opened["subjectAttributes"].ToJSON(false)
		if fmt.Sprint(attributes) != "[pulumi.organization.login currentEnvironment.name]" {
			t.Errorf("the subject of %s has the attributes %v", stack, attributes)
		}
		if login.opened["oidc"].Value != true {
			t.Errorf("%s signs in with %v", stack, login.opened)
		}
		got := map[string]string{}
		for name, value := range opened.GetEnvironmentVariables() {
			got[name] = value.Value.(string)
		}
		for name, value := range opened.GetTemporaryFiles() {
			got[name] = value.Value.(string)
		}
		want := map[string]string{
			"ARM_USE_OIDC":               "true",
			"ARM_CLIENT_ID":              clientID,
			"ARM_TENANT_ID":              "11111111-2222-3333-4444-555555555555",
			"ARM_SUBSCRIPTION_ID":        "66666666-7777-8888-9999-aaaaaaaaaaaa",
			"ARM_OIDC_TOKEN":             "the token",
			"AAD_LOGIN_METHOD":           "workloadidentity",
			"AZURE_CLIENT_ID":            clientID,
			"AZURE_TENANT_ID":            "11111111-2222-3333-4444-555555555555",
			"AZURE_FEDERATED_TOKEN_FILE": "the token",
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s runs with %v, want %v", stack, got, want)
		}
		if !opened.GetEnvironmentVariables()["ARM_OIDC_TOKEN"].Secret {
			t.Error("the token is not secret")
		}
	}
}

func TestConfig_ReportsAllMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"as it is by default": {
			map[string]string{"organization": "", "repository": "", "tenantId": "", "subscriptionId": "", "stacks": "[]"},
			[]string{"organization", "repository", "stacks", "subscriptionId", "tenantId"},
		},
		"names and ids": {
			map[string]string{"organization": "a b", "project": "p/q", "repository": "https://github.com/a/b",
				"environmentProject": "", "tenantId": "x"},
			[]string{"environmentProject", "organization", "project", "repository", "tenantId"},
		},
		"stacks": {
			map[string]string{"stacks": `[
				{"name": "a", "clientId": "x", "branch": "main", "commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"},
				{"name": "a", "clientId": "bbbbbbbb-1111-2222-3333-444444444444", "commit": "v1", "deployCommits": true, "drift": "nightly"},
				{"name": "b", "clientId": "bbbbbbbb-1111-2222-3333-444444444444", "branch": "-x", "rotation": "1 2 3"}]`},
			[]string{
				"stacks[0].branch", "stacks[0].clientId", "stacks[1].commit", "stacks[1].deployCommits", "stacks[1].drift", "stacks[1].name",
				"stacks[2].branch", "stacks[2].rotation",
			},
		},
		"an unknown field": {
			map[string]string{"stacks": `[{"name": "a", "clientId": "bbbbbbbb-1111-2222-3333-444444444444", "branch": "main", "clientSecret": "x"}]`},
			[]string{"stacks[0].clientSecret"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := try(t, tt.change)
			var invalid *components.ValidationError
			if !errors.As(err, &invalid) {
				t.Fatalf("the program ended with %v", err)
			}
			var got []string
			for _, one := range invalid.Violations {
				got = append(got, one.Path)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("reported are %q, want %q", got, tt.want)
			}
			for _, one := range e.Resources() {
				if one.Type != string(resource.RootStackType) {
					t.Errorf("%s was registered", one.URN)
				}
			}
		})
	}
}
