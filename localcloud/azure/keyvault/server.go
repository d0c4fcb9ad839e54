package keyvault

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
)

// audience is the audience of tokens for the data plane.
const audience = "https://vault.azure.net"

// apiVersions matches the API versions of the data plane: 7.0 to 7.6, and dated ones.
var apiVersions = regexp.MustCompile(`^(7\.[0-6]|202[5-9]-\d\d-\d\d)(-preview(\.\d)?)?$`)

// Server serves the data plane of all vaults.
type Server struct {
	store    *store.Store
	tokens   *entra.Service
	tenantID string
	network  Network
	mux      *http.ServeMux
}

// NewServer returns the data plane.
func NewServer(st *store.Store, tokens *entra.Service, network Network, tenantID string) *Server {
	s := &Server{store: st, tokens: tokens, network: network, tenantID: tenantID, mux: http.NewServeMux()}
	for _, r := range routes {
		s.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r) })
		if object, operation, ok := strings.Cut(r.pattern, "/{version}/"); ok {
			s.mux.HandleFunc(object+"/"+operation, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r) })
		}
		if object, ok := strings.CutSuffix(r.pattern, "/{version}"); ok {
			// Clients write a missing version as an empty one.
			s.mux.HandleFunc(object+"/{$}", func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, r) })
		}
	}
	return s
}

// route is an operation: the permission that it requires, and its handler.
type route struct {
	pattern string
	kind    Kind
	// permission is the required permission of an access policy. action is the required action of a role, after
	// Microsoft.KeyVault/vaults/.
	permission, action string
	do                 func(*call) (any, error)
}

// reply is a response with a status other than 200.
type reply struct {
	status   int
	location string
	body     bundle
}

// call is an authorized request.
type call struct {
	tx            *store.Tx
	vault         Vault
	kind          Kind
	name, version string
	request       *http.Request
	body          []byte
}

var routes = []route{
	{"GET /secrets", Secret, "list", "secrets/readMetadata/action", (*call).listObjects},
	{"GET /secrets/{name}/versions", Secret, "list", "secrets/readMetadata/action", (*call).listVersions},
	{"GET /secrets/{name}", Secret, "get", "secrets/getSecret/action", (*call).getSecret},
	{"GET /secrets/{name}/{version}", Secret, "get", "secrets/getSecret/action", (*call).getSecret},
	{"PUT /secrets/{name}", Secret, "set", "secrets/setSecret/action", (*call).setSecret},
	{"PATCH /secrets/{name}/{version}", Secret, "set", "secrets/update/action", (*call).update},
	{"POST /secrets/{name}/backup", Secret, "backup", "secrets/backup/action", (*call).backup},
	{"POST /secrets/restore", Secret, "restore", "secrets/restore/action", (*call).restore},
	{"DELETE /secrets/{name}", Secret, "delete", "secrets/delete", (*call).delete},
	{"GET /deletedsecrets", Secret, "list", "secrets/readMetadata/action", (*call).listDeleted},
	{"GET /deletedsecrets/{name}", Secret, "get", "secrets/readMetadata/action", (*call).getDeleted},
	{"POST /deletedsecrets/{name}/recover", Secret, "recover", "secrets/recover/action", (*call).recover},
	{"DELETE /deletedsecrets/{name}", Secret, "purge", "secrets/purge/action", (*call).purge},

	{"GET /keys", Key, "list", "keys/read", (*call).listObjects},
	{"GET /keys/{name}/versions", Key, "list", "keys/read", (*call).listVersions},
	{"GET /keys/{name}", Key, "get", "keys/read", (*call).getKey},
	{"GET /keys/{name}/{version}", Key, "get", "keys/read", (*call).getKey},
	{"POST /keys/{name}/create", Key, "create", "keys/create/action", (*call).createKey},
	{"POST /keys/{name}/rotate", Key, "rotate", "keys/rotate/action", (*call).rotateKey},
	{"GET /keys/{name}/rotationpolicy", Key, "getrotationpolicy", "keyrotationpolicies/read", (*call).getRotationPolicy},
	{"PUT /keys/{name}/rotationpolicy", Key, "setrotationpolicy", "keyrotationpolicies/write", (*call).setRotationPolicy},
	{"PUT /keys/{name}", Key, "import", "keys/import/action", (*call).importKey},
	{"PATCH /keys/{name}/{version}", Key, "update", "keys/update/action", (*call).update},
	{"POST /keys/{name}/backup", Key, "backup", "keys/backup/action", (*call).backup},
	{"POST /keys/restore", Key, "restore", "keys/restore/action", (*call).restore},
	{"DELETE /keys/{name}", Key, "delete", "keys/delete", (*call).delete},
	{"POST /keys/{name}/{version}/encrypt", Key, "encrypt", "keys/encrypt/action", (*call).encrypt},
	{"POST /keys/{name}/{version}/decrypt", Key, "decrypt", "keys/decrypt/action", (*call).decrypt},
	{"POST /keys/{name}/{version}/sign", Key, "sign", "keys/sign/action", (*call).sign},
	{"POST /keys/{name}/{version}/verify", Key, "verify", "keys/verify/action", (*call).verify},
	{"POST /keys/{name}/{version}/wrapkey", Key, "wrapKey", "keys/wrap/action", (*call).wrap},
	{"POST /keys/{name}/{version}/unwrapkey", Key, "unwrapKey", "keys/unwrap/action", (*call).unwrap},
	{"GET /deletedkeys", Key, "list", "keys/read", (*call).listDeleted},
	{"GET /deletedkeys/{name}", Key, "get", "keys/read", (*call).getDeleted},
	{"POST /deletedkeys/{name}/recover", Key, "recover", "keys/recover/action", (*call).recover},
	{"DELETE /deletedkeys/{name}", Key, "purge", "keys/purge/action", (*call).purge},

	{"GET /certificates", Certificate, "list", "certificates/read", (*call).listCertificates},
	{"GET /certificates/{name}/versions", Certificate, "list", "certificates/read", (*call).listCertificateVersions},
	{"GET /certificates/{name}", Certificate, "get", "certificates/read", (*call).getCertificate},
	{"GET /certificates/{name}/{version}", Certificate, "get", "certificates/read", (*call).getCertificate},
	{"POST /certificates/{name}/create", Certificate, "create", "certificates/create/action", (*call).createCertificate},
	{"POST /certificates/{name}/import", Certificate, "import", "certificates/import/action", (*call).importCertificate},
	{
		"PATCH /certificates/{name}/{version}",
		Certificate,
		"update",
		"certificates/update/action",
		(*call).updateCertificate,
	},
	{"GET /certificates/{name}/policy", Certificate, "get", "certificates/read", (*call).getPolicy},
	{"PATCH /certificates/{name}/policy", Certificate, "update", "certificates/update/action", (*call).updatePolicy},
	{"GET /certificates/{name}/pending", Certificate, "get", "certificates/read", (*call).getPending},
	{"PATCH /certificates/{name}/pending", Certificate, "update", "certificates/update/action", (*call).cancelPending},
	{"DELETE /certificates/{name}/pending", Certificate, "update", "certificates/update/action", (*call).deletePending},
	{
		"POST /certificates/{name}/pending/merge",
		Certificate,
		"create",
		"certificates/create/action",
		(*call).mergeCertificate,
	},
	{"POST /certificates/{name}/backup", Certificate, "backup", "certificates/backup/action", (*call).backup},
	{"POST /certificates/restore", Certificate, "restore", "certificates/restore/action", (*call).restore},
	{"DELETE /certificates/{name}", Certificate, "delete", "certificates/delete", (*call).delete},
	{"GET /deletedcertificates", Certificate, "list", "certificates/read", (*call).listDeleted},
	{"GET /deletedcertificates/{name}", Certificate, "get", "certificates/read", (*call).getDeleted},
	{"POST /deletedcertificates/{name}/recover", Certificate, "recover", "certificates/recover/action", (*call).recover},
	{"DELETE /deletedcertificates/{name}", Certificate, "purge", "certificates/purge/action", (*call).purge},
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = cleaned(r)
	if _, pattern := s.mux.Handler(r); pattern != "" && !unserved.MatchString(r.URL.Path) {
		s.mux.ServeHTTP(w, r)
		return
	}
	// The caller is told who he has to be before he is told that there is nothing.
	if _, err := s.authenticate(w, r); err != nil {
		activity.From(r.Context()).Unauthenticated(r)
		writeError(w, err)
		return
	}
	writeError(w, notImplemented(r.Method+" "+r.URL.Path+" of Key Vault"))
}

// unserved matches paths that look like those of certificates, but belong to other operations.
var unserved = regexp.MustCompile(`^/certificates/(contacts|issuers)(/|$)`)

// cleaned cleans the path of a request, because the mux would otherwise redirect before the token is checked. Clients
// write an empty version as two slashes.
func cleaned(r *http.Request) *http.Request {
	given := r.URL.EscapedPath()
	clean := path.Clean("/" + given)
	if strings.HasSuffix(given, "/") && clean != "/" {
		clean += "/"
	}
	plain, err := url.PathUnescape(clean)
	if clean == given || err != nil {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = plain, clean
	return r
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, route route) {
	principal, err := s.authenticate(w, r)
	if err != nil {
		activity.From(r.Context()).Unauthenticated(r)
		writeError(w, err)
		return
	}
	activity.From(r.Context()).CalledBy(principal.Caller)
	if version := r.URL.Query().Get("api-version"); !apiVersions.MatchString(version) {
		writeError(
			w,
			badParameter("The specified version (%s) is not recognized. Consider using the latest supported version "+
				"(7.6).", version),
		)
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	run := s.store.Update
	if r.Method == http.MethodGet {
		run = s.store.View
	}
	var answer any
	err = run(func(tx *store.Tx) (err error) {
		c := &call{
			tx: tx, kind: route.kind, name: r.PathValue("name"), version: r.PathValue("version"), request: r, body: body,
		}
		if c.vault, err = s.vault(tx, r.Host); err != nil {
			return err
		}
		if err := s.checkNetwork(tx, c.vault, edge.Origin(r.Context())); err != nil {
			c.decided(c.refusal(route, "a way to the vault that its network rules allow"))
			return err
		}
		if err := c.authorize(principal, route); err != nil {
			return err
		}
		answer, err = route.do(c)
		return err
	})
	if err != nil {
		writeError(w, err)
		return
	}
	switch answer := answer.(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
	case reply:
		w.Header().Set("Location", answer.location)
		if answer.status == http.StatusAccepted {
			w.Header().Set("Retry-After", "0")
		}
		writeJSON(w, answer.status, answer.body)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// authenticate verifies the bearer token. Without a valid token, it sends the challenge that tells clients where to get
// one.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (entra.Principal, error) {
	refuse := func(format string, args ...any) (entra.Principal, error) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://%s/%s", resource="%s"`,
			entra.Host, s.tenantID, audience))
		return entra.Principal{}, &Error{
			Status:  http.StatusUnauthorized,
			Code:    "Unauthorized",
			Message: fmt.Sprintf(format, args...),
		}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return refuse("AKV10000: Request is missing a Bearer or PoP token.")
	}
	principal, err := s.tokens.Verify(token, audience)
	var fault *entra.TokenError
	switch {
	case err == nil:
		return principal, nil
	case errors.As(err, &fault) && fault.Fault == entra.WrongAudience:
		return refuse("AKV10022: Invalid audience. Expected %s, found: %s.", audience, fault.Audience)
	case errors.As(err, &fault) && fault.Fault == entra.Expired:
		return refuse("AKV10142: Error validating token: the token is expired.")
	}
	return refuse("AKV10142: Error validating token: the token is not one of this tenant.")
}

// vault returns the vault with a host name.
func (s *Server) vault(tx *store.Tx, host string) (Vault, error) {
	name, _, _ := strings.Cut(host, ".")
	v, ok, err := GetVault(tx, name)
	switch {
	case err != nil:
		return v, err
	case !ok || v.Deleted != nil:
		return v, &Error{Status: http.StatusNotFound, Code: "VaultNotFound",
			Message: fmt.Sprintf("There is no vault %s: on Azure, the name %s would not resolve.", name, host)}
	case !v.RBAC && v.Policies == nil:
		return v, notImplemented("access policies that an earlier version has written: write the vault again")
	}
	return v, nil
}

// authorize requires a role with the action on the object, the vault or above, or an access policy of the vault.
func (c *call) authorize(p entra.Principal, r route) error {
	if !c.vault.RBAC {
		return c.checkPolicies(p, r)
	}
	scope, action := c.scope(), r.fullAction()
	decision, err := authorization.Decide(c.tx, p.ObjectID, scope, authorization.Data, authorization.About{Action: action})
	if err == nil && !decision.Allowed {
		err = decision.OfGroups(c.tx, p.Groups, authorization.Data)
	}
	if err != nil {
		return err
	}
	c.decided(decision)
	if decision.Allowed {
		return nil
	}
	return &Error{
		Status: http.StatusForbidden,
		Code:   "Forbidden",
		Inner:  "ForbiddenByRbac",
		Message: fmt.Sprintf(
			"Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or "+
				"role definitions were changed recently, please observe propagation time.\r\nCaller: appid=%s;oid=%s;iss=%s\r\n"+
				"Action: '%s'\r\nResource: '%s'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\n"+
				"DecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: %s;location=%s\r\n",
			p.ClientID,
			p.ObjectID,
			p.Issuer,
			action,
			strings.ToLower(scope),
			c.vault.Name,
			c.vault.Location,
		),
	}
}

// scope is the ARM id of the object, or of the vault where the request names none.
func (c *call) scope() string {
	if c.name == "" {
		return c.vault.ID
	}
	return c.vault.ID + "/" + c.kind.plural() + "/" + c.name
}

func (r route) fullAction() string { return "Microsoft.KeyVault/vaults/" + r.action }

// decided puts a decision on the record of requests.
func (c *call) decided(d authorization.Decision) { activity.From(c.request.Context()).Decided(d) }

// refusal is the decision where something else than a role is missing.
func (c *call) refusal(r route, missing string) authorization.Decision {
	return authorization.Decision{
		Action: r.fullAction(), Scope: c.scope(), Plane: authorization.Data.Name(), Missing: missing,
	}
}

func writeError(w http.ResponseWriter, err error) {
	var refused *Error
	if !errors.As(err, &refused) {
		refused = &Error{Status: http.StatusInternalServerError, Code: "InternalServerError", Message: err.Error()}
	}
	writeJSON(w, refused.Status, refused.body())
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}
