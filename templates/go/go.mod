module ${PROJECT}

go 1.26.0

require (
	github.com/keyvault-aks/keyvault-aks v0.2.0
	github.com/pulumi/pulumi-azure-native-sdk/resources/v2 v2.92.0
	github.com/pulumi/pulumi/sdk/v3 v3.259.0
)
