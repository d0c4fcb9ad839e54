package components

import (
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// Azure's kubeconfigs of clusters with Entra ID, in both formats, and of one without.
const (
	execKubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: aks
  cluster:
    server: https://aks-dns.hcp.eastus.azmk8s.io:443
    certificate-authority-data: Y2VydGlmaWNhdGU=
contexts:
- name: aks
  context: {cluster: aks, user: clusterUser_group_aks}
current-context: aks
preferences: {}
users:
- name: clusterUser_group_aks
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: kubelogin
      args: [get-token, --environment, AzureUSGovernmentCloud, --server-id, 6dae42f8-4368-4678-94ff-3960e28e3630,
        --client-id, 80faf920-1908-4b52-b5ef-a8e7bedfc67a, --tenant-id, azures-tenant, --login, devicecode]
      env: null
      provideClusterInfo: false
`
	azureKubeconfig = `kind: Config
users:
- name: clusterUser_group_aks
  user:
    auth-provider:
      name: azure
      config: {apiserver-id: 6dae42f8-4368-4678-94ff-3960e28e3630, tenant-id: azures-tenant}
`
	certificateKubeconfig = `kind: Config
users:
- name: clusterAdmin
  user: {client-key-data: cHJpdmF0ZQ==, token: top-secret}
`
)

type kubeconfigExec struct {
	APIVersion         string   `yaml:"apiVersion"`
	Command            string   `yaml:"command"`
	Args               []string `yaml:"args"`
	Env                []any    `yaml:"env"`
	InteractiveMode    string   `yaml:"interactiveMode"`
	ProvideClusterInfo *bool    `yaml:"provideClusterInfo"`
}

// readExec reads a kubeconfig strictly: a user must contain nothing but exec.
func readExec(t *testing.T, kubeconfig string) []kubeconfigExec {
	t.Helper()
	var file struct {
		Users []struct {
			User map[string]kubeconfigExec `yaml:"user"`
		} `yaml:"users"`
	}
	if err := yaml.Unmarshal([]byte(kubeconfig), &file); err != nil {
		t.Fatal(err)
	}
	var list []kubeconfigExec
	for _, user := range file.Users {
		exec, ok := user.User["exec"]
		if !ok || len(user.User) != 1 {
			t.Fatalf("a user has %v, want exec alone", user.User)
		}
		list = append(list, exec)
	}
	return list
}

func TestKubelogin_GetsLoginsArguments(t *testing.T) {
	server := []string{"--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"}
	for _, test := range []struct {
		name, kubeconfig string
		login            Login
		tenant           string
		more             []string
	}{
		{"the CLI knows cloud and tenant", execKubeconfig, "azurecli", "", nil},
		{"the CLI is told a tenant that was asked for", execKubeconfig, "azurecli", "given",
			[]string{"--tenant-id", "given"}},
		{"a service principal is told Azure's tenant", execKubeconfig, "spn", "",
			[]string{"--environment", "AzureUSGovernmentCloud", "--tenant-id", "azures-tenant"}},
		{"a given tenant wins", execKubeconfig, "workloadidentity", "given",
			[]string{"--environment", "AzureUSGovernmentCloud", "--tenant-id", "given"}},
		{"a managed identity has one tenant", execKubeconfig, "msi", "", []string{"--environment", "AzureUSGovernmentCloud"}},
		{"the public cloud is the default", azureKubeconfig, "workloadidentity", "",
			[]string{"--environment", "AzurePublicCloud"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := withKubelogin(test.kubeconfig, test.login, test.tenant)
			if err != nil {
				t.Fatal(err)
			}
			users := readExec(t, got)
			if len(users) != 1 {
				t.Fatalf("%d users", len(users))
			}
			exec := users[0]
			want := append(append([]string{"get-token", "--login", string(test.login)}, server...), test.more...)
			if exec.Command != "kubelogin" || !reflect.DeepEqual(exec.Args, want) {
				t.Errorf("got %s %v, want kubelogin %v", exec.Command, exec.Args, want)
			}
			if exec.APIVersion != "client.authentication.k8s.io/v1" || exec.InteractiveMode != "Never" ||
				exec.ProvideClusterInfo == nil || *exec.ProvideClusterInfo || len(exec.Env) > 0 {
				t.Errorf("got %+v", exec)
			}
		})
	}
}

func TestKubelogin_KeepsRestOfKubeconfig(t *testing.T) {
	got, err := withKubelogin(execKubeconfig, "azurecli", "")
	if err != nil {
		t.Fatal(err)
	}
	var before, after map[string]any
	if err := yaml.Unmarshal([]byte(execKubeconfig), &before); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(got), &after); err != nil {
		t.Fatal(err)
	}
	delete(before, "users")
	delete(after, "users")
	if !reflect.DeepEqual(after, before) {
		t.Errorf("got %v, want %v", after, before)
	}
	if again, err := withKubelogin(got, "azurecli", ""); err != nil || again != got {
		t.Errorf("a second time it is another one: %v", err)
	}
}

func TestKubelogin_RejectsOtherKubeconfigsUnshown(t *testing.T) {
	for name, kubeconfig := range map[string]string{
		"a certificate": certificateKubeconfig,
		"no users":      "kind: Config\n",
		"no object":     "top-secret",
		"no YAML":       "users: [{name: a, user: top-secret}]\n: cHJpdmF0ZQ==",
	} {
		_, err := withKubelogin(kubeconfig, "azurecli", "")
		if err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), "top-secret") || strings.Contains(err.Error(), "cHJpdmF0ZQ") {
			t.Errorf("%s: the error shows what is in it", name)
		}
	}
}
