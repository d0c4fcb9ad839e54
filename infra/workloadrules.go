package infra

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// workloadName is a DNS label, since it starts the names of the workload's resources in Pulumi and in Azure.
var workloadName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// validateWorkloads checks each workload with the components' rules, and that no two of them claim the same thing.
func (cfg *Config) validateWorkloads(around *Surroundings) violations {
	var v violations
	for i := range cfg.Workloads {
		w, at := &cfg.Workloads[i], fmt.Sprintf("workloads[%d]", i)
		w.complete(cfg, i)
		v.match(workloadName, at+".name", w.Name,
			"1-63 lower-case letters, digits and dashes, starting and ending with a letter or digit")
		if w.FormerName != "" {
			v.check(workloadName.MatchString(w.FormerName) && !cfg.has(w.FormerName), at+".formerName", w.FormerName,
				"the workload's old name, which no workload has now")
		}
		v.within(at, w.Identity(around, components.WorkloadIdentityArgs{}).Validate(), nil)
		for k, account := range w.ServiceAccounts {
			v.check(account.Namespace == "", fmt.Sprintf("%s.serviceAccounts[%d].namespace", at, k), account.Namespace,
				"nothing; a workload's accounts are in its namespace")
		}
		if w.ExistingNamespace {
			v.check(w.PodSecurity == "", at+".podSecurity", string(w.PodSecurity), "nothing with existingNamespace")
		}
		v.within(at, w.mountRules().Validate(), map[string]string{"objects": "mount"})
		v = append(v, cfg.validateDeclared(at, w.Objects)...)
	}
	v = append(v.distinct(), cfg.validateProbeImage()...)
	v = append(v, cfg.validateClaims()...)
	return append(v, cfg.validateNamesInPulumi()...)
}

// validateProbeImage checks the image with the rule for the pods that use it.
func (cfg *Config) validateProbeImage() violations {
	var v violations
	v.of((&components.SecretMountArgs{
		Namespace: "any", Objects: []components.ObjectArgs{{Type: components.ObjectSecret, Name: "any"}},
		TestPod: &components.TestPodArgs{Image: cfg.ProbeImage},
	}).Validate(), map[string]string{"testPod.image": "probeImage"})
	return v
}

// has reports whether a workload has the name.
func (cfg *Config) has(name string) bool {
	return slices.ContainsFunc(cfg.Workloads, func(w Workload) bool { return w.Name == name })
}

// mountRules returns the mount's arguments that are known before the vault exists.
func (w *Workload) mountRules() *components.SecretMountArgs {
	return &components.SecretMountArgs{
		Namespace: w.Namespace, Labels: w.Labels, ClassName: w.ClassName, Objects: w.Objects, Access: w.Access,
		SyncSecrets: w.SyncSecrets, TestPod: w.TestPod, Probe: w.Probe,
	}
}

// validateClaims checks that nothing belongs to two workloads. Azure or Kubernetes would refuse the second one in the
// middle of an update, and removing one workload would remove what the other uses.
func (cfg *Config) validateClaims() violations {
	var v violations
	taken := map[string]int{}
	claim := func(i int, path, what, name, allowed string) {
		if name == "" {
			return
		}
		key := what + "\x00" + strings.ToLower(name)
		if before, ok := taken[key]; ok {
			v.add(fmt.Sprintf("workloads[%d].%s", i, path), fmt.Sprintf("%q", name),
				fmt.Sprintf("%s; workloads[%d] has it", allowed, before))
			return
		}
		taken[key] = i
	}
	creators := map[string]int{}
	for i, w := range cfg.Workloads {
		if !w.ExistingNamespace {
			claim(i, "namespace", "namespace", w.Namespace, "a namespace that no other workload creates")
			creators[w.Namespace] = i
		}
	}
	for i := range cfg.Workloads {
		w := &cfg.Workloads[i]
		claim(i, "name", "name", w.Name, "a name used once in the list")
		claim(i, "formerName", "former name", w.FormerName, "a former name that no other workload has")
		claim(i, "existingIdentityId", "identity", w.ExistingIdentityID, "an identity that no other workload has")
		if creator, ok := creators[w.Namespace]; ok && w.ExistingNamespace {
			v.add(fmt.Sprintf("workloads[%d].namespace", i), fmt.Sprintf("%q", w.Namespace),
				fmt.Sprintf("a namespace that this stack does not create; workloads[%d] creates it, and deletes it when it is "+
					"removed", creator))
		}
		in := w.Namespace + "/"
		claim(i, "className", "class "+in, w.ClassName, "a class that no other workload has in the namespace")
		claim(i, "testPod.name", "pod "+in, w.testPodName(), "a pod that no other workload has in the namespace")
		claim(i, "probe.name", "deployment "+in, w.probeName(), "a Deployment that no other workload has in the "+
			"namespace")
		for k, account := range w.ServiceAccounts {
			if !account.Existing {
				claim(i, fmt.Sprintf("serviceAccounts[%d].name", k), "account "+in, account.Name,
					"a service account that no other workload creates in the namespace")
			}
		}
		for k, secret := range w.SyncSecrets {
			claim(i, fmt.Sprintf("syncSecrets[%d].name", k), "secret "+in, secret.Name,
				"a Secret that no other workload has in the namespace")
		}
	}
	return v
}

// validateNamesInPulumi checks that no two workloads whose names are parts of each other's have resources of the same
// name. Pulumi would refuse the second in the middle of an update.
func (cfg *Config) validateNamesInPulumi() violations {
	var v violations
	taken := map[nameInPulumi]int{}
	seen := map[string]bool{"": true}
	for i := range cfg.Workloads {
		w := &cfg.Workloads[i]
		for _, called := range []struct{ key, name string }{{"name", w.Name}, {"formerName", w.FormerName}} {
			if seen[called.name] {
				continue // which is a violation of its own
			}
			seen[called.name] = true
			for _, one := range w.namesInPulumi(called.name) {
				if before, ok := taken[one]; ok && before != i {
					v.check(false, fmt.Sprintf("workloads[%d].%s", i, called.key), called.name, fmt.Sprintf(
						"a name for which no resource in Pulumi is called %s, like one of workloads[%d]",
						one.name, before))
					break
				}
				taken[one] = i
			}
		}
	}
	return v
}

// nameInPulumi is the name of a workload's resource, unique within its kind.
type nameInPulumi struct{ kind, name string }

// namesInPulumi returns the names of a workload's resources that another workload could also have: the workload's name,
// followed by parts of the configuration.
func (w *Workload) namesInPulumi(name string) []nameInPulumi {
	var names []nameInPulumi
	add := func(kind, called string) { names = append(names, nameInPulumi{kind, name + called}) }
	if !w.ExistingNamespace {
		add("namespace", "-namespace-"+w.Namespace)
	}
	for _, account := range w.ServiceAccounts {
		add("credential", "-credential-"+w.Namespace+"_"+account.Name)
		if !account.Existing {
			add("account", "-account-"+w.Namespace+"_"+account.Name)
		}
	}
	if w.Access == components.AccessVault {
		add("role", "-mount-role-vault-secrets-user")
		add("role", "-mount-role-vault-reader")
	}
	for _, o := range w.Objects {
		if w.Access == "" || w.Access == components.AccessObject {
			add("role", fmt.Sprintf("-mount-role-%s-%s", o.Type, strings.ToLower(o.Name)))
		}
	}
	return names
}

// madeByOthers returns the objects that workloads mount and this stack does not create: certificates, and the secrets
// and keys of an existing vault that are not in the lists.
func (cfg *Config) madeByOthers() []components.ObjectArgs {
	made := map[string]bool{}
	key := func(kind components.ObjectType, name string) string {
		return string(kind) + "/" + strings.ToLower(name)
	}
	for _, s := range cfg.Secrets {
		made[key(components.ObjectSecret, s.Name)] = true
	}
	for _, k := range cfg.Keys {
		made[key(components.ObjectKey, k.Name)] = true
	}
	var others []components.ObjectArgs
	for _, w := range cfg.Workloads {
		for _, o := range w.Objects {
			if made[key(o.Type, o.Name)] || o.Type != components.ObjectCertificate && cfg.ExistingVaultID == "" {
				continue
			}
			made[key(o.Type, o.Name)] = true
			others = append(others, components.ObjectArgs{Type: o.Type, Name: o.Name})
		}
	}
	return others
}

// validateDeclared checks that a new vault of this stack will contain the mounted secrets and keys: a pod would wait
// forever for a missing file. Certificates are created by others.
func (cfg *Config) validateDeclared(at string, objects []components.ObjectArgs) violations {
	var v violations
	if cfg.ExistingVaultID != "" { // it may hold them already
		return v
	}
	declared := map[components.ObjectType][]string{}
	for _, s := range cfg.Secrets {
		declared[components.ObjectSecret] = append(declared[components.ObjectSecret], strings.ToLower(s.Name))
	}
	for _, k := range cfg.Keys {
		declared[components.ObjectKey] = append(declared[components.ObjectKey], strings.ToLower(k.Name))
	}
	// The contents of a list are unknown if the list, or a name in it, could not be read.
	unknown := map[components.ObjectType]bool{
		components.ObjectSecret: cfg.Secrets == nil || slices.Contains(declared[components.ObjectSecret], ""),
		components.ObjectKey:    cfg.Keys == nil || slices.Contains(declared[components.ObjectKey], ""),
	}
	for i, o := range objects {
		own := o.Type == components.ObjectSecret || o.Type == components.ObjectKey
		v.check(!own || unknown[o.Type] || slices.Contains(declared[o.Type], strings.ToLower(o.Name)),
			fmt.Sprintf("%s.mount[%d].name", at, i), o.Name, fmt.Sprintf("a name that %ss declares", o.Type))
	}
	return v
}
