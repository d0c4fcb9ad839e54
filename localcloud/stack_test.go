package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

func TestKubeloginKeepsItsTokensInTheHome(t *testing.T) {
	l := &localCloud{home: filepath.Join(t.TempDir(), "it's home")}
	program := filepath.Join(t.TempDir(), "a program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$XDG_CACHE_HOME|$*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.binDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there
		if err := placeScript(filepath.Join(l.binDir(), thirdparty.Kubelogin), "XDG_CACHE_HOME="+quoted(l.path(cacheDir)), program); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(filepath.Join(l.binDir(), "kubelogin"), "get-token", "--login", "spn").Output()
	if want := l.path(cacheDir) + "|get-token --login spn"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}

// TestKubernetesPlugin_KeepsItsTemporaryFilesInTheHome also where an older local cloud has linked it.
func TestKubernetesPlugin_KeepsItsTemporaryFilesInTheHome(t *testing.T) {
	l := &localCloud{home: filepath.Join(t.TempDir(), "it's home")}
	program := filepath.Join(t.TempDir(), "a program")
	const content = "#!/bin/sh\necho \"$TMPDIR|$*\"\n"
	place := l.path(pulumiDir, "plugins", "resource-kubernetes-v"+thirdparty.KubernetesPluginVersion, thirdparty.KubernetesPlugin)
	if err := errors.Join(os.WriteFile(program, []byte(content), 0o755), os.MkdirAll(filepath.Dir(place), 0o755), os.Symlink(program, place)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.placeKubernetesPlugin(program); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(place, "127.0.0.1:1").Output()
	if want := l.path(tempDir) + "|127.0.0.1:1"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
	if now, err := os.ReadFile(program); err != nil || string(now) != content {
		t.Errorf("the program is now %q, %v", now, err)
	}
}

func TestNothingOfTheUsersAzureOrProxiesReachesTheCloud(t *testing.T) {
	kept := []string{"PATH=/bin", "HOME=/home/me", "GOPROXY=https://proxy.test", "CHARM_X=1"}
	given := append([]string{
		"AZURE_CLIENT_ID=a", "ARM_CLIENT_SECRET=b", "AAD_LOGIN_METHOD=c", "HTTPS_PROXY=d", "https_proxy=e", "NO_PROXY=f", "no_proxy=.azure.net",
		"http_proxy=g", "ALL_PROXY=h",
	}, kept...)
	if got := ownEnvironment(given); !slices.Equal(got, kept) {
		t.Errorf("got %v, want %v", got, kept)
	}
	if given[0] != "AZURE_CLIENT_ID=a" {
		t.Error("what was given is changed")
	}
}

func TestAPodThatCannotBeReadSaysWhy(t *testing.T) {
	l := &localCloud{home: t.TempDir(), project: t.TempDir()}
	s := &stack{localCloud: l, name: "dev", have: &setup{Node: kube.RealNode}, envs: os.Environ()}
	of := (&apiServer{}).serve(t, s)
	of.ReadSecretCommand = "kubectl exec -n ns pod -- cat /mnt/secret"
	if read, err := s.readMounted(t.Context(), of, false); err == nil || !strings.Contains(err.Error(), "no such pod") {
		t.Errorf("got %q, %v", read, err)
	}
}

func TestWhatAKilledEngineLeavesIsFound(t *testing.T) {
	const clean, pending = `{"version": 3, "checkpoint": {"latest": {"resources": []}}}`, `{"checkpoint": {"latest": {"pending_operations": [{}]}}}`
	for name, of := range map[string]struct {
		state, lock string
		want        bool
	}{
		"nothing": {clean, "", false}, "a lock": {clean, "{}", true}, "an operation": {pending, "", true}, "no state": {"", "", true},
	} {
		s := &stack{localCloud: &localCloud{home: filepath.Join(t.TempDir(), "[home]")}, name: "dev"}
		for file, content := range map[string]string{"stacks/keyvault-aks/dev.json": of.state, "locks/organization/keyvault-aks/dev/1.json": of.lock} {
			if content == "" {
				continue
			}
			file = s.path(stacksDir, ".pulumi", file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.interrupted(); got != of.want {
			t.Errorf("%s: %t, want %t", name, got, of.want)
		}
	}
}
