package main

import (
	"fmt"

	"github.com/pulumi/pulumi-pulumiservice/sdk/go/pulumiservice"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"sigs.k8s.io/yaml"
)

// newEnvironment creates the environment of Pulumi ESC with which a stack signs in to Azure.
func newEnvironment(ctx *pulumi.Context, cfg *config, stack stackConfig) (*pulumiservice.Environment, error) {
	text, err := environmentYAML(cfg, stack)
	if err != nil {
		return nil, err
	}
	environment, err := pulumiservice.NewEnvironment(ctx, stack.Name, &pulumiservice.EnvironmentArgs{
		Organization: pulumi.String(cfg.Organization),
		Project:      pulumi.String(cfg.EnvironmentProject),
		Name:         pulumi.String(stack.Name),
		Yaml:         pulumi.NewStringAsset(text),
	})
	if err != nil {
		return nil, fmt.Errorf("creating the environment of %s: %w", stack.Name, err)
	}
	return environment, nil
}

// environmentYAML returns the definition of the environment. It contains no secret: opening it yields a token that
// Pulumi issues, which Entra ID accepts if a federated credential of the identity has its subject.
//
// The subject has the attributes listed here, because by default the subject of an imported environment lacks the
// environment's name: https://www.pulumi.com/docs/esc/guides/configuring-oidc/azure/
func environmentYAML(cfg *config, stack stackConfig) (string, error) {
	type object = map[string]any
	text, err := yaml.Marshal(object{"values": object{
		"azure": object{"login": object{"fn::open::azure-login": object{
			"clientId":          stack.ClientID,
			"tenantId":          cfg.TenantID,
			"subscriptionId":    cfg.SubscriptionID,
			"oidc":              true,
			"subjectAttributes": []string{"pulumi.organization.login", "currentEnvironment.name"},
		}}},
		"environmentVariables": object{
			// For the Azure provider.
			"ARM_USE_OIDC":        "true",
			"ARM_CLIENT_ID":       "${azure.login.clientId}",
			"ARM_TENANT_ID":       "${azure.login.tenantId}",
			"ARM_SUBSCRIPTION_ID": "${azure.login.subscriptionId}",
			"ARM_OIDC_TOKEN":      "${azure.login.oidc.token}",
			// For kubelogin and Azure's SDKs, which read the token from a file.
			"AAD_LOGIN_METHOD": "workloadidentity",
			"AZURE_CLIENT_ID":  "${azure.login.clientId}",
			"AZURE_TENANT_ID":  "${azure.login.tenantId}",
		},
		"files": object{"AZURE_FEDERATED_TOKEN_FILE": "${azure.login.oidc.token}"},
	}})
	return string(text), err
}
