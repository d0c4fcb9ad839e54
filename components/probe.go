package components

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// DefaultProbeName is the probe's where its arguments give none.
const DefaultProbeName = "keyvault-probe"

const defaultProbeImage = "busybox:1.35.0"

// probeLabel selects the probe's pods.
const probeLabel = "app.kubernetes.io/name"

// awaitMountSeconds is awaitMount.
const awaitMountSeconds = 15 * 60

// ProbeArgs describe a Deployment of one pod that is ready while each mounted file is there and not empty, so that a
// deployment fails where mounting fails. Of a version history it asks for the newest version. It never reads what is in
// a file, and does not have to be able to: a file may be for root alone. Files stay as they are when a later poll of
// the vault fails, so access that is lost shows only when the pod is started again.
//
// The probe mounts the class as long as it is there, and so keeps the mount's SyncSecrets for pods, charts and
// Ingresses that do not mount it. Its pod starts again before them when what is mounted, or one of Versions, changes:
// what takes a name from [SecretMount.SyncedSecrets] waits for it. The Secrets belong to the Deployment's ReplicaSet,
// so they stay while its pod is moved to another node.
type ProbeArgs struct {
	// Name of the Deployment, a DNS label. Defaults to keyvault-probe.
	Name string `pulumi:"name,optional"`
	// Image with sh, test and sleep, as a node pulls it: [registry/]name[:tag][@digest]. Defaults to busybox:1.35.0.
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

// probeCommand succeeds if every file is there and not empty. No shell reads the names; the kubelet would read a dollar
// sign, which it takes for itself if doubled.
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
