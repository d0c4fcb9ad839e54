package tests

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

var (
	seeds = flag.Uint64("seeds", 1, "number of `seeds` for scenarios with random choices; above 1, scenarios run longer")
	seed  = flag.Uint64("seed", 0, "run scenarios with this `seed` only, as a failure printed it; 0 starts at 1")
)

// How many seeds a scenario is worth: one where nothing is random, two where the seed's parity picks one of two cases.
const (
	once  = 1
	twice = 2
	every = math.MaxUint64
)

// scenario runs test once for each seed, with at most the given number of seeds. The test must take all its randomness
// from random: a failure prints the seed, which repeats the test.
func scenario(t *testing.T, most uint64, test func(t *testing.T, seed uint64, random *rand.Rand)) {
	t.Parallel()
	first, last := uint64(1), min(*seeds, most)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			if first != last { // a single seed already runs in parallel, as its parent
				t.Parallel()
			}
			t.Cleanup(func() {
				if t.Failed() {
					name, _, _ := strings.Cut(t.Name(), "/")
					t.Logf("repeat with: go test -run '^%s$' . -seeds %d -seed %d", name, *seeds, s)
				}
			})
			test(t, s, rand.New(rand.NewPCG(s, 0)))
		})
	}
}

// long reports whether scenarios may take longer, as under `make test-faults`.
func long() bool { return *seeds > 1 }

// ownersToken returns the subscription owner's token for Resource Manager.
func (c *cloud) ownersToken(t *testing.T) string {
	t.Helper()
	owner, _, _ := c.azure(t)
	token, err := owner.GetToken(t.Context(),
		policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	return token.Token
}

// request sends a request through the proxy as the subscription's owner.
func (c *cloud) request(t *testing.T, method, url, body string) (int, []byte) {
	t.Helper()
	return c.requestAs(t, c.ownersToken(t), method, url, body)
}

// requestAs sends a request through the proxy with the given token.
func (c *cloud) requestAs(t *testing.T, token, method, url, body string) (int, []byte) {
	t.Helper()
	_, options, _ := c.azure(t)
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return send(t, options.Transport, req)
}

// control sends a request to the local cloud's own host as the subscription's owner.
func (c *cloud) control(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	_, options, r := c.azure(t)
	req, err := http.NewRequestWithContext(t.Context(), method, "https://localcloud.internal"+path,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(r.Credentials.ClientID, r.Credentials.ClientSecret)
	return send(t, options.Transport, req)
}

func send(t *testing.T, client policy.Transporter, req *http.Request) (status int, content []byte) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if content, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, content
}

// arm sends a request to Resource Manager, which must succeed, and returns the body of the response.
func (c *cloud) arm(t *testing.T, method, path, version string, body string) map[string]any {
	t.Helper()
	status, content := c.request(t, method, "https://management.azure.com"+path+"?api-version="+version, body)
	if status >= 400 {
		t.Fatalf("%s %s: %d %s", method, path, status, content)
	}
	var answer map[string]any
	_ = json.Unmarshal(content, &answer) // some responses have no body
	return answer
}

// setFaults replaces the fault plan of a running local cloud: YAML, as `up --faults` takes it. After an empty plan
// requests succeed again, but roles and credentials that are still delayed stay delayed.
func (c *cloud) setFaults(t *testing.T, plan string) {
	t.Helper()
	if status, content := c.control(t, http.MethodPut, "/faults", plan); status != http.StatusNoContent {
		t.Fatalf("setting the fault plan: %d %s", status, content)
	}
}

// endFaults removes the fault plan. Delayed roles and credentials take effect at once.
func (c *cloud) endFaults(t *testing.T) {
	t.Helper()
	if status, content := c.control(t, http.MethodDelete, "/faults", ""); status != http.StatusNoContent {
		t.Fatalf("removing the fault plan: %d %s", status, content)
	}
}

// late is a role or credential that takes effect late, so that Azure first rejects what the stack does with it.
type late struct {
	plan    string        // fault plan that delays it for longer than any test runs
	printed string        // regular expression: what up prints about the rejection
	logged  string        // regular expression: what the local cloud logs about it, where up does not print the reason
	still   time.Duration // how much longer it stays delayed once up has printed the rejection
}

var (
	lateClusterRole   = late{plan: "rolesAfter: 1h", printed: "ManagedCluster cluster-cluster .* retrying create"}
	lateNamespaceRole = late{
		plan:    "rolesAfter: 1h",
		printed: "Namespace keyvault-demo-namespace-keyvault-ns .* retrying create",
	}
	lateMountRole = late{
		plan: "rolesAfter: 1h", still: time.Minute,
		printed: `Pod keyvault-demo-mount-test-pod .* FailedMount: .*GET https://\S+\.vault\.azure\.net/(secrets|keys)/`,
		logged:  `\.vault\.azure\.net path=/(secrets|keys)/\S+ status=403`,
	}
	lateCredential = late{
		plan: "credentialsAfter: 1h", still: 5 * time.Second,
		printed: "Pod keyvault-demo-mount-test-pod .* FailedMount: .*ClientAssertionCredential authentication failed",
		logged:  `host=login\.microsoftonline\.com path=\S+/token status=4\d\d`,
	}
)

// upLate brings the stack up while a role or credential is late, which takes effect l.still after up has printed the
// rejection.
func (c *cloud) upLate(t *testing.T, l late, args ...string) (lastLine string) {
	t.Helper()
	refusal, refused := regexp.MustCompile(l.printed), false
	printed, lastLine, err := c.watchUp(t, func(printed []byte, _ func()) {
		if refused || !refusal.Match(printed) {
			return
		}
		refused = true
		select {
		case <-time.After(l.still):
		case <-ending.Done():
		}
		c.endFaults(t)
	}, append(args, "--faults", l.plan)...)
	if err != nil {
		t.Fatalf("up: %v\n%s", err, printed)
	}
	log, err := os.ReadFile(filepath.Join(c.home, localcloudtest.LogFile))
	if err != nil {
		t.Fatal(err)
	}
	if !refused || !regexp.MustCompile(l.logged).Match(log) {
		t.Fatalf("nothing was rejected: up printed %q: %t; want %q in the local cloud's log", l.printed, refused, l.logged)
	}
	return lastLine
}

// failedRequests returns how many requests the current fault plan has made fail.
func (c *cloud) failedRequests(t *testing.T) int {
	t.Helper()
	_, content := c.control(t, http.MethodGet, "/faults", "")
	var report struct{ Failed int }
	if err := json.Unmarshal(content, &report); err != nil {
		t.Fatal(err)
	}
	return report.Failed
}

// state returns the stack's resources and checks that no operation on them is pending.
func (c *cloud) state(t *testing.T) []resource {
	t.Helper()
	state := c.checkpoint(t)
	if n := len(state.Pending); n > 0 {
		t.Errorf("the state has %d pending operations, want 0", n)
	}
	return state.Resources
}

// resourceNamed returns the resource with a name in the stack's state.
func (c *cloud) resourceNamed(t *testing.T, name string) resource {
	t.Helper()
	for _, r := range c.state(t) {
		if strings.HasSuffix(r.URN, "::"+name) {
			return r
		}
	}
	t.Fatalf("the state has no resource %s", name)
	return resource{}
}

// wantComplete checks that a preview finds no changes, and that the local cloud and its cluster have the stack's
// resources and no others: none that an interrupted run created and lost, and no soft-deleted vault.
func (c *cloud) wantComplete(t *testing.T) {
	t.Helper()
	if out, err := c.run(t, "", "pulumi", "preview", "--non-interactive", "--expect-no-changes"); err != nil {
		t.Errorf("the preview finds changes: %v\n%s", err, out)
	}
	var stack []string
	for _, r := range c.state(t) {
		switch {
		case strings.HasPrefix(r.Type, "azure-native"):
			stack = append(stack, strings.ToLower(r.ID))
		case strings.HasPrefix(r.Type, "kubernetes:"):
			stack = append(stack, r.Type[strings.LastIndexByte(r.Type, ':')+1:]+" "+r.ID)
		}
	}
	there := append(c.resources(t), c.objects(t)...)
	slices.Sort(stack)
	slices.Sort(there)
	if !slices.Equal(stack, there) {
		t.Errorf("the local cloud has\n%s\nwant the stack's\n%s", strings.Join(there, "\n"), strings.Join(stack, "\n"))
	}
}

// get decodes the objects of some kinds in all namespaces. They may include Secrets, so errors leave out kubectl's
// output.
func (c *cloud) get(t *testing.T, list any, kinds string, args ...string) {
	t.Helper()
	cmd, err := c.prepare(t, "kubectl", append([]string{"get", kinds, "--all-namespaces", "--output=json"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	printed, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(printed, list)
	}
	if err != nil {
		t.Fatalf("kubectl get %s: %v", kinds, err)
	}
}

// objectKinds are the kinds of objects that the programs may create in the cluster.
const objectKinds = "namespaces,serviceaccounts,secretproviderclasses.secrets-store.csi.x-k8s.io,pods,deployments," +
	"secrets,configmaps,networkpolicies"

// objects returns the kind, namespace and name of each object in the cluster that Pulumi created.
func (c *cloud) objects(t *testing.T) (made []string) {
	t.Helper()
	var list struct {
		Items []struct {
			Kind     string
			Metadata struct {
				Namespace, Name string
				ManagedFields   []struct{ Manager string }
			}
		}
	}
	c.get(t, &list, objectKinds, "--show-managed-fields")
	byPulumi := func(field struct{ Manager string }) bool {
		return strings.HasPrefix(field.Manager, "pulumi-kubernetes")
	}
	for _, o := range list.Items {
		if slices.ContainsFunc(o.Metadata.ManagedFields, byPulumi) {
			made = append(made, o.Kind+" "+strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/"))
		}
	}
	if len(made) == 0 {
		t.Error("the cluster has no object that Pulumi created")
	}
	return made
}

// resources returns the sorted lower-case ids of the resources that listed returns.
func (c *cloud) resources(t *testing.T) (ids []string) {
	t.Helper()
	for _, one := range c.listed(t) {
		ids = append(ids, strings.ToLower(one["id"].(string)))
	}
	slices.Sort(ids)
	return ids
}

// listed returns all resources that Resource Manager lists, except node pools, the group that AKS creates for the nodes
// of an existing cluster, and role assignments of the subscription's owner, among them those that tests create.
func (c *cloud) listed(t *testing.T) (listed []map[string]any) {
	t.Helper()
	subscription := "/subscriptions/" + c.running(t).Credentials.SubscriptionID
	list := func(path, version string) (all []map[string]any) {
		for _, one := range c.arm(t, http.MethodGet, path, version, "")["value"].([]any) {
			all = append(all, one.(map[string]any))
		}
		return all
	}
	add := func(all []map[string]any) []map[string]any {
		listed = append(listed, all...)
		return all
	}
	for _, group := range add(list(subscription+"/resourceGroups", "2022-09-01")) {
		for _, one := range add(list(group["id"].(string)+"/resources", "2022-09-01")) {
			switch id := one["id"].(string); strings.ToLower(one["type"].(string)) {
			case "microsoft.keyvault/vaults":
				add(list(id+"/secrets", "2026-02-01"))
				add(list(id+"/keys", "2026-02-01"))
			case "microsoft.managedidentity/userassignedidentities":
				add(list(id+"/federatedIdentityCredentials", "2023-01-31"))
			}
		}
	}
	add(list(subscription+"/providers/Microsoft.KeyVault/deletedVaults", "2026-02-01"))
	assignments := list(subscription+"/providers/Microsoft.Authorization/roleAssignments", "2022-04-01")
	owner := ""
	property := func(a map[string]any, name string) string { return a["properties"].(map[string]any)[name].(string) }
	for _, a := range assignments {
		if property(a, "scope") == subscription {
			owner = property(a, "principalId")
		}
	}
	add(slices.DeleteFunc(assignments, func(a map[string]any) bool { return property(a, "principalId") == owner }))

	id := func(one map[string]any) string { return strings.ToLower(one["id"].(string)) + "/" }
	var made []string
	for _, group := range listed {
		by, _ := group["managedBy"].(string)
		if slices.ContainsFunc(listed, func(one map[string]any) bool { return id(one) == strings.ToLower(by)+"/" }) {
			made = append(made, id(group))
		}
	}
	return slices.DeleteFunc(listed, func(one map[string]any) bool {
		return slices.ContainsFunc(made, func(group string) bool { return strings.HasPrefix(id(one), group) })
	})
}

// watchUp runs up and calls watch with all that it has printed, whenever there is more, and with a function that kills
// it. It returns the last line, which shows the secret, apart from the rest; where up fails, there is none.
func (c *cloud) watchUp(
	t *testing.T,
	watch func(printed []byte, kill func()),
	args ...string,
) (printed, lastLine string, err error) {
	t.Helper()
	return c.watch(t, os.Kill, watch, "up", args...)
}

// watch runs a command of the local cloud and calls watch with all that it has printed, whenever there is more, and
// with a function that sends the command a signal.
func (c *cloud) watch(
	t *testing.T, signal os.Signal, watch func(printed []byte, send func()), command string, args ...string,
) (printed, lastLine string, err error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := c.command(t, append([]string{command}, args...)...)
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	for buffer := make([]byte, 4096); ; {
		n, err := r.Read(buffer)
		seen.Write(buffer[:n])
		if n > 0 {
			watch(seen.Bytes(), func() { _ = cmd.Process.Signal(signal) })
		}
		if err != nil {
			break
		}
	}
	printed = seen.String()
	if err = cmd.Wait(); err == nil {
		printed, lastLine = withoutLastLine(printed)
	}
	c.printed.WriteString(printed)
	return printed, lastLine, err
}
