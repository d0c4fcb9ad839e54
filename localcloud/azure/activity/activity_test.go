package activity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
)

// ask sends a request to a recorded handler.
func ask(r *Record, h http.HandlerFunc, url string) {
	r.Handler("Key Vault", h).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, url, nil))
}

func quiet(http.ResponseWriter, *http.Request) {}

func page(t *testing.T, r *Record, query string) Page {
	t.Helper()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/activity?"+query, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	var p Page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func numbers(p Page) string {
	var all []string
	for _, q := range p.Requests {
		all = append(all, fmt.Sprint(q.Number, q.Path))
	}
	return strings.Join(all, " ") + fmt.Sprint(" next ", p.Next)
}

func TestRecord_KeepsTheLastRequestsInOrder(t *testing.T) {
	r := New(3)
	for i := 1; i <= 5; i++ {
		ask(r, quiet, fmt.Sprintf("https://a/%d", i))
	}
	for query, want := range map[string]string{
		"":                "3/3 4/4 5/5 next 5",
		"after=1":         "3/3 4/4 5/5 next 5",
		"after=3":         "4/4 5/5 next 5",
		"after=2&limit=2": "3/3 4/4 next 4",
		"after=5":         " next 5",
		"after=9":         "3/3 4/4 5/5 next 5", // of a record before a restart
	} {
		if got := numbers(page(t, r, query)); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}

func TestRecord_RefusesWhatItDoesNotUnderstand(t *testing.T) {
	for query, want := range map[string]string{
		"after=x": "after", "after=-1": "after", "limit=0": "limit", "limit=1001": "1000",
		"wait=1": "wait", "wait=1h": "1m0s",
	} {
		w := httptest.NewRecorder()
		New(1).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/activity?"+query, nil))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestRecord_WaitsForTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(3)
		ask(r, quiet, "https://a/1")
		start := time.Now()
		go func() {
			time.Sleep(3 * time.Second)
			ask(r, quiet, "https://a/2")
		}()
		if got := numbers(page(t, r, "after=1&wait=10s")); got != "2/2 next 2" || time.Since(start) != 3*time.Second {
			t.Errorf("%s after %s", got, time.Since(start))
		}
		if got := numbers(page(t, r, "after=2&wait=10s")); got != " next 2" || time.Since(start) != 13*time.Second {
			t.Errorf("%s after %s", got, time.Since(start))
		}
		if got := numbers(page(t, r, "after=1&wait=10s")); got != "2/2 next 2" || time.Since(start) != 13*time.Second {
			t.Errorf("what is there is not answered at once: %s after %s", got, time.Since(start))
		}
	})
}

func TestHandler_RecordsTheCodeOfAnError(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, test := range map[string]struct{ body, header, want string }{
		"Resource Manager": {
			body: `{"error":{"code":"AuthorizationFailed","message":"` + long + `"}}`, want: "AuthorizationFailed",
		},
		"Key Vault": {
			body: `{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"},"message":"m"}}`,
			want: "ForbiddenByRbac",
		},
		"Entra ID": {
			body: `{"correlation_id":"c","error":"invalid_client","error_codes":[700213,5]}`, want: "AADSTS700213",
		},
		"OAuth": {
			body: `{"error":"temporarily_unavailable","error_description":"m"}`, want: "temporarily_unavailable",
		},
		"Storage":            {body: `<Error/>`, header: "QueueNotFound", want: "QueueNotFound"},
		"a code elsewhere":   {body: `{"error":{"details":[{"code":"Inner"}]},"code":"Top"}`},
		"no identifier":      {body: `{"error":{"code":"a secret: 5"}}`},
		"text":               {body: "not implemented here"},
		"code after the end": {body: `{"error":{"message":"` + long + `","code":"Late"}}`},
	} {
		r := New(1)
		ask(r, func(w http.ResponseWriter, _ *http.Request) {
			if test.header != "" {
				w.Header().Set("x-ms-error-code", test.header)
			}
			w.WriteHeader(http.StatusForbidden)
			for i := 0; i < len(test.body); i += 7 {
				_, _ = w.Write([]byte(test.body[i:min(i+7, len(test.body))]))
			}
		}, "https://a/")
		if got := page(t, r, "").Requests[0]; got.Error != test.want || got.Status != http.StatusForbidden {
			t.Errorf("%s: %d %q, want %q", name, got.Status, got.Error, test.want)
		}
	}
	r := New(1)
	fine := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"error":{"code":"Fine"}}`)) }
	ask(r, fine, "https://a/")
	if got := page(t, r, "").Requests[0]; got.Error != "" || got.Status != http.StatusOK {
		t.Errorf("the code of an answer that is none: %+v", got)
	}
}

// TestHandler_LooksAtTheBeginningOfErrorsOnly proves that answers are passed on as they are and not kept.
func TestHandler_LooksAtTheBeginningOfErrorsOnly(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusBadGateway} {
		w := httptest.NewRecorder()
		a := &answer{ResponseWriter: w}
		a.WriteHeader(status)
		for range 100 {
			_, _ = a.Write(make([]byte, 1000))
		}
		kept := looked
		if status == http.StatusOK {
			kept = 0
		}
		if len(a.start) != kept || w.Body.Len() != 100_000 {
			t.Errorf("%d: keeps %d bytes, passes on %d", status, len(a.start), w.Body.Len())
		}
	}
}

func TestHandler_RecordsThatThereWasNoAnswer(t *testing.T) {
	r := New(1)
	func() {
		defer func() { _ = recover() }()
		ask(r, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "https://a/1")
	}()
	if got := page(t, r, "").Requests; len(got) != 1 || got[0].Status != 0 {
		t.Errorf("%+v", got)
	}
}

// TestHandler_KeepsTextsShortAndNoQuery has a client send what would fill the memory, or what is a secret.
func TestHandler_KeepsTextsShortAndNoQuery(t *testing.T) {
	r := New(1)
	ask(r, quiet, "https://a/"+strings.Repeat("é", 100_000)+"?api-version=7.4&sig=marker&code=marker")
	got := page(t, r, "").Requests[0]
	if len(got.Path) > longest+10 || got.APIVersion != "7.4" {
		t.Errorf("%d bytes, version %q", len(got.Path), got.APIVersion)
	}
	for _, version := range []string{"marker", "2024-01-01marker", "7.4%20marker"} {
		ask(r, quiet, "https://a/?api-version="+version)
		if text, _ := json.Marshal(page(t, r, "")); strings.Contains(string(text), "marker") {
			t.Errorf("%s", text)
		}
	}
}

func TestEntry_KeepsTextsOfDecisionsShort(t *testing.T) {
	r := New(1)
	long := strings.Repeat("a", 100_000)
	ask(r, func(_ http.ResponseWriter, req *http.Request) {
		From(req.Context()).Decided(authorization.Decision{Action: long, Scope: long, Because: long, Missing: long})
	}, "https://a/")
	if text, _ := json.Marshal(page(t, r, "")); len(text) > 5*longest {
		t.Errorf("the record of one request has %d bytes", len(text))
	}
}

func TestEntry_KeepsTheDecisionThatCounted(t *testing.T) {
	allowed := func(action string) authorization.Decision {
		return authorization.Decision{Allowed: true, Action: action}
	}
	refused := func(action string) authorization.Decision { return authorization.Decision{Action: action} }
	for want, all := range map[string][]authorization.Decision{
		"first":  {allowed("first"), allowed("linked")},
		"linked": {allowed("first"), refused("linked"), allowed("another")},
		"only":   {refused("only")},
	} {
		r := New(1)
		ask(r, func(_ http.ResponseWriter, req *http.Request) {
			for _, d := range all {
				From(req.Context()).Decided(d)
			}
		}, "https://a/")
		if got := page(t, r, "").Requests[0].Decision; got == nil || got.Action != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	var none *Entry
	none.Decided(allowed("nobody records it"))
	none.Met("a fault")
}

// TestRecord_IsOneForAllGoroutines has a handler go on after its request: for the race detector.
func TestRecord_IsOneForAllGoroutines(t *testing.T) {
	r := New(10)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				ask(r, func(_ http.ResponseWriter, req *http.Request) {
					entry := From(req.Context())
					all.Go(func() { entry.CalledBy(Caller{Name: "late"}); entry.Decided(authorization.Decision{}) })
				}, "https://a/")
				page(t, r, "after=1")
			}
		})
	}
	all.Wait()
	if got := page(t, r, ""); got.Next != 800 || len(got.Requests) != 10 {
		t.Errorf("%d requests, %d kept", got.Next, len(got.Requests))
	}
}

func BenchmarkHandler(b *testing.B) {
	answers := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		From(req.Context()).Decided(authorization.Decision{Allowed: true})
		w.WriteHeader(http.StatusOK)
	})
	for name, h := range map[string]http.Handler{"plain": answers, "recorded": New(2000).Handler("Key Vault", answers)} {
		b.Run(name, func(b *testing.B) {
			req := httptest.NewRequest(http.MethodGet, "https://a.vault.azure.net/secrets/my-secret?api-version=7.4", nil)
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), req)
			}
		})
	}
}
