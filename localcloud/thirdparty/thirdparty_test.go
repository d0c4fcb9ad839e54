package thirdparty

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAChangedPinIsAnotherBuild(t *testing.T) {
	source := t.TempDir()
	m := module{dir: "thirdparty/x"}
	pins := filepath.Join(source, m.dir, "go.mod")
	if err := os.MkdirAll(filepath.Dir(pins), 0o755); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, content := range []string{"require a v1.0.0", "require a v1.0.1", "require a v1.0.0"} {
		if err := os.WriteFile(pins, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		dir, err := m.cacheDir(source, "/cache")
		if err != nil {
			t.Fatal(err)
		}
		seen[dir] = true
	}
	m.ldflags = "-X a=b"
	dir, err := m.cacheDir(source, "/cache")
	if err != nil {
		t.Fatal(err)
	}
	seen[dir] = true
	if len(seen) != 3 {
		t.Errorf("%d builds for two pins and a flag, want 3: %v", len(seen), seen)
	}
}

func TestBinariesAreNamedAsGoNamesThem(t *testing.T) {
	for pkg, want := range map[string]string{
		"go.etcd.io/etcd/server/v3": "server", "k8s.io/kubernetes/cmd/kubelet": "kubelet", "./pulumi-resource-kubernetes": "pulumi-resource-kubernetes",
	} {
		if got := goBinaryName(pkg); got != want {
			t.Errorf("%s is named %s, want %s", pkg, got, want)
		}
	}
}
