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

// Lost state is never created again. The result would be another cloud under the same name, without the resources that
// the stacks and clusters refer to.

// WayOut tells what to do when state is lost.
const WayOut = "`localcloud down`, or else `localcloud down --skip-destroy`, removes what is left of this local cloud"

// CheckState returns an error if a local cloud that has served lacks one of its files.
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
			return fmt.Errorf("the local cloud's state is lost: %s: %w: %s", file, err, WayOut)
		}
	}
	return nil
}

// HasServed reports whether a local cloud has ever served from this home.
func (h *Home) HasServed() bool {
	if _, err := os.Stat(h.Path(StateFile)); err == nil {
		return true
	}
	clusters, _ := filepath.Glob(h.Path(KubeDir, "*"))
	return len(clusters) > 0 || len(h.allStacks()) > 0
}

// allStacks returns the state files of all stacks, including those of other programs.
func (h *Home) allStacks() []string {
	files, _ := filepath.Glob(h.Path(StacksDir, ".pulumi", "stacks", "*", "*.json"))
	return files
}

// passphrasePattern matches what rand.Text returns.
var passphrasePattern = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// EnsurePassphrase creates the passphrase of the stacks' secrets. It returns an error if the passphrase is lost and
// there are stacks that need it.
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
		err = errors.New("it is damaged")
	}
	return fmt.Errorf("the passphrase of the stacks' secrets is lost: %s: %w: %s", h.Path(PassphraseFile), err, WayOut)
}

// HasStack reports whether a stack exists. It returns an error if the stack's state is damaged or lost.
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
	return false, fmt.Errorf("the state of the stack %s is lost: %s: %w; restore the engine's backup (the file beside it "+
		"that ends in .bak), or give up the state: %s", stack, file, err, WayOut)
}

// SetupBefore returns what an earlier `up` or `start` prepared, and whether there was one. It returns an error if that
// is lost.
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
	return s, false, fmt.Errorf("the local cloud's setup is lost: %w: %s", err, WayOut)
}
