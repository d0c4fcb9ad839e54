package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// heldFor is how long a deleted object may wait for its finalizers before it counts as held.
const heldFor = 30 * time.Second

// held is an object of a cluster that is deleted and still there, since finalizers keep it.
type held struct {
	Kind     string
	Metadata struct {
		Namespace, Name   string
		DeletionTimestamp time.Time
		Finalizers        []string
	}
}

func (h held) String() string {
	name := h.Metadata.Name
	if h.Metadata.Namespace != "" {
		name = h.Metadata.Namespace + "/" + name
	}
	return fmt.Sprintf("%s %s waits for its finalizers: %s", h.Kind, name, strings.Join(h.Metadata.Finalizers, ", "))
}

// heldObjects reads what `kubectl get --output=json` shows.
func heldObjects(list []byte, now time.Time) ([]held, error) {
	var all struct{ Items []held }
	if err := json.Unmarshal(list, &all); err != nil {
		return nil, fmt.Errorf("reading what is in the cluster: %w", err)
	}
	var found []held
	for _, h := range all.Items {
		// Those of the garbage collector wait for other objects, which have their own.
		h.Metadata.Finalizers = slices.DeleteFunc(h.Metadata.Finalizers, func(f string) bool { return f == "foregroundDeletion" || f == "orphan" })
		if deleted := h.Metadata.DeletionTimestamp; !deleted.IsZero() && now.Sub(deleted) >= heldFor && len(h.Metadata.Finalizers) > 0 {
			found = append(found, h)
		}
	}
	return found, nil
}

// errHeld says what keeps a stack from being destroyed.
type errHeld []held

func (e errHeld) Error() string {
	lines := make([]string, len(e))
	for i, h := range e {
		lines[i] = h.String()
	}
	return strings.Join(lines, "\n")
}

// giveUpHeld ends what a context is for when objects in the stack's cluster are held. The Kubernetes provider would wait for them for
// minutes, and of a namespace it does not say what in it is held.
func (s *stack) giveUpHeld(ctx context.Context, giveUp context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(heldFor / 3):
		}
		// Where the cluster does not answer there is nothing to say: it may be gone already.
		if found, err := s.held(ctx); err == nil && len(found) > 0 {
			giveUp(errHeld(found))
			return
		}
	}
}

// held looks for held objects in the stack's cluster.
func (s *stack) held(ctx context.Context) ([]held, error) {
	kubeconfig, err := s.pulumi(ctx, "stack", "output", "kubeconfig", "--show-secrets")
	if err != nil {
		return nil, err
	}
	file := s.path(tempDir, "held-kubeconfig")
	defer os.Remove(file)
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		return nil, err
	}
	kubectl := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(s.binDir(), thirdparty.Kubectl), append(args, "--kubeconfig="+file, "--request-timeout=10s")...)
		cmd.Env = s.envs
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = fmt.Errorf("kubectl %s: %w: %s", args[0], err, exit.Stderr)
		}
		return out, err
	}
	kinds, err := kubectl("api-resources", "--verbs=list,delete", "--output=name")
	if err != nil {
		return nil, err
	}
	list, err := kubectl("get", strings.Join(strings.Fields(string(kinds)), ","), "--all-namespaces", "--output=json")
	if err != nil {
		return nil, err
	}
	return heldObjects(list, time.Now())
}
