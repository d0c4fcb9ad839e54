package graph

import (
	"errors"
	"testing"
)

func TestFilter_Matches(t *testing.T) {
	t.Parallel()
	o := object{"displayName": "It's", "appId": "a", "appDisplayName": nil, "servicePrincipalNames": []string{"a", "b"}}
	for filter, want := range map[string]bool{
		"displayName eq 'it''s'":                              true,
		"displayName eq 'it'":                                 false,
		"startswith(displayName,'IT')":                        true,
		"servicePrincipalNames/any(x:x eq 'b')":               true,
		"servicePrincipalNames/any( x : x eq 'c' )":           false,
		"appId eq 'a' and displayName eq 'x'":                 false,
		"appId eq 'a' and displayName eq 'x' or appId eq 'A'": true,
		"appId in ('c','a')":                                  true,
		"appId in ('c')":                                      false,
		"appDisplayName eq 'x'":                               false,
		"displayName eq 'a and b'":                            false,
	} {
		terms, err := parseFilter(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if got, err := (query{any: terms}).matches(o); err != nil || got != want {
			t.Errorf("%s: %t, %v", filter, got, err)
		}
	}
	for _, filter := range []string{
		"appId eq a",
		"appId ne 'a'",
		"not(appId eq 'a')",
		"appId eq 'a' and",
		"appId eq 'a' xor appId eq 'b'",
		"appId eq 'a",
		"",
		"servicePrincipalNames/any(x:y eq 'b')",
		"appId in ('a') and displayName eq 'x'",
		"appId eq 'a')",
	} {
		if terms, err := parseFilter(filter); err == nil {
			t.Errorf("%q is %v", filter, terms)
		}
	}
	for _, filter := range []string{"nobody eq 'a'", "servicePrincipalNames eq 'a'", "appId/any(x:x eq 'a')"} {
		terms, err := parseFilter(filter)
		if err == nil {
			_, err = (query{any: terms}).matches(o)
		}
		if err == nil {
			t.Errorf("%q is accepted", filter)
		}
	}
}

// FuzzQuery checks that every query is answered or refused with one of Graph's errors.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{
		"$filter=appId%20eq%20'a'%20or%20id%20in%20('b','c')",
		"$select=id,,appId&$top=1&$count=true",
		"$top=x",
		"%zz",
		"$filter=&$filter=",
		"$filter='",
		"$filter=servicePrincipalNames/any(c:c%20eq%20'it''s')",
		"filter=startswith(displayName,'')",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		if err == nil {
			_, err = q.matches(sets["servicePrincipals"].sample)
		}
		if err == nil {
			_, err = q.shown(sets["servicePrincipals"].sample)
		}
		if refused := new(fault); err != nil && (!errors.As(err, &refused) || refused.code == "") {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
