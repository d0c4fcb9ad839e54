package azure

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/rp/containerservice"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/specs"
)

func TestProviders_VersionsCanRetire(t *testing.T) {
	t.Parallel()
	var served []string
	for _, provider := range providers(containerservice.New(containerservice.Config{}), 0, nil) {
		for _, kind := range provider.Types {
			namespace, _, _ := strings.Cut(kind.Name, "/")
			served = append(served, namespace)
		}
	}
	slices.Sort(served)
	if served = slices.Compact(served); !slices.Equal(served, faults.Providers) {
		t.Errorf("fault plans have %v, want %v", faults.Providers, served)
	}
}

// TestProviders_TypesHaveSpecification finds served types that azure/specs/generate.go does not list.
func TestProviders_TypesHaveSpecification(t *testing.T) {
	t.Parallel()
	for _, provider := range providers(containerservice.New(containerservice.Config{}), 0, nil) {
		for _, kind := range provider.Types {
			if kind.Put != nil && len(specs.Versions(kind.Name)) == 0 {
				t.Errorf("%s has no specification", kind.Name)
			}
		}
	}
}

func TestTimes_AreFractionsOfAzures(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]time.Duration{
		"": 0, "instant": 0, "azure": 5 * time.Minute, "azure/100": 3 * time.Second,
	} {
		times, err := ParseTimes(profile)
		if got := times["Microsoft.ContainerService/managedClusters"]["Creating"]; err != nil || got != want {
			t.Errorf("%q: a cluster takes %s, want %s (%v)", profile, got, want, err)
		}
	}
	for _, profile := range []string{"azure/0", "azure/x", "instant/2", "aws"} {
		if _, err := ParseTimes(profile); err == nil {
			t.Errorf("%q: accepted", profile)
		}
	}
}
