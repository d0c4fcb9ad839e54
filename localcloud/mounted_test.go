package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// podOf is a stack whose pod is this machine, as nobody where the test is root, with files in the folder /<mount>.
func podOf(t *testing.T, config string, files map[string]string) (*stack, outputs) {
	t.Helper()
	s := &stack{localCloud: &localCloud{home: t.TempDir()}, name: "dev", have: &setup{Node: kube.RealNode}, envs: os.Environ()}
	mount, err := os.MkdirTemp("/tmp", "mount")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(mount) })
	kubectl := filepath.Join(s.binDir(), thirdparty.Kubectl)
	as := ""
	if os.Geteuid() == 0 {
		as = "setpriv --reuid=65534 --clear-groups "
	}
	err = errors.Join(os.Chmod(mount, 0o755), os.MkdirAll(s.binDir(), 0o755), os.MkdirAll(s.path(configDir), 0o755),
		os.WriteFile(s.configFile("dev"), []byte(config), 0o600),
		os.WriteFile(kubectl, []byte("#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec "+as+"\"$@\"\n"), 0o755))
	for name, content := range files {
		file := filepath.Join(mount, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, outputs{ReadSecretCommand: "kubectl exec -n ns pod -- cat " + mount + "/x"}
}

const guide = `{"config": {"keyvault-aks:secrets": [{"name": "my-secret", "generate": {"length": 32}}],
	"keyvault-aks:workloads": [{"mount": [{"type": "secret", "name": "my-secret"}, {"type": "key", "name": "my-key"}]}]}}`

func TestReadMounted_ShowsValuesOnlyOfTheGuideOrWhenAsked(t *testing.T) {
	files := map[string]string{"my-secret": "generated", "my-key": "-----BEGIN\nPEM\n", "other": "hidden\n\n", "db/password": "hidden\x00\x1b[2J", ".env": "hidden"}
	if os.Geteuid() == 0 {
		files["..data/my-secret"] = "not to be seen"
	}
	s, of := podOf(t, guide, files)
	read, err := s.readMounted(t.Context(), of, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"my-secret = generated", "my-key = -----BEGIN PEM", "other (8 bytes, SHA-256 ", "db/password (11 bytes, ", ".env (6 bytes, "} {
		if !strings.Contains(read, want) {
			t.Errorf("%q is not in %q", want, read)
		}
	}
	if strings.Contains(read, "hidden") || strings.Contains(read, "..data") || strings.Contains(read, "\n") {
		t.Errorf("got %q", read)
	}
	read, err = s.readMounted(t.Context(), of, true)
	if err != nil || strings.Count(read, "hidden") != 3 || strings.ContainsAny(read, "\x00\x1b\n") {
		t.Errorf("with --show-values: %q, %v", read, err)
	}
	for name, config := range map[string]string{
		"a value of one's own": strings.Replace(guide, `"generate": {"length": 32}`, `"value": "mine"`, 1),
		"another secret":       strings.Replace(guide, `"type": "secret", "name": "my-secret"`, `"type": "secret", "name": "db", "alias": "my-secret"`, 1),
		"none":                 "",
	} {
		s, of := podOf(t, config, map[string]string{"my-secret": "hidden"})
		if read, err := s.readMounted(t.Context(), of, false); err != nil || strings.Contains(read, "hidden") {
			t.Errorf("%s: %q, %v", name, read, err)
		}
	}
}

// TestReadMounted_FailsForWhatThePodCannotRead has up fail where what it is all about has not come about.
func TestReadMounted_FailsForWhatThePodCannotRead(t *testing.T) {
	for name, change := range map[string]func(mount string) error{
		"a file":             func(mount string) error { return os.Chmod(filepath.Join(mount, "b", "secret"), 0o400) },
		"a folder":           func(mount string) error { return os.Chmod(filepath.Join(mount, "b"), 0o700) },
		"the mount":          func(mount string) error { return os.Chmod(mount, 0o700) },
		"a link to nowhere":  func(mount string) error { return os.Symlink("gone", filepath.Join(mount, "link")) },
		"a mount that is no": os.RemoveAll,
		"no file":            func(mount string) error { return errors.Join(os.RemoveAll(mount), os.Mkdir(mount, 0o755)) },
	} {
		s, of := podOf(t, guide, map[string]string{"a": "x", "b/secret": "x", "c": "x"})
		mount := filepath.Dir(strings.Fields(of.ReadSecretCommand)[7])
		err := change(mount)
		if os.Geteuid() != 0 && err == nil && name != "a link to nowhere" && name != "a mount that is no" && name != "no file" {
			continue // the owner's own mode says nothing here
		}
		if err != nil {
			t.Fatal(err)
		}
		if read, err := s.readMounted(t.Context(), of, false); err == nil {
			t.Errorf("%s: got %q", name, read)
		}
	}
}

// TestForgetPods_LeavesAllElse has programs in kubectl's and pulumi's place: one says which pods there are, one what it is asked for.
func TestForgetPods_LeavesAllElse(t *testing.T) {
	s, _ := podOf(t, guide, nil)
	s.project = t.TempDir()
	asked := s.path("asked")
	const state = `{"deployment": {"resources": [{"urn": "urn:vault", "type": "azure-native:keyvault:Vault", "id": "ns/gone"},
		{"urn": "urn:there", "type": "kubernetes:core/v1:Pod", "id": "ns/there"}, {"urn": "urn:gone", "type": "kubernetes:core/v1:Pod", "id": "ns/gone"}]}}`
	for pods, want := range map[string]bool{"kube-system/x ns/there": true, "ns/there ns/gone": false} {
		for name, script := range map[string]string{
			thirdparty.Kubectl: "echo " + pods,
			thirdparty.Pulumi:  "echo \"$@\" >> " + asked + "; case \"$1 $2\" in 'stack export') echo '" + state + "';; 'stack output') echo '{\"kubeconfig\": \"x\"}';; esac",
		} {
			if err := os.WriteFile(filepath.Join(s.binDir(), name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if gone, err := s.forgetPods(t.Context()); err != nil || gone != want {
			t.Errorf("with the pods %s: %t, %v", pods, gone, err)
		}
	}
	did, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	if all := string(did); strings.Count(all, "refresh") != 1 || strings.Count(all, "--target") != 1 || !strings.Contains(all, "--target urn:gone ") {
		t.Errorf("the engine was asked for %q", did)
	}
}
