package components_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func runAll(t *testing.T) *mockengine.Engine {
	t.Helper()
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		if _, err := components.NewKeyVaultStack(ctx, "vault", vaultArgs()); err != nil {
			return err
		}
		if _, err := components.NewAksWithCsi(ctx, "cluster", aksArgs()); err != nil {
			return err
		}
		if _, err := newIdentity(ctx, "identity", identityArgs()); err != nil {
			return err
		}
		_, err := newMount(ctx, "mount", mountArgs())
		return err
	})
	return e
}

func TestComponents_RegisterTaggedFieldsAsOutputs(t *testing.T) {
	e := runAll(t)
	wantOutputs(t, e, "vault", components.KeyVaultStack{})
	wantOutputs(t, e, "cluster", components.AksWithCsi{})
	wantOutputs(t, e, "identity", components.WorkloadIdentity{})
	wantOutputs(t, e, "mount", components.SecretMount{})
}

func TestComponents_HaveTypesAndChildren(t *testing.T) {
	e := runAll(t)
	for name, token := range map[string]string{
		"vault":    "keyvaultaks:index:KeyVaultStack",
		"cluster":  "keyvaultaks:index:AksWithCsi",
		"identity": "keyvaultaks:index:WorkloadIdentity",
		"mount":    "keyvaultaks:index:SecretMount",
	} {
		component := e.Get(t, name)
		if component.Type != token {
			t.Errorf("%s has type %s", name, component.Type)
		}
		children := 0
		for _, one := range e.Resources() {
			if !strings.HasPrefix(one.Name, name+"-") || one.Name == name+"-k8s" {
				continue
			}
			children++
			if one.RPC.GetParent() != component.URN {
				t.Errorf("%s is not a child of %s", one.Name, name)
			}
		}
		if children == 0 {
			t.Errorf("%s has no children", name)
		}
	}
}

// TestComponents_DoNotImportKubernetesTypes saves importers from compiling the Kubernetes SDK's typed packages, which
// takes minutes and gigabytes of memory.
func TestComponents_DoNotImportKubernetesTypes(t *testing.T) {
	typed := func(of string) []string {
		t.Helper()
		out, err := exec.Command("go", "list", "-deps", of).Output()
		if err != nil {
			t.Fatalf("listing what %s imports: %v", of, err)
		}
		return slices.DeleteFunc(strings.Fields(string(out)), func(path string) bool {
			_, of, ok := strings.Cut(path, "/pulumi-kubernetes/sdk/v4/go/kubernetes/")
			return !ok || of == "utilities"
		})
	}
	if found := typed("."); len(found) > 0 {
		t.Errorf("components imports %v", found)
	}
	// podmount uses these types, which shows that the list would contain them.
	found := typed("./podmount")
	if !slices.ContainsFunc(found, func(path string) bool { return strings.HasSuffix(path, "/core/v1") }) {
		t.Errorf("podmount imports just %v: nothing is proven", found)
	}
}
