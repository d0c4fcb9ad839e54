package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// State that is lost is never made anew: it would be another cloud with the same name, which knows nothing of what its stacks
// and clusters say that there is.

// wayOut is what is left to do.
const wayOut = "`make down`, or `bin/localcloud down --skip-destroy`, removes this local cloud with what is left of it"

// checkState returns an error where a file is gone that a local cloud has had.
func (l *localCloud) checkState() error {
	if !l.hasServed() {
		return nil
	}
	for _, file := range []string{l.path(azureDir, "azure.db"), l.path(edgeDir, "ca.pem"), l.path(edgeDir, "ca-key.pem")} {
		info, err := os.Stat(file)
		if err == nil && info.Size() == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return fmt.Errorf("what this local cloud had is lost: %s: %w: %s", file, err, wayOut)
		}
	}
	return nil
}

// hasServed says whether there is something that only a local cloud that has served leaves.
func (l *localCloud) hasServed() bool {
	if _, err := os.Stat(l.path(stateFile)); err == nil {
		return true
	}
	clusters, _ := filepath.Glob(l.path(kubeDir, "*"))
	return len(clusters) > 0 || len(l.stackNames()) > 0
}

// passphrasePattern matches what rand.Text returns.
var passphrasePattern = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// ensurePassphrase makes the passphrase of the stacks' secrets before there is a stack.
func (l *localCloud) ensurePassphrase(made func() string) error {
	content, err := os.ReadFile(l.path(phrase))
	if err == nil && passphrasePattern.Match(content) {
		return nil
	}
	salted, _ := filepath.Glob(l.path("init", "Pulumi.*.yaml"))
	if len(l.stackNames()) == 0 && len(salted) == 0 {
		return os.WriteFile(l.path(phrase), []byte(made()), 0o600)
	}
	if err == nil {
		err = errors.New("it is not what was written there")
	}
	return fmt.Errorf("the passphrase of the stacks' secrets is lost: %s: %w: %s", l.path(phrase), err, wayOut)
}

// hasState says whether there is a stack, and returns an error where there was one.
func (s *stack) hasState() (bool, error) {
	backend := s.path(stacksDir, ".pulumi")
	file := filepath.Join(backend, "stacks", "keyvault-aks", s.name+".json")
	content, err := os.ReadFile(file)
	switch {
	case err == nil && json.Valid(content):
		return true, nil
	case err == nil:
		err = errors.New("it is damaged")
	case errors.Is(err, fs.ErrNotExist):
		// The engine removes a stack with its history.
		if past, _ := os.ReadDir(filepath.Join(backend, "history", "keyvault-aks", s.name)); len(past) == 0 {
			return false, nil
		}
	}
	return false, fmt.Errorf("the state of the stack %s is lost: %s: %w; the engine keeps the one of before beside it, with .bak at the end: "+
		"put it there, or %s", s.name, file, err, wayOut)
}
