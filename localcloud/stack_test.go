package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
		if err := l.placeKubelogin(program); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(filepath.Join(l.binDir(), "kubelogin"), "get-token", "--login", "spn").Output()
	if want := l.path(cacheDir) + "|get-token --login spn"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}
