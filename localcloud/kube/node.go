package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	v1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Where things are on a real node: a tmpfs of the cluster's own, or, on a cluster's folder, what has to last.
const (
	containerdSocket = "/run/containerd/containerd.sock"
	cniPlugins       = "/usr/lib/cni"
	sandboxImage     = "mcr.microsoft.com/oss/kubernetes/pause:3.6"
)

// nodePackages are the Debian packages of a real node: each with a file that is there once it is installed.
var nodePackages = map[string]string{
	"containerd":                  "/usr/bin/containerd",
	"runc":                        "/usr/sbin/runc",
	"busybox-static":              busyboxPath,
	"containernetworking-plugins": cniPlugins + "/bridge",
}

// MissingPackages are the Debian packages that a real node still needs.
func MissingPackages() []string {
	var missing []string
	for name, file := range nodePackages {
		if _, err := os.Stat(file); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// nodeName is the one that the first virtual machine of the cluster's pool has in AKS.
func nodeName(spec azure.ClusterSpec) string {
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(spec.ID)))
	return fmt.Sprintf("aks-%s-%08d-vmss000000", spec.PoolName, h.Sum32()%100_000_000)
}

// nodeLabels are those by which workloads choose nodes in AKS.
func nodeLabels(spec azure.ClusterSpec) string {
	return strings.Join([]string{
		"agentpool=" + spec.PoolName, "kubernetes.azure.com/agentpool=" + spec.PoolName, "kubernetes.azure.com/mode=system",
		"kubernetes.azure.com/cluster=" + spec.Name, "node.kubernetes.io/instance-type=" + spec.VMSize,
		"topology.kubernetes.io/region=" + spec.Location,
	}, ",")
}

// startContainers runs containerd and gives it the images that pods can use.
func (s *supervisor) startContainers(ctx context.Context) error {
	if err := setHostname(nodeName(s.Spec)); err != nil {
		return err
	}
	if err := makeCgroups(s.CgroupRoot); err != nil {
		return err
	}
	// A node that starts again starts empty, as one that was reimaged: its pods are made anew.
	for _, dir := range []string{"kubelet", "node", "providers"} {
		if err := os.RemoveAll(s.path(dir)); err != nil {
			return err
		}
	}
	network := s.path("node", "cni")
	if err := os.MkdirAll(network, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("node", "cni", "10-bridge.conflist"), []byte(bridgeNetwork), 0o644); err != nil {
		return err
	}
	config := s.path("node", "containerd.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, containerdConfig, s.path("node", "containerd"), containerdSocket, sandboxImage, cniPlugins, network), 0o644); err != nil {
		return err
	}
	if err := s.run(ctx, "containerd", nil, "/usr/bin/containerd", "--config="+config); err != nil {
		return err
	}
	archive := s.path("node", "images.tar")
	if err := writeImages(archive, busyboxPath, busyboxImage, sandboxImage); err != nil {
		return fmt.Errorf("making the node's images: %w", err)
	}
	return retry(ctx, 60*time.Second, "containerd", func(ctx context.Context) error {
		if err := answers(ctx, containerdSocket); err != nil {
			return err
		}
		return s.do(ctx, "/usr/bin/ctr", "--address="+containerdSocket, "--namespace=k8s.io", "images", "import", archive)
	})
}

var (
	nodes    = corev1.SchemeGroupVersion.WithResource("nodes")
	csiNodes = v1.SchemeGroupVersion.WithResource("csinodes")
)

// startNode runs the add-on's programs and the kubelet, and returns when the node is ready and has the CSI driver. The
// kubelet looks for drivers when it starts, and then once a second.
func (s *supervisor) startNode(ctx context.Context) error {
	name := nodeName(s.Spec)
	if err := s.startAddon(ctx, name); err != nil {
		return err
	}
	if err := s.startKubelet(ctx, name); err != nil {
		return err
	}
	err := await(ctx, s.client, 2*time.Minute, "the node to be ready", nodes, name, func(node *conditioned) error {
		return node.is(string(corev1.NodeReady))
	})
	if err != nil {
		return err
	}
	s.say("node %s ready", name)
	if !s.Spec.SecretsProvider {
		return nil
	}
	return s.awaitDriver(ctx, name)
}

// awaitDriver waits until the node says that it has the CSI driver.
func (s *supervisor) awaitDriver(ctx context.Context, node string) error {
	return await(ctx, s.client, time.Minute, "the node's CSI driver", csiNodes, node, func(has *v1.CSINode) error {
		if !slices.ContainsFunc(has.Spec.Drivers, func(one v1.CSINodeDriver) bool { return one.Name == csiDriverName }) {
			return fmt.Errorf("it has %d others", len(has.Spec.Drivers))
		}
		return nil
	})
}

func (s *supervisor) startKubelet(ctx context.Context, name string) error {
	serving, err := s.certificate(certificate{name: "kubelet-server", user: "system:node:" + name, groups: []string{"system:nodes"}, hosts: []string{name, nodeAddress}})
	if err != nil {
		return err
	}
	client, err := s.kubeconfigFile(certificate{name: thirdparty.Kubelet, user: "system:node:" + name, groups: []string{"system:nodes"}})
	if err != nil {
		return err
	}
	type object = map[string]any
	config, err := yaml.Marshal(object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"authentication":           object{"x509": object{"clientCAFile": s.path("pki", "ca.crt")}, "webhook": object{"enabled": true}, "anonymous": object{"enabled": false}},
		"authorization":            object{"mode": "Webhook"},
		"tlsCertFile":              serving.crt, "tlsPrivateKeyFile": serving.key,
		"port":                   s.ports.kubelet,
		"cgroupDriver":           "cgroupfs",
		"cgroupRoot":             s.CgroupRoot,
		"failCgroupV1":           false, // machines with cgroup v1 are still many
		"failSwapOn":             false,
		"enforceNodeAllocatable": []string{},
		"resolvConf":             "",
		"clusterDNS":             []string{serviceDNS}, // where it is in AKS; nothing answers there
		"clusterDomain":          "cluster.local",
		"podLogsDir":             s.path("node", "logs"),
		"volumePluginDir":        s.path("node", "volumeplugins"),
		// The node's disk is the machine's, and what fills it is not the node's to remove.
		"imageGCHighThresholdPercent": 100,
		"evictionHard":                object{"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
		// The kubelet republishes volumes as often as it looks at their pods; the driver's poll interval is held by that.
		"syncFrequency": min(time.Minute, max(time.Second, s.Spec.RotationPollInterval/2)).String(),
	})
	if err != nil {
		return err
	}
	path := s.path("node", "kubelet.yaml")
	if err := os.WriteFile(path, config, 0o644); err != nil {
		return err
	}
	return s.run(ctx, thirdparty.Kubelet, nil, s.Programs[thirdparty.Kubelet],
		"--config="+path, "--kubeconfig="+client, "--root-dir="+s.path("kubelet"), "--cert-dir="+s.path("pki"),
		"--hostname-override="+name, "--node-ip="+nodeAddress, "--node-labels="+nodeLabels(s.Spec))
}

// restrict_oom_score_adj: where the machine may not lower the score, runc fails without it.
const containerdConfig = `version = 2
root = %q
state = "/run/containerd"

[grpc]
  address = %q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`

var bridgeNetwork = func() string {
	type object = map[string]any
	conf, err := json.Marshal(object{
		"cniVersion": "1.0.0", "name": "pods",
		"plugins": []object{{
			"type": "bridge", "bridge": "cni0", "isGateway": true,
			"ipam": object{"type": "host-local", "ranges": [][]object{{{"subnet": podRange}}}, "routes": []object{{"dst": "0.0.0.0/0"}}},
		}},
	})
	if err != nil {
		panic(err) // of constants
	}
	return string(conf)
}()
