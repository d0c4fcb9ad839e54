// Package guard implements the webhooks of the API servers of clusters with Entra ID integration. They authenticate
// tokens and, with Azure RBAC for Kubernetes, authorize requests, and respond as those of AKS do
// (github.com/kubeguard/guard).
package guard

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	authentication "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Host is the host that API servers call. In AKS, it is part of the control plane and has no public name.
const Host = "guard.aks.internal"

const (
	tokenReviews  = "tokenreviews"
	accessReviews = "subjectaccessreviews"
)

// TokenReviewURL returns the URL for token reviews by the API server of the cluster with an ID.
func TokenReviewURL(clusterID string) string {
	return "https://" + Host + clusterID + "/" + tokenReviews
}

// AccessReviewURL returns the URL for its access reviews.
func AccessReviewURL(clusterID string) string {
	return "https://" + Host + clusterID + "/" + accessReviews
}

// Guard serves all clusters.
type Guard struct {
	store  *store.Store
	tokens *entra.Service
}

// New returns the guard of a tenant's clusters.
func New(st *store.Store, tokens *entra.Service) *Guard { return &Guard{st, tokens} }

func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "not implemented here: "+r.Method+" "+r.URL.Path, http.StatusNotImplemented)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cluster, what := path.Split(r.URL.Path)
	switch what {
	case tokenReviews:
		var review authentication.TokenReview
		if err := json.Unmarshal(
			body,
			&review,
		); err != nil ||
			review.APIVersion != authentication.SchemeGroupVersion.String() {
			http.Error(w, "a TokenReview in version v1 is asked with", http.StatusBadRequest)
			return
		}
		review.Status = g.authenticate(activity.From(r.Context()), review.Spec.Token)
		review.Spec.Token = ""
		answer(w, review)
	case accessReviews:
		var review authorizationv1.SubjectAccessReview
		if err := json.Unmarshal(
			body,
			&review,
		); err != nil ||
			review.APIVersion != authorizationv1.SchemeGroupVersion.String() {
			http.Error(w, "a SubjectAccessReview in version v1 is asked with", http.StatusBadRequest)
			return
		}
		if review.Status, err = g.authorize(activity.From(r.Context()),
			strings.TrimSuffix(cluster, "/"), review.Spec); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, review)
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, review any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) // fails only if the API server is gone
}

// objectID is the key of the object ID in a caller's extra attributes.
const objectID = "oid"

// authenticate names the bearer of a token by his object id, as AKS does with service principals; users, who are named
// by their principal name, are not in this directory.
func (g *Guard) authenticate(entry *activity.Entry, token string) authentication.TokenReviewStatus {
	who, err := g.tokens.Verify(token, entra.KubernetesServer)
	if err != nil {
		entry.Decided(authorization.Decision{Missing: "a token of this tenant for clusters that is valid"})
		return authentication.TokenReviewStatus{Error: err.Error()}
	}
	entry.CalledBy(who.Caller)
	entry.Decided(authorization.Decision{Allowed: true, Because: "a token of this tenant for clusters"})
	return authentication.TokenReviewStatus{Authenticated: true, User: authentication.UserInfo{
		Username: who.ObjectID, Groups: who.Groups, Extra: map[string]authentication.ExtraValue{objectID: {who.ObjectID}},
	}}
}

// authorize looks for a role assignment of the caller or of one of his groups. It has no opinion of who is not in Entra
// ID: of those Kubernetes RBAC has decided before.
func (g *Guard) authorize(
	entry *activity.Entry,
	cluster string,
	spec authorizationv1.SubjectAccessReviewSpec,
) (status authorizationv1.SubjectAccessReviewStatus, err error) {
	id := spec.Extra[objectID]
	if strings.HasPrefix(spec.User, "system:") || len(id) != 1 {
		status.Reason = "Azure does not have opinion for this user."
		entry.CalledBy(activity.Caller{Kind: activity.Cluster, Name: spec.User})
		return status, nil
	}
	scope := cluster
	if a := spec.ResourceAttributes; a != nil && a.Namespace != "" {
		scope += "/namespaces/" + a.Namespace
	}
	action, exact := dataAction(spec)
	err = g.store.View(func(tx *store.Tx) error {
		caller, err := entra.CallerOf(tx, id[0])
		if err != nil {
			return err
		}
		entry.CalledBy(caller)
		for i, principal := range append([]string{id[0]}, spec.Groups...) {
			var decision authorization.Decision
			if exact {
				decision, err = authorization.Decide(tx, principal, scope, authorization.Data, authorization.About{Action: action})
			} else {
				decision, err = decideAll(tx, principal, scope)
			}
			if err != nil {
				return err
			}
			if decision.Allowed && i > 0 {
				decision.Because = "the caller is a member of the group " + principal
			}
			if status.Allowed = decision.Allowed; status.Allowed {
				entry.Replace(decision)
				return nil
			}
			if i == 0 {
				entry.Decided(decision)
			}
		}
		return nil
	})
	switch {
	case status.Allowed:
		status.Reason = "Access allowed by Azure RBAC"
	case exact:
		status.Denied = true
		status.Reason = "User does not have access to the resource in Azure. Update role assignment to allow access."
	default:
		status.Reason = "not implemented here: what * stands for in a request, for who may not do everything"
	}
	return status, err
}

// decideAll decides whether one role lets the principal do all that there is to do at a scope.
func decideAll(tx *store.Tx, principal, scope string) (authorization.Decision, error) {
	const all = managedClusters + "/*"
	decision := authorization.Decision{Action: all, Scope: scope, Plane: authorization.Data.Name()}
	assignments, err := authorization.Of(tx, principal)
	for _, a := range assignments {
		role, ok, err := authorization.FindRole(tx, a.RoleID)
		if err != nil {
			return decision, err
		}
		if ok && a.Effective() && a.Condition == "" && authorization.Covers(a.Scope, scope) &&
			slices.Contains(role.DataActions, all) &&
			len(role.NotDataActions) == 0 {
			decision.Allowed = true
			decision.Role, decision.Assignment, decision.AssignedAt = role.Name, a.ID, a.Scope
			return decision, nil
		}
	}
	decision.Missing = authorization.NoAssignment
	decision.Candidates = authorization.Candidates(all, authorization.Data)
	return decision, err
}

const managedClusters = "Microsoft.ContainerService/managedClusters"

// dataAction returns Azure's action for a request:
// Microsoft.ContainerService/managedClusters/<group>/<resource>/<operation>, without the core group. Subresources count
// as their resource, except commands in a pod. The action is not exact for requests with a wildcard: Azure expands them
// to all matching actions, and not all are known here.
func dataAction(spec authorizationv1.SubjectAccessReviewSpec) (action string, exact bool) {
	segments := []string{managedClusters}
	switch a, n := spec.ResourceAttributes, spec.NonResourceAttributes; {
	case a != nil && (a.Group == "*" || a.Resource == "*" || a.Verb == "*"), a == nil && n == nil:
		return "", false
	case a == nil:
		segments = append(segments, strings.Trim(n.Path, "/"), done(n.Verb))
	case a.Group == "" && a.Resource == "pods" && a.Subresource == "exec":
		segments = append(segments, "pods/exec/action")
	default:
		segments = append(segments, a.Group, a.Resource, done(a.Verb))
	}
	for _, s := range segments {
		if s != "" {
			action += "/" + s
		}
	}
	return action[1:], true
}

// done returns the last part of a data action. It is empty for verbs that Azure does not know, which only a role with
// all actions allows.
func done(verb string) string {
	switch verb {
	case "get", "list", "watch":
		return "read"
	case "create", "update", "patch":
		return "write"
	case "delete", "deletecollection":
		return "delete"
	case "bind", "escalate", "impersonate", "use":
		return verb + "/action"
	}
	return ""
}
