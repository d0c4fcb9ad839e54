package thirdparty

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestHolds_NoticesTruncatedProgram uses the test binary and parts of it as programs in the cache.
func TestHolds_NoticesTruncatedProgram(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only ELF files tell their length")
	}
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for size, want := range map[int]bool{
		len(content): true, len(content) / 2: false, len(content) / 100: false, 4096: false, 40: false, 0: false,
	} {
		if err := os.WriteFile(filepath.Join(dir, "program"), content[:size], 0o755); err != nil {
			t.Fatal(err)
		}
		if got := holds(dir, []string{"program"}); got != want {
			t.Errorf("with %d bytes of %d: %t", size, len(content), got)
		}
	}
	clear(content[16:])
	if err := os.WriteFile(filepath.Join(dir, "program"), content, 0o755); err != nil {
		t.Fatal(err)
	}
	if holds(dir, []string{"program"}) {
		t.Error("zeros after the magic count as a program")
	}
}
