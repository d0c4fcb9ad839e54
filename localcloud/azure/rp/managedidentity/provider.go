// Package managedidentity implements Microsoft.ManagedIdentity: user-assigned identities and their federated
// credentials.
package managedidentity

import (
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

var identityVersions = []string{"2024-11-30"}

// Provider returns the provider Microsoft.ManagedIdentity. A write of a federated credential locks the identity for
// writeTime; in Azure, this takes seconds.
func Provider(writeTime time.Duration) arm.Provider {
	writing := &identities{writeTime: writeTime, busy: map[string]bool{}}
	return arm.Provider{
		Elsewhere: []string{"Microsoft.ManagedIdentity/operations"},
		Types: []arm.Type{
			{
				Name: IdentitiesType, Versions: identityVersions,
				Valid: regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$`),
				Rule:  "3 to 128 letters, digits, underscores and hyphens, starting with a letter or digit",
				Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
				Put: putIdentity, PutModel: func() any { return new(armmsi.Identity) },
				Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(armmsi.IdentityUpdate) },
				Delete: (*arm.Call).DeleteStored, Deleted: deleteApplication,
				// The answer takes 1.5 s: github.com/pulumi/pulumi-azure/issues/142. Other services know the identity after
				// 10 s: github.com/Azure/azure-cli/issues/8530.
				Times: map[string]time.Duration{arm.Creating: 5 * time.Second, arm.Updating: 2 * time.Second,
					arm.Deleting: 2 * time.Second},
			},
			{
				Name: federatedType, Versions: identityVersions,
				Valid: regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}$`),
				Rule:  "3 to 120 letters, digits, underscores and hyphens, starting with a letter or digit",
				Get:   (*arm.Call).GetStored, List: (*arm.Call).ListStored,
				Put: putFederated, PutModel: func() any { return new(armmsi.FederatedIdentityCredential) },
				Delete: deleteFederated, Exclusive: writing.lock,
				// There is no measurement of one write. Writes to an identity are sequential.
				Times: map[string]time.Duration{arm.Creating: 3 * time.Second, arm.Updating: 3 * time.Second,
					arm.Deleting: 3 * time.Second},
			},
		}}
}
