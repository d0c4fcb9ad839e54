// Package home knows where a local cloud is: the folder with all of its state, and what the files in it are called
// and have.
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

// Home is where the local cloud of one folder is, whether it runs or not.
type Home struct {
	Project string  // the folder, which may have a Pulumi.yaml
	Program Program // what is in that
	Dir     string  // all state, outside of the folder
	Cache   string  // third-party programs, shared between folders
	// ProgramErr is why Program is not known though there is a Pulumi.yaml. A local cloud is there all the same, and can
	// be looked at, ended and removed.
	ProgramErr error
}

// notInHome would end or change what the home's path is part of: the URL of the backend, PATH, the options of an
// overlay mount, a pattern of files.
const notInHome = `#?%,:\*[`

var notInNames = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// Locate finds the local cloud of a folder, which has a Pulumi program or none. Without a folder for its state it is
// the default one. Nothing is made.
func Locate(project, dir string) (*Home, error) {
	project, err := filepath.Abs(project)
	if err != nil {
		return nil, err
	}
	program, programErr := readProgram(project)
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the cache: %w", err)
	}
	if dir == "" {
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
		dir = filepath.Join(state, "keyvault-aks", name+"-"+hex.EncodeToString(sum[:4]))
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if i := strings.IndexAny(dir, notInHome); i >= 0 {
		return nil, fmt.Errorf(
			"the folder %s has a %q in its path, which may have none of %s: choose another with --home",
			dir,
			dir[i],
			notInHome,
		)
	}
	// Paths of sockets have at most 107 bytes (unix(7)); this is the longest in the home.
	const longest = "//c/01234567/providers/azure.sock"
	if over := len(dir) + len(longest) - 107; over > 0 {
		return nil, fmt.Errorf(
			"the folder %s is %d bytes too long for the sockets in it: choose another with --home",
			dir,
			over,
		)
	}
	return &Home{
		Project:    project,
		Program:    program,
		Dir:        dir,
		Cache:      filepath.Join(cache, "keyvault-aks"),
		ProgramErr: programErr,
	}, nil
}

// Path returns one in the home.
func (h *Home) Path(elem ...string) string {
	return filepath.Join(append([]string{h.Dir}, elem...)...)
}

// BinDir returns the folder of the programs that a person uses too.
func (h *Home) BinDir() string { return h.Path(layout.BinDir) }

// ConfigFile returns that of a stack's configuration, in JSON unless only an older local cloud has written it.
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

// Stacks returns the names of the program's stacks that the backend has.
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

// OtherStacks returns the names of the stacks of other programs that the backend has, each as project/stack. Where the
// program is not known, all are.
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

// StackFile returns where the file backend has a stack's state.
func (h *Home) StackFile(stack string) string {
	return h.Path(StacksDir, ".pulumi", "stacks", h.Program.ProjectName(), stack+".json")
}

// StackLocks returns the folder in which the file backend has a stack's locks.
func (h *Home) StackLocks(stack string) string {
	return h.Path(StacksDir, ".pulumi", "locks", "organization", h.Program.ProjectName(), stack)
}

// Make makes the folders that are missing. It keeps others out of the home, in which there are credentials, and says
// so where they were not. A home that others can have written into is refused: its owner would run what they have put
// there.
func (h *Home) Make(say func(format string, args ...any)) error {
	for _, dir := range []string{h.Dir, h.Cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
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
		return fmt.Errorf(
			"others can write into %s (%v), and may have: look what is in it, then `chmod 700` it, or choose another folder with --home",
			h.Dir,
			info.Mode(),
		)
	}
	say("%s was open to others (%v): it is not any more", h.Dir, info.Mode())
	return os.Chmod(h.Dir, 0o700)
}

// The files and folders in the home.
const (
	LockFile       = "lock" // held by the one that serves, with its process id in it
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
	InitDir        = "init" // what the engine has made beside a Pulumi.yaml: the salt of each stack's secrets
	PassphraseFile = layout.PassphraseFile
	TempDir        = "tmp"   // the engine's; the Kubernetes provider leaves kubeconfigs there
	CacheDir       = "cache" // of kubectl and kubelogin: tokens too
	KubeconfigFile = layout.KubeconfigFile
)

// format is that of the files in a home. A local cloud takes over a home with an older one.
const format = 1

// ErrNewer is where the files in a home are in a format that is not known here yet.
var ErrNewer = errors.New("is of a newer local cloud")

// Setup is what `up` found or made for the one that serves.
type Setup struct {
	Format   int // SaveSetup sets it
	Programs thirdparty.Programs
	Node     kube.Node
	// RealPlugins are the folders of the real plugins that the engine runs, by their names. Without, it runs stand-ins.
	RealPlugins map[string]string `json:",omitempty"`
	Serving
}

// Serving are the options of `up` for the one that serves. A local cloud that serves keeps those that it began with.
type Serving struct {
	Record string      `json:",omitempty"` // folder that is given what Resource Manager is sent
	Faults faults.Plan `json:",omitzero"`  // what fails
	Times  string      `json:",omitempty"` // profile of the times that operations take
}

// Running is what the one that serves tells the other commands.
type Running = layout.Running

// ErrNotRunning is where nobody serves.
var ErrNotRunning = errors.New(
	"the local cloud does not run: `localcloud start`, or `localcloud up` with a program, starts it",
)

// ErrStarting is while the clusters of the last run are not back, too.
var ErrStarting = errors.New("the local cloud is just starting")

// Holder returns the process id of the one that serves, or ErrNotRunning. The lock says whether it lives, and only
// what is in the lock says who it is: any other file may be of one that was killed, whose process id may be somebody
// else's by now.
func (h *Home) Holder() (int, error) {
	if _, err := os.Stat(h.Path(LockFile)); err != nil {
		return 0, ErrNotRunning
	}
	lock := flock.New(h.Path(LockFile))
	free, err := lock.TryRLock() // two that look are not in each other's way
	if err != nil {
		return 0, fmt.Errorf("looking whether the local cloud runs: %w", err)
	}
	if free {
		return 0, errors.Join(ErrNotRunning, lock.Unlock())
	}
	content, err := os.ReadFile(h.Path(LockFile))
	if err != nil {
		return 0, fmt.Errorf("looking who runs the local cloud: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 {
		return 0, ErrStarting
	}
	return pid, nil
}

// Running returns what the one that serves has told, ErrNotRunning, or ErrStarting, then with what it has told so
// far, if anything.
func (h *Home) Running() (*Running, error) {
	pid, err := h.Holder()
	if err != nil {
		return nil, err
	}
	var r Running
	if err := readJSON(h.Path(StateFile), &r); err != nil || r.PID != pid {
		return nil, ErrStarting // what is there is of the last one
	}
	if !r.Settled {
		return &r, ErrStarting
	}
	return &r, nil
}

// SaveRunning has other commands know what the one that serves tells.
func (h *Home) SaveRunning(r Running) error { return writeJSON(h.Path(StateFile), r) }

// LastRunning returns what the one that serves has told, or the last one that did, whether it still runs or not.
func (h *Home) LastRunning() (Running, error) {
	var r Running
	err := readJSON(h.Path(StateFile), &r)
	return r, err
}

// Setup returns what the last `up` has left for the one that serves.
func (h *Home) Setup() (Setup, error) {
	var s Setup
	err := readJSON(h.Path(SetupFile), &s)
	if err == nil && s.Format > format {
		err = fmt.Errorf(
			"what is in %s %w, in format %d, of which this one knows those up to %d: use that localcloud, or another --home; "+
				"`localcloud down --skip-destroy` removes what there is",
			h.Dir,
			ErrNewer,
			s.Format,
			format,
		)
	}
	return s, err
}

// SaveSetup leaves it for the one that serves.
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

// Alone keeps other commands that change the local cloud out until the returned function is called.
func (h *Home) Alone() (func(), error) {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making %s: %w", h.Dir, err)
	}
	lock := flock.New(h.Dir + ".lock") // beside the home, which down removes
	if free, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("locking %s: %w", h.Dir, err)
	} else if !free {
		return nil, fmt.Errorf("another command that changes %s is at work: wait for it", h.Dir)
	}
	return func() { _ = lock.Unlock() }, nil
}

// Remove removes all state, and the lock of Alone.
func (h *Home) Remove() error { return errors.Join(os.RemoveAll(h.Dir), os.Remove(h.Dir+".lock")) }
