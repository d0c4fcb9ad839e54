package tests

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/localcloudtest"
)

// sequenceStep is a request in docs/graphs/sequence.json, or an answer that came after further requests.
type sequenceStep struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Asks    string `json:"asks,omitempty"`    // a method and a path, or a procedure of the CSI
	Answer  string `json:"answer,omitempty"`  // a status
	Because string `json:"because,omitempty"` // the caller and what allowed the request, or what it lacks

	began, ended time.Time
}

// TestSequence_MatchesRecordedMount compares docs/graphs/sequence.json with what the local cloud and the cluster record
// of the dev stack's first mount. It runs beside no other test: on a busy machine requests overlap in another order.
func TestSequence_MatchesRecordedMount(t *testing.T) {
	needsRealNode(t)
	c := newCloud(t)
	c.up(t)
	wantSource(t, "sequence", c.mountSteps(t))
}

// mountSteps returns the steps from the kubelet's request for the pod's token to the mounted volume.
func (c *cloud) mountSteps(t *testing.T) []sequenceStep {
	t.Helper()
	audit, driver := c.clusterLog(t, "kube-apiserver-audit"), c.clusterLog(t, "secrets-store-csi-driver")
	var calls []sequenceStep
	for line := range bytes.Lines(audit) {
		if call, ok := auditedStep(t, line); ok {
			calls = append(calls, call)
		}
	}
	calls = append(calls, driverSteps(t, driver)...)
	sortSteps(calls)
	first := slices.IndexFunc(calls, func(s sequenceStep) bool { return strings.HasSuffix(s.Asks, "/token") })
	mount := slices.IndexFunc(calls, func(s sequenceStep) bool { return s.Asks == publish })
	if first < 0 || mount < 0 {
		t.Fatalf("the logs have no token or no mount: %+v", calls)
	}
	began, ended := calls[first].began, calls[mount].ended
	calls = append(calls, c.recordedSteps(t)...)
	calls = slices.DeleteFunc(calls, func(s sequenceStep) bool { return s.began.Before(began) || s.ended.After(ended) })
	sortSteps(calls)
	// The driver writes the status when the provider has answered, which no log has.
	provider := slices.IndexFunc(calls, func(s sequenceStep) bool { return s.To == azureProvider })
	status := slices.IndexFunc(calls, func(s sequenceStep) bool { return strings.HasSuffix(s.Asks, " "+podStatuses) })
	if provider < 0 || status < provider {
		t.Fatalf("the provider is not asked before the status is written: %+v", calls)
	}
	calls[provider].ended = calls[status].began.Add(-time.Nanosecond)
	return withAnswers(calls)
}

// The participants in a mount.
const (
	kubelet       = "kubelet"
	apiServer     = "API server"
	csiDriver     = "CSI driver"
	azureProvider = "Azure provider"
	keyVault      = "Key Vault"
	entraID       = "Entra ID"
	oidcIssuer    = "OIDC issuer"

	publish     = "NodePublishVolume"
	podStatuses = "secretproviderclasspodstatuses"
)

func sortSteps(steps []sequenceStep) {
	slices.SortFunc(steps, func(a, b sequenceStep) int { return a.began.Compare(b.began) })
}

// withAnswers adds a step for each answer that came after further requests.
func withAnswers(calls []sequenceStep) (steps []sequenceStep) {
	for i, call := range calls {
		if i+1 < len(calls) && calls[i+1].began.Before(call.ended) {
			answer := sequenceStep{From: call.To, To: call.From, Answer: call.Answer, Because: call.Because, began: call.ended}
			call.Answer, call.Because = "", ""
			steps = append(steps, answer)
		}
		steps = append(steps, call)
	}
	sortSteps(steps)
	return steps
}

// clusterLog returns a log of the cloud's only cluster.
func (c *cloud) clusterLog(t *testing.T, name string) []byte {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(c.home, localcloudtest.ClustersDir, "*", "log", name+".log"))
	if len(files) != 1 {
		t.Fatalf("the logs %s are %q", name, files)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

var allowedBy = regexp.MustCompile(`of (ClusterRole|Role) "([^"]+)"`)

// auditedStep reads a line of the API server's audit log. It reports whether the kubelet or the CSI driver sent the
// request for a pod.
func auditedStep(t *testing.T, line []byte) (sequenceStep, bool) {
	t.Helper()
	var event struct {
		Verb, UserAgent                          string
		RequestReceivedTimestamp, StageTimestamp time.Time
		ObjectRef                                struct{ Resource, Subresource, Namespace, Name string }
		ResponseStatus                           struct{ Code int }
		User                                     struct{ Groups []string }
		Annotations                              map[string]string
	}
	if err := json.Unmarshal(line, &event); err != nil {
		t.Fatal(err)
	}
	step := sequenceStep{
		To: apiServer, Answer: fmt.Sprint(event.ResponseStatus.Code), began: event.RequestReceivedTimestamp,
		ended: event.StageTimestamp,
	}
	of := event.ObjectRef
	switch {
	case strings.HasPrefix(event.UserAgent, "kubelet/") && of.Subresource == "token" && of.Namespace != "kube-system":
		step.From, step.Asks = kubelet, "create serviceaccounts/"+of.Name+"/token"
		step.Because = event.User.Groups[0]
	case strings.HasPrefix(event.UserAgent, "csi-secrets-store/") && event.Verb != "watch":
		step.From, step.Asks = csiDriver, event.Verb+" "+of.Resource
		if by := allowedBy.FindStringSubmatch(event.Annotations["authorization.k8s.io/reason"]); by != nil {
			step.Because = by[1] + " " + by[2]
		}
	default:
		return step, false
	}
	return step, true
}

var (
	logTime   = regexp.MustCompile(`^[IWE](\d{4} \d\d:\d\d:\d\d\.\d+)`)
	published = regexp.MustCompile(`"node publish volume complete".* time="([^"]+)"`)
)

// driverSteps reads the log of the CSI driver: calls of the kubelet, and calls to the Azure provider.
func driverSteps(t *testing.T, log []byte) (steps []sequenceStep) {
	t.Helper()
	for scanner := bufio.NewScanner(bytes.NewReader(log)); scanner.Scan(); {
		line := scanner.Text()
		stamp := logTime.FindStringSubmatch(line)
		if stamp == nil {
			continue
		}
		at, err := time.ParseInLocation("2006 0102 15:04:05.000000", fmt.Sprint(time.Now().Year())+" "+stamp[1], time.Local)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, `"Using gRPC client" provider="azure"`) {
			steps = append(steps, sequenceStep{
				From: csiDriver, To: azureProvider, Asks: "Mount", Answer: "files", began: at, ended: at,
			})
		}
		if took := published.FindStringSubmatch(line); took != nil {
			d, err := time.ParseDuration(took[1])
			if err != nil {
				t.Fatal(err)
			}
			steps = append(steps, sequenceStep{
				From: kubelet, To: csiDriver, Asks: publish, Answer: "mounted", began: at.Add(-d), ended: at,
			})
		}
	}
	return steps
}

var (
	guids      = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	autonaming = regexp.MustCompile(`[0-9a-f]{8}$`)
)

// recordedSteps reads the local cloud's record: requests to Entra ID, the issuer and the vault.
func (c *cloud) recordedSteps(t *testing.T) (steps []sequenceStep) {
	t.Helper()
	status, content := c.control(t, http.MethodGet, "/activity?limit=1000", "")
	var record struct {
		Requests []struct {
			Time                         time.Time
			TookMs                       float64
			Service, Method, Path, Error string
			Status                       int
			Caller                       struct{ Name string }
			Decision                     struct{ Because, Missing, Role, AssignedAt string }
		}
	}
	if err := json.Unmarshal(content, &record); status != http.StatusOK || err != nil {
		t.Fatalf("the record of requests: %d %v", status, err)
	}
	for _, r := range record.Requests {
		path := strings.TrimSuffix(guids.ReplaceAllString(r.Path, "…"), "/")
		step := sequenceStep{
			From: azureProvider, To: r.Service, Asks: r.Method + " " + path, Answer: fmt.Sprint(r.Status), Because: r.Error,
			began: r.Time, ended: r.Time.Add(time.Duration(r.TookMs * float64(time.Millisecond))),
		}
		switch r.Service {
		case keyVault, entraID:
		case "AKS OIDC issuer":
			step.From, step.To = entraID, oidcIssuer
		default:
			continue
		}
		if missing, _, _ := strings.Cut(r.Decision.Missing, ":"); missing != "" {
			step.Because = "missing: " + missing
		}
		if by := cmp.Or(r.Decision.Role, r.Decision.Because); by != "" {
			parts := strings.Split(r.Decision.AssignedAt, "/")
			if r.Decision.Role != "" {
				by += " at " + strings.Join(parts[max(0, len(parts)-2):], "/")
			}
			step.Because = autonaming.ReplaceAllString(r.Caller.Name, "") + ": " + by
		}
		steps = append(steps, step)
	}
	return steps
}
