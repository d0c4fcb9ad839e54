package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/gofrs/flock"

	"github.com/keyvault-aks/keyvault-aks/localcloud/providers/azure-native/plugin"
)

func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "localcloud", "thirdparty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Pulumi.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEveryCheckoutHasItsOwnHomeOutsideOfIt(t *testing.T) {
	const state = "/state" // nothing is made in it
	t.Setenv("XDG_STATE_HOME", state)
	homes := map[string]bool{}
	for range 2 {
		project := checkout(t)
		l, err := locate(project, "")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(l.home, state) || strings.HasPrefix(l.home, project) {
			t.Errorf("home %s, want it below %s", l.home, state)
		}
		homes[l.home] = true
	}
	if len(homes) != 2 {
		t.Errorf("two checkouts share a home: %v", homes)
	}
}

func TestAFolderThatIsNoCheckoutIsRefused(t *testing.T) {
	if _, err := locate(t.TempDir(), ""); err == nil {
		t.Error("an empty folder is taken for a checkout")
	}
}

func TestAHomeWhosePathIsReadAsSomethingElseIsRefused(t *testing.T) {
	project := checkout(t)
	for _, c := range notInHome {
		if _, err := locate(project, "/state/a"+string(c)+"b"); err == nil {
			t.Errorf("%q is taken", c)
		}
	}
	if _, err := locate(project, "/state/a-b_c.d"); err != nil {
		t.Error(err)
	}
}

func TestTheDefaultHomeIsFineWhateverTheCheckoutIsCalled(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/state")
	project := filepath.Join(t.TempDir(), "50% c#, what?")
	if err := os.Rename(checkout(t), project); err != nil {
		t.Fatal(err)
	}
	l, err := locate(project, "")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(filepath.Base(l.home)) {
		t.Errorf("home %s", l.home)
	}
}

func TestAHomeThatIsTooLongForSocketsIsRefusedBeforeItIsMade(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("x", 90))
	if _, err := locate(checkout(t), home); err == nil {
		t.Error("it is taken")
	}
	if _, err := os.Stat(home); err == nil {
		t.Error("it was made")
	}
}

func TestAStateFileOfAKilledCloudDoesNotCountAsRunning(t *testing.T) {
	l := &localCloud{home: t.TempDir()}
	if err := writeJSON(l.path(stateFile), running{PID: 7, Settled: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.running(); !errors.Is(err, errNotRunning) {
		t.Errorf("without a lock file: %v", err)
	}
	lock := flock.New(l.path(lockFile))
	if _, err := lock.TryLock(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.path(lockFile), []byte("8"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := l.running(); !errors.Is(err, errStarting) || r != nil {
		t.Errorf("while the lock is held by another process: %v, %v", r, err)
	}
	if err := os.WriteFile(l.path(lockFile), []byte("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := l.running(); err != nil || r.PID != 7 {
		t.Errorf("while the lock is held: %v, %v", r, err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.running(); !errors.Is(err, errNotRunning) {
		t.Errorf("after the lock was let go: %v", err)
	}
}

func TestACloudWhoseClustersAreNotBackIsStillStarting(t *testing.T) {
	l := &localCloud{home: t.TempDir()}
	lock := flock.New(l.path(lockFile))
	if _, err := lock.TryLock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if err := os.WriteFile(l.path(lockFile), []byte("7"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, settled := range []bool{false, true} {
		if err := writeJSON(l.path(stateFile), running{PID: 7, Settled: settled}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.running(); errors.Is(err, errStarting) == settled {
			t.Errorf("settled %v: %v", settled, err)
		}
	}
}

func TestStopEndsOnlyTheProcessThatTheLockNames(t *testing.T) {
	l := &localCloud{home: t.TempDir()}
	// It holds the lock as long as it lives; without flock(1) there is nothing to test with.
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip(err)
	}
	stranger := exec.Command("sleep", "60")
	server := exec.Command("flock", "--no-fork", l.path(lockFile), "sleep", "60")
	for _, cmd := range []*exec.Cmd{stranger, server} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
	}
	for { // until it holds the lock
		if _, err := l.holder(); errors.Is(err, errStarting) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := writeJSON(l.path(stateFile), running{PID: stranger.Process.Pid, Settled: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.path(lockFile), []byte(strconv.Itoa(server.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	go server.Wait()
	if err := l.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if ended, err := syscall.Wait4(stranger.Process.Pid, nil, syscall.WNOHANG, nil); ended != 0 || err != nil {
		t.Errorf("the stranger's process ended: %v", err)
	}
}

func TestTwoCommandsDoNotChangeACloudAtOnce(t *testing.T) {
	l := &localCloud{home: filepath.Join(t.TempDir(), "home")}
	done, err := l.alone()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.alone(); err == nil {
		t.Error("a second command came in")
	}
	done()
	again, err := l.alone()
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestConfigOnTheCommandLineWinsOverTheFiles(t *testing.T) {
	values := map[string]any{"keyvault-aks:nodeCount": 1, "azure-native:location": "eastus"}
	if err := override(values, []string{"nodeCount=3", "azure-native:location=westus", "keys=[{name: a=b}]"}); err != nil {
		t.Fatal(err)
	}
	if values["keyvault-aks:nodeCount"] != 3 || values["azure-native:location"] != "westus" {
		t.Errorf("got %v", values)
	}
	if keys, ok := values["keyvault-aks:keys"].([]any); !ok || len(keys) != 1 {
		t.Errorf("got keys %v", values["keyvault-aks:keys"])
	}
}

func TestOnlyWhatIsBeingCreatedIsLookedFor(t *testing.T) {
	for _, typ := range []string{"azure-native:keyvault/v20241101:Vault", "kubernetes:core/v1:Pod"} {
		op := pendingOperation{Type: "updating"}
		op.Resource.Type = typ
		// No client is given: asking would panic.
		if there, err := op.created(t.Context(), nil, "s", nil); there.id != "" || err != nil {
			t.Errorf("%s: %q, %v", typ, there.id, err)
		}
	}
}

// TestAHalfMadeObjectIsTheStacksIfTheProviderMadeItAsTheStackSays has somebody else's objects of the same name.
func TestAHalfMadeObjectIsTheStacksIfTheProviderMadeItAsTheStackSays(t *testing.T) {
	const made = `"managedFields": [{"manager": "kubelet"}, {"manager": "pulumi-kubernetes"}]`
	for name, test := range map[string]struct {
		live string
		ours bool
	}{
		"nothing":           {"", false},
		"made by it":        {`{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "b", "c": "d"}, ` + made + `}, "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}}`, true},
		"of other contents": {`{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}, ` + made + `}, "spec": {"containers": [{"name": "other"}]}}`, false},
		"without a label":   {`{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", ` + made + `}, "spec": {"containers": [{"name": "c"}]}}`, false},
		"made by another":   {`{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}]}, "spec": {"containers": [{"name": "c"}]}}`, false},
	} {
		op := pendingOperation{Type: "creating"}
		op.Resource.Type = "kubernetes:core/v1:Pod"
		op.Resource.Inputs = map[string]any{
			"kind": "Pod", "apiVersion": "v1",
			"metadata": map[string]any{"name": "p", "namespace": "ns", "labels": map[string]any{"a": "b"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "c"}}},
		}
		there, err := op.created(t.Context(), nil, "s", func(_ context.Context, of, kind, in, called string) ([]byte, error) {
			if got := []string{of, kind, in, called}; !slices.Equal(got, []string{"v1", "Pod", "ns", "p"}) {
				t.Errorf("%s: asked for %q", name, got)
			}
			return []byte(test.live), nil
		})
		if err != nil || (there.id == "ns/p") != test.ours {
			t.Errorf("%s: it is taken as %q, want %t: %v", name, there.id, test.ours, err)
		}
	}
}

// answers is a transport that keeps what it is asked for.
type answers struct{ asked, body string }

func (a *answers) Do(req *http.Request) (*http.Response, error) {
	a.asked = req.URL.Path + "?" + req.URL.RawQuery
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a.body)), Request: req}, nil
}

func (*answers) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestHalfMadeVault(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv"
	for token, version := range map[string]string{
		"azure-native:keyvault/v20241101:Vault":                    "2024-11-01",
		"azure-native_keyvault_v20260201:keyvault/v20260201:Vault": "2026-02-01",
	} {
		azure := &answers{body: `{"id": "` + id + `", "properties": {"vaultUri": "https://kv.vault.azure.net/"}}`}
		options := arm.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: azure}}
		client, err := armresources.NewClient("s", azure, &options)
		if err != nil {
			t.Fatal(err)
		}
		op := pendingOperation{Type: "creating"}
		op.Resource.Type, op.Resource.Inputs = token, map[string]any{"resourceGroupName": "rg", "vaultName": "kv"}
		there, err := op.created(t.Context(), client, "s", nil)
		if err != nil || there.id != id || there.outputs["azureApiVersion"] != version {
			t.Errorf("%s: %v, %v", token, there, err)
		}
		if want := id + "?api-version=" + version; azure.asked != want {
			t.Errorf("%s: asked for %s, want %s", token, azure.asked, want)
		}
	}
}

// TestWhatWasMadeAfterAllIsTakenAsItIs has outputs go to the state: without, the next up replaces what has values that
// Azure chose.
func TestWhatWasMadeAfterAllIsTakenAsItIs(t *testing.T) {
	s, err := parseState([]byte(`{"deployment": {"resources": [{"urn": "a"}], "pending_operations": [
		{"type": "creating", "resource": {"urn": "b", "inputs": {"x": 1}}}, {"type": "creating", "resource": {"urn": "c"}}, {"type": "updating", "resource": {"urn": "d"}}
	]}}`))
	if err != nil {
		t.Fatal(err)
	}
	outputs, err := plugin.Outputs("azure-native:containerservice/v20240901:ManagedCluster",
		map[string]any{"id": "/b", "properties": map[string]any{"nodeResourceGroup": "MC_chosen"}})
	if err != nil {
		t.Fatal(err)
	}
	edited, err := s.settled(map[string]created{"b": {"/b", outputs}})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Deployment struct {
			Resources []struct {
				URN, ID         string
				Inputs, Outputs map[string]any
			}
			Pending []struct{ Type string } `json:"pending_operations"`
		}
	}
	if err := json.Unmarshal(edited, &got); err != nil {
		t.Fatal(err)
	}
	d := got.Deployment
	if len(d.Resources) != 2 || d.Resources[1].ID != "/b" || d.Resources[1].Inputs["x"] != 1.0 || d.Resources[1].Outputs["nodeResourceGroup"] != "MC_chosen" {
		t.Errorf("resources: %v", d.Resources)
	}
	if len(d.Pending) != 1 || d.Pending[0].Type != "updating" {
		t.Errorf("pending: %v", d.Pending)
	}
}

func TestARunThatWasKilledAtItsFirstResourceLeavesNothing(t *testing.T) {
	s, err := parseState([]byte(`{"deployment": {"pending_operations": [{"type": "creating", "resource": {"urn": "a"}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if edited, err := s.settled(nil); err != nil || strings.Contains(string(edited), "urn") {
		t.Errorf("%s, %v", edited, err)
	}
}
