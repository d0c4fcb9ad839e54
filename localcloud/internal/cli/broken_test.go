package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// TestBrokenProgram_CloudCanBeRemoved breaks the Pulumi.yaml of a program whose stack exists.
func TestBrokenProgram_CloudCanBeRemoved(t *testing.T) {
	project, dir := t.TempDir(), filepath.Join(t.TempDir(), "h")
	stack := filepath.Join(dir, "stacks", ".pulumi", "stacks", "shop", "dev.json")
	for file, content := range map[string]string{
		filepath.Join(project, "Pulumi.yaml"): "name: shop\nruntime: [go", stack: "{}",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, err := home.Locate(project, dir)
	if err != nil {
		t.Fatal(err)
	}
	var said output
	c := &cloud{Home: h, screen: &screen{out: &said}, stdout: &said, stderr: &said}
	for _, test := range []struct {
		command string
		run     func() error
		works   bool
		says    string
	}{
		{"status", func() error { return c.status(t.Context()) }, true, "shop/dev"},
		{"env", func() error { return c.env(false) }, false, "not running"},
		{"prepare", func() error { return c.prepare(t.Context(), PrepareOptions{}) }, false, "Pulumi.yaml"},
		{"up", func() error { return c.up(t.Context(), UpOptions{Stack: "dev"}) }, false, "Pulumi.yaml"},
		{"stop", func() error { return c.stop(t.Context()) }, true, "stopped"},
		{"down", func() error { return c.down(t.Context(), DownOptions{}) }, true, "shop/dev"},
	} {
		said.Reset()
		err := test.run()
		if err != nil {
			said.WriteString(err.Error())
		}
		if (err == nil) != test.works || !strings.Contains(said.String(), test.says) {
			t.Errorf("%s: %v\n%s", test.command, err, said.String())
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after down: %v", err)
	}
}
