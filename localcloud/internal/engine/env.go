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

// variable is one of an environment.
type variable struct{ name, value string }

// variables are the environment in which pulumi, kubectl, az and every other client of Azure finds the local cloud, and
// pulumi a stack that `up` has configured, unless stackName is empty.
func variables(h *home.Home, r *home.Running, stackName string) []variable {
	proxy := "http://" + r.Proxy
	c := r.Credentials
	path := os.Getenv("PATH")
	switch {
	case path == "": // after a colon it would be the current folder
		path = h.BinDir()
	case path != h.BinDir() && !strings.HasPrefix(path, h.BinDir()+":"):
		path = h.BinDir() + ":" + path
	}
	all := []variable{
		{thirdparty.HomeVariable, h.Dir},
		{
			"HTTPS_PROXY",
			proxy,
		},
		{"https_proxy", proxy},
		{"NO_PROXY", "localhost,127.0.0.1,::1"},
		{"no_proxy", "localhost,127.0.0.1,::1"},
		// Go and OpenSSL, Python, curl, Node
		{
			"SSL_CERT_FILE",
			r.CAFile,
		},
		{"REQUESTS_CA_BUNDLE", r.CAFile},
		{"CURL_CA_BUNDLE", r.CAFile},
		{"NODE_EXTRA_CA_CERTS", r.CAFile},
		// azure-native, and Azure's SDKs and tools, each with their own names for the same
		{
			"ARM_TENANT_ID",
			c.TenantID,
		},
		{"ARM_SUBSCRIPTION_ID", c.SubscriptionID},
		{"ARM_CLIENT_ID", c.ClientID},
		{"ARM_CLIENT_SECRET", c.ClientSecret},
		{
			"AZURE_TENANT_ID",
			c.TenantID,
		},
		{"AZURE_SUBSCRIPTION_ID", c.SubscriptionID},
		{"AZURE_CLIENT_ID", c.ClientID},
		{"AZURE_CLIENT_SECRET", c.ClientSecret},
		{layout.WaitsVariable, waits(r.Times)},
		{
			"PULUMI_HOME",
			h.Path(home.PulumiDir),
		},
		{
			"PULUMI_BACKEND_URL",
			"file://" + h.Path(home.StacksDir) + "?metadata=skip",
		}, // without files of attributes, which a kill leaves half-written
		{"PULUMI_CONFIG_PASSPHRASE_FILE", h.Path(home.PassphraseFile)},
		{"PULUMI_SKIP_UPDATE_CHECK", "true"},
		{"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true"},
		{"PULUMI_IGNORE_AMBIENT_PLUGINS", "true"}, // those on PATH, which the engine prefers whatever their version is
		{"KUBECONFIG", h.Path(home.KubeconfigFile)},
		{"KUBECACHEDIR", h.Path(home.CacheDir)},
		{"PATH", path},
		{"GOFLAGS", thirdparty.ProgramFlags()}, // the engine builds the program: as it has been built ahead
	}
	if stackName != "" {
		all = append(all, variable{"PULUMI_OPTION_CONFIG_FILE", h.ConfigFile(stackName)}, variable{"PULUMI_STACK", stackName})
	}
	return all
}

// waits is layout.WaitsVariable's value with a profile of times: the part of Azure's times that it is, and a hundredth
// where operations take no time.
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

// PrintEnv ends the user's own variables that would win over those of the local cloud, and sets these.
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

// Environment is the whole of what a shell has that evaluates what PrintEnv prints.
func Environment(h *home.Home, r *home.Running, stackName string) []string {
	env := usersEnvironment()
	for _, v := range variables(h, r, stackName) {
		env = slices.DeleteFunc(env, func(theirs string) bool { return strings.HasPrefix(theirs, v.name+"=") })
		env = append(env, v.name+"="+v.value)
	}
	return env
}

// usersEnvironment is what stays of a person's own environment.
func usersEnvironment() []string {
	kept := withoutPulumis(ownEnvironment(os.Environ()))
	if dir, ok := os.LookupEnv("AZURE_CONFIG_DIR"); ok { // az keeps its sessions there
		kept = append(kept, "AZURE_CONFIG_DIR="+dir)
	}
	return kept
}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// quoted is a word as a shell takes it.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// ownEnvironment is an environment with nothing of the user's own Azure, and no way to it but the one that is added:
// kubelogin, for one, has AZURE_ and AAD_ variables win over what it is told, and asks for tokens as the job of GitHub Actions
// that it runs in, and Go takes no_proxy where NO_PROXY is empty.
func ownEnvironment(of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasSuffix(strings.ToLower(name), "_proxy") ||
			slices.ContainsFunc(
				[]string{"ARM_", "AZURE_", "AAD_", "ACTIONS_ID_TOKEN_REQUEST_"},
				func(prefix string) bool { return strings.HasPrefix(name, prefix) },
			)
	})
}

// withoutPulumis is an environment without the user's own choices for the engine, such as another backend.
func withoutPulumis(of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(v string) bool { return strings.HasPrefix(v, "PULUMI_") })
}

// mark is in the environment of the engine and its plugins, and in nothing that a person starts.
func mark(h *home.Home) string { return layout.EngineVariable + "=" + h.Dir }
