// Package tests looks at the whole from outside: the program of this repository, brought up by the real engine in the
// local cloud, and what its users would see. It needs bin/localcloud, and what `bin/localcloud prepare` makes; `make
// e2e` does both before.
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

// ending is done when the tests are interrupted, or have three minutes left: those that run fail at their next command
// and clean up, and no other begins.
var ending = context.Background()

// TestMain looks whether the tests leave something on the machine. They have a folder for temporary files of their own.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		// Where more tests run side by side than there are cores, what they start would only get in each other's way if it
		// used several, too.
		flag.Parse()
		if side := flag.Lookup("test.parallel").Value.(flag.Getter).Get().(int); side > runtime.NumCPU() {
			os.Setenv("GOMAXPROCS", "1")
		}
		ctx := ending
		if limit := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration); limit > 5*time.Minute {
			// At the limit itself the tests would be gone, and with them whoever cleans up.
			timed, cancel := context.WithTimeout(ctx, limit-3*time.Minute)
			defer cancel()
			ctx = timed
		}
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		ending = ctx
		context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
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
		for tries := 0; len(left) > 0 && tries < 50; tries++ { // what was killed may not have ended yet
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

// traces are what local clouds in a folder leave on a machine where it is not taken away: temporary files, such as the
// Kubernetes provider's kubeconfigs, processes, and mounts. What others do on the machine meanwhile does not count.
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

// groups are the control groups of this run's clusters.
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

// clusters are the folders of the clusters that this run's local clouds have had.
var clusters sync.Map

// devices are the machine's network devices of the name that the node's network has, which belong into the node's
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

// cloud is a local cloud of this checkout, apart from the one of `make up` and from those of other tests.
type cloud struct {
	project string // the folder of the program that runs in it: built, or that of a checkout, where up and the engine build it as they do for users
	built   string // as builtIn makes it
	home    string
	program string       // the command
	printed bytes.Buffer // all that its commands have printed

	env    []string // what its programs run with
	envPID int      // of the local cloud that said so
}

// newCloud returns one that is taken down when the test ends.
func newCloud(t *testing.T) *cloud {
	t.Helper()
	if ending.Err() != nil {
		t.Fatal("interrupted")
	}
	program := filepath.Join(checkout, "bin", "localcloud")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: `make build && bin/localcloud prepare` makes it, and what it needs", err)
	}
	// The path is short since those of sockets are limited, and a test's own folder has its name in it.
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
			if err := os.Remove(dir); err != nil { // only when down left nothing
				t.Error(err)
			}
		}()
		if _, err := os.Stat(c.home); err != nil {
			return
		}
		if t.Failed() {
			c.showLogs(t)
		}
		// What destroying leaves is for the tests to see that are about it.
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
	out, err := exec.CommandContext(t.Context(), filepath.Join(checkout, "bin", "localcloud"), "can-run-real-node").
		CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Skipf("what containers see is not tested: %s", out)
	case err != nil:
		t.Fatalf("%v: build it with `make build`", err)
	}
}

// showLogs shows the ends of the logs, and last, where one looks first, that of what the commands have printed. The
// logs hold no secrets, which a test proves, and the line that shows one is not kept.
func (c *cloud) showLogs(t *testing.T) {
	t.Log(c.localcloud().Logs(30_000))
	said := c.printed.Bytes()
	t.Logf("what the commands printed:\n%s", said[max(0, len(said)-8000):])
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

// localcloud is what other repositories' tests know of it, too.
func (c *cloud) localcloud() *localcloudtest.Home {
	return &localcloudtest.Home{Command: c.program, Dir: c.home, Project: c.project}
}

// untilEnding is the test's context, done when the tests are interrupted, too.
func untilEnding(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	if ending.Err() != nil { // AfterFunc would cancel a moment later, when what must not begin has begun
		cancel()
	}
	stop := context.AfterFunc(ending, cancel)
	context.AfterFunc(ctx, func() { stop() })
	return ctx
}

// up brings the dev stack up and returns what is printed. The last line, which shows the secret, is the caller's to
// keep.
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
		args = []string{"--skip-destroy"} // nobody waits for what else a test wanted to see
	}
	cmd := c.command(t, append([]string{"down"}, args...)...)
	// The test's context has ended where this is its clean-up, and Ctrl-C is for what it cleans up.
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

// run runs a program in the environment that `localcloud env` prints.
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

// plan is what an up would do, by URN.
func (c *cloud) plan(t *testing.T, args ...string) map[string]string {
	t.Helper()
	var preview struct {
		Steps []struct{ Op, URN string }
	}
	if err := json.Unmarshal(
		[]byte(c.pulumi(t, append([]string{"preview", "--json"}, args...)...)),
		&preview,
	); err != nil {
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

// stackOutputs are a stack's, without the secret ones, and those of the workload in keyvault-ns, which the
// configuration of each stack has.
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

// resource is one of a stack's state.
type resource struct {
	URN, ID, Type string
	Outputs       map[string]any
}

// checkpoint is the state of the stack that was brought up, as the engine's backend keeps it: `pulumi stack export`
// says the same, a second later.
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
	files = slices.DeleteFunc(files,
		func(file string) bool { return filepath.Base(file) == "test.json" }) // a second program's
	if err != nil || len(files) != 1 {
		t.Fatalf("the stacks are %q: %v", files, err)
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

// kubeconfig is the one of the stack that came up last, which is among its secret outputs.
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
		t.Fatalf("the pod has the files %q: %v", found, err)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// azure are the options with which Azure's clients reach this cloud, and who they are: the subscription's owner.
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

// wantRefusedMounts waits for the events by which the kubelet says why volumes of pods are not mounted, until each pod
// has had one with the text that is wanted of it. There may be others before: the API server, for one, refuses a node
// the tokens of a pod that its authorizer has not seen yet.
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
	said, left := map[string]string{}, maps.Clone(want)
	for decoder := json.NewDecoder(out); len(left) > 0; {
		var event struct {
			Message        string
			InvolvedObject struct{ Name string }
		}
		if err := decoder.Decode(&event); err != nil {
			for pod, refusal := range left {
				t.Errorf("pod %s: no FailedMount event with %s, the last said %q: %v", pod, refusal, said[pod],
					errors.Join(err, ctx.Err()))
			}
			return
		}
		pod := event.InvolvedObject.Name
		said[pod] = event.Message
		if refusal, ok := left[pod]; ok && strings.Contains(event.Message, "MountVolume.SetUp failed") &&
			strings.Contains(event.Message, refusal) {
			delete(left, pod)
		}
	}
}

// processes are those that belong to a cloud.
func (c *cloud) processes() []string { return processesWith(c.home) }

// processesWith are the other processes that have a path in their arguments or their environment.
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

// holds says whether a content has a secret, as it is or as it would be in JSON or base64.
func containsSecret(content []byte, secret string) bool {
	var asJSON bytes.Buffer
	plain := json.NewEncoder(&asJSON)
	plain.SetEscapeHTML(false)
	_ = plain.Encode(secret)
	escaped, _ := json.Marshal(secret)
	for _, form := range []string{
		secret, strings.Trim(asJSON.String(), "\"\n"), strings.Trim(string(escaped), "\""), base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		if bytes.Contains(content, []byte(form)) {
			return true
		}
	}
	return false
}

// filesWith lists the files of the home, and of the built program's folder, that hold a secret, but for those under one
// of the given folders.
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

// unzipped is the content of a file that gzip has written, as the engine writes its logs, or nothing. What it is not
// sure of it encrypts.
func unzipped(content []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(r) // one that is being written has no end
	return plain
}

// eventually waits for what no event tells.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if is() {
			return
		}
		if ending.Err() != nil {
			t.Fatalf("interrupted before it is so: %s", what)
		}
	}
	t.Fatalf("not so after a minute: %s", what)
}
