// Package faults makes the services of the local cloud fail as Azure's do: requests are refused, throttled, reset or
// delayed, grants take effect late, and API versions retire. A seeded plan decides, so that the same requests meet the
// same faults again.
package faults

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"
)

// Plan describes faults. The zero value has none.
type Plan struct {
	// Seed selects the requests that a Rate meets. Plans with other seeds fail other requests.
	Seed uint64 `json:"seed,omitempty"`
	// Rules are tried in order. The first that meets a request decides.
	Rules []Rule `json:"rules,omitempty"`
	// RolesAfter is how long a new role assignment has no effect in Resource Manager, Key Vault and clusters. Azure takes
	// up to 10 minutes (learn.microsoft.com/azure/role-based-access-control/troubleshooting). A deletion takes effect at
	// once, which is stricter than Azure, where it takes time as well. Defaults to 0.
	RolesAfter Duration `json:"rolesAfter,omitempty"`
	// CredentialsAfter is how long a new or changed federated credential has no effect in Entra ID. Azure takes seconds to
	// minutes (learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations). Defaults to 0.
	CredentialsAfter Duration `json:"credentialsAfter,omitempty"`
	// Retire lists API versions that Resource Manager stops serving. Defaults to none.
	Retire []Retirement `json:"retire,omitempty"`
}

// Retirement retires the older API versions of a resource provider. Resource Manager then refuses them like any version
// that a type does not support. The provider's data plane is not affected.
type Retirement struct {
	// Provider is the resource provider, such as Microsoft.KeyVault. It is compared without case and must be one of
	// Providers.
	Provider string `json:"provider"`
	// Before is the oldest API version that remains, as a date such as 2026-02-01.
	Before string `json:"before"`
	// On is the first day, in UTC, on which the older versions are refused. Defaults to every day.
	On string `json:"on,omitempty"`
}

// UnmarshalJSON refuses unknown keys, as Parse does elsewhere. It reads "true" as "on", because YAML converts that key
// unless it is quoted.
func (r *Retirement) UnmarshalJSON(data []byte) error {
	type fields Retirement
	read := struct {
		*fields
		True string `json:"true"`
	}{fields: (*fields)(r)}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&read)
	r.On = cmp.Or(r.On, read.True)
	return err
}

// Providers lists the resource providers that Resource Manager serves here.
var Providers = []string{
	"Microsoft.Authorization",
	"Microsoft.Compute",
	"Microsoft.ContainerRegistry",
	"Microsoft.ContainerService",
	"Microsoft.EventGrid",
	"Microsoft.Insights",
	"Microsoft.KeyVault",
	"Microsoft.ManagedIdentity",
	"Microsoft.Network",
	"Microsoft.OperationalInsights",
	"Microsoft.Resources",
	"Microsoft.Storage",
}

// Rule makes some of the matching requests fail in one way. It does not affect requests to clusters' API servers, which
// are passed through.
type Rule struct {
	// Host, Path and Method are regular expressions (golang.org/s/re2syntax) without case. Path matches a part of the
	// path, Host and Method match the whole. Default to any.
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
	Method string `json:"method,omitempty"`
	// Rate is the probability that a request fails, 0 to 1. First is the number of first requests to each path that fail.
	// Exactly one of them must be set.
	Rate  float64 `json:"rate,omitempty"`
	First int     `json:"first,omitempty"`

	// Status, 400 to 599, is the response's status. The request is not performed. By default, the request is performed.
	Status int `json:"status,omitempty"`
	// Code is the error's code. Defaults to Azure's code for the status.
	Code string `json:"code,omitempty"`
	// RetryAfter is the header's value. Defaults to no header.
	RetryAfter Duration `json:"retryAfter,omitempty"`
	// Reset resets the TCP connection: "before" the request is performed, or "after" it, when only the response is lost.
	Reset string `json:"reset,omitempty"`
	// Delay is a delay before anything else happens. Defaults to 0.
	Delay Duration `json:"delay,omitempty"`
}

// Duration is written as in Go: 1m30s.
type Duration time.Duration

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a duration is a string such as 1m30s")
	}
	parsed, err := time.ParseDuration(text)
	if err == nil && parsed < 0 {
		err = fmt.Errorf("%s is negative", text)
	}
	*d = Duration(parsed)
	return err
}

// Parse parses a plan in YAML or JSON and validates it. Unknown keys are errors.
func Parse(text []byte) (Plan, error) {
	var p Plan
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		return p, fmt.Errorf("reading a plan of faults: %w", err)
	}
	return p, p.Validate()
}

// Load parses a file, or the text itself if it has a colon or is empty.
func Load(fileOrText string) (Plan, error) {
	if fileOrText == "" || strings.Contains(fileOrText, ":") {
		return Parse([]byte(fileOrText))
	}
	content, err := os.ReadFile(fileOrText)
	if err != nil {
		return Plan{}, err
	}
	return Parse(content)
}

// Validate reports all violations in the plan.
func (p Plan) Validate() error {
	var wrong []string
	at := func(list string, i int) report {
		return func(field, format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%s[%d].%s: ", list, i, field)+fmt.Sprintf(format, args...))
		}
	}
	for i, r := range p.Rules {
		r.validate(at("rules", i))
	}
	for i, r := range p.Retire {
		r.validate(at("retire", i))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the plan of faults: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// report records a violation of a field.
type report func(field, format string, args ...any)

func (r Rule) validate(say report) {
	for field, pattern := range map[string]string{"host": r.Host, "path": r.Path, "method": r.Method} {
		if _, err := regexp.Compile(pattern); err != nil {
			say(field, "%v", err)
		}
	}
	if (r.Rate > 0) == (r.First > 0) || r.Rate < 0 || r.Rate > 1 || r.First < 0 {
		say("rate", "either rate, above 0 and up to 1, or first, above 0")
	}
	if r.Status != 0 && (r.Status < 400 || r.Status > 599) {
		say("status", "%d is not 400 to 599", r.Status)
	}
	if r.Reset != "" && r.Reset != before && r.Reset != after {
		say("reset", "%q is neither before nor after", r.Reset)
	}
	if r.Status == 0 && r.Reset == "" && r.Delay == 0 {
		say("status", "one of status, reset and delay is needed")
	}
	if r.Status != 0 && r.Reset != "" {
		say("reset", "not together with status")
	}
	if r.Status == 0 && (r.Code != "" || r.RetryAfter != 0) {
		say("code", "code and retryAfter need status")
	}
}

func (r Retirement) validate(say report) {
	if !slices.ContainsFunc(Providers, r.isOf) {
		say("provider", "%q is none of %s", r.Provider, strings.Join(Providers, ", "))
	}
	if !isDate(r.Before) {
		say("before", "%q is not a date such as 2026-02-01", r.Before)
	}
	if r.On != "" && !isDate(r.On) {
		say("on", "%q is not a date such as 2027-02-27", r.On)
	}
}

func (r Retirement) isOf(provider string) bool { return strings.EqualFold(r.Provider, provider) }

func isDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

const (
	before = "before"
	after  = "after"
)

// Faults executes a plan. Its methods are safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	plan   Plan
	rules  []compiled
	counts map[string]int // requests so far, by rule and path
	met    int            // requests with a fault
	failed int            // requests that failed, not only late
	seen   int            // requests
}

type compiled struct {
	Rule
	host, path, method *regexp.Regexp
}

// New returns Faults with a validated plan.
func New(p Plan) *Faults {
	f := &Faults{}
	f.Set(p)
	return f
}

// Set replaces the plan and resets the counters.
func (f *Faults) Set(p Plan) {
	var rules []compiled
	for _, r := range p.Rules {
		whole := func(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)^(?:` + pattern + `)$`) }
		c := compiled{Rule: r, host: whole(".*"), path: regexp.MustCompile("(?i)" + r.Path), method: whole(".*")}
		if r.Host != "" {
			c.host = whole(r.Host)
		}
		if r.Method != "" {
			c.method = whole(r.Method)
		}
		rules = append(rules, c)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.rules, f.counts, f.met, f.failed, f.seen = p, rules, map[string]int{}, 0, 0, 0
}

// Plan returns the current plan.
func (f *Faults) Plan() Plan {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan
}

// RolesAfter and CredentialsAfter return the values of the current plan.
func (f *Faults) RolesAfter() time.Duration       { return time.Duration(f.Plan().RolesAfter) }
func (f *Faults) CredentialsAfter() time.Duration { return time.Duration(f.Plan().CredentialsAfter) }

// Retired reports whether a resource provider refuses an API version. Versions and dates sort as text.
func (f *Faults) Retired(provider, version string) bool {
	today := time.Now().UTC().Format(time.DateOnly)
	return slices.ContainsFunc(f.Plan().Retire, func(r Retirement) bool {
		return r.isOf(provider) && version < r.Before && today >= r.On
	})
}

// decide finds the rule that meets a request. Every rule counts the requests to each path that it is about, whether one
// before it meets them or not, so that what a rule does not depend on its neighbours.
func (f *Faults) decide(r *http.Request) (rule Rule, number int, ok bool) {
	host := strings.TrimSuffix(r.Host, ":443")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	var found *compiled
	for i := range f.rules {
		rule := &f.rules[i]
		if !rule.host.MatchString(host) || !rule.path.MatchString(r.URL.Path) || !rule.method.MatchString(r.Method) {
			continue
		}
		key := fmt.Sprintf("%d %s %s%s", i, r.Method, strings.ToLower(host), strings.ToLower(r.URL.Path))
		n := f.counts[key]
		f.counts[key]++
		meets := n < rule.First
		if rule.Rate > 0 {
			meets = chance(f.plan.Seed, i, r.Method, host, r.URL.Path, n) < rule.Rate
		}
		if meets && found == nil {
			found, number = rule, i+1
		}
	}
	if found == nil {
		return Rule{}, 0, false
	}
	f.met++
	if found.Status != 0 || found.Reset != "" {
		f.failed++
	}
	return found.Rule, number, true
}
