package components

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// TestPodMountPath is where the test pod, and the probe, have the files.
const TestPodMountPath = "/mnt/secrets"

// DefaultTestPodName is the test pod's where its arguments give none.
const DefaultTestPodName = "keyvault-test-pod"

const defaultTestPodImage = "busybox:1.35.0"

// awaitMount is longer than the 10 minutes that a role assignment may take Azure; until then the mount fails and the kubelet
// retries.
const awaitMount = "15m"

// TestPodArgs describe a pod that mounts the objects and does nothing, to look at the files with kubectl exec.
type TestPodArgs struct {
	// Name of the pod, a DNS subdomain of at most 63 characters. Left out: keyvault-test-pod.
	Name string `pulumi:"name,optional"`
	// Image with sh, cat and sleep. Left out: busybox:1.35.0.
	Image string `pulumi:"image,optional"`
}

func (c *SecretMount) newTestPod(ctx *pulumi.Context, name string, args *SecretMountArgs) error {
	spec, err := restrictedPod(c, "busybox", withDefault(args.TestPod.Image, defaultTestPodImage), nil)
	if err != nil {
		return err
	}
	_, err = corev1.NewPod(ctx, name+"-test-pod", &corev1.PodArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(withDefault(args.TestPod.Name, DefaultTestPodName)),
			Namespace: args.Namespace.ToStringOutput().ToStringPtrOutput(),
			Labels:    pulumi.StringMap{"azure.workload.identity/use": pulumi.String("true")},
		},
		Spec: spec,
	}, c.object(pulumi.Timeouts(&pulumi.CustomTimeouts{Create: awaitMount}))...)
	return err
}

// restrictedPod is a pod with one container that has the files and sleeps. It meets the restricted Pod Security Standard:
// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
func restrictedPod(mount *SecretMount, container, image string, readiness corev1.ProbePtrInput) (corev1.PodSpecArgs, error) {
	spec := corev1.PodSpecArgs{
		AutomountServiceAccountToken: pulumi.Bool(false),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot:   pulumi.Bool(true),
			RunAsUser:      pulumi.Int(65534),
			RunAsGroup:     pulumi.Int(65534),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		Containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name:  pulumi.String(container),
			Image: pulumi.String(image),
			// The shell waits for sleep in the background so that it can react to TERM.
			Command:        pulumi.ToStringArray([]string{"sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"}),
			ReadinessProbe: readiness,
			Resources: corev1.ResourceRequirementsArgs{
				Requests: pulumi.StringMap{"cpu": pulumi.String("10m"), "memory": pulumi.String("16Mi")},
				Limits:   pulumi.StringMap{"cpu": pulumi.String("100m"), "memory": pulumi.String("32Mi")},
			},
			SecurityContext: corev1.SecurityContextArgs{
				AllowPrivilegeEscalation: pulumi.Bool(false),
				ReadOnlyRootFilesystem:   pulumi.Bool(true),
				Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
			},
		}},
	}
	return spec, AddMount(mount, &spec, TestPodMountPath)
}

func (v *Violations) validateTestPod(path string, pod TestPodArgs) {
	v.podName(path+".name", withDefault(pod.Name, DefaultTestPodName))
}
