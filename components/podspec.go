package components

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// No method of SecretMount names a pod's types: each package that names a SecretMount would then compile anew what those types have of
// pulumix.Output, 30,000 symbols, which takes three seconds. TestNoMethodNamesThePodsTypes keeps it so.

// Volume is a mount's volume for a pod's spec, read-only. A pod that uses it is created after the roles and the class, and deleted
// before them. The pod's service account must be one that may act as the mount's identity.
func Volume(mount *SecretMount) corev1.VolumeArgs {
	return corev1.VolumeArgs{
		Name: pulumi.String(mount.volumeName),
		Csi: corev1.CSIVolumeSourceArgs{
			Driver:           pulumi.String("secrets-store.csi.k8s.io"),
			ReadOnly:         pulumi.Bool(true),
			VolumeAttributes: pulumi.StringMap{"secretProviderClass": mount.SecretProviderClass},
		},
	}
}

// VolumeMount shows the files of a mount's volume to a container under an absolute path, such as /mnt/secrets, read-only. There is no
// subPath, since a subPath never sees a rotation.
func VolumeMount(mount *SecretMount, path string) corev1.VolumeMountArgs {
	return corev1.VolumeMountArgs{
		Name:      pulumi.String(mount.volumeName),
		MountPath: pulumi.String(path),
		ReadOnly:  pulumi.Bool(true),
	}
}

// AddMount puts a mount into the spec of any pod - a Pod's, or the template's of a Deployment, StatefulSet or Job: the volume,
// and a mount of it under an absolute path in the named containers and init containers, or in all of them if none is named. A
// spec without a service account gets that of the mount's arguments, if they have one. Calls for other containers or other paths
// may follow; the volume is added once.
//
// Only the spec itself is changed, none of its lists, which the caller may share among specs; and nothing if there is an error.
// The error is [Violations]: a path that is not absolute or that a container has already, a container that is not there, a volume
// of the same name that is not this mount's. Containers, volumes and mounts that are outputs cannot be added to, since what is
// in them is not known yet: use [Volume] and [VolumeMount] there.
func AddMount(mount *SecretMount, spec *corev1.PodSpecArgs, mountPath string, containers ...string) error {
	var v Violations
	// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#volumes-1 forbids the colon; a mount on /
	// would hide the image.
	v.check(path.IsAbs(mountPath) && path.Clean(mountPath) == mountPath && mountPath != "/" && !strings.Contains(mountPath, ":"),
		"mountPath", mountPath, "a clean absolute path below /, without a colon")
	found := map[string]bool{}
	into := func(at string, list corev1.ContainerArrayInput) corev1.ContainerArrayInput {
		return mountInto(mount, &v, at, list, mountPath, containers, found)
	}
	initContainers, mainContainers := into("initContainers", spec.InitContainers), into("containers", spec.Containers)
	for i, name := range containers {
		v.check(found[name], fmt.Sprintf("containers[%d]", i), name, "the name of a container or init container of the spec")
	}
	volumes := withVolume(mount, &v, spec.Volumes)
	if err := v.Err(); err != nil {
		return err
	}
	spec.InitContainers, spec.Containers, spec.Volumes = initContainers, mainContainers, volumes
	if spec.ServiceAccountName == nil && spec.ServiceAccount == nil && mount.serviceAccountName != nil {
		spec.ServiceAccountName = mount.serviceAccountName.ToStringOutput().ToStringPtrOutput()
	}
	return nil
}

// mountInto is the list with the mount in the named containers, or in all if there are no names. It notes the names it has found.
func mountInto(mount *SecretMount, v *Violations, at string, list corev1.ContainerArrayInput, mountPath string, names []string,
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

func withMount(mount *SecretMount, v *Violations, at string, list corev1.VolumeMountArrayInput,
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
		v.check(taken == "" || path.Clean(taken) != mountPath, fmt.Sprintf("%s[%d].mountPath", at, i), taken, "another path")
	}
	return append(slices.Clone(given), VolumeMount(mount, mountPath))
}

// withVolume is the list with the mount's volume in it.
func withVolume(mount *SecretMount, v *Violations, list corev1.VolumeArrayInput) corev1.VolumeArrayInput {
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
		if name := plain(volume.Name); name != mount.volumeName {
			continue
		}
		if owns(mount, volume) {
			return given
		}
		v.add(fmt.Sprintf("volumes[%d].name", i), mount.volumeName, "another name; volumeName of the mount's arguments changes the mount's")
	}
	return append(slices.Clone(given), Volume(mount))
}

// owns says whether a volume is what Volume returns.
func owns(mount *SecretMount, volume corev1.VolumeArgs) bool {
	csi, _ := volume.Csi.(corev1.CSIVolumeSourceArgs)
	attributes, _ := csi.VolumeAttributes.(pulumi.StringMap)
	class, ok := attributes["secretProviderClass"].(pulumi.StringOutput)
	return ok && class == mount.SecretProviderClass
}

// plain is an input's value if it is a plain string, or empty.
func plain(input pulumi.Input) string {
	s, _ := input.(pulumi.String)
	return string(s)
}
