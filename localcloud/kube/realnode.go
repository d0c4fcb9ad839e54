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

// nodeFolders are those of a cluster's folder that its node has: what its programs keep there, and what they are given.
var nodeFolders = []string{"kubelet", "node", "providers"}

// realNode runs containerd and a kubelet. The supervisor has namespaces of its own, in which the control plane runs. The
// node's programs, and so pods, have processes and mounts of their own below that: the files of the node are not those of the machine, nor
// those of the control plane.
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

// address is every one: all that there are, are the cluster's own.
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

// file copies a file to where the node sees it.
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

// enter gives a program nothing of the environment that the local cloud was started in: pods can read it.
func (n *realNode) enter(program *exec.Cmd) error {
	program.Env = append(nodeEnvironment(), program.Env...)
	return n.inside.enter(program)
}

// nodeEnvironment is that of each of the node's programs. The folder is for those who look for a local cloud's processes.
func nodeEnvironment() []string {
	return []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/run/tmp", machineFolder + "=" + os.Getenv(machineFolder),
	}
}

// nodePackages are the Debian packages of a real node: each with a file that is there once it is installed.
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

// startContainers runs containerd and gives it the images that pods can use.
func (n *realNode) startContainers(ctx context.Context, s *supervisor) (err error) {
	if err := setHostname(nodeName(s.Spec)); err != nil {
		return err
	}
	if err := makeCgroups(s.CgroupRoot); err != nil {
		return err
	}
	// A node that starts again starts empty, as one that was reimaged: its pods are made anew.
	for _, dir := range nodeFolders {
		if err := os.RemoveAll(s.path(dir)); err != nil {
			return err
		}
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return err
		}
	}
	if n.inside, err = s.makeNode(ctx); err != nil {
		return fmt.Errorf("making the node's namespaces: %w", err)
	}
	network := s.path("node", "cni")
	if err := os.MkdirAll(network, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("node", "cni", "10-bridge.conflist"), []byte(bridgeNetwork), 0o644); err != nil {
		return err
	}
	config, socket := s.path("node", "containerd.toml"), s.containerdSocket()
	if err := os.WriteFile(
		config,
		fmt.Appendf(nil, containerdConfig, s.path("node", "containerd"), socket, sandboxImage, cniPlugins, network),
		0o644,
	); err != nil {
		return err
	}
	if err := s.runOnNode(ctx, "containerd", nil, "/usr/bin/containerd", "--config="+config); err != nil {
		return err
	}
	archive := s.path("node", "images.tar")
	if err := writeImages(archive, busyboxPath, busyboxImage, sandboxImage); err != nil {
		return fmt.Errorf("making the node's images: %w", err)
	}
	return retry(ctx, 60*time.Second, "containerd", func(ctx context.Context) error {
		if err := answers(ctx, socket); err != nil {
			return err
		}
		return s.do(ctx, "/usr/bin/ctr", "--address="+socket, "--namespace=k8s.io", "images", "import", archive)
	})
}

// containerdSocket is where the supervisor finds it, too.
func (s *supervisor) containerdSocket() string { return s.path("node", "containerd.sock") }

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
	serving, err := s.certificate(
		certificate{
			name:   "kubelet-server",
			user:   "system:node:" + name,
			groups: []string{"system:nodes"},
			hosts:  []string{name, nodeAddress},
		},
	)
	if err != nil {
		return err
	}
	client, err := s.kubeconfigFile(
		certificate{name: thirdparty.Kubelet, user: "system:node:" + name, groups: []string{"system:nodes"}},
	)
	if err != nil {
		return err
	}
	given := map[string]string{"kubeconfig": client, "crt": serving.crt, "key": serving.key, "ca": s.path("pki", "ca.crt")}
	for name, path := range given {
		if given[name], err = s.node.file(s, path); err != nil {
			return fmt.Errorf("giving the kubelet its files: %w", err)
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
		"evictionHard": object{
			"memory.available":  "100Mi",
			"nodefs.available":  "1%",
			"imagefs.available": "1%",
			"nodefs.inodesFree": "1%",
		},
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
	return s.runOnNode(
		ctx,
		thirdparty.Kubelet,
		nil,
		s.Programs[thirdparty.Kubelet],
		"--config="+path,
		"--kubeconfig="+given["kubeconfig"],
		"--root-dir="+s.path("kubelet"),
		"--cert-dir="+s.path("node", "pki"),
		"--hostname-override="+name,
		"--node-ip="+nodeAddress,
		"--node-labels="+nodeLabels(s.Spec),
	)
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
		panic(err) // of constants
	}
	return string(conf)
}()
