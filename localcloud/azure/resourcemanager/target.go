package resourcemanager

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/fold"
)

// Target is what a request's path names.
type Target struct {
	Path         string   // as it was given, but for slashes at the end and doubled ones
	Subscription string   // empty: none
	Group        string   // empty: none
	Scope        string   // what is before the last /providers/, or the subscription of a resource group
	Kind         string   // Microsoft.KeyVault/vaults/secrets
	Names        []string // one for each type, the last missing where it is a collection
	Collection   bool     // the resources of a kind, and not one of them
	action       string   // of a POST
}

// Parse reads a path: /subscriptions/{s}[/resourceGroups/{g}][/providers/{namespace}/{type}/{name}...], where what
// follows the last /providers/ is the resource, and what is before it the resource's scope. Doubled slashes are one, so
// that an id stays one.
func Parse(method, path string) Target {
	segments := slices.DeleteFunc(strings.Split(path, "/"), func(segment string) bool { return segment == "" })
	t := Target{Path: "/" + strings.Join(segments, "/")}
	segments = strings.Split(t.Path[1:], "/") // of no path, too, there is one
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
		// The types of Resource Manager itself are not written with their namespace.
		types = []string{"Microsoft.Resources"}
		provider = -2
	} else {
		t.Scope = "/" + strings.Join(segments[:provider], "/")
		types = []string{segments[provider+1]}
		if provider+2 == len(segments) && t.Group == "" {
			// The provider itself: what it has, and whether it is registered.
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

// Name is that of the resource itself.
func (t Target) Name() string { return t.Names[len(t.Names)-1] }

// Top is the path of the resource that a nested one is in.
func (t Target) Top() string {
	types := strings.Split(t.Kind, "/")
	return t.Scope + "/providers/" + types[0] + "/" + types[1] + "/" + t.Names[0]
}

// GroupPath is the resource group's path.
func (t Target) GroupPath() string {
	return "/subscriptions/" + t.Subscription + "/resourceGroups/" + t.Group
}

// Cut drops n segments from the end of a path.
func Cut(path string, n int) string {
	for range n {
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return path
}
