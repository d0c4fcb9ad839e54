package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
)

// Handler has a service meet the faults of the plan.
func (f *Faults) Handler(service http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule, number, ok := f.decide(r)
		if !ok {
			service.ServeHTTP(w, r)
			return
		}
		activity.From(r.Context()).Met(fmt.Sprintf("rule %d: %s", number, rule.effect()))
		if rule.Delay > 0 {
			timer := time.NewTimer(time.Duration(rule.Delay))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		switch {
		case rule.Status != 0:
			rule.refuse(w, r)
		case rule.Reset == before:
			edge.Reset(w)
		case rule.Reset == after:
			service.ServeHTTP(lost{header: http.Header{}}, r)
			edge.Reset(w)
		default:
			service.ServeHTTP(w, r)
		}
	})
}

// effect says what the rule does to a request.
func (r Rule) effect() string {
	var parts []string
	if r.Delay > 0 {
		parts = append(parts, "delayed by "+time.Duration(r.Delay).String())
	}
	switch {
	case r.Status == http.StatusTooManyRequests:
		parts = append(parts, "throttled")
	case r.Status != 0:
		parts = append(parts, fmt.Sprintf("refused with %d %s", r.Status, r.code()))
	case r.Reset != "":
		parts = append(parts, "connection reset "+r.Reset+" the request was done")
	}
	return strings.Join(parts, ", ")
}

// code is the one that is answered with the status.
func (r Rule) code() string {
	if r.Code != "" {
		return r.Code
	}
	if code := codes[r.Status]; code != "" {
		return code
	}
	return strings.ReplaceAll(http.StatusText(r.Status), " ", "") // as Azure has it: BadRequest, Forbidden
}

// lost is where an answer goes that its client does not get.
type lost struct{ header http.Header }

func (l lost) Header() http.Header         { return l.header }
func (l lost) Write(p []byte) (int, error) { return len(p), nil }
func (l lost) WriteHeader(int)             {}

// codes are what Azure says with a status, where it is not the service but what stands before it that refuses
// (learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling and /troubleshooting/common-deployment-errors).
var codes = map[int]string{
	http.StatusConflict: "AnotherOperationInProgress", http.StatusTooManyRequests: "TooManyRequests",
	http.StatusInternalServerError: "InternalServerError", http.StatusBadGateway: "BadGateway",
	http.StatusServiceUnavailable: "ServiceUnavailable", http.StatusGatewayTimeout: "GatewayTimeout",
}

func (r Rule) refuse(w http.ResponseWriter, req *http.Request) {
	const message = "A fault of the local cloud, as its plan of faults has it."
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if r.RetryAfter > 0 {
		wait := time.Duration(r.RetryAfter)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		w.Header().Set("Retry-After-Ms", strconv.FormatInt(wait.Milliseconds(), 10)) // for those who can read it
	}
	w.WriteHeader(r.Status)
	var body any = map[string]any{"error": map[string]any{"code": r.code(), "message": message}}
	if req.Host == entra.Host { // OAuth's form
		body = map[string]any{"error": "temporarily_unavailable", "error_description": message}
	}
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody to tell
}

// Host is where the plan is read, changed and ended: GET, PUT and DELETE https://localcloud.internal/faults, in JSON. Like every host
// of the edge it is reached through the proxy, as which any user of the machine and any pod can do; the local cloud lets its owner in
// alone. A plan that is put holds until the local cloud ends, and grants made before it wait as they were to. DELETE
// ends the plan, and grants that wait are honoured at once.
const Host = "localcloud.internal"

// Report is what GET answers: the plan, and what came of it since it was set.
type Report struct {
	Plan
	Requests int `json:"requests"` // there were so many
	Faults   int `json:"faults"`   // as many met a fault
	Failed   int `json:"failed"`   // as many of those failed, and were not just late
}

// Control answers at Host. It calls honour when the plan ends, to have all grants honoured that wait.
func (f *Faults) Control(honour func() error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		report := Report{f.plan, f.seen, f.met, f.failed}
		f.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(report) // the client has gone: nobody to tell
	})
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		var plan Plan
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		if err == nil {
			plan, err = Parse(text)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.Set(plan)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		f.Set(Plan{}) // first: who is writing a grant has read the plan in the transaction that honour's comes after
		if err := honour(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
