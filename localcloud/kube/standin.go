package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

const (
	// standInMessage is in the status of the node and its pods.
	standInMessage = "stand-in: volumes are mounted, no container runs"
	// podsFolder, in a cluster's folder, has <namespace>/<pod>/<volume>/<file>.
	podsFolder = "pods"
	// The controller manager considers a node lost after 40 s without a heartbeat.
	heartbeatInterval = 10 * time.Second
	// driverUser is the CSI driver's service account, which its manifests permit to read SecretProviderClasses.
	driverUser = "system:serviceaccount:kube-system:secrets-store-csi-driver"
)

// standIn is a node for machines that cannot run a real one. For secrets it does what the kubelet and the CSI driver do
// together: it mounts the Secrets Store volumes of its pods by calling the Azure provider with tokens of the pods'
// service accounts. Volumes are folders on disk. Other kinds of volumes are ignored and containers do not run, as the
// status of the node and its pods says.
type standIn struct {
	name   string
	labels map[string]string
	dir    string // has the pods' volumes
	core   corev1.CoreV1Interface
	// classes is the client for SecretProviderClasses.
	classes rest.Interface
	// provider is nil if the cluster does not have the add-on.
	provider v1alpha1.CSIDriverProviderClient
	rotation time.Duration // poll interval; 0: off
	started  metav1.Time

	pods map[types.UID]*standInPod
}

// standInNode runs in the supervisor, without namespaces.
type standInNode struct{}

func (standInNode) contain(_ *exec.Cmd, dir string) string { return dir }

func (standInNode) ports() (ports, error) { return freePorts() }

func (standInNode) address() string { return "127.0.0.1" }

func (standInNode) file(_ *supervisor, path string) (string, error) { return path, nil }

func (standInNode) enter(program *exec.Cmd) error {
	program.Env = append(os.Environ(), program.Env...)
	return nil
}

func (standInNode) start(ctx context.Context, s *supervisor, p progress) error {
	if err := waitFor(ctx, p.ready); err != nil {
		return err
	}
	return s.startStandInNode(ctx)
}

// startStandInNode returns when the node is registered as ready. The node runs until ctx is done.
func (s *supervisor) startStandInNode(ctx context.Context) error {
	n := &standIn{
		name: nodeName(s.Spec), dir: s.path(podsFolder), started: metav1.Now(), pods: map[types.UID]*standInPod{},
	}
	var err error
	if n.labels, err = labels.ConvertSelectorToLabelsMap(nodeLabels(s.Spec)); err != nil {
		return fmt.Errorf("parsing the node's labels: %w", err)
	}
	// A restarted node is empty: its pods' volumes are mounted again.
	for _, dir := range []string{n.dir, s.path("providers")} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	kubelet := certificate{name: thirdparty.Kubelet, user: "system:node:" + n.name, groups: []string{"system:nodes"}}
	config, err := s.clientConfig(kubelet)
	if err != nil {
		return err
	}
	if n.core, err = corev1.NewForConfig(config); err != nil {
		return fmt.Errorf("creating the node's client: %w", err)
	}
	if s.Spec.SecretsProvider {
		if err := s.connectProvider(ctx, n); err != nil {
			return err
		}
	}
	if err := n.register(ctx); err != nil {
		return fmt.Errorf("registering the stand-in node: %w", err)
	}
	s.processes.Go(func() { n.run(ctx) })
	s.say("node %s ready (%s)", n.name, standInMessage)
	return nil
}

// connectProvider starts the Azure provider and sets the node's clients for mounting.
func (s *supervisor) connectProvider(ctx context.Context, n *standIn) error {
	if err := s.startAzureProvider(ctx); err != nil {
		return err
	}
	config, err := s.clientConfig(certificate{name: thirdparty.CSIDriver, user: driverUser})
	if err != nil {
		return err
	}
	if n.classes, err = newClassClient(config); err != nil {
		return fmt.Errorf("creating the CSI driver's client: %w", err)
	}
	socket := s.path("providers", azureProvider+".sock")
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connecting to the Azure provider: %w", err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	n.provider = v1alpha1.NewCSIDriverProviderClient(conn)
	if s.Spec.Rotation {
		n.rotation = s.Spec.RotationPollInterval
	}
	return nil
}

// clientConfig returns the configuration of a client with the identity c.
func (s *supervisor) clientConfig(c certificate) (*rest.Config, error) {
	f, err := s.certificate(c)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            "https://" + loopback(s.ports.api),
		TLSClientConfig: rest.TLSClientConfig{CAFile: s.path("pki", "ca.crt"), CertFile: f.crt, KeyFile: f.key},
		QPS:             -1, // no limit: the API server is on this machine
	}, nil
}

// register creates the Node object or, after a restart of the cluster, updates it, and reports it as ready.
func (n *standIn) register(ctx context.Context) error {
	all := map[string]string{v1.LabelHostname: n.name, v1.LabelOSStable: "linux", v1.LabelArchStable: runtime.GOARCH}
	for k, v := range n.labels {
		all[k] = v
	}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: all}}
	_, err := n.core.Nodes().Create(ctx, node, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var patch []byte
		if patch, err = json.Marshal(map[string]any{"metadata": map[string]any{"labels": all}}); err != nil {
			return err
		}
		_, err = n.core.Nodes().Patch(ctx, n.name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		return err
	}
	return n.heartbeat(ctx)
}

// heartbeat reports the node as ready.
func (n *standIn) heartbeat(ctx context.Context) error {
	// The resources are not used. They only need to be enough for any pod.
	resources := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("64"), v1.ResourceMemory: resource.MustParse("256Gi"),
		v1.ResourceEphemeralStorage: resource.MustParse("1Ti"), v1.ResourcePods: resource.MustParse("250"),
	}
	patch, err := json.Marshal(map[string]any{"status": v1.NodeStatus{
		Capacity:    resources,
		Allocatable: resources,
		Addresses:   []v1.NodeAddress{{Type: v1.NodeHostName, Address: n.name}},
		NodeInfo: v1.NodeSystemInfo{
			OperatingSystem: "linux", Architecture: runtime.GOARCH, KubeletVersion: "stand-in", OSImage: "none",
		},
		Conditions: []v1.NodeCondition{{
			Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "StandIn", Message: standInMessage,
			LastHeartbeatTime: metav1.Now(), LastTransitionTime: n.started,
		}},
	}})
	if err != nil {
		return err
	}
	_, err = n.core.Nodes().PatchStatus(ctx, n.name, patch)
	return err
}

// run keeps the node ready and its pods' volumes mounted until ctx is done, and then removes the volumes.
func (n *standIn) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() {
		wait.UntilWithContext(ctx, func(ctx context.Context) {
			n.logFailure(ctx, "reporting the node as ready", n.heartbeat(ctx))
		}, heartbeatInterval)
	})
	both.Go(func() {
		wait.UntilWithContext(ctx, func(ctx context.Context) {
			n.logFailure(ctx, "watching the node's pods", n.followPods(ctx))
		}, time.Second)
		for uid := range n.pods {
			n.forget(uid)
		}
	})
	both.Wait()
	_ = os.RemoveAll(n.dir)
}

// logFailure logs an error of a step that will be retried. It ignores errors of a node that is ending.
func (n *standIn) logFailure(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "stand-in node: %s: %v\n", doing, err)
	}
}

// pause waits for d and returns true, or returns false when ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// File is a file mounted in a pod. Its name is relative to the mount.
type File struct {
	Name    string
	Content []byte
}

// ReadStandIn returns the files that are mounted in a pod on a stand-in node. kubeDir is the Manager's folder,
// clusterID the ARM id of the pod's cluster. It returns an error if the pod has no mounted volume.
func ReadStandIn(kubeDir, clusterID, namespace, pod string) ([]File, error) {
	dir := filepath.Join(clusterDir(kubeDir, clusterID), podsFolder, namespace, pod)
	volumes, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("pod %s/%s has no volume mounted on a stand-in node", namespace, pod)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pod's volumes: %w", err)
	}
	var files []File
	for _, volume := range volumes {
		if files, err = appendFiles(files, filepath.Join(dir, volume.Name()), ""); err != nil {
			return nil, fmt.Errorf("reading volume %s: %w", volume.Name(), err)
		}
	}
	return files, nil
}

// appendFiles reads the files in a volume's folder as a container sees them: it follows links, and skips names that
// begin with two dots, which the writer uses internally.
func appendFiles(to []File, volume, below string) ([]File, error) {
	entries, err := os.ReadDir(filepath.Join(volume, below))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := filepath.Join(below, entry.Name())
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		info, err := os.Stat(filepath.Join(volume, name))
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			if to, err = appendFiles(to, volume, name); err != nil {
				return nil, err
			}
			continue
		}
		content, err := os.ReadFile(filepath.Join(volume, name))
		if err != nil {
			return nil, err
		}
		to = append(to, File{name, content})
	}
	return to, nil
}
