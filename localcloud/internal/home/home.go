// Package home locates local clouds and reads and writes the files in their folders, their homes.
package home

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Home locates the local cloud of a project folder, whether it is running or not.
type Home struct {
	Project string  // the project folder, which may have a Pulumi.yaml
	Program Program // the contents of that Pulumi.yaml
	Dir     string  // all state, outside of the project folder
	Cache   string  // third-party programs, which all projects share
	// ProgramErr says why the project's Pulumi.yaml cannot be read. A local cloud without a known program can still be
	// inspected, stopped and removed.
	ProgramErr error
}

// notInHome has the characters that are special where the home's path is used: in the URL of the backend, in PATH, in
// the options of an overlay mount and in glob patterns.
const notInHome = `#?%,:\*[`

var notInNames = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// Locate returns the home of a project folder, which may have a Pulumi program. If dir is empty, the home is in the
// default folder. Locate creates nothing.
func Locate(project, dir string) (*Home, error) {
	project, err := filepath.Abs(project)
	if err != nil {
		return nil, err
	}
	program, programErr := readProgram(project)
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the cache folder: %w", err)
	}
	if dir == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if state == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("finding the folder for state: %w", err)
			}
			state = filepath.Join(user, ".local", "state")
		}
		sum := sha256.Sum256([]byte(project))
		name := notInNames.ReplaceAllString(filepath.Base(project), "-")
		dir = filepath.Join(state, "keyvault-aks", name+"-"+hex.EncodeToString(sum[:4]))
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if i := strings.IndexAny(dir, notInHome); i >= 0 {
		return nil, fmt.Errorf("the folder %s has a %q in its path, and none of %s is allowed: choose another with --home",
			dir, dir[i], notInHome)
	}
	// The path of a socket has at most 107 bytes (unix(7)). This is the longest one in the home.
	const longest = "//c/01234567/providers/azure.sock"
	if over := len(dir) + len(longest) - 107; over > 0 {
		return nil, fmt.Errorf("the path %s is %d bytes too long for the sockets in it: choose another folder with --home",
			dir, over)
	}
	return &Home{
		Project:    project,
		Program:    program,
		Dir:        dir,
		Cache:      filepath.Join(cache, "keyvault-aks"),
		ProgramErr: programErr,
	}, nil
}

// Path returns a path in the home.
func (h *Home) Path(elem ...string) string {
	return filepath.Join(append([]string{h.Dir}, elem...)...)
}

// BinDir returns the folder of the programs that users also run themselves.
func (h *Home) BinDir() string { return h.Path(layout.BinDir) }

// ConfigFile returns the file of a stack's configuration. It is a JSON file, unless an older local cloud has written
// YAML.
func (h *Home) ConfigFile(stack string) string {
	older := h.ProgramPath(ConfigDir, "Pulumi."+stack+".yaml")
	file := strings.TrimSuffix(older, ".yaml") + ".json"
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if _, err := os.Stat(older); err == nil {
		return older
	}
	return file
}

// Stacks returns the names of the program's stacks in the backend.
func (h *Home) Stacks() []string {
	if h.ProgramErr != nil {
		return nil
	}
	files, _ := filepath.Glob(h.StackFile("*"))
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return names
}

// OtherStacks returns the stacks of other programs in the backend, each as project/stack. If the program is not known,
// it returns all stacks.
func (h *Home) OtherStacks() []string {
	var names []string
	for _, f := range h.allStacks() {
		project := filepath.Base(filepath.Dir(f))
		if h.ProgramErr != nil || project != h.Program.ProjectName() {
			names = append(names, project+"/"+strings.TrimSuffix(filepath.Base(f), ".json"))
		}
	}
	return names
}

// StackFile returns the file in which the backend keeps a stack's state.
func (h *Home) StackFile(stack string) string {
	return h.Path(StacksDir, ".pulumi", "stacks", h.Program.ProjectName(), stack+".json")
}

// StackLocks returns the folder in which the backend keeps a stack's locks.
func (h *Home) StackLocks(stack string) string {
	return h.Path(StacksDir, ".pulumi", "locks", "organization", h.Program.ProjectName(), stack)
}

// Make creates the home and the cache. Other users get no access to the home, which has credentials in it; if they had
// access before, Make says so. It refuses a home into which other users may have put programs that its owner would run.
func (h *Home) Make(say func(format string, args ...any)) error {
	for _, dir := range []string{h.Dir, h.Cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("creating %s: %w", dir, err)
		}
	}
	info, err := os.Stat(h.Dir)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: choose another folder with --home", h.Dir, owner.Uid)
	}
	if info.Mode().Perm() == 0o700 {
		return nil
	}
	within, err := os.ReadDir(h.Dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 && len(within) > 0 {
		return fmt.Errorf("other users can write to %s (%v) and may have done so: check its contents and run `chmod 700` "+
			"on it, or choose another folder with --home", h.Dir, info.Mode())
	}
	say("%s was accessible to other users (%v); now it is not", h.Dir, info.Mode())
	return os.Chmod(h.Dir, 0o700)
}

// The files and folders in the home.
const (
	LockFile       = "lock" // the serving process holds it and writes its process id into it
	StateFile      = layout.StateFile
	LogFile        = layout.LogFile
	SetupFile      = "setup.json" // a Setup
	AzureDir       = layout.AzureDir
	KubeDir        = layout.KubeDir
	EdgeDir        = "edge"   // the certificate authority
	PulumiDir      = "pulumi" // PULUMI_HOME
	EngineDir      = "engine" // the engine's programs
	StacksDir      = layout.StacksDir
	ConfigDir      = layout.ConfigDir
	InitDir        = "init" // a Pulumi.yaml, and beside it what the engine writes: the salt of each stack's secrets
	PassphraseFile = layout.PassphraseFile
	TempDir        = "tmp"   // the engine's TMPDIR; the Kubernetes provider leaves kubeconfigs there
	CacheDir       = "cache" // of kubectl and kubelogin, with tokens
	KubeconfigFile = layout.KubeconfigFile
)

// format is the version of the formats of a home's files. A local cloud also reads older versions.
const format = 1

// ErrNewer is returned for a home whose format is newer than this program knows.
var ErrNewer = errors.New("was created by a newer local cloud")

// Setup is what `up` and `start` prepare for the serving process.
type Setup struct {
	Format   int // set by SaveSetup
	Programs thirdparty.Programs
	Node     kube.Node
	// RealPlugins maps the names of the real plugins that the engine runs to their folders. If it is empty, the engine
	// runs stand-ins.
	RealPlugins map[string]string `json:",omitempty"`
	Serving
}

// Serving has the options of `up` and `start` that take effect when the local cloud starts.
type Serving struct {
	Record string      `json:",omitempty"` // folder where requests to Resource Manager are recorded
	Faults faults.Plan `json:",omitzero"`  // requests that fail
	Times  string      `json:",omitempty"` // profile of how long operations take
}

// Running describes the serving process to other commands.
type Running = layout.Running

// ErrNotRunning is returned if no local cloud is running.
var ErrNotRunning = errors.New(
	"the local cloud is not running: start it with `localcloud start`, or with `localcloud up` in a program's folder",
)

// ErrStarting is also returned while clusters of the previous run restart.
var ErrStarting = errors.New("the local cloud is starting")

// Holder returns the process id of the serving process, or ErrNotRunning. The process is alive if it holds the lock,
// and only the lock file names it reliably: other files may be from a killed process, whose id may have been reused.
func (h *Home) Holder() (int, error) {
	if _, err := os.Stat(h.Path(LockFile)); err != nil {
		return 0, ErrNotRunning
	}
	lock := flock.New(h.Path(LockFile))
	free, err := lock.TryRLock() // a shared lock, so that two calls do not disturb each other
	if err != nil {
		return 0, fmt.Errorf("checking whether the local cloud is running: %w", err)
	}
	if free {
		return 0, errors.Join(ErrNotRunning, lock.Unlock())
	}
	content, err := os.ReadFile(h.Path(LockFile))
	if err != nil {
		return 0, fmt.Errorf("reading the local cloud's process id: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 {
		return 0, ErrStarting
	}
	return pid, nil
}

// Running returns the description of the serving process, or ErrNotRunning. With ErrStarting it returns what that
// process has published so far, or nil.
func (h *Home) Running() (*Running, error) {
	pid, err := h.Holder()
	if err != nil {
		return nil, err
	}
	var r Running
	if err := readJSON(h.Path(StateFile), &r); err != nil || r.PID != pid {
		return nil, ErrStarting // the file is from the previous process
	}
	if !r.Settled {
		return &r, ErrStarting
	}
	return &r, nil
}

// SaveRunning publishes the description of the serving process.
func (h *Home) SaveRunning(r Running) error { return writeJSON(h.Path(StateFile), r) }

// LastRunning returns the description of the current or the previous serving process.
func (h *Home) LastRunning() (Running, error) {
	var r Running
	err := readJSON(h.Path(StateFile), &r)
	return r, err
}

// Setup returns what the last `up` or `start` prepared.
func (h *Home) Setup() (Setup, error) {
	var s Setup
	err := readJSON(h.Path(SetupFile), &s)
	if err == nil && s.Format > format {
		err = fmt.Errorf("the state in %s %w, in format %d, but this localcloud supports formats up to %d: use the newer "+
			"localcloud or another --home; `localcloud down --skip-destroy` removes the state",
			h.Dir, ErrNewer, s.Format, format)
	}
	return s, err
}

// SaveSetup saves s for the serving process.
func (h *Home) SaveSetup(s Setup) error {
	s.Format = format
	return writeJSON(h.Path(SetupFile), s)
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

// writeJSON replaces a file atomically. Only the owner can read it.
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

// Alone keeps other commands from changing the local cloud until the returned function is called.
func (h *Home) Alone() (func(), error) {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating %s: %w", h.Dir, err)
	}
	lock := flock.New(h.Dir + ".lock") // beside the home, which down removes
	if free, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("locking %s: %w", h.Dir, err)
	} else if !free {
		return nil, fmt.Errorf("another command is changing %s: wait until it ends", h.Dir)
	}
	return func() { _ = lock.Unlock() }, nil
}

// Remove removes all state and the lock of Alone.
func (h *Home) Remove() error { return errors.Join(os.RemoveAll(h.Dir), os.Remove(h.Dir+".lock")) }
