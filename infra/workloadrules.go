package infra

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// workloadName is a DNS label, since it starts the names of what the workload has in Pulumi and in Azure.
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
				"the name that the workload had before, which no workload has now")
		}
		v.within(at, w.Identity(around, components.WorkloadIdentityArgs{}).Validate(), nil)
		for k, account := range w.ServiceAccounts {
			v.check(account.Namespace == "", fmt.Sprintf("%s.serviceAccounts[%d].namespace", at, k), account.Namespace,
				"nothing; the accounts of a workload are in its namespace")
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

// validateProbeImage checks the image with the rule of the pods that it is for.
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

// mountRules are the mount's arguments as far as they are known before there is a vault.
func (w *Workload) mountRules() *components.SecretMountArgs {
	return &components.SecretMountArgs{
		Namespace: w.Namespace, Labels: w.Labels, ClassName: w.ClassName, Objects: w.Objects, Access: w.Access,
		SyncSecrets: w.SyncSecrets, TestPod: w.TestPod, Probe: w.Probe,
	}
}

// validateClaims checks that nothing belongs to two workloads: Azure or Kubernetes would refuse the second one
// half-way, and what one workload takes along when it goes would be the other's.
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
				fmt.Sprintf("a namespace that is there without this stack; workloads[%d] creates it, and takes it "+
					"along when it goes", creator))
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

// validateNamesInPulumi checks that no two workloads, whose names are parts of each other's, have something of the same
// name in Pulumi, which would refuse the second half-way.
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
						"a name that gives none of its parts in Pulumi the name %s, which one of workloads[%d] has",
						one.name, before))
					break
				}
				taken[one] = i
			}
		}
	}
	return v
}

// nameInPulumi is the name of a part of a workload, unique in its kind.
type nameInPulumi struct{ kind, name string }

// namesInPulumi are those of what a workload of the name has, as far as another workload could have the same: the name,
// and what of the configuration comes after it.
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

// madeByOthers are the objects that workloads mount and this stack does not make: certificates, and the secrets and
// keys of an existing vault that are not in the lists.
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

// validateDeclared checks that the vault of this stack, which is new, will hold the secrets and keys that are mounted:
// a pod waits forever for a file that never comes. Certificates are put into the vault by others.
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
	// What a list declares is not known if it, or a name in it, could not be read.
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
