package kube

import (
	"context"
	"fmt"
	"hash/fnv"
	"os/exec"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

// Node says what runs pods.
type Node string

const (
	// RealNode is a kubelet with containerd and runc. It needs Linux and root.
	RealNode Node = "real"
	// StandInNode mounts the volumes of pods by calling the Azure provider and runs no container.
	StandInNode Node = "stand-in"
)

// node is what a cluster asks of what runs its pods. It is one of a cluster that is being started, by a Manager or by a supervisor.
type node interface {
	// contain has a supervisor start where the node is to be, and returns what the cluster's folder is called there.
	contain(supervisor *exec.Cmd, dir string) (inside string)
	// ports returns those that the cluster's programs listen on.
	ports() (ports, error)
	// address returns the one that the API server listens on.
	address() string
	// start returns when the node is ready. It begins at once with what needs no API server, and goes on as soon as one of p is
	// closed. What it starts ends with ctx.
	start(ctx context.Context, s *supervisor, p progress) error
	// file returns what a file of the cluster is called where the node's programs run.
	file(s *supervisor, path string) (string, error)
	// enter has a program start where the node's programs run. It may change the calling thread, which then starts nothing else.
	enter(program *exec.Cmd) error
}

// progress is how far a cluster is that starts.
type progress struct {
	installed <-chan struct{} // closed when objects of the add-on's kinds can be created
	ready     <-chan struct{} // closed when the API server is ready
}

// kind returns a node of the kind that n names.
func (n Node) kind() node {
	if n == RealNode {
		return new(realNode)
	}
	return standInNode{}
}

// MissingPackages returns the Debian packages that a node of this kind needs and that are not installed.
func (n Node) MissingPackages() []string {
	if n == RealNode {
		return missingPackages()
	}
	return nil
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
