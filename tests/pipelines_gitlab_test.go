package tests

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// gitlabJob has the fields of a job of .gitlab-ci.yml that its commands depend on.
type gitlabJob struct {
	Extends      string
	Stage        string
	Variables    map[string]string
	IDTokens     map[string]struct{ Aud string } `json:"id_tokens"`
	Rules        []struct{ If, When string }
	BeforeScript []string `json:"before_script"`
	Script       []string
	Artifacts    struct{ Paths []string }
}

// pipeline describes what GitLab runs jobs for.
type pipeline struct {
	source    string // merge_request_event, push, schedule or web
	branch    string // source branch of a merge request
	tag       string
	project   string // source project of a merge request; defaults to the project itself
	variables map[string]string
}

// gitlabFileJobs returns the jobs of a .gitlab-ci.yml, each merged with the job that it extends, and the workflow's
// rules.
func gitlabFileJobs(t *testing.T, content []byte) (jobs map[string]gitlabJob, rules []struct{ If, When string }) {
	t.Helper()
	var file map[string]any
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	jobs = map[string]gitlabJob{}
	decode := func(name string, into any) {
		text, err := yaml.Marshal(file[name])
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name := range file {
		switch {
		case name == "workflow":
			var workflow struct {
				Rules []struct{ If, When string }
			}
			decode(name, &workflow)
			rules = workflow.Rules
		case name == "stages" || strings.HasPrefix(name, "."):
		default:
			var one gitlabJob
			decode(name, &one)
			if one.Extends != "" {
				var base gitlabJob
				decode(one.Extends, &base)
				variables := maps.Clone(base.Variables)
				maps.Copy(variables, one.Variables)
				one.Variables, one.IDTokens, one.BeforeScript = variables, base.IDTokens, base.BeforeScript
			}
			jobs[name] = one
		}
	}
	return jobs, rules
}

// conditionHolds evaluates a rule's condition, which may only have comparisons and &&.
func conditionHolds(t *testing.T, condition string, variables map[string]string) bool {
	t.Helper()
	if strings.Contains(condition, "||") || strings.Contains(condition, "(") {
		t.Fatalf("%s: not implemented here", condition)
	}
	operand := func(text string) string {
		if name, ok := strings.CutPrefix(text, "$"); ok {
			return variables[name]
		}
		return strings.Trim(text, `"`)
	}
	for part := range strings.SplitSeq(condition, " && ") {
		words := strings.Fields(part)
		is := false
		switch {
		case len(words) == 1:
			is = operand(words[0]) != ""
		case len(words) == 3 && words[1] == "==":
			is = operand(words[0]) == operand(words[2])
		case len(words) == 3 && words[1] == "!=":
			is = operand(words[0]) != operand(words[2])
		case len(words) == 3 && words[1] == "=~":
			is = regexp.MustCompile(strings.Trim(words[2], "/")).MatchString(operand(words[0]))
		default:
			t.Fatalf("%s: not implemented here", condition)
		}
		if !is {
			return false
		}
	}
	return true
}

// triggerGitLab runs the jobs that GitLab would run for a pipeline, also manual ones, and returns their results.
func (r *ci) triggerGitLab(t *testing.T, p pipeline) map[string]result {
	t.Helper()
	ref, kind := p.branch, "branch"
	if p.tag != "" {
		ref, kind = p.tag, "tag"
	}
	variables := map[string]string{
		"CI":                 "true",
		"GITLAB_CI":          "true",
		"CI_PIPELINE_SOURCE": p.source,
		"CI_DEFAULT_BRANCH":  "main",
		"CI_PROJECT_PATH":    r.gitlab,
		"CI_COMMIT_TAG":      p.tag,
		"CI_COMMIT_REF_NAME": ref,
	}
	switch {
	case p.source == "merge_request_event":
		variables["CI_MERGE_REQUEST_SOURCE_PROJECT_PATH"] = r.gitlab
		if p.project != "" {
			variables["CI_MERGE_REQUEST_SOURCE_PROJECT_PATH"] = p.project
		}
	case p.tag == "":
		variables["CI_COMMIT_BRANCH"] = p.branch
	}
	maps.Copy(variables, r.gitlabVariables)
	maps.Copy(variables, p.variables)
	jobs, workflow := gitlabFileJobs(t, []byte(r.git(t, "show", ref+":"+gitlabFile)))
	results := map[string]result{}
	ruled := func(rules []struct{ If, When string }) bool {
		return slices.ContainsFunc(rules,
			func(rule struct{ If, When string }) bool { return conditionHolds(t, rule.If, variables) })
	}
	if !ruled(workflow) {
		return results
	}
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		if one := jobs[name]; ruled(one.Rules) {
			results[name] = r.runGitLabJob(t, one, variables, ref, kind)
		}
	}
	return results
}

func (r *ci) runGitLabJob(t *testing.T, of gitlabJob, variables map[string]string, ref, kind string) result {
	t.Helper()
	dir := r.jobFolder(t)
	workspace := filepath.Join(dir, "workspace")
	clone := exec.Command("git", "clone", "--quiet", "--no-local", "--branch", ref, "file://"+r.origin, workspace)
	clone.Env = append(os.Environ(), gitEnvironment...)
	if out, err := clone.CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	env := r.environ(t, dir)
	all := maps.Clone(variables)
	for name, value := range of.Variables {
		all[name] = os.Expand(value, func(name string) string { return variables[name] })
	}
	for name, token := range of.IDTokens {
		audience := os.Expand(token.Aud, func(name string) string { return all[name] })
		all[name] = r.ciToken(t, "gitlab", "--subject", "project_path:"+r.gitlab+":ref_type:"+kind+":ref:"+ref, "--audience",
			audience)
	}
	for name, value := range all {
		env = append(env, name+"="+value)
	}
	var lines []string
	for _, line := range append(slices.Clone(of.BeforeScript), of.Script...) {
		if other := replacements[line]; other != "" {
			line = other
		}
		lines = append(lines, line)
	}
	var printed bytes.Buffer
	cmd := r.localcloud().Program(untilEnding(t), env, "bash", "-c", "set -eo pipefail\n"+strings.Join(lines, "\n"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = workspace, &printed, &printed
	outcome := result{status: "success", outputs: map[string]string{}}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(&printed, err)
		outcome.status = "failure"
	}
	for _, path := range of.Artifacts.Paths {
		content, _ := os.ReadFile(filepath.Join(workspace, path))
		outcome.outputs[path] = string(content)
	}
	outcome.printed = printed.String()
	return outcome
}

// TestGitLabFile_IsValid validates .gitlab-ci.yml with gitlab-ci-local, which has GitLab's schema and lists the jobs.
func TestGitLabFile_IsValid(t *testing.T) {
	t.Parallel()
	needsNPM(t)
	dir := t.TempDir()
	content, err := os.ReadFile(filepath.Join(checkout, gitlabFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, gitlabFile), content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(untilEnding(t), name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), gitEnvironment...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, words := range [][]string{
		{"git", "init", "--quiet", "--initial-branch=main"},
		{"npm", "install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "gitlab-ci-local@4.60.0"},
	} {
		if out, err := run(words[0], words[1:]...); err != nil {
			t.Fatalf("%s: %v\n%s", words[0], err, out)
		}
	}
	// The package re2 compiles for minutes. JavaScript's own RegExp replaces it.
	re2 := filepath.Join(dir, "node_modules", "re2", "re2.js")
	if err := os.WriteFile(re2, []byte("module.exports = RegExp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listed, err := run(filepath.Join(dir, "node_modules", ".bin", "gitlab-ci-local"), "--list-all")
	if err != nil || !strings.Contains(listed, "json schema validated") {
		t.Fatalf("gitlab-ci-local: %v\n%s", err, listed)
	}
	jobs, _ := gitlabFileJobs(t, content)
	for name := range jobs {
		if !regexp.MustCompile(`(?m)^` + name + ` +`).MatchString(listed) {
			t.Errorf("gitlab-ci-local does not list the job %s:\n%s", name, listed)
		}
	}
	wrong := bytes.Replace(content, []byte("stage: watch"), []byte("stage: watched"), 1)
	if err := os.WriteFile(filepath.Join(dir, gitlabFile), wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(filepath.Join(dir, "node_modules", ".bin", "gitlab-ci-local"), "--list-all"); err == nil {
		t.Errorf("gitlab-ci-local accepts an unknown stage:\n%s", out)
	}
}
