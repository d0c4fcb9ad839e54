package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// SupervisorCommand is the command for which the program's main must call Supervise.
const SupervisorCommand = "cluster-supervisor"

// inNamespaces follows SupervisorCommand in the first process of new namespaces, insideMachine in the second.
const (
	inNamespaces  = "in-namespaces"
	insideMachine = "inside-machine"
)

// The sockets in a cluster's folder.
const (
	apiSocket  = "api.sock"
	edgeSocket = "edge.sock"
)

// supervisorLog, in a cluster's folder, has the supervisor's output.
const supervisorLog = "supervisor.log"

// The supervisor writes its report to the file descriptor after standard error. Lines other than these are progress.
const (
	reportReady = "ready"
	reportError = "error: "
	reportFile  = 3
)

// settings is what the Manager sends to a supervisor's standard input. The cluster ends when that input ends.
type settings struct {
	Spec       azure.ClusterSpec
	Dir        string // the cluster's folder as the supervisor sees it
	Programs   thirdparty.Programs
	Node       Node
	CAFile     string
	CgroupRoot string
}

// triedMachine follows SupervisorCommand in the process that CanRunRealNode starts.
const triedMachine = "tried-machine"

// onNode follows SupervisorCommand in the first process of the node's own namespaces. The cluster's folder and the
// folders of the node's programs follow it.
const onNode = "on-node"

// Supervise runs a cluster until standard input ends or ctx is done. args are the arguments after SupervisorCommand.
func Supervise(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == triedMachine {
		err := enterMachine(os.Getenv(machineFolder))
		if err == nil {
			err = enterNode(machineDir, nil)
		}
		if err != nil {
			fmt.Println(err)
		}
		return err
	}
	if len(args) > 1 && args[0] == onNode {
		return beNode(os.Stdout, args[1], args[2:])
	}
	report := os.NewFile(reportFile, "report")
	if len(args) > 0 && args[0] == inNamespaces {
		return superviseMachine(report)
	}
	syscall.CloseOnExec(reportFile)
	decoder := json.NewDecoder(os.Stdin)
	var s settings
	if err := decoder.Decode(&s); err != nil {
		return fmt.Errorf("reading the cluster's settings: %w", err)
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	sup := &supervisor{settings: s, node: s.Node.kind(), report: report, ends: map[string]int{}}
	err := sup.start(ctx)
	if err != nil {
		fmt.Fprintf(report, "%s%s\n", reportError, strings.ReplaceAll(err.Error(), "\n", " "))
		cancel()
	} else {
		fmt.Fprintln(report, reportReady)
		<-ctx.Done()
	}
	sup.processes.Wait()
	return err
}

// superviseMachine runs the first process of new namespaces. It prepares them and starts the supervisor as a second
// process.
func superviseMachine(report *os.File) error {
	// The second process reads the settings from standard input. The first needs only the folder.
	dir := os.Getenv(machineFolder)
	if err := enterMachine(dir); err != nil {
		fmt.Fprintf(report, "%s%s\n", reportError, err)
		return err
	}
	status, err := reapUntilExit([]string{os.Args[0], SupervisorCommand, insideMachine}, []uintptr{0, 1, 2, reportFile})
	if err == nil && status != 0 {
		err = fmt.Errorf("the supervisor ended with status %d", status)
	}
	return err
}

// machineFolder is the environment variable with the cluster's folder, for the first process of its namespaces.
const machineFolder = "KEYVAULT_AKS_CLUSTER_FOLDER"

// supervisor is a cluster, seen from inside its namespaces.
type supervisor struct {
	settings
	node      node
	report    io.Writer
	ports     ports
	ca        *authority
	client    *Client // the administrator's
	processes sync.WaitGroup

	mu   sync.Mutex
	ends map[string]int // how often each program has ended unexpectedly
}

// ports are the ports of a cluster.
type ports struct{ api, etcd, etcdPeer, kubelet, edge int }

// usualPorts are for clusters with a network of their own.
var usualPorts = ports{api: 6443, etcd: 2379, etcdPeer: 2380, kubelet: 10250, edge: 3128}

// start starts the cluster and returns when its node accepts pods and the API server answers without delay, as in AKS.
// Everything that it starts ends with ctx.
func (s *supervisor) start(ctx context.Context) (err error) {
	if s.ports, err = s.node.ports(); err != nil {
		return fmt.Errorf("finding free ports: %w", err)
	}
	if err := os.RemoveAll(s.path(healthFolder)); err != nil { // from the previous run
		return err
	}
	if s.ca, err = loadOrMakeAuthority(s.path("pki")); err != nil {
		return fmt.Errorf("creating the cluster's CA: %w", err)
	}
	config, err := s.clientConfig(admin)
	if err != nil {
		return err
	}
	if s.client, err = NewClient(config); err != nil {
		return fmt.Errorf("creating the administrator's client: %w", err)
	}
	if err := forward(ctx, "tcp", loopback(s.ports.edge), "unix", s.path(edgeSocket)); err != nil {
		return err
	}
	if err := forward(ctx, "unix", s.path(apiSocket), "tcp", loopback(s.ports.api)); err != nil {
		return err
	}
	if err := s.startControlPlane(ctx); err != nil {
		return err
	}
	// Until now the API server has kept the processors busy. It takes over a second more until it is ready, and mostly
	// waits. Steps that do not need the roles that it creates at the end begin now.
	installed, ready := make(chan struct{}), make(chan struct{})
	err = s.together(
		func() error {
			if err := s.installAddon(ctx); err != nil {
				return err
			}
			close(installed)
			if err := s.makeSchema(ctx); err != nil {
				s.say("the API server has not built its schema: %v", err)
			}
			return nil
		},
		func() error {
			if err := s.startControllers(ctx); err != nil {
				return err
			}
			close(ready)
			return s.bindAdminGroups(ctx)
		},
		func() error { return s.node.start(ctx, s, progress{installed: installed, ready: ready}) },
	)
	if err != nil {
		return err
	}
	return s.awaitSchedulable(ctx)
}

// together runs steps concurrently and returns the first error. It does not wait for the other steps then;
// s.processes.Wait does.
func (s *supervisor) together(steps ...func() error) error {
	done := make(chan error, len(steps)) // buffered, since after an error nobody reads the rest
	for _, step := range steps {
		s.processes.Go(func() { done <- step() })
	}
	for range steps {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func (s *supervisor) say(format string, args ...any) { fmt.Fprintf(s.report, format+"\n", args...) }

// path returns a path in the cluster's folder.
func (s *supervisor) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// waitFor waits until a channel is closed or ctx is done.
func waitFor(ctx context.Context, closed <-chan struct{}) error {
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run keeps a program running until ctx is done. The program's output goes to its own log.
func (s *supervisor) run(ctx context.Context, name, path string, args ...string) error {
	enter := func(cmd *exec.Cmd) error {
		cmd.Env = append(os.Environ(), cmd.Env...)
		return nil
	}
	return s.keep(ctx, enter, name, nil, path, args...)
}

// runOnNode does what run does, for a program on the node.
func (s *supervisor) runOnNode(ctx context.Context, name string, env []string, path string, args ...string) error {
	return s.keep(ctx, s.node.enter, name, env, path, args...)
}

// keep keeps a program running until ctx is done. enter prepares the program and the thread that starts it.
func (s *supervisor) keep(
	ctx context.Context, enter func(*exec.Cmd) error, name string, env []string, path string, args ...string,
) error {
	if err := os.MkdirAll(s.path("log"), 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(s.path("log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s.processes.Add(1)
	go func() {
		defer s.processes.Done()
		defer log.Close()
		var state programState
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, path, args...)
			cmd.Env = slices.Clone(env)
			cmd.Stdout, cmd.Stderr = log, log
			endWithParent(cmd)
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
			cmd.WaitDelay = 5 * time.Second
			wait, err := startOnThread(cmd, enter)
			if err == nil {
				state.Running, state.Since = true, time.Now()
				s.tell(name, state)
				err = wait()
			}
			if ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "%s ended and is being restarted: %v\n", name, err)
				s.mu.Lock()
				s.ends[name]++
				s.mu.Unlock()
				state = programState{Since: time.Now(), Ends: state.Ends + 1, Why: "without an error"}
				if err != nil {
					state.Why = err.Error()
				}
				s.tell(name, state)
			}
			select { // pause before the restart, like a service manager
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return nil
}

// startOnThread starts a program from its own thread, which enter may change. The thread lives as long as the program,
// since the kernel ends the program with it (endWithParent).
func startOnThread(cmd *exec.Cmd, enter func(*exec.Cmd) error) (wait func() error, err error) {
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		lockThread() // never unlocked, so that the thread ends with this function
		err := enter(cmd)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return func() error { return <-ended }, <-started
}

// tell publishes the state of a program for Look.
func (s *supervisor) tell(name string, state programState) {
	if err := saveJSON(s.path(healthFolder, name+".json"), state); err != nil {
		fmt.Fprintf(os.Stderr, "saving the state of %s: %v\n", name, err)
	}
}

func (s *supervisor) ended(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[name]
}

// do runs a program to its end. If the program fails, the error includes its output.
func (s *supervisor) do(ctx context.Context, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(path), args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// retry calls f until it succeeds or the limit expires.
func retry(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) error {
	var why error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		why = f(ctx)
		return why == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting %s for %s: %w", limit, what, cmp.Or(why, err))
	}
	return nil
}

// answers returns an error if no program listens on a socket.
func answers(ctx context.Context, socket string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err == nil {
		conn.Close()
	}
	return err
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// forward forwards each connection to one address to another address, until ctx is done.
func forward(ctx context.Context, fromNetwork, from, toNetwork, to string) error {
	if fromNetwork == "unix" {
		if err := os.Remove(from); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	l, err := net.Listen(fromNetwork, from)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", from, err)
	}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				far, err := new(net.Dialer).DialContext(ctx, toNetwork, to)
				if err != nil {
					return
				}
				defer far.Close()
				splice(ctx, conn, far)
			}()
		}
	}()
	return nil
}

// splice copies in both directions until both have ended. It passes the end of one side on to the other.
func splice(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0])
			if w, ok := way[1].(interface{ CloseWrite() error }); ok {
				_ = w.CloseWrite()
			}
		})
	}
	both.Wait()
}

// freePorts returns ports that are currently free.
func freePorts() (ports, error) {
	var p ports
	for _, port := range []*int{&p.api, &p.etcd, &p.etcdPeer, &p.kubelet, &p.edge} {
		l, err := net.Listen("tcp", loopback(0))
		if err != nil {
			return p, err
		}
		defer l.Close() // only after all ports are found, so that they differ
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}
