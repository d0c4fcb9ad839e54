package resourcemanager_test

import (
	"testing"

	arm "github.com/keyvault-aks/keyvault-aks/localcloud/azure/resourcemanager"
)

func TestParseID_AcceptsResourcesInGroups(t *testing.T) {
	t.Parallel()
	const group = "/subscriptions/s/resourceGroups/g"
	for id, good := range map[string]bool{
		group + "/providers/A.B/boxes/one/lids/top":                          true,
		group + "/providers/a.b/BOXES/one/Lids/top":                          true,
		"/SUBSCRIPTIONS/s/resourcegroups/g/providers/A.B/boxes/one/lids/top": true,

		"":                                       false,
		"/":                                      false,
		"x":                                      false,
		"//":                                     false,
		"lids/top":                               false,
		group:                                    false,
		group + "/":                              false,
		group + "/providers":                     false,
		group + "/providers/A.B":                 false,
		group + "/providers/A.B/boxes/one":       false,
		group + "/providers/A.B/boxes/one/lids":  false,
		group + "/providers/A.B/boxes/one/lids/": false,
		group + "/providers/A.B/boxes/one/lids/top/corners/c":         false,
		"/subscriptions/s/providers/A.B/boxes/one/lids/top":           false,
		"/providers/A.B/boxes/one/lids/top":                           false,
		group + "/providers/C.D/e/f/providers/A.B/boxes/one/lids/top": false,
	} {
		parsed, ok := arm.ParseID(id, "A.B/boxes/lids")
		if ok != good || ok && (parsed.Name != "top" || parsed.Parent.Name != "one" || parsed.ResourceGroupName != "g") {
			t.Errorf("%q is %v %t, want %t", id, parsed, ok, good)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, id := range []string{
		"",
		"/",
		"/subscriptions/s/resourceGroups/g/providers/A.B/c/d",
		"/providers/A.B/c",
		"/subscriptions/s/providers",
	} {
		f.Add(id, "A.B/c")
	}
	f.Fuzz(func(t *testing.T, id, kind string) {
		if parsed, ok := arm.ParseID(id, kind); ok && (parsed.Name == "" || parsed.ResourceGroupName == "") {
			t.Errorf("%q is %+v", id, parsed)
		}
	})
}
