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
	seeds = flag.Uint64(
		"seeds",
		1,
		"with how many `seeds` each scenario is tried that leaves something to chance; with more than one, scenarios are long as well",
	)
	seed = flag.Uint64("seed", 0, "the one `seed` to try scenarios with, as a failure has shown it; 0: from 1 on")
)

// once and twice are how many seeds are worth trying where little is left to chance: nothing, or one of two cases,
// which the seed's parity decides.
const (
	once  = 1
	twice = 2
	every = math.MaxUint64
)

// scenario tries a test with seeds, at most so many. Everything that it leaves to chance it has to take from its random
// numbers, so that the seed, which a failure shows, is enough to repeat it.
func scenario(t *testing.T, worth uint64, test func(t *testing.T, seed uint64, random *rand.Rand)) {
	t.Parallel()
	first, last := uint64(1), min(*seeds, worth)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			if first != last { // a single one keeps the place of the test around it
				t.Parallel()
			}
			t.Cleanup(func() {
				if t.Failed() {
					name, _, _ := strings.Cut(t.Name(), "/")
					t.Logf("to repeat it: go test -run '^%s$' . -seeds %d -seed %d", name, *seeds, s)
				}
			})
			test(t, s, rand.New(rand.NewPCG(s, 0)))
		})
	}
}

// long says whether scenarios may take their time, as `make test-faults` lets them.
func long() bool { return *seeds > 1 }

// ownersToken is one of the subscription's owner for Resource Manager.
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

// request is one through the proxy, as the subscription's owner.
func (c *cloud) request(t *testing.T, method, url, body string) (int, []byte) {
	t.Helper()
	return c.requestAs(t, c.ownersToken(t), method, url, body)
}

// requestAs is one with somebody's token.
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

// control asks the local cloud's own host, as its owner.
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

// arm is a request to Resource Manager that has to succeed.
func (c *cloud) arm(t *testing.T, method, path, version string, body string) map[string]any {
	t.Helper()
	status, content := c.request(t, method, "https://management.azure.com"+path+"?api-version="+version, body)
	if status >= 400 {
		t.Fatalf("%s %s: %d %s", method, path, status, content)
	}
	var answer map[string]any
	_ = json.Unmarshal(content, &answer) // some have no body
	return answer
}

// fail changes the plan of faults of a local cloud that runs: YAML, as `up --faults` takes it. With an empty one
// nothing fails any more, but what was granted before waits as it was to.
func (c *cloud) setFaults(t *testing.T, plan string) {
	t.Helper()
	if status, content := c.control(t, http.MethodPut, "/faults", plan); status != http.StatusNoContent {
		t.Fatalf("changing the plan of faults: %d %s", status, content)
	}
}

// endFaults ends the plan of faults, and has the roles and credentials honoured that wait.
func (c *cloud) endFaults(t *testing.T) {
	t.Helper()
	if status, content := c.control(t, http.MethodDelete, "/faults", ""); status != http.StatusNoContent {
		t.Fatalf("ending the plan of faults: %d %s", status, content)
	}
}

// late is something that a stack is refused while it comes up, since the cloud does not honour yet what would let it.
type late struct {
	plan    string        // of faults, which has it wait for longer than any test
	printed string        // what up says of the refusal: a regular expression
	logged  string        // what the local cloud says of it, where up leaves out why: the same
	still   time.Duration // how long it is refused from then on
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

// upLate brings a stack up that is refused something, which is honoured a while after up has said so.
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
		t.Fatalf("nothing was refused: up printed %s: %t, the local cloud's log has to have %q", l.printed, refused, l.logged)
	}
	return lastLine
}

// failed is how many requests have failed by the plan of faults since it was set.
func (c *cloud) failedRequests(t *testing.T) int {
	t.Helper()
	_, content := c.control(t, http.MethodGet, "/faults", "")
	var report struct{ Failed int }
	if err := json.Unmarshal(content, &report); err != nil {
		t.Fatal(err)
	}
	return report.Failed
}

// state are the resources of the stack, on none of which an operation is left in the middle.
func (c *cloud) state(t *testing.T) []resource {
	t.Helper()
	state := c.checkpoint(t)
	if n := len(state.Pending); n > 0 {
		t.Errorf("the state has %d pending operations", n)
	}
	return state.Resources
}

// called finds the resource with a name in the state.
func (c *cloud) resourceNamed(t *testing.T, name string) resource {
	t.Helper()
	for _, r := range c.state(t) {
		if strings.HasSuffix(r.URN, "::"+name) {
			return r
		}
	}
	t.Fatalf("the state has no %s", name)
	return resource{}
}

// wantComplete checks that the stack is all there, that nothing is left to do, and that the local cloud and its cluster have
// the stack's resources and no other: none that an interrupted run made and forgot, and no soft-deleted vault.
func (c *cloud) wantComplete(t *testing.T) {
	t.Helper()
	if out, err := c.run(t, "", "pulumi", "preview", "--non-interactive", "--expect-no-changes"); err != nil {
		t.Errorf("something is left to do: %v\n%s", err, out)
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
		t.Errorf("the stack has\n%s\nand the local cloud\n%s", strings.Join(stack, "\n"), strings.Join(there, "\n"))
	}
}

// get decodes objects of some kinds in all namespaces. Secrets may be among them: an error says nothing of what kubectl
// has printed.
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

// objectKinds are the kinds of which something may be made in the cluster.
const objectKinds = "namespaces,serviceaccounts,secretproviderclasses.secrets-store.csi.x-k8s.io,pods,deployments,secrets,configmaps,networkpolicies"

// objects are those of the cluster that Pulumi has made: kind, namespace and name.
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
	for _, o := range list.Items {
		if slices.ContainsFunc(
			o.Metadata.ManagedFields,
			func(by struct{ Manager string }) bool { return strings.HasPrefix(by.Manager, "pulumi-kubernetes") },
		) {
			made = append(made, o.Kind+" "+strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/"))
		}
	}
	if len(made) == 0 {
		t.Error("the cluster has no object that Pulumi has made")
	}
	return made
}

// resources are the ids of what is listed, in small letters and in order.
func (c *cloud) resources(t *testing.T) (ids []string) {
	t.Helper()
	for _, one := range c.listed(t) {
		ids = append(ids, strings.ToLower(one["id"].(string)))
	}
	slices.Sort(ids)
	return ids
}

// listed is all that Resource Manager lists: but for a cluster's pools, which are in it, for the group that AKS makes
// for the nodes of a cluster, as long as there is the cluster, and for role assignments of the owner, his own and those
// that tests make.
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

// watchUp is watch of up. The last line, which shows the secret, is the caller's to keep; where up fails it does not
// come to it.
func (c *cloud) watchUp(
	t *testing.T,
	watch func(printed []byte, kill func()),
	args ...string,
) (printed, lastLine string, err error) {
	t.Helper()
	return c.watch(t, os.Kill, watch, "up", args...)
}

// watch runs a command of the local cloud and calls a function with all that it has printed, whenever there is more, and with
// what sends the command a signal.
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
