package engine

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/home"
	"github.com/keyvault-aks/keyvault-aks/localcloud/internal/layout"
	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

// variable is an environment variable.
type variable struct{ name, value string }

// variables returns the environment in which pulumi, kubectl, az and other Azure clients use the local cloud. Unless
// stackName is empty, pulumi also uses that stack, which `up` must have configured.
func variables(h *home.Home, r *home.Running, stackName string) []variable {
	proxy := "http://" + r.Proxy
	c := r.Credentials
	path := os.Getenv("PATH")
	switch {
	case path == "": // an empty element of PATH is the current folder
		path = h.BinDir()
	case path != h.BinDir() && !strings.HasPrefix(path, h.BinDir()+":"):
		path = h.BinDir() + ":" + path
	}
	all := []variable{
		{thirdparty.HomeVariable, h.Dir},
		{"HTTPS_PROXY", proxy},
		{"https_proxy", proxy},
		{"NO_PROXY", "localhost,127.0.0.1,::1"},
		{"no_proxy", "localhost,127.0.0.1,::1"},
		{"SSL_CERT_FILE", r.CAFile},       // Go and OpenSSL
		{"REQUESTS_CA_BUNDLE", r.CAFile},  // Python
		{"CURL_CA_BUNDLE", r.CAFile},      // curl
		{"NODE_EXTRA_CA_CERTS", r.CAFile}, // Node.js
		// azure-native
		{"ARM_TENANT_ID", c.TenantID},
		{"ARM_SUBSCRIPTION_ID", c.SubscriptionID},
		{"ARM_CLIENT_ID", c.ClientID},
		{"ARM_CLIENT_SECRET", c.ClientSecret},
		// Azure's SDKs and tools
		{"AZURE_TENANT_ID", c.TenantID},
		{"AZURE_SUBSCRIPTION_ID", c.SubscriptionID},
		{"AZURE_CLIENT_ID", c.ClientID},
		{"AZURE_CLIENT_SECRET", c.ClientSecret},
		{layout.WaitsVariable, waits(r.Times)},
		{"PULUMI_HOME", h.Path(home.PulumiDir)},
		// A kill would leave the metadata files half-written.
		{"PULUMI_BACKEND_URL", "file://" + h.Path(home.StacksDir) + "?metadata=skip"},
		{"PULUMI_CONFIG_PASSPHRASE_FILE", h.Path(home.PassphraseFile)},
		{"PULUMI_SKIP_UPDATE_CHECK", "true"},
		{"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true"},
		{"PULUMI_IGNORE_AMBIENT_PLUGINS", "true"}, // the engine would prefer those on PATH, whatever their version
		{"KUBECONFIG", h.Path(home.KubeconfigFile)},
		{"KUBECACHEDIR", h.Path(home.CacheDir)},
		{"PATH", path},
		{"GOFLAGS", thirdparty.ProgramFlags()}, // with the flags of Compile, the engine's own build has nothing to do
	}
	if stackName != "" {
		all = append(all,
			variable{"PULUMI_OPTION_CONFIG_FILE", h.ConfigFile(stackName)}, variable{"PULUMI_STACK", stackName})
	}
	return all
}

// waits returns the value of layout.WaitsVariable for a profile of times: its ratio to Azure's times, or 0.01 if
// operations take no time.
func waits(profile string) string {
	name, divisor, divided := strings.Cut(profile, "/")
	part := 0.01
	if name == "azure" {
		part = 1
	}
	if by, err := strconv.ParseFloat(divisor, 64); divided && err == nil {
		part = 1 / by
	}
	return strconv.FormatFloat(part, 'g', -1, 64)
}

// PrintEnv prints shell commands that unset the user's variables that would override the local cloud's, and export the
// local cloud's.
func PrintEnv(to io.Writer, h *home.Home, r *home.Running, stackName string) {
	fmt.Fprintln(to, "unset PULUMI_CONFIG_PASSPHRASE")
	kept := usersEnvironment()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !slices.Contains(kept, v) && shellName.MatchString(name) {
			fmt.Fprintln(to, "unset", name)
		}
	}
	for _, v := range variables(h, r, stackName) {
		fmt.Fprintf(to, "export %s=%s\n", v.name, quoted(v.value))
	}
}

// Environment returns the whole environment of a shell that has evaluated the output of PrintEnv.
func Environment(h *home.Home, r *home.Running, stackName string) []string {
	env := usersEnvironment()
	for _, v := range variables(h, r, stackName) {
		env = slices.DeleteFunc(env, func(theirs string) bool { return strings.HasPrefix(theirs, v.name+"=") })
		env = append(env, v.name+"="+v.value)
	}
	return env
}

// usersEnvironment returns the part of the user's environment that programs in the local cloud keep.
func usersEnvironment() []string {
	kept := withoutPulumis(ownEnvironment(os.Environ()))
	if dir, ok := os.LookupEnv("AZURE_CONFIG_DIR"); ok { // where az keeps its sessions
		kept = append(kept, "AZURE_CONFIG_DIR="+dir)
	}
	return kept
}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// quoted quotes a word for a shell.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// azurePrefixes begin the names of variables with which clients sign in to Azure. Some override explicit settings:
// kubelogin prefers AZURE_ and AAD_ variables to its arguments, and requests tokens as the GitHub Actions job it runs
// in.
var azurePrefixes = []string{"ARM_", "AZURE_", "AAD_", "ACTIONS_ID_TOKEN_REQUEST_"}

// ownEnvironment returns an environment without the user's settings for Azure and for proxies. Both spellings of proxy
// variables are removed, since Go uses no_proxy if NO_PROXY is empty.
func ownEnvironment(of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		return strings.HasSuffix(strings.ToLower(name), "_proxy") || slices.ContainsFunc(azurePrefixes, begins)
	})
}

// withoutPulumis returns an environment without the user's settings for the engine, such as another backend.
func withoutPulumis(of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(v string) bool { return strings.HasPrefix(v, "PULUMI_") })
}

// mark returns the variable that only the engine and its plugins have, and no program that a user starts.
func mark(h *home.Home) string { return layout.EngineVariable + "=" + h.Dir }
