package tests

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// installed is a user's PULUMI_HOME with plugins. Each plugin is a script that notes its start and the variables by
// which it finds Azure, and then runs the stand-in through a link beside it. Without the real plugins, this shows that
// the engine runs installed plugins, with the variables that lead to the local cloud.
type installed struct{ home, notes string }

func installPlugins(t *testing.T, plugins ...string) installed {
	t.Helper()
	i := installed{t.TempDir(), filepath.Join(t.TempDir(), "notes")}
	for _, plugin := range plugins {
		name, _, _ := strings.Cut(strings.TrimPrefix(plugin, "resource-"), "-v")
		program := "pulumi-resource-" + name
		dir := filepath.Join(i.home, "plugins", plugin)
		// The stand-in reads its version in the folder that it is started from.
		if err := os.MkdirAll(filepath.Join(dir, "inner", plugin), 0o755); err != nil {
			t.Fatal(err)
		}
		standIn := filepath.Join(checkout, "bin", "localcloud")
		if err := os.Symlink(standIn, filepath.Join(dir, "inner", plugin, program)); err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/sh\nhere=$(dirname \"$0\")\n"+
			"echo %[1]s $HTTPS_PROXY $SSL_CERT_FILE $ARM_TENANT_ID $ARM_SUBSCRIPTION_ID $ARM_CLIENT_ID "+
			"${ARM_CLIENT_SECRET:+secret} >> '%[2]s'\n"+
			"exec \"$here/inner/%[1]s/%[3]s\" \"$@\"\n", plugin, i.notes, program)
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// started returns the plugins that were started since the last call.
func (i installed) started(t *testing.T, want localcloudtest.Running) []string {
	t.Helper()
	notes, err := os.ReadFile(i.notes)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	_ = os.Remove(i.notes)
	found := map[string]bool{}
	for line := range strings.Lines(string(notes)) {
		plugin, given, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[plugin] = true
		c := want.Credentials
		way := []string{"http://" + want.Proxy, want.CAFile, c.TenantID, c.SubscriptionID, c.ClientID, "secret"}
		if given != strings.Join(way, " ") {
			t.Errorf("%s was started with %s, want %s", plugin, given, strings.Join(way, " "))
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// upOf brings the stack up as a user with installed plugins, and with other plugins on PATH.
func (c *cloud) upOf(t *testing.T, i installed, args ...string) (string, error) {
	t.Helper()
	path := t.TempDir()
	for _, name := range []string{"pulumi-resource-azure-native", "pulumi-resource-random"} {
		script := fmt.Sprintf("#!/bin/sh\necho on-path >> '%s'\nexit 1\n", i.notes)
		if err := os.WriteFile(filepath.Join(path, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := c.command(t, append([]string{"up"}, args...)...)
	cmd.Env = append(os.Environ(), "PULUMI_HOME="+i.home, "PATH="+path+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	printed := string(out)
	if err == nil {
		printed, _ = withoutLastLine(printed)
	}
	c.printed.WriteString(printed)
	return printed, err
}

// TestPlugins_RealUsesInstalled checks that up with --plugins=real uses installed plugins until told otherwise, and
// names missing ones before it starts anything.
func TestPlugins_RealUsesInstalled(t *testing.T) {
	t.Parallel()
	const azureNative, random = "resource-azure-native-v2.92.0", "resource-random-v4.21.2"
	c := newCloud(t)
	both := installPlugins(t, azureNative, random)
	refused := func(i installed, words string, args ...string) {
		t.Helper()
		printed, err := c.upOf(t, i, append(args, "--node=stand-in", "--plugins=real")...)
		_, begun := os.Stat(filepath.Join(c.home, localcloudtest.StateFile))
		if err == nil || begun == nil || !strings.Contains(printed, words) {
			t.Fatalf("up without a plugin: got %v, local cloud started: %t; want an error with %q before that\n%s", err,
				begun == nil, words, printed)
		}
	}
	refused(installPlugins(t, azureNative), "pulumi plugin install resource random 4.21.2")
	refused(both, "azure-native 3.28.0", "--config", newVaultAPI)

	up := func(args ...string) {
		t.Helper()
		if printed, err := c.upOf(t, both, append(args, "--show-values")...); err != nil {
			t.Fatalf("up: %v\n%s", err, printed)
		}
	}
	var cloud localcloudtest.Running
	want := func(what string, plugins ...string) {
		t.Helper()
		if what != "down" {
			cloud = c.running(t)
		}
		if got := both.started(t, cloud); !slices.Equal(got, plugins) {
			t.Errorf("%s: %v were started, want %v", what, got, plugins)
		}
	}
	up("--node=stand-in", "--plugins=real")
	want("real", azureNative, random)
	c.pulumi(t, "preview", "--expect-no-changes")
	want("real, preview", azureNative, random)
	if status, err := c.command(t, "status").Output(); err != nil || !strings.Contains(string(status), both.home) {
		t.Errorf("status: got %v, want the folder %s\n%s", err, both.home, status)
	}
	up()
	want("remembered", azureNative, random)
	up("--plugins=stand-in")
	want("stand-ins")
	c.pulumi(t, "preview", "--expect-no-changes")
	want("stand-ins, preview")
	up("--plugins=real")
	want("real again", azureNative, random)
	c.down(t)
	want("down", azureNative, random)
	program := filepath.Join(both.home, "plugins", azureNative, "inner", azureNative, "pulumi-resource-azure-native")
	if _, err := os.Stat(program); err != nil {
		t.Errorf("down removed the user's plugins: %v", err)
	}
}

// TestPlugins_OtherPackagesUseInstalled brings up a program that uses the package keyvaultaks. Before the package is
// installed, up must print how to install it.
func TestPlugins_OtherPackagesUseInstalled(t *testing.T) {
	t.Parallel()
	built, err := packagePlugin()
	if err != nil {
		t.Fatalf("building the package's plugin: %v\n%s", err, built)
	}
	c := newCloud(t)
	c.project = t.TempDir()
	copyExample(t, "yaml-guide", c.project)
	theirs := "PULUMI_HOME=" + t.TempDir()
	localcloud := func(args ...string) (string, error) {
		cmd := c.command(t, args...)
		cmd.Env = append(os.Environ(), theirs)
		out, err := cmd.CombinedOutput()
		c.printed.Write(out)
		return string(out), err
	}
	out, err := localcloud("up", "--node=stand-in")
	wayOut := "`pulumi plugin install resource keyvaultaks " + packageVersion(t)
	if err == nil || !strings.Contains(out, wayOut) || strings.Count(out, "\n") != 1 {
		t.Errorf("up without the package: got %v, want one line with %q\n%s", err, wayOut, out)
	}
	if out, err := localcloud("start", "--node=stand-in"); err != nil {
		t.Fatalf("start: %v\n%s", err, out)
	}
	install := exec.CommandContext(untilEnding(t), filepath.Join(c.home, "engine", "pulumi"), "plugin", "install",
		"resource", "keyvaultaks", packageVersion(t), "--file", filepath.Join(built, "pulumi-resource-keyvaultaks"))
	install.Env = append(os.Environ(), theirs)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("installing the package: %v\n%s", err, out)
	}
	if out, err := localcloud("run", "--", "pulumi", "plugin", "ls"); err != nil || !strings.Contains(out, "keyvaultaks") {
		t.Errorf("pulumi plugin ls: got %v, want keyvaultaks\n%s", err, out)
	}
	for _, want := range []string{" created\n", " unchanged\n"} {
		out, err := localcloud("up")
		if err != nil || !strings.Contains(out, want) || !strings.Contains(out, "my-secret (") {
			t.Fatalf("up: got %v, want %q and my-secret\n%s", err, want, out)
		}
	}
	if out, err := localcloud("down"); err != nil || !strings.Contains(out, " deleted\n") ||
		strings.Contains(out, "could not be destroyed") {
		t.Errorf("down: %v\n%s", err, out)
	}
}
