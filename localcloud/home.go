package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// localCloud is the local cloud of one checkout: where it is, whether it runs or not.
type localCloud struct {
	project string // the folder with Pulumi.yaml
	home    string // all state, outside the checkout
	cache   string // third-party programs, shared between checkouts
	way     thirdparty.Way
}

// notInHome would end or change what the home's path is part of: the URL of the backend, PATH, the options of an overlay mount.
const notInHome = `#?%,:\`

var notInNames = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// locate finds the local cloud of a project. Nothing is made.
func locate(project, home string) (*localCloud, error) {
	project, err := filepath.Abs(project)
	if err != nil {
		return nil, err
	}
	for _, need := range []string{"Pulumi.yaml", filepath.Join("localcloud", "thirdparty")} {
		if _, err := os.Stat(filepath.Join(project, need)); err != nil {
			return nil, fmt.Errorf("%s is no checkout of this repository (no %s): run it there, or name the folder with --project", project, need)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the cache: %w", err)
	}
	if home == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if state == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("finding a folder for state: %w", err)
			}
			state = filepath.Join(user, ".local", "state")
		}
		sum := sha256.Sum256([]byte(project))
		name := notInNames.ReplaceAllString(filepath.Base(project), "-")
		home = filepath.Join(state, "keyvault-aks", name+"-"+hex.EncodeToString(sum[:4]))
	}
	if home, err = filepath.Abs(home); err != nil {
		return nil, err
	}
	if i := strings.IndexAny(home, notInHome); i >= 0 {
		return nil, fmt.Errorf("the folder %s has a %q in its path, which may have none of %s: choose another with --home", home, home[i], notInHome)
	}
	// Paths of sockets have at most 107 bytes (unix(7)); this is the longest in the home.
	const longest = "//c/01234567/providers/azure.sock"
	if over := len(home) + len(longest) - 107; over > 0 {
		return nil, fmt.Errorf("the folder %s is %d bytes too long for the sockets in it: choose another with --home", home, over)
	}
	return &localCloud{project: project, home: home, cache: filepath.Join(cache, "keyvault-aks")}, nil
}

// path is one in the local cloud's home.
func (l *localCloud) path(elem ...string) string {
	return filepath.Join(append([]string{l.home}, elem...)...)
}

// The files in the home.
const (
	lockFile       = "lock"       // held by the one that serves, with its process id in it
	stateFile      = "cloud.json" // a running
	logFile        = "cloud.log"  // what the one that serves did
	setupFile      = "setup.json" // a setup
	azureDir       = "azure"      // Azure's resources
	kubeDir        = "c"          // clusters, a folder each; short, for the paths of sockets
	edgeDir        = "edge"       // the certificate authority
	pulumiDir      = "pulumi"     // PULUMI_HOME
	engineDir      = "engine"     // the engine's programs
	stacksDir      = "stacks"     // the file backend
	configDir      = "config"     // configuration of stacks, with what the engine adds to it
	phrase         = "passphrase" // of the stacks' secrets
	tempDir        = "tmp"        // the engine's; the Kubernetes provider leaves kubeconfigs there
	cacheDir       = "cache"      // of kubectl and kubelogin: tokens too
	kubeconfigFile = "kubeconfig" // of the cluster of the stack that came up last
)

// setup is what `up` found or made for the one that serves.
type setup struct {
	Programs thirdparty.Programs
	Node     kube.Node
	// RealPlugins are the folders of the real plugins that the engine runs, by their names. Without, it runs stand-ins.
	RealPlugins map[string]string `json:",omitempty"`
	serving
}

// serving are the options of `up` for the one that serves. A local cloud that serves keeps those that it began with.
type serving struct {
	Record string      `json:",omitempty"` // folder that is given what Resource Manager is sent
	Faults faults.Plan `json:",omitzero"`  // what fails
	Times  string      `json:",omitempty"` // profile of the times that operations take
}

// running is what the one that serves tells the other commands.
type running struct {
	PID         int
	Proxy       string // host:port of the edge
	CAFile      string
	Credentials azure.Credentials
	Started     time.Time
	Build       string   // of the program that serves
	Settled     bool     // the clusters that the last run left are back
	Failed      []string `json:",omitempty"` // but these, and why
}

// build tells builds of this program apart, by its content: go build gives a file that it leaves as it is a new time.
func build() string {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	file, err := os.Open(program)
	if err != nil {
		return ""
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

var errNotRunning = errors.New("the local cloud does not run: `make up` starts it")

// errStarting is while the clusters of the last run are not back, too.
var errStarting = errors.New("the local cloud is just starting")

// holder is the process id of the one that serves, or errNotRunning. The lock says whether it lives, and only what is in the lock
// says who it is: any other file may be of one that was killed, whose process id may be somebody else's by now.
func (l *localCloud) holder() (int, error) {
	if _, err := os.Stat(l.path(lockFile)); err != nil {
		return 0, errNotRunning
	}
	lock := flock.New(l.path(lockFile))
	free, err := lock.TryRLock() // two that look are not in each other's way
	if err != nil {
		return 0, fmt.Errorf("looking whether the local cloud runs: %w", err)
	}
	if free {
		return 0, errors.Join(errNotRunning, lock.Unlock())
	}
	content, err := os.ReadFile(l.path(lockFile))
	if err != nil {
		return 0, fmt.Errorf("looking who runs the local cloud: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 {
		return 0, errStarting
	}
	return pid, nil
}

// running returns what the one that serves has told, errNotRunning, or errStarting, then with what it has told so far, if
// anything.
func (l *localCloud) running() (*running, error) {
	pid, err := l.holder()
	if err != nil {
		return nil, err
	}
	var r running
	if err := readJSON(l.path(stateFile), &r); err != nil || r.PID != pid {
		return nil, errStarting // what is there is of the last one
	}
	if !r.Settled {
		return &r, errStarting
	}
	return &r, nil
}

func readJSON(path string, v any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// writeJSON leaves a whole file or the old one, readable by its owner only.
func writeJSON(path string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// engineMark is in the environment of the engine and its plugins, and in nothing that a person starts.
func (l *localCloud) engineMark() string { return "KEYVAULT_AKS_ENGINE=" + l.home }

// alone keeps other commands that change the local cloud out until the returned function is called.
func (l *localCloud) alone() (func(), error) {
	if err := os.MkdirAll(l.home, 0o700); err != nil {
		return nil, fmt.Errorf("making %s: %w", l.home, err)
	}
	lock := flock.New(l.home + ".lock") // beside the home, which down removes
	if free, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("locking %s: %w", l.home, err)
	} else if !free {
		return nil, fmt.Errorf("another `up` or `down` of %s is at work: wait for it", l.home)
	}
	return func() { _ = lock.Unlock() }, nil
}
