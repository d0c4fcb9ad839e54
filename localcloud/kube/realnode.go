package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	v1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

const (
	cniPlugins   = "/usr/lib/cni"
	sandboxImage = "mcr.microsoft.com/oss/kubernetes/pause:3.6"
)

// nodeFolders are the folders in a cluster's folder that its node sees.
var nodeFolders = []string{"kubelet", "node", "providers"}

// realNode runs containerd and a kubelet. The control plane runs in the supervisor's own namespaces. The node's
// programs, and so pods, have namespaces of processes and mounts within these. The node's file system is neither the
// machine's nor the control plane's.
type realNode struct {
	inside *namespaces // where the node's programs run
}

func (*realNode) contain(supervisor *exec.Cmd, dir string) string {
	supervisor.Args = append(supervisor.Args, inNamespaces)
	supervisor.Env = append(os.Environ(), machineFolder+"="+dir)
	isolate(supervisor)
	return machineDir
}

func (*realNode) ports() (ports, error) { return usualPorts, nil }

// address returns the address for all interfaces, which are the cluster's own.
func (*realNode) address() string { return "0.0.0.0" }

func (n *realNode) start(ctx context.Context, s *supervisor, p progress) error {
	if err := n.startContainers(ctx, s); err != nil {
		return err
	}
	if err := waitFor(ctx, p.installed); err != nil {
		return err
	}
	return s.startNode(ctx)
}

// file copies a file to the node and returns the path of the copy.
func (*realNode) file(s *supervisor, path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	replica := s.path("node", "pki", filepath.Base(path))
	if err := os.MkdirAll(filepath.Dir(replica), 0o700); err != nil {
		return "", err
	}
	return replica, os.WriteFile(replica, content, 0o600)
}

// enter also replaces the program's environment, since pods can read it.
func (n *realNode) enter(program *exec.Cmd) error {
	program.Env = append(nodeEnvironment(), program.Env...)
	return n.inside.enter(program)
}

// nodeEnvironment returns the environment of the node's programs. machineFolder identifies them as processes of this
// local cloud.
func nodeEnvironment() []string {
	return []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/run/tmp",
		machineFolder + "=" + os.Getenv(machineFolder),
	}
}

// nodePackages maps the Debian packages of a real node to a file of each.
var nodePackages = map[string]string{
	"containerd":                  "/usr/bin/containerd",
	"runc":                        "/usr/sbin/runc",
	"busybox-static":              busyboxPath,
	"containernetworking-plugins": cniPlugins + "/bridge",
}

func missingPackages() []string {
	var missing []string
	for name, file := range nodePackages {
		if _, err := os.Stat(file); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// startContainers runs containerd and imports the images that pods can use.
func (n *realNode) startContainers(ctx context.Context, s *supervisor) (err error) {
	if err := setHostname(nodeName(s.Spec)); err != nil {
		return err
	}
	if err := makeCgroups(s.CgroupRoot); err != nil {
		return err
	}
	// A restarted node is empty, like one that was reimaged: its pods are created again.
	for _, dir := range nodeFolders {
		if err := os.RemoveAll(s.path(dir)); err != nil {
			return err
		}
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return err
		}
	}
	if n.inside, err = s.makeNode(ctx); err != nil {
		return fmt.Errorf("creating the node's namespaces: %w", err)
	}
	network := s.path("node", "cni")
	if err := os.MkdirAll(network, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("node", "cni", "10-bridge.conflist"), []byte(bridgeNetwork), 0o644); err != nil {
		return err
	}
	config, socket := s.path("node", "containerd.toml"), s.containerdSocket()
	settings := fmt.Appendf(nil, containerdConfig, s.path("node", "containerd"), socket, sandboxImage, cniPlugins, network)
	if err := os.WriteFile(config, settings, 0o644); err != nil {
		return err
	}
	if err := s.runOnNode(ctx, "containerd", nil, "/usr/bin/containerd", "--config="+config); err != nil {
		return err
	}
	archive := s.path("node", "images.tar")
	if err := writeImages(archive, busyboxPath, busyboxImage, sandboxImage); err != nil {
		return fmt.Errorf("creating the node's images: %w", err)
	}
	return retry(ctx, 60*time.Second, "containerd", func(ctx context.Context) error {
		if err := answers(ctx, socket); err != nil {
			return err
		}
		return s.do(ctx, "/usr/bin/ctr", "--address="+socket, "--namespace=k8s.io", "images", "import", archive)
	})
}

// containerdSocket returns containerd's socket, whose path is the same for the supervisor and the node.
func (s *supervisor) containerdSocket() string { return s.path("node", "containerd.sock") }

var (
	nodes    = corev1.SchemeGroupVersion.WithResource("nodes")
	csiNodes = v1.SchemeGroupVersion.WithResource("csinodes")
)

// startNode runs the add-on's programs and the kubelet, and returns when the node is ready and has the CSI driver. It
// starts the driver first: the kubelet looks for drivers when it starts, and then only once a second.
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

// awaitDriver waits until the node reports the CSI driver.
func (s *supervisor) awaitDriver(ctx context.Context, node string) error {
	return await(ctx, s.client, time.Minute, "the node's CSI driver", csiNodes, node, func(has *v1.CSINode) error {
		if !slices.ContainsFunc(has.Spec.Drivers, func(one v1.CSINodeDriver) bool { return one.Name == csiDriverName }) {
			return fmt.Errorf("the node has only %d other drivers", len(has.Spec.Drivers))
		}
		return nil
	})
}

func (s *supervisor) startKubelet(ctx context.Context, name string) error {
	user, groups := "system:node:"+name, []string{"system:nodes"}
	serving, err := s.certificate(certificate{
		name: "kubelet-server", user: user, groups: groups, hosts: []string{name, nodeAddress},
	})
	if err != nil {
		return err
	}
	client, err := s.kubeconfigFile(certificate{name: thirdparty.Kubelet, user: user, groups: groups})
	if err != nil {
		return err
	}
	given := map[string]string{"kubeconfig": client, "crt": serving.crt, "key": serving.key, "ca": s.path("pki", "ca.crt")}
	for name, path := range given {
		if given[name], err = s.node.file(s, path); err != nil {
			return fmt.Errorf("copying the kubelet's files to the node: %w", err)
		}
	}
	type object = map[string]any
	config, err := yaml.Marshal(object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"containerRuntimeEndpoint": "unix://" + s.containerdSocket(),
		"authentication": object{
			"x509":      object{"clientCAFile": given["ca"]},
			"webhook":   object{"enabled": true},
			"anonymous": object{"enabled": false},
		},
		"authorization":          object{"mode": "Webhook"},
		"tlsCertFile":            given["crt"],
		"tlsPrivateKeyFile":      given["key"],
		"port":                   s.ports.kubelet,
		"cgroupDriver":           "cgroupfs",
		"cgroupRoot":             s.CgroupRoot,
		"failCgroupV1":           false, // many machines still have cgroup v1
		"failSwapOn":             false,
		"enforceNodeAllocatable": []string{},
		"resolvConf":             "",
		"clusterDNS":             []string{serviceDNS}, // AKS's address, where nothing answers here
		"clusterDomain":          "cluster.local",
		"podLogsDir":             s.path("node", "logs"),
		"volumePluginDir":        s.path("node", "volumeplugins"),
		// The node shares the machine's disk, and cannot free it.
		"imageGCHighThresholdPercent": 100,
		"evictionHard": object{
			"memory.available":  "100Mi",
			"nodefs.available":  "1%",
			"imagefs.available": "1%",
			"nodefs.inodesFree": "1%",
		},
		// The kubelet republishes volumes only when it syncs their pods, so this also limits the driver's poll interval.
		"syncFrequency": min(time.Minute, max(time.Second, s.Spec.RotationPollInterval/2)).String(),
	})
	if err != nil {
		return err
	}
	path := s.path("node", "kubelet.yaml")
	if err := os.WriteFile(path, config, 0o644); err != nil {
		return err
	}
	return s.runOnNode(ctx, thirdparty.Kubelet, nil, s.Programs[thirdparty.Kubelet],
		"--config="+path, "--kubeconfig="+given["kubeconfig"],
		"--root-dir="+s.path("kubelet"), "--cert-dir="+s.path("node", "pki"),
		"--hostname-override="+name, "--node-ip="+nodeAddress, "--node-labels="+nodeLabels(s.Spec))
}

// containerdConfig sets restrict_oom_score_adj, without which runc fails if the machine may not lower the score.
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
		"plugins": []object{
			{
				"type":      "bridge",
				"bridge":    "cni0",
				"isGateway": true,
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": podRange}}},
					"routes": []object{{"dst": "0.0.0.0/0"}},
				},
			},
		},
	})
	if err != nil {
		panic(err) // impossible for constants
	}
	return string(conf)
}()
