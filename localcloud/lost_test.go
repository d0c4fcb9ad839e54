package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// served is a local cloud that has served, brought up a stack, and does not run.
func served(t *testing.T) *localCloud {
	t.Helper()
	l := &localCloud{home: t.TempDir()}
	for file, content := range map[string]string{
		l.path(stateFile): "{}", l.path(setupFile): `{"Node": "stand-in"}`, l.path(azureDir, "azure.db"): "db", l.path(edgeDir, "ca.pem"): "ca",
		l.path(edgeDir, "ca-key.pem"): "key", l.path(kubeDir, "01234567", "etcd"): "", l.path(phrase): strings.Repeat("A", 26),
		l.path(stacksDir, ".pulumi", "stacks", "keyvault-aks", "dev.json"):         "{}",
		l.path(stacksDir, ".pulumi", "history", "keyvault-aks", "dev", "dev.json"): "{}",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *localCloud) checkAll() error {
	_, node := l.chooseNode("")
	_, state := (&stack{localCloud: l, name: "dev"}).hasState()
	return errors.Join(node, state, l.checkState(), l.ensurePassphrase(func() string { return "new" }))
}

// TestLostState_IsAnErrorThatNamesTheFile takes each file away, empties it or writes something else into it.
func TestLostState_IsAnErrorThatNamesTheFile(t *testing.T) {
	if err := served(t).checkAll(); err != nil {
		t.Fatalf("whole: %v", err)
	}
	if err := (&localCloud{home: t.TempDir()}).checkAll(); err != nil {
		t.Fatalf("new: %v", err)
	}
	for _, file := range [][]string{
		{azureDir, "azure.db"}, {edgeDir, "ca.pem"}, {edgeDir, "ca-key.pem"}, {phrase}, {setupFile}, {stacksDir, ".pulumi", "stacks", "keyvault-aks", "dev.json"},
	} {
		for how, content := range map[string]string{"gone": "", "empty": "", "other": "{"} {
			if how == "other" && (file[0] == azureDir || file[0] == edgeDir) {
				continue // who reads it says so
			}
			l := served(t)
			lost := l.path(file...)
			err := os.Remove(lost)
			if how != "gone" {
				err = os.WriteFile(lost, []byte(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := l.checkAll(); err == nil || !strings.Contains(err.Error(), lost) || !strings.Contains(err.Error(), "make down") {
				t.Errorf("%s, %s: %v", file, how, err)
			}
			if now, _ := os.ReadFile(lost); string(now) != content {
				t.Errorf("%s, %s: it was written anew", file, how)
			}
			if err := os.Remove(l.path(stateFile)); err != nil { // the rest says that it has served
				t.Fatal(err)
			}
			if err := l.checkAll(); err == nil || !strings.Contains(err.Error(), lost) {
				t.Errorf("%s, %s, without %s: %v", file, how, stateFile, err)
			}
		}
	}
}

func TestStart_TellsWhichClustersDidNotStart(t *testing.T) {
	r, err := whole(&running{Failed: []string{"starting cluster c: its etcd is gone"}}, nil)
	if err == nil || r != nil || !strings.Contains(err.Error(), "its etcd is gone") {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := whole(&running{}, nil); err != nil {
		t.Error(err)
	}
}
