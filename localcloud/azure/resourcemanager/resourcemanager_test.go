package resourcemanager_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/authorization"
	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager/armtest"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/store"
)

type m = arm.Object

const (
	boxes       = "Contoso.Storage/boxes"
	lids        = boxes + "/lids"
	version     = "?api-version=2020-01-01"
	contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	reader      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
)

// box is the model of a type that Azure does not have.
type box = arm.TrackedResource[struct {
	Size              int      `json:"size"`
	Within            string   `json:"within"`
	Notes             []string `json:"notes"`
	ProvisioningState string   `json:"provisioningState"`
}]

// boxProvider returns a provider of boxes and their lids. With finish, which does the work of an operation, boxes are
// created asynchronously.
func boxProvider(finish func(ctx context.Context) error) arm.Provider {
	put := func(kind string, tracked bool) func(c *arm.Call) (arm.Reply, error) {
		return func(c *arm.Call) (arm.Reply, error) {
			old, res, err := c.Begin(kind, tracked)
			if err != nil {
				return arm.Reply{}, err
			}
			if !tracked || finish == nil {
				arm.SetState(res, arm.Succeeded)
				return c.Written(old, res)
			}
			arm.SetState(res, arm.Creating)
			answer, err := c.Written(old, res)
			if err != nil {
				return arm.Reply{}, err
			}
			return c.Start(answer, res, arm.Creating)
		}
	}
	return arm.Provider{
		Elsewhere: []string{"Contoso.Storage/shelves"},
		Types: []arm.Type{
			{
				Name: boxes, Versions: []string{"2020-01-01", "2021-01-01"}, Public: true,
				Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored, Delete: (*arm.Call).DeleteStored,
				Put: put(boxes, true), PutModel: func() any { return new(box) },
				Patch: (*arm.Call).PatchTags, PatchModel: func() any { return new(arm.TrackedResource[struct{}]) },
				Uses: func(res arm.Object) []string {
					return []string{arm.Text(arm.Child(res, "properties"), "within")}
				},
				Actions: []arm.Action{{Name: "open", Do: answerNothing}},
				Finish: func(ctx context.Context, _ *arm.Service, _ arm.Operation) error {
					if finish == nil {
						return nil
					}
					return finish(ctx)
				},
			},
			{
				Name:     "Contoso.Storage",
				Versions: []string{"2020-01-01"},
				Place:    arm.InSubscription,
				Valid:    regexp.MustCompile("^x$"),
				Actions:  []arm.Action{{Name: "count", ReadOnly: true, Do: answerNothing}},
			},
			{
				Name: lids, Versions: []string{"2020-01-01"}, CreateOnly: true,
				Get: (*arm.Call).GetStored, List: (*arm.Call).ListStored, Put: put(lids, false), Delete: (*arm.Call).DeleteStored,
			},
		},
	}
}

func answerNothing(*arm.Call) (arm.Reply, error) { return arm.Reply{Body: m{}}, nil }

// boxAt returns the path of a box.
func boxAt(name string) string {
	return armtest.ID("resourceGroups/g/providers", boxes, name)
}

func TestService_ServesAnyProvider(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	rm.Group("g")
	rm.Put(boxAt("Red")+version, m{"location": "East US", "tags": m{"a": "b"}, "properties": m{"size": 3}})
	rm.Put(boxAt("Red")+"/lids/top"+version, m{"properties": m{}})
	red := rm.Get(strings.ToUpper(boxAt("red")) + version)
	if red["id"] != boxAt("Red") || red["location"] != "eastus" || red["type"] != boxes ||
		arm.Text(arm.Child(red, "properties"), "provisioningState") != "Succeeded" {
		t.Errorf("the box is %v", red)
	}
	if listed := rm.Get(armtest.ID("providers", boxes) + version)["value"].([]any); len(listed) != 1 {
		t.Errorf("the subscription's boxes: %v", listed)
	}
	namespace := armtest.ID("resourceGroups/g/providers/Contoso.Storage") + version
	elsewhere := strings.Replace(boxAt("Blue"), "/g/", "/none/", 1) + version
	tagged := func(tags m) m { return m{"location": "eastus", "tags": tags} }
	sized := func(properties m) m { return m{"location": "eastus", "properties": properties} }
	for _, test := range []struct {
		method, path string
		body         any
		status       int
		code         string
	}{
		{"GET", boxAt("Red"), nil, 400, "MissingApiVersionParameter"},
		{"GET", boxAt("Red") + "?api-version=2019-01-01", nil, 400, "NoRegisteredProviderFound"},
		{"GET", boxAt("Blue") + version, nil, 404, "ResourceNotFound"},
		{"PUT", boxAt("Blue") + "/lids/top" + version, m{}, 404, "ParentResourceNotFound"},
		{"PUT", elsewhere, m{"location": "eastus"}, 404, "ResourceGroupNotFound"},
		{"GET", "/subscriptions/none/providers/" + boxes + version, nil, 403, "AuthorizationFailed"},
		{"GET", boxAt("Red") + "/corners/one" + version, nil, 404, "InvalidResourceType"},
		{"GET", strings.Replace(boxAt("Red"), "boxes", "shelves", 1) + version, nil, 501, "NotImplemented"},
		{"GET", strings.Replace(boxAt("Red"), "Contoso", "Fabrikam", 1) + version, nil, 404, "InvalidResourceNamespace"},
		{"HEAD", boxAt("Red") + version, nil, 405, "HttpMethodNotSupported"},
		{"PUT", namespace, m{}, 405, "HttpMethodNotSupported"}, // a namespace is not a resource
		{"POST", boxAt("Red") + "/shut" + version, nil, 501, "NotImplemented"},
		{"PUT", boxAt("MyMicrosoftBox") + version, m{"location": "eastus"}, 400, "ReservedResourceName"},
		{"PUT", boxAt("Blue") + version, nil, 400, "MissingRequestBody"},
		{"PUT", boxAt("Blue") + version, m{}, 400, "LocationRequired"},
		{"PUT", boxAt("Blue") + version, m{"location": "atlantis"}, 400, "LocationNotAvailableForResourceType"},
		{"PUT", boxAt("Red") + version, m{"location": "westus"}, 409, "InvalidResourceLocation"},
		{"PUT", boxAt("Blue") + version, sized(m{"size": "3"}), 400, "InvalidRequestContent"},
		{"PUT", boxAt("Blue") + version, sized(m{"height": 3}), 400, "InvalidRequestContent"},
		{"PUT", boxAt("Blue") + version, tagged(m{"a": "1", "A": "2"}), 400, "DuplicateTagName"},
		{"PUT", boxAt("Blue") + version, tagged(m{"azure-x": ""}), 400, "ReservedTagName"},
		{"PUT", boxAt("Blue") + version, tagged(m{"a": strings.Repeat("x", 257)}), 400, "InvalidTagValueLength"},
		{"PUT", boxAt("Blue") + version, tagged(m{strings.Repeat("x", 513): ""}), 400, "InvalidTagNameLength"},
		{"PATCH", boxAt("Red") + version, m{"location": "westus"}, 501, "NotImplemented"},
	} {
		rm.Refused(test.method, test.path, test.body, test.status, test.code)
	}
	if status, answer := rm.Ask(http.MethodPost, boxAt("Red")+"/open"+version, nil); status != http.StatusOK {
		t.Errorf("POST open: %d %v", status, answer)
	}
	if status, _ := rm.Ask(http.MethodDelete, boxAt("Red")+version, nil); status != http.StatusOK {
		t.Errorf("DELETE: %d", status)
	}
	if status, _ := rm.Ask(http.MethodDelete, boxAt("Red")+version, nil); status != http.StatusNoContent {
		t.Errorf("DELETE again: %d", status)
	}
	rm.Refused(http.MethodGet, boxAt("Red")+"/lids/top"+version, nil, http.StatusNotFound, "ParentResourceNotFound")
}

func TestParse_ReadsPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]arm.Target{
		"": {Path: "/", Kind: "Microsoft.Resources/", Collection: true},
		"/subscriptions/s": {
			Path: "/subscriptions/s", Subscription: "s", Scope: "/subscriptions/s",
			Kind: "Microsoft.Resources/subscriptions", Names: []string{"s"},
		},
		"//Subscriptions/s//resourcegroups/g/": {
			Path: "/Subscriptions/s/resourcegroups/g", Subscription: "s", Group: "g", Scope: "/subscriptions/s",
			Kind: "Microsoft.Resources/Subscriptions/resourcegroups", Names: []string{"s", "g"},
		},
		"/subscriptions/s/resourceGroups/g/providers/A.B/c/d/providers/E.F/h": {
			Path: "/subscriptions/s/resourceGroups/g/providers/A.B/c/d/providers/E.F/h", Subscription: "s", Group: "g",
			Scope: "/subscriptions/s/resourceGroups/g/providers/A.B/c/d", Kind: "E.F/h", Collection: true,
		},
		"/providers/A.B": {Path: "/providers/A.B", Scope: "/", Kind: "Microsoft.Resources/providers", Names: []string{"A.B"}},
		"/subscriptions/s/resourceGroups/g/providers": {
			Path: "/subscriptions/s/resourceGroups/g/providers", Subscription: "s", Group: "g", Scope: "/subscriptions/s",
			Kind: "Microsoft.Resources/subscriptions/resourceGroups/providers", Names: []string{"s", "g"}, Collection: true,
		},
	} {
		if got := arm.Parse(http.MethodGet, path); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%q is\n%+v, want\n%+v", path, got, want)
		}
	}
}

func TestRole_CountsAtItsScopeAndBelow(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	group := rm.Group("g")
	rm.Group("other")
	rm.Put(boxAt("one")+version, m{"location": "eastus"})
	reads, writes, nobody := rm.Principal(reader, group), rm.Principal(contributor, boxAt("one")), rm.Principal("", "")
	if status, _ := rm.AskAs(reads, http.MethodGet, boxAt("one")+version, nil); status != http.StatusOK {
		t.Errorf("the group's reader reads: %d", status)
	}
	status, _ := rm.AskAs(writes, http.MethodPut, boxAt("one")+version, m{"location": "eastus"})
	if status != http.StatusOK {
		t.Errorf("the box's contributor writes: %d", status)
	}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		rm.RefusedTo(reads, method, boxAt("one")+version, m{"location": "eastus"}, http.StatusForbidden,
			"AuthorizationFailed")
	}
	rm.RefusedTo(reads, http.MethodPost, boxAt("one")+"/open"+version, nil, http.StatusForbidden, "AuthorizationFailed")
	rm.RefusedTo(writes, http.MethodPut, boxAt("two")+version, m{"location": "eastus"}, http.StatusForbidden,
		"AuthorizationFailed")
	rm.RefusedTo(writes, http.MethodGet, armtest.ID("resourceGroups/g/providers", boxes)+version, nil,
		http.StatusForbidden, "AuthorizationFailed")
	rm.RefusedTo(nobody, http.MethodGet, boxAt("one")+version, nil, http.StatusForbidden, "AuthorizationFailed")
	rm.RefusedTo(nil, http.MethodGet, boxAt("one")+version, nil, http.StatusUnauthorized, "AuthenticationFailed")
}

func TestRole_CountsOnceEffective(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	group := rm.Group("g")
	late := rm.Principal("", "")
	assign := func(effective time.Time) {
		if err := rm.Store.Update(func(tx *store.Tx) error {
			return authorization.Put(tx, authorization.Assignment{
				ID: group + "/providers/Microsoft.Authorization/roleAssignments/late", Name: "late", Scope: group, RoleID: reader,
				PrincipalID: late.ObjectID, EffectiveOn: effective,
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	assign(time.Now().Add(time.Hour))
	rm.RefusedTo(late, http.MethodGet, group+"?api-version=2022-09-01", nil, http.StatusForbidden, "AuthorizationFailed")
	assign(time.Now().Add(-time.Nanosecond))
	if status, _ := rm.AskAs(late, http.MethodGet, group+"?api-version=2022-09-01", nil); status != http.StatusOK {
		t.Errorf("the role does not count: %d", status)
	}
}

func TestLock_PreventsWhatItsLevelSays(t *testing.T) {
	t.Parallel()
	const lock = "/providers/Microsoft.Authorization/locks/l?api-version=2020-05-01"
	for _, at := range []string{"subscription", "group", "box"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			rm := armtest.New(t, boxProvider(nil))
			group := rm.Group("g")
			rm.Put(boxAt("one")+version, m{"location": "eastus"})
			rm.Put(boxAt("one")+"/lids/top"+version, m{"properties": m{}})
			scope := map[string]string{
				"subscription": "/subscriptions/" + armtest.SubscriptionID,
				"group":        group,
				"box":          boxAt("one"),
			}[at]
			top := boxAt("one") + "/lids/top"
			role := top + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555" +
				"?api-version=2022-04-01"
			grant := m{"properties": m{
				"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/" + reader,
				"principalId":      rm.Principal("", "").ObjectID,
			}}

			rm.Put(scope+lock, m{"properties": m{"level": "CanNotDelete"}})
			for _, path := range []string{boxAt("one") + version, top + version, group + "?api-version=2022-09-01"} {
				rm.Refused(http.MethodDelete, path, nil, http.StatusConflict, "ScopeLocked")
			}
			rm.Put(boxAt("one")+version, m{"location": "eastus", "tags": m{"a": "b"}})
			rm.Put(role, grant)
			rm.Refused(http.MethodDelete, role, nil, http.StatusConflict, "ScopeLocked")

			rm.Put(scope+lock, m{"properties": m{"level": "ReadOnly"}})
			for _, write := range []struct {
				method, path string
				body         any
			}{
				{"PUT", boxAt("one") + version, m{"location": "eastus"}},
				{"PATCH", boxAt("one") + version, m{"tags": m{}}},
				{"DELETE", boxAt("one") + version, nil},
				{"POST", boxAt("one") + "/open" + version, nil},
				{"PUT", top + version, m{"properties": m{}}},
				{"PUT", boxAt("one") + "/lids/new" + version, m{"properties": m{}}},
				{"DELETE", top + version, nil},
				{"PUT", role, grant},
				{"DELETE", role, nil},
				{"DELETE", group + "?api-version=2022-09-01", nil},
			} {
				rm.Refused(write.method, write.path, write.body, http.StatusConflict, "ScopeLocked")
			}
			rm.Get(boxAt("one") + version)
			if status, answer := rm.Ask(http.MethodDelete, scope+lock, nil); status != http.StatusOK {
				t.Errorf("DELETE of the lock: %d %v", status, answer)
			}
			rm.Put(boxAt("one")+version, m{"location": "eastus"})
		})
	}
}

func TestOperation_ResumesAfterARestart(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	starts, hold := 0, true
	rm := armtest.New(t, boxProvider(func(ctx context.Context) error {
		mu.Lock()
		starts++
		waits := hold
		mu.Unlock()
		if waits {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}))
	rm.Group("g")
	status, answer := rm.Ask(http.MethodPut, boxAt("one")+version, m{"location": "eastus"})
	if status != http.StatusCreated {
		t.Fatalf("PUT: %d %v", status, answer)
	}
	state := func() string { return arm.ProvisioningState(rm.Get(boxAt("one") + version)) }
	if state() != arm.Creating {
		t.Errorf("the state before the restart is %s", state())
	}
	mu.Lock()
	hold = false
	mu.Unlock()
	rm.Restart()
	rm.Settle()
	if state() != arm.Succeeded {
		t.Errorf("the state after the restart is %s", state())
	}
}

func TestOperation_FailureSetsTheState(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(func(context.Context) error { return errors.New("no room") }))
	rm.Group("g")
	rm.Put(boxAt("one")+version, m{"location": "eastus"})
	if state := arm.ProvisioningState(rm.Get(boxAt("one") + version)); state != arm.Failed {
		t.Errorf("the state is %s, want Failed", state)
	}
}

// TestOperation_KeepsTheStateOfADeletion ends a creation while the deletion of the same resource is under way.
func TestOperation_KeepsTheStateOfADeletion(t *testing.T) {
	t.Parallel()
	created, deleted := make(chan struct{}), make(chan struct{})
	until := func(ctx context.Context, done <-chan struct{}) error {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	provider := boxProvider(func(ctx context.Context) error { return until(ctx, created) })
	provider.Types[0].Delete = func(c *arm.Call) (arm.Reply, error) {
		res, _, err := arm.Load(c.Tx, c.Path)
		if err != nil {
			return arm.Reply{}, err
		}
		arm.SetState(res, arm.Deleting)
		if err := arm.Save(c.Tx, res); err != nil {
			return arm.Reply{}, err
		}
		return c.Start(arm.Reply{Status: http.StatusAccepted}, res, arm.Deleting)
	}
	provider.Types[0].Remove = func(ctx context.Context, s *arm.Service, op arm.Operation) error {
		if err := until(ctx, deleted); err != nil {
			return err
		}
		return s.RemoveStored(ctx, op)
	}
	ended := make(chan struct{})
	provider.Types[0].Ended = func(*store.Tx, arm.Object) error { close(ended); return nil }
	rm := armtest.New(t, provider)
	rm.Group("g")
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		status, answer := rm.Ask(method, boxAt("one")+version, m{"location": "eastus"})
		if status >= http.StatusBadRequest {
			t.Fatalf("%s: %d %v", method, status, answer)
		}
	}
	close(created)
	<-ended
	if state := arm.ProvisioningState(rm.Get(boxAt("one") + version)); state != arm.Deleting {
		t.Errorf("the state during the deletion is %s", state)
	}
	close(deleted)
	rm.Settle()
	rm.Refused(http.MethodGet, boxAt("one")+version, nil, http.StatusNotFound, "ResourceNotFound")
}

// send sends a request as the owner, with a path and a body that Manager.Ask cannot send.
func send(rm *armtest.Manager, method, path, body string, headers ...string) (status int, code, answer string) {
	req := httptest.NewRequest(method, "https://"+arm.Host+"/", strings.NewReader(body))
	at, query, _ := strings.Cut(path, "?")
	parsed, err := req.URL.Parse("https://" + arm.Host + "/")
	if err == nil {
		parsed.RawPath, parsed.RawQuery = at, query
		if parsed.Path, err = unescape(at); err != nil {
			return 0, "", ""
		}
	}
	req.URL = parsed
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	got := rm.Send(rm.Owner(), req)
	return got.Code, codeOf(got), got.Body.String()
}

func TestBody_MustBeJSONInUTF8(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	rm.Group("g")
	const good = `{"location":"eastus","properties":{"notes":[]}}`
	const kind, invalid = "application/json", "InvalidRequestContent"
	lists := func(n int) string { return `{"location":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}" }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	sized := func(n int) string { return good + strings.Repeat(" ", n-len(good)) }
	for name, test := range map[string]struct {
		body, contentType string
		status            int
		code              string
	}{
		"good":               {good, kind + "; charset=UTF-8", 201, ""},
		"text":               {good, "text/plain", 415, "UnsupportedMediaType"},
		"no media type":      {good, "", 415, "UnsupportedMediaType"},
		"invalid media type": {good, ";;", 415, "UnsupportedMediaType"},
		"UTF-16":             {good, kind + "; charset=utf-16", 501, "NotImplemented"},
		"bytes after it":     {good + "x", kind, 400, invalid},
		"object after it":    {good + good, kind, 400, invalid},
		"invalid UTF-8":      {strings.Replace(good, "[]", "[\"\xff\"]", 1), kind, 400, invalid},
		"null":               {"null", kind, 400, invalid},
		"list":               {"[]", kind, 400, invalid},
		"property twice":     {`{"location":"eastus","properties":{"size":1,"size":2}}`, kind, 501, "NotImplemented"},
		"property in two cases": {
			`{"location":"eastus","properties":{},"Properties":{"size":2}}`, kind, 501, "NotImplemented",
		},
		"property in another case": {`{"Location":"eastus"}`, kind, 501, "NotImplemented"},
		"100,000 nested lists":     {lists(100_000), kind, 400, invalid},
		"100,000 nested objects":   {objects(100_000), kind, 400, invalid},
		"9,000 nested lists":       {lists(9_000), kind, 400, invalid},
		"4 MB":                     {sized(4 << 20), kind, 201, ""},
		"more than 4 MB":           {sized(4<<20 + 1), kind, 413, "RequestContentTooLarge"},
	} {
		at := boxAt("b-" + strings.NewReplacer(" ", "", ",", "").Replace(name))
		status, code, answer := send(rm, http.MethodPut, at+version, test.body, "Content-Type", test.contentType)
		if status != test.status || code != test.code {
			t.Errorf("%s: %d %.300s, want %d %s", name, status, answer, test.status, test.code)
		}
	}
}

func TestBody_NullIsRefused(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	rm.Group("g")
	rm.Put(boxAt("one")+version, m{"location": "eastus", "tags": m{"a": "b"}})
	for _, body := range []string{"null", " null\n", "[null]", `"null"`} {
		for _, method := range []string{http.MethodPut, http.MethodPatch} {
			status, code, answer := send(rm, method, boxAt("one")+version, body)
			if status != http.StatusBadRequest || code != "InvalidRequestContent" {
				t.Errorf("%s %q: %d %s", method, body, status, answer)
			}
		}
	}
	if tags := arm.Child(rm.Get(boxAt("one")+version), "tags"); tags["a"] != "b" {
		t.Errorf("the tags are %v", tags)
	}
}

func TestPath_MustNameOneResource(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	rm.Group("g")
	rm.Put(boxAt("one")+version, m{"location": "eastus"})
	for _, path := range []string{
		"/x/.." + boxAt("one"), boxAt("one") + "/.", boxAt("one") + "/%2e%2E/two", boxAt(".."), boxAt("one%2F.."),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			status, code, answer := send(rm, method, path+version, `{"location":"eastus"}`)
			if status != http.StatusNotImplemented || code != "NotImplemented" {
				t.Errorf("%s %s: %d %s", method, path, status, answer)
			}
		}
		answer := rm.Send(nil, httptest.NewRequest(http.MethodGet, "https://"+arm.Host+path+version, nil))
		if answer.Code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, answer.Code)
		}
	}
	for _, path := range []string{boxAt("a%00b"), boxAt("a%ffb"), boxAt("a%0ab"), boxAt("a%E2%84%AAb")} {
		status, code, answer := send(rm, http.MethodPut, path+version, `{"location":"eastus"}`)
		if code != "InvalidRequestUri" {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	for _, path := range []string{
		strings.ReplaceAll(boxAt("one"), "/", "//") + "/",
		strings.ReplaceAll(boxAt("one"), "/", "%2F"),
	} {
		if status, _, answer := send(rm, http.MethodGet, path+version, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

func TestPrecondition_IsHonouredOrRefused(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	rm.Group("g")
	for _, test := range []struct {
		method, at, header, value string
		status                    int
		code                      string
	}{
		{"PUT", boxAt("one"), "If-Match", "*", 501, "NotImplemented"},
		{"PUT", boxAt("one"), "If-None-Match", "*", 501, "NotImplemented"},
		{"DELETE", boxAt("one"), "If-Match", `"x"`, 501, "NotImplemented"},
		{"PUT", boxAt("one"), "X-Other", "*", 201, ""},
		{"GET", boxAt("one"), "If-None-Match", `"x"`, 200, ""},
		{"PATCH", boxAt("one"), "If-Match", `"x"`, 501, "NotImplemented"},
		{"PUT", boxAt("one/lids/top"), "If-None-Match", "*", 201, ""},
		{"PUT", boxAt("one/lids/top"), "If-None-Match", "*", 412, "PreconditionFailed"},
		{"PUT", boxAt("one/lids/top"), "If-None-Match", "x", 200, ""},
		{"PUT", boxAt("one/lids/top"), "If-Match", "*", 501, "NotImplemented"},
	} {
		status, code, answer := send(rm, test.method, test.at+version, `{"location":"eastus"}`, test.header, test.value)
		if status != test.status || code != test.code {
			t.Errorf("%s %s with %s %s: %d %s, want %d %s",
				test.method, test.at, test.header, test.value, status, answer, test.status, test.code)
		}
	}
}

func TestWrites_AreAtomic(t *testing.T) {
	t.Parallel()
	rm := armtest.New(t, boxProvider(nil))
	rm.Group("g")
	rm.Put(boxAt("one")+version, m{"location": "eastus"})
	var writing sync.WaitGroup
	for i := range 20 {
		writing.Go(func() {
			rm.Put(boxAt(fmt.Sprintf("box%d", i))+version, m{"location": "eastus"})
			rm.Put(boxAt("one/lids/")+fmt.Sprint("lid", i)+version, m{"properties": m{}})
			if status, answer := rm.Ask(
				http.MethodPatch,
				boxAt("one")+version,
				m{"tags": m{"by": fmt.Sprint(i), "too": fmt.Sprint(i)}},
			); status != http.StatusOK {
				t.Errorf("PATCH: %d %v", status, answer)
			}
			if tags := arm.Child(rm.Get(boxAt("one")+version), "tags"); tags["by"] != tags["too"] {
				t.Errorf("the tags of two writes are mixed: %v", tags)
			}
		})
	}
	writing.Wait()
	for path, want := range map[string]int{armtest.ID("providers", boxes): 21, boxAt("one/lids"): 20} {
		if found := rm.Get(path + version)["value"].([]any); len(found) != want {
			t.Errorf("%s: %d resources, want %d", path, len(found), want)
		}
	}
}
