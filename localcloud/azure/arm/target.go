package arm

import (
	"net/http"
	"slices"
	"strings"
)

// target is what a request's path names.
type target struct {
	path         string   // as it was given, but for slashes at the end and doubled ones
	subscription string   // empty: none
	group        string   // empty: none
	scope        string   // what is before the last /providers/, or the subscription of a resource group
	kind         string   // Microsoft.KeyVault/vaults/secrets
	names        []string // one for each type, the last missing where it is a collection
	collection   bool     // the resources of a kind, and not one of them
	action       string   // of a POST
}

const (
	subscriptionsType = "Microsoft.Resources/subscriptions"
	groupsType        = subscriptionsType + "/resourceGroups"
)

// parse reads a path: /subscriptions/{s}[/resourceGroups/{g}][/providers/{namespace}/{type}/{name}...], where what follows the
// last /providers/ is the resource, and what is before it the resource's scope. Doubled slashes are one, so that an id
// stays one.
func parse(method, path string) target {
	segments := slices.DeleteFunc(strings.Split(path, "/"), func(segment string) bool { return segment == "" })
	t := target{path: "/" + strings.Join(segments, "/")}
	segments = strings.Split(t.path[1:], "/") // of no path, too, there is one
	if len(segments) > 1 && strings.EqualFold(segments[0], "subscriptions") {
		t.subscription = segments[1]
	}
	if len(segments) > 3 && t.subscription != "" && strings.EqualFold(segments[2], "resourceGroups") {
		t.group = segments[3]
	}
	provider := -1
	for i := len(segments) - 2; i >= 0; i-- {
		if strings.EqualFold(segments[i], "providers") {
			provider = i
			break
		}
	}
	var types []string
	if provider < 0 {
		// The types of Resource Manager itself are not written with their namespace.
		types = []string{"Microsoft.Resources"}
		provider = -2
	} else {
		t.scope = "/" + strings.Join(segments[:provider], "/")
		types = []string{segments[provider+1]}
		if provider+2 == len(segments) && t.group == "" {
			// The provider itself: what it has, and whether it is registered.
			t.kind, t.names = "Microsoft.Resources/providers", []string{segments[provider+1]}
			return t
		}
	}
	rest := segments[provider+2:]
	if method == http.MethodPost && len(rest)%2 == 1 {
		t.action, rest = rest[len(rest)-1], rest[:len(rest)-1]
	}
	for i, segment := range rest {
		if i%2 == 0 {
			types = append(types, segment)
		} else {
			t.names = append(t.names, segment)
		}
	}
	t.collection = len(rest)%2 == 1
	t.kind = strings.Join(types, "/")
	if strings.EqualFold(t.action, "register") && len(t.names) == 0 {
		t.kind, t.names = "Microsoft.Resources/providers", types
	}
	if provider == -2 && len(t.names) > 0 {
		t.scope = "/subscriptions/" + t.names[0]
	}
	return t
}

// name is that of the resource itself.
func (t target) name() string { return t.names[len(t.names)-1] }

// top is the path of the resource that a nested one is in.
func (t target) top() string {
	types := strings.Split(t.kind, "/")
	return t.scope + "/providers/" + types[0] + "/" + types[1] + "/" + t.names[0]
}

// groupPath is the resource group's path.
func (t target) groupPath() string {
	return "/subscriptions/" + t.subscription + "/resourceGroups/" + t.group
}

// cut drops n segments from the end of a path.
func cut(path string, n int) string {
	for range n {
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return path
}
