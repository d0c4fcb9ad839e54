package engine

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// TestVariables_MakeClientsTrustTheCA lists the variables that name CAs for Go and OpenSSL, Python's requests, curl and
// Node. Downloads from outside must not trust the local cloud's CA.
func TestVariables_MakeClientsTrustTheCA(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	var trust []string
	for _, v := range variables(h, &home.Running{CAFile: "/ca.pem", Proxy: "127.0.0.1:1"}, "dev") {
		if v.value == "/ca.pem" {
			trust = append(trust, v.name)
			t.Setenv(v.name, v.value)
		}
	}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		if !slices.Contains(trust, name) {
			t.Errorf("%s does not name the CA", name)
		}
	}
	t.Setenv(thirdparty.HomeVariable, h.Dir)
	for _, v := range thirdparty.OutsideEnv() {
		if strings.HasSuffix(v, "=/ca.pem") {
			t.Errorf("downloads use %s", v)
		}
	}
}

// TestPrintEnv_UnsetsTheUsersAzure evaluates the output in a shell with variables that would override the local
// cloud's.
func TestPrintEnv_UnsetsTheUsersAzure(t *testing.T) {
	for _, name := range []string{
		"ARM_USE_OIDC", "AZURE_AUTHORITY_HOST", "AAD_LOGIN_METHOD", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG",
		"AZURE_TENANT_ID", "ALL_PROXY", "ACTIONS_ID_TOKEN_REQUEST_URL",
	} {
		t.Setenv(name, "theirs")
	}
	t.Setenv("AZURE_CONFIG_DIR", "/az") // where az keeps its sessions
	h := &home.Home{Dir: t.TempDir()}
	var script bytes.Buffer
	PrintEnv(&script, h, &home.Running{Proxy: "127.0.0.1:1"}, "dev")
	cmd := exec.Command("/bin/sh", "-c", script.String()+"\nenv")
	cmd.Env = os.Environ()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, script.String())
	}
	if strings.Contains(string(out), "=theirs") || !strings.Contains(string(out), "AZURE_CONFIG_DIR=/az") {
		t.Errorf("the shell has\n%s", out)
	}
}

// TestEnvironment_EqualsTheShells compares Environment with a shell that evaluates the output of PrintEnv.
func TestEnvironment_EqualsTheShells(t *testing.T) {
	for _, name := range []string{
		"ARM_USE_OIDC", "AAD_LOGIN_METHOD", "PULUMI_CONFIG_PASSPHRASE", "ALL_PROXY", "HTTPS_PROXY", "KUBECONFIG",
	} {
		t.Setenv(name, "theirs")
	}
	t.Setenv("AZURE_CONFIG_DIR", "/az")
	t.Setenv("KEPT", "it's")
	h := &home.Home{Dir: t.TempDir()}
	for _, stack := range []string{"", "dev"} {
		var script bytes.Buffer
		PrintEnv(&script, h, &home.Running{Proxy: "127.0.0.1:1"}, stack)
		out, err := exec.Command("/bin/sh", "-c", script.String()+"\nexec env -0").Output()
		if err != nil {
			t.Fatal(err)
		}
		want, got := strings.Split(string(out), "\x00"), Environment(h, &home.Running{Proxy: "127.0.0.1:1"}, stack)
		for _, v := range append(slices.Clone(want), got...) {
			name, _, _ := strings.Cut(v, "=")
			if slices.Contains([]string{"", "_", "PWD", "OLDPWD", "SHLVL"}, name) { // the shell sets these
				continue
			}
			is := func(other string) bool { return strings.HasPrefix(other, name+"=") }
			if slices.Contains(want, v) != slices.Contains(got, v) ||
				slices.ContainsFunc(got[slices.IndexFunc(got, is)+1:], is) {
				// The values of the user's own variables may be secret.
				t.Errorf("with the stack %q it has another %s, or several", stack, name)
			}
		}
		if slices.Contains(got, "PULUMI_STACK=dev") != (stack == "dev") {
			t.Errorf("with the stack %q PULUMI_STACK is wrong", stack)
		}
	}
}

// TestVariables_PutProgramsOnPathOnce also checks that PATH has no empty element, which is the current folder.
func TestVariables_PutProgramsOnPathOnce(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	bin := h.BinDir()
	for theirs, want := range map[string]string{
		"": bin, bin: bin, "/usr/bin": bin + ":/usr/bin", bin + ":/usr/bin": bin + ":/usr/bin",
	} {
		t.Setenv("PATH", theirs)
		for _, v := range variables(h, &home.Running{}, "") {
			if v.name == "PATH" && v.value != want {
				t.Errorf("%q becomes %q, want %q", theirs, v.value, want)
			}
		}
	}
}

func TestVariables_ScaleWaitsWithTimes(t *testing.T) {
	h := &home.Home{Dir: t.TempDir()}
	for profile, want := range map[string]string{
		"": "0.01", "instant": "0.01", "azure": "1", "azure/10": "0.1", "azure/400": "0.0025",
	} {
		all := variables(h, &home.Running{Times: profile}, "")
		if !slices.Contains(all, variable{layout.WaitsVariable, want}) {
			t.Errorf("with %q they do not have %s", profile, want)
		}
	}
}
