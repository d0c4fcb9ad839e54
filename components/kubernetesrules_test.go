package components_test

import (
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/components"
)

// TestImages_AreThoseThatContainerdTakes has references that the grammar of github.com/distribution/reference allows,
// and some that it does not.
func TestImages_AreThoseThatContainerdTakes(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	for image, valid := range map[string]bool{
		"":                                  true, // the default
		"busybox":                           true,
		"busybox:1.35.0":                    true,
		"library/busybox":                   true,
		"a__b/c.d/e---f:_x.Y-1":             true,
		"localhost:5000/a":                  true,
		"Registry.example/a/b":              true,
		"10.0.0.1:5000/a:1":                 true,
		"[2001:db8::1]:5000/a":              true,
		"r.azurecr.io/a@sha256:" + digest:   true,
		"r.azurecr.io/a:1@sha256:" + digest: true,
		"a@sha512:" + digest + digest:       true,
		"a:" + strings.Repeat("t", 128):     true,
		strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127): true,

		" busybox":                            false,
		"busybox ":                            false,
		"busybox latest":                      false,
		"Busybox":                             false,
		"library/BusyBox":                     false,
		"busybox:":                            false,
		":1":                                  false,
		"a//b":                                false,
		"/a":                                  false,
		"a/":                                  false,
		"a_-b":                                false,
		"a..b":                                false,
		"-a":                                  false,
		"-r.example/a":                        false,
		"a:-1":                                false,
		"a:1:2":                               false,
		"r.example:port/a":                    false,
		"https://r.example/a":                 false,
		"a@sha256:" + digest[1:]:              false,
		"a@sha256:" + strings.ToUpper(digest): false,
		"a@md5:" + digest[:32]:                false,
		"a@":                                  false,
		digest:                                false, // an id
		"a:" + strings.Repeat("t", 129):       false,
		strings.Repeat("a", 128) + "/" + strings.Repeat("b", 127): false,
	} {
		args := mountArgs()
		args.TestPod.Image, args.Probe = image, &components.ProbeArgs{Image: image}
		if err := args.Validate(); (err == nil) != valid {
			t.Errorf("%q: got error %v, want it valid: %t", image, err, valid)
		} else if !valid {
			wantViolations(t, err, "testPod.image", "probe.image")
		}
	}
}
