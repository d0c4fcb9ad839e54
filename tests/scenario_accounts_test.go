package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
		credentials := 0
		for _, id := range c.resources(t) {
			if strings.Contains(id, "/federatedidentitycredentials/many") {
				credentials++
			}
		}
		if credentials != 20 {
			t.Errorf("there are %d credentials", credentials)
		}
		p.pulumi(t, "destroy", "--yes", "--skip-preview")
		log, err := os.ReadFile(filepath.Join(c.home, "cloud.log"))
		if err != nil {
			t.Fatal(err)
		}
		if found := conflicts.FindAll(log, -1); len(found) > 0 {
			t.Errorf("%d writes were refused: %s", len(found), found[0])
		}
		// Two at once are refused, or the above proves nothing. Whether two meet is the machine's to say, so there are many.
		identity := c.called(t, "keyvault-demo-identity").ID
		const together = 10
		statuses := make(chan int, together)
		for i := range together {
			go func() {
				status := 0
				defer func() { statuses <- status }()
				body := fmt.Sprintf(`{"properties": {"issuer": "https://elsewhere.example/", "subject": "s%d", "audiences": ["a"]}}`, i)
				status, _ = c.request(t, http.MethodPut, fmt.Sprintf("https://management.azure.com%s/federatedIdentityCredentials/two-%d?api-version=2023-01-31", identity, i), body)
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
		if log, err = os.ReadFile(filepath.Join(c.home, "cloud.log")); err != nil || !conflicts.Match(log) {
			t.Errorf("the log does not show what was refused: %v", err)
		}
	}
}
