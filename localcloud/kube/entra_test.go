package kube

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/keyvault-aks/keyvault-aks/localcloud/azure"
	"github.com/keyvault-aks/keyvault-aks/localcloud/azure/guard"
	"github.com/keyvault-aks/keyvault-aks/localcloud/edge"
)

var entraSpec = azure.ClusterSpec{
	ID:   "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c",
	Name: "c", FQDN: "c.hcp.eastus.azmk8s.io", Entra: true, AzureRBAC: true,
}

func TestKubeconfig_OfEntraClusterUsesKubelogin(t *testing.T) {
	dir := t.TempDir()
	content, err := New(Options{Dir: dir}).Kubeconfig(t.Context(), entraSpec)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(content)
	if err != nil {
		t.Fatal(err)
	}
	now := config.Contexts[config.CurrentContext]
	if server := config.Clusters[now.Cluster].Server; server != "https://c.hcp.eastus.azmk8s.io:443" {
		t.Errorf("server %s", server)
	}
	user := config.AuthInfos[now.AuthInfo]
	if now.AuthInfo != "clusterUser_g_c" || user.Exec == nil || user.Exec.Command != "kubelogin" ||
		user.Exec.Args[0] != "get-token" {
		t.Fatalf("user %s: %+v", now.AuthInfo, user)
	}
	for flag, want := range map[string]string{
		"--tenant-id": azure.TenantID, "--server-id": "6dae42f8-4368-4678-94ff-3960e28e3630",
	} {
		if i := slices.Index(user.Exec.Args, flag); i < 0 || user.Exec.Args[i+1] != want {
			t.Errorf("%v: %s is not %s", user.Exec.Args, flag, want)
		}
	}
	if user.ClientCertificateData != nil || user.ClientKeyData != nil || user.Token != "" {
		t.Error("it contains a credential")
	}
	if made, _ := filepath.Glob(filepath.Join(dir, "*", "pki", "cluster-user.*")); made != nil {
		t.Errorf("the administrator's certificate was created: %v", made)
	}
}

func TestAuthorizationFlags_UseWebhooksOnlyWithEntra(t *testing.T) {
	for name, test := range map[string]struct {
		spec  azure.ClusterSpec
		modes string
		hooks int
	}{
		"local accounts":    {azure.ClusterSpec{}, "Node,RBAC", 0},
		"Entra":             {azure.ClusterSpec{Entra: true}, "Node,RBAC", 1},
		"Entra, Azure RBAC": {azure.ClusterSpec{Entra: true, AzureRBAC: true}, "Node,RBAC,Webhook", 2},
	} {
		s := &supervisor{settings: settings{Spec: test.spec, Dir: t.TempDir()}}
		flags, err := s.authorizationFlags()
		if err != nil {
			t.Fatal(err)
		}
		hooks := 0
		for _, f := range flags {
			if strings.Contains(f, "webhook-config-file=") {
				hooks++
			}
		}
		if hooks != test.hooks || !slices.Contains(flags, "--authorization-mode="+test.modes) {
			t.Errorf("%s: %v", name, flags)
		}
	}
}

// TestWebhookFile_ReachesGuardThroughEdge uses the file like the API server (k8s.io/apiserver/pkg/util/webhook).
func TestWebhookFile_ReachesGuardThroughEdge(t *testing.T) {
	way, err := edge.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	way.Handle(guard.Host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"asked": r.Method + " " + r.URL.Path})
	}))
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- way.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	s := &supervisor{
		settings: settings{Spec: entraSpec, Dir: t.TempDir(), CAFile: way.CAFile()},
		ports:    ports{edge: l.Addr().(*net.TCPAddr).Port},
	}
	file, err := s.webhookFile("hook", guard.AccessReviewURL(entraSpec.ID))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NO_PROXY", "*") // the file takes precedence
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Post().Body([]byte("{}")).DoRaw(t.Context())
	if want := "POST " + entraSpec.ID + "/subjectaccessreviews"; err != nil || !strings.Contains(string(got), want) {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAdminBinding_BindsGroups(t *testing.T) {
	for groups, want := range map[string][]string{"": nil, "a": {"a"}, "a,b": {"a", "b"}} {
		binding := adminBinding(groups)
		var got []string
		for _, subject := range binding.Subjects {
			if subject.Kind == "Group" {
				got = append(got, subject.Name)
			}
		}
		if !slices.Equal(got, want) || binding.RoleRef.Name != "cluster-admin" {
			t.Errorf("%q: %v as %s, want %v", groups, got, binding.RoleRef.Name, want)
		}
	}
}
