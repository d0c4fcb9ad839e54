package main

import "github.com/pulumi/pulumi/sdk/v3/go/common/resource"

// state is a recorded stack. Texts in it may refer to outputs: ${vault-vault#properties.vaultUri} is the output
// properties.vaultUri of the resource vault-vault. A secret is an object with secretKey as its only key.
type state struct {
	// Resources are in the order in which they were made.
	Resources []recorded `json:"resources"`
	// Outputs are the stack's outputs.
	Outputs map[string]any `json:"outputs"`
}

// recorded is a resource of a recorded stack. It refers to others by their names, which are unique in the stack.
type recorded struct {
	Type      string `json:"type"`
	Name      string `json:"name"`
	Component bool   `json:"component,omitempty"`
	// Parent is empty for a child of the stack.
	Parent string `json:"parent,omitempty"`
	// Provider is empty for the default provider.
	Provider string `json:"provider,omitempty"`
	// Version is that of the default provider's plugin, or of a provider's own.
	Version string `json:"version,omitempty"`
	// Inputs are those of the program, without what the provider added.
	Inputs map[string]any `json:"inputs,omitempty"`

	DependsOn        []string                 `json:"dependsOn,omitempty"`
	DeletedWith      string                   `json:"deletedWith,omitempty"`
	Protect          bool                     `json:"protect,omitempty"`
	RetainOnDelete   bool                     `json:"retainOnDelete,omitempty"`
	IgnoreChanges    []string                 `json:"ignoreChanges,omitempty"`
	ReplaceOnChanges []string                 `json:"replaceOnChanges,omitempty"`
	SecretOutputs    []string                 `json:"secretOutputs,omitempty"`
	Timeouts         *resource.CustomTimeouts `json:"timeouts,omitempty"`
}

const (
	stackType        = "pulumi:pulumi:Stack"
	providerPrefix   = "pulumi:providers:"
	azurePrefix      = "azure-native:"
	clusterSuffix    = ":ManagedCluster"
	assignmentSuffix = ":RoleAssignment"

	secretKey = "${secret}"
	// callerName refers to whoever runs Pulumi; the outputs are those of getClientConfig.
	callerName = "caller"
)
