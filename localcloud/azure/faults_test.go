package azure_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/faults"
	localarm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

// fail changes the fault plan as the owner.
func (f *fixture) fail(plan faults.Plan) {
	f.Helper()
	text, err := json.Marshal(plan)
	f.must(err)
	f.control(http.MethodPut, text)
}

// control requests a change of the fault plan.
func (f *fixture) control(method string, text []byte) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, "https://"+faults.Host+"/faults", bytes.NewReader(text))
	f.must(err)
	f.asOwner(req)
	resp, err := f.client.Do(req)
	f.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		f.Fatalf("%s of the plan of faults: %s", method, resp.Status)
	}
}

// asOwner adds the owner's credentials to a request.
func (f *fixture) asOwner(r *http.Request) {
	c := f.cloud.Credentials()
	r.SetBasicAuth(c.ClientID, c.ClientSecret)
}

// TestControl_RequiresOwner sends requests to the local cloud's own host without the owner's credentials.
func TestControl_RequiresOwner(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	token, err := f.owner.GetToken(t.Context(), armScope)
	f.must(err)
	for _, path := range []string{
		"/faults", "/principals", "/ci-tokens", "/activity", "/resources", "/operations", "/mounts", "/", "//faults",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete} {
			for name, show := range map[string]func(*http.Request){
				"nothing":           func(*http.Request) {},
				"another's secret":  func(r *http.Request) { r.SetBasicAuth(f.cloud.Credentials().ClientID, "guessed") },
				"an empty secret":   func(r *http.Request) { r.SetBasicAuth(f.cloud.Credentials().ClientID, "") },
				"no name":           func(r *http.Request) { r.SetBasicAuth("", f.cloud.Credentials().ClientSecret) },
				"the owner's token": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token.Token) },
			} {
				req, err := http.NewRequestWithContext(t.Context(), method, "https://"+faults.Host+path, strings.NewReader("{}"))
				f.must(err)
				show(req)
				resp, err := f.client.Do(req)
				f.must(err)
				resp.Body.Close()
				if resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s %s with %s: %s", method, path, name, resp.Status)
				}
			}
		}
	}
}

func TestFaults_FailRequestsAsPlanned(t *testing.T) {
	f := newFixture(t)
	f.group("g")
	_, err := f.owner.GetToken(t.Context(), armScope) // caches the token before requests fail
	f.must(err)
	read := func() (int, error) {
		token, err := f.owner.GetToken(t.Context(), armScope)
		f.must(err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"https://management.azure.com"+path("resourceGroups/g")+"?api-version=2022-09-01", nil)
		f.must(err)
		req.Header.Set("Authorization", "Bearer "+token.Token)
		resp, err := f.client.Do(req)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	f.fail(faults.Plan{Rules: []faults.Rule{{First: 1, Status: http.StatusTooManyRequests}}})
	if status, err := read(); status != http.StatusTooManyRequests || err != nil {
		t.Errorf("throttled: %d, %v", status, err)
	}
	f.fail(faults.Plan{Rules: []faults.Rule{{Rate: 1, Reset: "before"}}})
	if _, err := read(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	f.fail(faults.Plan{Rules: []faults.Rule{{Rate: 1, Method: "PUT", Reset: "after"}}})
	const lost = "resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/lost?api-version=2023-01-31"
	identity := path(lost)
	token, err := f.owner.GetToken(t.Context(), armScope)
	f.must(err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://management.azure.com"+identity,
		strings.NewReader(`{"location":"eastus"}`))
	f.must(err)
	req.Header.Set("Authorization", "Bearer "+token.Token)
	req.Header.Set("Content-Type", "application/json")
	if resp, err := f.client.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("got a response: %s", resp.Status)
	}
	if status, _ := f.call(http.MethodGet, identity, nil); status != http.StatusOK {
		t.Errorf("GET after the lost response: %d", status)
	}
	f.fail(faults.Plan{})
	if status, err := read(); status != http.StatusOK || err != nil {
		t.Errorf("without a plan: %d, %v", status, err)
	}
}

func TestFaults_DelayGrants(t *testing.T) {
	w := newWorld(t)
	read := func() error {
		_, err := w.secretsAs(w.clientID, w.token(nil, nil)).GetSecret(t.Context(), "my-secret", "", nil)
		return err
	}
	soon := func(what string) {
		t.Helper()
		var err error
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if err = read(); err == nil {
				return
			}
		}
		t.Fatalf("%s: %v", what, err)
	}
	w.fail(faults.Plan{RolesAfter: faults.Duration(time.Hour)})
	late := w.grant(w.vaultID, secretsUser)
	w.refused(read(), http.StatusForbidden, "Forbidden")
	w.stop()
	w.start()
	w.refused(read(), http.StatusForbidden, "Forbidden") // a restart and another plan do not end the delay
	_, err := w.assignments().Delete(t.Context(), w.vaultID, late, nil)
	w.must(err)

	const short = faults.Duration(300 * time.Millisecond)
	w.fail(faults.Plan{RolesAfter: short})
	begin := time.Now()
	granted := w.grant(w.vaultID, secretsUser)
	soon("a role that was granted")
	if time.Since(begin) < time.Duration(short) {
		t.Error("the role takes effect too early")
	}
	_, err = w.assignments().Delete(t.Context(), w.vaultID, granted, nil)
	w.must(err)
	w.refused(read(), http.StatusForbidden, "Forbidden")
	w.fail(faults.Plan{})
	w.grant(w.vaultID, secretsUser)
	w.must(read())

	// A new credential does not delay the others.
	w.fail(faults.Plan{CredentialsAfter: faults.Duration(time.Hour)})
	w.must(w.federate("g", "uai", "more", w.issuer, subject+"-2"))
	w.must(read())
	w.identity("g", "late")
	w.must(w.federate("g", "late", "fic", w.issuer, subject))
	late2 := w.identity("g", "late")
	_, err = w.secretsAs(*late2.Properties.ClientID, w.token(nil, nil)).GetSecret(t.Context(), "my-secret", "", nil)
	var refused *azidentity.AuthenticationFailedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "AADSTS700211:") {
		t.Errorf("too early: %v", err)
	}

	// Both take effect when the plan ends.
	w.fail(faults.Plan{RolesAfter: faults.Duration(time.Hour)})
	_, err = w.assign(w.vaultID, secretsUser, *late2.Properties.PrincipalID, servicePrincipal)
	w.must(err)
	w.control(http.MethodDelete, nil)
	_, err = w.secretsAs(*late2.Properties.ClientID, w.token(nil, nil)).GetSecret(t.Context(), "my-secret", "", nil)
	w.must(err)
}

func TestFaults_RetireVersions(t *testing.T) {
	w := newWorld(t)
	w.grant(w.vaultID, secretsUser)
	old, current := w.vaultID+"?api-version=2024-11-01", w.vaultID+"?api-version=2026-02-01"
	retire := func(on string) {
		w.fail(faults.Plan{Retire: []faults.Retirement{{Provider: "Microsoft.KeyVault", Before: "2026-02-01", On: on}}})
	}
	today := time.Now().UTC()
	retire(today.AddDate(0, 0, 2).Format(time.DateOnly))
	w.get(old)
	for _, on := range []string{"", today.AddDate(0, 0, -1).Format(time.DateOnly)} {
		retire(on)
		status, answer := w.ask(http.MethodGet, old, nil)
		refusal, _ := answer["error"].(m)
		message, _ := refusal["message"].(string)
		if status != http.StatusBadRequest || refusal["code"] != "NoRegisteredProviderFound" ||
			!strings.HasSuffix(message, "The supported api-versions are '2026-02-01'.") {
			t.Errorf("retired on %q: %d %v", on, status, answer)
		}
	}
	for _, request := range []string{
		w.vaultID + "/secrets/my-secret?api-version=2023-07-01",
		path("providers/Microsoft.KeyVault/deletedVaults?api-version=2024-11-01"),
	} {
		status, code := w.call(http.MethodGet, request, nil)
		if status != http.StatusBadRequest || code != "NoRegisteredProviderFound" {
			t.Errorf("%s: %d %s", request, status, code)
		}
	}
	w.get(current)
	w.get(w.vaultID + "/secrets/my-secret?api-version=2026-02-01")
	for _, request := range []string{
		path("resourceGroups/g?api-version=2022-09-01"),
		path("providers/Microsoft.KeyVault/deletedVaults?api-version=2026-02-01"),
		w.vaultID + "/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01",
	} {
		if status, code := w.call(http.MethodGet, request, nil); status != http.StatusOK {
			t.Errorf("%s: %d %s", request, status, code)
		}
	}
	_, provider := w.ask(http.MethodGet, path("providers/Microsoft.KeyVault?api-version=2022-09-01"), nil)
	for _, kind := range provider["resourceTypes"].([]any) {
		if versions := fmt.Sprint(kind.(m)["apiVersions"]); versions != "[2026-02-01]" {
			t.Errorf("the provider still lists %s for %v", versions, kind.(m)["resourceType"])
		}
	}
	_, err := w.secretsAs(w.clientID, w.token(nil, nil)).GetSecret(t.Context(), "my-secret", "", nil)
	w.must(err)
	w.control(http.MethodDelete, nil)
	w.get(old)
}

// TestOperations_TakeConfiguredTimes checks that asynchronous operations are polled and others respond late.
func TestOperations_TakeConfiguredTimes(t *testing.T) {
	const vaults, identities = "Microsoft.KeyVault/vaults", "Microsoft.ManagedIdentity/userAssignedIdentities"
	f := newFixture(t)
	f.stop()
	f.times = localarm.Times{
		vaults: {
			"Creating": time.Hour,
		},
		identities: {"Creating": 200 * time.Millisecond},
		aksType:    {"Creating": 200 * time.Millisecond},
	}
	f.start()
	f.group("g")
	begin := time.Now()
	f.identity("g", "uai")
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("an identity took %s", took)
	}
	begin = time.Now()
	if _, err := f.putCluster(nil); err != nil || time.Since(begin) < 200*time.Millisecond {
		t.Errorf("a cluster took %s: %v", time.Since(begin), err)
	}
	vault := path("resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv-slow") + "?api-version=2023-02-01"
	status, answer := f.ask(http.MethodPut, vault, m{"location": location, "properties": m{
		"tenantId":                f.cloud.Credentials().TenantID,
		"sku":                     m{"family": "A", "name": "standard"},
		"enableRbacAuthorization": true,
	}})
	if state := answer["properties"].(m)["provisioningState"]; status != http.StatusOK || state != "RegisteringDns" {
		t.Errorf("a new vault: %d, %v", status, state)
	}
	f.stop()
	f.times = nil
	f.start() // operations keep their times across a restart
	if state := f.get(vault)["provisioningState"]; state != "RegisteringDns" {
		t.Errorf("after a restart: %v", state)
	}
}

const aksType = "Microsoft.ContainerService/managedClusters"
