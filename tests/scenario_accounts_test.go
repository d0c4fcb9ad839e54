package tests

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conflicts finds refused writes of credentials in the local cloud's log.
var conflicts = regexp.MustCompile(`method=(PUT|DELETE).*/federatedIdentityCredentials/\S+ status=409`)

// TestScenarioManyServiceAccounts has as many on one identity as there can be, in a cloud where writing a credential takes its time:
// Azure refuses two at once.
func TestScenarioManyServiceAccounts(t *testing.T) {
	scenario(t, once, func(t *testing.T, _ uint64, _ *rand.Rand) {
		dir := filepath.Join(checkout, "tests", "programs", "accounts")
		compileAhead(t, dir)
		c := newCloud(t)
		c.up(t, "--node=stand-in", "--times", "azure/100")
		run := func(args ...string) (string, error) {
			cmd, err := c.prepare(t, "pulumi", append(args, "--non-interactive")...)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Dir, cmd.Env = dir, append(cmd.Env, "PULUMI_STACK=test", "PULUMI_OPTION_CONFIG_FILE="+filepath.Join(c.home, "test.yaml"))
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		must := func(args ...string) string {
			t.Helper()
			out, err := run(args...)
			if err != nil {
				t.Fatalf("pulumi %s: %v\n%s", args[0], err, out)
			}
			return out
		}
		outputs := c.outputs(t)
		init := t.TempDir() // the engine writes the salt of the stack's secrets beside the Pulumi.yaml that it finds
		if err := os.WriteFile(filepath.Join(init, "Pulumi.yaml"), []byte("name: accounts\nruntime: go\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		must("stack", "init", "test", "--cwd", init)
		if err := os.Rename(filepath.Join(init, "Pulumi.test.yaml"), filepath.Join(c.home, "test.yaml")); err != nil {
			t.Fatal(err)
		}
		must("config", "set", "resourceGroupName", "keyvault-demo")
		must("config", "set", "issuerUrl", outputs["issuerUrl"])

		must("config", "set", "count", "21")
		if out, err := run("preview"); err == nil || !strings.Contains(out, "serviceAccounts") {
			t.Errorf("a preview with 21: %v\n%s", err, out)
		}
		must("config", "set", "count", "20")
		must("up", "--yes", "--skip-preview")
		credentials := 0
		for _, id := range c.resources(t) {
			if strings.Contains(id, "/federatedidentitycredentials/many") {
				credentials++
			}
		}
		if credentials != 20 {
			t.Errorf("there are %d credentials", credentials)
		}
		must("destroy", "--yes", "--skip-preview")
		log, err := os.ReadFile(filepath.Join(c.home, "cloud.log"))
		if err != nil {
			t.Fatal(err)
		}
		if found := conflicts.FindAll(log, -1); len(found) > 0 {
			t.Errorf("%d writes were refused: %s", len(found), found[0])
		}
		// Two at once are refused, or the above proves nothing. Whether two meet is the machine's to say, so there are many.
		identity := c.called(t, "workload-identity").ID
		const together = 10
		statuses := make(chan int, together)
		for i := range together {
			go func() {
				status := 0
				defer func() { statuses <- status }()
				body := fmt.Sprintf(`{"properties": {"issuer": "https://example.com/", "subject": "s%d", "audiences": ["a"]}}`, i)
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
	})
}
