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

// TestInstall_NeedsNoCheckout: what `go install` makes of the local cloud's module, as a module proxy would have it,
// gets programs and has a pod read its secret, in folders that have nothing of this repository.
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
	t.Cleanup(func() { // what go has kept of it, with the list of versions, which it asks for again where there is none
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

	// One that takes the linker two seconds stands for all.
	const program = "pulumi-language-nodejs"
	cache := t.TempDir()
	get := func(command string) (path, said string) {
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
		t.Errorf("what is built is %s, %v", path, err)
	}
	if again, said := get(filepath.Join(checkout, "bin", "localcloud")); again != path || said != "" {
		t.Errorf("a checkout does not find what is built, %s, but has %s and says %s", path, again, said)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "keyvault-aks", "*")); len(left) != 2 { // and the lock
		t.Errorf("in the cache: %v", left)
	}

	c := newCloud(t) // whose project is a folder with a program that is built, and its configuration
	c.program = installed
	if _, read := c.up(t, "--node", "stand-in"); !strings.Contains(read, "my-secret") {
		t.Errorf("the pod reads %s", read)
	}
}

// serveModule makes a folder a module proxy (https://go.dev/ref/mod#goproxy-protocol) that has a module.
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
