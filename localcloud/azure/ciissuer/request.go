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

// runnerHost is where GitHub's runners have their jobs ask for tokens. The real ones are told a host of GitHub's in this
// domain, with a region in its name.
const runnerHost = "pipelines.actions.githubusercontent.com"

// jobLifetime is how long a job may run on GitHub's runners, and ask for tokens.
const jobLifetime = 6 * time.Hour

// Request is what a job of GitHub Actions finds in its environment if it may ask for tokens: in
// ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN.
type Request struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// job is one that may ask.
type job struct {
	Ask   Ask
	Until time.Time
}

const jobs = "ciJobs" // by the hash of the token

func jobKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Job makes what a job asks with for tokens like the one that is asked for, each time with an audience of its own.
func (s *Service) Job(a Ask) (Request, error) {
	if a.CI != "github" || a.Audience != "" {
		return Request{}, errors.New(
			"a request is for github, and names no audience: of gitlab and pulumi take the token that is printed without it",
		)
	}
	if _, _, err := a.claims(); err != nil {
		return Request{}, err
	}
	token := rand.Text()
	return Request{
			URL:   "https://" + runnerHost + "/idtoken?api-version=2.0",
			Token: token,
		}, s.store.Update(
			func(tx *store.Tx) error {
				return store.Put(tx, jobs, jobKey(token), job{a, time.Now().Add(jobLifetime)})
			},
		)
}

// idToken answers as GitHub's runner service does (@actions/core, getIDToken). Without an audience it is the owner's URL.
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
		http.Error(w, "the token is not one of a job that runs", http.StatusUnauthorized)
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

// Control answers POST /ci-tokens with a Request or an Issued. The local cloud's own host asks it for who owns the cloud.
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

// Order is what Control takes: which token, and whether a job is to ask for it.
type Order struct {
	Ask
	Job bool `json:"job,omitempty"`
}

// Issued is a token.
type Issued struct {
	Token string `json:"token"`
}
