// Package podmount adds a [components.SecretMount] to pod specs of the Kubernetes SDK, such as those of Pods,
// Deployments, StatefulSets and Jobs.
package podmount

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// Volume returns a mount's volume for a pod's spec, read-only. A pod that uses it is created after the roles and the
// class, and deleted before them. The pod's service account must be able to use the mount's identity.
func Volume(mount *components.SecretMount) corev1.VolumeArgs {
	return corev1.VolumeArgs{
		Name: pulumi.String(mount.Args().VolumeName),
		Csi: corev1.CSIVolumeSourceArgs{
			Driver:           pulumi.String("secrets-store.csi.k8s.io"),
			ReadOnly:         pulumi.Bool(true),
			VolumeAttributes: pulumi.StringMap{"secretProviderClass": mount.SecretProviderClass},
		},
	}
}

// VolumeMount returns a read-only mount of the volume for a container, under an absolute path such as /mnt/secrets. It
// has no subPath, since a subPath never sees a rotation.
func VolumeMount(mount *components.SecretMount, path string) corev1.VolumeMountArgs {
	return corev1.VolumeMountArgs{
		Name:      pulumi.String(mount.Args().VolumeName),
		MountPath: pulumi.String(path),
		ReadOnly:  pulumi.Bool(true),
	}
}

// Labels returns the labels for pods whose containers sign in to Azure themselves: [components.SecretMount.PodLabels],
// without which Azure's SDKs find no token, merged with the pods' own labels.
func Labels(mount *components.SecretMount, own ...pulumi.StringMapInput) pulumi.StringMapOutput {
	var all []any
	for _, labels := range own {
		all = append(all, labels)
	}
	return pulumi.All(append(all, mount.PodLabels)...).ApplyT(func(all []any) map[string]string {
		merged := map[string]string{}
		for _, labels := range all {
			given, _ := labels.(map[string]string) // none if they were left out
			maps.Copy(merged, given)
		}
		return merged
	}).(pulumi.StringMapOutput)
}

// Annotations returns the annotations for a pod template whose pods restart when their mounted objects change:
// [components.SecretMount.PodAnnotations].
func Annotations(mount *components.SecretMount) pulumi.StringMapOutput {
	return mount.PodAnnotations
}

// Ref is a key in one of a mount's Kubernetes Secrets.
type Ref struct {
	// Secret is the name of one of the mount's SyncSecrets.
	Secret string
	// Key is a key of that Secret's Data.
	Key string
}

// envName matches the names that Kubernetes accepts for environment variables.
var envName = regexp.MustCompile(`^[a-zA-Z._-][a-zA-Z0-9._-]*$`)

// Env returns environment variables with values from a mount's Kubernetes Secrets, sorted by name. The Secrets exist
// only if the mount has a Probe, or if the pod also mounts the volume. A running container keeps the values that it
// started with, see [Annotations]. If a variable's name or its Ref is invalid, the error is a
// [components.ValidationError].
func Env(mount *components.SecretMount, vars map[string]Ref) (corev1.EnvVarArray, error) {
	var v violations
	var env corev1.EnvVarArray
	secrets := mount.Args().SyncSecrets
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		ref := vars[name]
		v.check(envName.MatchString(name), "vars", name, "letters, digits, dashes, underscores and dots, not starting with "+
			"a digit")
		i := slices.IndexFunc(secrets, func(s components.SyncSecretArgs) bool { return s.Name == ref.Secret })
		if i < 0 {
			v.add("vars["+name+"].secret", ref.Secret, "a name of syncSecrets")
			continue
		}
		var keys []string
		for _, data := range secrets[i].Data {
			keys = append(keys, data.Key)
		}
		v.check(slices.Contains(keys, ref.Key), "vars["+name+"].key", ref.Key, strings.Join(keys, ", "))
		env = append(env, corev1.EnvVarArgs{
			Name: pulumi.String(name),
			ValueFrom: corev1.EnvVarSourceArgs{SecretKeyRef: corev1.SecretKeySelectorArgs{
				Name: mount.SyncedSecrets.Index(pulumi.Int(i)).ToStringPtrOutput(),
				Key:  pulumi.String(ref.Key),
			}},
		})
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return env, nil
}

// Add adds a mount to a pod spec, of a Pod or of the template of a Deployment, StatefulSet or Job. It adds the volume,
// and mounts it under an absolute path in the named containers and init containers, or in all of them if none is named.
// If the spec has no service account, Add sets the mount's ServiceAccountName, if any. You can call Add again for other
// containers or paths; the volume is added only once.
//
// Add changes only the spec itself. It does not modify the spec's lists, which may be shared, and changes nothing if it
// returns an error. The error is a [components.ValidationError]: a path that is not absolute or that a container
// already uses, a container that does not exist, or another volume of the same name. Add cannot change containers,
// volumes and mounts that are outputs, since their contents are not known yet: use [Volume] and [VolumeMount] there.
func Add(mount *components.SecretMount, spec *corev1.PodSpecArgs, mountPath string, containers ...string) error {
	var v violations
	// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#volumes-1 forbids the colon. A mount
	// on / would hide the image.
	v.check(path.IsAbs(mountPath) && path.Clean(mountPath) == mountPath && mountPath != "/" &&
		!strings.Contains(mountPath, ":"),
		"mountPath", mountPath, "a clean absolute path below /, without a colon")
	found := map[string]bool{}
	into := func(at string, list corev1.ContainerArrayInput) corev1.ContainerArrayInput {
		return mountInto(mount, &v, at, list, mountPath, containers, found)
	}
	initContainers, mainContainers := into("initContainers", spec.InitContainers), into("containers", spec.Containers)
	const allowed = "the name of a container or init container of the spec"
	for i, name := range containers {
		v.check(found[name], fmt.Sprintf("containers[%d]", i), name, allowed)
	}
	volumes := withVolume(mount, &v, spec.Volumes)
	if err := v.err(); err != nil {
		return err
	}
	spec.InitContainers, spec.Containers, spec.Volumes = initContainers, mainContainers, volumes
	account := mount.Args().ServiceAccountName
	if account != nil && spec.ServiceAccountName == nil && spec.ServiceAccount == nil {
		spec.ServiceAccountName = account.ToStringOutput().ToStringPtrOutput()
	}
	return nil
}

// mountInto returns the list with the mount in the named containers, or in all if there are no names. It records in
// found the names that exist.
func mountInto(mount *components.SecretMount, v *violations, at string, list corev1.ContainerArrayInput,
	mountPath string, names []string,
	found map[string]bool) corev1.ContainerArrayInput {
	if list == nil {
		return nil
	}
	given, ok := list.(corev1.ContainerArray)
	if !ok {
		v.add(at, "an output", "a corev1.ContainerArray")
		return list
	}
	result := slices.Clone(given)
	for i, input := range given {
		item := fmt.Sprintf("%s[%d]", at, i)
		var container corev1.ContainerArgs
		switch one := input.(type) {
		case corev1.ContainerArgs:
			container = one
		case *corev1.ContainerArgs:
			container = *one
		default:
			v.add(item, "an output", "corev1.ContainerArgs")
			continue
		}
		name := plain(container.Name)
		if len(names) > 0 && (name == "" || !slices.Contains(names, name)) {
			continue
		}
		found[name] = true
		container.VolumeMounts = withMount(mount, v, item+".volumeMounts", container.VolumeMounts, mountPath)
		result[i] = container
	}
	return result
}

func withMount(mount *components.SecretMount, v *violations, at string, list corev1.VolumeMountArrayInput,
	mountPath string) corev1.VolumeMountArrayInput {
	given, ok := list.(corev1.VolumeMountArray)
	if list != nil && !ok {
		v.add(at, "an output", "a corev1.VolumeMountArray")
	}
	for i, input := range given {
		var taken string
		switch one := input.(type) {
		case corev1.VolumeMountArgs:
			taken = plain(one.MountPath)
		case *corev1.VolumeMountArgs:
			taken = plain(one.MountPath)
		}
		v.check(taken == "" || path.Clean(taken) != mountPath, fmt.Sprintf("%s[%d].mountPath", at, i), taken,
			"another path")
	}
	return append(slices.Clone(given), VolumeMount(mount, mountPath))
}

// withVolume returns the list with the mount's volume in it.
func withVolume(mount *components.SecretMount, v *violations, list corev1.VolumeArrayInput) corev1.VolumeArrayInput {
	given, ok := list.(corev1.VolumeArray)
	if list != nil && !ok {
		v.add("volumes", "an output", "a corev1.VolumeArray")
	}
	for i, input := range given {
		var volume corev1.VolumeArgs
		switch one := input.(type) {
		case corev1.VolumeArgs:
			volume = one
		case *corev1.VolumeArgs:
			volume = *one
		}
		if name := plain(volume.Name); name != mount.Args().VolumeName {
			continue
		}
		if owns(mount, volume) {
			return given
		}
		v.add(fmt.Sprintf("volumes[%d].name", i), mount.Args().VolumeName,
			"another name; volumeName of the mount's arguments changes the mount's")
	}
	return append(slices.Clone(given), Volume(mount))
}

// owns reports whether Volume returned the volume.
func owns(mount *components.SecretMount, volume corev1.VolumeArgs) bool {
	csi, _ := volume.Csi.(corev1.CSIVolumeSourceArgs)
	attributes, _ := csi.VolumeAttributes.(pulumi.StringMap)
	class, ok := attributes["secretProviderClass"].(pulumi.StringOutput)
	return ok && class == mount.SecretProviderClass
}

// plain returns an input's value if it is a plain string, and otherwise the empty string.
func plain(input pulumi.Input) string {
	s, _ := input.(pulumi.String)
	return string(s)
}

// violations collects the rules that arguments break.
type violations []components.Violation

func (v *violations) add(path, given, allowed string) {
	*v = append(*v, components.Violation{Path: path, Given: fmt.Sprintf("%q", given), Allowed: allowed})
}

func (v *violations) check(ok bool, path, given, allowed string) {
	if !ok {
		v.add(path, given, allowed)
	}
}

func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return &components.ValidationError{Violations: v}
}
