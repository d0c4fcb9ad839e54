package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// script runs a script after deploy/ci/common.sh in a new folder, whose repository has one commit, with a script in
// place of pulumi. It returns the output, the folder, and the temporary files that are left.
func script(t *testing.T, text, pulumi string, env ...string) (out, dir string, left []string, err error) {
	t.Helper()
	dir = t.TempDir()
	for _, folder := range []string{"bin", "temp", "clone"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "pulumi"), []byte("#!/bin/bash\n"+pulumi), 0o700); err != nil {
		t.Fatal(err)
	}
	common, err := filepath.Abs(filepath.Join(checkout, "deploy", "ci"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(untilEnding(t), "bash", "-c", `git init --quiet && git commit --quiet --allow-empty -m first
		CI_SCRIPTS=`+common+`; . "$CI_SCRIPTS/common.sh"; HEAD=$(git rev-parse HEAD); export HEAD
		`+text)
	cmd.Dir = filepath.Join(dir, "clone")
	cmd.Env = append(slices.Concat(os.Environ(), gitEnvironment, env),
		"TMPDIR="+filepath.Join(dir, "temp"), "RUNNER_TEMP=", "GITHUB_OUTPUT=",
		"PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	printed, err := cmd.CombinedOutput()
	left, globErr := filepath.Glob(filepath.Join(dir, "temp", "*"))
	return string(printed), dir, left, errors.Join(err, globErr)
}

// TestScripts_LeaveNoToken checks that no file has the token after a job, however it ends, while processes that pulumi
// starts can read it.
func TestScripts_LeaveNoToken(t *testing.T) {
	t.Parallel()
	signedIn := []string{
		"AZURE_ID_TOKEN=the-token",
		"ARM_CLIENT_ID=a",
		"ARM_TENANT_ID=b",
		"ARM_SUBSCRIPTION_ID=c",
		"PULUMI_BACKEND_URL=file:///x",
	}
	const pulumi = `if [[ $1 != login ]]; then bash -c 'echo "read $(cat "$AZURE_FEDERATED_TOKEN_FILE")"'; fi; `
	for name, one := range map[string]struct {
		script, pulumi string
		killed         bool
	}{
		"exec":          {script: `. "$CI_SCRIPTS/up.sh" dev`},
		"killed":        {script: `pulumi up; kill -9 $$`, killed: true},
		"renewed token": {script: `renew; renew; pulumi up`},
		"killed after exec": {
			script: `. "$CI_SCRIPTS/up.sh" dev`, pulumi: "if [[ $1 = up ]]; then kill -9 $$; fi", killed: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, left, err := script(t, "sign_in; "+one.script, pulumi+one.pulumi, signedIn...)
			if (err != nil) != one.killed || !strings.Contains(out, "read the-token\n") {
				t.Errorf("got %v, want killed: %t, and the token read\n%s", err, one.killed, out)
			}
			if len(left) > 0 {
				t.Errorf("the script left %q", left)
			}
		})
	}
}

// TestScripts_FindDeployedCommit checks that the scripts find the commit of the newest update, whatever else the
// history has, and reject an update without a commit.
func TestScripts_FindDeployedCommit(t *testing.T) {
	t.Parallel()
	update := func(kind, head, more string) string {
		return fmt.Sprintf(`  {
    "version": 2,
    "kind": %q,
    "startTime": "2026-11-28T00:00:00.000Z",
    "message": "kind \"update\"",
    "environment": {
      "exec.kind": "cli"%s
    },
    "config": {
      "keyvault-aks:workloads": {
        "objectValue": [
          {
            "git.head": "of a configuration",
            "kind": "destroy"
          }
        ],
        "secret": false
      }
    },
    "result": "succeeded"
  }`, kind, head+more)
	}
	const dirty, clean, head = `,
      "git.dirty": "true"`, `,
      "git.dirty": "false"`, `,
      "git.head": "'$HEAD'"`
	for name, one := range map[string]struct {
		history []string
		want    string // HEAD, a part of the error, or nothing
	}{
		"update":        {[]string{update("update", clean, head)}, "HEAD"},
		"refresh":       {[]string{update("refresh", "", ""), update("update", clean, head)}, "HEAD"},
		"no history":    {nil, ""},
		"destroy":       {[]string{update("destroy", clean, head), update("update", clean, head)}, ""},
		"without git":   {[]string{update("update", "", ""), update("update", clean, head)}, "uncommitted files"},
		"changed files": {[]string{update("update", dirty, head), update("update", clean, head)}, "uncommitted files"},
		"commit not in the clone": {[]string{update("update", clean, `,
      "git.head": "0123456789012345678901234567890123456789"`)}, "not in this clone"},
		"option instead of a commit": {[]string{update("update", clean, `,
      "git.head": "--upload-pack=touch ../owned"`)}, "not in this clone"},
	} {
		t.Run(name, func(t *testing.T) {
			history := "echo '[\n" + strings.Join(one.history, ",\n") + "\n]'"
			out, dir, _, err := script(t,
				`dir=$(deployed dev); [[ -z $dir ]] || git -C "$dir" rev-parse HEAD | sed "s/$HEAD/HEAD/"`, history)
			if refused := strings.Contains(one.want, " "); (err != nil) != refused || !strings.Contains(out, one.want) ||
				one.want == "" && out != "" {
				t.Errorf("got %q and %v, want %q", out, err, one.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
				t.Error("git took the commit for an option")
			}
		})
	}
	t.Run("drift of the other stacks", func(t *testing.T) {
		out, dir, left, err := script(t, `. "$CI_SCRIPTS/drift.sh" dev prod`, `case $* in
*history*dev*) echo '[
`+update("update", dirty, head)+`
]' ;;
*history*) echo '[
`+update("update", clean, head)+`
]' ;;
*) echo "somebody was here"; exit 1 ;;
esac`)
		report, readErr := os.ReadFile(filepath.Join(dir, "clone", "drift.md"))
		if err == nil || readErr != nil || !strings.Contains(string(report), "dev cannot be checked") ||
			!strings.Contains(string(report), "    somebody was here") {
			t.Errorf("got %v, %v, want both stacks in the report\n%s\n%s", err, readErr, report, out)
		}
		if len(left) > 0 {
			t.Errorf("the script left %q", left)
		}
	})
}

// TestScripts_QuoteOutput checks that a program's output cannot end the block that quotes it, and that a comment stays
// within GitHub's limit of 65536 characters.
func TestScripts_QuoteOutput(t *testing.T) {
	t.Parallel()
	out, dir, left, err := script(t, `. "$CI_SCRIPTS/preview.sh" dev prod`,
		`printf 'one\r@everyone\r\n# two\n'; yes '' | head -n 30000; printf 'one\r@everyone\r\n# two\n'`)
	if err != nil {
		t.Fatalf("preview.sh: %v\n%.500s", err, out)
	}
	comment, err := os.ReadFile(filepath.Join(dir, "clone", "preview.md"))
	if err != nil || len(comment) > 65536 || len(left) > 0 {
		t.Errorf("the comment has %d bytes, want at most 65536; the script left %q: %v", len(comment), left, err)
	}
	for _, line := range strings.FieldsFunc(string(comment), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if !strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "### Preview of ") {
			t.Errorf("the comment has the line %q outside a quote", line)
		}
	}
}
