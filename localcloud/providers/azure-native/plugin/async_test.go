package plugin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

const operationURL = "https://management.azure.com/operations/1"

var clusterInputs = resource.PropertyMap{
	"resourceGroupName": str("rg"), "resourceName": str("aks"), "location": str("eastus"), "dnsPrefix": str("d"),
}

// asynchronous makes Azure answer writes of clusters with an operation, whose n-th poll poll answers.
func asynchronous(a *azure, poll func(n int32) http.HandlerFunc) {
	var polls atomic.Int32
	a.on(func(r *http.Request, body []byte) http.HandlerFunc {
		switch {
		case r.URL.String() == operationURL:
			return poll(polls.Add(1))
		case r.Method == http.MethodPut:
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Azure-AsyncOperation", operationURL)
				w.Header().Set("Location", "/relative/and/not/to/be/polled")
				a.serveARM(w, r, body)
			}
		}
		return nil
	})
}

func operationStatus(status string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		object := map[string]any{"status": status}
		if status == "Failed" {
			object["error"] = map[string]any{"code": "QuotaExceeded", "message": "no cores left"}
		}
		answer(w, http.StatusOK, object)
	}
}

func createCluster(ctx context.Context, engine plugin.Provider) (plugin.CreateResponse, error) {
	return engine.Create(ctx, plugin.CreateRequest{URN: urn("containerservice/v20240901:ManagedCluster", "aks"), Properties: clusterInputs})
}

func TestCreateWaitsForTheOperation(t *testing.T) {
	engine, a := start(t, nil)
	asynchronous(a, func(n int32) http.HandlerFunc {
		if n < 3 {
			return operationStatus("InProgress")
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.resources[strings.ToLower(clusterID)]["properties"] = map[string]any{"provisioningState": "Succeeded", "fqdn": "f"}
		return operationStatus("Succeeded")
	})
	begin := time.Now()
	resp, err := createCluster(t.Context(), engine)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v for an operation of three polls", took)
	}
	if resp.Properties["fqdn"].V != "f" {
		t.Errorf("outputs are those of before the operation: %v", values(t, resp.Properties))
	}
}

func TestPollingHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	engine, a := start(t, nil)
	var polled [3]time.Time
	asynchronous(a, func(n int32) http.HandlerFunc {
		polled[n] = time.Now()
		if n == 1 {
			return operationStatus("InProgress", "Retry-After", "1")
		}
		return operationStatus("Succeeded")
	})
	if _, err := createCluster(t.Context(), engine); err != nil {
		t.Fatal(err)
	}
	if waited := polled[2].Sub(polled[1]); waited < time.Second {
		t.Errorf("polled again after %v, want 1s", waited)
	}
}

func TestFailedOperationKeepsTheResourceAndTheNextUpdateConverges(t *testing.T) {
	engine, a := start(t, nil)
	failing := atomic.Bool{}
	failing.Store(true)
	asynchronous(a, func(int32) http.HandlerFunc {
		if failing.Load() {
			return operationStatus("Failed")
		}
		return operationStatus("Succeeded")
	})
	resp, err := createCluster(t.Context(), engine)
	var initError *plugin.InitError
	if !errors.As(err, &initError) {
		t.Fatalf("got %v, want an InitError", err)
	}
	if reason := strings.Join(initError.Reasons, "\n"); !strings.Contains(reason, "QuotaExceeded") || !strings.Contains(reason, "no cores left") {
		t.Errorf("reasons do not say what ARM said: %s", reason)
	}
	if resp.Status != resource.StatusPartialFailure || string(resp.ID) != clusterID || resp.Properties["dnsPrefix"].V != "d" {
		t.Errorf("state is lost: %v %q %v", resp.Status, resp.ID, values(t, resp.Properties))
	}

	failing.Store(false)
	updated, err := engine.Update(t.Context(), plugin.UpdateRequest{
		URN: urn("containerservice/v20240901:ManagedCluster", "aks"), ID: resp.ID,
		OldInputs: clusterInputs, OldOutputs: resp.Properties, NewInputs: clusterInputs,
	})
	if err != nil {
		t.Fatal(err)
	}
	if updated.Properties["dnsPrefix"].V != "d" {
		t.Errorf("got %v", values(t, updated.Properties))
	}
}

func TestCancelStopsWaitingAndKeepsTheResource(t *testing.T) {
	engine, a := start(t, nil)
	polling := make(chan struct{}, 100)
	asynchronous(a, func(int32) http.HandlerFunc {
		polling <- struct{}{}
		return operationStatus("InProgress", "Retry-After", "3600")
	})
	type result struct {
		resp plugin.CreateResponse
		err  error
	}
	done := make(chan result, 1)
	go func() {
		resp, err := createCluster(context.WithoutCancel(t.Context()), engine)
		done <- result{resp, err}
	}()
	<-polling
	if err := engine.SignalCancellation(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-done:
		if r.err == nil || r.resp.Status != resource.StatusPartialFailure || string(r.resp.ID) != clusterID {
			t.Errorf("got %v %v %q", r.err, r.resp.Status, r.resp.ID)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting")
	}
}

func TestCustomTimeoutEndsTheWait(t *testing.T) {
	engine, a := start(t, nil)
	asynchronous(a, func(int32) http.HandlerFunc { return operationStatus("InProgress") })
	resp, err := engine.Create(t.Context(), plugin.CreateRequest{
		URN: urn("containerservice:ManagedCluster", "aks"), Properties: clusterInputs, Timeout: 0.3,
	})
	if err == nil || resp.Status != resource.StatusPartialFailure {
		t.Errorf("got %v %v", err, resp.Status)
	}
}

func TestRetriesWhatPassesByItself(t *testing.T) {
	tests := []struct {
		name   string
		status int
		code   string
		passes bool
	}{
		{"throttled", http.StatusTooManyRequests, "TooManyRequests", true},
		{"timed out", http.StatusRequestTimeout, "RequestTimeout", true},
		{"unavailable", http.StatusServiceUnavailable, "ServiceUnavailable", true},
		{"broken", http.StatusInternalServerError, "InternalServerError", true},
		{"busy", http.StatusConflict, "AnotherOperationInProgress", true},
		{"conflict", http.StatusConflict, "VaultAlreadyExists", false},
		{"bad", http.StatusBadRequest, "BadRequest", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			engine, a := start(t, nil)
			var puts atomic.Int32
			a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
				if r.Method == http.MethodPut && puts.Add(1) == 1 {
					return failWith(test.status, test.code, "later")
				}
				return nil
			})
			_, err := createGroup(t, engine)
			if passed := err == nil; passed != test.passes {
				t.Errorf("got %v", err)
			}
			if !test.passes && (puts.Load() != 1 || !strings.Contains(err.Error(), test.code)) {
				t.Errorf("%d attempts, %v", puts.Load(), err)
			}
		})
	}
}

func TestRetryWaitsAsLongAsTheServiceAsks(t *testing.T) {
	t.Parallel()
	engine, a := start(t, nil)
	var first, second time.Time
	a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
		switch {
		case r.Method != http.MethodPut:
			return nil
		case first.IsZero():
			first = time.Now()
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "1")
				fail(w, http.StatusTooManyRequests, "TooManyRequests", "later")
			}
		default:
			second = time.Now()
			return nil
		}
	})
	if _, err := createGroup(t, engine); err != nil {
		t.Fatal(err)
	}
	if waited := second.Sub(first); waited < time.Second {
		t.Errorf("tried again after %v, want 1s", waited)
	}
}

func TestDelete(t *testing.T) {
	tests := []struct {
		name, token, id string
		there           bool
		async           bool
		requests        []string
		fails           bool
	}{
		{
			name: "removes", token: "keyvault:Vault", id: vaultID, there: true,
			requests: []string{"DELETE management.azure.com" + vaultID + "?2023-02-01"},
		},
		{
			name: "succeeds on what is gone", token: "keyvault:Vault", id: vaultID,
			requests: []string{"DELETE management.azure.com" + vaultID + "?2023-02-01"},
		},
		{
			name: "waits for the operation", token: "resources:ResourceGroup", id: groupID, there: true, async: true,
			requests: []string{
				"DELETE management.azure.com" + groupID + "?2022-09-01",
				"GET management.azure.com/operations/1?", "GET management.azure.com/operations/1?",
			},
		},
		{
			name: "deletes a secret in the vault", token: "keyvault:Secret", id: vaultID + "/secrets/s",
			requests: []string{"DELETE kv.vault.azure.net/secrets/s?", "DELETE kv.vault.azure.net/secrets/s?"},
		},
		{
			name: "succeeds on a secret that is gone", token: "keyvault:Secret", id: vaultID + "/secrets/gone",
			requests: []string{"DELETE kv.vault.azure.net/secrets/gone?", "DELETE kv.vault.azure.net/secrets/gone?"},
		},
		{
			name: "deletes a key in the vault", token: "keyvault:Key", id: vaultID + "/keys/k",
			requests: []string{"DELETE kv.vault.azure.net/keys/k?", "DELETE kv.vault.azure.net/keys/k?"},
		},
		{
			name: "reports a missing role in the vault", token: "keyvault:Key", id: vaultID + "/keys/denied", fails: true,
			requests: []string{"DELETE kv.vault.azure.net/keys/denied?", "DELETE kv.vault.azure.net/keys/denied?"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			engine, a := start(t, nil)
			if test.there {
				a.resources[strings.ToLower(test.id)] = map[string]any{"id": test.id}
			}
			polls := 0
			a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
				switch {
				case test.async && r.Method == http.MethodDelete:
					return func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Location", operationURL)
						w.WriteHeader(http.StatusAccepted)
					}
				case r.URL.String() == operationURL:
					polls++
					status := http.StatusOK
					if polls == 1 {
						status = http.StatusAccepted
					}
					return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
				}
				return nil
			})
			_, err := engine.Delete(t.Context(), plugin.DeleteRequest{
				URN: urn(test.token, "x"), ID: resource.ID(test.id), Inputs: resource.PropertyMap{}, Outputs: resource.PropertyMap{},
			})
			if (err != nil) != test.fails {
				t.Errorf("got %v", err)
			}
			got := a.takeRequests()
			for i := range got { // the data plane's API version is its SDK's affair
				if strings.Contains(got[i], "vault.azure.net") {
					got[i] = got[i][:strings.Index(got[i], "?")+1]
				}
			}
			a.requests = got
			wantRequests(t, a, test.requests...)
		})
	}
}
