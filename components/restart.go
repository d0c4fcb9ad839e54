package components

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ChecksumAnnotation is the key of [SecretMount.PodAnnotations].
const ChecksumAnnotation = "keyvault-aks/checksum"

// checksumAnnotations returns the digest of the class's spec and the versions. It is secret if an input is, since a
// digest allows testing guesses.
func checksumAnnotations(spec pulumi.Map, versions pulumi.StringMapInput) pulumi.StringMapOutput {
	given := []any{spec}
	if versions != nil {
		given = append(given, versions)
	}
	return pulumi.All(given...).ApplyT(func(all []any) (map[string]string, error) {
		// JSON sorts the keys of maps.
		text, err := json.Marshal(all)
		if err != nil {
			return nil, fmt.Errorf("computing the checksum of the class: %w", err)
		}
		sum := sha256.Sum256(text)
		return map[string]string{ChecksumAnnotation: hex.EncodeToString(sum[:])}, nil
	}).(pulumi.StringMapOutput)
}
