package plugin

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
)

const operationURL = "https://management.azure.com/operations/1"

var clusterInputs = resource.PropertyMap{
	"resourceGroupName": str("rg"), "resourceName": str("aks"), "location": str("eastus"), "dnsPrefix": str("d"),
}

// asynchronous makes Azure answer writes with an operation. poll answers its n-th poll.
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
	return engine.Create(ctx, plugin.CreateRequest{
		URN: urn("containerservice/v20240901:ManagedCluster", "aks"), Properties: clusterInputs,
	})
}

func TestCreate_WaitsForOperation(t *testing.T) {
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
		t.Errorf("outputs are older than the operation: %v", values(t, resp.Properties))
	}
}

func TestPolling_HonorsRetryAfter(t *testing.T) {
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

func TestCreate_FailedOperationKeepsResourceForUpdate(t *testing.T) {
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
	reason := strings.Join(initError.Reasons, "\n")
	if !strings.Contains(reason, "QuotaExceeded") || !strings.Contains(reason, "no cores left") {
		t.Errorf("got %s, want ARM's error", reason)
	}
	if resp.Status != resource.StatusPartialFailure || string(resp.ID) != clusterID ||
		resp.Properties["dnsPrefix"].V != "d" {
		t.Errorf("state lost: %v %q %v", resp.Status, resp.ID, values(t, resp.Properties))
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

func TestCancel_StopsWaitingAndKeepsResource(t *testing.T) {
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
		wantOnlyInputs(t, r.resp, r.err)
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting")
	}
}

func TestCreate_EndsAtCustomTimeout(t *testing.T) {
	engine, a := start(t, nil)
	asynchronous(a, func(int32) http.HandlerFunc { return operationStatus("InProgress") })
	resp, err := engine.Create(t.Context(), plugin.CreateRequest{
		URN: urn("containerservice:ManagedCluster", "aks"), Properties: clusterInputs, Timeout: 0.3,
	})
	if err == nil || resp.Status != resource.StatusPartialFailure ||
		!strings.Contains(err.Error(), "operation timed out") {
		t.Errorf("got %v %v", err, resp.Status)
	}
	wantOnlyInputs(t, resp, err)
}

// wantOnlyInputs is what becomes of an operation that was accepted and then cancelled or timed out, since the
// read of what there is now ends with it: the state has the ID and the inputs.
func wantOnlyInputs(t *testing.T, resp plugin.CreateResponse, err error) {
	t.Helper()
	if len(resp.Properties) > 0 {
		t.Errorf("it has outputs: %v", resp.Properties)
	}
	var failed *plugin.InitError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want an InitError", err)
	}
}

// TestCreate_WaitsForLongRunningTypesOnly also checks a 202. The plugin does not wait for an identity in the state
// Creating, but for a network.
func TestCreate_WaitsForLongRunningTypesOnly(t *testing.T) {
	identity := groupID + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x"
	network := groupID + "/providers/Microsoft.Network/virtualNetworks/x"
	const identityType = "managedidentity:UserAssignedIdentity"
	for name, test := range map[string]struct {
		token, id, parameter string
		status, polls        int
	}{
		"not long-running":          {identityType, identity, "resourceName", http.StatusCreated, 0},
		"not long-running, but 202": {identityType, identity, "resourceName", http.StatusAccepted, 3},
		"long-running, by its body": {"network:VirtualNetwork", network, "virtualNetworkName", http.StatusCreated, 3},
	} {
		t.Run(name, func(t *testing.T) {
			engine, a := start(t, nil)
			state, gets := "Creating", 0
			a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
				switch r.Method {
				case http.MethodPut:
					return func(w http.ResponseWriter, r *http.Request) {
						a.resources[strings.ToLower(test.id)] = map[string]any{"id": test.id}
						answer(w, test.status, map[string]any{"id": test.id, "properties": map[string]any{"provisioningState": state}})
					}
				case http.MethodGet:
					if gets++; gets > 3 { // the first checks existence
						state = "Succeeded"
					}
					if gets > 1 {
						return func(w http.ResponseWriter, r *http.Request) {
							answer(w, http.StatusOK, map[string]any{"id": test.id, "properties": map[string]any{"provisioningState": state}})
						}
					}
				}
				return nil
			})
			inputs := resource.PropertyMap{
				"resourceGroupName": str("rg"), resource.PropertyKey(test.parameter): str("x"), "location": str("eastus"),
			}
			req := plugin.CreateRequest{URN: urn(test.token, "x"), Properties: inputs}
			if _, err := engine.Create(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			if polls := gets - 2; polls != test.polls { // the last GET reads the result
				t.Errorf("polled %d times, want %d", polls, test.polls)
			}
		})
	}
}

// TestDelete_WaitsForLongRunningTypesOnly checks that the plugin does not poll after the 202 of another type.
func TestDelete_WaitsForLongRunningTypesOnly(t *testing.T) {
	for token, want := range map[string]int{"keyvault:Vault": 0, "resources:ResourceGroup": 1} {
		engine, a := start(t, nil)
		polls := 0
		a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
			if r.Method == http.MethodDelete {
				return func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", operationURL)
					w.WriteHeader(http.StatusAccepted)
				}
			}
			polls++
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
		})
		_, err := engine.Delete(t.Context(), plugin.DeleteRequest{
			URN: urn(token, "x"), ID: resource.ID(groupID), Inputs: resource.PropertyMap{}, Outputs: resource.PropertyMap{},
		})
		if err != nil || polls != want {
			t.Errorf("%s: polled %d times, want %d: %v", token, polls, want, err)
		}
	}
}

// TestPolling_HasAzureNativesIntervals checks the intervals without Retry-After.
func TestPolling_HasAzureNativesIntervals(t *testing.T) {
	for _, test := range []struct {
		method string
		do     func(p *azureNative) error
		every  time.Duration
	}{
		{"PUT", func(p *azureNative) error {
			_, _, err := p.arm.put(p.alive, groupID, "2022-09-01", map[string]any{}, true)
			return err
		}, 10 * time.Second},
		{"DELETE", func(p *azureNative) error {
			return p.arm.delete(p.alive, groupID, "2022-09-01", true)
		}, 30 * time.Second},
	} {
		t.Run(test.method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, a := inBubble(t)
				var asked []time.Time
				a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
					if r.URL.String() == operationURL {
						asked = append(asked, time.Now())
						if len(asked) < 3 {
							return operationStatus("InProgress")
						}
						return operationStatus("Succeeded")
					}
					if r.Method == http.MethodGet {
						return func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]any{"id": groupID}) }
					}
					return func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Azure-AsyncOperation", operationURL)
						answer(w, http.StatusAccepted, map[string]any{"id": groupID})
					}
				})
				begin := time.Now()
				if err := test.do(p); err != nil {
					t.Fatal(err)
				}
				for i, at := range asked {
					if after := at.Sub(begin); after != time.Duration(i)*test.every {
						t.Errorf("poll %d after %s, want %s", i, after, time.Duration(i)*test.every)
					}
				}
			})
		})
	}
}

// inBubble returns the plugin with its real waits and without gRPC, which would block on goroutines outside the bubble.
func inBubble(t *testing.T) (*azureNative, *azure) {
	t.Helper()
	a := &azure{resources: map[string]map[string]any{}}
	p := &azureNative{version: Version2, pkg: basePackage, alive: t.Context(), scale: 1, config: map[string]string{
		"clientId": client, "clientSecret": "hunter2", "tenantId": tenant, "subscriptionId": subscription,
	}}
	p.options.Transport = a
	if _, err := p.Configure(t.Context(), &pulumirpc.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	return p, a
}

// TestRetries_AreThreeWithGrowingWaits checks that a request fails at the fourth failure in a row. Waits grow from 20 s
// to two minutes, with azcore's jitter.
func TestRetries_AreThreeWithGrowingWaits(t *testing.T) {
	for _, failures := range []int{3, 4} {
		for _, fault := range []http.HandlerFunc{
			failWith(http.StatusServiceUnavailable, "ServiceUnavailable", "later"),
			failWith(http.StatusConflict, "AnotherOperationInProgress", "busy"),
		} {
			synctest.Test(t, func(t *testing.T) {
				p, a := inBubble(t)
				var asked []time.Time
				a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
					asked = append(asked, time.Now())
					if len(asked) <= failures {
						return fault
					}
					return nil
				})
				_, _, err := p.arm.put(t.Context(), groupID, "2022-09-01", map[string]any{"location": "eastus"}, false)
				if len(asked) != 4 || (err == nil) != (failures < 4) {
					t.Fatalf("%d failures: %d attempts: %v", failures, len(asked), err)
				}
				for i, want := range []time.Duration{20 * time.Second, 60 * time.Second, 120 * time.Second} {
					if waited := asked[i+1].Sub(asked[i]); waited < want*8/10 || waited > min(want*13/10, longestRetry) {
						t.Errorf("wait %d is %s, want about %s", i, waited, want)
					}
				}
			})
		}
	}
}

// TestRetries_EndAtRetryAfterOverTwoMinutes checks azcore's rule.
func TestRetries_EndAtRetryAfterOverTwoMinutes(t *testing.T) {
	for asks, want := range map[string]int{"120": 4, "121": 1} {
		synctest.Test(t, func(t *testing.T) {
			p, a := inBubble(t)
			attempts := 0
			a.on(func(r *http.Request, _ []byte) http.HandlerFunc {
				attempts++
				return func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", asks)
					fail(w, http.StatusTooManyRequests, "TooManyRequests", "later")
				}
			})
			begin := time.Now()
			_, err := p.arm.get(t.Context(), groupID, "2022-09-01")
			if took := time.Since(begin); err == nil || attempts != want || took != time.Duration(want-1)*120*time.Second {
				t.Errorf("Retry-After %s: %d attempts in %s, want %d: %v", asks, attempts, took, want, err)
			}
		})
	}
}

func TestWaitsScale_AcceptsFractions(t *testing.T) {
	for text, want := range map[string]float64{"0.01": 0.01, "1": 1, "0": 0, "-1": 0, "2": 0, "NaN": 0, "a": 0, "": 0} {
		t.Setenv(layout.WaitsVariable, text)
		if got, err := waitsScale(); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if err := os.Unsetenv(layout.WaitsVariable); err != nil {
		t.Fatal(err)
	}
	if got, err := waitsScale(); got != 1 || err != nil {
		t.Errorf("without the variable: %v, %v", got, err)
	}
}

func TestRetries_RepeatTransientErrorsOnly(t *testing.T) {
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

func TestRetries_HonorRetryAfter(t *testing.T) {
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

func TestDelete_SendsRequests(t *testing.T) {
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
				URN:     urn(test.token, "x"),
				ID:      resource.ID(test.id),
				Inputs:  resource.PropertyMap{},
				Outputs: resource.PropertyMap{},
			})
			if (err != nil) != test.fails {
				t.Errorf("got %v", err)
			}
			got := a.takeRequests()
			for i := range got { // ignore the data plane's API version, which the SDK chooses
				if strings.Contains(got[i], "vault.azure.net") {
					got[i] = got[i][:strings.Index(got[i], "?")+1]
				}
			}
			a.requests = got
			wantRequests(t, a, test.requests...)
		})
	}
}
