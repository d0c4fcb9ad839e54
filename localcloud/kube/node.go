package kube

import (
	"context"
	"fmt"
	"hash/fnv"
	"os/exec"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
)

// Node selects what runs pods.
type Node string

const (
	// RealNode is a kubelet with containerd and runc. It needs Linux and root.
	RealNode Node = "real"
	// StandInNode mounts pods' volumes by calling the Azure provider, and runs no containers.
	StandInNode Node = "stand-in"
)

// node implements a kind of node for one cluster, partly in the Manager's process and partly in the supervisor's.
type node interface {
	// contain makes the supervisor start in the node's namespaces, if it has any, and returns the path of the cluster's
	// folder there.
	contain(supervisor *exec.Cmd, dir string) (inside string)
	// ports returns the ports for the cluster's programs.
	ports() (ports, error)
	// address returns the address on which the API server listens.
	address() string
	// start starts the node and returns when it is ready. It waits for p only before steps that need it. What it starts
	// ends with ctx.
	start(ctx context.Context, s *supervisor, p progress) error
	// file makes a file of the cluster available to the node's programs and returns its path there.
	file(s *supervisor, path string) (string, error)
	// enter makes a program start where the node's programs run. It may change the calling thread, which must then start
	// nothing else.
	enter(program *exec.Cmd) error
}

// progress tells how far the start of a cluster is.
type progress struct {
	installed <-chan struct{} // closed when objects of the add-on's kinds can be created
	ready     <-chan struct{} // closed when the API server is ready
}

// kind returns a node of the kind n.
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

// nodeName returns the name that AKS gives to the first virtual machine of the cluster's pool.
func nodeName(spec azure.ClusterSpec) string {
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(spec.ID)))
	return fmt.Sprintf("aks-%s-%08d-vmss000000", spec.PoolName, h.Sum32()%100_000_000)
}

// nodeLabels returns the labels by which workloads select nodes in AKS.
func nodeLabels(spec azure.ClusterSpec) string {
	return strings.Join([]string{
		"agentpool=" + spec.PoolName, "kubernetes.azure.com/agentpool=" + spec.PoolName, "kubernetes.azure.com/mode=system",
		"kubernetes.azure.com/cluster=" + spec.Name, "node.kubernetes.io/instance-type=" + spec.VMSize,
		"topology.kubernetes.io/region=" + spec.Location,
	}, ",")
}
