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

// PodAnnotations is for the pod template of a workload that must restart when what it mounts changes: because it reads its files
// only at start, or has environment variables of [Env]. It has the key keyvault-aks/checksum, whose value is the
// SHA-256 of the class and of the arguments' Versions, so it changes with any of them, and Kubernetes rolls the workload out.
//
// Without Versions it sees what is mounted change, but not a new version in the vault. With a version history or rotation, pods
// that watch their files need none of this.
func (c *SecretMount) PodAnnotations() pulumi.StringMapOutput {
	return c.podAnnotations
}

// checksumAnnotations digests the class's spec. It stays secret if an input is: a digest lets one try guesses.
func checksumAnnotations(spec pulumi.Map, versions pulumi.StringMapInput) pulumi.StringMapOutput {
	given := []any{spec}
	if versions != nil {
		given = append(given, versions)
	}
	return pulumi.All(given...).ApplyT(func(all []any) (map[string]string, error) {
		// Keys of maps are sorted in JSON.
		text, err := json.Marshal(all)
		if err != nil {
			return nil, fmt.Errorf("digesting the class: %w", err)
		}
		sum := sha256.Sum256(text)
		return map[string]string{ChecksumAnnotation: hex.EncodeToString(sum[:])}, nil
	}).(pulumi.StringMapOutput)
}
