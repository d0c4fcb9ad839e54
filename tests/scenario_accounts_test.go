package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// conflicts matches rejected writes of credentials in the local cloud's log.
var conflicts = regexp.MustCompile(`method=(PUT|DELETE).*/federatedIdentityCredentials/\S+ status=409`)

// manyServiceAccounts gives one identity as many credentials as Azure allows, in a cloud where writing one takes time:
// Azure rejects concurrent writes to an identity's credentials.
func manyServiceAccounts(c *cloud) func(t *testing.T) {
	return func(t *testing.T) {
		p := newProgram(t, c, "tests/programs/accounts", map[string]string{
			"resourceGroupName": "keyvault-demo", "issuerUrl": c.outputs(t).IssuerURL, "count": "21",
		})
		if out, err := p.tryPulumi(t, "preview"); err == nil || !strings.Contains(out+err.Error(), "serviceAccounts") {
			t.Errorf("preview with 21 service accounts: got %v, want an error about serviceAccounts\n%s", err, out)
		}
		p.configure(t, map[string]string{"count": "20"})
		p.pulumi(t, "up", "--yes", "--skip-preview")
		wantCredentials(t, c, 20)
		// Each step keeps some credentials between those that it deletes. With many, two writes are likely to coincide.
		few := func(accounts, clusters string) map[string]string {
			return map[string]string{"count": "0", "accounts": accounts, "clusters": clusters}
		}
		for _, move := range []struct {
			what   string
			config map[string]string
			left   int
		}{
			{"delete half", few(`["account-01","account-03","account-05","account-07","account-09"]`, `[]`), 5},
			{"add cluster, delete account", few(`["account-01","account-05","account-07","account-09"]`, `["west"]`), 8},
			{"rename", few(`["a","account-05","b","account-09"]`, `["west"]`), 8},
			{"reorder, add cluster first", few(`["account-09","b","a","account-05"]`, `["north","west"]`), 12},
			{"delete clusters", few(`["account-09","b","a","account-05"]`, `[]`), 4},
			{"change namespace", map[string]string{"namespace": "many-more"}, 4},
		} {
			p.configure(t, move.config)
			if out, err := p.tryPulumi(t, "up", "--yes", "--skip-preview"); err != nil {
				t.Errorf("%s: %v\n%s", move.what, err, out)
			}
			wantCredentials(t, c, move.left)
			wantNoConflicts(t, c, move.what)
		}
		p.pulumi(t, "preview", "--expect-no-changes")
		p.pulumi(t, "destroy", "--yes", "--skip-preview")
		wantNoConflicts(t, c, "destroy")
		onAnExistingIdentity(t, c, p)
		// The above proves nothing unless concurrent writes are rejected. Ten make it likely that two coincide.
		identity := c.resourceNamed(t, "keyvault-demo-identity").ID
		const together = 10
		statuses := make(chan int, together)
		for i := range together {
			go func() {
				status := 0
				defer func() { statuses <- status }() // also where request ends the goroutine
				body := fmt.Sprintf(
					`{"properties": {"issuer": "https://elsewhere.example/", "subject": "s%d", "audiences": ["a"]}}`, i)
				url := fmt.Sprintf("https://management.azure.com%s/federatedIdentityCredentials/two-%d?api-version=2023-01-31",
					identity, i)
				status, _ = c.request(t, http.MethodPut, url, body)
			}()
		}
		refused := 0
		for range together {
			if <-statuses == http.StatusConflict {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("none of %d concurrent writes was rejected", together)
		}
		if len(refusedCredentials(t, c)) == 0 {
			t.Error("the log does not show the rejected writes")
		}
	}
}

// onAnExistingIdentity brings the program's stack up on an identity that exists before it, and destroys it again.
func onAnExistingIdentity(t *testing.T, c *cloud, p *program) {
	t.Helper()
	group := "/subscriptions/" + c.running(t).Credentials.SubscriptionID + "/resourceGroups/keyvault-demo"
	id := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/existing"
	c.arm(t, http.MethodPut, id, "2023-01-31", `{"location": "eastus"}`)
	p.configure(t, map[string]string{"identityId": id, "accounts": `["a","b","c","d","e"]`, "clusters": `["west"]`})
	p.pulumi(t, "up", "--yes", "--skip-preview")
	wantCredentials(t, c, 10)
	p.configure(t, map[string]string{"accounts": `["b","d"]`})
	p.pulumi(t, "up", "--yes", "--skip-preview")
	p.pulumi(t, "destroy", "--yes", "--skip-preview")
	wantCredentials(t, c, 0)
	wantNoConflicts(t, c, "on an existing identity")
	c.arm(t, http.MethodDelete, id, "2023-01-31", "")
}

func wantCredentials(t *testing.T, c *cloud, want int) {
	t.Helper()
	credentials := 0
	for _, id := range c.resources(t) {
		if strings.Contains(id, "/federatedidentitycredentials/many") {
			credentials++
		}
	}
	if credentials != want {
		t.Errorf("there are %d credentials, want %d", credentials, want)
	}
}

func wantNoConflicts(t *testing.T, c *cloud, what string) {
	t.Helper()
	if found := refusedCredentials(t, c); len(found) > 0 {
		t.Errorf("%s: %d writes of credentials were rejected, want 0; the first: %s", what, len(found), found[0])
	}
}

func refusedCredentials(t *testing.T, c *cloud) [][]byte {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(c.home, localcloudtest.LogFile))
	if err != nil {
		t.Fatal(err)
	}
	return conflicts.FindAll(log, -1)
}
