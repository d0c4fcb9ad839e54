package home

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// served returns the home of a local cloud that has served and deployed a stack, and is not running.
func served(t *testing.T) *Home {
	t.Helper()
	h := &Home{Dir: t.TempDir()}
	for file, content := range map[string]string{
		h.Path(StateFile):                   "{}",
		h.Path(SetupFile):                   `{"Node": "stand-in"}`,
		h.Path(AzureDir, "azure.db"):        "db",
		h.Path(EdgeDir, "ca.pem"):           "ca",
		h.Path(EdgeDir, "ca-key.pem"):       "key",
		h.Path(KubeDir, "01234567", "etcd"): "",
		h.Path(PassphraseFile):              strings.Repeat("A", 26),
		h.Path(StacksDir, ".pulumi", "stacks", "keyvault-aks", "dev.json"):         "{}",
		h.Path(StacksDir, ".pulumi", "history", "keyvault-aks", "dev", "dev.json"): "{}",
	} {
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600))
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *Home) checkAll() error {
	_, _, setup := h.SetupBefore()
	_, stack := h.HasStack("dev")
	return errors.Join(setup, stack, h.CheckState(), h.EnsurePassphrase(func() string { return "new" }))
}

// TestHome_ReportsLostFiles removes each file, empties it or writes something else into it.
func TestHome_ReportsLostFiles(t *testing.T) {
	if err := served(t).checkAll(); err != nil {
		t.Fatalf("whole: %v", err)
	}
	if err := (&Home{Dir: t.TempDir()}).checkAll(); err != nil {
		t.Fatalf("new: %v", err)
	}
	for _, file := range [][]string{
		{AzureDir, "azure.db"}, {EdgeDir, "ca.pem"}, {EdgeDir, "ca-key.pem"}, {PassphraseFile}, {SetupFile},
		{StacksDir, ".pulumi", "stacks", "keyvault-aks", "dev.json"},
	} {
		for how, content := range map[string]string{"gone": "", "empty": "", "other": "{"} {
			if how == "other" && (file[0] == AzureDir || file[0] == EdgeDir) {
				continue // the package that reads the file reports the error
			}
			h := served(t)
			lost := h.Path(file...)
			err := os.Remove(lost)
			if how != "gone" {
				err = os.WriteFile(lost, []byte(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := h.checkAll(); err == nil || !strings.Contains(err.Error(), lost) ||
				!strings.Contains(err.Error(), WayOut) {
				t.Errorf("%s, %s: %v", file, how, err)
			}
			if now, _ := os.ReadFile(lost); string(now) != content {
				t.Errorf("%s, %s: it was written again", file, how)
			}
			if err := os.Remove(h.Path(StateFile)); err != nil { // the other files still show that it has served
				t.Fatal(err)
			}
			if err := h.checkAll(); err == nil || !strings.Contains(err.Error(), lost) {
				t.Errorf("%s, %s, without %s: %v", file, how, StateFile, err)
			}
		}
	}
}

// TestSetup_RejectsNewerFormat also checks that a setup without a format, from an older local cloud, is read.
func TestSetup_RejectsNewerFormat(t *testing.T) {
	h := &Home{Dir: t.TempDir()}
	for content, refused := range map[string]bool{`{"Format": 2}`: true, `{"Format": 1}`: false, `{}`: false} {
		if err := os.WriteFile(h.Path(SetupFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, has, err := h.SetupBefore()
		if errors.Is(err, ErrNewer) != refused || has == refused {
			t.Errorf("%s: %t, %v", content, has, err)
		}
	}
	if err := h.SaveSetup(Setup{}); err != nil {
		t.Fatal(err)
	}
	if s, err := h.Setup(); err != nil || s.Format != format {
		t.Errorf("the saved setup has format %d, %v", s.Format, err)
	}
}
