package engine

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	secret "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// Outputs are those of the program that the local cloud itself uses.
type Outputs struct{ Kubeconfig, ClusterID, ReadSecretCommand string }

// Outputs reads those of the stack, and has kubectl use its cluster, for whoever calls that by hand.
func (s *Stack) Outputs(ctx context.Context) (shown Outputs, err error) {
	if shown, err = s.savedOutputs(ctx); err != nil { // the engine knows better
		printed, err := s.pulumi(ctx, "stack", "output", "--json", "--show-secrets")
		if err != nil {
			return shown, err
		}
		shown = Outputs{}
		if err := json.Unmarshal(printed, &shown); err != nil {
			return shown, fmt.Errorf("reading the stack's outputs: %w", err)
		}
	}
	if shown.Kubeconfig == "" { // an up that failed before there was a cluster
		return shown, nil
	}
	return shown, os.WriteFile(s.Path(home.KubeconfigFile), []byte(shown.Kubeconfig+"\n"), 0o600)
}

// savedOutputs are outputs as the engine has saved them. Running the engine takes half a second.
func (s *Stack) savedOutputs(ctx context.Context) (shown Outputs, err error) {
	if s.secrets == nil {
		return shown, errors.New("the stack is not configured yet")
	}
	content, err := os.ReadFile(s.StackFile(s.name))
	if err != nil {
		return shown, err
	}
	var saved struct {
		Checkpoint struct {
			Latest *struct {
				Resources []struct {
					Type    string
					Outputs struct{ Kubeconfig, ClusterID, ReadSecretCommand json.RawMessage }
				}
			}
		}
	}
	if err := json.Unmarshal(content, &saved); err != nil {
		return shown, err
	}
	if saved.Checkpoint.Latest == nil {
		return shown, errors.New("the state has no checkpoint")
	}
	for _, r := range saved.Checkpoint.Latest.Resources {
		if r.Type != "pulumi:pulumi:Stack" {
			continue
		}
		return shown, errors.Join(s.reveal(ctx, r.Outputs.Kubeconfig, &shown.Kubeconfig), s.reveal(ctx, r.Outputs.ClusterID, &shown.ClusterID),
			s.reveal(ctx, r.Outputs.ReadSecretCommand, &shown.ReadSecretCommand))
	}
	return shown, nil // nothing was made so far
}

// reveal reads a text as a state has it: as it is, or encrypted where it is a secret.
func (s *Stack) reveal(ctx context.Context, saved json.RawMessage, text *string) error {
	var hidden struct{ Ciphertext string }
	if len(saved) == 0 || json.Unmarshal(saved, text) == nil {
		return nil
	}
	err := json.Unmarshal(saved, &hidden)
	if err != nil {
		return err
	}
	plain, err := s.secrets().DecryptValue(ctx, hidden.Ciphertext)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(plain), text)
}

// decrypter returns that of a salt as a stack's configuration has it, `v1:<salt>:<a text encrypted with it>`. To derive
// its key takes a sixth of a second.
func (s *Stack) decrypter(salt string) secret.Decrypter {
	passphrase, err := os.ReadFile(s.Path(home.PassphraseFile))
	parts := strings.Split(salt, ":")
	var decoded []byte
	if err == nil && len(parts) > 1 && parts[0] == "v1" {
		decoded, err = base64.StdEncoding.DecodeString(parts[1])
	}
	if err != nil || len(decoded) == 0 {
		return secret.NewErrorCrypter("the salt of the stack's secrets cannot be read")
	}
	return secret.NewSymmetricCrypterFromPassphrase(strings.TrimSpace(string(passphrase)), decoded)
}
