package arm

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
)

func TestVersionsOfEveryProviderCanRetire(t *testing.T) {
	var served []string
	for _, kind := range new(Service).table() {
		namespace, _, _ := strings.Cut(kind.name, "/")
		served = append(served, namespace)
	}
	slices.Sort(served)
	if served = slices.Compact(served); !slices.Equal(served, faults.Providers) {
		t.Errorf("a plan of faults knows %v, and %v are served", faults.Providers, served)
	}
}
