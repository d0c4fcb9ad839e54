// Package graph implements the part of Microsoft Graph that finds principals by application id or object id. It is
// read-only. Other requests are not implemented.
package graph

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// Host is the host name of Microsoft Graph.
const Host = "graph.microsoft.com"

// DirectoryReadAll is the permission to read the directory. An application has a permission of Graph only if an
// administrator has granted it (https://learn.microsoft.com/graph/permissions-reference#directoryreadall).
const DirectoryReadAll = "Directory.Read.All"

// Service serves one tenant.
type Service struct {
	store  *store.Store
	tokens *entra.Service
	tenant string
}

// New returns a Service that accepts the tokens for Microsoft Graph that tokens issues.
func New(st *store.Store, tokens *entra.Service, tenantID string) *Service {
	return &Service{st, tokens, tenantID}
}

// object is an entity in Graph's JSON.
type object = map[string]any

// fault is an error response (https://learn.microsoft.com/graph/errors).
type fault struct {
	status        int
	code, message string
}

func (f *fault) Error() string { return f.code + ": " + f.message }

func notImplemented(what string) error {
	return &fault{http.StatusNotImplemented, "notImplemented", "not implemented here: " + what}
}

func badRequest(message string) error {
	return &fault{http.StatusBadRequest, "Request_BadRequest", message}
}

func notFound(id string) error {
	return &fault{http.StatusNotFound, "Request_ResourceNotFound",
		"Resource '" + id + "' does not exist or one of its queried reference-property objects are not present."}
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	body, err := s.answer(r)
	status := http.StatusOK
	if err != nil {
		refused := &fault{http.StatusInternalServerError, "generalException", err.Error()}
		_ = errors.As(err, &refused) // other errors are internal
		status = refused.status
		id := uuid.NewString()
		body = object{"error": object{"code": refused.code, "message": refused.message, "innerError": object{
			"date": time.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": id, "client-request-id": id,
		}}}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://`+entra.Host+
				`/common/oauth2/authorize", client_id="`+entra.GraphAppID+`"`)
		}
	}
	w.Header().Set("Content-Type",
		"application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}

// answer returns the body of the answer to a request.
func (s *Service) answer(r *http.Request) (object, error) {
	who, err := s.authenticate(r)
	if err != nil {
		activity.From(r.Context()).Unauthenticated(r)
		return nil, err
	}
	activity.From(r.Context()).CalledBy(who.Caller)
	path, ok := strings.CutPrefix(r.URL.Path, "/v1.0/")
	if !ok {
		return nil, notImplemented(r.Method + " " + r.URL.Path)
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if q.count && !strings.EqualFold(r.Header.Get("ConsistencyLevel"), "eventual") {
		return nil, notImplemented("$count without ConsistencyLevel: eventual")
	}
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	kind, key, keyed := cutKey(segments[0])
	switch {
	case r.Method == http.MethodPost && path == "directoryObjects/getByIds":
		if err := allowed(r, who); err != nil {
			return nil, err
		}
		return s.byIDs(r, q)
	case r.Method != http.MethodGet:
	case kind == "me" && !keyed: // there are no users
		return nil, &fault{http.StatusBadRequest, "BadRequest",
			"/me request is only valid with delegated authentication flow."}
	case sets[kind].list == nil:
	case len(segments) == 1 && !keyed:
		if err := allowed(r, who); err != nil {
			return nil, err
		}
		return s.list(kind, q)
	case len(segments) == 1 || len(segments) == 2 && !keyed:
		if err := allowed(r, who); err != nil {
			return nil, err
		}
		if !keyed {
			key = filterTerm{property: "id", value: segments[1]}
		}
		return s.one(kind, key, q)
	}
	return nil, notImplemented(r.Method + " " + r.URL.Path)
}

// authenticate returns the principal that sends a request.
func (s *Service) authenticate(r *http.Request) (entra.Principal, error) {
	unauthorized := func(message string) error {
		return &fault{http.StatusUnauthorized, "InvalidAuthenticationToken", message}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return entra.Principal{}, unauthorized("Access token is empty.")
	}
	who, err := s.tokens.Verify(token, entra.Graph, entra.GraphAppID)
	var refused *entra.TokenError
	switch {
	case err == nil:
		return who, nil
	case !errors.As(err, &refused):
		return who, err
	case refused.Fault == entra.Expired:
		return who, unauthorized("Lifetime validation failed, the token is expired.")
	case refused.Fault == entra.WrongAudience:
		return who, unauthorized("Access token validation failure. Invalid audience.")
	default:
		return who, unauthorized("Invalid authentication token: " + refused.Error() + ".")
	}
}

// allowed returns an error if a principal may not read the directory. The one permission is enough for all requests.
func allowed(r *http.Request, who entra.Principal) error {
	decision := authorization.Decision{Allowed: slices.Contains(who.Roles, DirectoryReadAll)}
	const permission = "the application permission " + DirectoryReadAll
	if decision.Allowed {
		decision.Because = permission
	} else {
		decision.Missing = permission
	}
	activity.From(r.Context()).Decided(decision)
	if decision.Allowed {
		return nil
	}
	return &fault{http.StatusForbidden, "Authorization_RequestDenied",
		"Insufficient privileges to complete the operation."}
}

// maxIDs is the maximum number of ids in a request (https://learn.microsoft.com/graph/api/directoryobject-getbyids).
const maxIDs = 1000

// byIDs returns the objects of any type with the requested ids. It leaves out ids without an object.
func (s *Service) byIDs(r *http.Request, q query) (object, error) {
	var asked struct {
		IDs   []string `json:"ids"`
		Types []string `json:"types"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return nil, badRequest("The request body could not be read: " + err.Error())
	}
	if len(asked.IDs) == 0 || len(asked.IDs) > maxIDs {
		return nil, badRequest("Invalid value specified for property 'ids': it must have 1 to 1000 of them.")
	}
	for _, id := range asked.IDs {
		if uuid.Validate(id) != nil {
			return nil, badRequest("Invalid GUID:" + id)
		}
	}
	found := []object{}
	err := s.store.View(func(tx *store.Tx) error {
		for _, kind := range []string{"servicePrincipals", "groups", "applications"} {
			set := sets[kind]
			if len(asked.Types) > 0 && !slices.Contains(asked.Types, set.entity) &&
				!slices.Contains(asked.Types, "directoryObject") {
				continue
			}
			all, err := set.list(tx, s.tenant)
			if err != nil {
				return err
			}
			for _, o := range all {
				if !slices.ContainsFunc(asked.IDs, func(id string) bool { return fold.Equal(id, o["id"].(string)) }) {
					continue
				}
				shown, err := q.shown(o)
				if err != nil {
					return err
				}
				shown["@odata.type"] = "#microsoft.graph." + set.entity
				found = append(found, shown)
			}
		}
		return nil
	})
	return object{"@odata.context": context("directoryObjects"), "value": found}, err
}

func context(of string) string { return "https://" + Host + "/v1.0/$metadata#" + of }

func (s *Service) list(kind string, q query) (object, error) {
	found := []object{}
	err := s.store.View(func(tx *store.Tx) error {
		all, err := sets[kind].list(tx, s.tenant)
		if err != nil {
			return err
		}
		for _, o := range all {
			matches, err := q.matches(o)
			if err != nil {
				return err
			}
			if matches {
				found = append(found, o)
			}
		}
		if len(found) == 0 { // without objects, the filter has not been checked
			_, err = q.matches(sets[kind].sample)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	answer := object{"@odata.context": context(kind)}
	if q.count {
		answer["@odata.count"] = len(found)
	}
	if q.top > 0 && len(found) > q.top {
		return nil, notImplemented("pages of more than $top objects")
	}
	for i, o := range found {
		if found[i], err = q.shown(o); err != nil {
			return nil, err
		}
	}
	answer["value"] = found
	return answer, nil
}

// one returns the entity with a key.
func (s *Service) one(kind string, key filterTerm, q query) (object, error) {
	if len(q.any) > 0 || q.top > 0 || q.count {
		return nil, notImplemented("a filter, $top or $count of one object")
	}
	if err := key.honest(); err != nil {
		return nil, err
	}
	var found object
	err := s.store.View(func(tx *store.Tx) error {
		all, err := sets[kind].list(tx, s.tenant)
		for _, o := range all {
			if value, _ := o[key.property].(string); strings.EqualFold(value, key.value) {
				found = o
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, notFound(key.value)
	}
	shown, err := q.shown(found)
	if err == nil {
		shown["@odata.context"] = context(kind + "/$entity")
	}
	return shown, err
}
