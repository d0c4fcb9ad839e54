package storage

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/activity"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/entra"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

// audience is the audience of tokens for the data plane.
const audience = "https://storage.azure.com"

// Error is an error response of Azure Storage.
type Error struct {
	XMLName xml.Name `xml:"Error"`
	Status  int      `xml:"-"`
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Server serves the data plane of all queues: clients peek, get and delete messages
// (learn.microsoft.com/rest/api/storageservices/operations-on-messages).
type Server struct {
	store    *store.Store
	tokens   *entra.Service
	tenantID string
}

// NewServer returns a new Server.
func NewServer(st *store.Store, tokens *entra.Service, tenantID string) *Server {
	return &Server{st, tokens, tenantID}
}

// datedVersion matches x-ms-version.
var datedVersion = regexp.MustCompile(`^20\d\d-\d\d-\d\d$`)

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-ms-request-id", uuid.NewString())
	w.Header().Set("x-ms-version", r.Header.Get("x-ms-version"))
	status, answer, err := s.serve(w, r)
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		refused = refuse(http.StatusInternalServerError, "InternalError", "%v", err)
	}
	if refused != nil {
		status, answer = refused.Status, refused
		w.Header().Set("x-ms-error-code", refused.Code)
	}
	if answer == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(answer) // fails only if the client is gone
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) (int, any, error) {
	principal, err := s.authenticate(w, r)
	if err != nil {
		activity.From(r.Context()).Unauthenticated(r)
		return 0, nil, err
	}
	activity.From(r.Context()).CalledBy(principal.Caller)
	if version := r.Header.Get("x-ms-version"); !datedVersion.MatchString(version) || version < "2017-11-09" {
		return 0, nil, refuse(http.StatusBadRequest, "InvalidHeaderValue",
			"The value for one of the HTTP headers is not in the correct format: x-ms-version.")
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	peek := r.URL.Query().Get("peekonly") == "true"
	c := &call{request: r, principal: principal}
	c.account, _, _ = strings.Cut(r.Host, ".")
	switch {
	case len(path) == 2 && path[1] == "messages" && r.Method == http.MethodGet && peek:
		c.queue, c.actions, c.do = path[0], []string{"read"}, (*call).peek
	case len(path) == 2 && path[1] == "messages" && r.Method == http.MethodGet:
		c.queue, c.actions, c.do = path[0], []string{"process/action"}, (*call).take
	case len(path) == 3 && path[1] == "messages" && r.Method == http.MethodDelete:
		c.queue, c.id, c.actions, c.do = path[0], path[2], []string{"process/action", "delete"}, (*call).delete
	default:
		return 0, nil, refuse(http.StatusNotImplemented, "NotImplemented",
			"not implemented here: %s %s of a queue", r.Method, r.URL.Path)
	}
	status := 0
	var answer any
	err = s.store.Update(func(tx *store.Tx) error {
		c.tx = tx
		if err := c.check(); err != nil {
			return err
		}
		status, answer, err = c.do(c)
		return err
	})
	return status, answer, err
}

// authenticate verifies the bearer token. Otherwise, it adds the challenge that tells clients where to get one.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (entra.Principal, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.HasPrefix(scheme, "SharedKey") || r.URL.Query().Get("sig") != "":
		return entra.Principal{}, refuse(http.StatusNotImplemented, "NotImplemented",
			"not implemented here: account keys and shared access signatures")
	case strings.EqualFold(scheme, "Bearer"):
		if principal, err := s.tokens.Verify(token, audience); err == nil {
			return principal, nil
		}
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(
		"Bearer authorization_uri=https://%s/%s/oauth2/authorize resource_id=%s", entra.Host, s.tenantID, audience))
	return entra.Principal{}, refuse(http.StatusUnauthorized, "InvalidAuthenticationInfo",
		"Server failed to authenticate the request. Please refer to the information in the www-authenticate header.")
}

// call is an authenticated request.
type call struct {
	tx                 *store.Tx
	request            *http.Request
	principal          entra.Principal
	account, queue, id string
	actions            []string // the caller needs one of them; without the prefix .../queues/messages/
	do                 func(*call) (int, any, error)
}

// check checks that the queue exists and that the caller has a role at it.
func (c *call) check() error {
	id, ok, err := Account(c.tx, c.account)
	if err != nil {
		return err
	}
	if !ok {
		return refuse(http.StatusNotFound, "ResourceNotFound",
			"There is no storage account %s. In Azure, its name would not resolve.", c.account)
	}
	var decision authorization.Decision // on the first action that is allowed, or the last
	scope := id + "/queueServices/default/queues/" + c.queue
	for _, action := range c.actions {
		about := authorization.About{Action: "Microsoft.Storage/storageAccounts/queueServices/queues/messages/" + action}
		decision, err = authorization.Decide(c.tx, c.principal.ObjectID, scope, authorization.Data, about)
		if err != nil {
			return err
		}
		if decision.Allowed {
			break
		}
	}
	if !decision.Allowed {
		err = decision.OfGroups(c.tx, c.principal.Groups, authorization.Data)
		if err != nil {
			return err
		}
	}
	activity.From(c.request.Context()).Decided(decision)
	if !decision.Allowed {
		return refuse(
			http.StatusForbidden,
			"AuthorizationPermissionMismatch",
			"This request is not authorized to perform this operation using this permission.",
		)
	}
	there, err := hasQueue(c.tx, c.account, c.queue)
	if err == nil && !there {
		err = refuse(http.StatusNotFound, "QueueNotFound", "The specified queue does not exist.")
	}
	return err
}

// shownMessage is a message in an answer.
type shownMessage struct {
	MessageID       string `xml:"MessageId"`
	InsertionTime   string
	ExpirationTime  string
	PopReceipt      string `xml:",omitempty"`
	TimeNextVisible string `xml:",omitempty"`
	DequeueCount    int64
	MessageText     string
}

type shownMessages struct {
	XMLName  xml.Name       `xml:"QueueMessagesList"`
	Messages []shownMessage `xml:"QueueMessage"`
}

// number returns a number in the query, or otherwise if the query does not have it.
func (c *call) number(name string, otherwise, least, most int) (int, error) {
	given := c.request.URL.Query().Get(name)
	if given == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < least || n > most {
		return 0, refuse(http.StatusBadRequest, "OutOfRangeQueryParameterValue",
			"The query parameter %s must be between %d and %d.", name, least, most)
	}
	return n, nil
}

// visible returns the first visible messages, as many as the query asks for. It deletes expired messages.
func (c *call) visible() ([]message, error) {
	most, err := c.number("numofmessages", 1, 1, 32)
	if err != nil {
		return nil, err
	}
	all, err := store.List[message](c.tx, messages, queueKey(c.account, c.queue)+"/")
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var found []message
	for _, m := range all {
		if now.After(m.Inserted.Add(life)) {
			if err := store.Delete(c.tx, messages, c.key(m.ID)); err != nil {
				return nil, err
			}
			continue
		}
		if len(found) < most && !m.Visible.After(now) {
			found = append(found, m)
		}
	}
	return found, nil
}

func (c *call) key(id string) string { return queueKey(c.account, c.queue) + "/" + id }

func (c *call) peek() (int, any, error) {
	found, err := c.visible()
	var list shownMessages
	for _, m := range found {
		list.Messages = append(list.Messages, show(m))
	}
	return http.StatusOK, list, err
}

func show(m message) shownMessage {
	return shownMessage{
		MessageID:      m.ID,
		InsertionTime:  m.Inserted.Format(http.TimeFormat),
		ExpirationTime: m.Inserted.Add(life).Format(http.TimeFormat),
		DequeueCount:   m.Taken,
		MessageText:    m.Text,
	}
}

// take returns messages and hides them for a time, in which the client must delete them.
func (c *call) take() (int, any, error) {
	hidden, err := c.number("visibilitytimeout", 30, 1, 7*24*3600)
	if err != nil {
		return 0, nil, err
	}
	found, err := c.visible()
	if err != nil {
		return 0, nil, err
	}
	var list shownMessages
	for _, m := range found {
		m.Taken++
		m.Receipt, m.Visible = uuid.NewString(), time.Now().UTC().Add(time.Duration(hidden)*time.Second)
		if err := store.Put(c.tx, messages, c.key(m.ID), m); err != nil {
			return 0, nil, err
		}
		shown := show(m)
		shown.PopReceipt, shown.TimeNextVisible = m.Receipt, m.Visible.Format(http.TimeFormat)
		list.Messages = append(list.Messages, shown)
	}
	return http.StatusOK, list, nil
}

func (c *call) delete() (int, any, error) {
	m, ok, err := store.Get[message](c.tx, messages, c.key(c.id))
	switch {
	case err != nil:
		return 0, nil, err
	case !ok:
		return 0, nil, refuse(http.StatusNotFound, "MessageNotFound", "The specified message does not exist.")
	case m.Receipt != c.request.URL.Query().Get("popreceipt"):
		return 0, nil, refuse(http.StatusBadRequest, "PopReceiptMismatch",
			"The specified pop receipt did not match the pop receipt for a dequeued message.")
	}
	return http.StatusNoContent, nil, store.Delete(c.tx, messages, c.key(c.id))
}
