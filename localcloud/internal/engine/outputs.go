package engine

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	secret "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
)

// Outputs are the program's outputs that the local cloud itself uses.
type Outputs struct{ Kubeconfig, ClusterID, ReadSecretCommand string }

// Outputs returns the stack's outputs and makes its cluster the one that kubectl uses.
func (s *Stack) Outputs(ctx context.Context) (Outputs, error) {
	stack, err := s.automation(ctx)
	if err != nil {
		return Outputs{}, err
	}
	all, err := stack.Outputs(ctx)
	if err != nil {
		return Outputs{}, s.because(err)
	}
	return s.show(all)
}

// show selects the outputs that the local cloud uses and writes the kubeconfig that kubectl uses.
func (s *Stack) show(all auto.OutputMap) (shown Outputs, err error) {
	text := func(name string) string { // another program's output may have another type
		value, _ := all[name].Value.(string)
		return value
	}
	shown = Outputs{text("kubeconfig"), text("clusterId"), text("readSecretCommand")}
	if shown.Kubeconfig == "" { // up failed before there was a cluster
		return shown, nil
	}
	return shown, os.WriteFile(s.Path(home.KubeconfigFile), []byte(shown.Kubeconfig+"\n"), 0o600)
}

// savedOutputs returns what `pulumi stack output --json` prints, read from the state that the engine has saved.
func (s *Stack) savedOutputs(ctx context.Context, showSecrets bool) ([]byte, error) {
	if s.secrets == nil {
		return nil, errors.New("the stack is not configured yet")
	}
	content, err := os.ReadFile(s.StackFile(s.name))
	if err != nil {
		return nil, err
	}
	var saved struct {
		Checkpoint struct {
			Latest *struct {
				Resources []struct {
					Type    string
					Outputs json.RawMessage
				}
			}
		}
	}
	if err := json.Unmarshal(content, &saved); err != nil {
		return nil, err
	}
	if saved.Checkpoint.Latest == nil {
		return nil, errors.New("the state has no checkpoint")
	}
	outputs := map[string]any{}
	for _, r := range saved.Checkpoint.Latest.Resources {
		if r.Type != "pulumi:pulumi:Stack" || len(r.Outputs) == 0 {
			continue
		}
		if err := json.Unmarshal(r.Outputs, &outputs); err != nil {
			return nil, err
		}
	}
	for name, value := range outputs {
		if outputs[name], err = s.reveal(ctx, value, showSecrets); err != nil {
			return nil, err
		}
	}
	return json.Marshal(outputs)
}

// reveal converts a value of the state, in which secrets are encrypted, to the form in which the engine prints it.
func (s *Stack) reveal(ctx context.Context, value any, showSecrets bool) (_ any, err error) {
	switch value := value.(type) {
	case []any:
		for i, of := range value {
			if value[i], err = s.reveal(ctx, of, showSecrets); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		ciphertext, encrypted := value["ciphertext"].(string)
		switch signature, is := value[resource.SigKey]; {
		case is && (signature != resource.SecretSig || !encrypted):
			return nil, fmt.Errorf("only the engine can read a value of the kind %v", signature)
		case is && !showSecrets:
			return "[secret]", nil
		case is:
			plain, err := s.secrets().DecryptValue(ctx, ciphertext)
			if err != nil {
				return nil, err
			}
			var hidden any
			if err := json.Unmarshal([]byte(plain), &hidden); err != nil {
				return nil, err
			}
			return s.reveal(ctx, hidden, true)
		}
		for key, of := range value {
			if value[key], err = s.reveal(ctx, of, showSecrets); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// decrypter returns the decrypter for a salt from a stack's configuration, `v1:<salt>:<a text encrypted with it>`. It
// takes a sixth of a second to derive the key.
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
