package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	secret "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// asked returns a stack with a script in place of pulumi, and the file to which the script appends its arguments.
func asked(t *testing.T, script string) (*Stack, string) {
	t.Helper()
	h := &home.Home{Dir: t.TempDir(), Project: t.TempDir()}
	s := &Stack{Home: h, Terminal: Terminal{Say: t.Logf}, name: "dev", envs: os.Environ()}
	notes := s.Path("asked")
	pulumi := "#!/bin/sh\necho \"$@\" >> " + notes + "\n" + script + "\n"
	err := errors.Join(
		os.MkdirAll(s.BinDir(), 0o755),
		os.MkdirAll(filepath.Dir(s.StackFile("dev")), 0o755),
		os.WriteFile(filepath.Join(s.BinDir(), thirdparty.Pulumi), []byte(pulumi), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	return s, notes
}

// TestUp_RunsEngineOnce checks that the API's other questions are answered from the state.
func TestUp_RunsEngineOnce(t *testing.T) {
	s, notes := asked(t, "echo shown; echo error >&2")
	var shown, errs strings.Builder
	s.Stdout, s.Stderr = &shown, &errs
	s.secrets = func() secret.Decrypter { return secret.NewErrorCrypter("there is no secret") }
	state := `{"checkpoint": {"latest": {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": {"clusterId": "/c"}}]}}}`
	if err := os.WriteFile(s.StackFile("dev"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Up(t.Context()); err != nil || got != (Outputs{ClusterID: "/c"}) {
		t.Errorf("%v, %v", got, err)
	}
	did, err := os.ReadFile(notes)
	if err != nil || strings.Count(string(did), "\n") != 1 ||
		!strings.HasPrefix(string(did), "up --yes --skip-preview ") ||
		!strings.Contains(string(did), " --config-file="+s.Path(home.ConfigDir, "Pulumi.dev.json")+" ") {
		t.Errorf("the engine ran %q, %v", did, err)
	}
	if shown.String() != "shown\n" || errs.String() != "error\n" {
		t.Errorf("it showed %q and %q", shown.String(), errs.String())
	}
}

// TestBecause_HasOnlyOutputNotShown fails once with output that was shown, and once with output that was not.
func TestBecause_HasOnlyOutputNotShown(t *testing.T) {
	s, _ := asked(t, "echo said; echo why >&2; exit 3")
	if err := s.refresh(t.Context()); err == nil || err.Error() != "pulumi refresh: exit status 3" {
		t.Errorf("got %v", err)
	}
	if _, err := s.Outputs(t.Context()); err == nil || err.Error() != "pulumi stack output: exit status 3\nwhy\n" {
		t.Errorf("got %v", err)
	}
}

// TestCommand_EndsAtOneInterrupt lets the engine finish its operations, in a process group that no terminal interrupts.
func TestCommand_EndsAtOneInterrupt(t *testing.T) {
	s, notes := asked(t, "trap 'echo interrupted >> $notes' INT; echo $$ > $notes.pid; n=0\n"+
		"while [ $n -lt 20 ]; do sleep 0.05; n=$((n+1)); done; echo ended >> $notes")
	s.envs = append(s.envs, "notes="+notes)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	group := make(chan int, 1)
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			content, _ := os.ReadFile(notes + ".pid")
			if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil {
				of, _ := syscall.Getpgid(pid)
				group <- of
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if err := s.refresh(ctx); err == nil {
		t.Error("it was not interrupted")
	}
	select {
	case of := <-group:
		if of == syscall.Getpgrp() {
			t.Error("it is in the process group of this process")
		}
	default:
		t.Fatal("it ended before it was interrupted")
	}
	did, err := os.ReadFile(notes)
	if err != nil || !strings.HasSuffix(string(did), "\ninterrupted\nended\n") ||
		strings.Count(string(did), "interrupted") != 1 {
		t.Errorf("it did %q, %v", did, err)
	}
}

// TestSavedOutputs_MatchTheEngines has secrets within values, and a secret in a secret.
func TestSavedOutputs_MatchTheEngines(t *testing.T) {
	s, _ := asked(t, "exit 1")
	crypter := secret.NewSymmetricCrypterFromPassphrase("PASSPHRASE", []byte("saltsalt"))
	s.secrets = func() secret.Decrypter { return crypter }
	hide := func(text string) string {
		hidden, err := crypter.EncryptValue(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		return `{"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "` + hidden + `"}`
	}
	state := `{"checkpoint": {"latest": {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": {"plain": [1, null, "a"],
		"nested": {"list": [` + hide(`{"a":[true]}`) + `]}, "twice": ` + hide(hide(`"inner"`)) + `}}]}}}`
	if err := os.WriteFile(s.StackFile("dev"), []byte(state), 0o600); err != nil {
		t.Fatal(err)
	}
	for show, want := range map[bool]string{
		true:  `{"nested":{"list":[{"a":[true]}]},"plain":[1,null,"a"],"twice":"inner"}`,
		false: `{"nested":{"list":["[secret]"]},"plain":[1,null,"a"],"twice":"[secret]"}`,
	} {
		if got, err := s.savedOutputs(t.Context(), show); err != nil || string(got) != want {
			t.Errorf("with secrets %t: %s, %v; want %s", show, got, err, want)
		}
	}
}
