package ciissuer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// runnerHost is the host from which jobs of GitHub Actions request tokens. GitHub's runners use a host in this domain
// with a region in its name.
const runnerHost = "pipelines.actions.githubusercontent.com"

// jobLifetime is the maximum run time of a job on GitHub's runners, during which it can request tokens.
const jobLifetime = 6 * time.Hour

// Request lets a job of GitHub Actions request tokens. The job finds it in the variables ACTIONS_ID_TOKEN_REQUEST_URL
// and ACTIONS_ID_TOKEN_REQUEST_TOKEN.
type Request struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// job is a job that can request tokens.
type job struct {
	Ask   Ask
	Until time.Time
}

const jobs = "ciJobs" // by the hash of the token

func jobKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Job returns a Request for tokens with the subject and claims of a. Each request for a token sets its own audience.
func (s *Service) Job(a Ask) (Request, error) {
	if a.CI != "github" || a.Audience != "" {
		return Request{}, errors.New("a token request works only with github and without an audience: for gitlab and " +
			"pulumi, use the token that is printed without a request")
	}
	if _, _, err := a.claims(); err != nil {
		return Request{}, err
	}
	request := Request{URL: "https://" + runnerHost + "/idtoken?api-version=2.0", Token: rand.Text()}
	return request, s.store.Update(func(tx *store.Tx) error {
		return store.Put(tx, jobs, jobKey(request.Token), job{a, time.Now().Add(jobLifetime)})
	})
}

// idToken answers as GitHub's runner service does (@actions/core, getIDToken). The audience defaults to the URL of the
// repository's owner.
func (s *Service) idToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/idtoken" {
		http.Error(w, "not implemented here: "+r.Method+" "+r.Host+r.URL.Path, http.StatusNotImplemented)
		return
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var found job
	var ok bool
	err := s.store.View(func(tx *store.Tx) (err error) {
		found, ok, err = store.Get[job](tx, jobs, jobKey(token))
		return err
	})
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	case !ok || !strings.EqualFold(scheme, "Bearer") || time.Now().After(found.Until):
		http.Error(w, "the token does not belong to a running job", http.StatusUnauthorized)
		return
	}
	if found.Ask.Audience = r.URL.Query().Get("audience"); found.Ask.Audience == "" {
		owner, _, _ := strings.Cut(strings.TrimPrefix(found.Ask.Subject, "repo:"), "/")
		owner, _, _ = strings.Cut(owner, "@")
		found.Ask.Audience = "https://github.com/" + owner
	}
	issued, err := s.Token(found.Ask)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, map[string]any{"count": len(issued), "value": issued})
}

// Control answers POST /ci-tokens with a Request or an Issued. The local cloud's control host calls it for the owner.
func (s *Service) Control(w http.ResponseWriter, r *http.Request) {
	var order Order
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		http.Error(w, "reading the request: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err == nil {
		err = json.Unmarshal(text, &order)
	}
	if err != nil {
		http.Error(w, "reading the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	var answer any
	if order.Job {
		answer, err = s.Job(order.Ask)
	} else {
		var token string
		token, err = s.Token(order.Ask)
		answer = Issued{token}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, answer)
}

// Order is the body of POST /ci-tokens. With Job, the answer is a Request, otherwise an Issued.
type Order struct {
	Ask
	Job bool `json:"job,omitempty"`
}

// Issued has an issued token.
type Issued struct {
	Token string `json:"token"`
}
