package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// recover cleans up after a killed engine. It removes the engine's lock and adds the resources that the engine was
// creating to the state, if they exist. `pulumi refresh` asks the user about these.
func (s *Stack) recover(ctx context.Context) error {
	if err := EndEngines(s.Home); err != nil {
		return err
	}
	if !s.interrupted() {
		return nil
	}
	if err := s.atWork(); err != nil {
		return err
	}
	stack, err := s.automation(ctx)
	if err != nil {
		return err
	}
	if err := stack.Cancel(ctx); err != nil {
		return s.because(err)
	}
	exported, err := stack.Export(ctx)
	if err != nil {
		return s.because(err)
	}
	state, err := parseState(exported)
	if err != nil {
		return err
	}
	pending := state.pending()
	if len(pending) == 0 {
		return nil
	}
	s.Say("the previous run was interrupted during %d operations: checking their results", len(pending))
	azure, err := azureClients(s.cloud)
	if err != nil {
		return err
	}
	found := map[string]created{}
	for _, op := range pending {
		in := s.objectsOf(op.Resource.Provider, exported)
		there, err := op.created(ctx, azure.NewClient(), s.cloud.Credentials.SubscriptionID, in)
		if errors.Is(err, errUnnamed) {
			s.Say("%s may exist, but is no longer in the state: %v", op.Resource.URN, err)
			continue
		}
		if err != nil {
			return err
		}
		if there.id != "" {
			found[op.Resource.URN] = there
		}
	}
	edited, err := state.settled(found)
	if err != nil {
		return err
	}
	if err := s.importState(ctx, edited); err != nil {
		return err
	}
	return s.refresh(ctx) // reads the other resources from Azure
}

// ErrAtWork is returned if an engine that a user has started is working on the stack.
var ErrAtWork = errors.New("another pulumi is working on the stack")

// atWork returns ErrAtWork if a running engine holds the lock on the stack. Otherwise two engines would write one
// state.
func (s *Stack) atWork() error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	files, _ := filepath.Glob(filepath.Join(s.StackLocks(s.name), "*.json"))
	for _, file := range files {
		var holder struct {
			PID      int
			Hostname string
		}
		// A kill leaves it half-written.
		if content, err := os.ReadFile(file); err != nil || json.Unmarshal(content, &holder) != nil {
			continue
		}
		if holder.Hostname == host && isEngine(holder.PID) {
			return fmt.Errorf("%w %s (process %d): wait for it or interrupt it", ErrAtWork, s.name, holder.PID)
		}
	}
	return nil
}

// importState replaces the stack's state. The Automation API's Import would write the state with its secrets to the
// folder for temporary files, where a kill leaves it. The engine's `refresh --import-pending-creates` drops the
// resources that it should import.
func (s *Stack) importState(ctx context.Context, state []byte) error {
	file := s.Path("state.json")
	defer os.Remove(file)
	if err := os.WriteFile(file, state, 0o600); err != nil {
		return err
	}
	args := []string{"stack", "import", "--file", file, "--stack", s.name}
	_, _, _, err := command{s}.Run(ctx, s.Project, nil, nil, nil, nil, args...)
	return s.because(err)
}

// objectsOf returns a function that looks up objects with the kubeconfig of a provider in the stack's state.
func (s *Stack) objectsOf(provider string, exported apitype.UntypedDeployment) objects {
	return func(ctx context.Context, apiVersion, kind, namespace, name string) ([]byte, error) {
		var deployment struct {
			Resources []struct {
				URN, ID string
				Inputs  json.RawMessage
			}
		}
		if err := json.Unmarshal(exported.Deployment, &deployment); err != nil {
			return nil, fmt.Errorf("reading the stack's state: %w", err)
		}
		for _, r := range deployment.Resources {
			if r.URN+"::"+r.ID != provider {
				continue
			}
			kubeconfig, err := s.kubeconfigOf(r.Inputs)
			if err != nil {
				return nil, fmt.Errorf("reading the kubeconfig of %s: %w", r.URN, err)
			}
			client, err := s.cluster(kubeconfig)
			if err != nil {
				return nil, err
			}
			found, err := client.Get(ctx, apiVersion, kind, namespace, name)
			if err != nil {
				err = fmt.Errorf("looking up %s %s: %w", kind, name, err)
			}
			return found, err
		}
		return nil, fmt.Errorf("the state has no provider %s", provider)
	}
}

// kubeconfigOf returns the kubeconfig of a Kubernetes provider: text or a file, secret or not. Defaults to the
// environment's.
func (s *Stack) kubeconfigOf(inputs json.RawMessage) (string, error) {
	var given struct{ Kubeconfig json.RawMessage }
	if err := json.Unmarshal(inputs, &given); err != nil {
		return "", err
	}
	text := s.Path(home.KubeconfigFile)
	if given.Kubeconfig != nil {
		var secret struct{ Plaintext string }
		if json.Unmarshal(given.Kubeconfig, &secret) == nil {
			given.Kubeconfig = json.RawMessage(secret.Plaintext)
		}
		if err := json.Unmarshal(given.Kubeconfig, &text); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(text); err != nil && given.Kubeconfig != nil {
		return text, nil
	}
	content, err := os.ReadFile(text)
	return string(content), err
}

// interrupted reports whether the file backend has a lock, a state with pending operations or no readable state. Asking
// the engine would take longer.
func (s *Stack) interrupted() bool {
	locks, err := os.ReadDir(s.StackLocks(s.name))
	if len(locks) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	state, err := os.ReadFile(s.StackFile(s.name))
	return err != nil || bytes.Contains(state, []byte(`"pending_operations"`))
}
