package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keyvault-aks/keyvault-aks/localcloud/thirdparty"
)

type variable struct{ name, value string }

// variables are the environment in which pulumi, kubectl, az and every other client of Azure finds the local cloud.
func (l *localCloud) variables(r *running, stackName string) []variable {
	proxy := "http://" + r.Proxy
	c := r.Credentials
	path := os.Getenv("PATH")
	if !strings.HasPrefix(path, l.binDir()+":") {
		path = l.binDir() + ":" + path
	}
	return []variable{
		{thirdparty.HomeVariable, l.home},
		{"HTTPS_PROXY", proxy}, {"https_proxy", proxy}, {"NO_PROXY", "localhost,127.0.0.1,::1"}, {"no_proxy", "localhost,127.0.0.1,::1"},
		// Go and OpenSSL, Python, curl, Node
		{"SSL_CERT_FILE", r.CAFile}, {"REQUESTS_CA_BUNDLE", r.CAFile}, {"CURL_CA_BUNDLE", r.CAFile}, {"NODE_EXTRA_CA_CERTS", r.CAFile},
		// azure-native, and Azure's SDKs and tools, each with their own names for the same
		{"ARM_TENANT_ID", c.TenantID}, {"ARM_SUBSCRIPTION_ID", c.SubscriptionID}, {"ARM_CLIENT_ID", c.ClientID}, {"ARM_CLIENT_SECRET", c.ClientSecret},
		{"AZURE_TENANT_ID", c.TenantID}, {"AZURE_SUBSCRIPTION_ID", c.SubscriptionID}, {"AZURE_CLIENT_ID", c.ClientID}, {"AZURE_CLIENT_SECRET", c.ClientSecret},
		{"PULUMI_HOME", l.path(pulumiDir)}, {"PULUMI_BACKEND_URL", "file://" + l.path(stacksDir) + "?metadata=skip"}, // without files of attributes, which a kill leaves half-written
		{"PULUMI_CONFIG_PASSPHRASE_FILE", l.path(phrase)},
		{"PULUMI_OPTION_CONFIG_FILE", l.configFile(stackName)},
		{"PULUMI_STACK", stackName}, {"PULUMI_SKIP_UPDATE_CHECK", "true"}, {"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true"},
		{"PULUMI_IGNORE_AMBIENT_PLUGINS", "true"}, // those on PATH, which the engine prefers whatever their version is
		{"KUBECONFIG", l.path(kubeconfigFile)}, {"KUBECACHEDIR", l.path(cacheDir)}, {"PATH", path},
		{"GOFLAGS", thirdparty.ProgramFlags()}, // the engine builds the program: as it has been built ahead
	}
}

// configFile is a stack's configuration, in JSON unless only an older local cloud has written it.
func (l *localCloud) configFile(stackName string) string {
	older := l.path(configDir, "Pulumi."+stackName+".yaml")
	file := strings.TrimSuffix(older, ".yaml") + ".json"
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if _, err := os.Stat(older); err == nil {
		return older
	}
	return file
}

// env prints them as a shell takes them.
func (l *localCloud) env(context.Context) error {
	r, err := l.running()
	if err != nil {
		return err
	}
	stackName := "dev"
	if s := l.stackNames(); len(s) == 1 {
		stackName = s[0]
	}
	l.printEnv(os.Stdout, r, stackName)
	return nil
}

// printEnv ends the user's own variables that would win over those of the local cloud, and sets these.
func (l *localCloud) printEnv(to io.Writer, r *running, stackName string) {
	fmt.Fprintln(to, "unset PULUMI_CONFIG_PASSPHRASE")
	kept := withoutPulumis(ownEnvironment(os.Environ()))
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains(kept, v) && shellName.MatchString(name) && name != "AZURE_CONFIG_DIR" { // az keeps its sessions there
			fmt.Fprintln(to, "unset", name)
		}
	}
	for _, v := range l.variables(r, stackName) {
		fmt.Fprintf(to, "export %s=%s\n", v.name, quoted(v.value))
	}
}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// quoted is a word as a shell takes it.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// status says what runs and which stacks there are.
func (l *localCloud) status(context.Context) error {
	say("project  %s", l.project)
	say("home     %s", l.home)
	if r, err := l.running(); err != nil {
		say("cloud    %v", err)
	} else {
		say("cloud    runs since %s: process %d, proxy %s, log %s", time.Since(r.Started).Round(time.Second), r.PID, r.Proxy, l.path(logFile))
	}
	var have setup
	if readJSON(l.path(setupFile), &have) == nil {
		say("node     %s", have.Node)
		if len(have.RealPlugins) > 0 {
			say("plugins  real: %s", describePlugins(have.RealPlugins))
		} else {
			say("plugins  stand-ins for azure-native and random")
		}
	}
	if names := l.stackNames(); len(names) > 0 {
		say("stacks   %s", strings.Join(names, ", "))
	} else {
		say("stacks   none")
	}
	return nil
}

// stackNames are those of the stacks that the backend has.
func (l *localCloud) stackNames() []string {
	files, _ := filepath.Glob(l.path(stacksDir, ".pulumi", "stacks", "keyvault-aks", "*.json"))
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return names
}
