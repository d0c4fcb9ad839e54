package components

import (
	"maps"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// TestPodMountPath is where the test pod and the probe mount the files.
const TestPodMountPath = "/mnt/secrets"

// DefaultTestPodName is the default name of the test pod.
const DefaultTestPodName = "keyvault-test-pod"

const defaultTestPodImage = "busybox:1.35.0"

// awaitMount is longer than the 10 minutes that a role assignment may take. Until it takes effect the mount fails and
// the kubelet retries.
const awaitMount = "15m"

// TestPodArgs describe a pod that mounts the objects and sleeps. Use kubectl exec to look at the files. The pod is
// replaced when the mount's Objects change, since a running pod keeps its files.
type TestPodArgs struct {
	// Name of the pod, a DNS subdomain of at most 63 characters. Defaults to keyvault-test-pod.
	Name string `pulumi:"name,optional"`
	// Image with sh, cat and sleep. Defaults to busybox:1.35.0.
	Image string `pulumi:"image,optional"`
}

func (c *SecretMount) newTestPod(ctx *pulumi.Context, name string, args *SecretMountArgs) error {
	objects, err := objectsParameter(args.Objects)
	if err != nil {
		return err
	}
	_, err = c.objects.add(ctx, "v1", "Pod", name+"-test-pod", pulumi.Map{
		"metadata": metadata{
			name: withDefault(args.TestPod.Name, DefaultTestPodName), namespace: pulumi.String(args.Namespace),
			labels: withLabels(args.Labels, podLabels()),
		}.input(),
		"spec": c.restrictedPod("busybox", withDefault(args.TestPod.Image, defaultTestPodImage), nil),
	}, pulumi.Timeouts(&pulumi.CustomTimeouts{Create: awaitMount}),
		pulumi.ReplacementTrigger(pulumi.String(objects)), pulumi.DeleteBeforeReplace(true))
	return err
}

// withLabels merges labels. Later maps win.
func withLabels(all ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, labels := range all {
		maps.Copy(merged, labels)
	}
	return merged
}

// restrictedPod returns the spec of a pod with one container that mounts the files and sleeps. It meets the restricted
// Pod Security Standard: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
func (c *SecretMount) restrictedPod(name, image string, readiness pulumi.Map) pulumi.Map {
	container := pulumi.Map{
		"name":  pulumi.String(name),
		"image": pulumi.String(image),
		// The shell waits for sleep in the background so that it can react to TERM.
		"command": pulumi.ToStringArray([]string{"sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"}),
		"resources": pulumi.Map{
			"requests": pulumi.StringMap{"cpu": pulumi.String("10m"), "memory": pulumi.String("16Mi")},
			"limits":   pulumi.StringMap{"cpu": pulumi.String("100m"), "memory": pulumi.String("32Mi")},
		},
		"securityContext": pulumi.Map{
			"allowPrivilegeEscalation": pulumi.Bool(false),
			"readOnlyRootFilesystem":   pulumi.Bool(true),
			"capabilities":             pulumi.Map{"drop": pulumi.ToStringArray([]string{"ALL"})},
		},
		"volumeMounts": pulumi.Array{pulumi.Map{
			"name": pulumi.String(c.args.VolumeName), "mountPath": pulumi.String(TestPodMountPath),
			"readOnly": pulumi.Bool(true),
		}},
	}
	if readiness != nil {
		container["readinessProbe"] = readiness
	}
	return pulumi.Map{
		"serviceAccountName":           c.args.ServiceAccountName,
		"automountServiceAccountToken": pulumi.Bool(false),
		"securityContext": pulumi.Map{
			"runAsNonRoot":   pulumi.Bool(true),
			"runAsUser":      pulumi.Int(65534),
			"runAsGroup":     pulumi.Int(65534),
			"seccompProfile": pulumi.StringMap{"type": pulumi.String("RuntimeDefault")},
		},
		"containers": pulumi.Array{container},
		"volumes":    pulumi.Array{c.volume()},
	}
}

func (v *violations) validateTestPod(path string, pod TestPodArgs) {
	v.podName(path+".name", withDefault(pod.Name, DefaultTestPodName))
	v.image(path+".image", withDefault(pod.Image, defaultTestPodImage))
}
