package main

import "github.com/pulumi/pulumi/sdk/v3/go/common/resource"

// state is a recorded stack. Texts in it may refer to outputs: ${vault-vault#properties.vaultUri} is the output
// properties.vaultUri of the resource vault-vault. A secret is an object with secretKey as its only key.
type state struct {
	// Resources are in the order of their creation.
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
	// Version is the version of the default provider's plugin, or of a provider's own plugin.
	Version string `json:"version,omitempty"`
	// Inputs are the program's inputs, without additions of the provider.
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
	// callerName refers to the user who runs Pulumi, with the outputs of getClientConfig.
	callerName = "caller"
)
