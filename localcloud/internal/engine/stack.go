// Package engine brings up stacks in a local cloud with the real engine of Pulumi: it gives that its configuration, its
// plugins and its environment, and puts right what a run that was killed left.
package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	secret "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"gopkg.in/yaml.v3"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// Stack is one stack of the program, brought up in the local cloud by the real engine.
type Stack struct {
	*home.Home
	Terminal
	// Compiled waits until the program is compiled; nil: nobody compiles it ahead of the engine.
	Compiled func() error

	name  string
	have  home.Setup
	cloud *home.Running
	envs  []string // what pulumi runs with, and kubelogin
	// secrets decrypts those in the state.
	secrets func() secret.Decrypter
}

// Terminal is where the one who waits is told what happens.
type Terminal struct {
	Say            func(format string, args ...any)
	Stdout, Stderr io.Writer // what the engine says
}

// New readies what the engine needs for a stack: its home with the plugins, a file backend, a passphrase and, once it has joined
// the one that serves, the way to that.
func New(h *home.Home, name string, have home.Setup, terminal Terminal) (*Stack, error) {
	s := &Stack{Home: h, Terminal: terminal, name: name, have: have}
	s.Join(&home.Running{}) // for what the engine does with its backend alone
	exe, err := os.Executable()
	if err == nil {
		err = errors.Join(placePrograms(h, have), placeKubernetesPlugin(h, have.Programs[thirdparty.KubernetesPlugin]),
			linkPlugins(h, exe, have.RealPlugins))
	}
	if err != nil {
		return nil, fmt.Errorf("giving the engine its plugins: %w", err)
	}
	if err := h.EnsurePassphrase(rand.Text); err != nil {
		return nil, err
	}
	return s, errors.Join(os.MkdirAll(h.Path(home.StacksDir), 0o700), os.MkdirAll(h.Path(home.TempDir), 0o700))
}

// Join has the engine use the local cloud that r says is running.
func (s *Stack) Join(r *home.Running) {
	s.cloud = r
	s.envs = withoutPulumis(ownEnvironment(os.Environ()))
	for _, v := range variables(s.Home, r, s.name) {
		s.envs = append(s.envs, v.name+"="+v.value)
	}
	s.envs = append(s.envs, mark(s.Home))
}

// Configure makes the stack where there is none yet and gives it the configuration in the checkout. What the engine
// adds to a stack's configuration, the salt of its secrets, stays in the home, so that the checkout stays clean.
func (s *Stack) Configure(ctx context.Context, over []string) error {
	file, content, err := GivenConfiguration(s.Home, s.name, over) // before a stack is made for it
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
	go s.secrets() // beside the engine, which waits more than it works
	return nil
}

// initialise makes the stack and returns the salt of its secrets. It runs in a folder of its own since `pulumi stack
// init` writes the salt beside the Pulumi.yaml that it finds.
func (s *Stack) initialise(ctx context.Context) (string, error) {
	dir := s.ProgramPath(home.InitDir)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(s.ProgramPath(home.ConfigDir), 0o700)); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), fmt.Appendf(nil, "name: %q\nruntime: go\n", s.Program.ProjectName()), 0o600); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "Pulumi."+s.name+".yaml")
	if has, err := s.HasStack(s.name); err != nil {
		return "", err
	} else if !has {
		if _, err := s.pulumi(ctx, "stack", "init", s.name, "--cwd", dir); err != nil {
			return "", err
		}
	}
	var made struct {
		Salt string `yaml:"encryptionsalt"`
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("finding the salt of the stack's secrets: %w: %s", err, home.WayOut)
	}
	return made.Salt, yaml.Unmarshal(content, &made)
}

// Up brings the stack up, also after a run that was killed.
func (s *Stack) Up(ctx context.Context) (shown Outputs, err error) {
	if s.Compiled != nil {
		if err := s.Compiled(); err != nil {
			return shown, err
		}
	}
	if err := s.recover(ctx); err != nil {
		return shown, err
	}
	if err := s.stream(ctx, "up", "--yes", "--skip-preview", "--suppress-permalink=true"); err != nil {
		return shown, fmt.Errorf("pulumi up: %w", err)
	}
	return s.Outputs(ctx)
}

// Destroy destroys the stack, also after a run that was killed.
func (s *Stack) Destroy(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		return err
	}
	if err := s.stream(ctx, "destroy", "--yes", "--skip-preview", "--suppress-permalink=true"); err != nil {
		return fmt.Errorf("pulumi destroy: %w", err)
	}
	return nil
}

// pulumi runs the engine and returns what it prints.
func (s *Stack) pulumi(ctx context.Context, args ...string) ([]byte, error) {
	cmd := s.engine(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("pulumi %s: %w\n%s", strings.Join(args[:min(2, len(args))], " "), err, errs.String())
	}
	return out.Bytes(), nil
}

// stream runs the engine and shows what it says. While it waits it says a dot a second.
func (s *Stack) stream(ctx context.Context, args ...string) error {
	cmd := s.engine(ctx, append(args, "--color=never", "--diff=false")...)
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	return cmd.Run()
}

func (s *Stack) engine(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.BinDir(), thirdparty.Pulumi), append(args, "--non-interactive")...)
	cmd.Dir = s.Project
	cmd.Env = s.envs
	if args[0] != "stack" || args[1] != "init" {
		cmd.Args = append(cmd.Args, "--stack", s.name)
	}
	// The engine ends what it is doing and keeps its state at the first interrupt. The process group is its own, so that
	// one Ctrl-C is one interrupt and the second is not taken for impatience.
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	return cmd
}
