package resourcemanager

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// Target is what the path of a request names.
type Target struct {
	Path         string   // as given, without doubled slashes and slashes at the end
	Subscription string   // empty if the path has none
	Group        string   // empty if the path has none
	Scope        string   // the path before the last /providers/; of a resource group, its subscription
	Kind         string   // such as Microsoft.KeyVault/vaults/secrets
	Names        []string // one for each type in Kind; a collection has no last name
	Collection   bool     // the path names all resources of a type
	action       string   // of a POST
}

// Parse parses a path: /subscriptions/{s}[/resourceGroups/{g}][/providers/{namespace}/{type}/{name}...]. The part after
// the last /providers/ is the resource, the part before it is the resource's scope. Doubled slashes count as one, so
// that a resource has one id.
func Parse(method, path string) Target {
	segments := slices.DeleteFunc(strings.Split(path, "/"), func(segment string) bool { return segment == "" })
	t := Target{Path: "/" + strings.Join(segments, "/")}
	segments = strings.Split(t.Path[1:], "/") // at least one, even of an empty path
	if len(segments) > 1 && fold.Equal(segments[0], "subscriptions") {
		t.Subscription = segments[1]
	}
	if len(segments) > 3 && t.Subscription != "" && fold.Equal(segments[2], "resourceGroups") {
		t.Group = segments[3]
	}
	provider := -1
	for i := len(segments) - 2; i >= 0; i-- {
		if fold.Equal(segments[i], "providers") {
			provider = i
			break
		}
	}
	var types []string
	if provider < 0 {
		// Paths of Resource Manager's own types do not have their namespace.
		types = []string{"Microsoft.Resources"}
		provider = -2
	} else {
		t.Scope = "/" + strings.Join(segments[:provider], "/")
		types = []string{segments[provider+1]}
		if provider+2 == len(segments) && t.Group == "" {
			// The provider itself: its types and its registration.
			t.Kind, t.Names = "Microsoft.Resources/providers", []string{segments[provider+1]}
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
			t.Names = append(t.Names, segment)
		}
	}
	t.Collection = len(rest)%2 == 1
	t.Kind = strings.Join(types, "/")
	if fold.Equal(t.action, "register") && len(t.Names) == 0 {
		t.Kind, t.Names = "Microsoft.Resources/providers", types
	}
	if provider == -2 && len(t.Names) > 0 {
		t.Scope = "/subscriptions/" + t.Names[0]
	}
	return t
}

// Name returns the last name, the name of the resource itself.
func (t Target) Name() string { return t.Names[len(t.Names)-1] }

// Top returns the path of the outermost resource, which contains a nested one.
func (t Target) Top() string {
	types := strings.Split(t.Kind, "/")
	return t.Scope + "/providers/" + types[0] + "/" + types[1] + "/" + t.Names[0]
}

// GroupPath returns the path of the resource group.
func (t Target) GroupPath() string {
	return "/subscriptions/" + t.Subscription + "/resourceGroups/" + t.Group
}

// Cut returns a path without its last n segments.
func Cut(path string, n int) string {
	for range n {
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return path
}
