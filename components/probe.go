package components

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// DefaultProbeName is the default name of the probe.
const DefaultProbeName = "keyvault-probe"

const defaultProbeImage = "busybox:1.35.0"

// probeLabel selects the probe's pods.
const probeLabel = "app.kubernetes.io/name"

// awaitMountSeconds is awaitMount in seconds.
const awaitMountSeconds = 15 * 60

// ProbeArgs describe a Deployment of one pod that is ready while each mounted file exists and is not empty. If mounting
// fails, the Deployment does not become ready. In a version history, the probe checks the newest version only. It never
// reads a file's contents, so files may be readable by root only. When a later poll of the vault fails, the files stay,
// so lost access shows only when the pod is restarted.
//
// The probe mounts the class permanently, and so keeps the mount's SyncSecrets for pods, charts and Ingresses that do
// not mount it. Its pod restarts when the list of mounted objects or one of Versions changes, before everything that
// uses a name from [SecretMount.SyncedSecrets]. The Secrets belong to the Deployment's ReplicaSet, so they stay while
// its pod moves to another node.
type ProbeArgs struct {
	// Name of the Deployment, a DNS label. Defaults to keyvault-probe.
	Name string `pulumi:"name,optional"`
	// Image with sh, test and sleep, as nodes pull it: [registry/]name[:tag][@digest]. Defaults to busybox:1.35.0.
	Image string `pulumi:"image,optional"`
}

func (c *SecretMount) newProbe(ctx *pulumi.Context, name string, args *SecretMountArgs) (*object, error) {
	called := withDefault(args.Probe.Name, DefaultProbeName)
	selector := map[string]string{probeLabel: called}
	labels := withLabels(args.Labels, selector)
	return c.objects.add(ctx, "apps/v1", "Deployment", name+"-probe", pulumi.Map{
		"metadata": metadata{name: called, namespace: pulumi.String(args.Namespace), labels: labels}.input(),
		"spec": pulumi.Map{
			"replicas":                pulumi.Int(1),
			"progressDeadlineSeconds": pulumi.Int(awaitMountSeconds),
			"selector":                pulumi.Map{"matchLabels": pulumi.ToStringMap(selector)},
			"template": pulumi.Map{
				"metadata": metadata{labels: withLabels(labels, podLabels()), annotations: c.PodAnnotations}.input(),
				"spec": c.restrictedPod("probe", withDefault(args.Probe.Image, defaultProbeImage), pulumi.Map{
					"exec":             pulumi.Map{"command": pulumi.ToStringArray(probeCommand(args.Files()))},
					"periodSeconds":    pulumi.Int(30),
					"timeoutSeconds":   pulumi.Int(5),
					"failureThreshold": pulumi.Int(1),
				}),
			},
		},
	}, pulumi.Timeouts(&pulumi.CustomTimeouts{Create: awaitMount, Update: awaitMount}))
}

// probeCommand returns a command that succeeds if every file exists and is not empty. No shell interprets the names.
// The kubelet interprets dollar signs, and takes a doubled one literally.
func probeCommand(files []string) []string {
	command := []string{"test"}
	for i, file := range files {
		if i > 0 {
			command = append(command, "-a")
		}
		command = append(command, "-s", strings.ReplaceAll(TestPodMountPath+"/"+file, "$", "$$"))
	}
	return command
}

func (v *violations) validateProbe(path string, probe ProbeArgs) {
	v.dnsLabel(path+".name", withDefault(probe.Name, DefaultProbeName))
	v.image(path+".image", withDefault(probe.Image, defaultProbeImage))
}
