// Package tests has the end-to-end tests: Pulumi's engine brings up the program of this repository in the local cloud,
// and the tests check what users would see. They need bin/localcloud and the programs that `bin/localcloud prepare`
// builds; `make e2e` prepares both.
package tests

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// ending is done when the tests are interrupted, or three minutes before their time limit. Running tests then fail at
// their next command and clean up, and no other test begins.
var ending = context.Background()

// TestMain gives the tests their own folder for temporary files, and fails if they leave anything on the machine.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		// With more parallel tests than cores, processes that use several cores would only slow each other down.
		flag.Parse()
		if side := flag.Lookup("test.parallel").Value.(flag.Getter).Get().(int); side > runtime.NumCPU() {
			os.Setenv("GOMAXPROCS", "1")
		}
		ctx := ending
		if limit := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration); limit > 5*time.Minute {
			// At the limit itself Go ends the process without cleaning up.
			timed, cancel := context.WithTimeout(ctx, limit-3*time.Minute)
			defer cancel()
			ctx = timed
		}
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		ending = ctx
		context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
		dir, err := os.MkdirTemp("", "e2e-")
		if err == nil {
			err = os.Setenv("TMPDIR", dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		before := devices()
		code := m.Run()
		look := func() []string { return slices.Concat(leftovers(dir), controlGroups(), added(devices(), before)) }
		left := look()
		for tries := 0; len(left) > 0 && tries < 50; tries++ { // killed processes may take a moment to end
			time.Sleep(100 * time.Millisecond)
			left = look()
		}
		if len(left) > 0 {
			fmt.Fprintf(os.Stderr, "%s: %q\n", leftBehind, left)
			code = 1
		}
		return code
	}())
}

const leftBehind = "the tests left this on the machine"

// leftovers returns what local clouds in a folder left on the machine: temporary files, such as the Kubernetes
// provider's kubeconfigs, processes and mounts. It ignores what other programs do on the machine.
func leftovers(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "*"))
	found = append(found, processesWith(dir+"/")...)
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			found = append(found, "mount "+f[1])
		}
	}
	return found
}

// controlGroups returns the control groups of this run's clusters.
func controlGroups() (found []string) {
	clusters.Range(func(cluster, _ any) bool {
		sum := sha256.Sum256([]byte(cluster.(string)))
		group := "keyvault-aks-" + hex.EncodeToString(sum[:4]) // as the local cloud names it
		for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} {
			left, _ := filepath.Glob(pattern + group)
			found = append(found, left...)
		}
		return true
	})
	return found
}

// clusters has the folders of all clusters of this run's local clouds.
var clusters sync.Map

// devices returns the machine's network devices with the name of the node's bridge, which belongs in the node's network
// namespace.
func devices() []string {
	var found []string
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if i.Name == "cni0" {
			found = append(found, "device "+i.Name)
		}
	}
	return found
}

func added(after, before []string) []string {
	return slices.DeleteFunc(after, func(one string) bool { return slices.Contains(before, one) })
}

// checkout is the folder of the repository that is tested.
var checkout = func() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// cloud is a local cloud of this checkout, separate from the one of `make up` and from those of other tests.
type cloud struct {
	project string // folder of the program: built, or a source folder, where up builds the program as for users
	built   string // folder of the built program, see builtIn
	home    string
	program string       // the command localcloud
	printed bytes.Buffer // output of all commands

	env    []string // environment of programs that run in the cloud
	envPID int      // process of the local cloud that env is from
}

// newCloud returns a local cloud that is removed when the test ends.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	if ending.Err() != nil {
		t.Fatal("interrupted")
	}
	program := filepath.Join(checkout, "bin", "localcloud")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run `make build && bin/localcloud prepare`", err)
	}
	// Not t.TempDir, which contains the test's name: the paths of sockets are limited in length.
	dir, err := os.MkdirTemp("", "aks-")
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{built: filepath.Join(dir, "program"), home: filepath.Join(dir, "home"), program: program}
	c.project = c.built
	t.Cleanup(func() {
		defer func() {
			if err := os.RemoveAll(c.built); err != nil {
				t.Error(err)
			}
			if err := os.Remove(dir); err != nil { // fails if down left anything
				t.Error(err)
			}
		}()
		if _, err := os.Stat(c.home); err != nil {
			return
		}
		if t.Failed() {
			c.showLogs(t)
		}
		// Only tests of destroy check what it leaves.
		c.down(t, "--skip-destroy")
	})
	builtIn(t, checkout, c.built)
	for _, stack := range []string{"Pulumi.dev.yaml", "Pulumi.prod.yaml"} {
		content, err := os.ReadFile(filepath.Join(checkout, stack))
		if err == nil {
			err = os.WriteFile(filepath.Join(c.built, stack), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// needsRealNode skips a test that looks into containers where none can run.
func needsRealNode(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(checkout, "bin", "localcloud"), "can-run-real-node")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Skipf("no containers can run here: %s", out)
	case err != nil:
		t.Fatalf("%v: run `make build`", err)
	}
}

// showLogs logs the ends of the cloud's logs, and last the end of the commands' output, which is the place to look
// first. None of it contains a secret: TestScenario_NoSecretLeaks covers the logs, and printed lacks the line with the
// secret.
func (c *cloud) showLogs(t *testing.T) {
	t.Log(c.localcloud().Logs(30_000))
	printed := c.printed.Bytes()
	t.Logf("output of the commands:\n%s", printed[max(0, len(printed)-8000):])
}

func (c *cloud) command(t *testing.T, args ...string) *exec.Cmd {
	have, _ := filepath.Glob(filepath.Join(c.home, localcloudtest.ClustersDir, "*"))
	for _, cluster := range have {
		clusters.Store(cluster, nil)
	}
	if args[0] == "up" && c.project == c.built {
		args = append(args, "--no-build")
	}
	return c.localcloud().Localcloud(untilEnding(t), args...)
}

// localcloud returns the cloud as package localcloudtest shows it to tests of other repositories.
func (c *cloud) localcloud() *localcloudtest.Home {
	return &localcloudtest.Home{Command: c.program, Dir: c.home, Project: c.project}
}

// untilEnding returns the test's context, which is also done when the tests are interrupted.
func untilEnding(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	if ending.Err() != nil { // AfterFunc would cancel a moment too late
		cancel()
	}
	stop := context.AfterFunc(ending, cancel)
	context.AfterFunc(ctx, func() { stop() })
	return ctx
}

// up brings the dev stack up and returns its output, and apart from it the last line, which shows the secret.
func (c *cloud) up(t *testing.T, args ...string) (printed, lastLine string) {
	t.Helper()
	printed, lastLine, err := c.tryUp(t, args...)
	if err != nil {
		t.Fatalf("up: %v\n%s", err, printed)
	}
	return printed, lastLine
}

func (c *cloud) tryUp(t *testing.T, args ...string) (printed, lastLine string, err error) {
	t.Helper()
	out, err := c.command(t, append([]string{"up"}, args...)...).CombinedOutput()
	printed = string(out)
	if err == nil {
		printed, lastLine = withoutLastLine(printed)
	}
	c.printed.WriteString(printed)
	return printed, lastLine, err
}

func withoutLastLine(printed string) (rest, last string) {
	printed = strings.TrimRight(printed, "\n")
	i := strings.LastIndexByte(printed, '\n') + 1
	return printed[:i], printed[i:]
}

func (c *cloud) down(t *testing.T, args ...string) {
	t.Helper()
	if ending.Err() != nil {
		args = []string{"--skip-destroy"} // to end quickly
	}
	cmd := c.command(t, append([]string{"down"}, args...)...)
	// During clean-up the test's context has ended, and Ctrl-C must not end the clean-up itself.
	cmd = exec.Command(cmd.Path, cmd.Args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	c.printed.Write(out)
	if err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
}

func (c *cloud) running(t *testing.T) localcloudtest.Running {
	t.Helper()
	r, err := c.localcloud().Running()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs a program in the environment that `localcloud env` prints, and returns its standard output.
func (c *cloud) run(t *testing.T, stdin string, program string, args ...string) (string, error) {
	t.Helper()
	cmd, err := c.prepare(t, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", program, args[0], err, out.String(), errs.String())
	}
	return out.String(), nil
}

func (c *cloud) prepare(t *testing.T, program string, args ...string) (*exec.Cmd, error) {
	if pid := c.running(t).PID; pid != c.envPID {
		env, err := c.localcloud().Environ(untilEnding(t))
		if err != nil {
			return nil, err
		}
		c.env, c.envPID = env, pid
	}
	cmd := c.localcloud().Program(untilEnding(t), slices.Clone(c.env), program, args...)
	cmd.Dir = c.project
	return cmd, nil
}

func (c *cloud) mustRun(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := c.run(t, "", program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *cloud) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.mustRun(t, "kubectl", args...)
}

func (c *cloud) pulumi(t *testing.T, args ...string) string {
	t.Helper()
	return c.mustRun(t, "pulumi", append(args, "--non-interactive")...)
}

// plan returns what a preview would do, by URN.
func (c *cloud) plan(t *testing.T, args ...string) map[string]string {
	t.Helper()
	var preview struct {
		Steps []struct{ Op, URN string }
	}
	text := c.pulumi(t, append([]string{"preview", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &preview); err != nil {
		t.Fatal(err)
	}
	plan := map[string]string{}
	for _, step := range preview.Steps {
		plan[step.URN] = step.Op
	}
	return plan
}

func (c *cloud) apply(t *testing.T, manifests string) {
	t.Helper()
	if _, err := c.run(t, manifests, "kubectl", "apply", "--filename=-"); err != nil {
		t.Fatal(err)
	}
}

// stackOutputs are a stack's outputs without the secret ones, and those of the workload in keyvault-ns, which every
// stack has.
type stackOutputs struct {
	VaultID, VaultName, VaultURI      string
	ClusterID, ClusterName, IssuerURL string
	ReadSecretCommand                 string
	Workloads                         map[string]workloadOutputs
	workloadOutputs
}

type workloadOutputs struct {
	IdentityID, ClientID, PrincipalID string
	Namespace, SecretProviderClass    string
	ServiceAccounts                   []string
}

func (c *cloud) outputs(t *testing.T) (outputs stackOutputs) {
	t.Helper()
	for _, r := range c.checkpoint(t).Resources {
		if r.Type != "pulumi:pulumi:Stack" {
			continue
		}
		text, err := json.Marshal(r.Outputs)
		if err == nil {
			err = json.Unmarshal(text, &outputs)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, workload := range outputs.Workloads {
		if workload.Namespace == "keyvault-ns" {
			outputs.workloadOutputs = workload
		}
	}
	return outputs
}

// resource is a resource in a stack's state.
type resource struct {
	URN, ID, Type string
	Outputs       map[string]any
}

// checkpoint is the state of the dev or prod stack as the engine's backend stores it. Reading it is a second faster
// than `pulumi stack export`.
type checkpoint struct {
	Resources []resource
	Pending   []json.RawMessage `json:"pending_operations"`
}

func (c *cloud) checkpoint(t *testing.T) (latest checkpoint) {
	t.Helper()
	c.readCheckpoint(t, &latest)
	return latest
}

func (c *cloud) readCheckpoint(t *testing.T, into any) {
	t.Helper()
	files, err := filepath.Glob(
		filepath.Join(c.home, localcloudtest.StacksDir, ".pulumi", "stacks", "keyvault-aks", "*.json"),
	)
	// A test's second program has the stack test.
	files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "test.json" })
	if err != nil || len(files) != 1 {
		t.Fatalf("the stacks are %q, want one: %v", files, err)
	}
	var file struct {
		Checkpoint struct{ Latest json.RawMessage }
	}
	content, err := os.ReadFile(files[0])
	if err == nil {
		err = json.Unmarshal(content, &file)
	}
	if err == nil {
		err = json.Unmarshal(file.Checkpoint.Latest, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// kubeconfig returns the kubeconfig of the stack that was brought up last.
func (c *cloud) kubeconfig(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.home, localcloudtest.KubeconfigFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// mounted reads a file of the stack's pod on a stand-in node.
func (c *cloud) mounted(t *testing.T, outputs stackOutputs, file string) string {
	t.Helper()
	found, err := filepath.Glob(
		filepath.Join(c.home, localcloudtest.ClustersDir, "*", "pods", outputs.Namespace, "keyvault-test-pod", "*", file),
	)
	if err != nil || len(found) != 1 {
		t.Fatalf("the pod has the files %q, want one: %v", found, err)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// azure returns the subscription owner's credential, and the options with which Azure's clients reach this cloud.
func (c *cloud) azure(t *testing.T) (azcore.TokenCredential, azcore.ClientOptions, localcloudtest.Running) {
	t.Helper()
	r := c.running(t)
	client, err := r.HTTPClient()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	options := azcore.ClientOptions{Transport: client}
	owner, err := azidentity.NewClientSecretCredential(r.Credentials.TenantID, r.Credentials.ClientID,
		r.Credentials.ClientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	return owner, options, r
}

func armOptions(options azcore.ClientOptions) *arm.ClientOptions {
	return &arm.ClientOptions{ClientOptions: options}
}

// wantRefusedMounts waits until each pod has a FailedMount event with the text in want. Other events may come first:
// for example, the API server denies a node the tokens of a pod that its authorizer does not know yet.
func (c *cloud) wantRefusedMounts(t *testing.T, namespace string, want map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(untilEnding(t), 90*time.Second+time.Duration(len(want))*time.Second)
	defer cancel()
	prepared, err := c.prepare(t, "kubectl", "get", "events", "--namespace", namespace, "--watch", "--output=json",
		"--field-selector=reason=FailedMount")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, prepared.Path, prepared.Args[1:]...)
	cmd.Env = prepared.Env
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	messages, left := map[string]string{}, maps.Clone(want)
	for decoder := json.NewDecoder(out); len(left) > 0; {
		var event struct {
			Message        string
			InvolvedObject struct{ Name string }
		}
		if err := decoder.Decode(&event); err != nil {
			for pod, refusal := range left {
				t.Errorf("pod %s: the last FailedMount event says %q, want %q: %v", pod, messages[pod], refusal,
					errors.Join(err, ctx.Err()))
			}
			return
		}
		pod := event.InvolvedObject.Name
		messages[pod] = event.Message
		if refusal, ok := left[pod]; ok && strings.Contains(event.Message, "MountVolume.SetUp failed") &&
			strings.Contains(event.Message, refusal) {
			delete(left, pod)
		}
	}
}

// processes returns the processes that belong to the cloud.
func (c *cloud) processes() []string { return processesWith(c.home) }

// processesWith returns the other processes that have a path in their arguments or environment.
func processesWith(path string) []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err != nil || pid == os.Getpid() {
			continue
		}
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if bytes.Contains(arguments, []byte(path)) || bytes.Contains(environment, []byte(path)) {
			found = append(found, "process "+string(bytes.ReplaceAll(arguments, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// containsSecret reports whether content contains a secret, in plain text, JSON or base64.
func containsSecret(content []byte, secret string) bool {
	var asJSON bytes.Buffer
	plain := json.NewEncoder(&asJSON)
	plain.SetEscapeHTML(false)
	_ = plain.Encode(secret)
	escaped, _ := json.Marshal(secret)
	for _, form := range []string{
		secret, strings.Trim(asJSON.String(), "\"\n"), strings.Trim(string(escaped), "\""),
		base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		if bytes.Contains(content, []byte(form)) {
			return true
		}
	}
	return false
}

// filesWith returns the files that contain a secret in the home and the built program's folder, except those below the
// given folders.
func (c *cloud) filesWith(t *testing.T, secret string, except ...string) []string {
	t.Helper()
	var found []string
	look := func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(c.home, path)
		if slices.Contains(except, name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if containsSecret(content, secret) || containsSecret(unzipped(content), secret) {
			found = append(found, name)
		}
		return err
	}
	if err := errors.Join(filepath.WalkDir(c.home, look), filepath.WalkDir(c.built, look)); err != nil {
		t.Fatal(err)
	}
	return found
}

// unzipped returns the content of a gzip file, such as the engine's logs, or nothing if it is none.
func unzipped(content []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(r) // a file that is still being written is incomplete
	return plain
}

// eventually polls until a condition holds that no event announces.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if is() {
			return
		}
		if ending.Err() != nil {
			t.Fatalf("interrupted while waiting: %s", what)
		}
	}
	t.Fatalf("not true after a minute: %s", what)
}
