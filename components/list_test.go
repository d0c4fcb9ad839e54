package components_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// listArgument is an argument whose items may be plain values or outputs.
type listArgument struct {
	path        string
	good, bad   string
	most        int // 0: any number
	resource    string
	sent        string // where the first item is in the resource's inputs
	constructor withList
}

// withList returns the validation and the constructor of a component with the list in its arguments.
type withList func(list pulumi.StringArrayInput) (validate func() error, construct func(*pulumi.Context) error)

func ofCluster(change func(*components.AksWithCsiArgs, pulumi.StringArrayInput)) withList {
	return func(list pulumi.StringArrayInput) (func() error, func(*pulumi.Context) error) {
		args := aksArgs()
		change(args, list)
		return args.Validate, func(ctx *pulumi.Context) error {
			_, err := components.NewAksWithCsi(ctx, "cluster", args)
			return err
		}
	}
}

func ofVault(change func(*components.VaultNetworkArgs, pulumi.StringArrayInput)) withList {
	return func(list pulumi.StringArrayInput) (func() error, func(*pulumi.Context) error) {
		args := vaultArgs()
		args.Network = &components.VaultNetworkArgs{}
		change(args.Network, list)
		return args.Validate, func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		}
	}
}

var listArguments = []listArgument{
	{"entra.adminGroupIds", "44444444-4444-4444-4444-444444444444", "admins", 0,
		"cluster-cluster", "aadProfile.adminGroupObjectIDs[0]",
		ofCluster(func(a *components.AksWithCsiArgs, list pulumi.StringArrayInput) {
			a.Entra = &components.EntraArgs{AdminGroupIDs: list}
		})},
	{"apiServer.authorizedIpRanges", "203.0.113.0/24", "10.0.0.0/8", 200,
		"cluster-cluster", "apiServerAccessProfile.authorizedIPRanges[0]",
		ofCluster(func(a *components.AksWithCsiArgs, list pulumi.StringArrayInput) {
			a.APIServer = &components.APIServerArgs{AuthorizedIPRanges: list}
		})},
	{"network.allowedIpRanges", "203.0.113.7", "10.0.0.1", 1000, "vault-vault", "properties.networkAcls.ipRules[0].value",
		ofVault(func(n *components.VaultNetworkArgs, list pulumi.StringArrayInput) { n.AllowedIPRanges = list })},
	{"network.subnetIds", subnetID, "nodes", 200, "vault-vault", "properties.networkAcls.virtualNetworkRules[0].id",
		ofVault(func(n *components.VaultNetworkArgs, list pulumi.StringArrayInput) { n.SubnetIDs = list })},
}

// late returns a list that is known only when the program runs.
func late(items ...string) pulumi.StringArrayInput {
	return pulumi.ToStringArray(items).ToStringArrayOutput()
}

func runList(t *testing.T, construct func(*pulumi.Context) error) (*mockengine.Engine, error) {
	t.Helper()
	e := &mockengine.Engine{Answers: entraAnswers()}
	return e, e.Run(construct)
}

func TestLists_PassPlainAndLateValues(t *testing.T) {
	for _, of := range listArguments {
		t.Run(of.path, func(t *testing.T) {
			for name, list := range map[string]pulumi.StringArrayInput{
				"plain":            pulumi.ToStringArray([]string{of.good}),
				"a late list":      late(of.good),
				"a late item":      pulumi.StringArray{pulumi.String(of.good).ToStringOutput()},
				"a late and plain": pulumi.StringArray{pulumi.String(of.good), pulumi.String(of.good).ToStringOutput()},
			} {
				validate, construct := of.constructor(list)
				wantViolations(t, validate())
				e, err := runList(t, construct)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				wantInputs(t, e.Get(t, of.resource), map[string]any{of.sent: of.good})
			}
		})
	}
}

func TestLists_CheckPlainItemsFirst(t *testing.T) {
	for _, of := range listArguments {
		t.Run(of.path, func(t *testing.T) {
			bad, good := pulumi.String(of.bad), pulumi.String(of.good)
			validate, construct := of.constructor(pulumi.StringArray{bad.ToStringOutput(), bad, good, nil})
			paths := []string{of.path + "[1]", of.path + "[3]"}
			wantViolations(t, validate(), paths...)
			wantRefused(t, construct, paths...)
			if of.most > 0 {
				validate, construct = of.constructor(pulumi.ToStringArray(slices.Repeat([]string{of.good}, of.most)))
				wantViolations(t, validate())
				if _, err := runList(t, construct); err != nil {
					t.Errorf("%d items: %v", of.most, err)
				}
				validate, construct = of.constructor(pulumi.ToStringArray(slices.Repeat([]string{of.good}, of.most+1)))
				wantViolations(t, validate(), of.path)
				wantRefused(t, construct, of.path)
			}
		})
	}
}

func TestLists_AreCheckedOnceKnown(t *testing.T) {
	for _, of := range listArguments {
		t.Run(of.path, func(t *testing.T) {
			bad, good := pulumi.String(of.bad), pulumi.String(of.good)
			cases := map[string]struct {
				list pulumi.StringArrayInput
				path string
			}{
				"an item of a late list": {late(of.good, of.bad), of.path + "[1]"},
				"a late item":            {pulumi.StringArray{good, bad.ToStringOutput()}, of.path + "[1]"},
			}
			if of.most > 0 {
				cases["too many"] = struct {
					list pulumi.StringArrayInput
					path string
				}{late(slices.Repeat([]string{of.good}, of.most+1)...), of.path}
			}
			for name, one := range cases {
				validate, construct := of.constructor(one.list)
				wantViolations(t, validate())
				e, err := runList(t, construct)
				wantViolations(t, err, one.path)
				for _, registered := range e.Resources() {
					if registered.Name == of.resource {
						t.Errorf("%s: %s is registered", name, registered.Name)
					}
				}
			}
		})
	}
}

func TestLists_AcceptUnknownInPreview(t *testing.T) {
	for _, of := range listArguments {
		t.Run(of.path, func(t *testing.T) {
			e := &mockengine.Engine{DryRun: true}
			run(t, e, func(ctx *pulumi.Context) error {
				other, err := components.NewAksWithCsi(ctx, "other", aksArgs()) // for an output that is unknown
				if err != nil {
					return err
				}
				_, construct := of.constructor(pulumi.StringArray{other.ClusterID})
				return construct(ctx)
			})
			got, unknown := e.Get(t, of.resource), false
			for path := of.sent; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
				at := got.At(path)
				unknown = unknown || at != nil && at.IsComputed()
			}
			if !unknown {
				t.Errorf("%s is known: %v", of.sent, got.Inputs)
			}
		})
	}
}

func TestPrivateDNSZone_IsCheckedOnceKnown(t *testing.T) {
	args := func(zone pulumi.StringInput) *components.AksWithCsiArgs {
		args := aksArgs()
		args.IdentityID = pulumi.String(existingIdentity)
		args.APIServer = &components.APIServerArgs{Private: true, PrivateDNSZone: zone}
		return args
	}
	for zone, public := range map[string]bool{"system": false, "none": true, dnsZone: false} {
		one := args(pulumi.String(zone).ToStringOutput())
		wantViolations(t, one.Validate())
		e := runCluster(t, func(a *components.AksWithCsiArgs) { *a = *one })
		wantInputs(t, e.Get(t, "cluster-cluster"), map[string]any{
			"apiServerAccessProfile.privateDNSZone":                 zone,
			"apiServerAccessProfile.enablePrivateClusterPublicFQDN": public,
		})
	}
	bad := args(pulumi.String("System").ToStringOutput())
	wantViolations(t, bad.Validate())
	e := &mockengine.Engine{}
	err := e.Run(func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", bad)
		return err
	})
	wantViolations(t, err, "apiServer.privateDnsZone")
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", args(pulumi.String("System")))
		return err
	}, "apiServer.privateDnsZone")
}
