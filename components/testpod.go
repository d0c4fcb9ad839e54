package components

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// TestPodMountPath is where the test pod has the files.
const TestPodMountPath = "/mnt/secrets"

// Defaults of TestPodArgs.
const (
	defaultTestPodName  = "keyvault-test-pod"
	defaultTestPodImage = "busybox:1.35.0"
)

// TestPodArgs describe a pod that mounts the objects and does nothing, to look at the files with kubectl exec.
type TestPodArgs struct {
	// Name of the pod, a DNS subdomain. Left out: keyvault-test-pod.
	Name string `pulumi:"name,optional"`
	// Image with sh, cat and sleep. Left out: busybox:1.35.0.
	Image string `pulumi:"image,optional"`
}

// newTestPod creates the pod; it meets the restricted Pod Security Standard.
func (c *SecretMount) newTestPod(ctx *pulumi.Context, name string, args *SecretMountArgs) error {
	_, err := corev1.NewPod(ctx, name+"-test-pod", &corev1.PodArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(withDefault(args.TestPod.Name, defaultTestPodName)),
			Namespace: args.Namespace.ToStringOutput().ToStringPtrOutput(),
			Labels:    pulumi.StringMap{"azure.workload.identity/use": pulumi.String("true")},
		},
		Spec: corev1.PodSpecArgs{
			ServiceAccountName:           args.ServiceAccountName.ToStringOutput().ToStringPtrOutput(),
			AutomountServiceAccountToken: pulumi.Bool(false),
			SecurityContext: corev1.PodSecurityContextArgs{
				RunAsNonRoot:   pulumi.Bool(true),
				RunAsUser:      pulumi.Int(65534),
				RunAsGroup:     pulumi.Int(65534),
				SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
			},
			Containers: corev1.ContainerArray{corev1.ContainerArgs{
				Name:  pulumi.String("busybox"),
				Image: pulumi.String(withDefault(args.TestPod.Image, defaultTestPodImage)),
				// The shell waits for sleep in the background so that it can react to TERM.
				Command:      pulumi.ToStringArray([]string{"sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"}),
				VolumeMounts: corev1.VolumeMountArray{c.VolumeMount(TestPodMountPath)},
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
			Volumes: corev1.VolumeArray{c.Volume()},
		},
		// A role assignment takes Azure up to 10 minutes; until then the mount fails and the kubelet retries.
	}, pulumi.Parent(c), pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "15m"}))
	return err
}

func (v *Violations) validateTestPod(path string, pod TestPodArgs) {
	v.dnsSubdomain(path+".name", withDefault(pod.Name, defaultTestPodName))
}
