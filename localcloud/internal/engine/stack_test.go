package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	secret "github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

func TestPlaceLater_KeepsTokensInHome(t *testing.T) {
	h := &home.Home{Dir: filepath.Join(t.TempDir(), "it's home"), Project: t.TempDir()}
	program := filepath.Join(t.TempDir(), "a program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$XDG_CACHE_HOME|$*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.BinDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := placeLater(h, thirdparty.Kubelogin, "XDG_CACHE_HOME="+quoted(h.Path(home.CacheDir)), program); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(filepath.Join(h.BinDir(), "kubelogin"), "get-token", "--login", "spn").Output()
	if want := h.Path(home.CacheDir) + "|get-token --login spn"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}

// TestPlaceLater_BuildsAtFirstRun uses the test binary in place of localcloud. It writes a script instead of building.
func TestPlaceLater_BuildsAtFirstRun(t *testing.T) {
	h := &home.Home{Dir: filepath.Join(t.TempDir(), "it's home"), Project: "/a project"}
	program := filepath.Join(t.TempDir(), "a program")
	if err := os.MkdirAll(h.BinDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := placeLater(h, thirdparty.Kubectl, "", program); err != nil {
		t.Fatal(err)
	}
	run := func(env ...string) string {
		cmd := exec.Command(filepath.Join(h.BinDir(), thirdparty.Kubectl), "get", "pods and more")
		cmd.Env = append(os.Environ(), env...)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		return fmt.Sprintf("%s|%s|%v", out, said.String(), err)
	}
	if got, want := run(standForBuild+"="), "|cannot build\n|exit status 3"; got != want {
		t.Errorf("if it cannot be built: %q, want %q", got, want)
	}
	want := "get;pods and more;\n|programs build kubectl --path --project /a project --home " + h.Dir + "\n|<nil>"
	if got := run(standForBuild + "=" + program); got != want {
		t.Errorf("the first time: %q, want %q", got, want)
	}
	if got, want := run(standForBuild+"="), "get;pods and more;\n||<nil>"; got != want {
		t.Errorf("the second time: %q, want %q", got, want)
	}
}

// TestPlaceHost_BuildsAtFirstRun also checks that the host is then beside the engine.
func TestPlaceHost_BuildsAtFirstRun(t *testing.T) {
	h := &home.Home{Dir: filepath.Join(t.TempDir(), "it's home"), Project: "/a project"}
	program := filepath.Join(t.TempDir(), "a cache", thirdparty.LanguagePython)
	host := h.Path(home.EngineDir, thirdparty.LanguagePython)
	if err := errors.Join(
		os.MkdirAll(h.Path(home.EngineDir), 0o755),
		os.MkdirAll(filepath.Dir(program), 0o755),
		placeHost(h, thirdparty.LanguagePython, program),
		os.WriteFile(program+"-exec", []byte("beside it"), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	run := func(env string) string {
		cmd := exec.Command(host, "127.0.0.1:1", "a b")
		cmd.Env = append(os.Environ(), standForBuild+"="+env)
		out, _ := cmd.Output()
		return string(out)
	}
	if got := run(""); got != "" {
		t.Errorf("if it cannot be built it prints %q to standard output", got)
	}
	for range 2 { // the second run uses the program itself
		if got, want := run(program), "127.0.0.1:1;a b;\n"; got != want {
			t.Errorf("it prints %q, want %q", got, want)
		}
	}
	for file, as := range map[string]string{program: host, program + "-exec": host + "-exec"} {
		was, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if now, err := os.Stat(as); err != nil || !os.SameFile(was, now) {
			t.Errorf("%s is not in its place: %v", filepath.Base(file), err)
		}
	}
}

// standForBuild names the variable that makes the test binary stand for localcloud. It writes a script that prints its
// arguments to the file that the variable names, or fails if the variable is empty.
const standForBuild = "TEST_STANDS_FOR_LOCALCLOUD"

func init() {
	file, stands := os.LookupEnv(standForBuild)
	switch {
	case !stands:
		return
	case file == "":
		fmt.Fprintln(os.Stderr, "cannot build")
		os.Exit(3)
	}
	fmt.Fprintln(os.Stderr, strings.Join(os.Args[1:], " "))
	fmt.Println(file)
	if err := os.WriteFile(file, []byte("#!/bin/sh\nprintf '%s;' \"$@\"\necho\n"), 0o755); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// TestPlaceKubernetesPlugin_KeepsTemporaryFilesInHome also replaces a link of an older local cloud.
func TestPlaceKubernetesPlugin_KeepsTemporaryFilesInHome(t *testing.T) {
	h := &home.Home{Dir: filepath.Join(t.TempDir(), "it's home"), Project: t.TempDir()}
	program := filepath.Join(t.TempDir(), "a program")
	const content = "#!/bin/sh\necho \"$TMPDIR|$*\"\n"
	place := h.Path(home.PulumiDir, "plugins", "resource-kubernetes-v"+thirdparty.KubernetesPluginVersion,
		thirdparty.KubernetesPlugin)
	if err := errors.Join(
		os.WriteFile(program, []byte(content), 0o755),
		os.MkdirAll(filepath.Dir(place), 0o755),
		os.Symlink(program, place),
	); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := placeKubernetesPlugin(h, program); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(place, "127.0.0.1:1").Output()
	if want := h.Path(home.TempDir) + "|127.0.0.1:1"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
	if now, err := os.ReadFile(program); err != nil || string(now) != content {
		t.Errorf("the program is now %q, %v", now, err)
	}
}

func TestOwnEnvironment_DropsTheUsersAzureAndProxies(t *testing.T) {
	kept := []string{"PATH=/bin", "HOME=/home/me", "GOPROXY=https://proxy.test", "CHARM_X=1"}
	given := append([]string{
		"AZURE_CLIENT_ID=a", "ARM_CLIENT_SECRET=b", "AAD_LOGIN_METHOD=c", "HTTPS_PROXY=d", "https_proxy=e", "NO_PROXY=f",
		"no_proxy=.azure.net", "http_proxy=g", "ALL_PROXY=h",
	}, kept...)
	if got := ownEnvironment(given); !slices.Equal(got, kept) {
		t.Errorf("got %v, want %v", got, kept)
	}
	if given[0] != "AZURE_CLIENT_ID=a" {
		t.Error("the argument was changed")
	}
}

func TestReadMounted_ReportsMissingPod(t *testing.T) {
	h := &home.Home{Dir: t.TempDir(), Project: t.TempDir()}
	s := &Stack{Home: h, name: "dev", have: home.Setup{Node: kube.RealNode}, envs: os.Environ()}
	of := (&apiServer{}).serve(t, s)
	of.ReadSecretCommand = "kubectl exec -n ns pod -- cat /mnt/secret"
	if read, err := s.ReadMounted(t.Context(), of, false); err == nil || !strings.Contains(err.Error(), "no such pod") {
		t.Errorf("got %q, %v", read, err)
	}
}

func TestInterrupted_FindsWhatKilledEngineLeft(t *testing.T) {
	const clean = `{"version": 3, "checkpoint": {"latest": {"resources": []}}}`
	const pending = `{"checkpoint": {"latest": {"pending_operations": [{}]}}}`
	for name, of := range map[string]struct {
		state, lock string
		want        bool
	}{
		"nothing":      {clean, "", false},
		"a lock":       {clean, "{}", true},
		"an operation": {pending, "", true},
		"no state":     {"", "", true},
	} {
		s := &Stack{Home: &home.Home{Dir: filepath.Join(t.TempDir(), "[home]"), Project: t.TempDir()}, name: "dev"}
		for file, content := range map[string]string{
			"stacks/keyvault-aks/dev.json": of.state, "locks/organization/keyvault-aks/dev/1.json": of.lock,
		} {
			if content != "" {
				writeFile(t, s.Path(home.StacksDir, ".pulumi", file), content, 0o600)
			}
		}
		if got := s.interrupted(); got != of.want {
			t.Errorf("%s: %t, want %t", name, got, of.want)
		}
	}
}

// TestUp_WaitsForCompilation has a script in place of pulumi that records its arguments and creates stacks.
func TestUp_WaitsForCompilation(t *testing.T) {
	s := &Stack{Home: &home.Home{Dir: t.TempDir(), Project: t.TempDir()}, name: "dev", envs: os.Environ()}
	asked := s.Path("asked")
	script := "#!/bin/sh\necho \"$1 $2\" >> " + asked + "\n" +
		"[ \"$1 $2\" = 'stack init' ] && echo encryptionsalt: v1:c2FsdA==:x > " + s.Path("init", "Pulumi.dev.yaml") + "\n" +
		"exit 0\n"
	writeFile(t, filepath.Join(s.BinDir(), thirdparty.Pulumi), script, 0o755)
	writeFile(t, s.Path(home.PassphraseFile), "", 0o600)
	writeFile(t, filepath.Join(s.Project, "Pulumi.dev.yaml"), "config: {}", 0o600)
	s.Compiled = func() error { return errors.New("main.go:1:1: syntax error") }
	if err := s.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("a program that cannot be compiled: %v", err)
	}
	if did, err := os.ReadFile(asked); err != nil || string(did) != "stack init\n" {
		t.Errorf("the engine ran %q, %v", did, err)
	}
}

// TestOutputs_PreferStateToEngine has a script in place of pulumi whose outputs differ from the state's.
func TestOutputs_PreferStateToEngine(t *testing.T) {
	const salt, kubeconfig = "v1:c2FsdHNhbHQ=:v1:x:y", "a kubeconfig\nof two lines"
	hidden, err := secret.NewSymmetricCrypterFromPassphrase("PASSPHRASE", []byte("saltsalt")).
		EncryptValue(t.Context(), strconv.Quote(kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	state := `{"version": 3, "checkpoint": {"latest": {"resources": [
		{"type": "a:b:C", "outputs": {"kubeconfig": "another"}},
		{"type": "pulumi:pulumi:Stack", "outputs": {"other": {"a": 1}, "clusterId": "/c", "readSecretCommand": "read",
		"kubeconfig": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
			"ciphertext": "` + hidden + `"}}}]}}}`
	withClusterID := func(value string) string {
		return strings.Replace(state, `"clusterId": "/c"`, `"clusterId": `+value, 1)
	}
	asset := `{"` + resource.SigKey + `": "` + resource.AssetSig + `"}`
	saved, engines := Outputs{kubeconfig, "/c", "read"}, Outputs{Kubeconfig: "the engine's"}
	for name, test := range map[string]struct {
		state, salt string
		want        Outputs
	}{
		"a state":            {state, salt, saved},
		"no stack so far":    {`{"checkpoint": {"latest": {}}}`, salt, Outputs{}},
		"no state":           {"", salt, engines},
		"half a state":       {state[:len(state)/2], salt, engines},
		"another key":        {state, "v1:b3RoZXI=:v1:x:y", engines},
		"of another program": {withClusterID(`{"a": 7}`), salt, Outputs{kubeconfig, "", "read"}},
		"an unknown salt":    {state, "v2:c2FsdHNhbHQ=", engines},
		"another kind":       {withClusterID(asset), salt, engines},
	} {
		s := &Stack{Home: &home.Home{Dir: t.TempDir(), Project: t.TempDir()}, name: "dev", envs: os.Environ()}
		s.secrets = func() secret.Decrypter { return s.decrypter(test.salt) }
		writeFile(t, s.Path(home.PassphraseFile), "PASSPHRASE", 0o600)
		const script = "#!/bin/sh\necho '{\"kubeconfig\": \"the engine'\"'\"'s\"}'\n"
		writeFile(t, filepath.Join(s.BinDir(), thirdparty.Pulumi), script, 0o755)
		if test.state != "" {
			writeFile(t, s.StackFile(s.name), test.state, 0o600)
		}
		if got, err := s.Outputs(t.Context()); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		file, err := os.ReadFile(s.Path(home.KubeconfigFile))
		if test.want.Kubeconfig != "" && string(file) != test.want.Kubeconfig+"\n" {
			t.Errorf("%s: kubectl's is %q, %v", name, file, err)
		}
	}
}
