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

// automation returns the stack as one of Pulumi's Automation API.
func (s *Stack) automation(ctx context.Context) (auto.Stack, error) {
	workspace, err := auto.NewLocalWorkspace(ctx, auto.WorkDir(s.Project), auto.Pulumi(command{s}))
	if err != nil {
		return auto.Stack{}, err
	}
	return auto.SelectStack(ctx, s.name, workspace)
}

// command runs the engine for the Automation API. The API's own command kills the engine ten seconds after an
// interrupt, passes all of this process's environment to it, and does not end it together with this process.
type command struct{ *Stack }

// Version returns the engine's version, which is the SDK's.
func (command) Version() semver.Version { return sdk.Version }

// Run runs the engine and returns its output. If there are writers, the output goes to the first of them instead.
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
	// At the first interrupt the engine finishes its current operations and saves its state; at the second it gives up.
	// In a process group of its own it gets only one interrupt for one Ctrl-C.
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

// known answers additional questions of the API without the engine, which needs 0.4 s for each. Otherwise an up that
// changes nothing would take 3.2 s instead of 1.3 s.
func (c command) known(ctx context.Context, args []string) (answer string, is bool) {
	switch strings.Join(args[:min(2, len(args))], " ") {
	case "stack select": // not needed: PULUMI_STACK and --stack name the stack
		return "", true
	case "stack history": // only for a summary that is not used; it would fail, since it has no --config-file
		return "[]", true
	case "stack output":
		saved, err := c.savedOutputs(ctx, slices.Contains(args, "--show-secrets"))
		return string(saved), err == nil // on an error, ask the engine
	}
	return "", false
}

// because returns why the engine failed. The errors of the Automation API repeat the engine's whole output, which has
// already been shown.
func (s *Stack) because(err error) error {
	if err != nil && s.failed != nil {
		return s.failed
	}
	return err
}
