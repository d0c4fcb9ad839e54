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

// Home is the place of a local cloud, whether it is running or not. [Start] creates one. Tests that run the command
// localcloud themselves fill in the fields.
type Home struct {
	// Command is the path of the command localcloud.
	Command string
	// Dir is the folder of the cloud's state. Its path must be short enough for the sockets in it: at most 74 bytes.
	Dir string
	// Project is the folder of the Pulumi program that `localcloud up` deploys, or any other folder.
	Project string
}

// The files and folders in a home that tests may read.
const (
	StateFile      = layout.StateFile      // how to reach the cloud, see [Home.Running]
	LogFile        = layout.LogFile        // the cloud's log, with a line for each request to Azure
	ClustersDir    = layout.KubeDir        // a folder for each cluster
	AzureDir       = layout.AzureDir       // Azure's resources
	StacksDir      = layout.StacksDir      // the engine's backend
	ConfigDir      = layout.ConfigDir      // the configuration of stacks that `localcloud up` has deployed
	KubeconfigFile = layout.KubeconfigFile // of the cluster in the last stack that `localcloud up` has deployed
)

// Running tells how to reach a running local cloud.
type Running struct {
	// PID is the serving process.
	PID int
	// Proxy is the address, as host:port, of the HTTPS proxy for clients of Azure and of clusters.
	Proxy string
	// CAFile is a PEM file with the CA certificate that clients must trust.
	CAFile string
	// Credentials are those of the subscription's owner.
	Credentials Credentials
}

// Credentials are a service principal's credentials.
type Credentials = layout.Credentials

// Localcloud returns a command that runs localcloud with args for this cloud.
func (h *Home) Localcloud(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, h.Command, append([]string{"--project", h.Project, "--home", h.Dir}, args...)...)
}

// Path returns the path of a file or folder in the home.
func (h *Home) Path(elem ...string) string { return filepath.Join(append([]string{h.Dir}, elem...)...) }

// Running returns how to reach the cloud that is running or, if none is, how to reach the last one that was.
func (h *Home) Running() (Running, error) {
	var told layout.Running
	content, err := os.ReadFile(h.Path(StateFile))
	if err == nil {
		err = json.Unmarshal(content, &told)
	}
	if err != nil {
		return Running{}, fmt.Errorf("reading how to reach the local cloud: %w", err)
	}
	return Running{PID: told.PID, Proxy: told.Proxy, CAFile: told.CAFile, Credentials: told.Credentials}, nil
}

// Environ returns the environment for programs that use the cloud. The cloud must be running.
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

// Tool returns the path of the cloud's own pulumi, kubectl or kubelogin. The last two are downloaded or built when they
// first run.
func (h *Home) Tool(name string) string { return h.Path(layout.BinDir, name) }

// Program returns a command that runs a program with an environment of [Home.Environ]: the cloud's own program of that
// name or, if there is none, one on PATH. When ctx is done, the program is interrupted, and killed a minute later. It
// has a process group of its own: Ctrl-C interrupts the whole group of a test, and the engine would take that as a
// second interrupt and give up.
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

// Logs returns the last bytes, at most most of each, of the logs of the cloud and of its clusters' supervisors, with
// the names of the files. The logs contain no secrets.
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

// HTTPClient returns a client that reaches only the cloud and trusts its certificates.
func (r Running) HTTPClient() (*http.Client, error) {
	return layout.Running{Proxy: r.Proxy, CAFile: r.CAFile}.HTTPClient()
}
