package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// TestInstall_NeedsNoCheckout checks that `go install` of the local cloud's module from a module proxy works without a
// checkout: the command builds a program and brings up a pod that reads its secret.
func TestInstall_NeedsNoCheckout(t *testing.T) {
	t.Parallel()
	source := filepath.Join(checkout, "localcloud")
	released := module.Version{
		Path:    "github.com/keyvault-aks/keyvault-aks/localcloud",
		Version: fmt.Sprintf("v0.0.1-test.%d", time.Now().UnixNano()), // modules are cached by their versions
	}
	goEnv := func(name string) string {
		out, err := exec.CommandContext(untilEnding(t), "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	modules, builds := goEnv("GOMODCACHE"), goEnv("GOCACHE")
	proxy, bin := t.TempDir(), t.TempDir()
	serveModule(t, proxy, source, released)
	t.Cleanup(func() { // Go's module cache, with the list of versions, which Go then downloads again
		versions := filepath.Join(modules, "cache", "download", released.Path, "@v")
		left, _ := filepath.Glob(filepath.Join(versions, released.Version+".*"))
		for _, file := range append(left, filepath.Join(modules, released.String()), filepath.Join(versions, "list")) {
			if err := os.RemoveAll(file); err != nil {
				t.Error(err)
			}
		}
	})
	install := exec.CommandContext(untilEnding(t), "go", "install", released.Path+"/cmd/localcloud@"+released.Version)
	install.Dir = bin
	install.Env = append(os.Environ(), "GOBIN="+bin,
		"GOPROXY=file://"+proxy+",file://"+filepath.Join(modules, "cache", "download"), "GOSUMDB=off", "GOWORK=off",
		"GOFLAGS=-mod=mod -modcacherw -trimpath -gcflags=all=-dwarf=false -ldflags=-s", "GOMAXPROCS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("go install: %v\n%s", err, out)
	}
	installed := filepath.Join(bin, "localcloud")

	// A program that links within two seconds stands for all.
	const program = "pulumi-language-nodejs"
	cache := t.TempDir()
	get := func(command string) (path, printed string) {
		cmd := exec.CommandContext(untilEnding(t), command, "programs", "build", program, "--path", "--build")
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache, "GOCACHE="+builds)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("programs build: %v\n%s", err, errs.String())
		}
		return strings.TrimSpace(string(out)), errs.String()
	}
	path, _ := get(installed)
	if info, err := os.Stat(path); err != nil || filepath.Base(path) != program || info.Mode()&0o111 == 0 {
		t.Errorf("programs build prints %s, want the path of the program %s: %v", path, program, err)
	}
	if again, printed := get(filepath.Join(checkout, "bin", "localcloud")); again != path || printed != "" {
		t.Errorf("the command of a checkout finds %s and prints %q, want the built %s", again, printed, path)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "keyvault-aks", "*")); len(left) != 2 {
		t.Errorf("the cache has %v, want the program and the lock", left)
	}

	c := newCloud(t)
	c.program = installed
	if _, read := c.up(t, "--node", "stand-in"); !strings.Contains(read, "my-secret") {
		t.Errorf("the pod reads %s, want my-secret", read)
	}
}

// serveModule turns a folder into a module proxy (https://go.dev/ref/mod#goproxy-protocol) with one module.
func serveModule(t *testing.T, proxy, source string, m module.Version) {
	t.Helper()
	at := filepath.Join(proxy, filepath.FromSlash(m.Path), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(at, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := zip.CreateFromDir(&packed, m, source); err != nil {
		t.Fatal(err)
	}
	write("list", []byte(m.Version+"\n"))
	write(m.Version+".mod", mod)
	write(m.Version+".zip", packed.Bytes())
	write(m.Version+".info", fmt.Appendf(nil, `{"Version": %q}`, m.Version))
}
