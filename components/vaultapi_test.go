package components_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/proto"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

// The tokens of a vault's resources in each version.
var vaultModules = map[components.VaultAPIVersion]string{
	components.VaultAPI20241101: "azure-native:keyvault/v20241101:",
	components.VaultAPI20260201: "azure-native_keyvault_v20260201:keyvault:",
}

// everythingArgs returns every argument of a vault, its secrets and its keys.
func everythingArgs(version components.VaultAPIVersion) *components.KeyVaultStackArgs {
	args, no := fullArgs(), false
	args.APIVersion, args.Sku, args.SoftDeleteRetentionDays = version, "premium", 30
	args.Tags = pulumi.StringMap{"team": pulumi.String("a")}
	args.Network = &components.VaultNetworkArgs{
		DefaultAction: "Allow", Bypass: "None",
		AllowedIPRanges: pulumi.ToStringArray([]string{"203.0.113.7"}), SubnetIDs: pulumi.ToStringArray([]string{subnetID}),
	}
	args.Secrets = append(args.Secrets, components.SecretArgs{
		Name: "whole", ContentType: "text/plain",
		Value:     pulumi.ToSecret(pulumi.String("hidden-marker")).(pulumi.StringOutput),
		NotBefore: "P1D", Expires: "2027-01-31", Enabled: &no, Tags: map[string]string{"team": "a"}, Rotate: "2",
	})
	args.Keys = append(args.Keys, components.KeyArgs{
		Name: "whole", Type: "RSA-HSM", Size: 4096, Operations: []string{"sign", "verify"},
		NotBefore: "P1D", Expires: "2027-01-31", Enabled: &no, Tags: map[string]string{"team": "a"},
		Rotation: &components.KeyRotationArgs{BeforeExpiry: "P30D", ExpiresAfter: "P1Y", NotifyBefore: "P40D"},
	}, components.KeyArgs{
		Name: "curve", Type: "EC-HSM", Curve: "P-384", Rotation: &components.KeyRotationArgs{After: "P90D"},
	})
	return args
}

// withoutType returns a registration without what the type's version decides.
func withoutType(r mockengine.Registered) *pulumirpc.RegisterResourceRequest {
	namesOf := func(urns []string) []string {
		var names []string
		for _, urn := range urns {
			names = append(names, nameOf(urn))
		}
		slices.Sort(names)
		return names
	}
	properties := map[string]*pulumirpc.RegisterResourceRequest_PropertyDependencies{}
	for key, dependencies := range r.RPC.GetPropertyDependencies() {
		properties[key] = &pulumirpc.RegisterResourceRequest_PropertyDependencies{Urns: namesOf(dependencies.GetUrns())}
	}
	rpc := &pulumirpc.RegisterResourceRequest{
		Name: r.RPC.GetName(), Parent: nameOf(r.RPC.GetParent()), Custom: r.RPC.GetCustom(), Protect: r.RPC.Protect,
		Dependencies: namesOf(r.RPC.GetDependencies()), PropertyDependencies: properties, Provider: r.RPC.GetProvider(),
		DeleteBeforeReplace:        r.RPC.GetDeleteBeforeReplace(),
		DeleteBeforeReplaceDefined: r.RPC.GetDeleteBeforeReplaceDefined(),
		IgnoreChanges:              r.RPC.GetIgnoreChanges(), ReplaceOnChanges: r.RPC.GetReplaceOnChanges(),
		AdditionalSecretOutputs: r.RPC.GetAdditionalSecretOutputs(), CustomTimeouts: r.RPC.GetCustomTimeouts(),
		RetainOnDelete: r.RPC.RetainOnDelete, Hooks: r.RPC.GetHooks(),
	}
	if with := r.RPC.GetDeletedWith(); with != "" {
		rpc.DeletedWith = nameOf(with)
	}
	return rpc
}

func TestVaultAPI_SendsSameBodies(t *testing.T) {
	components.SetClock(t, madeAt)
	for name, args := range map[string]func(components.VaultAPIVersion) *components.KeyVaultStackArgs{
		"everything": everythingArgs,
		"nothing that may be left out": func(version components.VaultAPIVersion) *components.KeyVaultStackArgs {
			args := vaultArgs()
			args.APIVersion = version
			return args
		},
		"a recovered vault": func(version components.VaultAPIVersion) *components.KeyVaultStackArgs {
			args := everythingArgs(version)
			args.CreateMode = "recover"
			return args
		},
		"an existing vault": func(version components.VaultAPIVersion) *components.KeyVaultStackArgs {
			args := existingVaultArgs()
			args.APIVersion = version
			return args
		},
	} {
		for _, dryRun := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				engines := map[components.VaultAPIVersion]*mockengine.Engine{}
				for version := range vaultModules {
					engines[version] = &mockengine.Engine{DryRun: dryRun}
					run(t, engines[version], func(ctx *pulumi.Context) error {
						_, err := components.NewKeyVaultStack(ctx, "vault", args(version))
						return err
					})
				}
				older, newer := engines[components.VaultAPI20241101], engines[components.VaultAPI20260201]
				if len(older.Resources()) != len(newer.Resources()) {
					t.Fatalf("%d resources became %d", len(older.Resources()), len(newer.Resources()))
				}
				moved := 0
				for _, was := range older.Resources() {
					is := newer.Get(t, was.Name)
					if kind, ok := strings.CutPrefix(was.Type, vaultModules[components.VaultAPI20241101]); ok {
						moved++
						if want := vaultModules[components.VaultAPI20260201] + kind; is.Type != want {
							t.Errorf("%s is a %s, want %s", is.Name, is.Type, want)
						}
					} else if is.Type != was.Type {
						t.Errorf("%s is a %s, and was a %s", is.Name, is.Type, was.Type)
					}
					if !is.Inputs.DeepEquals(was.Inputs) {
						t.Errorf("of %s is sent\n%v\nand was\n%v", is.Name, is.Inputs, was.Inputs)
					}
					if !is.Outputs.DeepEquals(was.Outputs) {
						t.Errorf("%s returns\n%v\nand did return\n%v", is.Name, is.Outputs, was.Outputs)
					}
					if got, want := withoutType(is), withoutType(was); !proto.Equal(got, want) {
						t.Errorf("%s is registered with\n%v\nand was with\n%v", is.Name, got, want)
					}
				}
				if want := len(args("").Secrets) + len(args("").Keys); moved < want {
					t.Errorf("%d resources have types of a version, want at least %d", moved, want)
				}
			})
		}
	}
}

func TestVaultAPI_KeepsResourcesOfOtherVersion(t *testing.T) {
	components.SetClock(t, madeAt)
	for version, module := range vaultModules {
		e := runVault(t, everythingArgs(version))
		for _, one := range e.Resources() {
			kind, ok := strings.CutPrefix(one.Type, module)
			if !ok {
				continue
			}
			var types []string
			for _, alias := range one.RPC.GetAliases() {
				spec := alias.GetSpec()
				if name := spec.GetName(); name != "" && name != one.Name || spec.GetNoParent() {
					t.Errorf("%s is known as another one: %v", one.Name, alias)
				}
				if parent := spec.GetParentUrn(); parent != "" && parent != one.RPC.GetParent() {
					t.Errorf("%s is known under another parent: %v", one.Name, alias)
				}
				types = append(types, spec.GetType())
			}
			for other, module := range vaultModules {
				if other != version && !slices.Contains(types, module+kind) {
					t.Errorf("%s of version %s would replace that of %s: it is known as %v", one.Name, version, other, types)
				}
			}
			// Types that earlier versions of this component and of the SDK created.
			for _, older := range []string{"azure-native:keyvault:", "azure-native:keyvault/v20230701:"} {
				if !slices.Contains(types, older+kind) {
					t.Errorf("%s of version %s is not known as a %s", one.Name, version, older+kind)
				}
			}
		}
	}
}

func TestVaultAPI_RegistersPackageOfNewVersion(t *testing.T) {
	for version, module := range vaultModules {
		e := &mockengine.Engine{}
		run(t, e, func(ctx *pulumi.Context) error {
			_, err := components.NewKeyVaultStack(ctx, "vault", everythingArgs(version))
			return err
		})
		ref := ""
		if version == components.VaultAPI20260201 {
			ref = "azure-native_keyvault_v20260201"
			wantVaultPackage(t, e.Packages())
		} else if got := e.Packages(); len(got) > 0 {
			t.Errorf("version %s takes the packages %v", version, got)
		}
		for _, one := range e.Resources() {
			want := ""
			if strings.HasPrefix(one.Type, module) {
				want = ref
			}
			if got := one.RPC.GetPackageRef(); got != want {
				t.Errorf("version %s: %s is of the package %q, want %q", version, one.Name, got, want)
			}
		}
		for _, call := range e.Invoked() {
			if !strings.HasPrefix(call.Token, module) {
				t.Errorf("version %s calls %s", version, call.Token)
			}
		}
		if len(e.Invoked()) == 0 {
			t.Errorf("version %s does not look for its vault", version)
		}
	}
}

// wantVaultPackage checks for the one package, in the format of azure-native's provider.
func wantVaultPackage(t *testing.T, packages []*pulumirpc.RegisterPackageRequest) {
	t.Helper()
	if len(packages) != 1 {
		t.Fatalf("the packages are %v", packages)
	}
	got, parameterization := packages[0], packages[0].GetParameterization()
	if got.GetName() != "azure-native" || got.GetVersion() != "3.28.0" || got.GetDownloadUrl() != "" {
		t.Errorf("the plugin is %v", got)
	}
	if parameterization.GetName() != "azure-native_keyvault_v20260201" || parameterization.GetVersion() != "3.28.0" {
		t.Errorf("the package is %v", parameterization)
	}
	// The text is base64, inside base64 on the wire.
	decoded, err := base64.StdEncoding.DecodeString(string(parameterization.GetValue()))
	if err != nil {
		t.Fatalf("the parameter is %q: %v", parameterization.GetValue(), err)
	}
	var parameter map[string]string
	if err := json.Unmarshal(decoded, &parameter); err != nil {
		t.Fatalf("the parameter is %q: %v", decoded, err)
	}
	if len(parameter) != 2 || parameter["module"] != "keyvault" || parameter["version"] != "v20260201" {
		t.Errorf("the parameter is %v", parameter)
	}
}

// TestVaultAPI_LooksUpWithSameVersion checks that azure-native v2 is not asked about vaults of the newer version.
func TestVaultAPI_LooksUpWithSameVersion(t *testing.T) {
	for version, module := range vaultModules {
		args := existingVaultArgs()
		args.APIVersion, args.Secrets[0].Once = version, true
		e := runVault(t, args)
		var asked []string
		for _, call := range e.Invoked() {
			asked = append(asked, call.Token)
			if call.Args["vaultName"].V != "theirs" || call.Args["resourceGroupName"].V != "their-group" {
				t.Errorf("version %s asks %v", version, call)
			}
		}
		slices.Sort(asked)
		if !slices.Equal(asked, []string{module + "getKey", module + "getSecret", module + "getVault"}) {
			t.Errorf("version %s asks %v", version, asked)
		}
	}
}

// newAndExisting returns valid arguments for both kinds of vaults.
var newAndExisting = map[string]func() *components.KeyVaultStackArgs{"new": vaultArgs, "existing": existingVaultArgs}

// The day on which Azure stops serving the older version.
var retired = time.Date(2027, time.February, 27, 0, 0, 0, 0, time.UTC)

func TestVaultAPI_WarnsUntilRetirement(t *testing.T) {
	for _, at := range []time.Time{madeAt, retired.Add(-time.Second)} {
		components.SetClock(t, at)
		for version, want := range map[components.VaultAPIVersion]bool{
			"": true, components.VaultAPI20241101: true, components.VaultAPI20260201: false,
		} {
			for name, valid := range newAndExisting {
				args := valid()
				args.APIVersion = version
				wantViolations(t, args.Validate())
				for _, dryRun := range []bool{false, true} {
					e := &mockengine.Engine{DryRun: dryRun}
					run(t, e, func(ctx *pulumi.Context) error {
						_, err := components.NewKeyVaultStack(ctx, "vault", args)
						return err
					})
					got := e.Warnings()
					if (len(got) == 1) != want || len(got) > 1 {
						t.Errorf("%s, a vault that is %s, version %q: warned %v", at, name, version, got)
					}
					for _, warning := range got {
						if warning.URN != e.Get(t, "vault").URN || !strings.Contains(warning.Message, "2027-02-27") ||
							!strings.Contains(warning.Message, "2026-02-01") {
							t.Errorf("the warning is %v", warning)
						}
					}
				}
			}
		}
	}
}

func TestVaultAPI_RejectsRetiredVersion(t *testing.T) {
	for _, at := range []time.Time{retired, retired.AddDate(1, 0, 0)} {
		components.SetClock(t, at)
		for name, valid := range newAndExisting {
			for _, version := range []components.VaultAPIVersion{"", components.VaultAPI20241101} {
				args := valid()
				args.APIVersion = version
				wantViolations(t, args.Validate(), "apiVersion")
				wantRefused(t, func(ctx *pulumi.Context) error {
					_, err := components.NewKeyVaultStack(ctx, "vault", args)
					return err
				}, "apiVersion")
			}
			args := valid()
			args.APIVersion = components.VaultAPI20260201
			if warned := runVault(t, args).Warnings(); len(warned) > 0 {
				t.Errorf("of a vault that is %s is warned: %v", name, warned)
			}
		}
	}
}

func TestVaultAPI_Validates(t *testing.T) {
	type args = components.KeyVaultStackArgs
	for _, valid := range []func() *args{vaultArgs, existingVaultArgs} {
		testRules(t, valid, (*args).Validate, []rule[args]{
			{"an older version", "apiVersion", func(a *args) { a.APIVersion = "2023-07-01" }},
			{"the SDK's spelling", "apiVersion", func(a *args) { a.APIVersion = "v20260201" }},
		})
	}
}

func TestKeyVaultStack_ExposesVault(t *testing.T) {
	for version := range vaultModules {
		run(t, &mockengine.Engine{}, func(ctx *pulumi.Context) error {
			args, others := vaultArgs(), existingVaultArgs()
			args.APIVersion, others.APIVersion = version, version
			made, err := components.NewKeyVaultStack(ctx, "made", args)
			if err != nil {
				return err
			}
			existing, err := components.NewKeyVaultStack(ctx, "existing", others)
			if err != nil {
				return err
			}
			if existing.Vault != nil {
				t.Error("a vault of others is handed out")
			}
			if made.Vault == nil {
				t.Fatal("the vault is not handed out")
			}
			wantOutput(t, ctx, "its name", made.Vault.Name, "kv-demo-"+mockengine.Suffix)
			wantOutput(t, ctx, "its URI", made.Vault.Properties.VaultUri(), "https://vault.example/")
			return nil
		})
	}
}

// explicit is a provider of the program's own.
type explicit struct{ pulumi.ProviderResourceState }

// With only an azure-native provider of the program's own, the vault would silently use the default provider.
func TestKeyVaultStack_RejectsDefaultProviderBesideOwn(t *testing.T) {
	for name, one := range map[string]struct {
		version  components.VaultAPIVersion
		packages []string
		want     error
	}{
		"the old version": {components.VaultAPI20241101, []string{"azure-native"}, nil},
		"the new version": {components.VaultAPI20260201, []string{"azure-native"},
			components.ErrNoVaultProvider},
		"the new version with its own": {components.VaultAPI20260201,
			[]string{"azure-native", "azure-native_keyvault_v20260201"}, nil},
		"the new version without any": {components.VaultAPI20260201, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := &mockengine.Engine{}
			err := e.Run(func(ctx *pulumi.Context) error {
				var providers []pulumi.ProviderResource
				for _, of := range one.packages {
					var provider explicit
					if err := ctx.RegisterResource("pulumi:providers:"+of, of, pulumi.Map{}, &provider); err != nil {
						return err
					}
					providers = append(providers, &provider)
				}
				args := vaultArgs()
				args.APIVersion = one.version
				_, err := components.NewKeyVaultStack(ctx, "vault", args, pulumi.Providers(providers...))
				return err
			})
			if one.want == nil && err != nil ||
				one.want != nil && (err == nil || !strings.Contains(err.Error(), one.want.Error())) {
				t.Errorf("got error %v, want %v", err, one.want)
			}
		})
	}
}
