package localcloudtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

// Home is where a local cloud is, whether it runs or not. [Start] makes one. Tests that run the command's commands
// themselves fill in the fields.
type Home struct {
	// Command is the path of the command localcloud.
	Command string
	// Dir is the folder of all its state, of a path short enough for sockets in it.
	Dir string
	// Project is the folder of the Pulumi program that `localcloud up` brings up, or any other.
	Project string
}

// The files and folders in a home that tests look into.
const (
	StateFile      = layout.StateFile      // how it is reached: see [Home.Running]
	LogFile        = layout.LogFile        // a line for each request to Azure, and what the cloud did
	ClustersDir    = layout.KubeDir        // a folder for each cluster
	AzureDir       = layout.AzureDir       // Azure's resources
	StacksDir      = layout.StacksDir      // the engine's backend
	ConfigDir      = layout.ConfigDir      // the configuration of stacks that `localcloud up` has brought up
	KubeconfigFile = layout.KubeconfigFile // of the cluster of the stack that `localcloud up` has brought up last
)

// Running says how a local cloud is reached.
type Running struct {
	// PID is the process that serves.
	PID int
	// Proxy is its address, host:port, which clients of Azure and of clusters take as their proxy.
	Proxy string
	// CAFile has the certificate of the authority that they trust, in PEM.
	CAFile string
	// Credentials are of the owner of the subscription.
	Credentials Credentials
}

// Credentials are of a service principal.
type Credentials = layout.Credentials

// Localcloud returns the command localcloud for this cloud.
func (h *Home) Localcloud(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, h.Command, append([]string{"--project", h.Project, "--home", h.Dir}, args...)...)
}

// Path returns the path of a file or folder in the home.
func (h *Home) Path(elem ...string) string { return filepath.Join(append([]string{h.Dir}, elem...)...) }

// Running returns what the cloud that runs, or the one that ran last, says of itself.
func (h *Home) Running() (Running, error) {
	var told layout.Running
	content, err := os.ReadFile(h.Path(StateFile))
	if err == nil {
		err = json.Unmarshal(content, &told)
	}
	if err != nil {
		return Running{}, fmt.Errorf("looking how the local cloud is reached: %w", err)
	}
	return Running{PID: told.PID, Proxy: told.Proxy, CAFile: told.CAFile, Credentials: told.Credentials}, nil
}

// Environ returns the environment of programs that use the cloud, which must run.
func (h *Home) Environ(ctx context.Context) (env []string, err error) {
	printed, err := h.Localcloud(ctx, "env", "--json").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("localcloud env: %w\n%s", err, exit.Stderr)
	}
	if err == nil {
		err = json.Unmarshal(printed, &env)
	}
	if err != nil {
		return nil, fmt.Errorf("localcloud env: %w", err)
	}
	return env, nil
}

// Tool returns the path of a program of the cloud's own: pulumi, kubectl or kubelogin. The last two are got when they
// are first run.
func (h *Home) Tool(name string) string { return h.Path(layout.BinDir, name) }

// Program returns a program with an environment of [Home.Environ]: one of the cloud's own or, where there is none of
// that name, one on PATH. It is in a process group of its own, for whoever interrupts a test with Ctrl-C interrupts its
// group, and the engine takes a second interrupt for impatience. It is interrupted when ctx is done, and killed a
// minute later.
func (h *Home) Program(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	if tool := h.Tool(name); !strings.ContainsRune(name, filepath.Separator) && exists(tool) {
		name = tool
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	return cmd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Logs returns the ends of the logs of the cloud and of its clusters' supervisors, each of at most so many bytes, under
// the names of their files. They hold no secrets.
func (h *Home) Logs(most int) string {
	var all strings.Builder
	files, _ := filepath.Glob(h.Path(ClustersDir, "*", "*.log"))
	for _, file := range append(files, h.Path(LogFile)) {
		content, _ := os.ReadFile(file)
		name, _ := filepath.Rel(h.Dir, file)
		fmt.Fprintf(&all, "%s:\n%s\n", name, content[max(0, len(content)-most):])
	}
	return all.String()
}

// HTTPClient returns a client that reaches the cloud and nothing else, and trusts its certificates.
func (r Running) HTTPClient() (*http.Client, error) {
	return layout.Running{Proxy: r.Proxy, CAFile: r.CAFile}.HTTPClient()
}
