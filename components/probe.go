package components

import (
	"strings"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Defaults of ProbeArgs.
const (
	defaultProbeName  = "keyvault-probe"
	defaultProbeImage = "busybox:1.35.0"
)

// awaitMountSeconds is awaitMount.
const awaitMountSeconds = 15 * 60

// ProbeArgs describe a Deployment of one pod that is ready while each mounted file is there and not empty, so that a deployment
// fails where mounting fails. Of a version history it asks for the newest version. It never reads what is in a file. Files stay
// as they are when a later poll of the vault fails, so access that is lost shows only when the pod is started anew.
type ProbeArgs struct {
	// Name of the Deployment, a DNS label. Left out: keyvault-probe.
	Name string `pulumi:"name,optional"`
	// Image with sh, test and sleep. Left out: busybox:1.35.0.
	Image string `pulumi:"image,optional"`
}

func (c *SecretMount) newProbe(ctx *pulumi.Context, name string, args *SecretMountArgs) error {
	spec, err := restrictedPod(c, "probe", withDefault(args.Probe.Image, defaultProbeImage), corev1.ProbeArgs{
		Exec:             corev1.ExecActionArgs{Command: pulumi.ToStringArray(probeCommand(args.Files()))},
		PeriodSeconds:    pulumi.Int(30),
		TimeoutSeconds:   pulumi.Int(5),
		FailureThreshold: pulumi.Int(1),
	})
	if err != nil {
		return err
	}
	called := withDefault(args.Probe.Name, defaultProbeName)
	selector := pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(called)}
	_, err = appsv1.NewDeployment(ctx, name+"-probe", &appsv1.DeploymentArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(called),
			Namespace: args.Namespace.ToStringOutput().ToStringPtrOutput(),
			Labels:    selector,
		},
		Spec: appsv1.DeploymentSpecArgs{
			Replicas:                pulumi.Int(1),
			ProgressDeadlineSeconds: pulumi.Int(awaitMountSeconds),
			Selector:                metav1.LabelSelectorArgs{MatchLabels: selector},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{
					Annotations: c.PodAnnotations(),
					Labels: pulumi.StringMap{
						"app.kubernetes.io/name":      pulumi.String(called),
						"azure.workload.identity/use": pulumi.String("true"),
					},
				},
				Spec: spec,
			},
		},
	}, c.object(pulumi.Timeouts(&pulumi.CustomTimeouts{Create: awaitMount, Update: awaitMount}))...)
	return err
}

// probeCommand succeeds if every file is there and not empty. No shell reads the names; the kubelet would read a dollar sign, which
// it takes for itself if doubled.
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

func (v *Violations) validateProbe(path string, probe ProbeArgs) {
	v.dnsLabel(path+".name", withDefault(probe.Name, defaultProbeName))
}
