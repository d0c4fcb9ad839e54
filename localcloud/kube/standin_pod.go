package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// A failed mount is retried after firstRetry. The pause doubles each time, up to lastRetry.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// standInPod is a pod of the stand-in node.
type standInPod struct {
	stop func()
	done chan struct{} // closed when its volumes are removed
}

// followPods lists the node's pods and follows their changes until the API server ends the watch.
func (n *standIn) followPods(ctx context.Context) error {
	mine := "spec.nodeName=" + n.name
	list, err := n.core.Pods("").List(ctx, metav1.ListOptions{FieldSelector: mine})
	if err != nil {
		return err
	}
	// Forget deleted pods first: a new pod may have the same name.
	listed := map[types.UID]bool{}
	for _, pod := range list.Items {
		listed[pod.UID] = true
	}
	for uid := range n.pods {
		if !listed[uid] {
			n.forget(uid)
		}
	}
	for _, pod := range list.Items {
		if err := n.sync(ctx, &pod); err != nil {
			return err
		}
	}
	since := metav1.ListOptions{FieldSelector: mine, ResourceVersion: list.ResourceVersion}
	changes, err := n.core.Pods("").Watch(ctx, since)
	if err != nil {
		return err
	}
	defer changes.Stop()
	for change := range changes.ResultChan() {
		pod, ok := change.Object.(*v1.Pod)
		switch {
		case !ok:
			return apierrors.FromObject(change.Object)
		case change.Type == watch.Deleted:
			n.forget(pod.UID)
		default:
			if err := n.sync(ctx, pod); err != nil {
				return err
			}
		}
	}
	return nil
}

// sync starts a new pod, and ends a pod that is being deleted or has completed.
func (n *standIn) sync(ctx context.Context, pod *v1.Pod) error {
	switch {
	case pod.DeletionTimestamp != nil:
		n.forget(pod.UID)
		// Delete the pod without a grace period, since it has no processes.
		err := n.core.Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("ending pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	case pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed:
		n.forget(pod.UID)
	case n.pods[pod.UID] == nil:
		ctx, cancel := context.WithCancel(ctx)
		p := &standInPod{stop: cancel, done: make(chan struct{})}
		n.pods[pod.UID] = p
		go func() {
			defer close(p.done)
			n.keep(ctx, pod)
			_ = os.RemoveAll(n.podDir(pod))
		}()
	}
	return nil
}

// forget ends a pod and returns when its volumes are removed.
func (n *standIn) forget(uid types.UID) {
	if p := n.pods[uid]; p != nil {
		p.stop()
		<-p.done
		delete(n.pods, uid)
	}
}

// podDir returns the folder of a pod's volumes. The API server accepts only names that are single path elements.
func (n *standIn) podDir(pod *v1.Pod) string { return filepath.Join(n.dir, pod.Namespace, pod.Name) }

// keep mounts a pod's volumes, retrying until it succeeds. It then reports the pod as running, and mounts the volumes
// again at every poll interval of the rotation.
func (n *standIn) keep(ctx context.Context, pod *v1.Pod) {
	of := fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name)
	// The pod's status may still be Running from before a restart of the node.
	n.logFailure(ctx, "reporting the status of "+of, n.report(ctx, pod, false))
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := n.mountAll(ctx, pod)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			n.logFailure(ctx, "recording an event of "+of, n.warn(ctx, pod, err))
		}
		reportErr := n.report(ctx, pod, err == nil)
		n.logFailure(ctx, "reporting the status of "+of, reportErr)
		if err == nil && reportErr == nil {
			break
		}
		if !pause(ctx, wait) {
			return
		}
	}
	if n.rotation == 0 {
		<-ctx.Done()
		return
	}
	for pause(ctx, n.rotation) {
		// On an error the pod keeps its files, and the error is only logged, as by the driver.
		n.logFailure(ctx, "rotating the volumes of "+of, n.mountAll(ctx, pod))
	}
}

func (n *standIn) mountAll(ctx context.Context, pod *v1.Pod) error {
	for _, volume := range pod.Spec.Volumes {
		if volume.CSI == nil {
			continue
		}
		if err := n.mount(ctx, pod, volume); err != nil {
			return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", volume.Name, err)
		}
	}
	return nil
}

// report sets the status that a kubelet would set for a pod whose containers run or, if mounted is false, for one that
// waits for its volumes.
func (n *standIn) report(ctx context.Context, pod *v1.Pod, mounted bool) error {
	now := metav1.Now()
	status := v1.PodStatus{Phase: v1.PodRunning, Message: standInMessage, StartTime: &now}
	state := v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: now}}
	ready := v1.PodCondition{Status: v1.ConditionTrue, LastTransitionTime: now}
	if !mounted {
		status.Phase = v1.PodPending
		state = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ContainerCreating"}}
		ready.Status, ready.Reason = v1.ConditionFalse, "ContainersNotReady"
	}
	for _, kind := range []v1.PodConditionType{v1.PodReady, v1.ContainersReady} {
		ready.Type = kind
		status.Conditions = append(status.Conditions, ready)
	}
	initialized := v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue, LastTransitionTime: now}
	status.Conditions = append(status.Conditions, initialized)
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses,
			v1.ContainerStatus{Name: c.Name, Image: c.Image, Ready: mounted, Started: &mounted, State: state})
	}
	// With the UID, the patch does not apply to another pod of the same name.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	pods := n.core.Pods(pod.Namespace)
	_, err = pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// warn records the event that a kubelet would record for a pod whose volumes cannot be mounted.
func (n *standIn) warn(ctx context.Context, pod *v1.Pod, cause error) error {
	now := metav1.Now()
	_, err := n.core.Events(pod.Namespace).Create(ctx, &v1.Event{
		ObjectMeta: metav1.ObjectMeta{GenerateName: pod.Name + ".", Namespace: pod.Namespace},
		InvolvedObject: v1.ObjectReference{
			APIVersion: "v1", Kind: "Pod",
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
		},
		Type: v1.EventTypeWarning, Reason: "FailedMount", Message: cause.Error(),
		Source: v1.EventSource{Component: "stand-in-node", Host: n.name}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}, metav1.CreateOptions{})
	return err
}
