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

// Handler applies the plan's faults to a service.
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

// codes maps statuses to Azure's codes when a gateway in front of the service refuses
// (learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling and
// /troubleshooting/common-deployment-errors).
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
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}

// Host is where the plan is read, changed and ended: GET, PUT and DELETE https://localcloud.internal/faults, in JSON.
// Like all hosts of the edge, it is reachable through the proxy by any user of the machine and any pod, so only the
// local cloud's owner is allowed. A plan lasts until the local cloud ends, and pending grants keep their times. DELETE
// ends the plan, and pending grants take effect at once.
const Host = "localcloud.internal"

// Report is the response to GET: the plan, and counters since it was set.
type Report struct {
	Plan
	Requests int `json:"requests"` // all requests
	Faults   int `json:"faults"`   // those that met a fault
	Failed   int `json:"failed"`   // those that failed, not only late
}

// Control serves Host. When the plan ends, it calls honour, which makes pending grants take effect.
func (f *Faults) Control(honour func() error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		report := Report{f.plan, f.seen, f.met, f.failed}
		f.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(report) // fails only if the client is gone
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
		f.Set(Plan{}) // first: a concurrent writer of a grant has read the plan in a transaction before honour's
		if err := honour(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
