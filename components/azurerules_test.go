package components_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

const workspaceID = netSubscription + "/resourceGroups/logs/providers/Microsoft.OperationalInsights/workspaces/logs"

// tagged returns the validation and the constructor of a component with the tags in its arguments.
type tagged func(tags pulumi.StringMapInput) (validate func() error, construct func(*pulumi.Context) error)

// taggedResources names a resource of each component that has tags.
var taggedResources = map[string]tagged{
	"vault-vault": func(tags pulumi.StringMapInput) (func() error, func(*pulumi.Context) error) {
		args := vaultArgs()
		args.Tags = tags
		return args.Validate, func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		}
	},
	"cluster-cluster": func(tags pulumi.StringMapInput) (func() error, func(*pulumi.Context) error) {
		args := aksArgs()
		args.Tags = tags
		return args.Validate, func(ctx *pulumi.Context) error {
			_, err := components.NewAksWithCsi(ctx, "cluster", args)
			return err
		}
	},
	"identity-identity": func(tags pulumi.StringMapInput) (func() error, func(*pulumi.Context) error) {
		args := identityArgs()
		args.Tags = tags
		return args.Validate, func(ctx *pulumi.Context) error {
			_, err := newIdentity(ctx, "identity", args)
			return err
		}
	},
}

func manyTags(count int) map[string]string {
	tags := map[string]string{}
	for i := range count {
		tags[fmt.Sprintf("tag-%d", i)] = "x"
	}
	return tags
}

var wrongTags = map[string]struct {
	tags map[string]string
	path string
}{
	"51 tags":                {manyTags(51), "tags"},
	"a name that is empty":   {map[string]string{"": "x"}, "tags"},
	"a name's characters":    {map[string]string{"a/b": "x"}, "tags"},
	"a name's length":        {map[string]string{strings.Repeat("n", 513): "x"}, "tags"},
	"a name of Azure's":      {map[string]string{"Azure-region": "x"}, "tags"},
	"a name of Microsoft's":  {map[string]string{"microsoftTeam": "x"}, "tags"},
	"a name of Windows":      {map[string]string{"windows": "x"}, "tags"},
	"two names but for case": {map[string]string{"Team": "x", "team": "y"}, "tags"},
	"a value's length":       {map[string]string{"team": strings.Repeat("v", 257)}, "tags.team"},
}

func TestTags_ValidatePlainAndLateValues(t *testing.T) {
	for of, component := range taggedResources {
		for name, wrong := range wrongTags {
			t.Run(of+": "+name, func(t *testing.T) {
				validate, construct := component(pulumi.ToStringMap(wrong.tags))
				wantViolations(t, validate(), wrong.path)
				e := &mockengine.Engine{}
				wantViolations(t, e.Run(construct), wrong.path)

				validate, construct = component(pulumi.ToStringMap(wrong.tags).ToStringMapOutput())
				wantViolations(t, validate())
				e = &mockengine.Engine{}
				err := e.Run(construct)
				wantViolations(t, err, "tags")
				for tag := range wrong.tags { // which may be secret
					if len(tag) > 1 && tag != "windows" && strings.Contains(err.Error(), " "+tag) {
						t.Errorf("the name %s is shown: %v", tag, err)
					}
				}
				for _, registered := range e.Resources() {
					if registered.Name == of {
						t.Errorf("%s is registered", of)
					}
				}
			})
		}
	}
}

func TestViolations_DoNotQuoteCounts(t *testing.T) {
	aks := func(change func(*components.AksWithCsiArgs)) error {
		args := aksArgs()
		change(args)
		return args.Validate()
	}
	vault := func(value string, tags map[string]string) error {
		args := vaultArgs()
		args.Secrets = []components.SecretArgs{{Name: "one", Value: pulumi.String(value), Tags: tags}}
		return args.Validate()
	}
	account := identityArgs()
	account.ServiceAccounts[0].Annotations = map[string]string{"note": strings.Repeat("x", 256<<10)}
	for want, err := range map[string]error{
		"51 tags":      components.ValidateTags(manyTags(51)),
		"16 tags":      vault("x", manyTags(16)),
		"30000 bytes":  vault(strings.Repeat("x", 30000), nil),
		"262148 bytes": account.Validate(),
		"100 pools":    aks(func(a *components.AksWithCsiArgs) { a.NodePools = manyPools(100, 1) }),
		"1001 nodes with the system pool's": aks(func(a *components.AksWithCsiArgs) {
			a.NodePools = manyPools(1, 1000)
		}),
	} {
		if found := violations(t, err); len(found) != 1 || found[0].Given != want {
			t.Errorf("%v, want one violation of %s", found, want)
		}
	}
}

func TestTags_PassPlainAndLateValues(t *testing.T) {
	for of, component := range taggedResources {
		for name, tags := range map[string]pulumi.StringMapInput{
			"plain":        pulumi.StringMap{"Team": pulumi.String(strings.Repeat("ü", 256))},
			"a late value": pulumi.StringMap{"Team": pulumi.String(strings.Repeat("ü", 256)).ToStringOutput()},
			"late":         pulumi.ToStringMap(map[string]string{"Team": strings.Repeat("ü", 256)}).ToStringMapOutput(),
			"50":           pulumi.ToStringMap(manyTags(50)),
			"none":         nil,
		} {
			validate, construct := component(tags)
			wantViolations(t, validate())
			e := &mockengine.Engine{}
			run(t, e, construct)
			got := e.Get(t, of).At("tags")
			switch {
			case tags == nil:
				if got != nil {
					t.Errorf("%s: %s are %v", of, name, got)
				}
			case name == "50":
				if got == nil || len(got.ObjectValue()) != 50 {
					t.Errorf("%s: %s are %v", of, name, got)
				}
			case got == nil || !got.DeepEquals(resource.NewPropertyValue(map[string]any{"Team": strings.Repeat("ü", 256)})):
				t.Errorf("%s: %s are %v", of, name, got)
			}
		}
		validate, construct := component(pulumi.StringMap{"team": pulumi.String(strings.Repeat("v", 257)).ToStringOutput()})
		wantViolations(t, validate())
		wantViolations(t, (&mockengine.Engine{}).Run(construct), "tags.team")
	}
}

// AKS sets the cluster's tags on the private DNS zone that it creates for a private cluster. Such a zone can have 15.
func TestTags_LimitPrivateCluster(t *testing.T) {
	for zone, most := range map[string]int{"": 15, "system": 15, "none": 50} {
		args := aksArgs()
		args.APIServer = &components.APIServerArgs{Private: true}
		if zone != "" {
			args.APIServer.PrivateDNSZone = pulumi.String(zone)
		}
		args.Tags = pulumi.ToStringMap(manyTags(most))
		wantViolations(t, args.Validate())
		args.Tags = pulumi.ToStringMap(manyTags(most + 1))
		wantViolations(t, args.Validate(), "tags")
	}
}

func TestValidateTags_Rules(t *testing.T) {
	for name, wrong := range wrongTags {
		t.Run(name, func(t *testing.T) { wantViolations(t, components.ValidateTags(wrong.tags), wrong.path) })
	}
	wantViolations(t, components.ValidateTags(map[string]string{"team": "", "my-azure": "x"}))
}

func TestTags_OfObjectsRejectDuplicatesByCase(t *testing.T) {
	args := vaultArgs()
	args.Secrets[0].Tags = map[string]string{"Owner": "a", "owner": "b"}
	args.Keys[0].Tags = map[string]string{"Owner": "a", "owner": "b"}
	wantViolations(t, args.Validate(), "secrets[0].tags", "keys[0].tags")
}

func TestNames_RejectReserved(t *testing.T) {
	type cluster = components.AksWithCsiArgs
	type vault = components.KeyVaultStackArgs
	for _, name := range []string{"azure", "Office365", "login", "login-aks", "my-microsoft-aks", "mywindows"} {
		wantViolations(t, (&cluster{ClusterName: name}).Validate(), "clusterName")
	}
	for _, name := range []string{"azure-aks", "office", "aks-login", "exchange2"} {
		if reserved := name == "office"; reserved == ((&cluster{ClusterName: name}).Validate() == nil) {
			t.Errorf("%s is refused: %t", name, !reserved)
		}
	}
	for _, prefix := range []string{"login-x", "microsoft", "my-windows"} {
		wantViolations(t, (&vault{NamePrefix: prefix}).Validate(), "namePrefix")
	}
	wantViolations(t, (&vault{NamePrefix: "azure"}).Validate()) // a suffix follows
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "windows", &cluster{ResourceGroupName: pulumi.String("group")})
		return err
	}, "clusterName")
}

func TestNames_RejectTooLongCombinations(t *testing.T) {
	type args = components.AksWithCsiArgs
	construct := func(name string, args args) func(*pulumi.Context) error {
		return func(ctx *pulumi.Context) error {
			_, err := components.NewAksWithCsi(ctx, name, &args)
			return err
		}
	}
	group := pulumi.String("group")
	// Pulumi adds -cluster and eight characters.
	wantRefused(t, construct(strings.Repeat("c", 48), args{ResourceGroupName: group, DNSPrefix: "aks"}), "clusterName")
	run(t, &mockengine.Engine{}, construct(strings.Repeat("c", 47), args{ResourceGroupName: group, DNSPrefix: "aks"}))
	long := args{
		ResourceGroupName: pulumi.String(strings.Repeat("g", 64)),
		ClusterName:       "aks",
		Location:          pulumi.String("westeurope"),
	}
	wantViolations(t, long.Validate(), "nodeResourceGroup")
	long.NodeResourceGroup = "nodes"
	wantViolations(t, long.Validate())
}

func TestRanges_RejectReservedByAKS(t *testing.T) {
	for _, r := range []string{"169.254.0.0/16", "172.30.0.0/16", "172.31.4.0/24", "192.0.2.0/24", "172.16.0.0/12"} {
		wantViolations(t, (&components.AksWithCsiArgs{PodCIDR: r}).Validate(), "podCidr")
	}
	wantViolations(t, (&components.AksWithCsiArgs{ServiceCIDR: "172.30.0.0/16"}).Validate(), "serviceCidr")
	wantViolations(t, (&components.AksWithCsiArgs{PodCIDR: "172.29.0.0/16", ServiceCIDR: "192.0.3.0/24"}).Validate())
	if !components.ReservedByAKS(netip.MustParsePrefix("0.0.0.0/0")) ||
		components.ReservedByAKS(netip.MustParsePrefix("10.0.0.0/8")) {
		t.Error("ReservedByAKS does not tell what AKS reserves")
	}
}

func manyPools(count, nodes int) []components.NodePoolArgs {
	var pools []components.NodePoolArgs
	for i := range count {
		pools = append(pools, components.NodePoolArgs{Name: fmt.Sprintf("p%d", i), Count: nodes})
	}
	return pools
}

func TestNodePools_RespectAKSLimits(t *testing.T) {
	wantViolations(t, (&components.AksWithCsiArgs{NodePools: manyPools(99, 1)}).Validate())
	wantViolations(t, (&components.AksWithCsiArgs{NodePools: manyPools(100, 1)}).Validate(), "nodePools")
	for tier, most := range map[components.ClusterTier]int{"Free": 1, "Standard": 5, "Premium": 5} {
		system := &components.NodePoolArgs{Count: 1000}
		args := &components.AksWithCsiArgs{Tier: tier, SystemPool: system, NodePools: manyPools(most-1, 1000)}
		wantViolations(t, args.Validate())
		args = &components.AksWithCsiArgs{Tier: tier, NodePools: manyPools(most, 1000)}
		wantViolations(t, args.Validate(), "nodePools")
	}
}

// ids are arguments that take the ARM id of a certain type.
var ids = map[string]struct {
	good     string
	of       func(id pulumi.StringInput) (func() error, func(*pulumi.Context) error)
	resource string // that has the id
}{
	"identityId": {
		existingIdentity,
		ofClusterID(func(a *components.AksWithCsiArgs, id pulumi.StringInput) { a.IdentityID = id }),
		"cluster-cluster",
	},
	"diskEncryptionSetId": {encryptionSet, ofClusterID(func(a *components.AksWithCsiArgs, id pulumi.StringInput) {
		a.IdentityID, a.DiskEncryptionSetID = pulumi.String(existingIdentity), id
	}), "cluster-cluster"},
	"logAnalyticsWorkspaceId": {workspaceID, ofClusterID(func(a *components.AksWithCsiArgs, id pulumi.StringInput) {
		a.Defender, a.LogAnalyticsWorkspaceID = true, id
	}), "cluster-cluster"},
	"privateEndpoint.subnetId": {nodeSubnet, ofVaultID(func(a *components.KeyVaultStackArgs, id pulumi.StringInput) {
		a.PrivateEndpoint = &components.PrivateEndpointArgs{SubnetID: id}
	}), "vault-private-endpoint"},
	"privateEndpoint.privateDnsZoneId": {dnsZone, ofVaultID(func(a *components.KeyVaultStackArgs, id pulumi.StringInput) {
		a.PrivateEndpoint = &components.PrivateEndpointArgs{SubnetID: pulumi.String(nodeSubnet), PrivateDNSZoneID: id}
	}), "vault-dns-zone-group"},
}

func ofClusterID(
	change func(*components.AksWithCsiArgs, pulumi.StringInput),
) func(pulumi.StringInput) (func() error, func(*pulumi.Context) error) {
	return func(id pulumi.StringInput) (func() error, func(*pulumi.Context) error) {
		args := aksArgs()
		change(args, id)
		return args.Validate, func(ctx *pulumi.Context) error {
			_, err := components.NewAksWithCsi(ctx, "cluster", args)
			return err
		}
	}
}

func ofVaultID(
	change func(*components.KeyVaultStackArgs, pulumi.StringInput),
) func(pulumi.StringInput) (func() error, func(*pulumi.Context) error) {
	return func(id pulumi.StringInput) (func() error, func(*pulumi.Context) error) {
		args := vaultArgs()
		change(args, id)
		return args.Validate, func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		}
	}
}

func TestIDs_RejectOtherTypes(t *testing.T) {
	for path, id := range ids {
		t.Run(path, func(t *testing.T) {
			for _, good := range []pulumi.StringInput{pulumi.String(id.good), pulumi.String(id.good).ToStringOutput()} {
				validate, construct := id.of(good)
				wantViolations(t, validate())
				e := &mockengine.Engine{}
				run(t, e, construct)
				e.Get(t, id.resource)
			}
			for _, bad := range []string{"name", "/subscriptions/s", vaultID, id.good + "/more"} {
				validate, construct := id.of(pulumi.String(bad))
				wantViolations(t, validate(), path)
				wantRefused(t, construct, path)
				validate, construct = id.of(pulumi.String(bad).ToStringOutput())
				wantViolations(t, validate())
				e := &mockengine.Engine{}
				wantViolations(t, e.Run(construct), path)
				for _, registered := range e.Resources() {
					if registered.Name == id.resource {
						t.Errorf("%s is registered with the id %s", registered.Name, bad)
					}
				}
			}
		})
	}
}

func TestSubnets_MustBeInOneNetworkWithShortNames(t *testing.T) {
	const other = netSubscription + "/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/other/subnets/apps"
	args := func(ids ...string) *components.AksWithCsiArgs {
		args := aksArgs()
		args.Subnets = map[string]pulumi.StringInput{}
		for i, id := range ids {
			args.Subnets[fmt.Sprintf("s%d", i)] = pulumi.String(id)
		}
		args.SystemPool = &components.NodePoolArgs{Subnet: "s0"}
		return args
	}
	wantViolations(t, args(nodeSubnet, strings.ToUpper(otherSubnet)).Validate())
	wantViolations(t, args(nodeSubnet, other).Validate(), "subnets.s1")
	long := strings.Repeat("n", 64)
	for _, id := range []string{
		netSubnets + long, strings.Replace(nodeSubnet, "/virtualNetworks/net", "/virtualNetworks/"+long, 1),
		strings.Replace(nodeSubnet, "/resourceGroups/net", "/resourceGroups/"+long, 1),
	} {
		wantViolations(t, args(id).Validate(), "subnets.s0")
	}
}

func TestRoleAssignments_ValidateScope(t *testing.T) {
	args := identityArgs()
	args.RoleAssignments = roles()
	args.RoleAssignments[0].Scope = pulumi.String("my-registry")
	wantViolations(t, args.Validate(), "roleAssignments[0].scope")
	args.RoleAssignments[0].Scope = pulumi.String(netSubscription)
	wantViolations(t, args.Validate())
}

func TestIssuers_MustBeURLs(t *testing.T) {
	args := identityArgs()
	args.AdditionalIssuers = []components.IssuerArgs{{Name: "west", URL: pulumi.String("west")}}
	args.IssuerURL = pulumi.String("http://issuer/")
	wantViolations(t, args.Validate(), "issuerUrl", "additionalIssuers[0].url")
	for path, change := range map[string]func(*components.WorkloadIdentityArgs){
		"issuerUrl": func(a *components.WorkloadIdentityArgs) {
			a.IssuerURL = pulumi.String("http://issuer/").ToStringOutput()
		},
		"additionalIssuers[0].url": func(a *components.WorkloadIdentityArgs) {
			a.AdditionalIssuers = []components.IssuerArgs{{Name: "west", URL: pulumi.String("west").ToStringOutput()}}
		},
	} {
		late := identityArgs()
		change(late)
		wantViolations(t, late.Validate())
		wantViolations(t, (&mockengine.Engine{}).Run(func(ctx *pulumi.Context) error {
			_, err := newIdentity(ctx, "identity", late)
			return err
		}), path)
	}
}

func TestResourceGroups_ValidateName(t *testing.T) {
	vault, cluster, identity := vaultArgs(), aksArgs(), identityArgs()
	name := pulumi.String("group.")
	vault.ResourceGroupName, cluster.ResourceGroupName, identity.ResourceGroupName = name, name, name
	for _, err := range []error{vault.Validate(), cluster.Validate(), identity.Validate()} {
		wantViolations(t, err, "resourceGroupName")
	}
}

func TestTenants_MustBeGUIDs(t *testing.T) {
	vault, cluster := vaultArgs(), aksArgs()
	vault.TenantID = pulumi.String("contoso.com")
	cluster.Entra = &components.EntraArgs{TenantID: pulumi.String("contoso.com")}
	wantViolations(t, vault.Validate(), "tenantId")
	wantViolations(t, cluster.Validate(), "entra.tenantId")
}

func TestSecrets_RespectAzuresLimits(t *testing.T) {
	value := func(value pulumi.StringInput) *components.KeyVaultStackArgs {
		args := vaultArgs()
		args.Secrets[0].Value = value
		return args
	}
	construct := func(args *components.KeyVaultStackArgs) func(*pulumi.Context) error {
		return func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		}
	}
	most, more := strings.Repeat("x", 25<<10), strings.Repeat("ü", 25<<9+1)
	wantViolations(t, value(pulumi.String(most)).Validate())
	err := value(pulumi.String(more)).Validate()
	wantViolations(t, err, "secrets[0].value")
	if strings.Contains(err.Error(), "üü") {
		t.Error("the error has the value in it")
	}
	run(t, &mockengine.Engine{}, construct(value(pulumi.String(most).ToStringOutput())))
	wantViolations(t, value(pulumi.String(more).ToStringOutput()).Validate())
	wantViolations(t, (&mockengine.Engine{}).Run(construct(value(pulumi.String(more).ToStringOutput()))),
		"secrets[0].value")
}

// The date was valid when the object was created, and an existing stack must keep working.
func TestDates_WarnOfExpired(t *testing.T) {
	args := vaultArgs()
	args.APIVersion = components.VaultAPI20260201 // of which nothing is warned
	args.Secrets = []components.SecretArgs{
		{Name: "expired", Value: pulumi.String("x"), Expires: "2026-10-31"},
		{Name: "expires", Value: pulumi.String("x"), Expires: "2026-11-02"},
		{Name: "relative", Value: pulumi.String("x"), Expires: "P30D"},
	}
	args.Keys = []components.KeyArgs{
		{Name: "expired", Expires: "2026-10-31T00:00:00Z"},
		{Name: "rotated", Expires: "2026-10-31", Rotation: &components.KeyRotationArgs{After: "P90D"}},
	}
	warned := func(e *mockengine.Engine) (names []string) {
		run(t, e, func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		})
		for _, one := range e.Warnings() {
			for _, name := range []string{"secret expired", "secret expires", "secret relative", "key expired", "key rotated"} {
				if strings.Contains(one.Message, name+" ") {
					names = append(names, name)
				}
			}
		}
		return names
	}
	for _, dryRun := range []bool{true, false} {
		got := warned(&mockengine.Engine{DryRun: dryRun})
		slices.Sort(got)
		if !slices.Equal(got, []string{"key expired", "secret expired"}) {
			t.Errorf("dry run %t: warned of %v", dryRun, got)
		}
	}
	first := &mockengine.Engine{}
	warned(first)
	components.SetClock(t, time.Date(2027, time.November, 1, 0, 0, 0, 0, time.UTC))
	got := warned(&mockengine.Engine{Before: first}) // what is counted from when it was made has expired too
	slices.Sort(got)
	if want := []string{"key expired", "secret expired", "secret expires", "secret relative"}; !slices.Equal(got, want) {
		t.Errorf("a year later warned of %v, want %v", got, want)
	}
}

// nilInput returns an Input that holds a nil pointer.
func nilInput() pulumi.StringInput { return (*pulumi.StringOutput)(nil) }

func TestValidate_AcceptsNil(t *testing.T) {
	for name, validate := range map[string]func() error{
		"vault":    (*components.KeyVaultStackArgs)(nil).Validate,
		"cluster":  (*components.AksWithCsiArgs)(nil).Validate,
		"identity": (*components.WorkloadIdentityArgs)(nil).Validate,
		"mount":    (*components.SecretMountArgs)(nil).Validate,
	} {
		t.Run(name, func(t *testing.T) {
			if violations(t, validate()) == nil && name != "cluster" {
				t.Error("it has no violations")
			}
		})
	}
}

func TestComponents_TreatNilInputsAsOmitted(t *testing.T) {
	none := nilInput()
	list, tags := (*pulumi.StringArrayOutput)(nil), (*pulumi.StringMapOutput)(nil)
	location := (*pulumi.StringPtrOutput)(nil)
	var noProvider *random.Provider
	for name, construct := range map[string]func(*pulumi.Context) error{
		"vault": func(ctx *pulumi.Context) error {
			args := vaultArgs()
			args.ExistingVaultID, args.Location, args.Tags, args.LogAnalyticsWorkspaceID = none, location, tags, none
			args.Network = &components.VaultNetworkArgs{AllowedIPRanges: list, SubnetIDs: list}
			args.PrivateEndpoint = &components.PrivateEndpointArgs{SubnetID: pulumi.String(nodeSubnet), PrivateDNSZoneID: none}
			args.Secrets[1].Value = none
			wantViolations(t, args.Validate())
			_, err := components.NewKeyVaultStack(ctx, "vault", args)
			return err
		},
		"cluster": func(ctx *pulumi.Context) error {
			args := aksArgs()
			args.Location, args.Tags, args.IdentityID, args.LogAnalyticsWorkspaceID, args.DiskEncryptionSetID = location, tags, none, none, none
			args.APIServer = &components.APIServerArgs{Private: true, PrivateDNSZone: none, AuthorizedIPRanges: list}
			args.Entra = &components.EntraArgs{AdminGroupIDs: list, TenantID: none}
			wantViolations(t, args.Validate())
			_, err := components.NewAksWithCsi(ctx, "cluster", args)
			return err
		},
		"identity": func(ctx *pulumi.Context) error {
			args := identityArgs()
			args.ExistingIdentityID, args.Location, args.Tags, args.Cluster.Provider = none, location, tags, noProvider
			wantViolations(t, args.Validate())
			_, err := newIdentity(ctx, "identity", args)
			return err
		},
		"mount": func(ctx *pulumi.Context) error {
			args := mountArgs()
			args.VaultID, args.PrincipalID, args.Access = none, none, "none"
			wantViolations(t, args.Validate())
			_, err := newMount(ctx, "mount", args)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { run(t, &mockengine.Engine{Answers: entraAnswers()}, construct) })
	}
	missing := aksArgs()
	missing.Subnets = map[string]pulumi.StringInput{"nodes": none}
	wantRefused(t, func(ctx *pulumi.Context) error {
		_, err := components.NewAksWithCsi(ctx, "cluster", missing)
		return err
	}, "subnets.nodes")
	if missing.Subnets["nodes"] != none {
		t.Error("the arguments were changed")
	}
}

func TestCluster_RejectsProviderOfAnotherPackage(t *testing.T) {
	run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
		other, err := random.NewProvider(ctx, "other", nil)
		if err != nil {
			return err
		}
		identity, mount := identityArgs(), mountArgs()
		identity.Cluster.Provider, mount.Cluster.Provider = other, other
		wantViolations(t, identity.Validate(), "cluster.provider")
		wantViolations(t, mount.Validate(), "cluster.provider")
		return nil
	})
}
