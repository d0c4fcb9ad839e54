package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// cloud is a local cloud of the checkout, separate from the one of `make up`. Its home must be a short path, because
// the paths of sockets in it are limited in length.
type cloud struct{ checkout, home string }

// localcloud returns the cloud as package localcloudtest shows it.
func (c cloud) localcloud() *localcloudtest.Home {
	return &localcloudtest.Home{Command: filepath.Join(c.checkout, "bin", "localcloud"), Dir: c.home, Project: c.checkout}
}

// command returns a command of the local cloud, which the context's end interrupts, so that it can clean up.
func (c cloud) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := c.localcloud().Localcloud(ctx, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// up brings a stack up, by default dev.
func (c cloud) up(ctx context.Context, args ...string) error {
	if out, err := c.command(ctx, append([]string{"up"}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("up: %w\n%s", err, out)
	}
	return nil
}

// down removes the cloud. It has its own process group, so that Ctrl-C does not interrupt it.
func (c cloud) down() error {
	cmd := c.command(context.Background(), "down")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("down: %w\n%s", err, out)
	}
	return nil
}

// program returns a command of one of the cloud's programs, such as pulumi or kubectl.
func (c cloud) program(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.localcloud().Tool(name), args...)
	cmd.Dir, cmd.Env = c.checkout, env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// run runs one of the cloud's programs and returns its standard output.
func (c cloud) run(ctx context.Context, stdin, name string, args ...string) ([]byte, error) {
	env, err := c.localcloud().Environ(ctx)
	if err != nil {
		return nil, err
	}
	cmd := c.program(ctx, env, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %v: %w\n%s%s", name, args, err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes(), nil
}

// devWorkload is the name of the dev stack's only workload.
const devWorkload = "keyvault-demo"

// outputs are the dev stack's outputs.
type outputs struct {
	VaultID, VaultName, IssuerURL, Kubeconfig string
	Workloads                                 map[string]struct {
		Namespace, SecretProviderClass string
		ServiceAccounts                []string
	}
}

// outputsOf decodes the dev stack's outputs.
func outputsOf(printed []byte) (o outputs, err error) {
	if err := json.Unmarshal(printed, &o); err != nil {
		return o, fmt.Errorf("reading the stack's outputs: %w", err)
	}
	if w := o.Workloads[devWorkload]; len(w.ServiceAccounts) != 1 {
		return o, fmt.Errorf("the outputs have no workload %s with a service account: %v", devWorkload, o.Workloads)
	}
	return o, nil
}

// log returns the local cloud's log file, which has a line for each request.
func (c cloud) log() string { return c.localcloud().Path(localcloudtest.LogFile) }

// azure returns the subscription owner's credential, and the options with which Azure's clients reach the local cloud.
func (c cloud) azure() (owner azcore.TokenCredential, options azcore.ClientOptions, subscription string, err error) {
	running, err := c.localcloud().Running()
	if err != nil {
		return nil, options, "", err
	}
	if options.Transport, err = running.HTTPClient(); err != nil {
		return nil, options, "", err
	}
	who := running.Credentials
	owner, err = azidentity.NewClientSecretCredential(who.TenantID, who.ClientID, who.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	return owner, options, who.SubscriptionID, err
}
