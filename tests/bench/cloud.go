package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// cloud is a local cloud of the checkout, apart from the one of `make up`. Paths of sockets in its home are limited in
// length, so that home is short.
type cloud struct{ checkout, home string }

// command is one of the local cloud's own. An interrupt lets it put away what it began.
func (c cloud) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.checkout, "bin", "localcloud"), append([]string{"--project", c.checkout, "--home", c.home}, args...)...)
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

var exported = regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`)

// environment is that in which programs find the local cloud.
func (c cloud) environment(ctx context.Context) ([]string, error) {
	printed, err := c.command(ctx, "env").Output()
	if err != nil {
		return nil, fmt.Errorf("localcloud env: %w", err)
	}
	env := os.Environ()
	for _, match := range exported.FindAllSubmatch(printed, -1) {
		env = append(env, string(match[1])+"="+string(match[2]))
	}
	return env, nil
}

// program is one of the home, such as pulumi or kubectl.
func (c cloud) program(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.home, "bin", name), args...)
	cmd.Dir, cmd.Env = c.checkout, env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// run runs such a program and returns what it prints.
func (c cloud) run(ctx context.Context, stdin, name string, args ...string) ([]byte, error) {
	env, err := c.environment(ctx)
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
func (c cloud) log() string { return filepath.Join(c.home, "cloud.log") }

// azure is how a client of Azure reaches the local cloud, as the owner of its only subscription.
func (c cloud) azure() (owner azcore.TokenCredential, options azcore.ClientOptions, subscription string, err error) {
	content, err := os.ReadFile(filepath.Join(c.home, "cloud.json"))
	if err != nil {
		return nil, options, "", err
	}
	var running struct {
		Proxy, CAFile string
		Credentials   struct{ TenantID, SubscriptionID, ClientID, ClientSecret string }
	}
	if err := json.Unmarshal(content, &running); err != nil {
		return nil, options, "", err
	}
	ca, err := os.ReadFile(running.CAFile)
	if err != nil {
		return nil, options, "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	options.Transport = &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: running.Proxy}), TLSClientConfig: &tls.Config{RootCAs: roots},
	}}
	who := running.Credentials
	owner, err = azidentity.NewClientSecretCredential(who.TenantID, who.ClientID, who.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	return owner, options, who.SubscriptionID, err
}
