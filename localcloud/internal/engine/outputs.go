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

// Outputs are those of the program that the local cloud itself uses.
type Outputs struct{ Kubeconfig, ClusterID, ReadSecretCommand string }

// Outputs reads those of the stack, and has kubectl use its cluster, for whoever calls that by hand.
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

// show picks those that the local cloud uses, and has kubectl use the cluster.
func (s *Stack) show(all auto.OutputMap) (shown Outputs, err error) {
	text := func(name string) string { // another program's may be of another kind
		value, _ := all[name].Value.(string)
		return value
	}
	shown = Outputs{text("kubeconfig"), text("clusterId"), text("readSecretCommand")}
	if shown.Kubeconfig == "" { // an up that failed before there was a cluster
		return shown, nil
	}
	return shown, os.WriteFile(s.Path(home.KubeconfigFile), []byte(shown.Kubeconfig+"\n"), 0o600)
}

// savedOutputs are what `pulumi stack output --json` prints, as the engine has saved them.
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
	outputs := map[string]any{} // none: nothing was made so far
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

// reveal is a value as the engine prints it that a state has: secrets in it are encrypted there.
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
			return nil, fmt.Errorf("a value of the kind %v is read by the engine alone", signature)
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
