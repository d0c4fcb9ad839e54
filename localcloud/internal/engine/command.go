package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/sdk/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/auto"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// automation returns the stack as Pulumi's Automation API has it.
func (s *Stack) automation(ctx context.Context) (auto.Stack, error) {
	workspace, err := auto.NewLocalWorkspace(ctx, auto.WorkDir(s.Project), auto.Pulumi(command{s}))
	if err != nil {
		return auto.Stack{}, err
	}
	return auto.SelectStack(ctx, s.name, workspace)
}

// command is the engine, as the Automation API runs it for a stack. The API's own is killed ten seconds after an
// interrupt, whatever it is doing, does not end with this process, and has all of its environment.
type command struct{ *Stack }

// Version is that of the engine that is built, which is that of the SDK.
func (command) Version() semver.Version { return sdk.Version }

// Run runs the engine and returns what it prints, or shows it, to the first of the writers.
func (c command) Run(
	ctx context.Context, dir string, stdin io.Reader, show, showErrors []io.Writer, env []string, args ...string,
) (stdout, stderr string, code int, err error) {
	c.failed = nil
	if answer, is := c.known(ctx, args); is {
		return answer, "", 0, nil
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(c.BinDir(), thirdparty.Pulumi), append(args, "--non-interactive")...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, slices.Concat(c.envs, env), stdin, &out, &errs
	if len(show) > 0 {
		cmd.Stdout, cmd.Stderr = show[0], showErrors[0]
	}
	// The engine ends what it is doing and keeps its state at the first interrupt. The process group is its own, so
	// that one Ctrl-C is one interrupt and the second is not taken for impatience.
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	if err = cmd.Run(); err != nil {
		name := args[0]
		if name == "stack" {
			name = strings.Join(args[:2], " ")
		}
		c.failed = fmt.Errorf("pulumi %s: %w", name, err)
		if len(show) == 0 {
			c.failed = fmt.Errorf("%w\n%s", c.failed, errs.String())
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode(), err
}

// known answers what the API asks beside what it is called for, each time with a process of 0.4 s: an up that changes
// nothing would take 3.2 s instead of 1.3 s.
func (c command) known(ctx context.Context, args []string) (answer string, is bool) {
	switch strings.Join(args[:min(2, len(args))], " ") {
	case "stack select": // whose effect nobody needs: PULUMI_STACK and --stack name the stack
		return "", true
	case "stack history": // for a summary of the run, which nobody looks at. It would fail: it takes no --config-file
		return "[]", true
	case "stack output":
		saved, err := c.savedOutputs(ctx, slices.Contains(args, "--show-secrets"))
		return string(saved), err == nil // else the engine knows better
	}
	return "", false
}

// because returns why the engine failed. The errors of the Automation API have all that the engine said, which was
// shown.
func (s *Stack) because(err error) error {
	if err != nil && s.failed != nil {
		return s.failed
	}
	return err
}
