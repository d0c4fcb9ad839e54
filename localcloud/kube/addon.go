package kube

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

const (
	csiDriverName = "secrets-store.csi.k8s.io"
	azureProvider = "azure"
)

// addonManifest adds tokens for Entra ID in each mount request, as AKS does, to the driver's own manifests.
//
//go:embed addon.yaml
var addonManifest []byte

// discoveryManifest has the role that lets all authenticated users discover what the API server serves.
//
//go:embed discovery.yaml
var discoveryManifest []byte

// installAddon applies the manifests of the Key Vault Secrets Provider add-on: the driver's own, with permissions for
// the driver's service account, and the CSIDriver object as AKS has it. When it returns, objects of the driver's kinds
// can be created. If the cluster does not have the add-on, it does nothing.
func (s *supervisor) installAddon(ctx context.Context) error {
	if !s.Spec.SecretsProvider {
		return nil
	}
	manifests := [][]byte{discoveryManifest, addonManifest}
	files, err := s.Programs.CSIManifests()
	if err != nil {
		return err
	}
	for _, file := range files {
		manifest, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if bytes.Contains(manifest, []byte("kind: CustomResourceDefinition")) { // first, since these take longest
			manifests = slices.Insert(manifests, 0, manifest)
		} else {
			manifests = append(manifests, manifest)
		}
	}
	for _, manifest := range manifests {
		// The API server may not be ready yet, or not have the namespace kube-system.
		put := func(ctx context.Context) error { return s.client.put(ctx, manifest) }
		if err := retry(ctx, time.Minute, "the add-on to be installed", put); err != nil {
			return err
		}
	}
	for _, kind := range addonKinds {
		var conditions []metav1.Condition
		ready := func(definition *conditioned) error {
			conditions = definition.Status.Conditions
			return definition.is(established)
		}
		err := await(ctx, s.client, 30*time.Second, "the API server to serve "+kind, kindsOfKinds, kind, ready)
		if err == nil {
			err = s.ageKind(ctx, kind, conditions)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const established = "Established"

// ageKind backdates the time at which a kind was established. For two seconds after that time, the API server delays
// requests that create objects of the kind, so that other API servers learn of it (apiextensions-apiserver's
// customresource_handler.go). Here are no others, and in AKS the kinds are older than any client's access.
func (s *supervisor) ageKind(ctx context.Context, kind string, conditions []metav1.Condition) error {
	i := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == established })
	since := conditions[i].LastTransitionTime
	if time.Since(since.Time) > time.Minute { // the cluster was restarted
		return nil
	}
	path := fmt.Sprintf("/status/conditions/%d/", i)
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": path + "type", "value": established},
		{"op": "replace", "path": path + "lastTransitionTime", "value": since.Add(-time.Minute).UTC().Format(time.RFC3339)},
	})
	if err != nil {
		return err
	}
	kinds := s.client.objects.Resource(kindsOfKinds)
	if _, err = kinds.Patch(ctx, kind, types.JSONPatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("backdating the kind %s: %w", kind, err)
	}
	return nil
}

// addonKinds are the kinds of the driver's manifests.
var addonKinds = []string{
	"secretproviderclasses.secrets-store.csi.x-k8s.io",
	"secretproviderclasspodstatuses.secrets-store.csi.x-k8s.io",
}

var kindsOfKinds = schema.GroupVersionResource{
	Group:    "apiextensions.k8s.io",
	Version:  "v1",
	Resource: "customresourcedefinitions",
}

// startAddon runs the CSI driver and the Azure provider, as programs of the node instead of pods of a DaemonSet, and
// registers the driver with the kubelet.
func (s *supervisor) startAddon(ctx context.Context, node string) error {
	if !s.Spec.SecretsProvider {
		return nil
	}
	if err := s.startAzureProvider(ctx); err != nil {
		return err
	}
	// The driver has the identity of its pod's service account, with the permissions of its manifests.
	identity, err := s.kubeconfigFile(certificate{name: thirdparty.CSIDriver, user: driverUser})
	if err != nil {
		return err
	}
	// The driver ends if it is not permitted to discover what the API server serves. That role exists only shortly
	// before the API server is ready.
	config, err := s.clientConfig(certificate{name: thirdparty.CSIDriver, user: driverUser})
	if err != nil {
		return err
	}
	asks, err := NewClient(config)
	if err != nil {
		return err
	}
	err = retry(ctx, 90*time.Second, "the CSI driver's permissions", func(context.Context) error {
		_, err := asks.kinds.ServerGroups()
		return err
	})
	if err != nil {
		return err
	}
	if identity, err = s.node.file(s, identity); err != nil {
		return fmt.Errorf("copying the CSI driver's kubeconfig to the node: %w", err)
	}
	socket := s.path("kubelet", "plugins", csiDriverName, "csi.sock")
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	err = s.runOnNode(ctx, thirdparty.CSIDriver, nil, s.Programs[thirdparty.CSIDriver],
		"--kubeconfig="+identity, "--endpoint=unix://"+socket, "--nodeid="+node,
		"--provider-volume="+s.path("providers"),
		fmt.Sprintf("--enable-secret-rotation=%t", s.Spec.Rotation),
		"--rotation-poll-interval="+s.Spec.RotationPollInterval.String(),
		"--metrics-addr=127.0.0.1:8095")
	if err != nil {
		return err
	}
	// Register the driver only when it listens: the kubelet connects at once, and retries only after a while.
	err = retry(ctx, time.Minute, "the CSI driver", func(ctx context.Context) error { return answers(ctx, socket) })
	if err != nil {
		return err
	}
	return s.register(ctx, socket)
}

// startAzureProvider runs the unmodified provider, which reaches the local cloud only through the proxy in its
// environment.
func (s *supervisor) startAzureProvider(ctx context.Context) error {
	if err := os.MkdirAll(s.path("providers"), 0o755); err != nil {
		return err
	}
	authority, err := s.node.file(s, s.CAFile)
	if err != nil {
		return fmt.Errorf("copying the Azure provider's CA to the node: %w", err)
	}
	proxy := "http://" + loopback(s.ports.edge)
	return s.runOnNode(ctx, thirdparty.AzureProvider,
		// Go uses the lower-case variables if the upper-case ones are empty.
		[]string{"HTTPS_PROXY=" + proxy, "https_proxy=" + proxy, "NO_PROXY=", "no_proxy=", "SSL_CERT_FILE=" + authority},
		s.Programs[thirdparty.AzureProvider],
		"--endpoint=unix://"+s.path("providers", azureProvider+".sock"), "--healthz-port=0", "--prometheus-port=0")
}

// register does what the node-driver-registrar does: it serves a socket that the kubelet finds in its folder.
func (s *supervisor) register(ctx context.Context, driver string) error {
	path := s.path("kubelet", "plugins_registry", csiDriverName+"-reg.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("registering the CSI driver: %w", err)
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, registrar{driver: driver})
	context.AfterFunc(ctx, server.Stop)
	s.processes.Go(func() { _ = server.Serve(l) })
	return nil
}

type registrar struct {
	registration.UnimplementedRegistrationServer
	driver string
}

func (r registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.CSIPlugin,
		Name:              csiDriverName,
		Endpoint:          r.driver,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r registrar) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		fmt.Fprintf(os.Stderr, "the kubelet rejects the CSI driver: %s\n", status.Error)
	}
	return &registration.RegistrationStatusResponse{}, nil
}
