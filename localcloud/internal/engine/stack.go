// Package engine deploys stacks to a local cloud with Pulumi's real engine. It gives the engine its configuration,
// plugins and environment, and cleans up after runs that were killed.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optdestroy"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optrefresh"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	secret "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Stack is a stack of the program, which the real engine deploys to the local cloud.
type Stack struct {
	*home.Home
	Terminal
	// Compiled waits until the program is compiled. If it is nil, the engine compiles the program.
	Compiled func() error

	name  string
	have  home.Setup
	cloud *home.Running
	envs  []string // the environment of pulumi and kubelogin
	// secrets returns the decrypter for secrets in the state. It is nil until the stack is configured.
	secrets func() secret.Decrypter
	failed  error // of the engine's last run
}

// Terminal shows progress to the user.
type Terminal struct {
	Say            func(format string, args ...any)
	Stdout, Stderr io.Writer // the engine's output
}

// New prepares what the engine needs for a stack: its home with the plugins, a file backend and a passphrase. Call Join
// before the stack uses the local cloud.
func New(h *home.Home, name string, have home.Setup, terminal Terminal) (*Stack, error) {
	s := &Stack{Home: h, Terminal: terminal, name: name, have: have}
	s.Join(&home.Running{}) // for commands that only need the backend
	exe, err := os.Executable()
	if err == nil {
		err = errors.Join(placePrograms(h, have), placeKubernetesPlugin(h, have.Programs[thirdparty.KubernetesPlugin]),
			linkPlugins(h, exe, have.RealPlugins), LinkOthers(h))
	}
	if err != nil {
		return nil, fmt.Errorf("installing the engine and its plugins: %w", err)
	}
	if err := h.EnsurePassphrase(rand.Text); err != nil {
		return nil, err
	}
	return s, errors.Join(os.MkdirAll(h.Path(home.StacksDir), 0o700), os.MkdirAll(h.Path(home.TempDir), 0o700))
}

// Join makes the engine use the running local cloud r.
func (s *Stack) Join(r *home.Running) {
	s.cloud = r
	s.envs = withoutPulumis(ownEnvironment(os.Environ()))
	for _, v := range variables(s.Home, r, s.name) {
		s.envs = append(s.envs, v.name+"="+v.value)
	}
	s.envs = append(s.envs, mark(s.Home))
}

// Configure creates the stack if necessary and gives it the configuration in the program's folder. What the engine adds
// to a stack's configuration, the salt of its secrets, stays in the home.
func (s *Stack) Configure(ctx context.Context, over []string) error {
	file, content, err := GivenConfiguration(s.Home, s.name, over) // check it before the stack is created
	if err != nil {
		return err
	}
	salt, err := s.initialise(ctx)
	if err != nil {
		return err
	}
	if content, err = configuration(s.Program.ProjectName(), file, content, over, salt); err != nil {
		return err
	}
	if err := os.WriteFile(s.ProgramPath(home.ConfigDir, "Pulumi."+s.name+".json"), content, 0o600); err != nil {
		return err
	}
	s.secrets = sync.OnceValue(func() secret.Decrypter { return s.decrypter(salt) })
	go s.secrets() // derive the key while the engine runs, which mostly waits
	return nil
}

// initialise creates the stack and returns the salt of its secrets. It uses a folder of its own, since `pulumi stack
// init` writes the salt beside the Pulumi.yaml that it finds.
func (s *Stack) initialise(ctx context.Context) (string, error) {
	dir := s.ProgramPath(home.InitDir)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(s.ProgramPath(home.ConfigDir), 0o700)); err != nil {
		return "", err
	}
	project := fmt.Appendf(nil, "name: %q\nruntime: go\n", s.Program.ProjectName())
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), project, 0o600); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "Pulumi."+s.name+".yaml")
	if has, err := s.HasStack(s.name); err != nil {
		return "", err
	} else if !has {
		workspace, err := auto.NewLocalWorkspace(ctx, auto.WorkDir(dir), auto.Pulumi(command{s}))
		if err != nil {
			return "", err
		}
		if _, err := auto.NewStack(ctx, s.name, workspace); err != nil {
			return "", s.because(err)
		}
	}
	var made struct {
		Salt string `yaml:"encryptionsalt"`
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) { // the user has created the stack with `pulumi stack init`
		content, err = os.ReadFile(givenFile(s.Home, s.name))
	}
	if err == nil && yaml.Unmarshal(content, &made) == nil && made.Salt == "" {
		err = errors.New("it has no encryptionsalt")
	}
	if err != nil {
		return "", fmt.Errorf("reading the salt of the stack's secrets: %w: %s", err, home.WayOut)
	}
	return made.Salt, yaml.Unmarshal(content, &made)
}

// Up deploys the stack, also after a run that was killed.
func (s *Stack) Up(ctx context.Context) (shown Outputs, err error) {
	if s.Compiled != nil {
		if err := s.Compiled(); err != nil {
			return shown, err
		}
	}
	if err := s.recover(ctx); err != nil {
		return shown, err
	}
	if err := s.checkTypes(ctx); err != nil {
		return shown, err
	}
	stack, err := s.automation(ctx)
	if err != nil {
		return shown, err
	}
	result, err := stack.Up(ctx,
		optup.ConfigFile(s.ConfigFile(s.name)), optup.Color("never"),
		optup.ProgressStreams(s.Stdout), optup.ErrorProgressStreams(s.Stderr))
	if err != nil {
		return shown, s.because(err)
	}
	return s.show(result.Outputs)
}

// Destroy destroys the stack, also after a run that was killed.
func (s *Stack) Destroy(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		return err
	}
	stack, err := s.automation(ctx)
	if err != nil {
		return err
	}
	_, err = stack.Destroy(ctx,
		optdestroy.ConfigFile(s.ConfigFile(s.name)), optdestroy.Color("never"),
		optdestroy.ProgressStreams(s.Stdout), optdestroy.ErrorProgressStreams(s.Stderr))
	return s.because(err)
}

// refresh updates the state from the cloud, for the resources with the given URNs or, without any, for all.
func (s *Stack) refresh(ctx context.Context, urns ...string) error {
	stack, err := s.automation(ctx)
	if err != nil {
		return err
	}
	_, err = stack.Refresh(ctx, optrefresh.Target(urns),
		optrefresh.ConfigFile(s.ConfigFile(s.name)), optrefresh.Color("never"),
		optrefresh.ProgressStreams(s.Stdout), optrefresh.ErrorProgressStreams(s.Stderr))
	return s.because(err)
}
