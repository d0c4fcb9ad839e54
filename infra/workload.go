package infra

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Workload is a workload's identity in Azure and in the cluster, and what it mounts.
type Workload struct {
	Name               string                          `pulumi:"name"`
	FormerName         string                          `pulumi:"formerName"`
	Namespace          string                          `pulumi:"namespace"`
	ExistingNamespace  bool                            `pulumi:"existingNamespace"`
	PodSecurity        components.PodSecurity          `pulumi:"podSecurity"`
	Labels             map[string]string               `pulumi:"labels"`
	ServiceAccounts    []components.ServiceAccountArgs `pulumi:"serviceAccounts"`
	ExistingIdentityID string                          `pulumi:"existingIdentityId"`
	Audience           string                          `pulumi:"audience"`
	ClassName          string                          `pulumi:"className"`
	Objects            []components.ObjectArgs         `pulumi:"mount"`
	Access             components.Access               `pulumi:"access"`
	SyncSecrets        []components.SyncSecretArgs     `pulumi:"syncSecrets"`
	TestPod            *components.TestPodArgs         `pulumi:"testPod"`
	Probe              *components.ProbeArgs           `pulumi:"probe"`

	cfg *Config
	// first is set for the first workload of the list, which in earlier versions was the only one.
	first bool
}

func (w *Workload) complete(cfg *Config, i int) {
	w.cfg, w.first = cfg, i == 0
}

// Names in Pulumi of the identity and the mount of the only workload of earlier versions.
const (
	onlyIdentity = "workload"
	onlyMount    = "mount"
)

// IdentityAliases returns the option with the earlier names of the identity's component.
func (w *Workload) IdentityAliases() pulumi.ResourceOption { return w.was(onlyIdentity, "") }

// MountAliases returns the option with the earlier names of the mount's component.
func (w *Workload) MountAliases() pulumi.ResourceOption { return w.was(onlyMount, "-mount") }

func (w *Workload) was(only, suffix string) pulumi.ResourceOption {
	var aliases []pulumi.Alias
	if w.FormerName != "" {
		aliases = append(aliases, pulumi.Alias{Name: pulumi.String(w.FormerName + suffix)})
	}
	taken := slices.ContainsFunc(w.cfg.Workloads,
		func(other Workload) bool { return other.Name+suffix == only || other.FormerName+suffix == only })
	if w.first && !taken {
		aliases = append(aliases, pulumi.Alias{Name: pulumi.String(only)})
	}
	return pulumi.Aliases(aliases)
}

// Identity completes the identity's arguments from the configuration.
func (w *Workload) Identity(s *Surroundings, args components.WorkloadIdentityArgs) *components.WorkloadIdentityArgs {
	if w.ExistingIdentityID != "" {
		args.ExistingIdentityID = pulumi.String(w.ExistingIdentityID)
	} else {
		args.ResourceGroupName = s.ResourceGroupName
		args.Location = pulumi.String(w.cfg.Location)
		args.Tags = w.cfg.allTags
	}
	args.Namespace = w.Namespace
	if !w.ExistingNamespace {
		args.CreateNamespace, args.PodSecurity = true, w.PodSecurity
	}
	args.Labels = w.Labels
	args.ServiceAccounts = w.ServiceAccounts
	args.Audience = w.Audience
	return &args
}

// Mount completes the mount's arguments from the configuration. Of the versions it keeps those of mounted secrets.
func (w *Workload) Mount(args components.SecretMountArgs, versions pulumi.StringMapOutput) *components.SecretMountArgs {
	args.Namespace = w.Namespace
	args.Labels = w.Labels
	args.ClassName = w.ClassName
	args.Objects = w.Objects
	args.Access = w.Access
	args.SyncSecrets = w.SyncSecrets
	args.CloudName = w.cfg.CloudName
	if w.TestPod != nil {
		pod := *w.TestPod
		pod.Image = cmp.Or(pod.Image, w.cfg.ProbeImage)
		args.TestPod = &pod
	}
	if w.Probe != nil {
		probe := *w.Probe
		probe.Image = cmp.Or(probe.Image, w.cfg.ProbeImage)
		args.Probe = &probe
	}
	mounted := pulumi.StringMap{}
	for _, secret := range w.cfg.Secrets {
		if slices.ContainsFunc(w.Objects, func(o components.ObjectArgs) bool {
			return o.Type == components.ObjectSecret && strings.EqualFold(o.Name, secret.Name)
		}) {
			mounted[secret.Name] = versions.MapIndex(pulumi.String(secret.Name))
		}
	}
	args.Versions = mounted
	return &args
}

// testPodName returns the name of the workload's test pod, or the empty string.
func (w *Workload) testPodName() string {
	if w.TestPod == nil {
		return ""
	}
	return cmp.Or(w.TestPod.Name, components.DefaultTestPodName)
}

// probeName returns the name of the workload's probe, or the empty string.
func (w *Workload) probeName() string {
	if w.Probe == nil {
		return ""
	}
	return cmp.Or(w.Probe.Name, components.DefaultProbeName)
}

// readSecretCommand returns the command that shows the first secret in the test pod, or the first object if there is no
// secret. It is empty without a test pod.
func (w *Workload) readSecretCommand() string {
	if w.TestPod == nil {
		return ""
	}
	file := w.Objects[0].FileName()
	for _, o := range w.Objects {
		if o.Type == components.ObjectSecret {
			file = o.FileName()
			break
		}
	}
	return fmt.Sprintf("kubectl exec -n %s %s -- cat %s/%s", w.Namespace, w.testPodName(), components.TestPodMountPath,
		file)
}
