package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	authentication "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/secrets-store-csi-driver/pkg/util/fileutil"
	"sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/overview"
)

const (
	// tokenAudience is the audience in the CSIDriver object's token requests.
	tokenAudience = "api://AzureADTokenExchange"
	// mountTimeout is the kubelet's timeout for CSI drivers.
	mountTimeout = 2 * time.Minute
	// mountPermission is the default mode of files.
	mountPermission fs.FileMode = 0o644
)

// newClassClient returns a client for SecretProviderClasses.
func newClassClient(config *rest.Config) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = &schema.GroupVersion{Group: "secrets-store.csi.x-k8s.io", Version: "v1"}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return rest.RESTClientFor(config)
}

// mount gets the files of a CSI volume from the provider and writes them to the volume's folder. It replaces the files
// of an existing volume atomically. On an error the volume stays as it is.
func (n *standIn) mount(ctx context.Context, pod *v1.Pod, volume v1.Volume) error {
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	source := volume.CSI
	switch {
	case source.Driver != csiDriverName:
		return fmt.Errorf("CSI driver %s is not supported by the stand-in node, only %s is", source.Driver, csiDriverName)
	case n.provider == nil:
		return fmt.Errorf("driver name %s not found in the list of registered CSI drivers", source.Driver)
	case source.ReadOnly == nil || !*source.ReadOnly:
		return errors.New("Readonly is not true in request") //nolint:staticcheck // the driver's words
	case source.NodePublishSecretRef != nil:
		return errors.New("nodePublishSecretRef is not supported by the stand-in node")
	}
	attributes, err := n.attributes(ctx, pod, source.VolumeAttributes)
	if err != nil {
		return err
	}
	permission, err := json.Marshal(mountPermission)
	if err != nil {
		return err
	}
	dir := filepath.Join(n.podDir(pod), volume.Name)
	response, err := n.provider.Mount(ctx, &v1alpha1.MountRequest{
		Attributes: attributes, Secrets: "null", TargetPath: dir, Permission: string(permission),
	}, grpc.WaitForReady(true)) // the provider may still be starting
	switch code := response.GetError().GetCode(); {
	case err != nil:
	case code != "":
		err = fmt.Errorf("mount request failed with provider error code %s", code)
	case len(response.GetObjectVersion()) == 0:
		err = errors.New("missing object versions")
	}
	if err != nil {
		return fmt.Errorf("failed to mount secrets store objects for pod %s/%s, err: %w", pod.Namespace, pod.Name, err)
	}
	// Validate before the folder is created: the writer does so only after that, and a folder means a mounted volume.
	if err := fileutil.Validate(response.GetFiles()); err != nil {
		return fmt.Errorf("the provider's files are not valid: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := fileutil.WritePayloads(dir, response.GetFiles()); err != nil {
		return err
	}
	return n.publish(ctx, pod, source.VolumeAttributes["secretProviderClass"], dir, response.GetObjectVersion())
}

// publish writes the SecretProviderClassPodStatus of a volume that was mounted, as the driver does. It is deleted with
// the pod.
func (n *standIn) publish(
	ctx context.Context,
	pod *v1.Pod,
	class, dir string,
	versions []*v1alpha1.ObjectVersion,
) error {
	status := podStatus{ObjectMeta: metav1.ObjectMeta{
		Name: pod.Name + "-" + pod.Namespace + "-" + class, Namespace: pod.Namespace,
		Labels: map[string]string{"internal.secrets-store.csi.k8s.io/node-name": n.name},
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
		},
	}}
	status.APIVersion, status.Kind = podStatuses.GroupVersion().String(), "SecretProviderClassPodStatus"
	status.Status.PodName, status.Status.Class, status.Status.Mounted = pod.Name, class, true
	status.Status.TargetPath = dir
	for _, version := range versions {
		object := overview.Object{ID: version.GetId(), Version: version.GetVersion()}
		status.Status.Objects = append(status.Status.Objects, object)
	}
	slices.SortFunc(status.Status.Objects, func(a, b overview.Object) int { return strings.Compare(a.ID, b.ID) })
	content, err := json.Marshal(status)
	if err != nil {
		return err
	}
	// One request that creates or updates, and changes nothing where nothing has changed.
	err = n.classes.Patch(types.ApplyPatchType).Namespace(pod.Namespace).Resource(podStatuses.Resource).Name(status.Name).
		Param("fieldManager", csiDriverName).Param("force", "true").Body(content).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("failed to create secret provider class pod status for pod %s/%s, err: %w",
			pod.Namespace, pod.Name, err)
	}
	return nil
}

// attributes returns the attributes of a mount request, in JSON: the class's parameters, the volume's attributes and
// those that the kubelet adds.
func (n *standIn) attributes(ctx context.Context, pod *v1.Pod, ofVolume map[string]string) (string, error) {
	parameters, err := n.parameters(ctx, pod.Namespace, ofVolume["secretProviderClass"])
	if err != nil {
		return "", err
	}
	maps.Copy(parameters, ofVolume)
	tokens, err := n.tokens(ctx, pod)
	if err != nil {
		return "", err
	}
	maps.Copy(parameters, map[string]string{
		"csi.storage.k8s.io/pod.name":              pod.Name,
		"csi.storage.k8s.io/pod.namespace":         pod.Namespace,
		"csi.storage.k8s.io/pod.uid":               string(pod.UID),
		"csi.storage.k8s.io/serviceAccount.name":   pod.Spec.ServiceAccountName,
		"csi.storage.k8s.io/ephemeral":             "true",
		"csi.storage.k8s.io/serviceAccount.tokens": tokens,
	})
	content, err := json.Marshal(parameters)
	return string(content), err
}

// parameters returns the parameters of a SecretProviderClass, which must be one of the Azure provider.
func (n *standIn) parameters(ctx context.Context, namespace, class string) (map[string]string, error) {
	if class == "" {
		return nil, errors.New("secretProviderClass is not set")
	}
	content, err := n.classes.Get().Namespace(namespace).Resource("secretproviderclasses").Name(class).Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("failed to get secretproviderclass %s/%s, error: %w", namespace, class, err)
	}
	var object struct {
		Spec struct {
			Provider   string            `json:"provider"`
			Parameters map[string]string `json:"parameters"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(content, &object); err != nil {
		return nil, fmt.Errorf("reading secretproviderclass %s/%s: %w", namespace, class, err)
	}
	if object.Spec.Provider != azureProvider {
		return nil, fmt.Errorf("error connecting to provider %q: provider not found", object.Spec.Provider)
	}
	if len(object.Spec.Parameters) == 0 {
		return nil, fmt.Errorf("parameters not set in %s/%s", namespace, class)
	}
	return object.Spec.Parameters, nil
}

// tokens returns tokens of the pod's service account that are bound to the pod, in the form in which the kubelet passes
// them to drivers: a JSON object by audience.
func (n *standIn) tokens(ctx context.Context, pod *v1.Pod) (string, error) {
	bound := &authentication.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	request := &authentication.TokenRequest{
		Spec: authentication.TokenRequestSpec{Audiences: []string{tokenAudience}, BoundObjectRef: bound},
	}
	accounts := n.core.ServiceAccounts(pod.Namespace)
	token, err := accounts.CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("failed to get service account token for pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	content, err := json.Marshal(map[string]authentication.TokenRequestStatus{tokenAudience: token.Status})
	return string(content), err
}
