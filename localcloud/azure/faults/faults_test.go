package faults

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// service answers 200 and counts requests.
type service struct {
	mu   sync.Mutex
	done int
}

func (s *service) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
}

// ask sends a request through a handler. It returns the status, or 0 if the connection was reset.
func ask(h http.Handler, method, url string) (answer *httptest.ResponseRecorder) {
	answer = httptest.NewRecorder()
	defer func() {
		if recover() != nil {
			answer.Code = 0
		}
	}()
	h.ServeHTTP(answer, httptest.NewRequest(method, url, nil))
	return answer
}

func statuses(h http.Handler, url string, n int) (all []int) {
	for range n {
		all = append(all, ask(h, http.MethodGet, url).Code)
	}
	return all
}

func handler(t *testing.T, plan string) (http.Handler, *service, *Faults) {
	t.Helper()
	p, err := Parse([]byte(plan))
	if err != nil {
		t.Fatal(err)
	}
	s, f := &service{}, New(p)
	return f.Handler(s), s, f
}

func TestDecide_IsIndependentOfOtherRequests(t *testing.T) {
	const plan = `{seed: 7, rules: [{rate: 0.3, status: 503}]}`
	const url = "https://management.azure.com/subscriptions/s/resourceGroups/g"
	h, _, _ := handler(t, plan)
	want := statuses(h, url, 100)

	h, _, _ = handler(t, plan)
	var others sync.WaitGroup
	for i := range 4 {
		others.Go(func() { statuses(h, fmt.Sprintf("%s%d", url, i), 200) })
	}
	got := statuses(h, url, 100)
	others.Wait()
	if !slices.Equal(got, want) {
		t.Error("others beside it change what a request meets")
	}
	h, _, _ = handler(t, strings.Replace(plan, "7", "8", 1))
	if slices.Equal(statuses(h, url, 100), want) {
		t.Error("another seed meets the same requests")
	}
	failed := 0
	for _, status := range want {
		if status == http.StatusServiceUnavailable {
			failed++
		}
	}
	if failed < 15 || failed > 45 {
		t.Errorf("%d of 100 requests failed with a rate of 0.3", failed)
	}
}

// TestDecide_IgnoresGeneratedNames simulates two runs of the same program.
func TestDecide_IgnoresGeneratedNames(t *testing.T) {
	const at = "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/"
	for _, url := range [][2]string{
		{at + "Microsoft.KeyVault/vaults/kv-app-x1y2z3/secrets/s", at + "Microsoft.KeyVault/vaults/kv-app-a9b8c7/secrets/s"},
		{
			at + "Microsoft.ManagedIdentity/userAssignedIdentities/identity0a1b2c3d",
			at + "Microsoft.ManagedIdentity/userAssignedIdentities/identity99999999",
		},
		{
			at + "x/roleAssignments/00000000-0000-4000-8000-000000000001",
			at + "x/roleAssignments/99999999-0000-4000-8000-000000000001",
		},
		{"https://kv-app-x1y2z3.vault.azure.net/secrets/s", "https://kv-app-a9b8c7.vault.azure.net/secrets/s"},
	} {
		first, _, _ := handler(t, `{seed: 1, rules: [{rate: 0.5, status: 500}]}`)
		second, _, _ := handler(t, `{seed: 1, rules: [{rate: 0.5, status: 500}]}`)
		if !slices.Equal(statuses(first, url[0], 50), statuses(second, url[1], 50)) {
			t.Errorf("%s and %s meet other faults", url[0], url[1])
		}
	}
}

func TestHandler_InjectsEachKindOfFault(t *testing.T) {
	const url = "https://login.microsoftonline.com/t/oauth2/v2.0/token"
	for name, test := range map[string]struct {
		rule         string
		status, done int
		header, body string
	}{
		"throttled":              {`{first: 1, status: 429, retryAfter: 1500ms}`, 429, 0, "2", "temporarily_unavailable"},
		"an answer is lost":      {`{first: 1, reset: after}`, 0, 1, "", ""},
		"never asked":            {`{first: 1, reset: before}`, 0, 0, "", ""},
		"another host":           {`{first: 1, host: management\.azure\.com, status: 500}`, 200, 1, "", ""},
		"a part of the host":     {`{first: 1, host: microsoftonline, status: 500}`, 200, 1, "", ""},
		"the host in capitals":   {`{first: 1, host: LOGIN.*, status: 500}`, 500, 0, "", ""},
		"a part of the path":     {`{first: 1, path: OAuth2/, status: 502}`, 502, 0, "", ""},
		"another method":         {`{first: 1, method: PUT|POST, status: 502}`, 200, 1, "", ""},
		"a rule before decides":  {`{first: 1, status: 500}, {first: 1, status: 503}`, 500, 0, "", ""},
		"a rule after is passed": {`{first: 1, method: PUT, status: 500}, {first: 1, status: 503}`, 503, 0, "", ""},
	} {
		h, s, _ := handler(t, "rules: ["+test.rule+"]")
		answer := ask(h, http.MethodGet, url)
		if answer.Code != test.status || s.done != test.done {
			t.Errorf("%s: status %d and done %d times, want %d and %d", name, answer.Code, s.done, test.status, test.done)
		}
		if got := answer.Header().
			Get("Retry-After"); got != test.header ||
			!strings.Contains(answer.Body.String(), test.body) {
			t.Errorf("%s: Retry-After %q, body %s", name, got, answer.Body)
		}
		if again := ask(h, http.MethodGet, url); again.Code != http.StatusOK {
			t.Errorf("%s: the second request fails too", name)
		}
	}
	h, _, _ := handler(t, `rules: [{first: 1, status: 409}]`)
	if answer := ask(h, http.MethodPut, "https://management.azure.com/x"); !strings.Contains(answer.Body.String(),
		`{"error":{"code":"AnotherOperationInProgress"`) {
		t.Errorf("a conflict is told as %s", answer.Body)
	}
}

func TestHandler_DelaysBeforeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s, _ := handler(t, `rules: [{first: 1, delay: 1m}]`)
		begin := time.Now()
		if answer := ask(h, http.MethodGet,
			"https://x/y"); answer.Code != http.StatusOK || time.Since(begin) != time.Minute ||
			s.done != 1 {
			t.Errorf("status %d after %s, done %d times", answer.Code, time.Since(begin), s.done)
		}
	})
}

func TestControl_ChangesPlan(t *testing.T) {
	h, _, f := handler(t, `{seed: 3, rolesAfter: 20s, rules: [{first: 1, status: 500}]}`)
	ask(h, http.MethodGet, "https://x/y")
	honoured := 0
	control := f.Control(func() error {
		if honoured++; f.RolesAfter() != 0 {
			t.Error("a grant that is made now would still wait")
		}
		return nil
	})
	answer := ask(control, http.MethodGet, "https://"+Host+"/faults")
	if want := `{"seed":3,"rules":[{"first":1,"status":500}],"rolesAfter":"20s","requests":1,"faults":1,"failed":1}`; strings.TrimSpace(
		answer.Body.String(),
	) != want {
		t.Errorf("it says %s", answer.Body)
	}
	put := func(plan string) int {
		answer := httptest.NewRecorder()
		control.ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "https://"+Host+"/faults", strings.NewReader(plan)))
		return answer.Code
	}
	if put(`{"rules":[{"first":2,"status":503}]}`) != http.StatusNoContent || f.RolesAfter() != 0 {
		t.Error("the plan was not changed")
	}
	if got := statuses(h, "https://x/y", 3); !slices.Equal(got, []int{503, 503, 200}) {
		t.Errorf("afterwards: %v", got)
	}
	if put(`{"rules":[{"status":503}]}`) != http.StatusBadRequest || len(f.Plan().Rules) != 1 ||
		f.Plan().Rules[0].First != 2 {
		t.Error("a plan that is wrong was taken")
	}
	if honoured != 0 {
		t.Error("another plan has those honoured that wait")
	}
	put(`{"rolesAfter":"1h","rules":[{"first":1,"status":503}]}`)
	if answer := ask(control, http.MethodDelete,
		"https://"+Host+"/faults"); answer.Code != http.StatusNoContent || honoured != 1 ||
		len(f.Plan().Rules) != 0 {
		t.Errorf("the plan was not ended: %d", answer.Code)
	}
}

func TestRetired_FollowsVersionsAndDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock starts on 1 January 2000
		_, _, f := handler(t, `retire:
- {provider: microsoft.keyvault, before: 2026-02-01, on: 2000-01-02}
- {provider: Microsoft.Network, before: 2020-01-01}`)
		retired := func(want map[string]bool) {
			t.Helper()
			for typed, want := range want {
				provider, version, _ := strings.Cut(typed, " ")
				if got := f.Retired(provider, version); got != want {
					t.Errorf("%s: %s is retired: %t", time.Now().Format(time.DateOnly), typed, got)
				}
			}
		}
		retired(map[string]bool{"Microsoft.KeyVault 2024-11-01": false, "Microsoft.Network 2019-12-01": true})
		time.Sleep(24*time.Hour - time.Second)
		retired(map[string]bool{"Microsoft.KeyVault 2024-11-01": false})
		time.Sleep(time.Second)
		retired(map[string]bool{
			"Microsoft.KeyVault 2024-11-01": true, "Microsoft.KeyVault 2024-12-01-preview": true,
			"Microsoft.KeyVault 2026-02-01": false, "Microsoft.KeyVault 2026-04-01-preview": false,
			"Microsoft.ManagedIdentity 2023-01-31": false, "Microsoft.Network 2020-06-01": false,
		})
		f.Set(Plan{})
		retired(map[string]bool{"Microsoft.KeyVault 2024-11-01": false})
	})
}

func TestParse_RefusesInvalidPlans(t *testing.T) {
	for name, plan := range map[string]string{
		"unknown key":            `{rule: []}`,
		"neither rate nor first": `{rules: [{status: 500}]}`,
		"both":                   `{rules: [{status: 500, rate: 1, first: 1}]}`,
		"rate":                   `{rules: [{status: 500, rate: 1.5}]}`,
		"status":                 `{rules: [{status: 200, rate: 1}]}`,
		"nothing happens":        `{rules: [{rate: 1}]}`,
		"pattern":                `{rules: [{path: "(", rate: 1, status: 500}]}`,
		"reset":                  `{rules: [{rate: 1, reset: later}]}`,
		"duration":               `{rolesAfter: 20}`,
		"negative duration":      `{rolesAfter: -1s}`, "no provider": `{retire: [{before: 2026-02-01}]}`,
		"unknown provider":    `{retire: [{provider: Microsoft.Nothing, before: 2026-02-01}]}`,
		"no version":          `{retire: [{provider: Microsoft.KeyVault}]}`,
		"version":             `{retire: [{provider: Microsoft.KeyVault, before: 2026-02-30}]}`,
		"key of a retirement": `{retire: [{provider: Microsoft.KeyVault, before: 2026-02-01, until: 2027-02-27}]}`,
		"day":                 `{retire: [{provider: Microsoft.KeyVault, before: 2026-02-01, on: tomorrow}]}`,
		"reset and status":    `{rules: [{rate: 1, reset: before, status: 500}]}`,
	} {
		if _, err := Load(plan); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if p, err := Load(""); err != nil || len(p.Rules) != 0 {
		t.Errorf("nothing at all: %v", err)
	}
}
