package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rhysd/actionlint"
	"sigs.k8s.io/yaml"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// uses has a replacement for each action of the workflows. Other actions are errors, because no test would cover them.
var uses = map[string]func(j *job, with map[string]string) error{
	"actions/checkout": (*job).checkout,
	// Go is installed here, in the version that go.mod requires or a newer one.
	"actions/setup-go": func(j *job, with map[string]string) error {
		_, err := os.Stat(filepath.Join(j.workspace, with["go-version-file"]))
		return err
	},
	"actions/cache":                   func(*job, map[string]string) error { return nil }, // an empty cache
	"actions/attest-build-provenance": (*job).attest,
}

// replacements are commands that the tests replace, and what runs instead.
var replacements = map[string]string{
	"make test": "make --dry-run test", // this test is part of it
	"make lint": "make --dry-run lint", // downloads golangci-lint
	// Tests do not install packages on the machine.
	"apt-get update -qq && apt-get install -qq npm": "command -v npm",
}

// The files in which GitHub and GitLab find their pipelines.
const (
	workflowsDir = ".github/workflows"
	gitlabFile   = ".gitlab-ci.yml"
)

// workflow has the fields of a file in .github/workflows that its jobs' commands depend on.
type workflow struct {
	Name string
	On   any `json:"true"` // YAML 1.1 reads on as true
	Jobs map[string]*workflowJob
}

type workflowJob struct {
	Needs       any
	If          string
	Environment string
	Permissions map[string]string
	Env         map[string]string
	Outputs     map[string]string
	Strategy    struct {
		Matrix struct{ Include []map[string]string }
	}
	Uses  string
	With  map[string]any
	Steps []workflowStep
}

type workflowStep struct {
	ID, If, Uses, Run, Shell string
	With                     map[string]any
	Env                      map[string]string
}

// ci is a repository on GitHub and GitLab whose jobs run here against a local cloud.
type ci struct {
	*cloud
	origin          string                       // the repository's folder
	work            string                       // has a folder for each job
	who             string                       // owner/name on GitHub
	vars            map[string]map[string]string // variables on GitHub by environment; "" has the repository's
	gitlab          string                       // the project's path on GitLab
	gitlabVariables map[string]string
	secretsProvider string
	secrets         map[string]string // secrets on GitHub, which the workflows do not use
	besides         []string          // additional environment of jobs' commands
	n               int               // number of jobs so far

	// watch, if set, is called with all that a job has printed, whenever there is more.
	watch func(printed string, do jobEnd)
}

// jobEnd ends a job: interrupt as GitHub cancels one, and kill as if its machine disappeared.
type jobEnd struct{ interrupt, kill func() }

// watched collects the output of a job.
type watched struct {
	all   strings.Builder
	watch func(printed string, do jobEnd)
	do    jobEnd
}

func (w *watched) Write(more []byte) (int, error) {
	n, err := w.all.Write(more)
	if w.watch != nil {
		w.watch(w.all.String(), w.do)
	}
	return n, err
}

// event is what GitHub runs jobs for.
type event struct {
	name     string // GitHub's name, such as push
	ref      string // such as refs/heads/main
	pull     int    // number of the pull request
	fork     bool   // the pull request comes from a fork
	workflow string // file name of the workflow that is scheduled or run by hand
	refresh  bool   // input of the workflow deploy when run by hand
}

// job is a running job.
type job struct {
	*ci
	workspace, temp string
	context         map[string]any // values for expressions
	permissions     map[string]string
	environment     string
	event           event
	env             []string
	printed         watched
}

// newCI starts a local cloud and creates a repository from this checkout, with the stacks and their identities.
func newCI(t *testing.T) *ci {
	t.Helper()
	c := newCloud(t)
	c.project = c.built
	c.start(t)
	r := &ci{
		cloud:  c,
		origin: filepath.Join(c.home, "ci", "origin"),
		work:   filepath.Join(c.home, "ci", "jobs"),
		who:    "octo/keyvault-aks",
		gitlab: "octo/platform/keyvault-aks",
	}
	running := c.running(t)
	r.vars = map[string]map[string]string{"": {
		"ARM_TENANT_ID": running.Credentials.TenantID, "ARM_SUBSCRIPTION_ID": running.Credentials.SubscriptionID,
		"ARM_CLIENT_ID":      running.Credentials.ClientID,
		"PULUMI_BACKEND_URL": "file://" + c.localcloud().Path(localcloudtest.StacksDir),
	}}
	if err := os.MkdirAll(r.work, 0o700); err != nil {
		t.Fatal(err)
	}
	copyCheckout(t, r.origin)
	r.git(t, "init", "--quiet", "--initial-branch=main")
	r.commit(t, "As it is")
	r.bootstrap(t)
	for _, stack := range []string{"dev", "prod"} {
		r.asOwner(t, "pulumi", "stack", "init", stack, "--secrets-provider", r.secretsProvider)
	}
	r.commit(t, "The stacks")
	return r
}

// bootstrap brings up deploy/bootstrap as the subscription's owner: the jobs' identities and the key of the stacks'
// secrets. It sets the variables that its outputs list.
func (r *ci) bootstrap(t *testing.T) {
	t.Helper()
	type trust = map[string]any
	github := func(of string, value any) trust { return trust{"repository": r.who, of: value} }
	gitlab := func(of, value string) trust { return trust{"project": r.gitlab, of: value} }
	p := newProgram(t, r.cloud, "deploy/bootstrap", map[string]string{
		"keyvault-aks-bootstrap:keyForDeployer": "true",
		"keyvault-aks-bootstrap:identities": asJSON(t, []trust{
			{
				"name": "preview", "may": "preview", "github": []trust{github("pullRequests", true), github("branch", "main")},
				"gitlab": []trust{gitlab("branch", "change"), gitlab("branch", "main")},
			},
			{
				"name":   "dev",
				"may":    "deploy",
				"github": []trust{github("environment", "dev")},
				"gitlab": []trust{gitlab("branch", "main")},
			},
			{
				"name":   "prod",
				"may":    "deploy",
				"github": []trust{github("environment", "prod"), github("environment", "prod-rotation")},
				"gitlab": []trust{gitlab("tag", "v0.1.0")},
			},
		}),
	})
	p.up(t)
	var outputs struct {
		SecretsProvider string
		Setup           map[string]string
	}
	p.outputs(t, &outputs)
	r.secretsProvider = outputs.SecretsProvider
	r.vars = map[string]map[string]string{
		"": {"PULUMI_BACKEND_URL": "file://" + r.localcloud().Path(localcloudtest.StacksDir) + "?metadata=skip"},
	}
	r.gitlabVariables = maps.Clone(r.vars[""])
	for _, commands := range outputs.Setup {
		for command := range strings.Lines(commands) {
			words := strings.Fields(command)
			after := func(flag string) string {
				if at := slices.Index(words, flag); at > 0 {
					return words[at+1]
				}
				return ""
			}
			switch of := strings.Join(words[:3], " "); of {
			case "gh variable set":
				environment := after("--env")
				if r.vars[environment] == nil {
					r.vars[environment] = map[string]string{}
				}
				r.vars[environment][words[3]] = after("--body")
			case "glab variable set":
				r.gitlabVariables[words[3]] = after("--value")
			default:
				t.Fatalf("the output setup has the unknown command %q", command)
			}
		}
	}
}

// copyCheckout copies this checkout, with uncommitted changes, as a clean clone would have it.
func copyCheckout(t *testing.T, to string) {
	t.Helper()
	listed := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	listed.Dir = checkout
	files, err := listed.Output()
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		from, err := os.Open(filepath.Join(checkout, file))
		if errors.Is(err, os.ErrNotExist) { // a deletion that is not committed yet
			continue
		}
		var info os.FileInfo
		if err == nil {
			info, err = from.Stat()
		}
		copied := filepath.Join(to, file)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(copied), 0o700)
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(from)
		}
		if err == nil {
			err = os.WriteFile(copied, content, info.Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
		from.Close()
	}
}

// git runs git in the repository.
func (r *ci) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(untilEnding(t), "git", args...)
	cmd.Dir, cmd.Env = r.origin, append(os.Environ(), gitEnvironment...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

var gitEnvironment = []string{
	"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
	"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
}

func (r *ci) commit(t *testing.T, message string) {
	t.Helper()
	r.git(t, "add", "--all")
	r.git(t, "commit", "--quiet", "--message", message)
}

// change changes a file on the current branch and commits it.
func (r *ci) change(t *testing.T, file, from, to string) {
	t.Helper()
	path := filepath.Join(r.origin, file)
	content, err := os.ReadFile(path)
	if err == nil && !bytes.Contains(content, []byte(from)) {
		err = fmt.Errorf("%s has no %q", file, from)
	}
	if err == nil {
		err = os.WriteFile(path, bytes.Replace(content, []byte(from), []byte(to), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.commit(t, "Change "+file)
}

// result is the result of a job.
type result struct {
	status  string // success, failure or skipped
	outputs map[string]string
	printed string
}

// trigger runs the workflows that GitHub would run for an event, and returns the results by workflow/job.
func (r *ci) trigger(t *testing.T, e event) map[string]result {
	t.Helper()
	results := map[string]result{}
	// For all events that the workflows use, GitHub reads the workflows of the ref.
	files := strings.Fields(r.git(t, "ls-tree", "--name-only", e.ref, workflowsDir+"/"))
	for _, file := range files {
		w := r.workflow(t, e, file)
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		if !w.runsFor(e, name) {
			continue
		}
		maps.Copy(results, r.runWorkflow(t, e, name, w, map[string]any{"refresh": e.refresh}))
	}
	if len(results) == 0 {
		t.Fatalf("no job runs for %+v", e)
	}
	return results
}

func (r *ci) workflow(t *testing.T, e event, file string) (w workflow) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(r.git(t, "show", e.ref+":"+file)), &w); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return w
}

// runsFor reports whether an event triggers a workflow.
func (w workflow) runsFor(e event, name string) bool {
	if e.workflow != "" && e.workflow != name {
		return false
	}
	switch on := w.On.(type) {
	case string:
		return on == e.name
	case map[string]any:
		filter, ok := on[e.name]
		if !ok {
			return false
		}
		limits, _ := filter.(map[string]any)
		kind, short := "branches", strings.TrimPrefix(e.ref, "refs/heads/")
		if tag, is := strings.CutPrefix(e.ref, "refs/tags/"); is {
			kind, short = "tags", tag
		}
		if e.name != "push" || limits == nil {
			return true
		}
		patterns, _ := limits[kind].([]any)
		return slices.ContainsFunc(patterns, func(pattern any) bool {
			matched, _ := filepath.Match(pattern.(string), short)
			return matched
		})
	}
	return false
}

// runWorkflow runs the jobs of a workflow in the order of their needs.
func (r *ci) runWorkflow(t *testing.T, e event, name string, w workflow, inputs map[string]any) map[string]result {
	t.Helper()
	results := map[string]result{}
	needs := map[string]any{}
	for left := slices.Sorted(maps.Keys(w.Jobs)); len(left) > 0; {
		before := len(left)
		for _, id := range slices.Clone(left) {
			one := w.Jobs[id]
			needed := words(one.Needs)
			if slices.ContainsFunc(needed, func(id string) bool { return needs[id] == nil }) {
				continue
			}
			left = slices.DeleteFunc(left, func(l string) bool { return l == id })
			matrix := one.Strategy.Matrix.Include
			if matrix == nil {
				matrix = []map[string]string{nil}
			}
			for _, values := range matrix {
				outcome := r.runJob(t, e, one, needs, needed, values, inputs)
				key := name + "/" + id
				for _, v := range slices.Sorted(maps.Keys(values)) {
					key += " " + values[v]
				}
				results[key] = outcome
				needs[id] = map[string]any{"result": outcome.status, "outputs": anyValues(outcome.outputs)}
			}
		}
		if len(left) == before {
			t.Fatalf("the jobs %v of %s wait for each other", left, name)
		}
	}
	return results
}

func words(one any) (all []string) {
	switch one := one.(type) {
	case string:
		return []string{one}
	case []any:
		for _, w := range one {
			all = append(all, w.(string))
		}
	}
	return all
}

func anyValues(of map[string]string) map[string]any {
	values := map[string]any{}
	for name, value := range of {
		values[name] = value
	}
	return values
}

// runJob runs a job or the workflow that it calls.
func (r *ci) runJob(
	t *testing.T,
	e event,
	of *workflowJob,
	needs map[string]any,
	needed []string,
	matrix map[string]string,
	inputs map[string]any,
) result {
	t.Helper()
	head := r.who
	if e.fork {
		head = "somebody/fork"
	}
	context := map[string]any{
		"github": map[string]any{
			"event_name": e.name, "ref": e.ref, "repository": r.who, "token": "a token of GitHub",
			"event": map[string]any{"pull_request": map[string]any{
				"number": fmt.Sprint(e.pull), "head": map[string]any{"repo": map[string]any{"full_name": head}},
			}},
		},
		"secrets": anyValues(r.secrets),
		"needs":   needs,
		"matrix":  anyValues(matrix),
		"inputs":  inputs,
		"runner":  map[string]any{"os": "Linux", "arch": "X64"},
	}
	environment := interpolate(t, of.Environment, context)
	vars := maps.Clone(r.vars[""])
	maps.Copy(vars, r.vars[environment])
	context["vars"] = anyValues(vars)
	condition := of.If
	if condition == "" || !strings.Contains(condition, "cancelled()") {
		if slices.ContainsFunc(needed, func(id string) bool { return needs[id].(map[string]any)["result"] != "success" }) {
			return result{status: "skipped"}
		}
	}
	if condition != "" && !truth(evaluate(t, condition, context)) {
		return result{status: "skipped"}
	}
	if of.Uses != "" {
		called := r.workflow(t, e, strings.TrimPrefix(of.Uses, "./"))
		with := map[string]any{}
		call := called.On.(map[string]any)["workflow_call"].(map[string]any)
		for name, input := range call["inputs"].(map[string]any) {
			with[name] = input.(map[string]any)["default"]
		}
		for name, given := range of.With {
			with[name] = interpolate(t, fmt.Sprint(given), context)
		}
		for id := range called.Jobs { // jobs of a called workflow cannot have more permissions than the caller
			for scope, level := range called.Jobs[id].Permissions {
				if of.Permissions[scope] != level {
					t.Errorf("the job that calls %s does not give it %s: %s", of.Uses, scope, level)
				}
			}
		}
		outcome := result{status: "success", outputs: map[string]string{}}
		jobs := map[string]any{}
		for id, one := range r.runWorkflow(t, e, "", called, with) {
			jobs[strings.TrimPrefix(id, "/")] = map[string]any{"outputs": anyValues(one.outputs)}
			outcome.printed += one.printed
			if one.status != "success" {
				outcome.status = one.status
			}
		}
		for name, output := range call["outputs"].(map[string]any) {
			outcome.outputs[name] = interpolate(t, output.(map[string]any)["value"].(string), map[string]any{"jobs": jobs})
		}
		return outcome
	}
	dir := r.jobFolder(t)
	j := &job{
		ci: r, event: e, workspace: filepath.Join(dir, "workspace"), temp: filepath.Join(dir, "temp"), context: context,
		permissions: of.Permissions, environment: environment,
		printed: watched{watch: r.watch, do: jobEnd{kill: func() { killWith(dir) }}},
	}
	j.env = j.environ(t, dir)
	outcome := result{status: "success", outputs: map[string]string{}}
	steps := map[string]any{}
	context["steps"] = steps
	for i, step := range of.Steps {
		if step.If != "" {
			t.Fatal("a step has an if, which is not implemented here")
		}
		outputs, err := j.step(t, i, step, of.Env)
		if step.ID != "" {
			steps[step.ID] = map[string]any{"outputs": anyValues(outputs)}
		}
		if err != nil {
			fmt.Fprintf(&j.printed, "step %d: %v\n", i+1, err)
			outcome.status = "failure"
			break
		}
	}
	for name, output := range of.Outputs {
		outcome.outputs[name] = interpolate(t, output, context)
	}
	outcome.printed = j.printed.all.String()
	return outcome
}

// jobFolder creates the folders of a new job.
func (r *ci) jobFolder(t *testing.T) string {
	t.Helper()
	r.n++
	dir := filepath.Join(r.work, fmt.Sprint(r.n))
	for _, folder := range []string{"workspace", "temp", "home", "bin"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "gh"), []byte(standInGH), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// environ returns the environment of a job's commands. It leads to the local cloud, without the owner's credentials.
func (r *ci) environ(t *testing.T, dir string) []string {
	t.Helper()
	if _, err := r.prepare(t, "true"); err != nil {
		t.Fatal(err)
	}
	path := ""
	removed := []string{
		"PULUMI_BACKEND_URL", "PULUMI_CONFIG", "ARM_", "AZURE_", "KUBECONFIG", "XDG_", "GITHUB_", "ACTIONS_", "CI=",
	}
	env := slices.DeleteFunc(slices.Clone(r.env), func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		if name == "PATH" {
			path = value
		}
		return slices.ContainsFunc(removed, func(prefix string) bool { return strings.HasPrefix(v, prefix) })
	})
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH").Output()
	folders := strings.Fields(string(out))
	if err != nil || len(folders) != 3 {
		t.Fatalf("go env: %v\n%s", err, out)
	}
	temp := filepath.Join(dir, "temp")
	env = append(append(env, gitEnvironment...), r.besides...)
	return append(
		env,
		"PATH="+filepath.Join(dir, "bin")+":"+path,
		"HOME="+filepath.Join(dir, "home"),
		"TMPDIR="+temp,
		"CI=true",
		"GOCACHE="+folders[0],
		"GOMODCACHE="+folders[1],
		"GOPATH="+folders[2],
		"GH_STANDIN="+filepath.Join(r.home, "ci"),
		// make dist builds for one platform of six, with packages that are compiled already.
		"MAKEFLAGS=CGO_ENABLED=1 PLATFORMS=linux-amd64",
	)
}

// environ returns the environment of a GitHub job's commands.
func (j *job) environ(t *testing.T, dir string) []string {
	t.Helper()
	env := append(j.ci.environ(t, dir),
		"GITHUB_ACTIONS=true", "GITHUB_REPOSITORY="+j.who, "GITHUB_EVENT_NAME="+j.event.name,
		"GITHUB_REF="+j.event.ref, "GITHUB_REF_NAME="+j.event.ref[strings.LastIndexByte(j.event.ref, '/')+1:],
		"GITHUB_WORKSPACE="+j.workspace, "RUNNER_TEMP="+j.temp, "GITHUB_PATH="+filepath.Join(j.temp, "path"),
	)
	if j.permissions["id-token"] == "write" {
		subject := "ref:" + j.event.ref
		switch {
		case j.environment != "":
			subject = "environment:" + j.environment
		case j.event.name == "pull_request":
			subject = "pull_request"
		}
		for line := range strings.Lines(j.ciToken(t, "github", "--subject", "repo:"+j.who+":"+subject, "--request")) {
			name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
			env = append(env, name+"="+strings.Trim(value, "'"))
		}
	}
	for scope, level := range j.permissions {
		if level == "write" {
			env = append(env, "GH_MAY_"+strings.ReplaceAll(scope, "-", "_")+"=write")
		}
	}
	return env
}

// step runs a step of a job and returns its outputs.
func (j *job) step(t *testing.T, i int, step workflowStep, jobEnv map[string]string) (map[string]string, error) {
	t.Helper()
	if step.Uses != "" {
		action, _, _ := strings.Cut(step.Uses, "@")
		do := uses[action]
		if do == nil {
			t.Fatalf("the action %s is not implemented here", step.Uses)
		}
		with := map[string]string{}
		for name, given := range step.With {
			with[name] = fmt.Sprint(given)
		}
		return nil, do(j, with)
	}
	run := strings.TrimSpace(step.Run)
	if other := replacements[run]; other != "" {
		run = other
	}
	outputs := filepath.Join(j.temp, fmt.Sprintf("outputs-%d", i))
	script := filepath.Join(j.temp, fmt.Sprintf("script-%d.sh", i))
	if err := os.WriteFile(script, []byte(run), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outputs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(slices.Clone(j.env), "GITHUB_OUTPUT="+outputs)
	cmd := j.localcloud().Program(untilEnding(t), env, "bash", "-e", script)
	for _, of := range []map[string]string{jobEnv, step.Env} {
		for name, given := range of {
			cmd.Env = append(cmd.Env, name+"="+interpolate(t, given, j.context))
		}
	}
	cmd.Dir = j.workspace
	cmd.Stdout, cmd.Stderr = &j.printed, &j.printed
	j.printed.do.interrupt = func() { _ = cmd.Process.Signal(os.Interrupt) } // as GitHub, only the step's own process
	err := cmd.Run()
	content, readErr := os.ReadFile(outputs)
	return parsedOutputs(content), errors.Join(err, readErr)
}

// parsedOutputs parses the file GITHUB_OUTPUT of a step: NAME<<END, lines, and END.
func parsedOutputs(content []byte) map[string]string {
	outputs := map[string]string{}
	lines := strings.Split(string(content), "\n")
	for i := 0; i < len(lines); i++ {
		name, end, ok := strings.Cut(lines[i], "<<")
		if !ok {
			continue
		}
		var text []string
		for i++; i < len(lines) && lines[i] != end; i++ {
			text = append(text, lines[i])
		}
		outputs[name] = strings.Join(text, "\n")
	}
	return outputs
}

// checkout clones the repository at the event's ref.
func (j *job) checkout(with map[string]string) error {
	args := []string{"clone", "--quiet", "--no-local"}
	if with["fetch-depth"] != "0" {
		args = append(args, "--depth=1")
	}
	for _, words := range [][]string{
		append(args, "file://"+j.origin, j.workspace),
		{"-C", j.workspace, "fetch", "--quiet", "origin", j.event.ref},
		{"-C", j.workspace, "checkout", "--quiet", "--detach", "FETCH_HEAD"},
	} {
		cmd := exec.Command("git", words...)
		cmd.Env = append(os.Environ(), gitEnvironment...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", words[0], err, out)
		}
	}
	return nil
}

// attest checks that the files to attest match their checksums, and that the job may attest.
func (j *job) attest(with map[string]string) error {
	if j.permissions["attestations"] != "write" || j.permissions["id-token"] != "write" {
		return errors.New("the job may not attest")
	}
	sums, err := os.ReadFile(filepath.Join(j.workspace, with["subject-checksums"]))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(sums)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		content, err := os.ReadFile(filepath.Join(j.workspace, filepath.Dir(with["subject-checksums"]), name))
		if sum := sha256.Sum256(content); err != nil || hex.EncodeToString(sum[:]) != want {
			return errors.Join(fmt.Errorf("%s does not match its checksum", name), err)
		}
	}
	return nil
}

// standInGH is a script in place of gh. It records its arguments and standard input, remembers what it created, and
// fails without the job's permission.
const standInGH = `#!/bin/bash
set -eu
cd "$GH_STANDIN"
: "${GH_TOKEN:?}" "${GH_REPO:?}"
case $1 in
pr) : "${GH_MAY_pull_requests:?}" ;;
issue | label) : "${GH_MAY_issues:?}" ;;
release) : "${GH_MAY_contents:?}" ;;
esac
{ printf '%q ' gh "$@"; echo; } >> asked
case " $* " in *" - "*) cat >> asked ;; esac
case "$1 $2" in
"issue list") [ ! -e issue ] || echo 7 ;;
"issue create") touch issue ;;
"release view") [ -e release ] ;;
"release create") touch release ;;
esac
`

// ghCalls returns the calls of gh since it was called last.
func (r *ci) ghCalls(t *testing.T) string {
	t.Helper()
	file := filepath.Join(r.home, "ci", "asked")
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	_ = os.Remove(file)
	return string(content)
}

var expression = regexp.MustCompile(`\$\{\{(.*?)\}\}`)

// killWith kills the processes that have a folder in their environment.
func killWith(folder string) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environments {
		if content, _ := os.ReadFile(file); bytes.Contains(content, []byte(folder+"/")) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// interpolate replaces the expressions in a text with their values.
func interpolate(t *testing.T, text string, context map[string]any) string {
	t.Helper()
	return expression.ReplaceAllStringFunc(text, func(one string) string {
		if v := evaluate(t, one, context); v != nil {
			return fmt.Sprint(v)
		}
		return ""
	})
}

// evaluate returns the value of an expression, with or without ${{ and }}.
func evaluate(t *testing.T, text string, context map[string]any) any {
	t.Helper()
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "${{"), "}}")
	node, err := actionlint.NewExprParser().Parse(actionlint.NewExprLexer(text + "}}"))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var of func(node actionlint.ExprNode) any
	of = func(node actionlint.ExprNode) any {
		switch n := node.(type) {
		case *actionlint.VariableNode:
			return context[n.Name]
		case *actionlint.ObjectDerefNode:
			object, _ := of(n.Receiver).(map[string]any)
			for name, v := range object { // actionlint writes names in lower case
				if strings.EqualFold(name, n.Property) {
					return v
				}
			}
			return nil
		case *actionlint.StringNode:
			return n.Value
		case *actionlint.NotOpNode:
			return !truth(of(n.Operand))
		case *actionlint.LogicalOpNode:
			left := of(n.Left)
			if truth(left) == (n.Kind == actionlint.LogicalOpNodeKindOr) {
				return left
			}
			return of(n.Right)
		case *actionlint.CompareOpNode:
			left, right := of(n.Left), of(n.Right)
			if left == nil {
				left = ""
			}
			switch n.Kind {
			case actionlint.CompareOpNodeKindEq:
				return left == right
			case actionlint.CompareOpNodeKindNotEq:
				return left != right
			}
		case *actionlint.FuncCallNode:
			switch strings.ToLower(n.Callee) {
			case "cancelled":
				return false
			case "startswith":
				return strings.HasPrefix(fmt.Sprint(of(n.Args[0])), fmt.Sprint(of(n.Args[1])))
			}
		}
		t.Fatalf("%s: a %T is not implemented here", text, node)
		return nil
	}
	return of(node)
}

func truth(v any) bool { return v != nil && v != "" && v != false }

// TestWorkflows_AreValid lints the workflows and checks rules that no linter has.
func TestWorkflows_AreValid(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(checkout, workflowsDir, "*"))
	if err != nil || len(files) < 7 {
		t.Fatalf("the workflows are %q, want at least 7: %v", files, err)
	}
	files = append(files, filepath.Join(checkout, "docs", "workflows", "localcloud.yml"))
	linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := linter.LintFiles(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range found {
		t.Error(one)
	}
	pinned := regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		for _, never := range []string{"pull_request_target", "workflow_run", "secrets.", "secrets:", "write-all"} {
			if bytes.Contains(content, []byte(never)) {
				t.Errorf("%s has %s, which is not allowed", name, never)
			}
		}
		for line := range strings.Lines(string(content)) {
			if _, used, ok := strings.Cut(line, "uses: "); ok && !strings.HasPrefix(used, "./") &&
				!pinned.MatchString(strings.TrimSpace(used)) {
				t.Errorf("%s uses %s, want it pinned by commit with the version in a comment", name, strings.TrimSpace(used))
			}
		}
		w, errs := actionlint.Parse(content)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if w.Permissions == nil || w.Permissions.All != nil || len(w.Permissions.Scopes) > 0 {
			t.Errorf("%s: want permissions: {} for the workflow", name)
		}
		for id, one := range w.Jobs {
			if one.Permissions == nil {
				t.Errorf("%s: the job %s has no permissions key", name, id)
			}
			if one.WorkflowCall == nil && one.TimeoutMinutes == nil && len(one.Steps) > 1 {
				t.Errorf("%s: the job %s has no timeout", name, id)
			}
			for _, step := range one.Steps {
				if run, ok := step.Exec.(*actionlint.ExecRun); ok && strings.Contains(run.Run.Value, "${{") {
					t.Errorf("%s: the job %s has an expression in a script: %s", name, id, run.Run.Value)
				}
			}
			// Another job must never cancel a job that changes a stack.
			if one.WorkflowCall != nil &&
				slices.Contains([]string{"up", "rotate"}, one.WorkflowCall.Inputs["script"].Value.Value) &&
				(one.Concurrency == nil || one.Concurrency.CancelInProgress == nil || one.Concurrency.CancelInProgress.Value) {
				t.Errorf("%s: another job can cancel the job %s", name, id)
			}
		}
	}
}

// TestPipelines_FromPullRequestToProduction runs the workflows against a local cloud, from a pull request to prod, and
// then drift, rotation, a failed up and a rollback. Most jobs run twice.
func TestPipelines_FromPullRequestToProduction(t *testing.T) {
	t.Parallel()
	r := newCI(t)
	before := r.resources(t)
	t.Run("pull request", func(t *testing.T) {
		r.git(t, "checkout", "--quiet", "-b", "change")
		r.change(t, "Pulumi.dev.yaml", "name: my-secret\n", "name: my-secret\n      rotateEvery: P30D\n")
		for range 2 {
			r.succeed(t, event{name: "pull_request", ref: "refs/heads/change", pull: 5}, "preview/preview", "preview/comment",
				"test/test", "test/lint")
			calls := r.ghCalls(t)
			for _, want := range []string{
				"gh pr comment 5 --edit-last --create-if-none", "### Preview of dev", "### Preview of prod", "create",
			} {
				if !strings.Contains(calls, want) {
					t.Errorf("the calls of gh lack %q:\n%s", want, calls)
				}
			}
		}
		if now := r.resources(t); !slices.Equal(now, before) {
			t.Errorf("after previews there is %q, want %q", now, before)
		}
		results := r.trigger(t, event{name: "pull_request", ref: "refs/heads/change", pull: 6, fork: true})
		if results["preview/preview"].status != "skipped" || results["preview/comment"].status != "skipped" ||
			r.ghCalls(t) != "" {
			t.Errorf("a fork's pull request: got %v, want the jobs skipped", results)
		}
	})
	t.Run("merge", func(t *testing.T) {
		r.git(t, "checkout", "--quiet", "main")
		r.git(t, "merge", "--quiet", "--ff-only", "change")
		for _, want := range []string{"+ 22 created", "22 unchanged"} {
			results := r.succeed(t, event{name: "push", ref: "refs/heads/main"}, "deploy/dev")
			if results["deploy/prod"].status != "skipped" || !strings.Contains(results["deploy/dev"].printed, want) {
				t.Errorf("deploy: got %v, want %q in dev and prod skipped", results, want)
			}
		}
	})
	t.Run("tag", func(t *testing.T) {
		r.change(t, "CHANGELOG.md", "## Unreleased", "## 0.1.0\n\n- The first.\n\n## Unreleased")
		r.git(t, "tag", "v0.1.0")
		for range 2 {
			results := r.succeed(t, event{name: "push", ref: "refs/tags/v0.1.0"}, "deploy/prod", "release/release")
			if results["deploy/dev"].status != "skipped" {
				t.Errorf("deploy of a tag: got %v, want dev skipped", results)
			}
		}
		if calls := r.ghCalls(t); !strings.Contains(calls, "- The first.") ||
			strings.Count(calls, "gh release create v0.1.0") != 1 ||
			strings.Count(calls, "dist/pulumi-resource-keyvaultaks-v0.1.0-linux-amd64.tar.gz dist/SHA256SUMS") != 2 {
			t.Errorf("the calls of gh are\n%s\nwant one release with notes, and its files uploaded twice", calls)
		}
	})
	drift := event{name: "schedule", ref: "refs/heads/main", workflow: "drift"}
	t.Run("drift", func(t *testing.T) {
		// Azure also lists additional pools in the cluster, which only a refresh brings into the state.
		r.succeed(t, event{name: "workflow_dispatch", ref: "refs/tags/v0.1.0", workflow: "deploy", refresh: true},
			"deploy/prod")
		r.succeed(t, drift, "drift/drift")
		if calls := r.ghCalls(t); calls != "" {
			t.Errorf("without drift the calls of gh are\n%s\nwant none", calls)
		}
		r.tagGroup(t, "keyvault-demo", "somebody")
		for range 2 {
			results := r.trigger(t, drift)
			if results["drift/drift"].status != "failure" || results["drift/issue"].status != "success" {
				t.Fatalf("drift: got %v, want the job drift failed, and issue successful", results)
			}
		}
		calls := r.ghCalls(t)
		if strings.Count(calls, "gh issue create") != 1 || strings.Count(calls, "gh issue edit 7") != 1 ||
			!strings.Contains(calls, "### Drift of dev") || !strings.Contains(calls, "somebody") ||
			strings.Contains(calls, "Drift of prod") {
			t.Errorf("the calls of gh are\n%s\nwant one issue about dev, created and edited", calls)
		}
		r.succeed(t, event{name: "workflow_dispatch", ref: "refs/heads/main", workflow: "deploy", refresh: true},
			"deploy/dev")
		r.succeed(t, drift, "drift/drift")
	})
	rotation := event{name: "schedule", ref: "refs/heads/main", workflow: "rotate"}
	t.Run("rotation", func(t *testing.T) {
		// A rotation must bring up the deployed commit, not the newest on main.
		r.change(t, "Pulumi.prod.yaml", `logRetentionDays: "90"`, `logRetentionDays: "91"`)
		first := r.secret(t, "dev", "my-secret")
		rotate := func(want string) {
			t.Helper()
			results := r.succeed(t, rotation, "rotate/rotate dev dev", "rotate/rotate prod-rotation prod")
			if printed := results["rotate/rotate prod-rotation prod"].printed; !strings.Contains(printed, "53 unchanged") {
				t.Errorf("the rotation changed prod: %s", printed)
			}
			if now := r.secret(t, "dev", "my-secret"); (now != first) != (want == "another") {
				t.Errorf("the secret's version is %s, before %s, want %s", now, first, want)
			}
		}
		rotate("the same")
		r.ageState(t, "dev", 31)
		rotate("another")
		first = r.secret(t, "dev", "my-secret")
		rotate("the same")
	})
	t.Run("failed up", func(t *testing.T) {
		r.change(t, "Pulumi.dev.yaml", `keyvault-aks:vaultRetentionDays: "7"`,
			"keyvault-aks:tags: {team: a}\n  keyvault-aks:vaultRetentionDays: \"7\"")
		r.setFaults(t, "rules: [{rate: 1, method: PUT, path: '/managedClusters/', status: 400}]")
		if results := r.trigger(t, event{name: "push", ref: "refs/heads/main"}); results["deploy/dev"].status != "failure" {
			t.Errorf("deploy: got %v, want dev failed", results)
		}
		r.endFaults(t)
		next := r.succeed(t, event{name: "push", ref: "refs/heads/main"}, "deploy/dev")["deploy/dev"]
		if !strings.Contains(next.printed, "ManagedCluster cluster-cluster updated") {
			t.Errorf("the next up did not update the cluster:\n%s", next.printed)
		}
	})
	t.Run("next tag and rollback", func(t *testing.T) {
		r.change(t, "Pulumi.prod.yaml", "length: 64", "length: 65")
		r.git(t, "tag", "v0.2.0")
		keeps := func() string {
			vault, cluster := r.resource(t, "prod", "vault-vault"), r.resource(t, "prod", "cluster-cluster")
			return vault.ID + cluster.ID + r.secret(t, "prod", "billing-db")
		}
		kept, first := keeps(), r.secret(t, "prod", "my-secret")
		r.succeed(t, event{name: "push", ref: "refs/tags/v0.2.0"}, "deploy/prod")
		second := r.secret(t, "prod", "my-secret")
		for range 2 {
			r.succeed(t, event{name: "workflow_dispatch", ref: "refs/tags/v0.1.0", workflow: "deploy"}, "deploy/prod")
		}
		third := r.secret(t, "prod", "my-secret")
		// A rollback generates a new value, so there are three versions.
		if first == second || second == third || first == third {
			t.Errorf("the secret's versions were %s, %s, %s, want three different ones", first, second, third)
		}
		if now := keeps(); now != kept {
			t.Errorf("the vault, cluster and other secret are %s, want %s as before", now, kept)
		}
	})
	t.Run("GitLab", func(t *testing.T) { r.wantSameOnGitLab(t) })
}

// wantSameOnGitLab runs GitLab's jobs for the stacks that GitHub's jobs brought up. They must change nothing, and find
// drift as GitHub's do.
func (r *ci) wantSameOnGitLab(t *testing.T) {
	succeed := func(p pipeline, jobs ...string) map[string]result {
		t.Helper()
		results := r.triggerGitLab(t, p)
		if names := slices.Sorted(maps.Keys(results)); !slices.Equal(names, jobs) {
			t.Fatalf("%+v runs the jobs %q, want %q", p, names, jobs)
		}
		for name, one := range results {
			if one.status != "success" {
				t.Fatalf("%s: %s\n%s", name, one.status, one.printed)
			}
		}
		return results
	}
	r.git(t, "checkout", "--quiet", "-B", "change")
	r.git(t, "checkout", "--quiet", "main")
	results := succeed(pipeline{source: "merge_request_event", branch: "change"}, "preview", "test")
	previewed := results["preview"].outputs["preview.md"]
	if !strings.Contains(previewed, "### Preview of dev") || !strings.Contains(previewed, "### Preview of prod") {
		t.Errorf("preview.md lacks a preview of dev or prod:\n%s", previewed)
	}
	succeed(pipeline{source: "merge_request_event", branch: "change", project: "somebody/fork"}, "test")
	for want, p := range map[string]pipeline{
		"22 unchanged": {source: "push", branch: "main"}, "53 unchanged": {source: "push", tag: "v0.1.0"},
	} {
		jobs := []string{"dev", "test"}
		if p.tag != "" {
			jobs = []string{"prod"}
		}
		if up := succeed(p, jobs...)[jobs[0]]; !strings.Contains(up.printed, want) {
			t.Errorf("%s printed\n%s\nwant %q", jobs[0], up.printed, want)
		}
	}
	succeed(pipeline{source: "schedule", branch: "main", variables: map[string]string{"TASK": "rotate"}}, "rotate dev")
	succeed(pipeline{source: "schedule", tag: "v0.1.0", variables: map[string]string{"TASK": "rotate"}}, "rotate prod")
	look := pipeline{source: "schedule", branch: "main", variables: map[string]string{"TASK": "drift"}}
	succeed(look, "drift")
	r.tagGroup(t, "keyvault-demo", "somebody")
	if found := r.triggerGitLab(t, look)["drift"]; found.status != "failure" ||
		!strings.Contains(found.outputs["drift.md"], "somebody") {
		t.Errorf("drift: got %v, want a failure with the change in drift.md", found)
	}
	succeed(pipeline{source: "web", branch: "main", variables: map[string]string{"REFRESH": "true"}}, "dev")
	succeed(look, "drift")
	// Another branch's pipeline has a subject that no identity trusts.
	r.git(t, "branch", "--force", "other", "change")
	refused := r.triggerGitLab(t, pipeline{source: "merge_request_event", branch: "other"})["preview"]
	if refused.status != "failure" || !strings.Contains(refused.printed, "AADSTS700213") {
		t.Errorf("preview of a branch that no identity trusts: got %s, want a failure with AADSTS700213\n%s",
			refused.status, refused.printed)
	}
}

// resource returns the resource with a name in a stack's state.
func (r *ci) resource(t *testing.T, stack, name string) resource {
	t.Helper()
	var exported struct{ Deployment checkpoint }
	if err := json.Unmarshal([]byte(r.asOwner(t, "pulumi", "stack", "export", "--stack", stack)), &exported); err != nil {
		t.Fatal(err)
	}
	for _, one := range exported.Deployment.Resources {
		if strings.HasSuffix(one.URN, "::"+name) {
			return one
		}
	}
	t.Fatalf("stack %s has no resource %s", stack, name)
	return resource{}
}

// secret returns the version of a secret in a stack's vault.
func (r *ci) secret(t *testing.T, stack, name string) string {
	t.Helper()
	secret := r.arm(t, http.MethodGet, r.resource(t, stack, "vault-secret-"+name).ID, "2023-02-01", "")
	return secret["properties"].(map[string]any)["secretUriWithVersion"].(string)
}

var rememberedTime = regexp.MustCompile(`"made": "([^"]+)"`)

// ageState moves the times of rotation in a stack's state to so many days earlier.
func (r *ci) ageState(t *testing.T, stack string, days int) {
	t.Helper()
	file := filepath.Join(r.home, "ci", "state.json")
	r.asOwner(t, "pulumi", "stack", "export", "--stack", stack, "--file", file)
	state, err := os.ReadFile(file)
	if err != nil || !rememberedTime.Match(state) {
		t.Fatalf("the state has no time of a rotation: %v", err)
	}
	state = rememberedTime.ReplaceAllFunc(state, func(text []byte) []byte {
		made, err := time.Parse(time.RFC3339, string(rememberedTime.FindSubmatch(text)[1]))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, `"made": %q`, made.AddDate(0, 0, -days).Format(time.RFC3339))
	})
	if err := os.WriteFile(file, state, 0o600); err != nil {
		t.Fatal(err)
	}
	r.asOwner(t, "pulumi", "stack", "import", "--stack", stack, "--file", file)
}

// TestPipelines_SurviveConflictAndKill checks how to continue after a job that was killed while Azure created the
// cluster, after a cancelled job, and after two jobs at once.
func TestPipelines_SurviveConflictAndKill(t *testing.T) {
	t.Parallel()
	r := newCI(t)
	push := event{name: "push", ref: "refs/heads/main"}
	up := func() result { return r.trigger(t, push)["deploy/dev"] }
	refused := func(one result) bool {
		return one.status == "failure" && strings.Contains(one.printed, "the stack is currently locked by 1 lock(s)") &&
			strings.Contains(one.printed, "pulumi cancel")
	}
	when := func(do func(jobEnd), printed ...string) {
		done := false
		r.watch = func(all string, end jobEnd) {
			isMissing := func(text string) bool { return !strings.Contains(all, text) }
			if !done && !slices.ContainsFunc(printed, isMissing) {
				done = true
				do(end)
			}
		}
	}

	made := regexp.MustCompile(`method=PUT \S+ path=\S+/managedClusters/aks-keyvault-cluster status=201`)
	// By then everything that does not wait for the cluster is in the state, so only the cluster is lost.
	when(func(end jobEnd) {
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if log, _ := os.ReadFile(filepath.Join(r.home, localcloudtest.LogFile)); made.Match(log) {
				break
			}
		}
		end.kill()
	}, "ManagedCluster cluster-cluster creating", "vault-secret-my-secret created", "vault-key-my-key created",
		"mount-role-secret-my-secret created", "mount-role-key-my-key created")
	if killed := up(); killed.status != "failure" {
		t.Fatalf("up was not killed: %s", killed.printed)
	}
	r.watch = nil
	if next := up(); !refused(next) {
		t.Errorf("the up after the killed one: got %s, want a failure about the lock\n%s", next.status, next.printed)
	}
	r.asOwner(t, "pulumi", "cancel", "--yes", "--stack", "dev")
	// Azure has a cluster that is not in the state. Import it, as docs/pipelines.md describes.
	r.asOwner(t, "pulumi", "refresh", "--yes", "--stack", "dev", "--clear-pending-creates")
	lost := filepath.Join(r.home, "ci", "lost.json")
	if err := os.WriteFile(lost, []byte(asJSON(t, map[string]any{
		"nameTable": map[string]string{"cluster": "urn:pulumi:dev::keyvault-aks::keyvaultaks:index:AksWithCsi::cluster"},
		"resources": []map[string]string{
			{
				"type":    "azure-native:containerservice/v20240901:ManagedCluster",
				"name":    "cluster-cluster",
				"parent":  "cluster",
				"version": "2.92.0",
				"id": "/subscriptions/" + r.running(t).Credentials.SubscriptionID +
					"/resourceGroups/keyvault-demo/providers/Microsoft.ContainerService/managedClusters/aks-keyvault-cluster",
			},
		},
	})), 0o600); err != nil {
		t.Fatal(err)
	}
	r.asOwner(t, "pulumi", "import", "--yes", "--stack", "dev", "--file", lost, "--generate-code=false", "--protect=false")
	if next := up(); next.status != "success" {
		t.Fatalf("the up after the import: %s\n%s", next.status, next.printed)
	}
	if again := up(); again.status != "success" || !strings.Contains(again.printed, "21 unchanged") {
		t.Errorf("the next up: got %s, want 21 unchanged\n%s", again.status, again.printed)
	}

	// A cancelled up finishes what it has begun and releases the lock.
	r.change(t, "Pulumi.dev.yaml", "keyvault-aks:secrets:\n",
		"keyvault-aks:secrets:\n    - name: cancelled\n      generate: {length: 20}\n")
	when(func(end jobEnd) { end.interrupt() }, "vault-value-cancelled creat")
	if cancelled := up(); cancelled.status != "failure" {
		t.Errorf("the cancelled up: got %s, want a failure\n%s", cancelled.status, cancelled.printed)
	}
	r.watch = nil
	if next := up(); next.status != "success" || strings.Contains(next.printed, "pending operations") {
		t.Errorf("the up after the cancelled one: got %s, want success without pending operations\n%s", next.status,
			next.printed)
	}

	// Two jobs at once.
	r.change(t, "Pulumi.dev.yaml", "keyvault-aks:secrets:\n",
		"keyvault-aks:secrets:\n    - name: another\n      generate: {length: 20}\n")
	var second result
	when(func(jobEnd) {
		r.watch = nil
		second = up()
	}, "vault-secret-another creat")
	first := up()
	if first.status != "success" || !refused(second) {
		t.Errorf("the first up: got %s, want success\n%s\nthe second up: got %s, want a failure about the lock\n%s",
			first.status, first.printed, second.status, second.printed)
	}
	if again := up(); again.status != "success" {
		t.Errorf("the second up, again: got %s, want success\n%s", again.status, again.printed)
	}
}

// tagGroup tags a resource group, as somebody would in the portal.
func (r *ci) tagGroup(t *testing.T, name, by string) {
	t.Helper()
	group := "/subscriptions/" + r.running(t).Credentials.SubscriptionID + "/resourceGroups/" + name
	r.arm(t, http.MethodPatch, group, "2022-09-01", asJSON(t, map[string]any{"tags": map[string]string{"by": by}}))
}

// succeed runs the jobs for an event and checks that the given ones succeed.
func (r *ci) succeed(t *testing.T, e event, jobs ...string) map[string]result {
	t.Helper()
	results := r.trigger(t, e)
	for _, name := range jobs {
		if results[name].status != "success" {
			t.Fatalf("%s: %s\n%s", name, results[name].status, results[name].printed)
		}
	}
	return results
}

// asOwner runs a command in the repository as the subscription's owner.
func (r *ci) asOwner(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd, err := r.prepare(t, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir = r.origin
	cmd.Env = append(cmd.Env, "PULUMI_BACKEND_URL="+r.vars[""]["PULUMI_BACKEND_URL"])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, args[0], err, out)
	}
	return string(out)
}
