package components_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// plainArgs returns every required plain value, and no Input.
func plainArgs() map[string]validated {
	return map[string]validated{
		"vault": &components.KeyVaultStackArgs{
			NamePrefix:      "kv",
			PrivateEndpoint: &components.PrivateEndpointArgs{},
			Network:         &components.VaultNetworkArgs{},
			Secrets:         []components.SecretArgs{{Name: "a", Generate: &components.GenerateArgs{}}},
			Keys:            []components.KeyArgs{{Name: "a"}},
		},
		"cluster": &components.AksWithCsiArgs{
			Subnets: map[string]pulumi.StringInput{"nodes": nil}, Entra: &components.EntraArgs{}, DisableLocalAccounts: true,
			APIServer:         &components.APIServerArgs{Private: true},
			NodePools:         []components.NodePoolArgs{{Name: "apps"}},
			ContainerInsights: true, Defender: true,
		},
		"existing cluster": &components.AksWithCsiArgs{ExistingCluster: &components.ExistingClusterArgs{}},
		"identity": &components.WorkloadIdentityArgs{
			ServiceAccounts:   []components.ServiceAccountArgs{{Name: "sa", Namespace: "ns"}},
			AdditionalIssuers: []components.IssuerArgs{{Name: "west"}},
			RoleAssignments:   []components.RoleAssignmentArgs{{Name: "reader", RoleDefinitionID: roles()[0].RoleDefinitionID}},
		},
		"mount": &components.SecretMountArgs{
			Namespace: "ns", Objects: []components.ObjectArgs{{Type: "secret", Name: "a"}},
			TestPod: &components.TestPodArgs{}, Probe: &components.ProbeArgs{},
		},
	}
}

func TestValidate_DoesNotRequireInputs(t *testing.T) {
	for name, args := range plainArgs() {
		if err := args.Validate(); err != nil { // not even one that holds a nil pointer
			t.Errorf("%s: got %T: %v", name, err, err)
		}
	}
}

// constructor constructs a component with invalid arguments: plain values that break a rule, and no Inputs.
type constructor struct {
	args          validated
	construct     func(*pulumi.Context) error
	plain, inputs []string // what Validate reports, and what is missing besides
}

type validated interface{ Validate() error }

func constructorOf[A validated, C any](
	args A, construct func(*pulumi.Context, string, A, ...pulumi.ResourceOption) (C, error), plain, inputs []string,
) constructor {
	return constructor{args, func(ctx *pulumi.Context) error {
		_, err := construct(ctx, "component", args)
		return err
	}, plain, inputs}
}

// paths returns the paths of all violations.
func (c constructor) paths() []string { return slices.Concat(c.plain, c.inputs) }

var constructors = map[string]constructor{
	"vault": constructorOf(&components.KeyVaultStackArgs{
		NamePrefix: "1", APIVersion: "2020-01-01",
		Secrets:         []components.SecretArgs{{Name: "a b", Generate: &components.GenerateArgs{}}},
		PrivateEndpoint: &components.PrivateEndpointArgs{},
	}, components.NewKeyVaultStack,
		[]string{"apiVersion", "namePrefix", "secrets[0].name"},
		[]string{"resourceGroupName", "tenantId", "privateEndpoint.subnetId"}),
	"cluster": constructorOf(&components.AksWithCsiArgs{
		ClusterName: "aks", Tier: "free", Subnets: map[string]pulumi.StringInput{"nodes": nil},
		SystemPool: &components.NodePoolArgs{Subnet: "node"}, Defender: true,
	}, components.NewAksWithCsi,
		[]string{"tier", "systemPool.subnet"},
		[]string{"resourceGroupName", "subnets.nodes", "logAnalyticsWorkspaceId"}),
	"existing cluster": constructorOf(&components.AksWithCsiArgs{
		ExistingCluster: &components.ExistingClusterArgs{}, Lock: true, Entra: &components.EntraArgs{Login: "interactive"},
	}, components.NewAksWithCsi,
		[]string{"entra.login", "lock"}, []string{"existingCluster"}),
	"identity": constructorOf(&components.WorkloadIdentityArgs{
		Namespace: "NS", ServiceAccounts: []components.ServiceAccountArgs{{Name: "-"}},
		AdditionalIssuers: []components.IssuerArgs{{Name: "west"}},
	}, components.NewWorkloadIdentity,
		[]string{"namespace", "serviceAccounts[0].name"},
		[]string{"resourceGroupName", "issuerUrl", "additionalIssuers[0].url"}),
	"mount": constructorOf(&components.SecretMountArgs{
		Namespace: "NS", TestPod: &components.TestPodArgs{},
	}, components.NewSecretMount,
		[]string{"namespace", "objects"},
		[]string{"vaultId", "vaultName", "tenantId", "clientId", "principalId", "serviceAccountName"}),
}

func TestConstructors_ReportAllViolationsAndRegisterNothing(t *testing.T) {
	for name, one := range constructors {
		t.Run(name, func(t *testing.T) {
			wantViolations(t, one.args.Validate(), one.plain...)
			wantRefused(t, one.construct, one.paths()...)
		})
	}
}

func TestConstructors_ReportMissingArguments(t *testing.T) {
	for name, one := range map[string]struct {
		construct func(*pulumi.Context) error
		paths     []string
	}{
		"vault": {func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", nil)
			return err
		}, []string{"namePrefix", "resourceGroupName", "tenantId"}},
		"cluster": {func(ctx *pulumi.Context) error {
			_, err := components.NewAksWithCsi(ctx, "cluster", nil)
			return err
		}, []string{"resourceGroupName"}},
		"identity": {func(ctx *pulumi.Context) error {
			_, err := components.NewWorkloadIdentity(ctx, "identity", nil)
			return err
		}, []string{"serviceAccounts", "resourceGroupName", "issuerUrl"}},
		"mount": {func(ctx *pulumi.Context) error {
			_, err := components.NewSecretMount(ctx, "mount", nil)
			return err
		}, []string{"namespace", "objects", "vaultId", "vaultName", "tenantId", "clientId", "principalId"}},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, one.construct, one.paths...) })
	}
}

func TestValidationError_UnwrapsToViolations(t *testing.T) {
	for name, one := range constructors {
		t.Run(name, func(t *testing.T) {
			var wrapped error
			wantRefused(t, func(ctx *pulumi.Context) error {
				wrapped = one.construct(ctx)
				return wrapped
			}, one.paths()...)
			plain := one.args.Validate()
			if got := fmt.Sprintf("%T", plain); got != "*components.ValidationError" {
				t.Errorf("Validate returns a %s", got)
			}
			for _, err := range []error{plain, wrapped} {
				all := violations(t, err)
				var first components.Violation
				if !errors.As(err, &first) || first != all[0] {
					t.Errorf("the first violation is %v, want %v", first, all[0])
				}
				for _, v := range all {
					if !errors.Is(err, v) || !strings.Contains(err.Error(), v.Error()) {
						t.Errorf("%v is no part of the error %v", v, err)
					}
					if v.Given == "" || v.Allowed == "" {
						t.Errorf("the violation %v says too little", v)
					}
				}
				if !strings.Contains(err.Error(), fmt.Sprintf("%d invalid value", len(all))) {
					t.Errorf("the error does not count its %d violations: %v", len(all), err)
				}
			}
		})
	}
}

func TestValidationError_HidesLateValues(t *testing.T) {
	marker := pulumi.ToSecret(pulumi.String("late-marker").ToStringOutput()).(pulumi.StringOutput)
	for name, construct := range map[string]func(ctx *pulumi.Context) error{
		"an identity": func(ctx *pulumi.Context) error {
			args := identityArgs()
			args.ExistingIdentityID, args.ResourceGroupName = marker, nil
			_, err := newIdentity(ctx, "identity", args)
			return err
		},
		"a vault": func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", &components.KeyVaultStackArgs{ExistingVaultID: marker})
			return err
		},
		"a subnet": func(ctx *pulumi.Context) error {
			args := aksArgs()
			args.Subnets = map[string]pulumi.StringInput{"nodes": marker}
			_, err := components.NewAksWithCsi(ctx, "cluster", args)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := (&mockengine.Engine{}).Run(construct); err == nil || strings.Contains(err.Error(), "late-marker") {
				t.Errorf("got error %v", err)
			}
		})
	}
}
