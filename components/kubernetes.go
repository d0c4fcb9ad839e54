package components

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Kubernetes' rules for names:
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
var (
	dnsLabel     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	dnsSubdomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

func (v *Violations) dnsLabel(path, given string) {
	v.match(dnsLabel, path, given, "1-63 lower-case letters, digits and dashes, a letter or digit first and last")
}

func (v *Violations) dnsSubdomain(path, given string) {
	v.check(len(given) <= 253 && dnsSubdomain.MatchString(given), path, given,
		"1-253 lower-case letters, digits, dashes and dots, a letter or digit first and last")
}

// ErrNoKubernetesProvider says that a component was given no way to the cluster.
var ErrNoKubernetesProvider = errors.New(
	"no Kubernetes provider in its options: pass pulumi.Provider or pulumi.Providers with one for the cluster")

// requireKubernetesProvider keeps a component off the default provider, which would use the machine's kubeconfig.
func requireKubernetesProvider(name string, c interface {
	GetProvider(token string) pulumi.ProviderResource
}) error {
	if c.GetProvider("kubernetes:core/v1:Namespace") == nil {
		return fmt.Errorf("%s: %w", name, ErrNoKubernetesProvider)
	}
	return nil
}
