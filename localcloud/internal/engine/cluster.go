package engine

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/keyvault-aks/keyvault-aks/localcloud/kube"
)

// cluster returns a client of a kubeconfig's API server, through the local cloud's proxy. If the kubeconfig names a
// program that signs in, it runs with the engine's environment.
func (s *Stack) cluster(kubeconfig string) (*kube.Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	config.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: s.cloud.Proxy})
	config.QPS = -1 // no limit: the API server is on this machine
	if config.ExecProvider != nil {
		runWith(config.ExecProvider, s.envs)
	}
	return kube.NewClient(config)
}

// runWith makes a kubeconfig's program run with exactly the environment envs. By default client-go only adds variables
// to the environment of this process, which may have the user's own settings for Azure.
func runWith(program *api.ExecConfig, envs []string) {
	var args []string
	has := map[string]bool{}
	for _, v := range envs {
		name, value, _ := strings.Cut(v, "=")
		has[name] = true
		program.Env = append(program.Env, api.ExecEnvVar{Name: name, Value: value})
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "" && !has[name] {
			args = append(args, "-u", name)
		}
	}
	program.Command, program.Args = "env", slices.Concat(args, []string{program.Command}, program.Args)
}
