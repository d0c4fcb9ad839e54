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

// conflicts finds refused writes of credentials in the local cloud's log.
var conflicts = regexp.MustCompile(`method=(PUT|DELETE).*/federatedIdentityCredentials/\S+ status=409`)

// manyServiceAccounts has as many on one identity as there can be, in a cloud where writing a credential takes its
// time: Azure refuses two at once.
func manyServiceAccounts(c *cloud) func(t *testing.T) {
	return func(t *testing.T) {
		p := newProgram(t, c, "tests/programs/accounts", map[string]string{
			"resourceGroupName": "keyvault-demo", "issuerUrl": c.outputs(t).IssuerURL, "count": "21",
		})
		if out, err := p.tryPulumi(t, "preview"); err == nil || !strings.Contains(out+err.Error(), "serviceAccounts") {
			t.Errorf("a preview with 21: %v\n%s", err, out)
		}
		p.configure(t, map[string]string{"count": "20"})
		p.pulumi(t, "up", "--yes", "--skip-preview")
		wantCredentials(t, c, 20)
		// Each leaves some that were between those that go. That they are many is for two of them to meet.
		few := func(accounts, clusters string) map[string]string {
			return map[string]string{"count": "0", "accounts": accounts, "clusters": clusters}
		}
		for _, move := range []struct {
			what   string
			config map[string]string
			left   int
		}{
			{"every second one goes", few(`["account-01","account-03","account-05","account-07","account-09"]`, `[]`), 5},
			{"a further cluster comes while one goes", few(`["account-01","account-05","account-07","account-09"]`, `["west"]`), 8},
			{"some are renamed", few(`["a","account-05","b","account-09"]`, `["west"]`), 8},
			{"they stand in another order, with another cluster first", few(`["account-09","b","a","account-05"]`, `["north","west"]`), 12},
			{"clusters go", few(`["account-09","b","a","account-05"]`, `[]`), 4},
			{"all are in another namespace", map[string]string{"namespace": "many-more"}, 4},
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
		// Two at once are refused, or the above proves nothing. Whether two meet is the machine's to say, so there are many.
		identity := c.resourceNamed(t, "keyvault-demo-identity").ID
		const together = 10
		statuses := make(chan int, together)
		for i := range together {
			go func() {
				status := 0
				defer func() { statuses <- status }()
				body := fmt.Sprintf(
					`{"properties": {"issuer": "https://elsewhere.example/", "subject": "s%d", "audiences": ["a"]}}`, i)
				status, _ = c.request(
					t,
					http.MethodPut,
					fmt.Sprintf("https://management.azure.com%s/federatedIdentityCredentials/two-%d?api-version=2023-01-31", identity,
						i),
					body,
				)
			}()
		}
		refused := 0
		for range together {
			if <-statuses == http.StatusConflict {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("none of %d at once was refused", together)
		}
		if len(refusedCredentials(t, c)) == 0 {
			t.Error("the log does not show what was refused")
		}
	}
}

// onAnExistingIdentity has the program's stack on an identity that is there before and after it.
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
		t.Errorf("%s: %d writes were refused: %s", what, len(found), found[0])
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
