package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// State that is lost is never made anew: it would be another cloud with the same name, which knows nothing of what
// its stacks and clusters say that there is.

// WayOut is what is left to do.
const WayOut = "`localcloud down`, or `localcloud down --skip-destroy`, removes this local cloud with what is left of it"

// CheckState returns an error where a file is gone that a local cloud has had.
func (h *Home) CheckState() error {
	if !h.HasServed() {
		return nil
	}
	for _, file := range []string{h.Path(AzureDir, "azure.db"), h.Path(EdgeDir, "ca.pem"), h.Path(EdgeDir, "ca-key.pem")} {
		info, err := os.Stat(file)
		if err == nil && info.Size() == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return fmt.Errorf("what this local cloud had is lost: %s: %w: %s", file, err, WayOut)
		}
	}
	return nil
}

// HasServed says whether there is something that only a local cloud that has served leaves.
func (h *Home) HasServed() bool {
	if _, err := os.Stat(h.Path(StateFile)); err == nil {
		return true
	}
	clusters, _ := filepath.Glob(h.Path(KubeDir, "*"))
	return len(clusters) > 0 || len(h.allStacks()) > 0
}

// allStacks are the states of stacks, also of other programs.
func (h *Home) allStacks() []string {
	files, _ := filepath.Glob(h.Path(StacksDir, ".pulumi", "stacks", "*", "*.json"))
	return files
}

// passphrasePattern matches what rand.Text returns.
var passphrasePattern = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// EnsurePassphrase makes the passphrase of the stacks' secrets before there is a stack.
func (h *Home) EnsurePassphrase(made func() string) error {
	content, err := os.ReadFile(h.Path(PassphraseFile))
	if err == nil && passphrasePattern.Match(content) {
		return nil
	}
	salted, _ := filepath.Glob(h.Path(InitDir, "Pulumi.*.yaml"))
	others, _ := filepath.Glob(h.Path(InitDir, "*", "Pulumi.*.yaml"))
	if len(h.allStacks()) == 0 && len(salted) == 0 && len(others) == 0 {
		return os.WriteFile(h.Path(PassphraseFile), []byte(made()), 0o600)
	}
	if err == nil {
		err = errors.New("it is not what was written there")
	}
	return fmt.Errorf("the passphrase of the stacks' secrets is lost: %s: %w: %s", h.Path(PassphraseFile), err, WayOut)
}

// HasStack says whether there is a stack, and returns an error where there was one.
func (h *Home) HasStack(stack string) (bool, error) {
	file := h.StackFile(stack)
	content, err := os.ReadFile(file)
	switch {
	case err == nil && json.Valid(content):
		return true, nil
	case err == nil:
		err = errors.New("it is damaged")
	case errors.Is(err, fs.ErrNotExist):
		// The engine removes a stack with its history.
		if past, _ := os.ReadDir(h.Path(StacksDir, ".pulumi", "history", h.Program.ProjectName(), stack)); len(past) == 0 {
			return false, nil
		}
	}
	return false, fmt.Errorf(
		"the state of the stack %s is lost: %s: %w; the engine keeps the one of before beside it, with .bak at the end: "+
			"put it there, or %s",
		stack,
		file,
		err,
		WayOut,
	)
}

// SetupBefore returns what an earlier `up` has left, and whether one has. What is lost is an error.
func (h *Home) SetupBefore() (s Setup, has bool, err error) {
	s, err = h.Setup()
	switch {
	case err == nil:
		return s, true, nil
	case errors.Is(err, fs.ErrNotExist) && !h.HasServed():
		return s, false, nil
	case errors.Is(err, ErrNewer):
		return s, false, err
	}
	return s, false, fmt.Errorf("what this local cloud was set up with is lost: %w: %s", err, WayOut)
}
