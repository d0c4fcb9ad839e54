package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	watchtools "k8s.io/client-go/tools/watch"
	conflict "k8s.io/client-go/util/retry"
)

// Client is a client of a cluster, with the operations that the local cloud needs.
type Client struct {
	config  *rest.Config
	objects dynamic.Interface
	kinds   *discovery.DiscoveryClient
}

// NewClient returns a client of config's API server.
func NewClient(config *rest.Config) (*Client, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	return &Client{config: config, objects: objects, kinds: kinds}, err
}

// of returns the interface to the objects of a kind.
func (c *Client) of(kind schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	served, err := c.kinds.ServerResourcesForGroupVersion(kind.GroupVersion().String())
	if err != nil {
		return nil, fmt.Errorf("looking up the kind %s: %w", kind, err)
	}
	for _, r := range served.APIResources {
		if r.Kind != kind.Kind || strings.Contains(r.Name, "/") {
			continue
		}
		all := c.objects.Resource(kind.GroupVersion().WithResource(r.Name))
		if r.Namespaced {
			return all.Namespace(namespace), nil
		}
		return all, nil
	}
	return nil, fmt.Errorf("the cluster has no kind %s", kind)
}

// Get returns an object as JSON, or nil if there is none with that name.
func (c *Client) Get(ctx context.Context, apiVersion, kind, namespace, name string) ([]byte, error) {
	objects, err := c.of(schema.FromAPIVersionAndKind(apiVersion, kind), namespace)
	if err != nil {
		return nil, err
	}
	found, err := objects.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return found.MarshalJSON()
}

// Pods returns all pods of the cluster, each as <namespace>/<name>.
func (c *Client) Pods(ctx context.Context) ([]string, error) {
	found, err := c.objects.Resource(v1.SchemeGroupVersion.WithResource("pods")).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var all []string
	for _, pod := range found.Items {
		all = append(all, pod.GetNamespace()+"/"+pod.GetName())
	}
	return all, nil
}

// Exec runs a command in a pod with one container and returns its standard output. If the command fails, the error
// includes its standard error.
func (c *Client) Exec(ctx context.Context, namespace, pod string, command ...string) ([]byte, error) {
	core, err := corev1.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	url := core.RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&v1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	// Like kubectl, fall back to SPDY.
	webSocket, err := remotecommand.NewWebSocketExecutor(c.config, "GET", url.String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(c.config, "POST", url)
	if err != nil {
		return nil, err
	}
	either, err := remotecommand.NewFallbackExecutor(webSocket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return nil, err
	}
	var out, errs bytes.Buffer
	if err := either.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errs}); err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}

// put creates or updates the objects of a manifest. An existing object keeps its status and its metadata, except for
// the labels and annotations that the manifest sets.
func (c *Client) put(ctx context.Context, manifest []byte) error {
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		var wanted unstructured.Unstructured
		if err := documents.Decode(&wanted.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(wanted.Object) == 0 { // a document with only comments
			continue
		}
		if err := c.putObject(ctx, &wanted); err != nil {
			return fmt.Errorf("%s %s: %w", wanted.GetKind(), wanted.GetName(), err)
		}
	}
}

func (c *Client) putObject(ctx context.Context, wanted *unstructured.Unstructured) error {
	objects, err := c.of(wanted.GroupVersionKind(), wanted.GetNamespace())
	if err != nil {
		return err
	}
	if _, err = objects.Create(ctx, wanted, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return conflict.RetryOnConflict(conflict.DefaultRetry, func() error {
		live, err := objects.Get(ctx, wanted.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, err = objects.Update(ctx, merged(live, wanted), metav1.UpdateOptions{})
		return err
	})
}

// merged returns the existing object live, updated for put.
func merged(live, wanted *unstructured.Unstructured) *unstructured.Unstructured {
	all := wanted.DeepCopy()
	all.Object["metadata"] = live.Object["metadata"]
	if status, has := live.Object["status"]; has {
		all.Object["status"] = status
	}
	with := func(has, more map[string]string) map[string]string {
		for key, value := range more {
			if has == nil {
				has = map[string]string{}
			}
			has[key] = value
		}
		return has
	}
	all.SetLabels(with(live.GetLabels(), wanted.GetLabels()))
	all.SetAnnotations(with(live.GetAnnotations(), wanted.GetAnnotations()))
	return all
}

// await watches an object until ready returns nil. T has the fields that ready reads. A watch that fails is retried at
// once. The informer of watchtools.UntilWithSync would wait for a second or more if the API server is not ready.
func await[T any](
	ctx context.Context, c *Client, limit time.Duration, what string, of schema.GroupVersionResource, name string,
	ready func(*T) error,
) error {
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()}
	return retry(ctx, limit, what, func(ctx context.Context) error {
		changes, err := c.objects.Resource(of).Watch(ctx, only) // the first event has the current state
		if err != nil {
			return err
		}
		why := errors.New("it does not exist")
		_, err = watchtools.UntilWithoutRetry(ctx, changes, func(change watch.Event) (bool, error) {
			switch change.Type {
			case watch.Error:
				return false, apierrors.FromObject(change.Object)
			case watch.Deleted:
				why = errors.New("it was deleted")
				return false, nil
			case watch.Bookmark:
				return false, nil
			}
			object, ok := change.Object.(*unstructured.Unstructured)
			if !ok {
				return false, fmt.Errorf("unexpected answer of the API server: %T", change.Object)
			}
			var seen T
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &seen); err != nil {
				return false, err
			}
			why = ready(&seen)
			return why == nil, nil
		})
		if errors.Is(err, watchtools.ErrWatchClosed) || wait.Interrupted(err) {
			return why
		}
		return err
	})
}

// conditioned is an object with status conditions.
type conditioned struct {
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// is returns an error if a condition is not true.
func (o *conditioned) is(condition string) error {
	i := slices.IndexFunc(o.Status.Conditions, func(c metav1.Condition) bool { return c.Type == condition })
	if i < 0 {
		return fmt.Errorf("it does not report whether it is %s", condition)
	}
	if c := o.Status.Conditions[i]; c.Status != metav1.ConditionTrue {
		return fmt.Errorf("it is not %s: %s", condition, c.Message)
	}
	return nil
}
