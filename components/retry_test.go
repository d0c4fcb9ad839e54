package components_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/internal/mockengine"
)

func TestLateRole_RetriesOnlyItsErrors(t *testing.T) {
	linked := func(code, principal string) string {
		return `Status=403 Code="` + code + `" Message="The client 'client' with object id '` + principal + `' does not have permission to perform action ` +
			`'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s)"`
	}
	const inCluster = `namespaces is forbidden: User "oid" cannot create resource "namespaces" in API group "" at the cluster scope: ` +
		`User does not have access to the resource in Azure. Update role assignment to allow access.`
	const lateKind = `creation of resource "urn" with kind a/v1/SecretProviderClass failed because the Kubernetes API server reported that the ` +
		`apiVersion for this resource does not exist. Verify that any required CRDs have been created: no matches for kind "SecretProviderClass" in version "a/v1"`
	inSubnet := func(args *components.AksWithCsiArgs) {
		args.Subnets = map[string]pulumi.StringInput{"nodes": pulumi.String(nodeSubnet), "other": pulumi.String(otherSubnet)}
		args.SystemPool = &components.NodePoolArgs{Subnet: "nodes"}
		args.NodePools = []components.NodePoolArgs{{Name: "apps", Subnet: "other"}}
	}
	withEntra := func(args *components.AksWithCsiArgs) { args.Entra = &components.EntraArgs{Login: "spn"} }
	for _, one := range []struct {
		name, refused, refusal, then string // then: a second refusal
		change                       func(*components.AksWithCsiArgs)
		preview, again, told         bool // told: though it fails in the end
	}{
		{name: "the cluster, without its identity's role", refused: "cluster-cluster",
			refusal: linked("LinkedAuthorizationFailed", "principal-id"), change: inSubnet, again: true},
		{name: "a pool, without that role", refused: "cluster-pool-apps",
			refusal: linked("LinkedAuthorizationFailed", "principal-id"), change: inSubnet, again: true},
		{name: "a cluster that was made and then failed", refused: "cluster-cluster",
			refusal: (&plugin.InitError{Reasons: []string{linked("LinkedAuthorizationFailed", "principal-id")}}).Error(),
			change:  inSubnet},
		{name: "the cluster, without a role of the caller's", refused: "cluster-cluster",
			refusal: linked("LinkedAuthorizationFailed", "somebody"), change: inSubnet},
		{name: "the cluster, for something else", refused: "cluster-cluster",
			refusal: linked("QuotaExceeded", "principal-id"), change: inSubnet},
		{name: "a cluster that needs no role", refused: "cluster-cluster",
			refusal: linked("LinkedAuthorizationFailed", "principal-id"), change: withEntra},
		{name: "what is in a cluster that asks Azure", refused: "namespace", refusal: inCluster, change: withEntra,
			again: true},
		{name: "what is in one, for something else", refused: "namespace",
			refusal: "namespaces is forbidden: being terminated", change: withEntra},
		{name: "what is in a cluster whose kind of object is late", refused: "namespace", refusal: lateKind,
			change: inSubnet, again: true},
		{name: "the cluster, until it is for something else", refused: "cluster-cluster",
			refusal: linked("LinkedAuthorizationFailed", "principal-id"), then: "QuotaExceeded", change: inSubnet, told: true},
		{name: "a preview", refused: "namespace", refusal: inCluster, change: withEntra, preview: true},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			e := &mockengine.Engine{DryRun: one.preview, Refusals: map[string][]string{one.refused: {one.refusal}}}
			last := one.refusal
			if one.then != "" {
				last = one.then
				e.Refusals[one.refused] = []string{one.refusal, one.then}
			}
			args := aksArgs()
			one.change(args)
			if args.Entra != nil {
				e.Answers = entraAnswers()
			}
			err := e.Run(func(ctx *pulumi.Context) error {
				c, err := components.NewAksWithCsi(ctx, "cluster", args)
				if err != nil {
					return err
				}
				_, err = corev1.NewNamespace(ctx, "namespace", nil, c.Cluster.Option())
				return err
			})
			if (err == nil) != one.again {
				t.Errorf("it is tried again: %t, want %t: %v", err == nil, one.again, err)
			}
			if err != nil && !strings.Contains(err.Error(), last) {
				t.Errorf("it fails with %v", err)
			}
			if told, want := len(e.Infos()) > 0, one.again || one.told; told != want {
				t.Errorf("why it takes long is told: %t, want %t", told, want)
			}
		})
	}
}

func TestLateRoleWait_LastsTenMinutes(t *testing.T) {
	var waited time.Duration
	tries := 1
	for ; tries < 100; tries++ {
		wait, again := components.LateRoleWait(tries)
		if !again {
			break
		}
		if wait < time.Second || wait > 10*time.Second {
			t.Errorf("the wait after %d tries is %s", tries, wait)
		}
		waited += wait
	}
	if tries == 100 || waited < 10*time.Minute || waited > 11*time.Minute {
		t.Errorf("it is waited for %s, with %d tries", waited, tries)
	}
}

// TestNew_RepeatsNamesInInlineProgram runs a program several times in one process, like the Automation API, also after
// another component was added: the state contains the names.
func TestNew_RepeatsNamesInInlineProgram(t *testing.T) {
	hooks := func(clusters ...string) []string {
		e := &mockengine.Engine{}
		err := e.Serve(func(address string) error {
			ending, end := context.WithCancel(t.Context()) // as the call does by which the engine runs it
			defer end()
			ctx, err := pulumi.NewContext(ending, pulumi.RunInfo{
				Project: mockengine.Project, Stack: mockengine.Stack, MonitorAddr: address, EngineAddr: address,
			})
			if err != nil {
				return err
			}
			defer ctx.Close()
			return pulumi.RunWithContext(ctx, func(ctx *pulumi.Context) error {
				for _, name := range clusters {
					args := aksArgs()
					args.DiskEncryptionSetID = pulumi.String(encryptionSet)
					if _, err := components.NewAksWithCsi(ctx, name, args); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return e.Get(t, "cluster-cluster").RPC.GetHooks().GetOnError()
	}
	if first, again := hooks("cluster"), hooks("added", "cluster"); len(first) != 1 || !slices.Equal(first, again) {
		t.Errorf("the hooks are %q, and then %q", first, again)
	}
}

func TestAksWithCsi_SameNameUnderTwoParents(t *testing.T) {
	e := &mockengine.Engine{}
	run(t, e, func(ctx *pulumi.Context) error {
		for _, parent := range []string{"one", "other"} {
			var group pulumi.ResourceState
			if err := ctx.RegisterComponentResource("test:index:Group", parent+"-group", &group); err != nil {
				return err
			}
			args := aksArgs()
			args.DiskEncryptionSetID = pulumi.String(encryptionSet)
			if _, err := components.NewAksWithCsi(ctx, "cluster", args, pulumi.Parent(&group)); err != nil {
				return err
			}
		}
		return nil
	})
	clusters := 0
	for _, r := range e.Resources() {
		if r.Name == "cluster-cluster" && len(r.RPC.GetHooks().GetOnError()) == 1 {
			clusters++
		}
	}
	if clusters != 2 {
		t.Errorf("%d clusters wait", clusters)
	}
}
