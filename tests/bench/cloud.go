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

// cloud is a local cloud of the checkout, apart from the one of `make up`. Paths of sockets in its home are limited in
// length, so that home is short.
type cloud struct{ checkout, home string }

// localcloud is what tests know of it, too.
func (c cloud) localcloud() *localcloudtest.Home {
	return &localcloudtest.Home{Command: filepath.Join(c.checkout, "bin", "localcloud"), Dir: c.home, Project: c.checkout}
}

// command is one of the local cloud's own. An interrupt lets it put away what it began.
func (c cloud) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := c.localcloud().Localcloud(ctx, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// up brings a stack up, dev unless told otherwise.
func (c cloud) up(ctx context.Context, args ...string) error {
	if out, err := c.command(ctx, append([]string{"up"}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("up: %w\n%s", err, out)
	}
	return nil
}

// down removes it all, also after an interrupt, of which a terminal tells every process of the group.
func (c cloud) down() error {
	cmd := c.command(context.Background(), "down")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("down: %w\n%s", err, out)
	}
	return nil
}

// program is one of the home, such as pulumi or kubectl.
func (c cloud) program(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.localcloud().Tool(name), args...)
	cmd.Dir, cmd.Env = c.checkout, env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// run runs such a program and returns what it prints.
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

// devWorkload is the name of the one workload of the dev stack.
const devWorkload = "keyvault-demo"

// outputs are those of the dev stack.
type outputs struct {
	VaultID, VaultName, IssuerURL, Kubeconfig string
	Workloads                                 map[string]struct {
		Namespace, SecretProviderClass string
		ServiceAccounts                []string
	}
}

// outputsOf reads what the engine prints of the dev stack's outputs.
func outputsOf(printed []byte) (o outputs, err error) {
	if err := json.Unmarshal(printed, &o); err != nil {
		return o, fmt.Errorf("reading the stack's outputs: %w", err)
	}
	if w := o.Workloads[devWorkload]; len(w.ServiceAccounts) != 1 {
		return o, fmt.Errorf("the outputs have no workload %s with a service account: %v", devWorkload, o.Workloads)
	}
	return o, nil
}

// log is where the local cloud writes a line for each request.
func (c cloud) log() string { return c.localcloud().Path(localcloudtest.LogFile) }

// azure is how a client of Azure reaches the local cloud, as the owner of its only subscription.
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
