package kube

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
)

var _ overview.Clusters = (*Manager)(nil)

// podStatuses are the SecretProviderClassPodStatuses, in which the driver says what it has mounted
// (https://secrets-store-csi-driver.sigs.k8s.io/concepts#secretproviderclasspodstatus).
var podStatuses = schema.GroupVersionResource{
	Group: "secrets-store.csi.x-k8s.io", Version: "v1", Resource: "secretproviderclasspodstatuses",
}

// podStatus is one of them.
type podStatus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		PodName    string            `json:"podName"`
		Class      string            `json:"secretProviderClassName"`
		Mounted    bool              `json:"mounted"`
		TargetPath string            `json:"targetPath"`
		Objects    []overview.Object `json:"objects"`
	} `json:"status"`
}

// longestMessage is how much of an event's message is shown.
const longestMessage = 2 << 10

// Mounts returns what the pods of a cluster have mounted by the Secrets Store CSI driver, and what they wait for.
func (m *Manager) Mounts(ctx context.Context, id string) ([]overview.Mount, error) {
	client, err := m.reader(id)
	if err == nil {
		var mounts []overview.Mount
		if mounts, err = client.mounts(ctx); err == nil {
			return mounts, nil
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		err = errors.New("the cluster does not run")
	}
	return nil, err
}

// reader returns a client of the cluster with an id, the same each time: each would keep connections of its own.
func (m *Manager) reader(id string) (*Client, error) {
	dir := clusterDir(m.Dir, id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if client := m.readers[dir]; client != nil {
		return client, nil
	}
	client, err := clusterFolder{dir: dir}.client()
	if err != nil {
		return nil, err
	}
	m.readers[dir] = client
	return client, nil
}

func (c *Client) mounts(ctx context.Context) ([]overview.Mount, error) {
	pods, err := listed[v1.Pod](ctx, c, v1.SchemeGroupVersion.WithResource("pods"), "")
	if err != nil {
		return nil, err
	}
	statuses, err := listed[podStatus](ctx, c, podStatuses, "")
	if err != nil && !apierrors.IsNotFound(err) { // a cluster without the add-on
		return nil, err
	}
	events, err := listed[v1.Event](ctx, c, v1.SchemeGroupVersion.WithResource("events"), "reason=FailedMount")
	if err != nil {
		return nil, err
	}
	var mounts []overview.Mount
	for _, pod := range pods {
		for _, volume := range pod.Spec.Volumes {
			if volume.CSI == nil || volume.CSI.Driver != csiDriverName {
				continue
			}
			mounts = append(mounts, mountOf(pod, volume, statuses, events))
		}
	}
	return mounts, nil
}

// mountOf puts together what is known of a volume. The node starts no container before all volumes are mounted.
func mountOf(pod v1.Pod, volume v1.Volume, statuses []podStatus, events []v1.Event) overview.Mount {
	mount := overview.Mount{
		Namespace: pod.Namespace, Pod: pod.Name, ServiceAccount: pod.Spec.ServiceAccountName,
		Class: volume.CSI.VolumeAttributes["secretProviderClass"], Volume: volume.Name, PodUID: string(pod.UID),
		Mounted: pod.Status.Phase == v1.PodRunning, Since: pod.CreationTimestamp.Time, Objects: []overview.Object{},
	}
	if mount.Mounted && pod.Status.StartTime != nil {
		mount.Since = pod.Status.StartTime.Time
	}
	for _, status := range statuses {
		if status.Namespace != pod.Namespace || status.Status.PodName != pod.Name || status.Status.Class != mount.Class ||
			!ownedBy(status, pod) {
			continue
		}
		mount.Mounted = mount.Mounted || status.Status.Mounted
		mount.Objects = append(mount.Objects, status.Status.Objects...)
		mount.Since = status.CreationTimestamp.Time
		for _, field := range status.ManagedFields {
			if field.Time != nil && field.Time.After(mount.Updated) {
				mount.Updated = field.Time.Time
			}
		}
	}
	if mount.Mounted {
		return mount
	}
	var last time.Time
	for _, event := range events {
		at := event.LastTimestamp.Time
		if event.InvolvedObject.UID != pod.UID || at.Before(last) {
			continue
		}
		last = at
		message := event.Message
		if len(message) > longestMessage {
			message = strings.ToValidUTF8(message[:longestMessage], "") + "…"
		}
		mount.Message = event.Reason + ": " + message
	}
	return mount
}

// ownedBy reports whether a status is of the pod, and not of one of the same name before it.
func ownedBy(status podStatus, pod v1.Pod) bool {
	for _, owner := range status.OwnerReferences {
		if owner.Kind == "Pod" {
			return owner.UID == pod.UID
		}
	}
	return true
}

// listed returns the objects of a resource in all namespaces.
func listed[T any](ctx context.Context, c *Client, of schema.GroupVersionResource, fields string) ([]T, error) {
	found, err := c.objects.Resource(of).List(ctx, metav1.ListOptions{FieldSelector: fields})
	if err != nil {
		return nil, err
	}
	all := make([]T, len(found.Items))
	for i, item := range found.Items {
		if err := convert(item, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func convert(item unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, into)
}
