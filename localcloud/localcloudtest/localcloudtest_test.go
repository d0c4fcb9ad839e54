package localcloudtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// TestPackage_HasFewImports checks that importers compile only the standard library and nothing of the cloud.
func TestPackage_HasFewImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{modulePath + "/internal/layout", modulePath + "/localcloudtest"}
	if got := strings.Fields(string(out)); !slices.Equal(got, want) {
		t.Errorf("it imports %q, want %q", got, want)
	}
}

func TestBuildFlags_EqualTheLocalClouds(t *testing.T) {
	t.Setenv("GOFLAGS", "")
	if want := thirdparty.ProgramFlags(); buildFlags != want {
		t.Errorf("they are %q, want %q", buildFlags, want)
	}
}

// TestDoc_NamesVersionForYAML compares the package's comment with the plugin's version.
func TestDoc_NamesVersionForYAML(t *testing.T) {
	source, err := os.ReadFile("localcloudtest.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(source), "\npackage ")
	for _, want := range []string{
		"options: {version: " + plugin.Version2 + "}", "pulumi package add azure-native@" + plugin.Version2 + "`",
	} {
		if !strings.Contains(comment, want) {
			t.Errorf("%q is not in the package's comment", want)
		}
	}
}

// TestBuild_UsesModuleInGoMod builds the command for another module, which lacks sums of the command's imports. The
// second build must not change it.
func TestBuild_UsesModuleInGoMod(t *testing.T) {
	cache, err := goCommand(".", "env", "GOCACHE")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", strings.TrimSpace(string(cache)))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := build(dir); err == nil {
		t.Error("it is built for a folder without a module")
	}
	const other = "module example.com/other\n\ngo 1.26.0\n\nrequire " + modulePath + " v0.0.0\n\n" +
		"replace " + modulePath + " => "
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(other+here+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := build(dir)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "--help").CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "localcloud") {
		t.Errorf("%v\n%s", err, out)
	}
	before, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	again, err := build(dir)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(again); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was linked again: %v", err)
	}
}

// TestGuard_CleansUpAfterKilledTest kills a process that holds the guard's pipe while its local cloud starts.
func TestGuard_CleansUpAfterKilledTest(t *testing.T) {
	dir := t.TempDir()
	command := filepath.Join(dir, "localcloud")
	// The first down fails, as it does while an up is running.
	const script = `#!/bin/sh
echo "$@" >> "$0.said"
case $* in
*start) sleep 0.5; echo started >> "$0.said" ;;
*) [ $(wc -l < "$0.said") -gt 3 ] && rm -r "$4" ;; # the home
esac
`
	if err := os.WriteFile(command, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "project")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("KEYVAULT_AKS_TEST_GUARDED") == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "KEYVAULT_AKS_TEST_GUARDED="+dir, "TMPDIR="+dir)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("the process was not killed\n%s", out)
		}
		for range 100 {
			if _, err := os.Stat(project); os.IsNotExist(err) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if _, err := os.Stat(project); err == nil {
			t.Error("the folder is left")
		}
		said, _ := os.ReadFile(command + ".said")
		one := "--project " + project + " --home " + filepath.Join(project, "home")
		down := one + " down --skip-destroy\n"
		if string(said) != one+" start\nstarted\n"+down+down {
			t.Errorf("localcloud was called with\n%s", said)
		}
		return
	}
	dir = os.Getenv("KEYVAULT_AKS_TEST_GUARDED")
	project = filepath.Join(dir, "project")
	h := Home{Command: filepath.Join(dir, "localcloud"), Project: project, Dir: filepath.Join(project, "home")}
	c := &Cloud{Home: h}
	alive, _, err := c.guard()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.start(t.Context(), alive, nil) }()
	for range 1000 {
		if _, err := os.Stat(c.Command + ".said"); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	t.Fatal(err)
}

// TestVariables_EmptyTheTestsOwn checks that variables which programs must not have are empty: the Automation API adds
// its variables to those of the process.
func TestVariables_EmptyTheTestsOwn(t *testing.T) {
	t.Setenv("ARM_USE_OIDC", "true")
	t.Setenv("HTTPS_PROXY", "http://theirs")
	c := &Cloud{Env: []string{"HTTPS_PROXY=http://127.0.0.1:7", "A=b=c"}}
	all := c.Variables()
	if value, ok := all["ARM_USE_OIDC"]; !ok || value != "" || all["HTTPS_PROXY"] != "http://127.0.0.1:7" ||
		all["A"] != "b=c" {
		t.Errorf("they are %v", all)
	}
}
