package main

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	batchv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/batch/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/keyvault-aks/keyvault-aks/components"
	"github.com/keyvault-aks/keyvault-aks/components/podmount"
)

const (
	image = "busybox:1.35.0"
	sleep = "trap 'exit 0' TERM; sleep infinity & wait"
)

// workloads creates a workload of each kind, with mounts in the pods.
func workloads(
	ctx *pulumi.Context, inCluster pulumi.ResourceOption, files, history, second *components.SecretMount,
) error {
	env, err := podmount.Env(files, map[string]podmount.Ref{
		"GIVEN":     {Secret: "synced", Key: "GIVEN"},
		"GENERATED": {Secret: "synced", Key: "generated"},
	})
	if err != nil {
		return err
	}
	app := container("app", sleep)
	app.Env = env
	deployment := pod(app, container("without", sleep))
	compare := container("task", `[ "$(cat /mnt/given)" = "$GIVEN" ]`)
	compare.Env = env
	task := pod(compare)
	task.InitContainers = corev1.ContainerArray{container("first", `test -s /mnt/first/given`)}
	task.RestartPolicy = pulumi.String("Never")
	database, both := pod(container("db", sleep)), pod(container("both", sleep))
	for _, add := range []struct {
		mount      *components.SecretMount
		spec       *corev1.PodSpecArgs
		path       string
		containers []string
	}{
		{files, &deployment, "/mnt/secrets", []string{"app"}},
		{files, &task, "/mnt", []string{"task"}},
		{files, &task, "/mnt/first", []string{"first"}},
		{history, &database, "/mnt/secrets", nil},
		{history, &both, "/mnt/history", nil},
		{second, &both, "/mnt/second", nil},
	} {
		if err := podmount.Add(add.mount, add.spec, add.path, add.containers...); err != nil {
			return fmt.Errorf("adding a mount: %w", err)
		}
	}

	options := []pulumi.ResourceOption{inCluster, pulumi.Timeouts(&pulumi.CustomTimeouts{Create: "2m", Update: "2m"})}
	if _, err := appsv1.NewDeployment(ctx, "app", &appsv1.DeploymentArgs{
		Metadata: metadata(teamNamespace, "app"),
		Spec: appsv1.DeploymentSpecArgs{
			Selector: metav1.LabelSelectorArgs{MatchLabels: labels("app")},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: labels("app"), Annotations: podmount.Annotations(files)},
				Spec:     deployment,
			},
		},
	}, options...); err != nil {
		return fmt.Errorf("creating the Deployment: %w", err)
	}
	if _, err := appsv1.NewStatefulSet(ctx, "db", &appsv1.StatefulSetArgs{
		Metadata: metadata(ownNamespace, "db"),
		Spec: appsv1.StatefulSetSpecArgs{
			ServiceName: pulumi.String("db"),
			Selector:    metav1.LabelSelectorArgs{MatchLabels: labels("db")},
			Template:    corev1.PodTemplateSpecArgs{Metadata: metav1.ObjectMetaArgs{Labels: labels("db")}, Spec: database},
		},
	}, options...); err != nil {
		return fmt.Errorf("creating the StatefulSet: %w", err)
	}
	if _, err := batchv1.NewJob(ctx, "task", &batchv1.JobArgs{
		Metadata: metadata(teamNamespace, "task"),
		Spec: batchv1.JobSpecArgs{
			BackoffLimit: pulumi.Int(0),
			Template:     corev1.PodTemplateSpecArgs{Metadata: metav1.ObjectMetaArgs{Labels: labels("task")}, Spec: task},
		},
	}, options...); err != nil {
		return fmt.Errorf("creating the Job: %w", err)
	}
	podArgs := &corev1.PodArgs{Metadata: metadata(ownNamespace, "both"), Spec: both}
	if _, err := corev1.NewPod(ctx, "both", podArgs, options...); err != nil {
		return fmt.Errorf("creating the Pod: %w", err)
	}
	return nil
}

func metadata(namespace, name string) metav1.ObjectMetaArgs {
	return metav1.ObjectMetaArgs{Name: pulumi.String(name), Namespace: pulumi.String(namespace), Labels: labels(name)}
}

func labels(name string) pulumi.StringMap {
	return pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(name)}
}

// pod returns a pod that meets the restricted Pod Security Standard.
func pod(containers ...corev1.ContainerInput) corev1.PodSpecArgs {
	return corev1.PodSpecArgs{
		AutomountServiceAccountToken: pulumi.Bool(false),
		SecurityContext: corev1.PodSecurityContextArgs{
			RunAsNonRoot:   pulumi.Bool(true),
			RunAsUser:      pulumi.Int(65534),
			SeccompProfile: corev1.SeccompProfileArgs{Type: pulumi.String("RuntimeDefault")},
		},
		Containers: corev1.ContainerArray(containers),
	}
}

func container(name, script string) corev1.ContainerArgs {
	return corev1.ContainerArgs{
		Name:    pulumi.String(name),
		Image:   pulumi.String(image),
		Command: pulumi.ToStringArray([]string{"sh", "-c", script}),
		SecurityContext: corev1.SecurityContextArgs{
			AllowPrivilegeEscalation: pulumi.Bool(false),
			Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
		},
	}
}
