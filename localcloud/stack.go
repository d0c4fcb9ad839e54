package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	secret "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"gopkg.in/yaml.v3"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// stack is one stack of the program, brought up in the local cloud by the real engine.
type stack struct {
	*localCloud
	name  string
	have  *setup
	cloud *running
	envs  []string // what pulumi runs with, and kubelogin
	// compiled waits until the program is compiled; nil: nobody compiles it ahead of the engine.
	compiled func() error
	// secrets decrypts those in the state.
	secrets func() secret.Decrypter
}

// stack readies what the engine needs: its home with the plugins, a file backend, a passphrase and, once it has joined
// the one that serves, the way to that.
func (l *localCloud) stack(name string, have *setup) (*stack, error) {
	s := &stack{localCloud: l, name: name, have: have}
	s.join(&running{}) // for what the engine does with its backend alone
	exe, err := os.Executable()
	if err == nil {
		err = errors.Join(l.placePrograms(have), l.placeKubernetesPlugin(have.Programs[thirdparty.KubernetesPlugin]),
			l.linkPlugins(filepath.Dir(exe), have.RealPlugins))
	}
	if err != nil {
		return nil, fmt.Errorf("giving the engine its plugins: %w", err)
	}
	if err := l.ensurePassphrase(rand.Text); err != nil {
		return nil, err
	}
	return s, errors.Join(os.MkdirAll(l.path(stacksDir), 0o700), os.MkdirAll(l.path(tempDir), 0o700))
}

// join has the engine use the local cloud that r says is running.
func (s *stack) join(r *running) {
	s.cloud = r
	s.envs = withoutPulumis(ownEnvironment(os.Environ()))
	for _, v := range s.variables(r, s.name) {
		s.envs = append(s.envs, v.name+"="+v.value)
	}
	s.envs = append(s.envs, s.engineMark())
}

// ownEnvironment is an environment with nothing of the user's own Azure, and no way to it but the one that is added:
// kubelogin, for one, has AZURE_ and AAD_ variables win over what it is told, and Go takes no_proxy where NO_PROXY is
// empty.
func ownEnvironment(of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasSuffix(strings.ToLower(name), "_proxy") ||
			slices.ContainsFunc([]string{"ARM_", "AZURE_", "AAD_"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
}

// withoutPulumis is an environment without the user's own choices for the engine, such as another backend.
func withoutPulumis(of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(v string) bool { return strings.HasPrefix(v, "PULUMI_") })
}

// placeKubernetesPlugin puts a script in the plugin's place: the plugin writes kubeconfigs, with an administrator's key, into the folder
// for temporary files and leaves them there, whichever engine runs it.
func (l *localCloud) placeKubernetesPlugin(program string) error {
	if _, err := os.Stat(program); err != nil {
		return err
	}
	place := l.path(pulumiDir, "plugins", "resource-kubernetes-v"+thirdparty.KubernetesPluginVersion, thirdparty.KubernetesPlugin)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	return placeScript(place, "TMPDIR="+quoted(l.path(tempDir)), program)
}

// binDir is the folder of the programs that a person uses too.
func (l *localCloud) binDir() string { return l.path("bin") }

// placePrograms puts the engine and its language host side by side: the engine takes one from its own folder as its
// own. Pulumi and kubelogin are called through scripts that have them keep in the home what they would leave in the
// user's folders: temporary files, and tokens.
func (l *localCloud) placePrograms(have *setup) error {
	engine := l.path(engineDir, thirdparty.Pulumi)
	if err := errors.Join(os.MkdirAll(l.binDir(), 0o755), os.MkdirAll(filepath.Dir(engine), 0o755)); err != nil {
		return err
	}
	err := errors.Join(
		placeScript(filepath.Join(l.binDir(), thirdparty.Pulumi), "TMPDIR="+quoted(l.path(tempDir)), engine),
		l.placeLater(thirdparty.Kubelogin, "XDG_CACHE_HOME="+quoted(l.path(cacheDir)), have.Programs[thirdparty.Kubelogin]),
		l.placeLater(thirdparty.Kubectl, "", have.Programs[thirdparty.Kubectl]),
	)
	if err != nil {
		return err
	}
	for _, name := range []string{
		thirdparty.Pulumi, thirdparty.LanguageGo, thirdparty.LanguageNodejs, thirdparty.LanguagePython, thirdparty.LanguageYAML,
	} {
		program := have.Programs[name]
		if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) && thirdparty.IsLater(name) {
			if err := l.placeHost(name, program); err != nil {
				return err
			}
			continue
		}
		if err := placeProgram(program, filepath.Join(filepath.Dir(engine), name)); err != nil {
			return err
		}
		if _, err := os.Stat(program + "-exec"); err == nil { // which Python's host looks for beside it
			if err := placeProgram(program+"-exec", filepath.Join(filepath.Dir(engine), name+"-exec")); err != nil {
				return err
			}
		}
	}
	return nil
}

// placeProgram puts a link to a program, or a copy, in a place where there is another or none.
func placeProgram(program, place string) error {
	was, err := os.Stat(program)
	if err != nil {
		return err
	}
	if now, err := os.Stat(place); err == nil && (os.SameFile(was, now) || now.ModTime().Equal(was.ModTime()) && now.Size() == was.Size()) {
		return nil
	}
	_ = os.Remove(place)
	if os.Link(program, place) == nil {
		return nil
	}
	content, err := os.ReadFile(program) // on another file system
	if err != nil {
		return err
	}
	if err := os.WriteFile(place, content, 0o755); err != nil {
		return err
	}
	return os.Chtimes(place, was.ModTime(), was.ModTime())
}

// placeLater puts a script in the place of a program that is got when it is first run: where it would be built, or
// where its release is.
func (l *localCloud) placeLater(name, variable, program string) error {
	get, err := l.getLater(name, program)
	if err != nil {
		return err
	}
	return placeFile(filepath.Join(l.binDir(), name), get+strings.TrimSpace(variable+` exec "$program"`)+" \"$@\"\n")
}

// getLater is the beginning of a script that has $program be where a program is, and gets it where it is not.
func (l *localCloud) getLater(name, program string) (string, error) {
	exe, err := os.Executable()
	return fmt.Sprintf("#!/bin/sh\nprogram=%s\n[ -x \"$program\" ] || program=$(%s programs build %s --path --project %s --home %s) || exit\n",
		quoted(program), quoted(exe), name, quoted(l.project), quoted(l.home)), err
}

// placeHost puts a script in the place of a language host that is got when a program of its language first runs. What
// is got takes the script's place, with the files beside it: a host looks for others in its own folder.
func (l *localCloud) placeHost(name, program string) error {
	get, err := l.getLater(name, program)
	if err != nil {
		return err
	}
	const move = `for file in "$program"*; do
	place=${0%/*}/${file##*/}
	ln -f "$file" "$place.$$" 2>/dev/null || cp -p "$file" "$place.$$" || exit
	mv -f "$place.$$" "$place" || exit
done
exec "$0" "$@"
`
	return placeFile(l.path(engineDir, name), get+move)
}

// placeScript puts a script in a place that runs another program with a variable set.
func placeScript(place, variable, program string) error {
	return placeFile(place, fmt.Sprintf("#!/bin/sh\n%s exec %s \"$@\"\n", variable, quoted(program)))
}

func placeFile(place, script string) error {
	if now, err := os.ReadFile(place); err == nil && string(now) == script {
		return nil
	}
	// Written anew and then named: one that runs is left alone.
	if err := os.WriteFile(place+".part", []byte(script), 0o755); err != nil {
		return err
	}
	return os.Rename(place+".part", place)
}

// configure makes the stack where there is none yet and gives it the configuration in the checkout. What the engine
// adds to a stack's configuration, the salt of its secrets, stays in the home, so that the checkout stays clean.
func (s *stack) configure(ctx context.Context, over []string) error {
	file, content, err := s.givenConfiguration(s.name, over) // before a stack is made for it
	if err != nil {
		return err
	}
	salt, err := s.initialise(ctx)
	if err != nil {
		return err
	}
	if content, err = configuration(file, content, over, salt); err != nil {
		return err
	}
	if err := os.WriteFile(s.path(configDir, "Pulumi."+s.name+".json"), content, 0o600); err != nil {
		return err
	}
	s.secrets = sync.OnceValue(func() secret.Decrypter { return s.decrypter(salt) })
	go s.secrets() // beside the engine, which waits more than it works
	return nil
}

// givenConfiguration returns the file of a stack's configuration and what is in it, or what is wrong with that or with
// what is set over it.
func (l *localCloud) givenConfiguration(name string, over []string) (file string, content []byte, err error) {
	file = filepath.Join(l.project, "Pulumi."+name+".yaml")
	content, err = os.ReadFile(file)
	if err != nil {
		var have []string
		files, _ := filepath.Glob(filepath.Join(l.project, "Pulumi.*.yaml"))
		for _, f := range files {
			have = append(have, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "Pulumi."), ".yaml"))
		}
		return "", nil, fmt.Errorf("there is no stack %q: the stacks with a configuration are %s", name, strings.Join(have, ", "))
	}
	_, err = configuration(file, content, over, "")
	return file, content, err
}

// initialise makes the stack and returns the salt of its secrets. It runs in a folder of its own since `pulumi stack
// init` writes the salt beside the Pulumi.yaml that it finds.
func (s *stack) initialise(ctx context.Context) (string, error) {
	dir := s.path("init")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(s.path(configDir), 0o700)); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), []byte("name: keyvault-aks\nruntime: go\n"), 0o600); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "Pulumi."+s.name+".yaml")
	if has, err := s.hasState(); err != nil {
		return "", err
	} else if !has {
		if _, err := s.pulumi(ctx, "stack", "init", s.name, "--cwd", dir); err != nil {
			return "", err
		}
	}
	var made struct {
		Salt string `yaml:"encryptionsalt"`
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("finding the salt of the stack's secrets: %w: %s", err, wayOut)
	}
	return made.Salt, yaml.Unmarshal(content, &made)
}

// outputs are those of the program that the local cloud itself uses.
type outputs struct{ Kubeconfig, ClusterID, ReadSecretCommand string }

// up brings the stack up, also after a run that was killed.
func (s *stack) up(ctx context.Context) (shown outputs, err error) {
	if s.compiled != nil {
		if err := s.compiled(); err != nil {
			return shown, err
		}
	}
	if err := s.recover(ctx); err != nil {
		return shown, err
	}
	if err := s.stream(ctx, "up", "--yes", "--skip-preview", "--suppress-permalink=true"); err != nil {
		return shown, fmt.Errorf("pulumi up: %w", err)
	}
	return s.outputs(ctx)
}

// outputs reads those of the stack, and has kubectl use its cluster, for whoever calls that by hand.
func (s *stack) outputs(ctx context.Context) (shown outputs, err error) {
	if shown, err = s.savedOutputs(ctx); err != nil { // the engine knows better
		printed, err := s.pulumi(ctx, "stack", "output", "--json", "--show-secrets")
		if err != nil {
			return shown, err
		}
		shown = outputs{}
		if err := json.Unmarshal(printed, &shown); err != nil {
			return shown, fmt.Errorf("reading the stack's outputs: %w", err)
		}
	}
	if shown.Kubeconfig == "" { // an up that failed before there was a cluster
		return shown, nil
	}
	return shown, os.WriteFile(s.path(kubeconfigFile), []byte(shown.Kubeconfig+"\n"), 0o600)
}

// savedOutputs are outputs as the engine has saved them. Running the engine takes half a second.
func (s *stack) savedOutputs(ctx context.Context) (shown outputs, err error) {
	if s.secrets == nil {
		return shown, errors.New("the stack is not configured yet")
	}
	content, err := os.ReadFile(s.stateFile())
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
func (s *stack) reveal(ctx context.Context, saved json.RawMessage, text *string) error {
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
func (s *stack) decrypter(salt string) secret.Decrypter {
	passphrase, err := os.ReadFile(s.path(phrase))
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

// recover puts right what a killed engine left: its lock, and what it was creating, which may have been created or not.
// Whatever is there is taken into the state; `pulumi refresh` asks a person for that.
func (s *stack) recover(ctx context.Context) error {
	if err := s.endEngines(); err != nil {
		return err
	}
	if !s.interrupted() {
		return nil
	}
	if _, err := s.pulumi(ctx, "cancel", "--yes"); err != nil {
		return err
	}
	exported, err := s.pulumi(ctx, "stack", "export")
	if err != nil {
		return err
	}
	state, err := parseState(exported)
	if err != nil {
		return err
	}
	pending := state.pending()
	if len(pending) == 0 {
		return nil
	}
	say("the last run was interrupted in the middle of %d operations: looking what became of them", len(pending))
	azure, err := azureClients(s.cloud)
	if err != nil {
		return err
	}
	found := map[string]created{}
	for _, op := range pending {
		there, err := op.created(ctx, azure.NewClient(), s.cloud.Credentials.SubscriptionID, s.objectsOf(op.Resource.Provider))
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
	// The engine reads the rest from Azure. Its own --import-pending-creates drops what it should import.
	file := s.path("state.json")
	defer os.Remove(file)
	if err := os.WriteFile(file, edited, 0o600); err != nil {
		return err
	}
	if _, err := s.pulumi(ctx, "stack", "import", "--file", file); err != nil {
		return err
	}
	if err := s.stream(ctx, "refresh", "--yes", "--skip-preview"); err != nil {
		return fmt.Errorf("pulumi refresh: %w", err)
	}
	return nil
}

// objectsOf returns a function that looks for objects with the kubeconfig of a provider in the stack's state.
func (s *stack) objectsOf(provider string) objects {
	return func(ctx context.Context, apiVersion, kind, namespace, name string) ([]byte, error) {
		exported, err := s.pulumi(ctx, "stack", "export", "--show-secrets")
		if err != nil {
			return nil, err
		}
		var state struct {
			Deployment struct {
				Resources []struct {
					URN, ID string
					Inputs  struct{ Kubeconfig struct{ Plaintext string } }
				}
			}
		}
		if err := json.Unmarshal(exported, &state); err != nil {
			return nil, fmt.Errorf("reading the stack's state: %w", err)
		}
		for _, r := range state.Deployment.Resources {
			if r.URN+"::"+r.ID != provider {
				continue
			}
			var kubeconfig string
			if err := json.Unmarshal([]byte(r.Inputs.Kubeconfig.Plaintext), &kubeconfig); err != nil {
				return nil, fmt.Errorf("reading the kubeconfig of %s: %w", r.URN, err)
			}
			client, err := s.cluster(kubeconfig)
			if err != nil {
				return nil, err
			}
			found, err := client.Get(ctx, apiVersion, kind, namespace, name)
			if err != nil {
				err = fmt.Errorf("looking for %s %s: %w", kind, name, err)
			}
			return found, err
		}
		return nil, fmt.Errorf("the state has no provider %s", provider)
	}
}

// cluster is a client of the API server that a kubeconfig leads to, behind the local cloud's proxy. A program by which
// the kubeconfig has its user sign in runs with the engine's environment.
func (s *stack) cluster(kubeconfig string) (*kube.Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	config.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: s.cloud.Proxy})
	config.QPS = -1 // all there is to slow down is the own machine
	if config.ExecProvider != nil {
		runWith(config.ExecProvider, s.envs)
	}
	return kube.NewClient(config)
}

// runWith has a program that signs in run with an environment. By itself client-go only adds to that of this process,
// in which there may be what the user has for Azure.
func runWith(program *api.ExecConfig, envs []string) {
	var args []string
	has := map[string]bool{}
	for _, v := range envs {
		name, value, _ := strings.Cut(v, "=")
		has[name] = true
		program.Env = append(program.Env, api.ExecEnvVar{Name: name, Value: value})
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "" && !has[name] {
			args = append(args, "-u", name)
		}
	}
	program.Command, program.Args = "env", slices.Concat(args, []string{program.Command}, program.Args)
}

// interrupted reports whether the file backend has a lock, or a state with operations that did not end, or no state
// that can be read. To ask the engine takes longer.
func (s *stack) interrupted() bool {
	locks, err := os.ReadDir(s.path(stacksDir, ".pulumi", "locks", "organization", "keyvault-aks", s.name))
	if len(locks) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	state, err := os.ReadFile(s.stateFile())
	return err != nil || bytes.Contains(state, []byte(`"pending_operations"`))
}

// stateFile is where the file backend has the stack's state.
func (s *stack) stateFile() string {
	return s.path(stacksDir, ".pulumi", "stacks", "keyvault-aks", s.name+".json")
}

// destroy destroys the stack, also after a run that was killed.
func (s *stack) destroy(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		return err
	}
	if err := s.stream(ctx, "destroy", "--yes", "--skip-preview", "--suppress-permalink=true"); err != nil {
		return fmt.Errorf("pulumi destroy: %w", err)
	}
	return nil
}

// pulumi runs the engine and returns what it prints.
func (s *stack) pulumi(ctx context.Context, args ...string) ([]byte, error) {
	cmd := s.engine(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("pulumi %s: %w\n%s", strings.Join(args[:min(2, len(args))], " "), err, errs.String())
	}
	return out.Bytes(), nil
}

// stream runs the engine and shows what it says. While it waits it says a dot a second.
func (s *stack) stream(ctx context.Context, args ...string) error {
	cmd := s.engine(ctx, append(args, "--color=never", "--diff=false")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func (s *stack) engine(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.binDir(), thirdparty.Pulumi), append(args, "--non-interactive")...)
	cmd.Dir = s.project
	cmd.Env = s.envs
	if args[0] != "stack" || args[1] != "init" {
		cmd.Args = append(cmd.Args, "--stack", s.name)
	}
	// The engine ends what it is doing and keeps its state at the first interrupt. The process group is its own, so that
	// one Ctrl-C is one interrupt and the second is not taken for impatience.
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	return cmd
}
